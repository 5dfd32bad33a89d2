// build → its module, instantiated: its files are downloaded, checked and kept

import { sha256 as digestOf } from '../library/digest.js';
import { patiently } from '../library/patience.js';
import * as files from './files.js';

/** @typedef {import('../library/protocol.js').ErrorCode} ErrorCode */
/** @typedef {import('../library/protocol.js').Module} Module */
/** @typedef {import('../library/patience.js').Patience} Patience */

/** Scripts that could not be loaded. */
let failed = 0;

/** Modules for later visits; where a page has no origin, even asking for them throws. */
const kept = async () => (await globalThis.caches?.open('whylens')) ?? null;

/**
 * @param {string} folder of a build, such as `run`
 * @param {Patience} patience
 * @param {WebAssembly.Memory | null} memory that it shares with others, or its own
 * @returns {Promise<Module>}
 */
export async function instantiate(folder, patience, memory) {
  /** @type {Promise<Module>} */
  const glue = script(files.glue(folder), patience);
  glue.catch(() => {});
  const url = files.wasm(folder);
  const version = files.version(folder);
  /** @type {string} */
  const sha256 = typeof version === 'string' ? version : await script(version, patience);
  const cache = await kept().catch(() => null);
  const key = new URL(`?whylens-sha256=${sha256}`, url);
  // A second visit then makes no request.
  const cached = await cache
    ?.match(key)
    .then((found) => found && sound(found, sha256))
    .catch(() => null);
  if (!cached) await cache?.delete(key).catch(() => {});
  /** @param {Response} response */
  const init = async (response) => (await glue).default({ module_or_path: response, ...(memory ? { memory } : {}) });
  if (cached) await init(responseOf(cached)).catch((error) => refuse(error, url));
  else {
    let keeping = Promise.resolve();
    /** @param {Blob} file */
    const arrived = (file) => {
      if (cache) keeping = keep(cache, key, file, sha256).catch(() => {});
    };
    const download = new Download(folder, init, patience.stallTimeout, arrived);
    await patiently(patience, () => download.attempt());
    // A small module is compiled sooner than it is kept, and a visitor may then be gone.
    await keeping;
  }
  return glue;
}

/**
 * What a script exports by default, or if that is a function, all that it exports.
 * @param {URL} url
 * @param {Patience} patience
 */
async function script(url, patience) {
  const { stallTimeout } = patience;
  return patiently(patience, async () => {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const stalled = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`it did not come within ${stallTimeout / 1000} s`)), stallTimeout);
    });
    try {
      const result = await Promise.race([import(failed ? `${url}?try=${failed}` : url.href), stalled]);
      if (!result.default) throw new Error('it ends early');
      return { result: typeof result.default === 'function' ? result : result.default };
    } catch (error) {
      // Browsers remember a script that failed to load, so it is requested under another name.
      failed += 1;
      return { failure: coded('network', `${url} cannot be loaded: ${reason(error)}; check the connection`) };
    } finally {
      clearTimeout(timer);
    }
  });
}

/** Requests a module's file, and instantiates the module while it arrives. */
class Download {
  #folder;
  #url;
  #init;
  #stallTimeout;
  #arrived;
  /** What the browser's HTTP cache may do. @type {RequestCache} */
  #mode = 'default';

  /**
   * @param {string} folder
   * @param {(response: Response) => Promise<unknown>} init
   * @param {number} stallTimeout
   * @param {(file: Blob) => void} arrived is told of the whole file while it is still compiled, so that it is kept
   *   before a visitor can be gone
   */
  constructor(folder, init, stallTimeout, arrived) {
    this.#folder = folder;
    this.#url = files.wasm(folder);
    this.#init = init;
    this.#stallTimeout = stallTimeout;
    this.#arrived = arrived;
  }

