// address of a model → its first files, requested by the page while the worker starts, and handed to it as they arrive
//
// The worker asks for a file as it always does, and finds the page's answer in place of the network's
// (www/worker/handed.js). Whatever the page could not know or did not get, the worker asks for itself.

import { wasm } from './address.js';
import { build as best, features, threads as meant } from './features.js';

/** @typedef {import('./policy.js').Build} Build */
/** @typedef {import('./policy.js').Threads} Threads */
/**
 * @typedef {object} Wanted
 * @property {string | null} cache name of the browser's cache that is looked into first
 * @property {number} memoryLimit bytes
 * @property {{ build: Build, threads: Threads } | null} worker that is about to start; null: there is one, with its module
 * @property {Weights} [weights] where a page knows them before it has `model.json`
 */
/**
 * @typedef {object} Weights
 * @property {string} url of the file, by which it is kept
 * @property {string} first what the worker requests first: the file, or its first part
 * @property {string} [planes] a smaller file with the same bytes, which the worker undoes
 * @property {number} bytes of the file
 */

/** Weights of more than one part in this many of the memory limit wait until the worker has checked that they fit. */
const SHARE = 8;

/** ms that a whole file waits to be taken. */
const MOST_WAIT = 20_000;

const KEY = Symbol.for('whylens early');

/**
 * What was requested and is not taken yet, by model, and what has not ended: all copies of this script share it.
 * @type {{ begun: Map<string, Early>, active: Set<Early> }}
 */
const { begun, active } = (() => {
  const page = /** @type {{ [KEY]?: { begun: Map<string, Early>, active: Set<Early> } }} */ (globalThis);
  return (page[KEY] ??= { begun: new Map(), active: new Set() });
})();

/**
 * Requests the first files of a model, unless that was done, and keeps them until `take` is called.
 * @param {string} url of `model.json`
 * @param {Wanted} wanted
 */
export function begin(url, wanted) {
  if (!begun.has(url)) begun.set(url, new Early(url, wanted));
}

/**
 * The first files of a model, requested earlier or now.
 * @param {string} url of `model.json`
 * @param {Wanted} wanted
 */
export function take(url, wanted) {
  const early = begun.get(url);
  begun.delete(url);
  const taken = early && !early.over ? early : new Early(url, wanted);
  taken.taken = true;
  return taken;
}

/** The build that the worker is going to choose (www/worker/modules.js). @param {{ build: Build, threads: Threads }} asked */
function folder({ build, threads }) {
  const found = features();
  return best({ ...found, threads: found.threads && meant(threads) > 1 }, build)?.folder;
}

class Early {
  #channel = new MessageChannel();
  #wanted;
  /** Stops everything. */
  #stop = new AbortController();
  /** Of each request that is under way, by its address. @type {Map<string, AbortController>} */
  #transfers = new Map();
  /** What is requested when the worker asks for it, by its address. @type {Map<string, () => void>} */
  #waiting = new Map();
  /** Whether a load has come for it. */
  taken = false;
  /** Whether it came to an end. */
  over = false;
  /** Where the worker hears of it all. */
  port = this.#channel.port2;
  /** What the worker finds there. @type {string[]} */
  urls = [];

