// photos + results → a report: one HTML file that needs nothing else (docs/report.md)
import { atOnce } from '../library/ahead.js';
import { WhylensError } from '../library/errors.js';
import { checkOf } from './checked.js';
import { record } from './download.js';
import { legend } from './explain.js';
import { later } from './later.js';
import { wholeView } from './report/facts.js';
import { short } from './report/figures.js';
import { fill } from './report/fill.js';
import { photoView } from './report/view.js';
import { PageError, told } from './trouble.js';

/** @typedef {import('./photos.js').Photo} Photo */
/** @typedef {import('./report/view.js').Explained} Explained */
/** @typedef {import('./report/view.js').Shown} Shown */
/** @typedef {import('../library/protocol.js').ModelInfo} ModelInfo */
/** @typedef {import('../library/protocol.js').Result} Result */

/** Photos of one report. */
export const MOST = 1000;
/** Longest sides of pictures: of a photo alone, and of one among others. */
export const SIDES = { alone: 900, among: 480 };
const QUALITY = 0.85;

/**
 * What a report is made with.
 * @typedef {object} Making
 * @property {ModelInfo} model
 * @property {(heatmap: import('../library/protocol.js').Heatmap, options:
 *   import('../library/protocol.js').RenderOptions) => Promise<ImageData>} render
 * @property {{colormap: string, opacity: number}} style of heatmaps
 * @property {import('./words/en.js').Words} words
 */
/**
 * What a photo brings to it.
 * @typedef {object} Given
 * @property {Photo} photo
 * @property {Result | null} result
 * @property {ImageBitmap | null} view of what was classified
 * @property {Explained[]} explained
 * @property {unknown} error why there is no result
 */

const template = later(() => fetched('template.mustache').then((answer) => answer.text()));

/** @type {Record<string, () => Promise<import('./report/figures.js').Words>>} */
const wordsOf = Object.fromEntries(
  ['en', 'vi'].map((code) => [code, later(() => fetched(`${code}.json`).then((answer) => answer.json()))]),
);

/** @param {string} name */
async function fetched(name) {
  const answer = await fetch(new URL(`report/${name}`, import.meta.url));
  if (!answer.ok) throw new WhylensError('http-status', `${answer.url} answered ${answer.status}`);
  return answer;
}

/**
 * A report of the shown photo, with what is drawn over it.
 * @param {Making} making
 * @param {Photo} photo
 * @param {import('./explain.js').Explanation[]} explanations
 */
export async function reportOfShown(making, photo, explanations) {
  const { result } = photo;
  const explained = explanations.map(({ heatmap }) => withCheck(photo, heatmap));
  const shown = photo.view ?? photo.small;
  // The page lets go of its own when another photo is shown.
  const view = shown && (await createImageBitmap(shown));
  try {
    return await report(making, [{ photo, result, view, explained, error: null }], SIDES.alone);
  } finally {
    view?.close();
  }
}

/** @param {Photo} photo @param {import('../library/protocol.js').Heatmap} heatmap @returns {Explained} */
function withCheck(photo, heatmap) {
  const { checked, stability } = checkOf(photo, heatmap) ?? {};
  return { heatmap, check: checked, stability };
}

/**
 * A report of photos that were classified, or failed. Each is classified once more: of those of a batch, neither the
 * scores of all classes nor a picture of this size is kept.
 * @param {Making} making
 * @param {Photo[]} photos
 * @param {ReturnType<typeof import('./session.js').openSession>['lookApart']} look
 * @param {{signal: AbortSignal, onProgress: (done: number) => void}} waiting
 */
export async function reportOfMany(making, photos, look, waiting) {
  if (photos.length > MOST)
    throw new PageError('report-too-large', `${photos.length} photos, at most ${MOST} expected`);
  return report(making, looked(photos, look, waiting), SIDES.among);
}

/**
 * @param {Photo[]} photos
 * @param {Parameters<typeof reportOfMany>[2]} look
 * @param {Parameters<typeof reportOfMany>[3]} waiting
 * @returns {AsyncGenerator<Given>}
 */
async function* looked(photos, look, { signal, onProgress }) {
  const one = async (/** @type {Photo} */ photo) => {
    if (!photo.result) return { result: null, error: photo.error };
    try {
      return { result: await look(photo, { topK: 10, scores: true, view: SIDES.among }, signal), error: null };
    } catch (error) {
      const { code } = /** @type {{code?: string}} */ (error ?? {});
      if (signal.aborted || !code?.startsWith('image-')) throw error;
      return { result: null, error };
    }
  };
  /** @type {ReturnType<typeof one>[]} */
  const under = [];
  let next = 0;
  for (const [at, photo] of photos.entries()) {
    // Some are decoded while another is classified.
    for (; next < photos.length && next <= at + atOnce(); next += 1) {
      const begun = one(/** @type {Photo} */ (photos[next]));
      begun.catch(() => {});
      under.push(begun);
    }
    const found = await /** @type {ReturnType<typeof one>} */ (under.shift());
    signal.throwIfAborted();
    const { result, error } = found;
    const view = result?.view ?? null;
    const explained = result?.heatmap ? [withCheck(photo, result.heatmap)] : [];
    yield { photo, result, view, explained, error };
    view?.close();
    onProgress(at + 1);
  }
}

