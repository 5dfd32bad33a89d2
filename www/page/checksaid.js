// check of a heatmap → curves and sentences
import { isNumber } from './describe.js';

/** @typedef {import('../library/protocol.js').Checked} Checked */
/** @typedef {{shares: number[], map: number[], mean: number[], least: number[], most: number[]}} Curves by step */

/** The share hidden of which the sentence tells. */
const TOLD = 0.1;

/**
 * The map's curve and what random orders give. Shown from their end, these have the same curves backwards.
 * @param {Checked} checked
 * @param {'deletion' | 'insertion'} test
 * @returns {Curves}
 */
export function curves(checked, test) {
  const shares = [...checked.shares];
  const last = shares.length - 1;
  const random = shares.map((_, step) =>
    checked.random.map((each) => each[test === 'deletion' ? step : last - step] ?? 0),
  );
  return {
    shares,
    map: [...checked[test]],
    mean: random.map((values) => values.reduce((sum, value) => sum + value, 0) / values.length),
    least: random.map((values) => Math.min(...values)),
    most: random.map((values) => Math.max(...values)),
  };
}

/**
 * What happens without a tenth of the map, and the verdict with its basis.
 * @param {import('./checked.js').Check} check
 * @param {import('../library/protocol.js').ModelInfo} info
 * @param {import('./words/parts/check.js').CheckWords} said
 * @param {(value: number) => string} given what a class is given, as text
 * @param {import('./numbers.js').Numbers} numbers
 * @param {number} thorough random orders of a thorough check
 */
export function sentences({ heatmap, checked, orders }, info, said, given, numbers, thorough) {
  const { shares, map, mean } = curves(checked, 'deletion');
  const at = shares.findIndex((share) => share >= TOLD - 1e-6);
  const value = (/** @type {number[]} */ curve, /** @type {number} */ step) => curve[step] ?? 0;
  const [before, after, random] = [value(map, 0), value(map, at), value(mean, at)];
  const moved = (/** @type {number} */ to) => (given(to) === given(before) ? 'stays' : to < before ? 'falls' : 'rises');
  const chance = checked.verdict === 'chance';
  return {
    sentence: said.sentence({
      share: numbers.percent(value(shares, at)),
      subject: subjectOf(heatmap.label, info, said),
      from: given(before),
      to: given(after),
      moves: moved(after),
      random: given(random),
      drifts: moved(random),
    }),
    verdict: [
      said.verdicts[checked.verdict](orders),
      chance ? (orders < thorough ? said.again(thorough) : '') : said.basis(numbers.percent(checked.chance)),
    ]
      .filter(Boolean)
      .join(' '),
  };
}

/**
 * What the curves are of.
 * @param {string} label
 * @param {import('../library/protocol.js').ModelInfo} info
 * @param {import('./words/parts/check.js').CheckWords} said
 */
export const subjectOf = (label, info, said) =>
  isNumber(info) ? said.number : info.activation === 'none' ? said.score(label) : said.quoted(label);
