// The library's entry: load() → Classifier.

import { Connection } from './connection.js';
import { WhylensError, badOption, cancelled, until } from './errors.js';
import { build, features } from './features.js';
import { worker } from './files.js';
import { Guard } from './guard.js';
import { checkOptions, classifyOptions, heatmapOptions } from './options.js';
import { fileOf, inWorker } from './packing.js';
import { identify, pack } from './photo.js';
import { checkSwitches, decide, scriptAttribute, signals, switches } from './policy.js';

/** @typedef {import('./protocol.js').ClassifyOptions} ClassifyOptions */
/** @typedef {import('./protocol.js').Heatmap} Heatmap */
/** @typedef {import('./protocol.js').HeatmapOptions} HeatmapOptions */
/** @typedef {import('./protocol.js').LoadOptions} LoadOptions */
/** @typedef {import('./protocol.js').ModelInfo} ModelInfo */
/** @typedef {import('./protocol.js').Inspection} Inspection */
/** @typedef {import('./protocol.js').PackedModel} PackedModel */
/** @typedef {import('./protocol.js').PackingOptions} PackingOptions */
/** @typedef {import('./protocol.js').PackOptions} PackOptions */
/** @typedef {import('./protocol.js').Photo} Photo */
/** @typedef {import('./protocol.js').Progress} Progress */
/** @typedef {import('./protocol.js').RenderOptions} RenderOptions */
/** @typedef {import('./protocol.js').Report} Report */
/** @typedef {import('./protocol.js').Result} Result */
/** @typedef {import('./protocol.js').Size} Size */

/** Name of the browser's cache that models are kept in. */
const CACHE = 'whylens';

/** Bytes that the worker's memory may grow after loading before it is replaced. */
const MOST_GROWTH = 96e6;

/** Share of the memory limit past which `health()` warns. */
const WARN_SHARE = 0.8;

/** Crashes of the worker on one input after which it is not tried again. */
const MOST_CRASHES = 3;

/**
 * What all copies of this script on a page share.
 * @typedef {object} Registry
 * @property {Connection | null} connection the one worker
 * @property {Map<string, Entry>} models by address
 * @property {Map<string, Classifier>} failed the last load of each model that cannot be loaded
 * @property {Map<string, number>} crashes in a row, by input
 * @property {import('./policy.js').Build} build of the module that the next worker runs
 * @property {number} restarts workers that died
 * @property {number} renewals workers that were replaced because they had grown
 * @property {number} atRest bytes of the worker's memory after the last load
 * @property {number} toStop ms that the worker has to hear that a call was given up
 * @property {number} idleTime ms without a call before a worker that has grown is replaced
 * @property {((input: string) => import('./protocol.js').Fault | undefined) | undefined} provoke for tests
 */

/** @typedef {{ classifier: Classifier, lazy: Promise<Classifier>, eager: Promise<Classifier> | null }} Entry */

const KEY = Symbol.for('whylens');
const page = /** @type {{ [KEY]?: Registry }} */ (globalThis);
/** @type {Registry} */
const registry = (page[KEY] ??= {
  connection: null,
  models: new Map(),
  failed: new Map(),
  crashes: new Map(),
  build: 'auto',
  restarts: 0,
  renewals: 0,
  atRest: 0,
  toStop: 10_000,
  idleTime: 3000,
  provoke: undefined,
});

export { WhylensError };

/** The worker's script, which is told the build in its address. */
function script() {
  const url = worker();
  if (registry.build !== 'auto') url.searchParams.set('build', registry.build);
  return url;
}

/**
 * The worker, a new one where there is none or the last one died.
 */
