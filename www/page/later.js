// a part of the page that no first photo needs → the same, fetched with its first use
import { WhylensError } from '../library/errors.js';

/** Firefox never asks again for the address of a script that did not arrive. */
const GECKO = /\bGecko\/\d/.test(navigator.userAgent);

/**
 * A part that is fetched once, however often it is asked for; after a failure, the next call tries again. It rejects
 * with `network`.
 * @template T
 * @param {(again: string) => Promise<T>} fetched imports its script; `again` is the end of the script's address
 * @returns {() => Promise<T>}
 */
export function later(fetched) {
  /** @type {Promise<T> | null} */
  let part = null;
  let failures = 0;
  return () =>
    (part ??= fetched(failures && GECKO ? `?${failures}` : '').catch((error) => {
      part = null;
      failures += 1;
      throw new WhylensError('network', `a part of this page did not arrive: ${error.message}`, error);
    }));
}
