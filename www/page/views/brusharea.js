// photo → the place where it is brushed by mouse, finger and pen, and a window that keys move
import { element } from './element.js';

/** @typedef {import('../brush.js').Stroke} Stroke */
/** @typedef {import('../../library/protocol.js').Size} Size */
/** @typedef {import('../../library/protocol.js').Region} Region */

/** Part of the window's side that an arrow key moves it by, with Shift the second. */
const STEPS = [1 / 4, 1 / 16];

/** Part of the brush's radius between two points of a stroke. */
const APART = 1 / 8;

/**
 * @param {object} options
 * @param {import('../words/parts/trial.js').TrialWords} options.words
 * @param {import('../numbers.js').Numbers} options.numbers
 * @param {Size} options.size of the picture that is brushed
 * @param {HTMLCanvasElement} options.ink
 * @param {(stroke: Stroke | null) => void} options.onDraw is being drawn; null: it was given up
 * @param {(stroke: Stroke) => void} options.onStroke
 * @param {(by: -1 | 1) => void} options.onSize a size larger or smaller
 * @param {(event: KeyboardEvent) => void} options.onKey
 */
export function brushArea({ words, numbers, size, ink, onDraw, onStroke, onSize, onKey }) {
  const { width, height } = size;
  const shorter = Math.min(width, height);
  ink.className = 'trial-ink';
  ink.setAttribute('aria-hidden', 'true');
  const tip = element('div', { className: 'trial-tip', hidden: true });
  const frame = element('div', {
    className: 'trial-window',
    role: 'application',
    tabIndex: 0,
    'aria-describedby': 'trial-hint',
  });
  const root = element('div', { className: 'trial-area' }, ink, tip, frame);
  /** The middle of the window. */
  let middle = { x: width / 2, y: height / 2 };
  /** Diameter of the brush in pixels of the picture. */
  let side = 1;
  /** @type {{pointer: number, points: number[]} | null} */
  let drag = null;

  root.addEventListener('pointerdown', (event) => {
    if (drag || event.button || !event.isPrimary) return;
    event.preventDefault();
    frame.dataset.keys = 'false';
    frame.focus({ preventScroll: true });
    root.setPointerCapture(event.pointerId);
    const { x, y } = point(event);
    middle = inside(point(event));
    drag = { pointer: event.pointerId, points: [x, y] };
    follow(event);
    onDraw({ radius: side / 2, points: drag.points });
  });
  root.addEventListener('pointermove', (event) => {
    follow(event);
    if (drag?.pointer !== event.pointerId) return;
    const between = event.getCoalescedEvents?.() ?? [];
    const added = (between.length ? between : [event]).filter((each) => add(point(each))).length;
    if (added) onDraw({ radius: side / 2, points: drag.points });
  });
  root.addEventListener('pointerup', (event) => {
    if (drag?.pointer !== event.pointerId) return;
    const { points } = drag;
    middle = inside(point(event));
    drag = null;
    place();
    onStroke({ radius: side / 2, points });
    if (event.pointerType !== 'mouse') tip.hidden = true;
  });
  for (const type of /** @type {const} */ (['pointercancel', 'lostpointercapture']))
    root.addEventListener(type, (event) => {
      if (drag?.pointer !== event.pointerId) return;
      drag = null;
      tip.hidden = true;
      onDraw(null);
    });
  root.addEventListener('pointerleave', () => {
    if (!drag) tip.hidden = true;
  });
  frame.addEventListener('keydown', (event) => {
    onKey(event);
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const { key, shiftKey } = event;
    const [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key] ?? [];
    if (across !== undefined && down !== undefined) {
      const step = Math.max(1, side * (STEPS[shiftKey ? 1 : 0] ?? 0));
      middle = inside({ x: middle.x + across * step, y: middle.y + down * step });
    } else if (key === '+' || key === '=') onSize(1);
    else if (key === '-' || key === '_') onSize(-1);
    else if (key === 'Enter' || key === ' ') onStroke({ boxes: [box()] });
    else return;
    event.preventDefault();
    frame.dataset.keys = 'true';
    place();
  });

  return {
    root,
    focus: () => frame.focus({ preventScroll: true }),
    /** @param {{size: number, place: Region, image: Size}} data `place`: of the picture on the photo */
    update({ size: share, place: of, image }) {
      side = share * shorter;
      Object.assign(root.style, {
        left: percent(of.x / image.width),
        top: percent(of.y / image.height),
        width: percent(of.width / image.width),
        height: percent(of.height / image.height),
      });
      place();
      Object.assign(tip.style, { width: percent(side / width), height: percent(side / height) });
    },
  };

  /** Where a pointer is, in pixels of the picture. @param {PointerEvent} event */
  function point({ clientX, clientY }) {
    const seen = root.getBoundingClientRect();
    return {
      x: ((clientX - seen.left) / seen.width) * width,
      y: ((clientY - seen.top) / seen.height) * height,
    };
  }

  /** Adds a point that is far enough from the last one. @param {{x: number, y: number}} to */
  function add({ x, y }) {
    const points = drag?.points ?? [];
    const [lastX = 0, lastY = 0] = points.slice(-2);
    if (Math.hypot(x - lastX, y - lastY) < Math.max(1, (side / 2) * APART)) return false;
    points.push(x, y);
    return true;
  }

  /** @param {{x: number, y: number}} at */
  function inside({ x, y }) {
    return { x: Math.min(Math.max(x, 0), width), y: Math.min(Math.max(y, 0), height) };
  }

  /** What the window covers, in whole pixels of the picture. @returns {[number, number, number, number]} */
  function box() {
    const [left, right] = [middle.x - side / 2, middle.x + side / 2].map((edge) =>
      Math.min(Math.max(Math.round(edge), 0), width),
    );
    const [top, bottom] = [middle.y - side / 2, middle.y + side / 2].map((edge) =>
      Math.min(Math.max(Math.round(edge), 0), height),
    );
    return [left ?? 0, top ?? 0, (right ?? 0) - (left ?? 0), (bottom ?? 0) - (top ?? 0)];
  }

  /** Shows the size of the brush where the pointer is. @param {PointerEvent} event */
  function follow(event) {
    const { x, y } = point(event);
    tip.hidden = false;
    Object.assign(tip.style, { left: percent(x / width), top: percent(y / height) });
  }

  function place() {
    const [x, y, across, down] = box();
    Object.assign(frame.style, {
      left: percent(x / width),
      top: percent(y / height),
      width: percent(across / width),
      height: percent(down / height),
    });
    const said = [side / shorter, middle.x / width, middle.y / height].map((share) => numbers.percent(share));
    frame.setAttribute('aria-label', words.place(said[0] ?? '', said[1] ?? '', said[2] ?? ''));
  }
}

/** @param {number} share */
const percent = (share) => `${share * 100}%`;
