// address → whether the browser refuses it because the page is served securely and it is not

import { WhylensError } from './errors.js';

/**
 * Mixed content: a page at https:// may read http:// only from the reader's own machine. Nothing tells it from a
 * server that is not there.
 * @param {string} url
 */
export function isInsecure(url) {
  const { protocol, hostname } = new URL(url);
  const isHere = /^(localhost|.*\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
  return String(globalThis.origin).startsWith('https:') && protocol === 'http:' && !isHere;
}

/**
 * @param {string} url
 * @param {unknown} cause
 */
export function insecure(url, cause) {
  const message = `${url} is not encrypted, and a page at https:// cannot read it; give its https:// address`;
  return new WhylensError('insecure-address', message, cause);
}