  /**
   * @param {string} url
   * @param {Wanted} wanted
   */
  constructor(url, wanted) {
    this.#wanted = wanted;
    active.add(this);
    this.#channel.port1.onmessage = ({ data }) => {
      this.#transfers.get(data.cancel)?.abort();
      this.#waiting.get(data.take)?.();
    };
    if (!isWeb(url)) return;
    this.#manifest(url);
    const build = wanted.worker && folder(wanted.worker);
    if (build) this.#module(wasm(build).href);
    if (wanted.weights) this.#weights(wanted.weights);
  }

  /** Ends what was not taken, and lets other pages go on. */
  end() {
    this.over = true;
    active.delete(this);
    this.#stop.abort();
    for (const transfer of this.#transfers.values()) transfer.abort();
    this.#channel.port1.close();
  }

  /** @param {string} url */
  #module(url) {
    this.#expect(url);
    void kept('whylens', url).then((found) => (found ? this.#decline(url) : this.#send(url, 'default')));
  }

  /** @param {string} url */
  #manifest(url) {
    this.#expect(url);
    void this.#send(url, 'no-cache', {
      onText: (text) => this.#wanted.weights ?? this.#weights(named(text, url)),
    });
  }

  /** Requests the weights, unless they are kept or another page is about to keep them. @param {Weights | null} weights */
  #weights(weights) {
    if (!weights || !isWeb(weights.first)) return;
    const { cache, memoryLimit, worker } = this.#wanted;
    const { url, first } = weights;
    const planes = canRead() ? weights.planes : undefined;
    const request = () => this.#send(first, cache ? 'no-store' : 'default', { planes });
    // A worker that runs has checked `model.json` before a request here would be of use.
    if (!worker) {
      if (!planes) return;
      this.#waiting.set(first, () => void request());
      this.#expect(first);
      return this.#tell({ url: first, held: false });
    }
    if (!(weights.bytes * SHARE <= memoryLimit)) return;
    // Models are loaded one after the other, so that their peaks of memory do not add up.
    if (active.size > 1) return;
    this.#expect(url);
    if (first !== url) this.#expect(first);
    const decline = () => this.#decline(url, first);
    const get = async (/** @type {unknown} */ lock) => {
      if (lock === null || (cache && (await kept(cache, url)))) return decline();
      this.#tell({ url, held: lock !== undefined });
      if (first !== url) this.#decline(url);
      await request();
      if (lock !== undefined) await this.#ended();
    };
    const { locks } = globalThis.navigator ?? {};
    if (!cache || !locks) void get(undefined);
    // The name is that of src/fetch.rs; www/worker/handed.js tells it that the lock is this page's.
    else locks.request(`whylens ${url}`, { ifAvailable: true }, get).catch(decline);
  }

  /** Resolves when the load has ended, or when none has come for what was requested. @returns {Promise<void>} */
  #ended() {
    const { signal } = this.#stop;
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const timer = setTimeout(() => this.taken || this.end(), MOST_WAIT);
      const ended = () => (clearTimeout(timer), resolve());
      signal.addEventListener('abort', ended, { once: true });
    });
  }

  /**
   * @param {string} url
   * @param {RequestCache} cache
   * @param {{ onText?: (text: string) => void, planes?: string | undefined }} [options] `onText` is told of the whole text
   *   before the worker knows that it is whole
   */
  async #send(url, cache, { onText, planes } = {}) {
    if (this.over) return;
    const controller = new AbortController();
    this.#transfers.set(url, controller);
    try {
      const response = await fetch(planes ?? url, { signal: controller.signal, cache, priority: priority() });
      const { status } = response;
      if (planes && !response.ok) return this.#decline(url);
      const headers = [...response.headers];
      this.#tell(planes ? { url, status, planes: true } : { url, status, headers });
      const decoder = new TextDecoder();
      let text = '';
      const reader = response.body?.getReader();
      for (;;) {
        const { done = true, value } = (await reader?.read()) ?? {};
        if (done || !value) break;
        if (onText) text += decoder.decode(value, { stream: true });
        this.#tell({ url, part: value }, [value.buffer]);
      }
      if (response.ok) onText?.(text + decoder.decode());
      this.#tell({ url, end: true });
    } catch (error) {
      this.#tell({ url, broken: error instanceof Error ? error.message : String(error) });
    }
  }

  /** @param {string} url */
  #expect(url) {
    this.urls.push(url);
    this.#tell({ url });
  }

  /** Leaves files to the worker. @param {string[]} urls */
  #decline(...urls) {
    for (const url of urls) this.#tell({ url, held: false, declined: true });
  }

  /** @param {object} message @param {Transferable[]} [transfer] */
  #tell(message, transfer = []) {
    if (!this.#stop.signal.aborted) this.#channel.port1.postMessage(message, transfer);
  }
}

/**
 * Over HTTP/1.1, requests beyond six wait for a connection, the page's own scripts among them: large files are no use
 * behind these. Over HTTP/2 and 3 all requests are under way at once, and a large file would keep the scripts waiting.
 * @returns {RequestPriority}
 */
function priority() {
  const [navigation] = globalThis.performance?.getEntriesByType?.('navigation') ?? [];
  const { nextHopProtocol = '' } = /** @type {{ nextHopProtocol?: string }} */ (navigation ?? {});
  return nextHopProtocol.startsWith('http/1') ? 'high' : 'low';
}

/** Whether this browser undoes the compression of planes. */
const canRead = () => typeof DecompressionStream === 'function';

/** @param {string} url */
const isWeb = (url) => /^https?:/.test(url);

/**
 * Whether any version of a file is kept: the worker then decides what it is worth.
 * @param {string} cache
 * @param {string} url
 */
async function kept(cache, url) {
  try {
    return (await (await caches.open(cache)).match(url, { ignoreSearch: true })) !== undefined;
  } catch {
    return false;
  }
}

/**
 * The weights that `model.json` names; whether it is right is for the worker to say.
 * @param {string} text
 * @param {string} manifest its address
 * @returns {Weights | null}
 */
function named(text, manifest) {
  try {
    const { file, bytes, parts, planes } = JSON.parse(text).weights;
    const of = (/** @type {string} */ name) => new URL(name, manifest).href;
    const smaller = planes ? { planes: of(planes.file) } : {};
    return { url: of(file), first: of(parts?.[0]?.file ?? file), bytes, ...smaller };
  } catch {
    return null;
  }
}
