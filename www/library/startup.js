// the worker's script → a worker that runs, tried again like any download, or why there can be none

import { WhylensError } from './errors.js';
import { patiently } from './patience.js';
import { importing, isOpaque, scriptUrl } from './trusted.js';

/** @typedef {import('./patience.js').Patience} Patience */

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

/**
 * A worker whose script and all that it imports have arrived and run.
 * @param {URL} script
 * @param {string} name of the worker
 * @param {Patience} patience
 * @param {AbortSignal} signal
 * @returns {Promise<Worker>} rejects with `network` or `unsupported-browser`
 */
export async function startWorker(script, name, patience, signal) {
  /** @returns {Promise<import('./patience.js').Attempt<Worker>>} */
  const attempt = async () => {
    signal.throwIfAborted();
    const startup = new Startup(script, name);
    const outcome = await startup.outcome(patience.stallTimeout, signal);
    if (outcome === 'started') return { result: startup.worker };
    startup.worker.terminate();
    return { failure: await startup.failure(outcome) };
  };
  return patiently(patience, attempt);
}

/** A worker that is starting. */
class Startup {
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
    this.#script = script;
    this.#foreign = script.origin !== globalThis.origin;
    const address = this.#foreign ? importing(script) : scriptUrl(script);
    const see = (/** @type {SecurityPolicyViolationEvent} */ event) => {
      if (['blob', 'data'].includes(event.blockedURI) || String(address).startsWith(event.blockedURI))
        this.#forbidden = event.effectiveDirective;
    };
    const { signal } = this.#watch;
    globalThis.document?.addEventListener('securitypolicyviolation', see, { signal });
    this.worker = this.#create(address, name);
  }

  /**
   * @param {string} address
   * @param {string} name
   */
  #create(address, name) {
    try {
      return new Worker(address, { type: 'module', name });
    } catch (error) {
      this.#watch.abort();
      throw this.#refused(error);
    }
  }

  /**
   * The worker's first message says that it runs. Nothing tells how much of its scripts has arrived, so a stall is a
   * start that takes too long.
   * @param {number} stallTimeout
   * @param {AbortSignal} signal
   * @returns {Promise<'started' | 'stalled' | { message: string }>} the last: what went wrong, if it was told
   */
  async outcome(stallTimeout, signal) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    /** @type {'started' | 'stalled' | { message: string }} */
    const outcome = await new Promise((resolve) => {
      timer = setTimeout(() => resolve('stalled'), stallTimeout);
      signal.addEventListener('abort', () => resolve('stalled'), { once: true });
      this.worker.onmessage = ({ data }) =>
        resolve('started' in data ? 'started' : { message: String(data.crashed?.message) });
      this.worker.onerror = (event) => {
        event.preventDefault();
        resolve({ message: event.message ?? '' });
      };
    });
    clearTimeout(timer);
    if (outcome === 'started') this.#watch.abort();
    return outcome;
  }

  /**
   * Why it did not start; throws what no other try can mend.
   * @param {'stalled' | { message: string }} outcome
   */
  async failure(outcome) {
    // Without a wait, the browser has not told yet that the policy was violated.
    await new Promise((resolve) => setTimeout(resolve));
    this.#watch.abort();
    if (this.#forbidden) throw this.#refused();
    const network = (/** @type {string} */ message) => new WhylensError('network', `${this.#script} ${message}`);
    if (outcome === 'stalled') return network('or a script that it imports does not arrive; check the connection');
    if (outcome.message)
      return network(
        `or a script that it imports arrives damaged (${outcome.message}); ` +
          'check the connection, and that all of www/ was uploaded',
      );
    // The worker's own policy is the page's, but its violations are not told to the page.
    if (
      this.#foreign &&
      (await fetch(this.#script).then(
        ({ ok }) => ok,
        () => false,
      ))
    )
      throw this.#refused();
    const also = this.#foreign ? ', and that its server allows other sites to read it (CORS)' : '';
    return network(
      'or a script that it imports cannot be loaded; ' +
        `check the connection, and that all of www/ was uploaded${also}`,
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
