// address of one of our own scripts → what Trusted Types let through

import { worker } from './address.js';

/**
 * @typedef {{ createPolicy: (name: string, rules: { createScriptURL: (url: string) => string }) => { createScriptURL:
 *   (url: string) => string } }} TrustedTypes
 */

/** The scripts that `importing` made, by the address of what they import. @type {Map<string, string>} */
const made = new Map();

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
  if ((url.origin !== location.origin || !own) && ![...made.values()].includes(address))
    throw new TypeError(`${address} is none of Whylens's scripts`);
  return address;
}

/**
 * @param {URL} url
 */
export function scriptUrl(url) {
  return trusted(url.href);
}

/** @param {string} address */
const trusted = (address) => policy?.createScriptURL(address) ?? address;

/** Whether the page has no origin: it is in a sandbox. */
export const isOpaque = () => globalThis.origin === 'null';

/**
 * A script of the page's own origin that imports the worker's, since a worker of another origin cannot be started.
 * @param {URL} url
 */
export function importing(url) {
  let address = made.get(url.href);
  if (!address) {
    const script = `import ${JSON.stringify(url.href)};`;
    // A page without an origin, in a sandbox, cannot start workers from blobs.
    address = isOpaque()
      ? `data:text/javascript,${encodeURIComponent(script)}`
      : URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
    made.set(url.href, address);
  }
  return trusted(address);
}
