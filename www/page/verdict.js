// predictions → how sure the model is

/** @typedef {import('../library/protocol.js').Prediction} Prediction */
/** @typedef {'high' | 'good' | 'torn' | 'low' | 'none' | 'scores' | 'number' | 'labels' | 'below' | 'nothing'} Sureness */

/**
 * @param {Prediction[]} predictions best first
 * @param {import('../library/protocol.js').Activation} activation
 * @param {number} threshold for models whose classes do not exclude one another
 * @param {number} classes of the model
 * @returns {Sureness}
 */
export function sureness([first, second], activation, threshold, classes) {
  if (!first) return 'nothing';
  if (activation === 'none') return classes === 1 ? 'number' : 'scores';
  if (activation === 'sigmoid') return first.probability >= threshold ? 'labels' : classes === 1 ? 'below' : 'nothing';
  if (first.probability < 0.3) return 'none';
  if (second && second.probability > 0.75 * first.probability) return 'torn';
  return first.probability >= 0.8 ? 'high' : first.probability >= 0.5 ? 'good' : 'low';
}
