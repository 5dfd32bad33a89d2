// failure → WhylensError with a stable code

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
    /**
     * Of `over-memory-limit`: bytes of `memoryLimit` that are expected to be enough, where a higher one helps.
     * @type {number | undefined}
     */
    this.limit = undefined;
    /**
     * Of `image-corrupt`, where the file is cut short: how many percent of its rows are there; 100: all, without their
     * detail; null: it cannot be told.
     * @type {number | null | undefined}
     */
    this.percent = undefined;
  }
}

const KEY = Symbol.for('whylens.error');

/** @typedef {LibraryError} WhylensError */

/**
 * Every failure of the library. The same class in every copy of this script on a page, so that
 * `instanceof` can be relied on.
 */
export const WhylensError = found() ?? LibraryError;
if (WhylensError === LibraryError)
  Reflect.defineProperty(globalThis, KEY, { value: LibraryError, configurable: true, writable: true });

/** That class in another copy; anything else of that name does not count. @returns {typeof LibraryError | null} */
function found() {
  try {
    const type = /** @type {{ [KEY]?: any }} */ (globalThis)[KEY];
    return new type('bad-option', '') instanceof Error ? type : null;
  } catch {
    return null;
  }
}

/**
 * `instanceof` for any value: a proxy may throw.
 * @template Type
 * @param {unknown} value
 * @param {new (...given: any[]) => Type} type
 * @returns {value is Type}
 */
export function isA(value, type) {
  try {
    return value instanceof type;
  } catch {
    return false;
  }
}

/**
 * @param {WireError} error
 */
export function fromWire({ code, message, cause, limit, percent }) {
  return Object.assign(new WhylensError(code, message, cause), { limit, percent });
}

/**
 * @param {string} message
 */
export function badOption(message) {
  return new WhylensError('bad-option', message);
}

/**
 * Any value, as a message can show it.
 * @param {unknown} value
 */
export function shown(value) {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  try {
    return Object.prototype.toString.call(value).slice('[object '.length, -1);
  } catch {
    return 'an object';
  }
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
