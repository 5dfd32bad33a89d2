// photo → frame of the part that is classified: drawn, moved and resized by mouse, finger and keys
import { element } from './element.js';

/** @typedef {import('../../library/protocol.js').Region} Region */
/** @typedef {import('../../library/protocol.js').Size} Size */
/** @typedef {{left: number, top: number, right: number, bottom: number}} Edges in pixels of the photo */

/** Corners and sides of the frame that can be held, named for the edges that they move. */
const HANDLES = ['top left', 'top', 'top right', 'right', 'bottom right', 'bottom', 'bottom left', 'left'];

/** Least side of a part in pixels of the photo, and of one that is drawn on the screen. */
const LEAST = 8,
  LEAST_DRAWN = 12;

/** Share of the photo's side that an arrow key moves. */
const STEP = 0.02;

/** ms after the last key before the part is classified. */
const SETTLED = 350;

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {(part: Region | null) => void} options.onPart null: all of the photo
 */
export function partFrame({ words, onPart }) {
  const said = words.part;
  const frame = element(
    'div',
    { className: 'part', role: 'application', tabIndex: 0, 'aria-describedby': 'part-hint' },
    ...HANDLES.map((held) => element('i', { className: 'handle', 'data-held': held })),
  );
  const root = element('div', { className: 'part-area' }, frame);
  /** @type {Size} */
  let image = { width: 1, height: 1 };
  let photo = 0;
  /** As it is drawn. @type {Edges} */
  let edges = whole();
  /** As it was reported last. */
  let known = '';
  let choosing = false;
  /** What a drag does; another finger does nothing. @type {{pointer: number, edges: Edges, x: number, y: number, held: string} | null} */
  let drag = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let settling;

  root.addEventListener('pointerdown', (event) => {
    if (!choosing || drag || event.button) return;
    event.preventDefault();
    frame.focus({ preventScroll: true });
    root.setPointerCapture(event.pointerId);
    const target = /** @type {HTMLElement} */ (event.target);
    const inside = target === frame && !isWhole(edges);
    drag = { pointer: event.pointerId, edges, ...point(event), held: target.dataset.held ?? (inside ? 'all' : 'new') };
  });
  root.addEventListener('pointermove', (event) => {
    if (drag?.pointer === event.pointerId) draw(dragged(drag, point(event)));
  });
  root.addEventListener('pointerup', (event) => {
    if (drag?.pointer !== event.pointerId) return;
    const { held, edges: before } = drag;
    drag = null;
    const scale = root.getBoundingClientRect().width / image.width;
    const tiny = Math.min(edges.right - edges.left, edges.bottom - edges.top) * scale < LEAST_DRAWN;
    if (held === 'new' && tiny) draw(before);
    else report();
    if (root.hasPointerCapture(event.pointerId)) root.releasePointerCapture(event.pointerId);
  });
  root.addEventListener('pointercancel', (event) => {
    if (drag?.pointer !== event.pointerId) return;
    draw(drag.edges);
    drag = null;
  });
  frame.addEventListener('keydown', (event) => {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
    if (!choosing || x === undefined || y === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const step = Math.max(1, Math.round(Math.max(image.width, image.height) * STEP));
    const held = event.shiftKey ? 'bottom right' : 'all';
    draw(dragged({ edges, x: 0, y: 0, held }, { x: x * step, y: y * step }));
    clearTimeout(settling);
    settling = setTimeout(report, SETTLED);
  });

  return {
    root,
    /** @param {{photo: number, image: Size | null, part: Region | null, choosing: boolean}} data */
    update(data) {
      const before = choosing;
      choosing = data.choosing && !!data.image;
      root.hidden = !data.image || (!choosing && !data.part);
      root.dataset.choosing = String(choosing);
      frame.tabIndex = choosing ? 0 : -1;
      if (data.image) follow(data, data.image);
      // Whoever asked for it by a key goes on by keys.
      if (choosing && !before && document.activeElement?.closest('.part-tools')) frame.focus({ preventScroll: true });
    },
  };

  /** @param {{photo: number, part: Region | null}} data @param {Size} size */
  function follow({ photo: shown, part }, size) {
    const now = JSON.stringify([shown, size, part]);
    if (now === known) return;
    // What was on its way is of another photo, or of a part that was given up.
    clearTimeout(settling);
    drag = null;
    known = now;
    photo = shown;
    image = size;
    draw(part ? { left: part.x, top: part.y, right: part.x + part.width, bottom: part.y + part.height } : whole());
  }

  function whole() {
    return { left: 0, top: 0, right: image.width, bottom: image.height };
  }

  /** @param {Edges} each */
  function isWhole({ left, top, right, bottom }) {
    return left <= 0 && top <= 0 && right >= image.width && bottom >= image.height;
  }

  function report() {
    clearTimeout(settling);
    const { left, top, right, bottom } = edges;
    const part = isWhole(edges) ? null : { x: left, y: top, width: right - left, height: bottom - top };
    const now = JSON.stringify([photo, image, part]);
    if (now === known) return;
    known = now;
    onPart(part);
  }

  /** Where the pointer is, in pixels of the photo. @param {PointerEvent} event */
  function point({ clientX, clientY }) {
    const box = root.getBoundingClientRect();
    return {
      x: ((clientX - box.left) / box.width) * image.width,
      y: ((clientY - box.top) / box.height) * image.height,
    };
  }

  /** @param {Omit<NonNullable<typeof drag>, 'pointer'>} from @param {{x: number, y: number}} to @returns {Edges} */
  function dragged({ edges: before, x, y, held }, to) {
    if (held === 'new') {
      const [left, right] = [x, to.x].sort((a, b) => a - b);
      const [top, bottom] = [y, to.y].sort((a, b) => a - b);
      return within({ left: left ?? 0, top: top ?? 0, right: right ?? 0, bottom: bottom ?? 0 }, 'right bottom');
    }
    const { left, top, right, bottom } = before;
    const [across, down] = [to.x - x, to.y - y];
    if (held !== 'all')
      return within(
        {
          left: held.includes('left') ? left + across : left,
          right: held.includes('right') ? right + across : right,
          top: held.includes('top') ? top + down : top,
          bottom: held.includes('bottom') ? bottom + down : bottom,
        },
        held,
      );
    const [aside, below] = [
      Math.round(clamp(across, -left, image.width - right)),
      Math.round(clamp(down, -top, image.height - bottom)),
    ];
    return { left: left + aside, right: right + aside, top: top + below, bottom: bottom + below };
  }

  /**
   * Whole pixels within the photo, and not too few of them.
   * @param {Edges} wanted
   * @param {string} moved the edges that give way
   */
  function within({ left, top, right, bottom }, moved) {
    const side = (
      /** @type {number} */ low,
      /** @type {number} */ high,
      /** @type {number} */ length,
      lower = false,
    ) => {
      const least = Math.min(LEAST, length);
      const [first, last] = [clamp(Math.round(low), 0, length), clamp(Math.round(high), 0, length)];
      if (last - first >= least) return [first, last];
      if (lower) return [Math.max(0, last - least), Math.max(last, least)];
      return [Math.min(first, length - least), Math.min(length, first + least)];
    };
    const [x0 = 0, x1 = 0] = side(left, right, image.width, moved.includes('left'));
    const [y0 = 0, y1 = 0] = side(top, bottom, image.height, moved.includes('top'));
    return { left: x0, top: y0, right: x1, bottom: y1 };
  }

  /** @param {Edges} wanted */
  function draw(wanted) {
    edges = wanted;
    const { left, top, right, bottom } = edges;
    const percent = (/** @type {number} */ share) => `${share * 100}%`;
    frame.style.left = percent(left / image.width);
    frame.style.top = percent(top / image.height);
    frame.style.right = percent(1 - right / image.width);
    frame.style.bottom = percent(1 - bottom / image.height);
    frame.setAttribute('aria-label', said.place(left, top, right - left, bottom - top));
    frame.dataset.whole = String(isWhole(edges));
  }
}

/** @param {number} value @param {number} least @param {number} most */
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
