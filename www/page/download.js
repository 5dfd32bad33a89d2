// result → files to keep: picture, raw map, JSON, CSV
import { checkOf } from './checked.js';

/** @typedef {import('../library/protocol.js').Heatmap} Heatmap */
/** @typedef {import('./photos.js').Photo} Photo */

/** Predictions written per photo. */
const WRITTEN = 10;
/** Predictions per line of a table. */
const COLUMNS = 5;

/** @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // Some browsers read the address only after the click has been handled.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** @param {Photo} photo @param {string} ending what the name ends in */
export function named({ name }, ending) {
  return `${name.replace(/\.[^.]*$/, '') || 'photo'}-${ending}`;
}

/**
 * The fields of `whylens classify --json`.
 * @param {Photo} photo
 * @param {Heatmap[]} [heatmaps] those shown instead of the result's own; a second one is `compared`
 */
export function record({ name, result, error, checks }, heatmaps) {
  if (!result) return { file: name, error: failure(error) };
  const maps = heatmaps ?? (result.heatmap ? [result.heatmap] : []);
  const { checked: check, stability } = checkOf({ checks }, maps[0]) ?? {};
  const [heatmap, compared] = maps.map((map) => ({
    ...map,
    values: [...map.values],
  }));
  const { image, region, decoder, damaged, predictions, recognised, notRecognised, noHeatmap, timing, model } = result;
  return {
    file: name,
    image,
    ...(region && { region }),
    ...(decoder && { decoder }),
    ...(damaged && { damaged }),
    predictions: predictions.slice(0, WRITTEN),
    recognised,
    ...(notRecognised && { notRecognised }),
    ...(heatmap && { heatmap }),
    ...(compared && { compared }),
    ...(check && { check: written(check) }),
    ...(stability && { stability }),
    ...(noHeatmap && !heatmap ? { noHeatmap } : {}),
    timing,
    model,
  };
}

/** With lists of numbers, as JSON has them. @param {import('../library/protocol.js').Checked} check */
function written({ shares, deletion, insertion, random, randomAreas, ...figures }) {
  return {
    ...figures,
    shares: [...shares],
    deletion: [...deletion],
    insertion: [...insertion],
    random: random.map((curve) => [...curve]),
    randomAreas: [...randomAreas],
  };
}

/** @param {unknown} content */
export function json(content) {
  return new Blob([JSON.stringify(content, null, 2), '\n'], { type: 'application/json' });
}

/** One line per photo. @param {Photo[]} photos */
export function csv(photos) {
  const ranks = Array.from({ length: COLUMNS }, (_, at) => at + 1);
  const checks = photos.map((photo) => checkOf(photo, photo.result?.heatmap)?.checked);
  const head = [
    'file',
    'width',
    'height',
    ...ranks.flatMap((rank) => [`label_${rank}`, `probability_${rank}`, `score_${rank}`]),
    ...(checks.some(Boolean) ? CHECKED : []),
    'region',
    'recognised',
    'error',
  ];
  const lines = photos.map(({ name, result, error }, at) => [
    name,
    result?.image.width,
    result?.image.height,
    ...ranks.flatMap((_, at) => {
      const prediction = result?.predictions[at];
      return [
        prediction?.label,
        result?.model.activation === 'none' ? undefined : prediction?.probability,
        prediction?.score,
      ];
    }),
    ...(checks.some(Boolean) ? figures(checks[at]) : []),
    result?.region && [result.region.x, result.region.y, result.region.width, result.region.height].join(' '),
    result?.recognised,
    result ? undefined : failure(error),
  ]);
  const text = [head, ...lines].map((cells) => cells.map(cell).join(',')).join('\r\n');
  return new Blob(['\ufeff', text, '\r\n'], { type: 'text/csv' });
}

/** The columns of checked maps. */
const CHECKED = ['check', 'deletion_area', 'insertion_area', 'random_area_least', 'random_area_most'];

/** Of the map of a photo, where it was checked. @param {import('../library/protocol.js').Checked | undefined} check */
const figures = (check) =>
  check
    ? [
        check.verdict,
        check.deletionArea,
        check.insertionArea,
        Math.min(...check.randomAreas),
        Math.max(...check.randomAreas),
      ]
    : CHECKED.map(() => undefined);

/** NumPy's format 1.0: `float32`, height × width. @param {Heatmap} heatmap */
export function npy({ values, width, height }) {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${height}, ${width}), }`;
  // The specification wants the data to begin at a multiple of 64 bytes, after a line feed.
  const header = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + '\n';
  const data = new DataView(new ArrayBuffer(10 + header.length + values.length * 4));
  [0x93, ...'NUMPY'].forEach((byte, at) => data.setUint8(at, typeof byte === 'string' ? byte.charCodeAt(0) : byte));
  data.setUint8(6, 1);
  data.setUint16(8, header.length, true);
  [...header].forEach((letter, at) => data.setUint8(10 + at, letter.charCodeAt(0)));
  values.forEach((value, at) => data.setFloat32(10 + header.length + at * 4, value, true));
  return new Blob([data.buffer], { type: 'application/octet-stream' });
}

/** @param {unknown} error */
function failure(error) {
  const { code, message } = /** @type {{code?: string, message?: string}} */ (error ?? {});
  return code ?? message ?? '';
}

/** What a spreadsheet may take for a formula: at the start of a cell, or after what may end one. */
const FORMULA = /(?:^|[,;|:\t\r\n"'])(?=[\s\p{Cc}\p{Cf}]*[=+\-@﹦﹢﹣﹫＝＋－＠−])|^(?=[\t\r\n])/gu;

/**
 * Text in quotes, with an apostrophe before every formula (OWASP, CSV injection); numbers as they are.
 * @param {unknown} value
 */
function cell(value) {
  if (typeof value !== 'string') return String(value ?? '');
  return `"${value.replace(FORMULA, "$&'").replaceAll('"', '""')}"`;
}
