// photo + heatmap → the check that was made of it

/** @typedef {import('../library/protocol.js').Heatmap} Heatmap */
/** @typedef {import('./photos.js').Photo} Photo */
/**
 * @typedef {object} Check
 * @property {Heatmap} heatmap
 * @property {number} orders random ones that it was compared with
 * @property {import('../library/protocol.js').Checked} checked
 * @property {import('../library/protocol.js').Stability} [stability] where it was tested; slow methods have none
 */

/** Random orders of the usual check, and of one that is sure to 5 percent. */
export const ORDERS = { quick: 5, thorough: 19 };

/** A photo that is classified again gets the same heatmap as a new object. @param {Heatmap} a @param {Heatmap} b */
function isSame(a, b) {
  const of = (/** @type {Heatmap} */ { classIndex, sign, method, layer, contrast, part, width, height }) =>
    JSON.stringify([classIndex, sign, method, layer, contrast, part, width, height]);
  return a === b || (of(a) === of(b) && a.values.every((value, at) => value === b.values[at]));
}

/** @param {Pick<Photo, 'checks'>} photo @param {Heatmap | undefined} heatmap */
export function checkOf({ checks }, heatmap) {
  return heatmap && checks.find((check) => isSame(check.heatmap, heatmap));
}

/** Keeps a check in place of an earlier one. @param {Photo} photo @param {Check} check */
export function keepCheck(photo, check) {
  photo.checks = [...photo.checks.filter(({ heatmap }) => !isSame(heatmap, check.heatmap)), check];
}

/** Whether there is something to check, and the library checks it. @param {Heatmap} heatmap */
export const isCheckable = ({ sign, max, values }) => sign !== 'against' && max > 0 && values.length > 1;
