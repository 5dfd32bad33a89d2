// an attempt that may fail → its result, after retries

/**
 * See `load()`.
 * @typedef {Pick<import('./protocol.js').WireLoadOptions, 'retries' | 'retryDelay' | 'stallTimeout'>} Patience
 */

/**
 * Its result, or why it failed; an error that no retry can mend is thrown.
 * @template T
 * @typedef {{ result: T } | { failure: Error }} Attempt
 */

/** Unless the caller says otherwise. @type {Patience} */
export const PATIENCE = { retries: 3, retryDelay: 500, stallTimeout: 20_000 };

/**
 * Tries again after a failure, at most `retries` times, each pause twice as long as the one before.
 * @template T
 * @param {Patience} patience
 * @param {() => Promise<Attempt<T>>} attempt
 * @returns {Promise<T>}
 */
export async function patiently({ retries, retryDelay }, attempt) {
  for (let tried = 0; ; tried += 1) {
    const outcome = await attempt();
    if ('result' in outcome) return outcome.result;
    if (tried >= retries) throw outcome.failure;
    await new Promise((resolve) => setTimeout(resolve, retryDelay * 2 ** Math.min(tried, 10)));
  }
}