  /** @returns {Promise<import('../library/patience.js').Attempt<Blob>>} the file */
  async attempt() {
    const controller = new AbortController();
    const url = this.#url;
    const seconds = this.#stallTimeout / 1000;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => controller.abort(new Error(`no byte came for ${seconds} s`)), this.#stallTimeout);
    };
    const broken = (/** @type {unknown} */ error) => ({
      failure: coded('network', `${url} cannot be reached: ${reason(error)}; check the connection`),
    });
    alive();
    try {
      const response = await fetch(url, { signal: controller.signal, cache: this.#mode }).catch(broken);
      if ('failure' in response) return response;
      if (!response.ok) {
        const failure = coded(
          'http-status',
          `${url} answered with status ${response.status}; check that www/${this.#folder} was uploaded`,
        );
        if (isPassing(response.status)) return { failure };
        throw failure;
      }
      const copy = read(response.clone(), alive)
        .finally(() => clearTimeout(timer))
        .then((result) => {
          this.#arrived(result);
          return { result };
        }, broken);
      const failed = await this.#init(response).then(
        () => null,
        (error) => ({ error }),
      );
      const attempt = await copy;
      return failed && 'result' in attempt ? await this.#damaged(attempt.result, failed.error) : attempt;
    } finally {
      clearTimeout(timer);
      controller.abort();
    }
  }

  /**
   * @param {Blob} file that came without an error
   * @param {unknown} error why it is no module
   */
  async #damaged(file, error) {
    if (await isCut(file)) {
      // It may have been kept like this.
      this.#mode = 'reload';
      const failure = coded('network', `${this.#url} ends early, after ${file.size} bytes; check the connection`);
      return { failure };
    }
    return refuse(error, this.#url);
  }
}

/**
 * @param {Response} response
 * @param {() => void} alive is called for each part that arrives
 */
async function read(response, alive) {
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const parts = [];
  const reader = response.body?.getReader();
  for (;;) {
    const { done = true, value } = (await reader?.read()) ?? {};
    if (done || !value) return new Blob(parts, { type: 'application/wasm' });
    alive();
    parts.push(value);
  }
}

/** @param {number} status as in src/fetch/transfer.rs */
const isPassing = (status) => [408, 425, 429].includes(status) || status >= 500;

/** @param {unknown} error */
const reason = (error) => (error instanceof Error ? error.message : String(error));

/**
 * A server that ends a response early without an error leaves a file whose last section ends beyond it.
 * @param {Blob} file
 */
async function isCut(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const magic = [0, ...new TextEncoder().encode('asm')];
  if (!magic.every((byte, at) => at >= bytes.length || bytes[at] === byte)) return false;
  let at = 8;
  while (at < bytes.length) {
    // A section: one byte that names it, its size as LEB128, its content.
    let [size, shift] = [0, 1];
    for (at += 1; ; at += 1, shift *= 128) {
      const byte = bytes[at];
      if (byte === undefined) return true;
      size += (byte & 127) * shift;
      if (byte < 128) break;
    }
    at += 1 + size;
  }
  return at !== bytes.length;
}

/**
 * @param {unknown} error
 * @param {URL} url
 * @returns {never}
 */
function refuse(error, url) {
  if (error instanceof WebAssembly.CompileError)
    throw coded('integrity', `${url} is damaged; upload it again: ${error.message}`);
  if (error instanceof WebAssembly.LinkError)
    throw coded('integrity', `${url} and its script are from different versions; upload both again: ${error.message}`);
  throw error;
}

/** @param {ArrayBuffer} bytes */
const responseOf = (bytes) => new Response(bytes, { headers: { 'content-type': 'application/wasm' } });

/**
 * The bytes of a file, if they are the right ones.
 * @param {Response | Blob} file
 * @param {string} sha256
 */
async function sound(file, sha256) {
  const bytes = await file.arrayBuffer();
  return (await digestOf(bytes)) === sha256 ? bytes : null;
}

/**
 * Keeps a file in the cache if it is the right one, and forgets its other versions.
 * @param {Cache} cache
 * @param {URL} key
 * @param {Blob} file
 * @param {string} sha256
 */
async function keep(cache, key, file, sha256) {
  const bytes = await sound(file, sha256);
  if (!bytes) return;
  // Not the Blob: when the worker ends, Firefox ends its transfer and keeps the part that has arrived.
  await cache.put(key, responseOf(bytes));
  for (const { url } of await cache.keys()) {
    if (url !== key.href && url.startsWith(`${key.origin}${key.pathname}?whylens-sha256=`)) await cache.delete(url);
  }
}

/**
 * @param {ErrorCode} code
 * @param {string} message
 */
export function coded(code, message) {
  return Object.assign(new Error(message), { code });
}
