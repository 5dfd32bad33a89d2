// predictions → how sure the model is

/** @typedef {'high' | 'good' | 'torn' | 'low' | 'none' | 'scores' | 'number' | 'labels' | 'below' | 'nothing' | 'unrecognised'} Sureness */

/**
 * @param {Pick<import('../library/protocol.js').Result, 'predictions' | 'recognised'>} result predictions best first
 * @param {import('../library/protocol.js').Activation} activation
 * @param {number} threshold for models whose classes do not exclude one another
 * @param {number} classes of the model
 * @returns {Sureness}
 */
export function sureness({ predictions: [first, second], recognised }, activation, threshold, classes) {
  if (!first) return 'nothing';
  if (!recognised) return 'unrecognised';
  if (activation === 'none') return classes === 1 ? 'number' : 'scores';
  if (activation === 'sigmoid') return first.probability >= threshold ? 'labels' : classes === 1 ? 'below' : 'nothing';
  if (first.probability < 0.3) return 'none';
  if (second && second.probability > 0.75 * first.probability) return 'torn';
  return first.probability >= 0.8 ? 'high' : first.probability >= 0.5 ? 'good' : 'low';
}

/**
 * What a photo is called: its first class, or what is said where it is not recognised.
 * @param {import('../library/protocol.js').Result} result
 * @param {import('./words/en.js').Words} words
 */
export function verdict({ predictions: [first], recognised, notRecognised }, words) {
  return recognised ? (first?.label ?? '') : notRecognised || words.sure.unrecognised;
}
