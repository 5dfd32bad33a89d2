// explanations → sentences
import { evidence, overlap } from './evidence.js';

/** @typedef {{title: string, text: string}} Said */

/**
 * Where the evidence lies, a heatmap at a time, and what two have in common.
 * @param {import('./explain.js').Explanation[]} explanations
 * @param {{width: number, height: number}} image
 * @param {import('./words/en.js').Words} words
 * @param {import('./numbers.js').Numbers} numbers
 * @returns {Said[]}
 */
export function describe(explanations, image, { where }, numbers) {
  const said = explanations.map(({ heatmap }) => {
    const found = evidence(heatmap, image);
    return {
      title: where.title(heatmap.label),
      text: found
        ? where.sentence(
            where.places[found.row]?.[found.column] ?? '',
            where.concentration[found.concentration],
            numbers.percent(found.share),
          )
        : where.zero(heatmap.label),
    };
  });
  const [a, b] = explanations.map(({ heatmap }) => heatmap);
  if (a && b && a.max > 0 && b.max > 0) {
    const share = overlap(a, b);
    said.push({
      title: where.overlap(a.label, b.label, numbers.percent(share)),
      text: share > 0.75 ? where.same : share > 0.4 ? where.partly : where.apart,
    });
  }
  return said;
}
