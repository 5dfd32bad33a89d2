// results → what the template of a report shows; the tool has the same (src/cli/classify/report/view.rs)
import { checkView } from './curves.js';
import { facts, given, isNumber } from './facts.js';
import { brief, clipped, fixed, percent, said, whole } from './figures.js';

/** @typedef {import('./figures.js').Words} Words */
/** @typedef {import('../../library/protocol.js').Evidence} Evidence */
/** @typedef {import('../../library/protocol.js').Heatmap} Heatmap */
/** @typedef {import('../../library/protocol.js').ModelInfo} ModelInfo */
/** @typedef {import('../../library/protocol.js').Region} Region */
/** @typedef {import('../../library/protocol.js').Result} Result */

/**
 * Pictures of a photo, as data URLs.
 * @typedef {object} Drawn
 * @property {string} src
 * @property {number} width
 * @property {number} height
 * @property {{src: string, legend: string}[]} maps one for each explanation, empty where there is nothing to draw
 */
/**
 * @typedef {object} Explained
 * @property {Heatmap} heatmap
 * @property {import('../../library/protocol.js').Checked | undefined} check
 * @property {import('../../library/protocol.js').Stability | undefined} stability
 */
/**
 * A photo of a report.
 * @typedef {object} Shown
 * @property {string} id
 * @property {string} name
 * @property {Result | null} result
 * @property {string} message why there is no result
 * @property {Explained[]} explained
 * @property {Drawn | null} drawn
 * @property {string} data JSON
 */

/** Rows of the table of predictions. */
const ROWS = 5;

/** @param {Shown} photo @param {ModelInfo} model @param {Words} words */
export function photoView({ id, name, result, message, explained, drawn, data }, model, words) {
  const file = clipped(name);
  if (!result) return { id, file, notes: [said(words.notes.failed, { message })], data };
  const seen = explained[0]?.heatmap.region ?? result.region;
  const frame = seen && frameOf(seen, result.image);
  return {
    id,
    file,
    size: said(words.size, sizes(result.image)),
    notes: notes(result, explained, words),
    picture: drawn && {
      src: drawn.src,
      width: String(drawn.width),
      height: String(drawn.height),
      alt: said(words.photoAlt, { file }),
      caption: frame ? words.framed : words.photo,
      frame,
    },
    maps: explained.map((each, at) => mapView(each, drawn && { ...drawn, ...drawn.maps[at] }, file, model, words)),
    predictions: predictions(result, model, words),
    data,
  };
}

/** A row of the table of all photos. @param {Shown} photo @param {Words} words */
export function rowView({ id, name, result, message }, words) {
  const best = result?.predictions[0];
  const label = result && !result.recognised ? (result.notRecognised ?? words.notes.unrecognised) : best?.label;
  return {
    id,
    file: clipped(name),
    label: clipped(label ?? message),
    value: result && best ? given(best, result.model, words) : '',
  };
}

/** @param {Result} result @param {ModelInfo} model @param {Words} words */
function predictions({ predictions, model: { activation, unit } }, model, words) {
  if (!predictions.length) return null;
  const isProbability = activation !== 'none';
  return {
    scored: isProbability,
    rows: predictions.slice(0, ROWS).map((prediction, at) => ({
      first: at === 0,
      label: clipped(prediction.label),
      value: given(prediction, { activation, unit }, words),
      bar: isProbability && !isNumber(model) ? fixed(prediction.probability * 100, 1, '.') : null,
      score: isProbability ? fixed(prediction.score, 2, words.decimal) : null,
    })),
  };
}

/** @param {Result} result @param {Explained[]} explained @param {Words} words */
function notes(result, explained, { notes, percent: share, region }) {
  const { decoder, damaged, partial, recognised, notRecognised, noHeatmap } = result;
  return [
    recognised ? '' : (notRecognised ?? notes.unrecognised),
    result.region ? said(notes.part, { region: said(region, placed(result.region)) }) : '',
    damaged === undefined ? '' : said(notes.damaged, { message: damaged }),
    partial === undefined ? '' : said(notes.partial, { percent: said(share, { number: String(partial) }) }),
    decoder === 'browser' ? notes.browser : '',
    noHeatmap && !explained.length ? said(notes.noHeatmap, { message: noHeatmap.message }) : '',
  ].filter(Boolean);
}