function connect() {
  if (!registry.connection?.alive) {
    registry.connection = new Connection(script(), (error, input) => {
      if (error.code !== 'network') registry.restarts += 1;
      if (input !== null) registry.crashes.set(input, (registry.crashes.get(input) ?? 0) + 1);
    }, registry.toStop);
  }
  return /** @type {Connection} */ (registry.connection);
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let idle;

/**
 * WebAssembly memory never shrinks: a worker that a huge photo made large is replaced by a new one, from
 * the cache, as soon as nothing is asked of it for a while.
 */
function renewWhenIdle() {
  clearTimeout(idle);
  const { connection, atRest } = registry;
  if (!connection?.memory || connection.memory.wasm < atRest + MOST_GROWTH) return;
  idle = setTimeout(() => renew(connection).catch(() => {}), registry.idleTime);
}

/**
 * @param {Connection} connection
 */
async function renew(connection) {
  const classifiers = [...registry.models.values()].map(({ classifier }) => classifier);
  if (!connection.alive || !classifiers.every(({ movable }) => movable)) return;
  const free = () => connection.busy === 0 && !classifiers.some(({ loading }) => loading);
  if (!free()) return renewWhenIdle();
  const moves = await Promise.all(classifiers.map((classifier) => classifier.pack()));
  if (!free()) return renewWhenIdle();
  connection.close(new WhylensError('worker-crashed', 'the worker was replaced'));
  registry.renewals += 1;
  for (const move of moves) await move();
}

/**
 * Runs a call that may end the worker, unless this input ended it too often.
 * @template T
 * @param {string} input
 * @param {() => Promise<T>} run
 */
async function carefully(input, run) {
  const crashes = registry.crashes.get(input) ?? 0;
  if (crashes >= MOST_CRASHES) {
    const message = `this input ended the worker ${crashes} times in a row and is not tried again`;
    throw new WhylensError('worker-crashed', message);
  }
  const result = await run();
  registry.crashes.delete(input);
  return result;
}

/**
 * The address of a model's `model.json`, relative to the page.
 * @param {string | URL} model folder or `model.json`
 */
function manifestUrl(model) {
  if (typeof model !== 'string' && !(model instanceof URL)) {
    throw badOption(`the model is ${String(model)}, expected the address of a model folder`);
  }
  let url;
  try {
    url = new URL(model, globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch (error) {
    throw new WhylensError('bad-option', `"${model}" is not an address`, error);
  }
  if (!url.pathname.endsWith('.json')) {
    url.pathname += url.pathname.endsWith('/') ? 'model.json' : '/model.json';
  }
  url.hash = '';
  return url.href;
}

/**
 * A model's classifier: the same one for everybody on the page. Resolves when the model is ready, or at
 * once where it is loaded on first use. A load that failed is forgotten: the next call tries again. The
 * options of the call that came first hold.
 *
 * @param {string | URL} model address of a model folder or its `model.json`, relative to the page
 * @param {LoadOptions} [options]
 * @returns {Promise<Classifier>}
 */
export function load(model, options = {}) {
  try {
    checkOptions(options);
    return start(manifestUrl(model), options);
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * @param {string} url
 * @param {LoadOptions} options
 * @returns {Promise<Classifier>}
 */
function start(url, options) {
  const { signal, onProgress, preload } = options;
  if (signal?.aborted) return Promise.reject(cancelled(signal));
  let entry = registry.models.get(url);
  if (!entry) {
    const classifier = new Classifier(CREATE, url, options);
    if (!registry.connection?.alive) registry.build = classifier.build;
    entry = { classifier, lazy: Promise.resolve(classifier), eager: null };
    registry.models.set(url, entry);
    registry.failed.delete(url);
  }
  const { classifier } = entry;
  if (onProgress) classifier.listen(onProgress);
  if (preload === 'eager') classifier.policy = { eager: true, reason: 'eager was asked for' };
  if (!classifier.policy.eager) return entry.lazy;

  const shared = entry;
  const promise = signal
    ? classifier.load({ signal }).then(() => classifier)
    : (shared.eager ??= classifier.load().then(() => classifier));
  promise.catch(() => {
    if (shared.eager === promise) shared.eager = null;
    if (classifier.model || classifier.loading || registry.models.get(url) !== shared) return;
    registry.models.delete(url);
    registry.failed.set(url, classifier);
  });
  return promise;
}

/** Keeps `new Classifier` to this module. */
const CREATE = Symbol('create');

/**
 * A model that classifies photos and explains what it saw. Made by {@link load}.
 */
export class Classifier {
  #url;
  #options;
  #switches;
  /** @type {Guard<void>} */
  #guard = new Guard();
  /** @type {Connection | null} the worker that holds the model */
  #home = null;
  /** @type {Promise<unknown>} */
  #order = Promise.resolve();
  /** Photos that wait for an answer. */
  #photos = 0;
  /** @type {Set<(progress: Progress) => void>} */
  #listeners = new Set();
  /** @type {Progress | null} */
  #progress = null;
  /** @type {Report | null} */
  #report = null;
  /** What was done by workers that are gone. */
  #counters = { weightsRequested: 0, parsed: 0, optimised: 0, loads: 0 };
  /** @type {import('./protocol.js').Snapshot | null} the last photo, on its way to another worker */
  #kept = null;
  /** @type {{ code: string, message: string } | null} */
  #lastError = null;
  /** @type {Size | null} */
  #image = null;
  /** @type {WeakMap<Heatmap, Size>} */
  #images = new WeakMap();
  #disposed = false;
  /** @type {(value?: undefined) => void} */
  #setReady = () => {};
  /** @type {(error: unknown) => void} */
  #setFailed = () => {};

  /** What the model is; none before it is ready for the first time. @type {ModelInfo | null} */
  model = null;

  /** Whether the model is loaded before it is needed, and why. @type {import('./policy.js').Decision} */
  policy;

  /**
   * Resolves when the model is ready for the first time; starts nothing. Rejects when it is disposed of
   * before.
   * @type {Promise<void>}
   */
  ready;

  /**
   * @param {symbol} create
   * @param {string} url
   * @param {LoadOptions} options
   */
  constructor(create, url, options) {
    if (create !== CREATE) throw new TypeError('a Classifier is made by load()');
    this.#url = url;
    this.#options = options;
    const query = globalThis.location?.search ?? '';
    const warn = (/** @type {string} */ message) => console.warn(`whylens: ${message}`);
    this.#switches = switches(options, { query, attribute: scriptAttribute }, warn);
    this.policy = decide(this.#switches.preload, signals());
    this.ready = new Promise((resolve, reject) => {
      this.#setReady = resolve;
      this.#setFailed = reject;
    });
    this.ready.catch(() => {});
  }

  /** The build of the module that was asked for. */
  get build() {
    return this.#switches.build;
  }

  /** Whether the model is being loaded. */
  get loading() {
    return this.#guard.busy;
  }

  /**
   * Tells of the progress of the load under way, or else of the next one, until it ends.
   * @param {(progress: Progress) => void} onProgress
   */
  listen(onProgress) {
    this.#listeners.add(onProgress);
    if (this.#progress) onProgress(this.#progress);
  }

  /**
   * Makes the model ready; does nothing where it is. Every other method does so by itself.
   * @param {{ signal?: AbortSignal, onProgress?: (progress: Progress) => void }} [options]
   * @returns {Promise<void>}
   */
  load({ signal, onProgress } = {}) {
    if (this.#disposed) return Promise.reject(new WhylensError('disposed', `${this.#url} was disposed of; load it again`));
    if (this.#home?.alive) return Promise.resolve();
    if (onProgress) this.listen(onProgress);
    return this.#guard.join((stop) => this.#open(stop), signal);
  }

  /**
   * @param {AbortSignal} signal
   */
  async #open(signal) {
    const { cache = true, retries = 3, retryDelay = 500, stallTimeout = 20000, language } = this.#options;
    const { heatmap, memoryLimit } = this.#switches;
    const languages = language === undefined ? [...(globalThis.navigator?.languages ?? [])] : [language].flat();
    const warmUp = this.#photos === 0;
    const options = { heatmap, memoryLimit, warmUp, languages, cache: cache ? CACHE : null, retries, retryDelay, stallTimeout };
    const onProgress = (/** @type {Progress} */ progress) => {
      this.#progress = progress;
      for (const listener of this.#listeners) listener(progress);
    };
    try {
      const input = `load ${this.#url}`;
      const connection = connect();
      const { model, report } = await carefully(input, () =>
        connection.call({ type: 'load', url: this.#url, options }, { signal, input, onProgress }),
      );
      if (this.#disposed) throw new WhylensError('disposed', `${this.#url} was disposed of while it was loaded`);
      if (this.#kept) await connection.call({ type: 'restore', url: this.#url, snapshot: this.#kept });
      this.#kept = null;
      const { weightsRequested, parsed, optimised, loads } = this.#count();
      this.#counters = { weightsRequested, parsed, optimised, loads };
      this.#report = report;
      this.#home = connection;
      this.model = model;
      registry.atRest = connection.memory?.wasm ?? 0;
      for (const warning of report.warnings) console.warn(`whylens: ${warning}`);
      this.#listeners.clear();
      this.#setReady();
    } catch (error) {
      this.#note(error);
      throw error;
    } finally {
      this.#progress = null;
    }
  }

  /**
   * The worker with the model: a new one where the last does not stop what was given up.
   * @param {AbortSignal} [signal]
   */
  async #worker(signal) {
    await this.load({ signal });
    await until(connect().hearing(), signal);
    await this.load({ signal });
    return connect();
  }

  /**
   * Classifies a photo and, unless it is told otherwise, explains the most probable class.
   * @param {Photo} photo
   * @param {ClassifyOptions} [options]
   * @returns {Promise<Result>}
   */
  async classify(photo, options = {}) {
    const { signal, transfer = false, onProgress } = options;
    const checked = classifyOptions(options, this.#options);
    const input = identify(photo);
    const before = this.#order;
    const packed = pack(photo, transfer);
    packed.catch(() => {});
    this.#photos += 1;
    const answer = (async () => {
      await until(before, signal);
      const { photo: message, transfer: transferred } = await packed;
      return carefully(input, async () => {
        const connection = await this.#worker(signal);
        if (options.heatmap === undefined && !this.model?.methods.length) checked.heatmap = null;
        const provoke = registry.provoke?.(input);
        const call = /** @type {const} */ ({ type: 'classify', url: this.#url, photo: message, options: checked, provoke });
        return connection.call(call, { transfer: transferred, signal, input, onProgress });
      });
    })();
    // The next photo waits for this one to be on its way, whatever becomes of it.
    this.#order = Promise.all([before, answer.catch(() => {})]);
    try {
      const result = /** @type {Result} */ (await answer);
      this.#image = result.image;
      renewWhenIdle();
      if (result.heatmap) this.#images.set(result.heatmap, result.image);
      return result;
    } catch (error) {
      this.#note(error);
      throw error;
    } finally {
      this.#photos -= 1;
    }
  }

  /**
   * Explains another class of the last photo, with no second run of the network. The method `occlusion`
   * needs many runs: it tells how far it is, and can be stopped.
   * @param {HeatmapOptions} [options]
   * @returns {Promise<Heatmap>}
   */
  async heatmap(options = {}) {
    const checked = heatmapOptions(options);
    const { signal, onProgress } = options;
    await until(this.#order, signal);
    const connection = await this.#worker(signal);
    const heatmap = await connection.call({ type: 'heatmap', url: this.#url, options: checked }, { signal, onProgress });
    if (this.#image) this.#images.set(heatmap, this.#image);
    return heatmap;
  }

  /**
   * A photo as this library reads it, upright, for formats that the browser cannot show.
   * @param {Blob | ArrayBuffer} photo
   * @param {{ longest?: number, maxPixels?: number, signal?: AbortSignal }} [options] `longest`: most pixels of a side
   * @returns {Promise<ImageBitmap>}
   */
  async decode(photo, { longest = Infinity, maxPixels, signal } = {}) {
    const limits = classifyOptions({ maxPixels }, this.#options);
    const call = /** @type {const} */ ({ type: 'decode', photo, maxPixels: limits.maxPixels, longest });
    return connect().call(call, { signal, input: identify(photo) });
  }

  /**
   * Draws a heatmap, to be laid over the photo it explains.
   * @param {Heatmap} heatmap
   * @param {RenderOptions} [options]
   * @returns {Promise<ImageData>}
   */
  async render(heatmap, options = {}) {
    const image = options.image ?? this.#images.get(heatmap) ?? this.#image;
    const { width = image?.width, height = image?.height, colormap = 'inferno', opacity = 0.6, signal } = options;
    if (!image || !width || !height) throw badOption('the size of the picture is not known; give width, height and image');
    await this.load({ signal });
    const call = { heatmap, options: { width, height, colormap, opacity, image } };
    const rgba = await connect().call({ type: 'render', ...call }, { signal });
    return new ImageData(rgba, width, height);
  }

  /**
   * How the model is: loaded or not, why, how long it took, what it costs.
   * @param {{ verbose?: boolean }} [options]
   * @returns {Promise<import('./protocol.js').Health>}
   */
  async health({ verbose = false } = {}) {
    const home = this.#home?.alive ? this.#home : null;
    const state = home && (await home.call({ type: 'state', url: this.#url }).catch(() => null));
    if (state?.report && home === this.#home) this.#report = state.report;
    const report = this.#report;
    const status = this.loading ? 'loading' : home ? 'ready' : this.#lastError ? 'error' : 'idle';
    const { memoryLimit, preload, heatmap } = this.#switches;
    const memory = state?.memory ?? null;
    const share = memory && memory.wasm / memoryLimit;
    const { model } = this;
    /** @type {import('./protocol.js').Health} */
    const health = {
      status,
      model_loaded: status === 'ready',
      message: this.#message(status),
      model: model && { name: model.name, version: model.version, sha256: model.sha256, bytes: model.bytes },
      build: build(features(), registry.build)?.name ?? null,
      memory: memory && {
        ...memory,
        limit: memoryLimit,
        share,
        estimated: report?.estimated ?? 0,
        needed: report?.needed ?? 0,
      },
      timing: report?.timing ?? null,
      counters: this.#count(),
      warnings: [
        ...(report?.warnings ?? []),
        ...(share && share > WARN_SHARE ? [`${Math.round(share * 100)} % of the memory limit are used`] : []),
      ],
    };
    if (!verbose) return health;
    return {
      ...health,
      url: this.#url,
      policy: { ...this.policy, preload, signals: signals() },
      heatmap,
      features: features(),
      cache: report && { fromCache: report.log.fromCache, cached: report.log.cached },
      notes: report?.log.notes ?? [],
      lastError: this.#lastError,
    };
  }

  /**
   * @param {string} status
   */
  #message(status) {
    if (status === 'ready') return 'the model is ready';
    if (status === 'loading') return 'the model is being loaded';
    if (status === 'error') return `${this.#lastError?.code}: ${this.#lastError?.message}`;
    return `the model is loaded on first use: ${this.policy.reason}`;
  }

  /** What was done for this model on this page, by workers that are gone too. */
  #count() {
    const past = this.#counters;
    const now = this.#report;
    return {
      weightsRequested: past.weightsRequested + (now?.log.requests ?? 0),
      parsed: past.parsed + (now?.parsed ?? 0),
      optimised: past.optimised + (now?.optimised ?? 0),
      loads: past.loads + (now ? 1 : 0),
      crashes: registry.restarts,
      renewals: registry.renewals,
    };
  }

  /**
   * Lets go of the model and of its memory. Calls under way and later ones reject with `disposed`.
   */
  async dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    const gone = new WhylensError('disposed', `${this.#url} was disposed of; load it again`);
    this.#setFailed(gone);
    if (registry.models.get(this.#url)?.classifier === this) registry.models.delete(this.#url);
    const connection = registry.connection;
    if (!connection?.alive) return;
    if (registry.models.size === 0) connection.close(gone);
    else await connection.call({ type: 'dispose', url: this.#url });
  }

  /**
   * Whether the model can be moved to a new worker without a download.
   */
  get movable() {
    return this.#home === null || this.#url.startsWith('blob:') || (this.#report?.log.cached ?? false);
  }

  /**
   * Takes the last photo out of the worker, to show it to the next one.
   * @returns {Promise<() => Promise<void>>} what puts the model into a new worker
   */
  async pack() {
    if (!this.#home?.alive) return async () => {};
    const snapshot = await this.#home.call({ type: 'snapshot', url: this.#url });
    return () => {
      this.#kept = snapshot ?? null;
      return this.load();
    };
  }

  /**
   * @param {unknown} error
   */
  #note(error) {
    if (!(error instanceof WhylensError) || error.code === 'cancelled') return;
    this.#lastError = { code: error.code, message: error.message };
  }
}

/**
 * The health of a model, also of one whose load failed or was never asked for.
 * @param {string | URL} model
 * @param {{ verbose?: boolean }} [options]
 */
export async function health(model, options) {
  const url = manifestUrl(model);
  const classifier = registry.models.get(url)?.classifier ?? registry.failed.get(url) ?? new Classifier(CREATE, url, {});
  return classifier.health(options);
}

/**
 * Tells what an ONNX file is: its inputs, classes and layers, and what it does not say of itself.
 * @param {import('./packing.js').ModelFile} model
 * @param {PackingOptions & { options?: Partial<PackOptions> }} [options]
 * @returns {Promise<Inspection>}
 */
export async function inspectModel(model, { beside = {}, options = {}, memoryLimit, ...rest } = {}) {
  const call = { model: fileOf(model), beside, options: { memoryLimit: left(memoryLimit), options: { name: 'model', ...options } } };
  return inWorker({ type: 'inspect', ...call }, script(), rest);
}

/**
 * Makes a model folder of an ONNX file, checked, its weights in half precision, as `whylens pack` does.
 * @param {import('./packing.js').ModelFile} model
 * @param {string | readonly string[]} labels in class order; text: one a line
 * @param {PackOptions | import('./protocol.js').Manifest} description what the graph does not say of itself, or the
 *   `model.json` that came with the file
 * @param {PackingOptions} [options]
 * @returns {Promise<PackedModel>}
 */
export async function packModel(model, labels, description, { beside = {}, memoryLimit, ...rest } = {}) {
  const given = 'format' in description ? { manifest: JSON.stringify(description), options: { name: '' } } : { options: description };
  const call = { model: fileOf(model), beside, labels: [labels].flat().join('\n'), options: { memoryLimit: left(memoryLimit), ...given } };
  return inWorker({ type: 'pack', ...call }, script(), rest);
}

/**
 * Bytes of memory that a second worker may use beside the first.
 * @param {number | undefined} memoryLimit
 */
function left(memoryLimit) {
  checkSwitches({ memoryLimit });
  const query = globalThis.location?.search ?? '';
  const limit = switches({ memoryLimit }, { query, attribute: scriptAttribute }, () => {}).memoryLimit;
  const connection = registry.connection;
  return Math.max(0, limit - (connection?.alive ? connection.memory?.wasm ?? 0 : 0));
}

/**
 * Forgets every model that the browser keeps for this site; the next load downloads it again.
 * @returns {Promise<boolean>} whether there was anything to forget
 */
export async function clearCache() {
  try {
    return await caches.delete(CACHE);
  } catch {
    return false;
  }
}
