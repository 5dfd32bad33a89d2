// what the page has requested for a load (www/library/early.js) → the answers to the worker's own requests for it

import { joined } from './planes.js';

/** @typedef {{ url: string, held?: boolean, declined?: true, status?: number, headers?: [string, string][], planes?: true,
 *   part?: Uint8Array<ArrayBuffer>, end?: true, broken?: string }} News */
/**
 * @template T
 * @typedef {{ promise: Promise<T>, resolve: (value: T) => void, reject: (error: unknown) => void }} Settling
 */

/** Files that are on their way, by address. @type {Map<string, Handed>} */
const files = new Map();

/** Whether the page holds the lock of a file, by address. @type {Map<string, Settling<boolean>>} */
const holding = new Map();

/** A file that the page requests. */
class Handed {
  #port;
  #url;
  /** What has come and was not read yet, in order: parts, and at last null or why there are no more. @type {(Uint8Array | null | { error: unknown })[]} */
  #parts = [];
  /** Tells that something has come. */
  #come = () => {};
  /** @type {Settling<Response | null>} */
  #answer = settling();
  /** Whether the page holds the lock of the file. @type {Settling<boolean>} */
  held = settling();

  /** @param {string} url @param {MessagePort} port */
  constructor(url, port) {
    this.#url = url;
    this.#port = port;
    this.#answer.promise.catch(() => {});
  }

  /** @param {News} news */
  hear({ declined, status, headers, planes, part, end, broken }) {
    if (declined) this.#answer.resolve(null);
    else if (status !== undefined) this.#begin(status, headers, planes);
    else if (part) this.#add(part);
    else if (broken !== undefined) this.#fail(new TypeError(broken));
    else if (end) this.#add(null);
  }

  /** @param {Uint8Array | null | { error: unknown }} what */
  #add(what) {
    this.#parts.push(what);
    this.#come();
  }

  /**
   * The page's answer; null if it leaves the file to the worker.
   * @param {AbortSignal} signal
   */
  async take(signal) {
    const stop = () => {
      this.#parts = [];
      this.#fail(signal.reason);
      this.#cancel();
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    this.#port.postMessage({ take: this.#url });
    return this.#answer.promise;
  }

  /** @param {number} status @param {[string, string][]} [headers] @param {boolean} [planes] whether the body is planes */
  #begin(status, headers, planes) {
    // A stream that fails loses what it holds, so it holds nothing: a download is resumed after the last part.
    const body = new ReadableStream(
      { pull: (controller) => this.#give(controller), cancel: () => this.#cancel() },
      { highWaterMark: 0 },
    );
    const hasNone = [204, 205, 304].includes(status);
    this.#answer.resolve(new Response(hasNone ? null : planes ? joined(body) : body, { status, headers }));
  }

  /** @param {ReadableStreamDefaultController<Uint8Array>} controller */
  async #give(controller) {
    while (!this.#parts.length) await new Promise((resolve) => (this.#come = () => resolve(null)));
    const what = this.#parts.shift() ?? null;
    if (what === null) controller.close();
    else if (what instanceof Uint8Array) controller.enqueue(what);
    else controller.error(what.error);
  }

  #cancel() {
    this.#port.postMessage({ cancel: this.#url });
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#answer.reject(error);
    this.#add({ error });
  }
}

/** @template T @returns {Settling<T>} */
function settling() {
  const made = /** @type {Settling<T>} */ ({});
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

/**
 * Listens to what the page hands over until the load has ended.
 * @param {{ port: MessagePort, urls: string[] } | undefined} early
 * @returns {() => void} to be called then
 */
export function listen(early) {
  if (!early) return () => {};
  const { port } = early;
  /** @type {Map<string, Handed>} */
  const own = new Map();
  const expect = (/** @type {string} */ url) => {
    const file = new Handed(url, port);
    own.set(url, file);
    files.set(url, file);
    holding.set(url, file.held);
    return file;
  };
  early.urls.forEach(expect);
  port.onmessage = (/** @type {MessageEvent<News>} */ { data }) => {
    const file = own.get(data.url) ?? expect(data.url);
    if (data.held !== undefined) file.held.resolve(data.held);
    file.hear(data);
  };
  return () => {
    port.close();
    for (const [url, file] of own) {
      file.hear({ url, broken: 'the load has ended' });
      file.held.resolve(false);
      // A load after this one may have files at the same addresses.
      if (holding.get(url) === file.held) holding.delete(url);
      if (files.get(url) === file) files.delete(url);
    }
  };
}

/** @type {typeof fetch} */
const network = globalThis.fetch.bind(globalThis);

/**
 * The first answer for a file is the page's, if it has requested it.
 * @param {RequestInfo | URL} input
 * @param {RequestInit} [init]
 */
async function fetchHanded(input, init) {
  const url = input instanceof Request ? input.url : String(input);
  const file = files.get(url);
  if (!file) return network(input, init);
  files.delete(url);
  const request = new Request(input, init);
  return (await file.take(request.signal)) ?? network(request);
}

globalThis.fetch = fetchHanded;

const { locks } = navigator;
if (locks) {
  const request = locks.request.bind(locks);
  /**
   * The page holds the lock of a file that it has requested, until the load ends: its worker need not wait for it.
   * @param {string} name as src/fetch.rs makes it
   * @param {any[]} rest
   */
  const requestHeld = async (name, ...rest) => {
    const held = await holding.get(name.replace('whylens ', ''))?.promise;
    return held ? rest.at(-1)({ name, mode: 'exclusive' }) : request(name, .../** @type {[any]} */ (rest));
  };
  Object.assign(locks, { request: requestHeld });
}
