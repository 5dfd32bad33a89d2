// model → the WebAssembly module that runs it; the only script that knows pkg/
//
// A worker has at most two modules. The first runs models that have a plan. The whole one is fetched only when it is
// needed: it also runs models without a plan, and packs.

import { sha256 as digestOf } from '../library/digest.js';
import { COMPILE, THREADS, build as best, features } from '../library/features.js';
import * as files from './files.js';
import * as helpers from './helpers.js';
import { PATIENCE, patiently } from '../library/patience.js';

/** @typedef {import('../library/protocol.js').ErrorCode} ErrorCode */
/** @typedef {import('../library/protocol.js').Module} Module */
/** @typedef {import('../library/protocol.js').WireLoadOptions} LoadOptions */
/** @typedef {{ name: string, folder: string }} Build */
/** @typedef {import('../library/patience.js').Patience} Patience */

/** @type {Map<string, Promise<Module>>} by folder */
const starting = new Map();
/** @type {Map<Module, Build>} */
const started = new Map();
/** @type {Map<string, { module: Module, options: LoadOptions }>} by the address of the model */
const homes = new Map();
let failed = 0;
/** What the page asks for, in the address of the worker's script. */
let asked = new URL(location.href).searchParams;
/** The memory of the build with threads. @type {WebAssembly.Memory | null} */
let shared = null;

/** @param {string} address of the worker's script, where another script imports it */
export function importedFrom(address) {
  asked = new URL(address).searchParams;
}

/** Chooses kernels and, where the page leaves it open, the number of threads. @param {Module} module */
export const tune = (module) => module.tune(!asked.has('threads'));

/** Threads that run plans in the build that has them. */
const threads = () => helpers.threads(asked.get('threads'));

/**
 * The module in which this browser runs models that have a plan.
 * @param {Patience} [patience]
 */
export function first(patience = PATIENCE) {
  const found = features();
  const able = found.threads && threads() > 1 && (shared ??= helpers.memory()) !== null;
  return running(best({ ...found, threads: able }, asked.get('build')), patience);
}

/**
 * The module that can do everything.
 * @param {Patience} [patience]
 */
export function whole(patience = PATIENCE) {
  return running(features()[COMPILE.needs] ? COMPILE : undefined, patience);
}

/**
 * @param {Build | undefined} chosen
 * @param {Patience} patience
 */
async function running(chosen, patience) {
  if (!chosen) {
    const why = features().webAssembly
      ? 'this browser runs WebAssembly without SIMD; update it'
      : 'WebAssembly is missing, or switched off by Lockdown Mode or enhanced security; allow it for this site';
    throw coded('unsupported-browser', why);
  }
  return start(chosen, patience);
}

/**
 * The build that runs a model now; null if it is not loaded.
 * @param {string} url
 */
export function build(url) {
  const module = homes.get(url)?.module;
  const { name, folder } = (module && started.get(module)) ?? {};
  return name && folder ? { name, folder, threads: module?.threads?.() ?? 1 } : null;
}

/**
 * The module that a model is in.
 * @param {string} url
 * @param {Patience} [patience]
 */
export async function home(url, patience) {
  return homes.get(url)?.module ?? first(patience);
}

/**
 * Loads a model into the first module, or else, if it has no plan, into the whole one.
 * @param {string} url
 * @param {LoadOptions} options
 * @param {Parameters<Module['load']>[2]} progress
 * @param {AbortSignal} signal
 */
export async function load(url, options, progress, signal) {
  const into = async (/** @type {Module} */ module, /** @type {string | undefined} */ manifest) => {
    homes.set(url, { module, options });
    const memoryElsewhere = elsewhere(module);
    return module.load(url, { ...options, threads: threads(), memoryElsewhere, manifest }, progress, signal);
  };
  let manifest;
  try {
    return await into(await home(url, options), undefined);
  } catch (error) {
    if (!isUnplanned(error)) throw error;
    ({ manifest } = error);
  }
  const module = await whole(options);
  if (!homes.has(url)) throw coded('disposed', `${url} was disposed of while it was loaded`);
  return into(module, manifest);
}

/**
 * The module that a model is in, once heatmaps of these layers can be made there. Layers that are not in the plan
 * need the whole module, so the model moves there.
 * @param {string} url
 * @param {string[]} layers
 */
export async function explaining(url, layers) {
  const module = await home(url);
  if (layers.length === 0) return module;
  try {
    await module.addLayers(url, layers);
    return module;
  } catch (error) {
    if (!isUnplanned(error)) throw error;
  }
  const target = await whole(homes.get(url)?.options);
  await move(url, module, target);
  await target.addLayers(url, layers);
  return target;
}

/**
 * @param {string} url
 * @param {Module} from
 * @param {Module} to
 */
async function move(url, from, to) {
  const { options } = homes.get(url) ?? {};
  const report = from.report(url);
  if (!options || !report) throw coded('disposed', `${url} was disposed of; load it again`);
  const {
    log: { requests },
    parsed,
    optimised,
  } = report;
  const earlier = { requests, parsed, optimised };
  await to.load(url, { ...options, memoryElsewhere: elsewhere(to), earlier }, () => {}, new AbortController().signal);
  from.dispose(url);
  homes.set(url, { module: to, options });
}

/**
 * @param {string} url
 */
export async function dispose(url) {
  const module = await home(url);
  homes.delete(url);
  module.dispose(url);
}

