// A model on the page: photos → results → heatmaps; also its health and its moves between workers.

import { WhylensError, badOption, isA, shown, until } from './errors.js';
import { take } from './early.js';
import { features } from './features.js';
import { insecure, isInsecure } from './insecure.js';
import { Guard } from './guard.js';
import {
  checkDrawn,
  checkOptions,
  checkWaiting,
  classifyOptions,
  featuresOptions,
  heatmapOf,
  heatmapOptions,
  read,
  madeBy,
  renderOptions,
  stabilityOptions,
} from './options.js';
import { Inputs } from './inputs.js';
import { PATIENCE } from './patience.js';
import { persist, persisted } from './persistence.js';
import { checkPhoto, identify, pack } from './photo.js';
import { decide, scriptAttribute, signals, switches } from './policy.js';
import { carefully, connect, registry } from './registry.js';

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./protocol.js').ClassifyOptions} ClassifyOptions */
/** @typedef {import('./protocol.js').Heatmap} Heatmap */
/** @typedef {import('./protocol.js').HeatmapOptions} HeatmapOptions */
/** @typedef {import('./protocol.js').LoadOptions} LoadOptions */
/** @typedef {import('./protocol.js').ModelInfo} ModelInfo */
/** @typedef {import('./protocol.js').Photo} Photo */
/** @typedef {import('./protocol.js').Progress} Progress */
/** @typedef {import('./protocol.js').RenderOptions} RenderOptions */
/** @typedef {import('./protocol.js').Report} Report */
/** @typedef {import('./protocol.js').Result} Result */

/** Name of the browser's cache that models are kept in. */
export const CACHE = 'whylens';

/** Bytes that the worker's memory may grow after loading before it is replaced. */
const MOST_GROWTH = 96e6;

/** Share of the memory limit past which the library warns. */
const WARN_SHARE = 0.8;

/**
 * @param {import('./protocol.js').Memory | null} memory
 * @param {number} limit
 */
function warningsOf(memory, limit) {
  const share = ((memory?.wasm ?? 0) + registry.ahead.memory) / limit;
  return share > WARN_SHARE ? [`${Math.round(share * 100)} % of the memory limit is used`] : [];
}

