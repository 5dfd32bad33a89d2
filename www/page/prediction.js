// class + result → what the result gives it

/** @typedef {import('../library/protocol.js').Prediction} Prediction */
/** @typedef {Pick<import('../library/protocol.js').Result, 'predictions' | 'scores' | 'probabilities'>} Given */

/**
 * A class, whether it is among the first or not; NaN where its probability is not kept.
 * @param {Given} result
 * @param {string[]} labels
 * @param {number} index
 * @returns {Prediction}
 */
export function predictionOf({ predictions, scores, probabilities }, labels, index) {
  return (
    predictions.find((each) => each.index === index) ?? {
      index,
      label: labels[index] ?? '',
      probability: probabilities?.[index] ?? NaN,
      score: scores?.[index] ?? NaN,
    }
  );
}

/** Labels in small letters, once for each model: some have 21,841. */
const lowered = (() => {
  /** @type {string[]} */
  let of = [],
    small = of;
  return (/** @type {string[]} */ labels) => {
    if (labels !== of) [of, small] = [labels, labels.map((label) => label.toLowerCase())];
    return small;
  };
})();

/**
 * The classes whose labels hold a text, the most probable first.
 * @param {Given} result
 * @param {string[]} labels
 * @param {string} wanted in small letters
 * @returns {number[]} their indices
 */
export function matching({ predictions, probabilities }, labels, wanted) {
  /** @type {number[]} */
  const found = [];
  lowered(labels).forEach((label, index) => label.includes(wanted) && found.push(index));
  const few = new Map(predictions.map(({ index, probability }) => [index, probability]));
  const given = (/** @type {number} */ index) => probabilities?.[index] ?? few.get(index) ?? -Infinity;
  return found.sort((a, b) => (given(a) === given(b) ? a - b : given(b) - given(a)));
}
