// photo + heatmaps → the picture, with the frame of what the model sees
import { element } from './element.js';

/** @typedef {import('../../library/protocol.js').Heatmap} Heatmap */
/** @typedef {ReturnType<typeof import('./part.js').partFrame>} PartFrame */
/**
 * @typedef {object} Pane
 * @property {string} label
 * @property {boolean} plain whether the label is only that of a class
 * @property {string | null} zero what is said where there is no evidence
 * @property {ImageData | null} overlay
 */
/**
 * @typedef {object} StageData
 * @property {number} photo its id
 * @property {string | null} url of the photo
 * @property {ImageBitmap | null} view what was classified, shown once it is there: browsers show some files
 *   differently
 * @property {HTMLVideoElement | null} video shown instead while the camera classifies live
 * @property {boolean} mirrored whether the video is shown, as it is classified, mirrored
 * @property {string} name
 * @property {{width: number, height: number} | null} image
 * @property {Heatmap['region'] | null} region
 * @property {Heatmap['region'] | null} part the reader's choice of what is classified; none: all of the photo
 * @property {boolean | null} choosing whether that choice is being made; null where there is none
 * @property {boolean | null} trying whether the reader brushes the photo; null where they cannot
 * @property {HTMLElement | null} over what lies over the photo then
 * @property {HTMLElement | null} under and what is shown below it
 * @property {Pane[]} panes none: the photo alone
 * @property {number} opacity
 * @property {boolean} bare hides everything but the photo
 * @property {string | null} busy
 * @property {{loaded: number, total: number} | null} steps of a slow explanation, which can be stopped
 */

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {() => void} options.onCancel of a slow explanation
 * @param {(choosing: boolean) => void} options.onChoosing
 * @param {() => void} options.onAll all of the photo is to be classified
 * @param {(trying: boolean) => void} options.onTrying
 */
export function stageView({ words, onCancel, onChoosing, onAll, onTrying }) {
  const panes = element('div', { className: 'panes' });
  const said = element('span');
  const bar = element('progress', { className: 'bar-line', 'aria-label': words.opacity });
  const cancel = element('button', { type: 'button', className: 'link', onclick: onCancel }, words.cancel);
  const busy = element('div', { className: 'busy' }, said, cancel, bar);
  const choose = element(
    'button',
    {
      type: 'button',
      className: 'link',
      onclick: () => onChoosing(choose.getAttribute('aria-expanded') !== 'true'),
    },
    words.part.choose,
  );
  const all = element('button', { type: 'button', className: 'link', onclick: onAll }, words.part.all);
  const attempt = element(
    'button',
    {
      type: 'button',
      className: 'link',
      onclick: () => onTrying(attempt.getAttribute('aria-expanded') !== 'true'),
    },
    words.tryIt,
  );
  const hint = element('span', { id: 'part-hint', className: 'soft' }, words.part.hint);
  const tools = element('div', { className: 'part-tools' }, choose, all, attempt, hint);
  const root = element('div', { className: 'stage-view' }, panes, busy, tools);
  /** @type {ReturnType<typeof pane>[]} */
  const shown = [];
  /** @type {HTMLElement | null} */
  let over = null;
  return {
    root,
    /** @param {StageData} data @param {PartFrame | null} frame of the part, once it is there */
    update(data, frame) {
      const wanted = Math.max(1, data.panes.length);
      // The first stays in the document: what lies over it may have the focus.
      for (const gone of shown.splice(wanted)) gone.root.remove();
      while (shown.length < wanted) {
        const added = pane(words);
        shown.push(added);
        panes.append(added.root);
      }
      shown.forEach((each, at) => each.update(data, data.panes[at]));
      if (frame) shown[0]?.hold(frame.root);
      frame?.update({ photo: data.photo, image: data.image, part: data.part, choosing: data.choosing ?? false });
      if (over !== data.over) over?.remove();
      over = data.over;
      if (over) shown[0]?.hold(over);
      if (tools.nextElementSibling !== data.under) {
        tools.nextElementSibling?.remove();
        if (data.under) root.append(data.under);
      }
      root.dataset.trying = String(data.under !== null);
      tools.hidden = data.choosing === null;
      attempt.hidden = data.trying === null;
      attempt.setAttribute('aria-expanded', String(data.trying));
      attempt.textContent = data.trying ? words.tried : words.tryIt;
      choose.setAttribute('aria-expanded', String(data.choosing));
      choose.textContent = data.choosing ? words.part.done : words.part.choose;
      all.hidden = !data.part;
      hint.hidden = !data.choosing;
      root.dataset.bare = String(data.bare);
      panes.dataset.count = String(wanted);
      const { busy: doing, steps } = data;
      busy.hidden = !doing;
      said.textContent = doing;
      bar.hidden = cancel.hidden = !steps?.total;
      if (steps?.total) Object.assign(bar, { max: steps.total, value: steps.loaded });
    },
  };
}

