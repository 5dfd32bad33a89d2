// what callers ask for → what the worker is told, checked at the door

import { WhylensError, badOption, isA, shown } from './errors.js';
import { checkSwitches } from './policy.js';

/** @typedef {import('./protocol.js').CheckOptions} CheckOptions */
/** @typedef {import('./protocol.js').ClassifyOptions} ClassifyOptions */
/** @typedef {import('./protocol.js').FeaturesOptions} FeaturesOptions */
/** @typedef {import('./protocol.js').Heatmap} Heatmap */
/** @typedef {import('./protocol.js').HeatmapOptions} HeatmapOptions */
/** @typedef {import('./protocol.js').LoadOptions} LoadOptions */
/** @typedef {import('./protocol.js').RenderOptions} RenderOptions */

/** Most pixels of a photo, and bytes of its file, when nobody says otherwise; the same as `Limits` in `src/decode/`. */
const MOST_PIXELS = 64e6,
  MOST_BYTES = 256e6;

/** Whole numbers that the module takes. */
const MOST = 2 ** 31 - 1;

/** ms that a timer can wait; with more it does not wait at all. The delay is doubled at most ten times. */
const LONGEST_WAIT = 2 ** 31 - 1,
  LONGEST_DELAY = 2 ** 20;

const LOAD = /** @type {const} */ ([
  'preload',
  'heatmap',
  'memoryLimit',
  'build',
  'threads',
  'language',
  'maxPixels',
  'maxBytes',
  'onProgress',
  'signal',
  'cache',
  'persist',
  'retries',
  'retryDelay',
  'stallTimeout',
  'keepBytes',
]);
const CLASSIFY = /** @type {const} */ ([
  'topK',
  'threshold',
  'region',
  'heatmap',
  'scores',
  'view',
  'transfer',
  'maxPixels',
  'maxBytes',
  'partial',
  'onProgress',
  'signal',
]);
const HEATMAP = /** @type {const} */ ([
  'classIndex',
  'label',
  'sign',
  'contrast',
  'method',
  'layer',
  'grid',
  'masks',
  'steps',
  'seed',
  'fill',
  'smooth',
  'onProgress',
  'signal',
]);
/** @type {unknown[]} */
const SIGNS = ['for', 'against', 'both'];
const CHECK = /** @type {const} */ (['steps', 'orders', 'fill', 'seed', 'onProgress', 'signal']);
/** @type {unknown[]} */
const FILLS = ['blur', 'mean', 'linear'];
const FEATURES = /** @type {const} */ ([
  'layer',
  'pooled',
  'region',
  'transfer',
  'maxPixels',
  'maxBytes',
  'partial',
  'signal',
]);
const RENDER = /** @type {const} */ (['width', 'height', 'colormap', 'opacity', 'signal']);

/**
 * What a caller gave, each option read once: reading may throw, or give another value the next time.
 * @template {object} Options
 * @template {keyof Options & string} Name
 * @param {Options | undefined} options
 * @param {readonly Name[]} names
 * @param {string} [within] what they are part of, as errors name it
 * @returns {Pick<Options, Name>}
 */
