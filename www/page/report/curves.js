// check of a map → sentences and curves of a report; the tool has the same (src/cli/classify/report/curves.rs)
import { isNumber } from './facts.js';
import { fixed, percent, point, said, whole } from './figures.js';

/** @typedef {import('./figures.js').Words} Words */
/** @typedef {import('../../library/protocol.js').Checked} Checked */

/** The sentence tells of the first share that is not less; of 32 bits. */
const TOLD = 0.1 - 1e-6;
/** The shares of which the drawing's text tells. */
const READ = [0, 0.1, 0.25, 0.5, 0.75, 1];
/** Where curves are drawn: left, top, width and height, as the template's axes. */
const [LEFT, TOP, WIDTH, HEIGHT] = [34, 6, 200, 84];

/**
 * @param {Checked} check
 * @param {import('../../library/protocol.js').Stability | undefined} stability where it was tested
 * @param {string} label
 * @param {import('../../library/protocol.js').ModelInfo} model
 * @param {Words} words
 */
export function checkView(check, stability, label, model, words) {
  const { deletion, insertion, random, randomAreas } = check;
  const isProbability = model.activation !== 'none';
  const value = (/** @type {number} */ each) => (isProbability ? percent(each, words) : fixed(each, 2, words.decimal));
  const all = [deletion, insertion, ...random].flatMap((curve) => [...curve]);
  const bottom = isProbability ? 0 : Math.min(...all),
    top = isProbability ? 1 : Math.max(...all);
  const shares = [...check.shares];
  const at = shares.findIndex((share) => share >= TOLD);
  const mean = shares.map((_, step) => average(random.map((curve) => curve[step] ?? 0)));
  const area = (/** @type {number} */ each) => fixed(each, 3, words.decimal);

  /**
   * @param {'deletion' | 'insertion'} kind
   * @param {Float32Array} curve
   * @param {(step: number) => number} mirrored where the random curves are read
   */
  const plot = (kind, curve, mirrored) => {
    const y = (/** @type {number} */ each) => TOP + HEIGHT - ((each - bottom) / (top - bottom || 1)) * HEIGHT;
    const drawn = (/** @type {(step: number) => number} */ height) =>
      shares.map((share, step) => point(LEFT + share * WIDTH, y(height(step))));
    const others = (/** @type {number} */ step) => random.map((each) => each[mirrored(step)] ?? 0);
    const caption = said(words.check[kind], {
      area: area(kind === 'deletion' ? check.deletionArea : check.insertionArea),
      // From their end, random orders have the same areas.
      least: area(Math.min(...randomAreas)),
      most: area(Math.max(...randomAreas)),
    });
    const points = READ.map((share) => {
      const step = nearest(shares, share);
      return said(words.check.point, { share: whole(shares[step] ?? 0, words), value: value(curve[step] ?? 0) });
    });
    return {
      band: [
        ...drawn((step) => Math.max(...others(step))),
        ...drawn((step) => Math.min(...others(step))).reverse(),
      ].join(' '),
      mean: drawn((step) => mean[mirrored(step)] ?? 0).join(' '),
      curve: drawn((step) => curve[step] ?? 0).join(' '),
      top: isProbability ? whole(top, words) : value(top),
      bottom: isProbability ? whole(bottom, words) : value(bottom),
      left: whole(0, words),
      right: whole(1, words),
      across: kind === 'deletion' ? words.check.hiddenShare : words.check.shownShare,
      caption,
      alt: said(words.check.alt, { caption, points: points.join(words.list) }),
    };
  };

  const subject = isNumber(model) ? 'number' : isProbability ? 'class' : 'score';
  const last = shares.length - 1;
  return {
    title: words.check.title,
    sentences: [
      said(words.check.hidden, {
        subject: said(words.check.subjects[subject], { label }),
        share: whole(shares[at] ?? 0, words),
        before: value(deletion[0] ?? 0),
        after: value(deletion[at] ?? 0),
        random: value(mean[at] ?? 0),
      }),
      said(words.check.verdicts[check.verdict], {
        orders: String(random.length),
        chance: whole(check.chance, words),
      }),
      ...(stability
        ? [said(words.check[stability.verdict], { correlation: fixed(stability.correlation, 2, words.decimal) })]
        : []),
    ],
    plots: [plot('deletion', deletion, (step) => step), plot('insertion', insertion, (step) => last - step)],
    key: words.check.key,
  };
}

/** @param {readonly number[]} values @param {number} wanted @returns {number} the place of the first nearest one */
function nearest(values, wanted) {
  const distances = values.map((value) => Math.abs(value - wanted));
  return distances.indexOf(Math.min(...distances));
}

/** @param {readonly number[]} values */
const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
