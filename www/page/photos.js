// files → photos waiting for their results, the chosen one first

/** @typedef {import('../library/protocol.js').Result} Result */
/**
 * @typedef {object} Photo
 * @property {number} id
 * @property {string} name
 * @property {Blob | null} file
 * @property {string | null} url of the file, where the browser may show it
 * @property {ImageBitmap | null} view what was classified; of the shown photo only
 * @property {ImageBitmap | null} small the same in the size of a tile
 * @property {import('../library/protocol.js').Region | null} region that the reader chose to have classified; none: all
 * @property {import('./camera.js').Camera | null} camera gives its newest frame instead of a file
 * @property {'waiting' | 'working' | 'done' | 'failed' | 'cancelled'} status
 * @property {Result | null} result
 * @property {Promise<Result> | null} again the result, while the photo is classified once more
 * @property {unknown} error
 * @property {import('./checked.js').Check[]} checks of its heatmaps
 * @property {AbortController} abort
 */

let last = 0;

/** @param {File} file @returns {Photo} */
export function photo(file) {
  // A drawing may keep the browser busy for ever: it is shown once it has been looked at.
  const url = /^image\/svg/i.test(file.type) ? null : URL.createObjectURL(file);
  return { ...blank(file.name), file, url };
}

/**
 * The newest frame of a camera, whenever it is looked at.
 * @param {import('./camera.js').Camera} camera
 * @param {string} name
 * @returns {Photo}
 */
export function live(camera, name) {
  return { ...blank(name), camera };
}

/** @param {string} name @returns {Photo} */
function blank(name) {
  return {
    id: ++last,
    name,
    file: null,
    url: null,
    view: null,
    small: null,
    region: null,
    camera: null,
    status: 'waiting',
    result: null,
    again: null,
    error: null,
    checks: [],
    abort: new AbortController(),
  };
}

/** Stops its work and lets its memory go. @param {Photo} photo */
export function forget(photo) {
  photo.abort.abort();
  photo.camera?.stop();
  if (photo.url) URL.revokeObjectURL(photo.url);
  putAway(photo);
  photo.small?.close();
  photo.small = null;
}

/** Longest side of a picture of a photo that is shown, and of one in the size of a tile. */
export const SIDES = { shown: 2048, tile: 216 };

/**
 * Keeps what was classified.
 * @param {Photo} photo
 * @param {ImageBitmap} view
 * @param {number} side its longest, as asked for
 */
export async function develop(photo, view, side) {
  if (side === SIDES.tile) {
    photo.small?.close();
    photo.small = view;
    return;
  }
  const scale = Math.min(1, SIDES.tile / Math.max(view.width, view.height));
  const [resizeWidth, resizeHeight] = [view.width, view.height].map((side) => Math.max(1, Math.round(side * scale)));
  photo.small ??= await createImageBitmap(view, { resizeWidth, resizeHeight, resizeQuality: 'medium' });
  putAway(photo);
  photo.view = view;
}

/** Lets go of the large picture of a photo that is shown no more. @param {Photo} photo */
export function putAway(photo) {
  photo.view?.close();
  photo.view = null;
}