/**
 * @param {Making} making
 * @param {AsyncIterable<Given> | Given[]} photos
 * @param {number} side longest of a picture
 * @returns {Promise<Blob>}
 */
async function report({ model, render, style, words: said }, photos, side) {
  const [text, words] = await Promise.all([template(), (wordsOf[said.code] ?? wordsOf['en'])?.()]);
  if (!words) throw new Error(`there are no words in ${said.code}`);
  const [head = '', section = '', foot = ''] = text.split(/\{\{[#/]photos\}\}/);
  const given = model.activation === 'none' ? words.said.value : words.said.probability;
  /** @type {Shown[]} */
  const shown = [];
  // A blob may lie on the disk, a string may not.
  const sections = [];
  for await (const { photo, result, view, explained, error } of photos) {
    const drawn = result && view ? await draw(view, result, explained) : null;
    const data = json(result ? dataOf(photo, result, explained) : failure(photo, error));
    const message = result ? '' : told(error, said)[0];
    const each = { id: `photo-${shown.length + 1}`, name: photo.name, result, message, explained, drawn, data };
    const filled = fill(section, { words, said: words.said, given }, photoView(each, model, words));
    sections.push(new Blob([filled]));
    shown.push({ ...each, explained: [], drawn: null, data: '', result: result && summary(result) });
  }
  const created = new Date().toISOString().replace(/\.\d+/, '');
  const about = { version: model.library, created, site: said.site };
  const whole = wholeView({ ...about, data: json(common(about, model, said.code)) }, model, shown, words);
  return new Blob([fill(head, whole), ...sections, fill(foot, whole)], { type: 'text/html;charset=utf-8' });

  /** @param {ImageBitmap} view @param {Result} result @param {Explained[]} explained */
  async function draw(view, { image }, explained) {
    const scale = Math.min(1, side / Math.max(image.width, image.height));
    const [width = 1, height = 1] = [image.width, image.height].map((each) => Math.max(1, Math.round(each * scale)));
    const maps = [];
    for (const { heatmap } of explained) {
      if (!(heatmap.max > 0)) {
        maps.push({ src: '', legend: '' });
        continue;
      }
      const options = heatmap.sign === 'both' ? {} : { colormap: style.colormap };
      const over = await render(heatmap, { width, height, ...options, opacity: style.opacity });
      const ramp = await legend({ render }, heatmap, style.colormap);
      maps.push({
        src: await encoded(width, height, [view, over], 'image/jpeg'),
        legend: await encoded(ramp.width, 1, [ramp], 'image/png'),
      });
    }
    return { src: await encoded(width, height, [view], 'image/jpeg'), width, height, maps };
  }
}

/** What the table of all photos needs. @param {Result} result */
const summary = (result) => ({
  ...result,
  predictions: result.predictions.slice(0, 1),
  scores: undefined,
  heatmap: undefined,
});

/** As the tool has it. @param {Photo} photo @param {unknown} error */
function failure({ name }, error) {
  const { code = '', message = '' } = /** @type {{code?: string, message?: string}} */ (error ?? {});
  return { file: name, error: { code, message } };
}

/** @param {Photo} photo @param {Result} result @param {Explained[]} explained */
function dataOf(photo, result, explained) {
  const heatmaps = explained.map(({ heatmap }) => heatmap);
  return { ...record({ ...photo, result }, heatmaps), ...(result.scores && { scores: [...result.scores] }) };
}

/**
 * @param {{version: string, created: string, site: {title: string | null, disclaimer: string | null}}} about
 * @param {ModelInfo} model
 * @param {string} language
 */
function common({ version, created, site }, model, language) {
  const { name, license, source, threshold, bytes, sha256, precision, activation, labels, input } = model;
  return {
    format: 1,
    whylens: version,
    created,
    language,
    title: site.title,
    disclaimer: site.disclaimer ?? model.disclaimer,
    model: { name, version: model.version, license, source, threshold, bytes, sha256, precision, activation, labels },
    input,
  };
}

/** For a script element: nothing in it ends one. @param {unknown} value */
const json = (value) =>
  JSON.stringify(value, (_, each) =>
    typeof each === 'number' ? short(each) : ArrayBuffer.isView(each) ? [.../** @type {any} */ (each)] : each,
  ).replaceAll('<', '\\u003c');

/** @param {number} width @param {number} height @param {(ImageBitmap | ImageData)[]} layers @param {string} type */
async function encoded(width, height, layers, type) {
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width, height });
  const pen = canvas.getContext('2d');
  if (!pen) throw new Error('this browser gives no canvas');
  pen.imageSmoothingQuality = 'high';
  // What is clear in a ramp of colours.
  pen.fillStyle = '#8a8a8a';
  pen.fillRect(0, 0, width, height);
  for (const layer of layers) {
    const bitmap = layer instanceof ImageData ? await createImageBitmap(layer) : layer;
    pen.drawImage(bitmap, 0, 0, width, height);
    if (bitmap !== layer) bitmap.close();
  }
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, QUALITY));
  if (!blob) throw new Error('the picture cannot be encoded');
  return dataUrl(blob);
}

/** @param {Blob} blob @returns {Promise<string>} */
function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
