// address of one of our own scripts → what Trusted Types let through

import { worker } from './address.js';

/**
 * @typedef {{ createPolicy: (name: string, rules: { createScriptURL: (url: string) => string }) => { createScriptURL:
 *   (url: string) => string } }} TrustedTypes
 */

const policy = create();

function create() {
  const types = /** @type {{ trustedTypes?: TrustedTypes }} */ (globalThis).trustedTypes;
  try {
    return types?.createPolicy('whylens', { createScriptURL: own });
  } catch {
    // A page that does not enforce Trusted Types for scripts may still forbid the policy's name.
    return undefined;
  }
}

/**
 * @param {string} address
 */
function own(address) {
  const url = new URL(address);
  // Only the worker and the service worker are started by address.
  const own = url.pathname === worker().pathname || url.pathname.endsWith('/sw.js');
  if (url.origin !== location.origin || !own) throw new TypeError(`${address} is none of Whylens's scripts`);
  return address;
}

/**
 * @param {URL} url
 */
export function scriptUrl(url) {
  return policy?.createScriptURL(url.href) ?? url.href;
}