export function read(options, names, within = '') {
  if (options !== undefined && (typeof options !== 'object' || options === null))
    throw badOption(`the options are ${shown(options)}, expected an object`);
  /** @type {Partial<Options>} */
  const found = {};
  for (const name of names) {
    try {
      const value = options?.[name];
      if (value !== undefined) found[name] = value;
    } catch (error) {
      throw new WhylensError('bad-option', `${within}${name} cannot be read`, error);
    }
  }
  return /** @type {Pick<Options, Name>} */ (found);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {(value: any) => boolean} is what it should be; absent it may be always
 * @param {string} expected
 */
function check(name, value, is, expected) {
  if (value !== undefined && !is(value)) throw badOption(`${name} is ${shown(value)}, expected ${expected}`);
}

const isBoolean = (/** @type {unknown} */ value) => typeof value === 'boolean';
const isText = (/** @type {unknown} */ value) => typeof value === 'string';
const isWhole =
  (/** @type {number} */ least, most = Infinity) =>
  (/** @type {unknown} */ value) =>
    Number.isInteger(value) && Number(value) >= least && Number(value) <= most;
const isFrom = (/** @type {number} */ least, /** @type {number} */ most) => (/** @type {unknown} */ value) =>
  typeof value === 'number' && value >= least && value <= most;
const isAbove = (/** @type {number} */ least) => (/** @type {unknown} */ value) =>
  typeof value === 'number' && value > least;
const isTexts = (/** @type {unknown} */ value) => isText(value) || (Array.isArray(value) && value.every(isText));

/**
 * @param {{ signal?: AbortSignal, onProgress?: unknown }} waiting
 */
export function checkWaiting({ signal, onProgress }) {
  check('onProgress', onProgress, (value) => typeof value === 'function', 'a function');
  check('signal', signal, (value) => isA(value, AbortSignal), 'an AbortSignal');
}

/**
 * @param {LoadOptions | undefined} given
 * @returns {LoadOptions}
 */
export function loadOptions(given) {
  const options = read(given, LOAD);
  checkSwitches(options);
  checkWaiting(options);
  checkLimits(options);
  check('cache', options.cache, isBoolean, 'true or false');
  check('persist', options.persist, isBoolean, 'true or false');
  check('language', options.language, isTexts, 'the name of a language, or several');
  check('retries', options.retries, (value) => isWhole(0)(value) && value <= MOST, `a whole number from 0 to ${MOST}`);
  check('retryDelay', options.retryDelay, isFrom(0, LONGEST_DELAY), `milliseconds from 0 to ${LONGEST_DELAY}`);
  check('stallTimeout', options.stallTimeout, isFrom(0, LONGEST_WAIT), `milliseconds from 0 to ${LONGEST_WAIT}`);
  check('keepBytes', options.keepBytes, isFrom(0, Infinity), 'bytes from 0');
  return options;
}

/**
 * @param {{ maxPixels?: number, maxBytes?: number }} options
 */
function checkLimits({ maxPixels, maxBytes }) {
  check('maxPixels', maxPixels, isAbove(0), 'a number above 0');
  check('maxBytes', maxBytes, isAbove(0), 'a number above 0');
}

/**
 * @param {HeatmapOptions | undefined} given
 * @returns {{ query: import('./protocol.js').WireHeatmapOptions } & Pick<HeatmapOptions, 'signal' | 'onProgress'>}
 */
export function heatmapOptions(given) {
  const {
    classIndex,
    label,
    sign = 'for',
    contrast,
    method,
    layer = [],
    signal,
    onProgress,
    ...effort
  } = read(given, HEATMAP);
  check('classIndex', classIndex, (value) => isWhole(0)(value) && value <= MOST, 'a whole number from 0');
  check('label', label, isText, 'text');
  check('sign', sign, (value) => SIGNS.includes(value), '`for`, `against` or `both`');
  check('method', method, isText, 'text');
  check('layer', layer, isTexts, 'the name of a tensor, or several');
  check('grid', effort.grid, isWhole(2, 32), 'a whole number from 2 to 32');
  check('masks', effort.masks, isWhole(1, 10_000), 'a whole number from 1 to 10000');
  check('steps', effort.steps, isWhole(1, 1000), 'a whole number from 1 to 1000');
  check('seed', effort.seed, isWhole(0, MOST), `a whole number from 0 to ${MOST}`);
  check('fill', effort.fill, (value) => value !== 'linear' && FILLS.includes(value), '`blur` or `mean`');
  check('smooth', effort.smooth, isBoolean, 'true or false');
  checkWaiting({ signal, onProgress });
  const query = { classIndex, label, sign, contrast: contrastOf(contrast), method, layers: [layer].flat(), ...effort };
  return { query, signal, onProgress };
}

/**
 * @param {FeaturesOptions | undefined} given
 */
export function featuresOptions(given) {
  const { layer, pooled = true, signal, ...photo } = read(given, FEATURES);
  check('layer', layer, isText, 'the name of a tensor');
  check('pooled', pooled, isBoolean, 'true or false');
  checkWaiting({ signal });
  return { layer, pooled, signal, photo };
}

/**
 * @param {CheckOptions | undefined} given
 */
export function checkOptions(given) {
  const { steps = 20, orders = 5, fill = 'blur', seed = 1, signal, onProgress } = read(given, CHECK);
  check('steps', steps, (value) => isWhole(1)(value) && value <= 1000, 'a whole number from 1 to 1000');
  check('orders', orders, (value) => isWhole(2)(value) && value <= 1000, 'a whole number from 2 to 1000');
  check('fill', fill, (value) => FILLS.includes(value), '`blur`, `mean` or `linear`');
  check('seed', seed, (value) => isWhole(0)(value) && value <= MOST, `a whole number from 0 to ${MOST}`);
  checkWaiting({ signal, onProgress });
  return { query: { steps, orders, fill, seed }, signal, onProgress };
}

/**
 * @param {import('./protocol.js').StabilityOptions | undefined} given
 */
export function stabilityOptions(given) {
  const waiting = read(given, ['signal', 'onProgress']);
  checkWaiting(waiting);
  return waiting;
}

/**
 * @param {HeatmapOptions['contrast']} contrast
 */
function contrastOf(contrast) {
  if (contrast === undefined || contrast === 'alike') return contrast && {};
  const { classIndex, label } = read(contrast, ['classIndex', 'label']);
  check('contrast.classIndex', classIndex, (value) => isWhole(0)(value) && value <= MOST, 'a whole number from 0');
  check('contrast.label', label, isText, 'text');
  if (classIndex === undefined && label === undefined)
    throw badOption('contrast names no class, expected `classIndex` or `label`, or `alike` in its place');
  return { classIndex, label };
}

/**
 * @param {ClassifyOptions | undefined} given
 * @param {LoadOptions} loaded
 * @returns {{ query: import('./protocol.js').WireClassifyOptions, named: boolean, transfer: boolean } &
 *   Pick<ClassifyOptions, 'signal' | 'onProgress'>} `named`: the caller said whether a heatmap is wanted
 */
export function classifyOptions(given, loaded) {
  const {
    topK = 5,
    threshold = 0,
    region,
    heatmap,
    scores = false,
    partial = false,
    view,
    transfer = false,
    signal,
    onProgress,
    ...limits
  } = read(given, CLASSIFY);
  checkLimits(limits);
  checkWaiting({ signal, onProgress });
  check('topK', topK, isWhole(1), 'a whole number from 1');
  check('threshold', threshold, isFrom(0, 1), '0 to 1');
  const part = region === undefined ? null : regionOf(region);
  check('view', view, isFrom(1, Infinity), 'pixels from 1');
  check('scores', scores, isBoolean, 'true or false');
  check('partial', partial, isBoolean, 'true or false');
  check('transfer', transfer, isBoolean, 'true or false');
  check(
    'heatmap',
    heatmap,
    (value) => isBoolean(value) || (typeof value === 'object' && value !== null),
    'true, false or options',
  );
  return {
    query: {
      topK: Math.min(topK, MOST),
      threshold,
      region: part,
      heatmap: heatmap === false ? null : heatmapOptions(heatmap === true ? undefined : heatmap).query,
      scores,
      maxPixels: limits.maxPixels ?? loaded.maxPixels ?? MOST_PIXELS,
      maxBytes: limits.maxBytes ?? loaded.maxBytes ?? MOST_BYTES,
      partial,
      view: view ?? null,
    },
    named: heatmap !== undefined,
    transfer,
    signal,
    onProgress,
  };
}

/**
 * Whether it lies within the photo is known once that is decoded.
 * @param {import('./protocol.js').Region} given
 */
function regionOf(given) {
  const what = 'expected x, y, width and height in pixels of the upright photo, x and y from 0';
  if (typeof given !== 'object' || given === null) throw badOption(`region is ${shown(given)}, ${what}`);
  const { x, y, width, height } = read(given, ['x', 'y', 'width', 'height'], 'region.');
  for (const [name, value, is] of /** @type {const} */ ([
    ['x', x, isFrom(0, MOST)],
    ['y', y, isFrom(0, MOST)],
    ['width', width, isAbove(0)],
    ['height', height, isAbove(0)],
  ]))
    if (!is(value) || value > MOST) throw badOption(`region.${name} is ${shown(value)}, ${what}`);
  return { x, y, width, height };
}

/**
 * @param {RenderOptions | undefined} given
 * @returns {RenderOptions & { opacity: number }}
 */
export function renderOptions(given) {
  const { width, height, colormap, opacity = 0.6, signal } = read(given, RENDER);
  check('width', width, isWhole(1), 'a whole number from 1');
  check('height', height, isWhole(1), 'a whole number from 1');
  check('colormap', colormap, isText, 'its name');
  check('opacity', opacity, isFrom(0, 1), '0 to 1');
  checkWaiting({ signal });
  return { width, height, colormap, opacity, signal };
}

/**
 * The width and height of a picture to draw.
 * @param {number} width
 * @param {number} height
 */
export function checkDrawn(width, height) {
  if (width * height > MOST_PIXELS)
    throw badOption(`width and height are ${width} × ${height}, at most ${MOST_PIXELS / 1e6} megapixels are drawn`);
}

/**
 * @param {unknown} given
 * @param {string} what
 */
function sizeOf(given, what) {
  const { width, height } = read(/** @type {import('./protocol.js').Size} */ (given), ['width', 'height']);
  if (!isWhole(1)(width) || width > MOST || !isWhole(1)(height) || height > MOST)
    throw badOption(`${what} is ${shown(width)} × ${shown(height)}, expected width and height in pixels`);
  return { width, height };
}

/**
 * @param {import('./protocol.js').Region} given
 * @param {string} what
 */
function placeOf(given, what) {
  const { x, y, width, height } = read(given, ['x', 'y', 'width', 'height'], 'region.');
  if (![x, y, width, height].every(Number.isFinite))
    throw badOption(`${what} of the heatmap is ${shown(given)}, expected x, y, width and height`);
  return { x, y, width, height };
}

/**
 * @param {unknown} given
 * @returns {import('./protocol.js').WireMap}
 */
export function heatmapOf(given) {
  if (typeof given !== 'object' || given === null)
    throw badOption(`the heatmap is ${shown(given)}, expected one of \`classify()\` or \`heatmap()\``);
  const {
    classIndex = 0,
    values,
    max,
    sign = 'for',
    region,
    part,
    image,
    ...size
  } = read(/** @type {Heatmap} */ (given), [
    'classIndex',
    'values',
    'max',
    'sign',
    'region',
    'part',
    'image',
    'width',
    'height',
  ]);
  const { width, height } = sizeOf(size, 'the heatmap');
  if (!isA(values, Float32Array) || values.length !== width * height)
    throw badOption(
      `values of the heatmap are ${shown(values)}, expected a Float32Array with ${width} × ${height} numbers`,
    );
  if (!isFrom(0, Infinity)(max)) throw badOption(`max of the heatmap is ${shown(max)}, expected a number from 0`);
  check('sign of the heatmap', sign, (value) => SIGNS.includes(value), '`for`, `against` or `both`');
  check('classIndex of the heatmap', classIndex, isWhole(0), 'a whole number from 0');
  return {
    classIndex,
    values,
    max,
    sign,
    width,
    height,
    region: placeOf(region, 'region'),
    ...(part && { part: placeOf(part, 'part') }),
    image: sizeOf(image, 'image of the heatmap'),
  };
}

/**
 * What is needed of a heatmap to make it again.
 * @param {unknown} given
 * @returns {{ values: Float32Array, options: import('./protocol.js').WireStabilityOptions }}
 */
export function madeBy(given) {
  const { values, classIndex, sign, width, height, max } = heatmapOf(given);
  const { method, layers = [], contrast = [] } = read(/** @type {Heatmap} */ (given), ['method', 'layers', 'contrast']);
  if (!isText(method)) throw badOption(`method of the heatmap is ${shown(method)}, expected text`);
  check('layers of the heatmap', layers, (value) => Array.isArray(value) && value.every(isText), 'names of tensors');
  check('contrast of the heatmap', contrast, Array.isArray, 'classes');
  const others = contrast.map((named) => read(named, ['classIndex']).classIndex);
  for (const other of others) check('contrast of the heatmap', other, isWhole(0), 'whole numbers from 0');
  return { values, options: { classIndex, sign, method, layers: [...layers], width, height, max, contrast: others } };
}
