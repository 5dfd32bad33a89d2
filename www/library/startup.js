// the worker's script → a worker, or why there can be none

import { WhylensError } from './errors.js';
import { importing, isOpaque, scriptUrl } from './trusted.js';

/** Whether this is a page that can start workers; throws otherwise. */
export function checkPlace() {
  if (typeof Worker === 'function') return;
  const scope = /** @type {{ ServiceWorkerGlobalScope?: unknown }} */ (globalThis);
  throw new WhylensError(
    'unsupported-browser',
    scope.ServiceWorkerGlobalScope
      ? 'a service worker cannot start workers; call it in a page, in an extension in an offscreen document'
      : 'there are no workers here: the classifier runs in a browser, in a page; call it there and not on a server',
  );
}

/** A worker that is starting. */
export class Startup {
  #script;
  /** Whether its script comes from another origin than the page, as that of a sandboxed page does too. */
  #foreign;
  /** The directive of the page's policy that forbids the worker. @type {string | null} */
  #forbidden = null;
  /** For violations of the policy, until the worker has started or failed. */
  #watch = new AbortController();

  /**
   * @param {URL} script
   * @param {string} name of the worker
   */
  constructor(script, name) {
    checkPlace();
    this.#script = script;
    this.#foreign = script.origin !== globalThis.origin;
    const address = this.#foreign ? importing(script) : scriptUrl(script);
    const see = (/** @type {SecurityPolicyViolationEvent} */ event) => {
      if (['blob', 'data'].includes(event.blockedURI) || String(address).startsWith(event.blockedURI))
        this.#forbidden = event.effectiveDirective;
    };
    const { signal } = this.#watch;
    globalThis.document?.addEventListener('securitypolicyviolation', see, { signal });
    try {
      this.worker = new Worker(address, { type: 'module', name });
    } catch (error) {
      this.#watch.abort();
      throw this.#refused(error);
    }
    this.worker.addEventListener('message', () => this.#watch.abort(), { once: true });
  }

  /** Why it did not start, after an error without a message. */
  async failure() {
    // Without a wait, the browser has not told yet that the policy was violated.
    await new Promise((resolve) => setTimeout(resolve));
    this.#watch.abort();
    if (this.#forbidden) return this.#refused();
    // The worker's own policy is the page's, but its violations are not told to the page.
    if (
      this.#foreign &&
      (await fetch(this.#script).then(
        ({ ok }) => ok,
        () => false,
      ))
    )
      return this.#refused();
    const also = this.#foreign ? ', and that its server allows other sites to read it (CORS)' : '';
    return new WhylensError(
      'network',
      `${this.#script} cannot be loaded; check the connection, and that it was uploaded${also}`,
    );
  }

  /** @param {unknown} [cause] */
  #refused(cause) {
    const origin = this.#script.origin;
    const allow = this.#foreign
      ? `worker-src ${isOpaque() ? 'data' : 'blob'}: ${origin} and script-src ${origin}`
      : `worker-src ${origin}`;
    const by = this.#forbidden ? `the page's policy (${this.#forbidden})` : 'the browser or the policy of the page';
    return new WhylensError(
      'unsupported-browser',
      `${by} does not let the worker ${this.#script} start; the policy needs ${allow} and 'wasm-unsafe-eval'`,
      cause,
    );
  }
}
