// explanations → sentences
import { cutOff, overlap, place } from './evidence.js';

/** @typedef {import('./words/en.js').Words} Words */
/** @typedef {{title: string, text: string}} Said */
/** @typedef {import('../library/protocol.js').Heatmap} Heatmap */
/** @typedef {import('../library/protocol.js').Evidence} Evidence */
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
 * @param {Info} info
 * @param {Words} words
 * @param {import('./numbers.js').Numbers} numbers
 * @returns {Said[]}
 */
export function describe(explanations, info, words, numbers) {
  const { where } = words;
  const said = explanations.map(({ heatmap }) => {
    const { sign, contrast = [] } = heatmap;
    const [pro, contra] = [heatmap.evidence, heatmap.opposing].map((found) =>
      sentences(found, heatmap, where, numbers),
    );
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

/** From which part on, that holds half of the evidence, it lies nearly everywhere; the even map has 0.5. */
const EVERYWHERE = 0.35;

/**
 * Place, form and extent of one side, and what may be beyond it.
 * @param {Evidence | null} evidence
 * @param {Heatmap} heatmap
 * @param {Words['where']} where
 * @param {import('./numbers.js').Numbers} numbers
 */
function sentences(evidence, heatmap, where, numbers) {
  if (!evidence) return null;
  const { row, column } = place(evidence, heatmap);
  const at = where.places[row]?.[column] ?? '';
  const form =
    evidence.share >= EVERYWHERE
      ? where.everywhere(at)
      : evidence.spots > 1
        ? where.spots(evidence.spots, at)
        : where.spot(at);
  const touched = cutOff(evidence, heatmap);
  return [
    form,
    where.half(numbers.percent(evidence.share)),
    ...(touched.length ? [where.border(touched.map((side) => where.edges[side]))] : []),
  ].join(' ');
}
