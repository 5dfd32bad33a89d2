// address of a style sheet → the same in the document, once
import { WhylensError } from '../library/errors.js';

/** @type {Map<string, Promise<void>>} */
const known = new Map();

/** @param {string} href @returns {Promise<void>} rejects with `network` where it does not arrive; the next call tries again */
export function styled(href) {
  const before = known.get(href);
  if (before) return before;
  const link = Object.assign(document.createElement('link'), { rel: 'stylesheet', href });
  /** @type {Promise<void>} */
  const arriving = new Promise((resolve, reject) => {
    link.onload = () => resolve();
    link.onerror = () => {
      known.delete(href);
      link.remove();
      reject(new WhylensError('network', `a part of this page did not arrive: ${href}`));
    };
  });
  known.set(href, arriving);
  document.head.append(link);
  return arriving;
}