/**
 * @param {Explained} explained
 * @param {{src: string, legend: string, width: number, height: number} | null} drawn
 * @param {string} file
 * @param {ModelInfo} model
 * @param {Words} words
 */
function mapView({ heatmap, check, stability }, drawn, file, model, words) {
  const title = called(heatmap, model, words);
  const value = brief(heatmap.max, words.decimal);
  const isEmpty = !(heatmap.max > 0);
  return {
    title,
    src: isEmpty ? '' : drawn?.src,
    width: String(drawn?.width),
    height: String(drawn?.height),
    legend: drawn?.legend,
    alt: said(words.mapAlt, { title, file }),
    caption: title,
    legendAlt: words.legendAlt,
    least: heatmap.sign === 'both' ? said(words.against, { value }) : words.least,
    most: said(heatmap.sign === 'both' ? words.for : words.most, { value }),
    sentences: isEmpty
      ? [isNumber(model) ? words.numberNothing : words.nothing[heatmap.sign]]
      : evidenceSaid(heatmap, words),
    facts: facts(
      [
        ['method', words.methods[/** @type {keyof Words['methods']} */ (heatmap.method)] ?? heatmap.method],
        ['layer', clipped(heatmap.layer)],
        ['grid', said(words.grid, sizes(heatmap))],
        ['region', said(words.region, placed(heatmap.region))],
        ['most', value],
      ],
      words,
    ),
    check: check && checkView(check, stability, clipped(heatmap.label), model, words),
  };
}

/** @param {Heatmap} heatmap @param {ModelInfo} model @param {Words} words */
function called({ label, sign, contrast = [] }, model, { maps, numberMaps }) {
  if (isNumber(model)) return numberMaps[sign];
  const other = contrast.map((each) => clipped(each.label)).join('”, “');
  return said(other ? maps[`${sign}Not`] : maps[sign], { label: clipped(label), other });
}

/**
 * Where the evidence lies, in figures.
 * @param {Heatmap} heatmap
 * @param {Words} words
 */
function evidenceSaid({ sign, evidence, opposing }, words) {
  const { half, spot, spots, border, sides, ...sided } = words.evidence;
  const one = (/** @type {Evidence} */ found) =>
    [
      said(half, { share: percent(found.share, words), x: whole(found.x, words), y: whole(found.y, words) }),
      found.spots === 1 ? spot : said(spots, { number: String(found.spots) }),
      found.border.length ? said(border, { sides: found.border.map((side) => sides[side]).join(words.list) }) : '',
    ]
      .filter(Boolean)
      .join(' ');
  if (sign !== 'both') return evidence ? [one(evidence)] : [];
  return [
    ...(evidence ? [said(sided.for, { text: one(evidence) })] : []),
    ...(opposing ? [said(sided.against, { text: one(opposing) })] : []),
  ];
}

/** @param {{width: number, height: number}} size */
const sizes = ({ width, height }) => ({ width: String(width), height: String(height) });

/** @param {Region} region */
const placed = ({ x, y, width, height }) => ({
  x: fixed(x, 0, '.'),
  y: fixed(y, 0, '.'),
  width: fixed(width, 0, '.'),
  height: fixed(height, 0, '.'),
});

/** What of the photo lies in a region; null: all. @param {Region} region @param {{width: number, height: number}} image */
function frameOf(region, image) {
  const [left, top] = [Math.max(0, region.x), Math.max(0, region.y)];
  const right = Math.min(image.width, region.x + region.width),
    bottom = Math.min(image.height, region.y + region.height);
  if (left < 0.5 && top < 0.5 && right > image.width - 0.5 && bottom > image.height - 0.5) return null;
  return {
    box: `0 0 ${image.width} ${image.height}`,
    x: fixed(left, 1, '.'),
    y: fixed(top, 1, '.'),
    width: fixed(right - left, 1, '.'),
    height: fixed(bottom - top, 1, '.'),
  };
}