/** @param {import('../words/en.js').Words} words */
function pane(words) {
  const img = element('img', { alt: '', draggable: false });
  const seen = element('canvas', { className: 'seen', role: 'img' });
  const canvas = element('canvas', { className: 'overlay', role: 'img', hidden: true });
  const frame = element('div', { className: 'frame', title: words.modelSees });
  const caption = element('p', { className: 'caption' });
  const unshown = element('p', { className: 'unshown', hidden: true }, words.cannotShow);
  const box = element('div', { className: 'photo' }, img, canvas, frame, caption);
  const root = element('div', { className: 'pane' }, box, unshown);
  /** @type {ImageData | null} */
  let drawn = null;
  /** @type {ImageBitmap | null} */
  let developed = null;
  let broken = false,
    waiting = false;
  const tell = () => {
    box.hidden = broken && box.contains(img);
    unshown.hidden = !box.hidden || waiting;
  };
  img.addEventListener('load', () => {
    broken = false;
    tell();
    if (box.contains(img)) shape(img.naturalWidth, img.naturalHeight);
  });
  img.addEventListener('error', () => {
    broken = true;
    tell();
  });

  /** @param {number} width @param {number} height */
  const shape = (width, height) => {
    if (width && height) box.style.setProperty('--ratio', String(width / height));
  };

  return {
    root,
    /** What lies over this pane alone. @param {HTMLElement} over */
    hold(over) {
      if (over.parentElement !== box) box.insertBefore(over, caption);
    },
    /** @param {StageData} data @param {Pane | undefined} shown */
    update(data, shown) {
      const medium = data.video ?? (data.view ? seen : img);
      if (box.firstElementChild !== medium) box.firstElementChild?.replaceWith(medium);
      if (!data.url) img.removeAttribute('src');
      else if (medium === img && img.src !== data.url) img.src = data.url;
      if (data.view) develop(data.view);
      img.alt = data.name;
      seen.setAttribute('aria-label', data.name);
      waiting = data.busy !== null;
      tell();
      data.video?.classList.toggle('mirrored', data.mirrored);
      if (data.video) shape(data.video.videoWidth, data.video.videoHeight);
      else if (data.image) shape(data.image.width, data.image.height);
      draw(shown?.overlay ?? null);
      canvas.setAttribute('aria-label', shown ? words.heatmapOf(shown.label) : '');
      canvas.style.opacity = String(shown ? data.opacity : 0);
      outline(data.region, data.image);
      caption.textContent = shown ? (shown.zero ?? shown.label) : '';
      caption.hidden = !shown || (data.panes.length < 2 && shown.plain && !shown.zero);
    },
  };

  /** @param {ImageBitmap} view */
  function develop(view) {
    if (view === developed) return;
    developed = view;
    Object.assign(seen, { width: view.width, height: view.height });
    seen.getContext('2d')?.drawImage(view, 0, 0);
  }

  /** @param {ImageData | null} overlay */
  function draw(overlay) {
    if (overlay === drawn) return;
    drawn = overlay;
    canvas.hidden = !overlay;
    if (!overlay) return;
    if (canvas.width !== overlay.width || canvas.height !== overlay.height)
      Object.assign(canvas, { width: overlay.width, height: overlay.height });
    canvas.getContext('2d')?.putImageData(overlay, 0, 0);
  }

  /** @param {StageData['region']} region @param {StageData['image']} image */
  function outline(region, image) {
    frame.hidden = !region || !image;
    if (!region || !image) return;
    const percent = (/** @type {number} */ part) => `${Math.min(100, Math.max(0, part * 100))}%`;
    frame.style.left = percent(region.x / image.width);
    frame.style.top = percent(region.y / image.height);
    frame.style.right = percent(1 - (region.x + region.width) / image.width);
    frame.style.bottom = percent(1 - (region.y + region.height) / image.height);
  }
}
