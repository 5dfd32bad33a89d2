// failure → WhylensError with a stable code.

/** @typedef {import('./protocol.js').ErrorCode} ErrorCode */
/** @typedef {import('./protocol.js').WireError} WireError */

class LibraryError extends Error {
  /**
   * @param {ErrorCode} code stable, documented
   * @param {string} message what was found, what was expected, what to do
   * @param {unknown} [cause]
   */
  constructor(code, message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'WhylensError';
    /** @readonly */
    this.code = code;
  }
}

const KEY = Symbol.for('whylens.error');
const shared = /** @type {{ [KEY]?: typeof LibraryError }} */ (globalThis);

/** @typedef {LibraryError} WhylensError */

/**
 * Every failure of the library. The same class in every copy of this script on a page, so that
 * `instanceof` can be relied on.
 */
export const WhylensError = (shared[KEY] ??= LibraryError);

/**
 * @param {WireError} error
 */
export function fromWire({ code, message, cause }) {
  return new WhylensError(code, message, cause);
}

/**
 * @param {string} message
 */
export function badOption(message) {
  return new WhylensError('bad-option', message);
}

/**
 * The error of an aborted call; what `AbortController.abort()` was given becomes its cause.
 * @param {AbortSignal} signal
 */
export function cancelled(signal) {
  return new WhylensError('cancelled', 'cancelled by the caller', signal.reason);
}

/**
 * Waits, unless the caller gives up.
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export function until(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(cancelled(signal));
    if (signal.aborted) giveUp();
    signal.addEventListener('abort', giveUp, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
  });
}
