// model → what a report says around its photos; the tool has the same (src/cli/classify/report/facts.rs)
import { clipped, date, fixed, listed, percent, ratio, said } from './figures.js';
import { rowView } from './view.js';

/** @typedef {import('./figures.js').Words} Words */
/** @typedef {import('../../library/protocol.js').ModelInfo} ModelInfo */

/**
 * @typedef {object} About
 * @property {string} version of Whylens
 * @property {string} created ISO 8601, UTC
 * @property {{title: string | null, disclaimer: string | null}} site what its owner says
 * @property {string} data JSON
 */

/** @param {About} about @param {ModelInfo} model @param {import('./view.js').Shown[]} photos @param {Words} words */
export function wholeView({ version, created, site, data }, model, photos, words) {
  const heading = site.title ?? words.heading;
  const name =
    photos.length === 1 ? clipped(photos[0]?.name ?? '') : said(words.photos, { number: String(photos.length) });
  return {
    words,
    said: words.said,
    version,
    created,
    createdWords: date(created, words),
    title: said(words.title, { name, heading }),
    heading,
    disclaimer: site.disclaimer ?? model.disclaimer,
    given: model.activation === 'none' ? words.said.value : words.said.probability,
    overview: photos.length > 1 && { rows: photos.map((photo) => rowView(photo, words)) },
    model: modelFacts(model, words),
    reading: readingFacts(model.input, words),
    data,
  };
}

/** Whether a model gives one number, which no class is. @param {ModelInfo} model */
export const isNumber = ({ activation, labels }) => activation === 'none' && labels.length === 1;

/**
 * What a class is given.
 * @param {{probability: number, score: number}} prediction
 * @param {Pick<import('../../library/protocol.js').Result['model'], 'activation' | 'unit'>} model
 * @param {Words} words
 */
export const given = ({ probability, score }, { activation, unit }, words) =>
  activation === 'none'
    ? [fixed(score, 2, words.decimal), unit].filter(Boolean).join(' ')
    : percent(probability, words);

/** Terms and texts, without those that have none. @param {[string, string | null][]} all @param {Words} words */
export const facts = (all, words) =>
  all.flatMap(([name, text]) =>
    text ? [{ term: words.facts[/** @type {keyof Words['facts']} */ (name)] ?? name, text }] : [],
  );

/** @param {ModelInfo} model @param {Words} words */
function modelFacts(model, words) {
  const megabytes = fixed(model.bytes / 1e6, 1, words.decimal);
  return facts(
    [
      ['name', model.name],
      ['version', model.version],
      ['license', model.license],
      ['source', model.source],
      ['weights', said(words.weights, { megabytes, precision: model.precision.toUpperCase() })],
      ['sha256', model.sha256],
      ['output', words.activations[model.activation]],
      ['classes', String(model.labels.length)],
      ['threshold', model.threshold === null ? null : percent(model.threshold, words)],
    ],
    words,
  );
}

/** @param {ModelInfo['input']} input @param {Words} words */
function readingFacts({ width, height, channels, resize, crop, scale, mean, std }, words) {
  const { mode, filter, antialias = true, size } = resize;
  const side = (/** @type {number} */ own) => String(size ?? own);
  const resized = said(words.resizes[mode], {
    filter,
    size: side(Math.min(width, height)),
    width: side(width),
    height: side(height),
  });
  return facts(
    [
      [
        'input',
        said(words.input, { width: String(width), height: String(height), channels: words.channels[channels] }),
      ],
      ['resize', antialias ? resized : said(words.sharp, { resize: resized })],
      ['crop', words.crops[crop]],
      ['values', said(words.values, { scale: ratio(scale, words) })],
      ['mean', listed(mean, words)],
      ['std', listed(std, words)],
    ],
    words,
  );
}
