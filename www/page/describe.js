// explanations → sentences
import { evidence, overlap } from './evidence.js';

/** @typedef {import('../library/protocol.js').Heatmap} Heatmap */
/** @typedef {import('./words/en.js').Words} Words */
/** @typedef {{title: string, text: string}} Said */
/** @typedef {Pick<import('../library/protocol.js').ModelInfo, 'activation' | 'labels'>} Info */

/** Whether a model gives one number, which no class is. @param {Info} info */
export const isNumber = ({ activation, labels }) => activation === 'none' && labels.length === 1;

/**
 * What a heatmap is of: a class, what speaks against it, how it differs from others, or what moves a number.
 * @param {Pick<Heatmap, 'label' | 'sign' | 'contrast'>} heatmap
 * @param {Info | null} info
 * @param {Words} words
 */
export function called(heatmap, info, words) {
  const { sign } = heatmap;
  if (info && isNumber(info)) return { for: words.raises, against: words.lowers, both: words.moves }[sign];
  const subject = subjectOf(heatmap, words);
  return sign === 'for' ? subject : words.of[sign](subject);
}

/** The class, and what it is set against. @param {Pick<Heatmap, 'label' | 'contrast'>} heatmap @param {Words} words */
function subjectOf({ label, contrast = [] }, words) {
  const [other, ...more] = contrast;
  return !other ? label : more.length ? words.of.alike(label) : words.of.other(label, other.label);
}

/**
 * What is said where there is no evidence.
 * @param {Pick<Heatmap, 'label' | 'sign' | 'contrast'>} heatmap
 * @param {Info | null} info
 * @param {Words} words
 */
export function nothing(heatmap, info, words) {
  const { where } = words;
  if (info && isNumber(info)) return where.unmoved;
  const subject = subjectOf(heatmap, words);
  return { for: where.zero, against: where.zeroAgainst, both: where.zeroBoth }[heatmap.sign](subject);
}

/**
 * Where the evidence lies, a heatmap at a time, and what two have in common.
 * @param {import('./explain.js').Explanation[]} explanations
 * @param {{width: number, height: number}} image
 * @param {Info} info
 * @param {Words} words
 * @param {import('./numbers.js').Numbers} numbers
 * @returns {Said[]}
 */
export function describe(explanations, image, info, words, numbers) {
  const { where } = words;
  const sentence = (/** @type {import('./evidence.js').Evidence | null} */ found) =>
    found &&
    where.sentence(
      where.places[found.row]?.[found.column] ?? '',
      where.concentration[found.concentration],
      numbers.percent(found.share),
    );
  const said = explanations.map(({ heatmap }) => {
    const { sign, contrast = [] } = heatmap;
    const [pro, contra] = [1, -1].map((side) => sentence(evidence(sideOf(heatmap, side), image)));
    const text = sign === 'both' ? where.sides(pro ?? where.nothing, contra ?? where.nothing) : pro;
    const title = { for: where.title, against: where.against, both: where.both }[sign];
    return {
      title: isNumber(info) ? called(heatmap, info, words) : title(subjectOf(heatmap, words)),
      text:
        heatmap.max > 0 && text
          ? [text, ...(contrast.length > 1 ? [where.compared(contrast.map(({ label }) => label))] : [])].join(' ')
          : nothing(heatmap, info, words),
    };
  });
  const [a, b] = explanations.map(({ heatmap }) => heatmap);
  if (a && b && a.max > 0 && b.max > 0 && a.sign !== 'both') {
    const share = overlap(a, b);
    said.push({
      title: where.overlap(called(a, info, words), called(b, info, words), numbers.percent(share)),
      text: share > 0.75 ? where.same : share > 0.4 ? where.partly : where.apart,
    });
  }
  return said;
}

/** One side of a map of both. @param {Heatmap} heatmap @param {number} side 1 or -1 @returns {Heatmap} */
function sideOf(heatmap, side) {
  const values = heatmap.values.map((value) => Math.max(0, side * value));
  return { ...heatmap, values, max: values.reduce((most, value) => Math.max(most, value), 0) };
}
