// model → the WebAssembly module that runs it
//
// A worker has at most two modules. The first runs models that have a plan. The whole one is fetched only when it is
// needed: it also runs models without a plan, and packs.

import { COMPILE, THREADS, build as best, features, threads as meant } from '../library/features.js';
import { PATIENCE } from '../library/patience.js';
import * as files from './files.js';
import * as helpers from './helpers.js';
import { coded, instantiate } from './instance.js';

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

/** Threads that are wanted. */
const wanted = () => meant(asked.get('threads'));

/** Threads that run plans in the build that has them: one until the page is isolated. */
const threads = () => (features().crossOriginIsolated ? wanted() : 1);

/**
 * The module in which this browser runs models that have a plan.
 * @param {Patience} [patience]
 */
export function first(patience = PATIENCE) {
  const found = features();
  const able = found.threads && wanted() > 1 && (shared ??= helpers.memory()) !== null;
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
 * The module that a model is in, once heatmaps of these layers by this method can be made there. Layers that are not in
 * the plan need the whole module, so the model moves there; the layer of a method may be the input.
 * @param {string} url
 * @param {string[]} layers
 * @param {string} [method]
 */
export async function explaining(url, layers, method) {
  const module = await home(url);
  if (layers.length === 0 && method === undefined) return module;
  try {
    await module.addLayers(url, layers, method);
    return module;
  } catch (error) {
    if (!isUnplanned(error)) throw error;
  }
  const target = await whole(homes.get(url)?.options);
  await move(url, module, target);
  await target.addLayers(url, layers, method);
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

/**
 * What another worker needs to decode and resize photos for a model of this one.
 * @param {string} url
 * @returns {Promise<import('../library/protocol.js').Shared>}
 */
export async function share(url) {
  const module = await home(url);
  const folder = started.get(module)?.folder ?? '';
  return { folder, compiled: module.compiled(), input: module.inputOf(url) };
}

/**
 * The module of another worker, with a memory of its own here.
 * @param {import('../library/protocol.js').Shared} shared
 */
export function join({ folder, compiled }) {
  const before = starting.get(folder);
  if (before) return before;
  const joining = async () => {
    /** @type {Module} */
    const glue = await import(files.glue(folder).href).catch((error) => {
      throw coded('network', `a script of the worker cannot be loaded: ${error.message}; try again`);
    });
    const memory = folder === THREADS.folder ? helpers.memory() : null;
    glue.initSync({ module: compiled, ...(memory ? { memory } : {}) });
    started.set(glue, { name: folder, folder });
    return glue;
  };
  const module = joining();
  starting.set(folder, module);
  return module;
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
  const memory = folder === THREADS.folder ? shared : null;
  const module = instantiate(folder, patience, memory).then(
    (module) => {
      started.set(module, build);
      helpers.start(folder, module, threads() - 1);
      return module;
    },
    (error) => {
      starting.delete(folder);
      throw error;
    },
  );
  starting.set(folder, module);
  return module;
}
