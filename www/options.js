// what callers ask for → what the worker is told, checked at the door

import { badOption } from './errors.js';
import { checkSwitches } from './policy.js';

/** @typedef {import('./protocol.js').ClassifyOptions} ClassifyOptions */
/** @typedef {import('./protocol.js').HeatmapOptions} HeatmapOptions */
/** @typedef {import('./protocol.js').LoadOptions} LoadOptions */

/** Most pixels of a photo, and bytes of its file, when nobody says otherwise; the same as `Limits` in `src/decode/`. */
const MOST_PIXELS = 64e6, MOST_BYTES = 256e6;

/**
 * @param {LoadOptions} options
 */
export function checkOptions(options) {
  checkSwitches(options);
  const { onProgress, signal, cache } = options;
  if (onProgress !== undefined && typeof onProgress !== 'function') throw badOption('onProgress is no function');
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw badOption('signal is no AbortSignal');
  if (cache !== undefined && typeof cache !== 'boolean') throw badOption('cache is neither true nor false');
  checkLimits(options);
  for (const name of /** @type {const} */ (['retries', 'retryDelay', 'stallTimeout'])) {
    const value = options[name];
    if (value !== undefined && !(Number.isFinite(value) && value >= 0)) {
      throw badOption(`${name} is ${value}, expected a number from 0`);
    }
  }
}

/**
 * @param {{ maxPixels?: number, maxBytes?: number }} options
 */
function checkLimits({ maxPixels, maxBytes }) {
  for (const [name, value] of Object.entries({ maxPixels, maxBytes })) {
    if (value !== undefined && !(typeof value === 'number' && value > 0)) throw badOption(`${name} is ${value}, expected a number above 0`);
  }
}

/**
 * @param {HeatmapOptions} options
 * @returns {import('./protocol.js').WireHeatmapOptions}
 */
export function heatmapOptions({ classIndex, label, method, layer = [] }) {
  if (classIndex !== undefined && !(Number.isInteger(classIndex) && classIndex >= 0)) {
    throw badOption(`classIndex is ${classIndex}, expected a whole number from 0`);
  }
  for (const [name, value] of Object.entries({ label, method })) {
    if (value !== undefined && typeof value !== 'string') throw badOption(`${name} is ${value}, expected text`);
  }
  const layers = [layer].flat();
  for (const name of layers) if (typeof name !== 'string') throw badOption(`layer is ${name}, expected the name of a tensor, or several`);
  return { classIndex, label, method, layers };
}

/**
 * @param {ClassifyOptions} options
 * @param {LoadOptions} loaded
 * @returns {import('./protocol.js').WireClassifyOptions}
 */
export function classifyOptions(options, loaded) {
  checkLimits(options);
  const { topK = 5, threshold = 0, heatmap = true, scores = false, view = null } = options;
  const { maxPixels = loaded.maxPixels ?? MOST_PIXELS, maxBytes = loaded.maxBytes ?? MOST_BYTES } = options;
  if (!(Number.isInteger(topK) && topK > 0)) throw badOption(`topK is ${topK}, expected a whole number from 1`);
  if (!(threshold >= 0 && threshold <= 1)) throw badOption(`threshold is ${threshold}, expected 0 to 1`);
  if (view !== null && !(view >= 1)) throw badOption(`view is ${view}, expected pixels from 1`);
  return {
    topK: Math.min(topK, 2 ** 31),
    threshold,
    heatmap: heatmap === false ? null : heatmapOptions(heatmap === true ? {} : heatmap),
    scores: Boolean(scores),
    maxPixels,
    maxBytes,
    view,
  };
}
