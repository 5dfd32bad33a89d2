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
 * The classes whose labels hold a text: how many, and the most probable of them. They are not sorted: among 21,841 that
 * would hold up the page.
 * @param {Given} result
 * @param {string[]} labels
 * @param {string} wanted in small letters
 * @param {number} most
 */
export function matching({ predictions, probabilities }, labels, wanted, most) {
  const few = new Map(predictions.map(({ index, probability }) => [index, probability]));
  /** @type {{index: number, value: number}[]} best first; of equal ones, in class order */
  const first = [];
  let count = 0;
  lowered(labels).forEach((label, index) => {
    if (!label.includes(wanted)) return;
    count += 1;
    const value = probabilities?.[index] ?? few.get(index) ?? -Infinity;
    if (first.length === most && value <= (first[most - 1]?.value ?? 0)) return;
    const before = first.findIndex((other) => other.value < value);
    first.splice(before < 0 ? first.length : before, 0, { index, value });
    first.length = Math.min(first.length, most);
  });
  return { count, first: first.map(({ index }) => index) };
}