/** A private window of WebKit forgets a cache that only a worker holds as soon as that worker ends. */
async function holdCache() {
  registry.cache = await globalThis.caches?.open(CACHE);
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let idle;

/**
 * WebAssembly memory never shrinks: a worker that has grown, through a huge photo or through a model that
 * was refused or disposed of, is replaced by a new one, from the cache, once it has been idle for a while.
 */
function renewWhenIdle() {
  clearTimeout(idle);
  const { connection } = registry;
  if (connection && hasGrown(connection)) idle = setTimeout(() => renew(connection).catch(() => {}), registry.idleTime);
}

/**
 * @param {Connection} connection
 */
const hasGrown = ({ alive, memory }) => alive && memory !== null && memory.wasm >= registry.atRest + MOST_GROWTH;

/**
 * @param {Connection} connection
 * @param {Classifier} [newcomer] that is about to be loaded
 */
async function renew(connection, newcomer) {
  const classifiers = [...registry.models.values()]
    .map(({ classifier }) => classifier)
    .filter((classifier) => classifier !== newcomer);
  if (!connection.alive || !classifiers.every(({ movable }) => movable)) return;
  const free = () => !registry.queue.busy && connection.busy === 0 && !classifiers.some(({ loading }) => loading);
  if (!free()) return renewWhenIdle();
  const loaded = classifiers.filter(({ loaded }) => loaded);
  connection.close(new WhylensError('worker-crashed', 'the worker was replaced'));
  registry.renewals += 1;
  registry.atRest = 0;
  for (const classifier of loaded) await classifier.load();
}

/** @param {unknown} error */
const isNetwork = (error) => error instanceof WhylensError && error.code === 'network';

/** Unique among all results, those of other visits included. */
function newId() {
  return crypto.getRandomValues(new Uint32Array(4)).join('-');
}

/** Keeps `new Classifier` to the library. */
export const CREATE = Symbol('create');

/**
 * A model that classifies photos and explains what it saw. Made by `load()`.
 */
export class Classifier {
  #url;
  #options;
  #switches;
  /** @type {Guard<void>} */
  #guard = new Guard();
  /** @type {Connection | null} the worker that holds the model */
  #home = null;
  /** What other workers need to decode and resize for this model. @type {{ home: Connection, shared:
   *   Promise<import('./protocol.js').Shared | null> } | null} */
  #shared = null;
  /** Bytes that the worker's memory grew by when the model was loaded. */
  #grown = 0;
  /** What the photos of results looked like to the network. */
  #inputs;
  /** Photos that wait for an answer. */
  #photos = 0;
  /** @type {Set<(progress: Progress) => void>} */
  #listeners = new Set();
  /** @type {Progress | null} */
  #progress = null;
  /** @type {Report | null} */
  #report = null;
  /** What workers did that are gone. */
  #counters = { weightsRequested: 0, parsed: 0, optimised: 0, loads: 0 };
  /** @type {{ code: string, message: string } | null} */
  #lastError = null;
  #disposed = false;
  /** @type {(value?: undefined) => void} */
  #setReady = () => {};
  /** @type {(error: unknown) => void} */
  #setFailed = () => {};

  /** What the model is; null before it is ready for the first time. @type {ModelInfo | null} */
  model = null;

  /** Whether the model is loaded before it is needed, and why. @type {import('./policy.js').Decision} */
  policy;

  /**
   * Resolves when the model is ready for the first time; starts nothing. Rejects if it is disposed of
   * before that.
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
    this.#inputs = new Inputs(options.keepBytes);
    const query = globalThis.location?.search ?? '';
    const warn = (/** @type {string} */ message) => console.warn(`whylens: ${message}`);
    this.#switches = switches(options, { query, attribute: scriptAttribute }, warn);
    this.policy = this.decide();
    this.ready = new Promise((resolve, reject) => {
      this.#setReady = resolve;
      this.#setFailed = reject;
    });
    this.ready.catch(() => {});
  }

  /** Decides again whether the model is loaded before it is needed. */
  decide() {
    return (this.policy = decide(this.#switches.preload, signals()));
  }

  /** The build of the module that was asked for. */
  get build() {
    return this.#switches.build;
  }

  /** The number of threads that was asked for. */
  get threads() {
    return this.#switches.threads;
  }

  /** Whether the model is in a worker. */
  get loaded() {
    return this.#home?.alive ?? false;
  }

  /** Whether the model is being loaded. */
  get loading() {
    return this.#guard.busy;
  }

  /**
   * Reports the progress of the load under way, or else of the next one, until it ends.
   * @param {(progress: Progress) => void} onProgress
   */
  listen(onProgress) {
    if (typeof onProgress !== 'function') throw badOption(`onProgress is ${shown(onProgress)}, expected a function`);
    this.#listeners.add(onProgress);
    if (this.#progress) onProgress(this.#progress);
  }

  /**
   * Makes the model ready, if it is not. Every other method does so by itself.
   * @param {{ signal?: AbortSignal, onProgress?: (progress: Progress) => void }} [options]
   * @returns {Promise<void>}
   */
  load(options) {
    const { signal, onProgress } = read(options, ['signal', 'onProgress']);
    checkWaiting({ signal, onProgress });
    if (this.#disposed)
      return Promise.reject(new WhylensError('disposed', `${this.#url} was disposed of; load it again`));
    if (this.#home?.alive) return Promise.resolve();
    if (onProgress) this.listen(onProgress);
    return this.#guard.join((stop) => this.#open(stop), signal);
  }

  /**
   * @param {AbortSignal} signal
   */
  async #open(signal) {
    const { cache = true, language } = this.#options;
    const {
      retries = PATIENCE.retries,
      retryDelay = PATIENCE.retryDelay,
      stallTimeout = PATIENCE.stallTimeout,
    } = this.#options;
    const { heatmap, memoryLimit } = this.#switches;
    const languages = language === undefined ? [...(globalThis.navigator?.languages ?? [])] : [language].flat();
    const warmUp = this.#photos === 0;
    const options = {
      heatmap,
      memoryLimit,
      warmUp,
      languages,
      cache: cache ? CACHE : null,
      retries,
      retryDelay,
      stallTimeout,
    };
    if (cache) holdCache().catch(() => {});
    const onProgress = (/** @type {Progress} */ progress) => {
      this.#progress = progress;
      for (const listener of this.#listeners) listener(progress);
    };
    try {
      const input = `load ${this.#url}`;
      const last = registry.connection;
      if (last && hasGrown(last)) await renew(last, this).catch(() => {});
      const worker = registry.connection?.alive ? null : registry;
      const connection = connect(options);
      const before = connection.memory?.wasm ?? 0;
      const { model, report } = await carefully(input, async () => {
        const early = take(this.#url, { cache: options.cache, memoryLimit, worker });
        const { port, urls } = early;
        const call = /** @type {const} */ ({ type: 'load', url: this.#url, options, early: { port, urls } });
        return connection.call(call, { transfer: [port], signal, input, onProgress }).finally(() => early.end());
      });
      if (this.#disposed) throw new WhylensError('disposed', `${this.#url} was disposed of while it was loaded`);
      const { weightsRequested, parsed, optimised, loads } = this.#count();
      this.#counters = { weightsRequested, parsed, optimised, loads };
      this.#report = report;
      this.#home = connection;
      this.model = model;
      registry.atRest = connection.memory?.wasm ?? 0;
      this.#grown = registry.atRest - before;
      const warnings = [...report.warnings, ...warningsOf(connection.memory, memoryLimit)];
      for (const warning of warnings) console.warn(`whylens: ${warning}`);
      this.#listeners.clear();
      // Not waited for: the browser may ask the reader.
      if (this.#options.persist && report.log.cached) void persist();
      this.#setReady();
    } catch (thrown) {
      const error = isInsecure(this.#url) && isNetwork(thrown) ? insecure(this.#url, thrown) : thrown;
      this.#note(error);
      renewWhenIdle();
      throw error;
    } finally {
      this.#progress = null;
    }
  }

  /**
   * The worker with the model: a new one if the last does not stop what was given up.
   * @param {AbortSignal} [signal]
   */
  async #worker(signal) {
    await this.load({ signal });
    await until(connect().hearing(), signal);
    await this.load({ signal });
    return connect();
  }

  /**
   * Classifies a photo and, unless told otherwise, explains the most probable class.
   * @param {Photo} photo
   * @param {ClassifyOptions} [options]
   * @returns {Promise<Result>}
   */
  async classify(photo, options) {
    const { query, named, transfer, signal, onProgress } = classifyOptions(options, this.#options);
    checkPhoto(photo);
    const input = identify(photo);
    const id = newId();
    const packed = pack(photo, transfer, query.maxPixels);
    packed.catch(() => {});
    this.#photos += 1;
    /** @type {ReturnType<import('./ahead.js').Ahead['wait']> | null} */
    let place = null;
    const classify = async () => {
      const { view, decoder, damaged, ...waiting } = (await place?.take()) ?? {};
      place = null;
      const read = 'input' in waiting ? waiting : null;
      const { photo: message, transfer: transferred } = await packed;
      const connection = await this.#worker(signal);
      if (!named && !this.model?.methods.length) query.heatmap = null;
      const call = /** @type {const} */ ({
        type: 'classify',
        url: this.#url,
        result: id,
        photo: read ?? message,
        options: query,
      });
      const given = read ? [read.input.values.buffer] : transferred;
      const result = await connection.call(call, { transfer: given, signal, input, onProgress });
      return { ...result, ...(view && { view }), ...(decoder && { decoder }), ...(damaged && { damaged }) };
    };
    try {
      await this.load({ signal });
      if (registry.queue.busy && !registry.crashes.has(input)) place = this.#wait(photo, packed, query, input, signal);
      const { input: seen, ...result } = await registry.queue.run(() => carefully(input, classify), signal);
      if (seen) this.#inputs.keep(id, seen);
      renewWhenIdle();
      return { id, ...result };
    } catch (error) {
      this.#note(error);
      throw error;
    } finally {
      this.#photos -= 1;
      place?.leave();
    }
  }

  /**
   * A place among the photos that are decoded and resized by other workers while they wait, for one that is encoded.
   * @param {Photo} photo
   * @param {ReturnType<typeof pack>} packed
   * @param {import('./protocol.js').WireClassifyOptions} options
   * @param {string} input
   * @param {AbortSignal} [signal]
   */
  #wait(photo, packed, options, input, signal) {
    const bytes = photo instanceof Blob ? photo.size : 'byteLength' in photo ? photo.byteLength : null;
    if (bytes === null) return null;
    const room = this.#switches.memoryLimit - (registry.connection?.memory?.wasm ?? 0);
    return registry.ahead.wait(bytes, room, registry.idleTime, async (worker) => {
      const [{ photo: message }, shared] = await Promise.all([packed, this.#share()]);
      // It may have ended meanwhile.
      if (!shared || !worker.alive || !(message instanceof Blob || message instanceof ArrayBuffer)) return null;
      return worker.call({ type: 'ahead', photo: message, shared, options }, { signal, input });
    });
  }

  /** What those workers need, from the worker with the model. */
  #share() {
    const home = this.#home;
    if (!home?.alive) return null;
    if (this.#shared?.home !== home) {
      /** @type {Promise<import('./protocol.js').Shared | null>} */
      const shared = home.call({ type: 'share', url: this.#url }).catch(() => null);
      this.#shared = { home, shared };
    }
    return this.#shared.shared;
  }

  /**
   * Explains a class of a photo that was classified, whatever was classified since; the network runs again only if
   * that was another photo. Some methods need many runs, see `model.costs`: they report their progress and can be
   * stopped. `integratedgradients` and layers outside of the model's plan compile the model anew.
   * @param {Pick<Result, 'id'>} result that `classify()` gave
   * @param {HeatmapOptions} [options]
   * @returns {Promise<Heatmap>} rejects with `disposed` if the photo is no longer kept, see `keepBytes`
   */
  async heatmap(result, options) {
    const { id } = read(result, ['id']);
    if (typeof id !== 'string') throw badOption('heatmap(result, options): the first is no result of classify()');
    const { query, signal, onProgress } = heatmapOptions(options);
    if (!this.#switches.heatmap) throw badOption('the model was loaded without heatmaps; load it with `heatmap: true`');
    return this.#again(id, signal, (connection, input) =>
      connection.call({ type: 'heatmap', url: this.#url, result: id, input, options: query }, { signal, onProgress }),
    );
  }

  /**
   * What a layer holds for a photo: numbers to search similar photos by, or to train a small classifier on.
   * @param {Photo} photo
   * @param {import('./protocol.js').FeaturesOptions} [options]
   * @returns {Promise<import('./protocol.js').Features>}
   */
  async features(photo, options) {
    const { layer, pooled, signal, photo: how } = featuresOptions(options);
    if (!this.#switches.heatmap)
      throw badOption('the model was loaded without its layers; load it with `heatmap: true`');
    const { id } = await this.classify(photo, { ...how, topK: 1, heatmap: false, signal });
    return this.#again(id, signal, (connection, input) =>
      connection.call({ type: 'features', url: this.#url, result: id, input, layer, pooled }, { signal }),
    );
  }

  /**
   * Checks a heatmap of a photo that was classified: whether hiding what it marks changes the prediction more than
   * hiding places at random does. Needs many runs of the network: it reports its progress and can be stopped.
   * @param {Pick<Result, 'id'>} result that `classify()` gave
   * @param {Heatmap} heatmap of it
   * @param {import('./protocol.js').CheckOptions} [options]
   * @returns {Promise<import('./protocol.js').Checked>} rejects as `heatmap()` does
   */
  async check(result, heatmap, options) {
    const { id } = read(result, ['id']);
    if (typeof id !== 'string') throw badOption('check(result, heatmap): the first is no result of classify()');
    const { query, signal, onProgress } = checkOptions(options);
    const { values, classIndex, sign, width, height } = heatmapOf(heatmap);
    const asked = { ...query, classIndex, sign, width, height };
    return this.#again(id, signal, (connection, input) =>
      connection.call(
        { type: 'check', url: this.#url, result: id, input, values, options: asked },
        { signal, onProgress },
      ),
    );
  }

  /**
   * Makes a heatmap of a photo that was classified again with the photo moved by a few pixels and stored as a JPEG:
   * whether it stays the same. Takes a run of the network for each change, six in all: it reports its progress and can
   * be stopped.
   * @param {Pick<Result, 'id'>} result that `classify()` gave
   * @param {Heatmap} heatmap of it, by a method that takes one run
   * @param {import('./protocol.js').StabilityOptions} [options]
   * @returns {Promise<import('./protocol.js').Stability>} rejects as `heatmap()` does
   */
  async stability(result, heatmap, options) {
    const { id } = read(result, ['id']);
    if (typeof id !== 'string') throw badOption('stability(result, heatmap): the first is no result of classify()');
    const waiting = stabilityOptions(options);
    const made = madeBy(heatmap);
    return this.#again(id, waiting.signal, (connection, input) =>
      connection.call({ type: 'stability', url: this.#url, result: id, input, ...made }, waiting),
    );
  }

  /**
   * Asks the worker about a photo that was classified.
   * @template T
   * @param {string} id of the result
   * @param {AbortSignal | undefined} signal
   * @param {(connection: Connection, input: import('./protocol.js').Input) => Promise<T>} ask
   * @returns {Promise<T>}
   */
  async #again(id, signal, ask) {
    await this.load({ signal });
    return registry.queue.run(
      async () => {
        const connection = await this.#worker(signal);
        const input = this.#inputs.find(id);
        if (!input)
          throw new WhylensError(
            'disposed',
            'the photo of this result is no longer kept, or is that of another model; classify it again',
          );
        return ask(connection, input);
      },
      signal,
      true,
    );
  }

  /**
   * A photo as this library decodes it, upright, for formats that the browser cannot show.
   * @param {Blob | ArrayBuffer} photo
   * @param {{ longest?: number, maxPixels?: number, signal?: AbortSignal }} [options] `longest`: most pixels of a side
   * @returns {Promise<ImageBitmap>}
   */
  async decode(photo, options) {
    const { longest = Infinity, maxPixels, signal } = read(options, ['longest', 'maxPixels', 'signal']);
    const { query } = classifyOptions({ maxPixels, signal }, this.#options);
    if (!(typeof longest === 'number' && longest >= 1))
      throw badOption(`longest is ${shown(longest)}, expected pixels from 1`);
    if (!isA(photo, Blob) && !isA(photo, ArrayBuffer))
      throw badOption(`the photo is ${shown(photo)}, expected a Blob or an ArrayBuffer`);
    checkPhoto(photo);
    const call = /** @type {const} */ ({ type: 'decode', photo, maxPixels: query.maxPixels, longest });
    return connect().call(call, { signal, input: identify(photo) });
  }

  /**
   * Draws a heatmap, to be laid over the photo that it explains.
   * @param {Heatmap} heatmap
   * @param {RenderOptions} [options]
   * @returns {Promise<ImageData>}
   */
  async render(heatmap, options) {
    const { signal, colormap, opacity, ...size } = renderOptions(options);
    const checked = heatmapOf(heatmap);
    const { width = checked.image.width, height = checked.image.height } = size;
    await this.load({ signal });
    checkDrawn(width, height);
    const call = { heatmap: checked, options: { width, height, colormap, opacity } };
    const rgba = await connect().call({ type: 'render', ...call }, { signal });
    return new ImageData(rgba, width, height);
  }

  /**
   * The state of the model: whether and why it is loaded, how long that took, and what memory it needs.
   * @param {{ verbose?: boolean }} [options]
   * @returns {Promise<import('./protocol.js').Health>}
   */
  async health(options) {
    const { verbose } = read(options, ['verbose']);
    const home = this.#home?.alive ? this.#home : null;
    const state = home && (await home.call({ type: 'state', url: this.#url }).catch(() => null));
    if (state?.report && home === this.#home) this.#report = state.report;
    const report = this.#report;
    const status = this.loading ? 'loading' : home ? 'ready' : this.#lastError ? 'error' : 'idle';
    const { memoryLimit, preload, heatmap } = this.#switches;
    const memory = state?.memory ?? null;
    const ahead = registry.ahead.memory;
    const share = memory && (memory.wasm + ahead) / memoryLimit;
    const { model } = this;
    /** @type {import('./protocol.js').Health} */
    const health = {
      status,
      model_loaded: status === 'ready',
      message: this.#message(status),
      model: model && { name: model.name, version: model.version, sha256: model.sha256, bytes: model.bytes },
      build: state?.build?.name ?? null,
      memory: memory && {
        ...memory,
        ahead,
        limit: memoryLimit,
        share,
        estimated: report?.estimated ?? 0,
        needed: report?.needed ?? 0,
      },
      timing: report?.timing ?? null,
      counters: this.#count(),
      warnings: [...(report?.warnings ?? []), ...warningsOf(memory, memoryLimit)],
    };
    if (!verbose) return health;
    return {
      ...health,
      url: this.#url,
      policy: { ...this.policy, preload, signals: signals() },
      heatmap,
      module: state?.build?.folder ?? null,
      threads: state?.build?.threads ?? null,
      features: features(),
      cache: report && {
        fromCache: report.log.fromCache,
        cached: report.log.cached,
        persisted: await persisted(),
      },
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

  /** What was done for this model on this page, also by workers that are gone. */
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
   * Releases the model and its memory. Calls under way and later ones reject with `disposed`.
   */
  async dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    const gone = new WhylensError('disposed', `${this.#url} was disposed of; load it again`);
    this.#setFailed(gone);
    if (registry.models.get(this.#url)?.classifier === this) registry.models.delete(this.#url);
    const connection = registry.connection;
    if (!connection?.alive) return;
    if (registry.models.size === 0) {
      connection.close(gone);
      registry.ahead.close(gone);
      registry.atRest = 0;
      return;
    }
    await connection.call({ type: 'dispose', url: this.#url });
    if (this.#home === connection) registry.atRest -= this.#grown;
    renewWhenIdle();
  }

  /**
   * Whether the model can be moved to a new worker without a download.
   */
  get movable() {
    return this.#home === null || this.#url.startsWith('blob:') || (this.#report?.log.cached ?? false);
  }

  /**
   * @param {unknown} error
   */
  #note(error) {
    if (!(error instanceof WhylensError) || error.code === 'cancelled') return;
    this.#lastError = { code: error.code, message: error.message };
  }
}