/** The memory of all modules; null before there is one. */
export function memory() {
  if (started.size === 0) return null;
  const sums = { wasm: 0, live: 0, peak: 0 };
  for (const module of started.keys()) {
    const [wasm = 0, live = 0, peak = 0] = module.memoryUse();
    sums.wasm += wasm;
    sums.live += live;
    sums.peak += peak;
  }
  return sums;
}

/** Bytes that the browser refused. */
export function refused() {
  let bytes = 0;
  for (const module of started.keys()) bytes += module.memoryUse()[3] ?? 0;
  return bytes;
}

/**
 * @param {Module} module
 */
function elsewhere(module) {
  let bytes = 0;
  for (const other of started.keys()) if (other !== module) bytes += other.memoryUse()[0] ?? 0;
  return bytes;
}

/**
 * @param {unknown} error
 * @returns {error is { manifest?: string }}
 */
function isUnplanned(error) {
  return /** @type {{ code?: unknown } | undefined} */ (error)?.code === 'unplanned';
}

/**
 * A module, instantiated once: its own `init` does not guard against a second call.
 * @param {Build} build
 * @param {Patience} patience
 */
function start(build, patience) {
  const { folder } = build;
  const before = starting.get(folder);
  if (before) return before;
  const module = instantiate(build, patience).catch((error) => {
    starting.delete(folder);
    throw error;
  });
  starting.set(folder, module);
  return module;
}

/** Modules for later visits; where a page has no origin, even asking for them throws. */
const kept = async () => (await globalThis.caches?.open('whylens')) ?? null;

/**
 * @param {Build} build
 * @param {Patience} patience
 */
async function instantiate(build, patience) {
  const { folder } = build;
  const glue = patiently(patience, () => script(folder));
  glue.catch(() => {});
  const url = files.wasm(folder);
  const sha256 = await files.sha256(folder);
  const cache = sha256 === null ? null : await kept().catch(() => null);
  const key = new URL(`?whylens-sha256=${sha256}`, url);
  // A second visit then makes no request.
  const cached = await cache
    ?.match(key)
    .then((found) => found && sound(found, sha256))
    .catch(() => null);
  if (!cached) await cache?.delete(key).catch(() => {});
  if (cached) await init(glue, folder, responseOf(cached)).catch((error) => refuse(error, url));
  else {
    /** @param {Blob} file */
    const arrived = (file) => {
      if (cache && sha256 !== null) keep(cache, key, file, sha256).catch(() => {});
    };
    await patiently(patience, () => download(folder, url, glue, patience.stallTimeout, arrived));
  }
  const module = await glue;
  started.set(module, build);
  helpers.start(folder, module, threads() - 1);
  return module;
}

/**
 * @param {Promise<Module>} glue
 * @param {string} folder
 * @param {Response} response
 */
async function init(glue, folder, response) {
  const memory = folder === THREADS.folder && shared ? { memory: shared } : {};
  await (await glue).default({ module_or_path: response, ...memory });
}

/**
 * @param {string} folder
 * @returns {Promise<import('../library/patience.js').Attempt<Module>>}
 */
async function script(folder) {
  const url = files.script(folder);
  try {
    return { result: await import(failed ? `${url}?try=${failed}` : url.href) };
  } catch (error) {
    // Browsers remember a script that failed to load, so it is requested under another name.
    failed += 1;
    return { failure: coded('network', `${url} cannot be loaded: ${reason(error)}`) };
  }
}

/**
 * Requests a module's file once, and instantiates the module while it arrives.
 * @param {string} folder
 * @param {URL} url
 * @param {Promise<Module>} glue
 * @param {number} stallTimeout
 * @param {(file: Blob) => void} arrived is told of the whole file while it is still compiled, so that it is kept before
 *   a visitor can be gone
 * @returns {Promise<import('../library/patience.js').Attempt<Blob>>} the file
 */
async function download(folder, url, glue, stallTimeout, arrived) {
  const controller = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(new Error(`no byte came for ${stallTimeout / 1000} s`)), stallTimeout);
  };
  const broken = (/** @type {unknown} */ error) => ({
    failure: coded('network', `${url} cannot be reached: ${reason(error)}; check the connection`),
  });
  alive();
  try {
    const response = await fetch(url, { signal: controller.signal }).catch(broken);
    if ('failure' in response) return response;
    if (!response.ok) {
      const failure = coded(
        'http-status',
        `${url} answered with status ${response.status}; check that www/${folder} was uploaded`,
      );
      if (isPassing(response.status)) return { failure };
      throw failure;
    }
    const copy = read(response.clone(), alive)
      .finally(() => clearTimeout(timer))
      .then((result) => {
        arrived(result);
        return { result };
      }, broken);
    const failed = await init(glue, folder, response).then(
      () => null,
      (error) => ({ error }),
    );
    const attempt = await copy;
    if (failed && 'result' in attempt) refuse(failed.error, url);
    return attempt;
  } finally {
    clearTimeout(timer);
    controller.abort();
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
 * @param {unknown} error
 * @param {URL} url
 * @returns {never}
 */
function refuse(error, url) {
  if (!(error instanceof WebAssembly.CompileError)) throw error;
  throw coded('integrity', `${url} is damaged; upload it again: ${error.message}`);
}

/** @param {ArrayBuffer} bytes */
const responseOf = (bytes) => new Response(bytes, { headers: { 'content-type': 'application/wasm' } });

/**
 * The bytes of a file, if they are the right ones.
 * @param {Response | Blob} file
 * @param {string | null} sha256
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
