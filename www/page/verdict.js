// predictions → how sure the model is

/** @typedef {import('../protocol.js').Prediction} Prediction */
/** @typedef {'high' | 'good' | 'torn' | 'low' | 'none' | 'scores' | 'labels' | 'nothing'} Sureness */

/**
 * @param {Prediction[]} predictions best first
 * @param {string} activation
 * @param {number} threshold for models with several labels a photo
 * @returns {Sureness}
 */
export function sureness([first, second], activation, threshold) {
  if (!first) return 'nothing';
  if (activation === 'none') return 'scores';
  if (activation === 'sigmoid') return first.probability >= threshold ? 'labels' : 'nothing';
  if (first.probability < 0.3) return 'none';
  if (second && second.probability > 0.75 * first.probability) return 'torn';
  return first.probability >= 0.8 ? 'high' : first.probability >= 0.5 ? 'good' : 'low';
}
