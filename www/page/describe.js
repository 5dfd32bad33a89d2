// explanations → sentences
import { evidence, overlap } from './evidence.js';

/** @typedef {{title: string, text: string}} Said */
/** @typedef {Pick<import('../library/protocol.js').ModelInfo, 'activation' | 'labels'>} Info */

/** Whether a model gives one number, which no class is. @param {Info} info */
export const isNumber = ({ activation, labels }) => activation === 'none' && labels.length === 1;

/**
 * What a heatmap is of: a class, or what moves a number.
 * @param {Pick<import('../library/protocol.js').Heatmap, 'label' | 'sign'>} heatmap
 * @param {Info | null} info
 * @param {import('./words/en.js').Words} words
 */
export function called({ label, sign }, info, words) {
  if (!info || !isNumber(info)) return label;
  return sign === 'against' ? words.lowers : words.raises;
}

/**
 * Where the evidence lies, a heatmap at a time, and what two have in common.
 * @param {import('./explain.js').Explanation[]} explanations
 * @param {{width: number, height: number}} image
 * @param {Info} info
 * @param {import('./words/en.js').Words} words
 * @param {import('./numbers.js').Numbers} numbers
 * @returns {Said[]}
 */
export function describe(explanations, image, info, words, numbers) {
  const { where } = words;
  const said = explanations.map(({ heatmap }) => {
    const found = evidence(heatmap, image);
    return {
      title: isNumber(info) ? called(heatmap, info, words) : where.title(heatmap.label),
      text: found
        ? where.sentence(
            where.places[found.row]?.[found.column] ?? '',
            where.concentration[found.concentration],
            numbers.percent(found.share),
          )
        : isNumber(info)
          ? where.unmoved
          : where.zero(heatmap.label),
    };
  });
  const [a, b] = explanations.map(({ heatmap }) => heatmap);
  if (a && b && a.max > 0 && b.max > 0) {
    const share = overlap(a, b);
    said.push({
      title: where.overlap(called(a, info, words), called(b, info, words), numbers.percent(share)),
      text: share > 0.75 ? where.same : share > 0.4 ? where.partly : where.apart,
    });
  }
  return said;
}
