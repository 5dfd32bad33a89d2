// page, connection and device → load now or on first use

import { badOption, shown } from './errors.js';

/** @typedef {'auto' | 'eager' | 'lazy'} Preload */
/** @typedef {'auto' | 'simd128' | 'relaxed-simd'} Build of the module */
/** @typedef {'auto' | number} Threads that run a model */
/** @typedef {{ preload: Preload, heatmap: boolean, memoryLimit: number, build: Build, threads: Threads }} Switches */
/**
 * `until`: the event of the document after which it is worth deciding again.
 * @typedef {{ eager: boolean, reason: string, until?: 'prerenderingchange' | 'visibilitychange' }} Decision
 */

/** Bytes of memory that models may use on a phone, and on any device at the least, when nobody says otherwise. */
const LEAST_LIMIT = 512e6;

/** The same where the browser does not say how much memory the device has. */
const USUAL_LIMIT = 1e9;

/** The same on any device at the most. */
const MOST_LIMIT = 2e9;

/** With fewer gigabytes of device memory, nothing is loaded before it is needed. */
const LEAST_DEVICE_MEMORY = 2;

/** @type {readonly Build[]} */
export const BUILDS = ['auto', 'simd128', 'relaxed-simd'];

/** The same as in `src/model/run/crew.rs`. */
const MOST_THREADS = 64;

/** @param {unknown} count */
const isThreads = (count) => Number.isInteger(count) && Number(count) >= 1 && Number(count) <= MOST_THREADS;

/** @type {{ [name in keyof Switches]: (text: string) => Switches[name] | undefined }} */
const READERS = {
  preload: (text) => (text === 'auto' || text === 'eager' || text === 'lazy' ? text : undefined),
  heatmap: (text) =>
    ['', 'true', '1', 'on'].includes(text) ? true : ['false', '0', 'off'].includes(text) ? false : undefined,
  build: (text) => BUILDS.find((name) => name === text),
  threads: (text) => (text === 'auto' ? text : isThreads(Number(text)) ? Number(text) : undefined),
  memoryLimit: (text) => (Number(text) > 0 && Number.isFinite(Number(text)) ? Number(text) : undefined),
};

/** @type {{ [name in keyof Switches]: string }} */
const ATTRIBUTES = {
  preload: 'data-preload',
  heatmap: 'data-heatmap',
  memoryLimit: 'data-memory-limit',
  build: 'data-build',
  threads: 'data-threads',
};

/**
 * The switches in force: `load()` comes before the page's address (`?preload=lazy`), and that before a script
 * tag (`data-preload="lazy"`).
 * @param {Partial<Switches>} options
 * @param {{ query: string, attribute: (name: string) => string | null }} page
 * @param {(message: string) => void} warn is told of values that mean nothing
 * @returns {Switches}
 */
export function switches(options, page, warn) {
  const query = new URLSearchParams(page.query);
  /**
   * @template {keyof Switches} Name
   * @param {Name} name
   * @returns {Switches[Name] | undefined}
   */
  const find = (name) => {
    if (options[name] !== undefined) return options[name];
    const attribute = ATTRIBUTES[name];
    for (const text of [query.get(attribute), query.get(attribute.slice('data-'.length)), page.attribute(attribute)]) {
      if (text === null) continue;
      const value = READERS[name](text.trim().toLowerCase());
      if (value !== undefined) return value;
      warn(`${attribute} is "${text}", which means nothing here and is ignored`);
    }
    return undefined;
  };
  return {
    preload: find('preload') ?? 'auto',
    heatmap: find('heatmap') ?? true,
    memoryLimit: find('memoryLimit') ?? limitOf(signals()),
    build: find('build') ?? 'auto',
    threads: find('threads') ?? 'auto',
  };
}

/**
 * Bytes of memory that models may use when nobody says otherwise: a quarter of what a device has.
 * @param {Signals} found
 */
export function limitOf({ phone, deviceMemory }) {
  if (phone) return LEAST_LIMIT;
  if (deviceMemory === undefined) return USUAL_LIMIT;
  return Math.min(Math.max(deviceMemory * 250e6, LEAST_LIMIT), MOST_LIMIT);
}

/**
 * Checks the switches given to `load()`.
 * @param {Partial<Switches>} options
 */
export function checkSwitches({ preload, heatmap, memoryLimit, build, threads }) {
  if (preload !== undefined && !['auto', 'eager', 'lazy'].includes(preload)) {
    throw badOption(`preload is ${shown(preload)}, expected 'auto', 'eager' or 'lazy'`);
  }
  if (heatmap !== undefined && typeof heatmap !== 'boolean') {
    throw badOption(`heatmap is ${shown(heatmap)}, expected true or false`);
  }
  if (build !== undefined && !BUILDS.includes(build)) {
    throw badOption(`build is ${shown(build)}, expected 'auto', 'simd128' or 'relaxed-simd'`);
  }
  if (threads !== undefined && threads !== 'auto' && !isThreads(threads)) {
    throw badOption(`threads is ${shown(threads)}, expected 'auto' or a whole number from 1 to ${MOST_THREADS}`);
  }
  if (memoryLimit !== undefined && !(typeof memoryLimit === 'number' && memoryLimit > 0)) {
    throw badOption(`memoryLimit is ${shown(memoryLimit)}, expected a number of bytes above 0`);
  }
}

/**
 * What is known of the page, the connection and the device; `undefined`: not known.
 * @typedef {object} Signals
 * @property {boolean | undefined} prerendering
 * @property {boolean | undefined} hidden
 * @property {boolean | undefined} saveData
 * @property {string | undefined} effectiveType of the connection
 * @property {number | undefined} deviceMemory in gigabytes
 * @property {boolean | undefined} phone
 */

/**
 * @template T
 * @param {() => T} read
 * @returns {T | undefined}
 */
function signal(read) {
  try {
    return read() ?? undefined;
  } catch {
    return undefined;
  }
}

/**
 * @typedef {Navigator & { connection?: { saveData?: boolean, effectiveType?: string }, deviceMemory?: number,
 *   userAgentData?: { mobile?: boolean } }} Device
 */

/**
 * Reads every signal again.
 * @returns {Signals}
 */
export function signals() {
  const page = /** @type {Document & { prerendering?: boolean } | undefined} */ (globalThis.document);
  const device = /** @type {Device | undefined} */ (globalThis.navigator);
  return {
    prerendering: signal(() => page?.prerendering),
    hidden: signal(() => page && page.visibilityState === 'hidden'),
    saveData: signal(() => device?.connection?.saveData),
    effectiveType: signal(() => device?.connection?.effectiveType),
    deviceMemory: signal(() => device?.deviceMemory),
    phone: signal(() => device?.userAgentData?.mobile ?? /\bMobi/.test(device?.userAgent ?? '')),
  };
}

/**
 * Whether a model is loaded now, and why.
 * @param {Preload} preload
 * @param {Signals} found
 * @returns {Decision}
 */
export function decide(preload, found) {
  const lazy = (/** @type {string} */ reason) => ({ eager: false, reason });
  if (preload === 'eager') return { eager: true, reason: 'eager was asked for' };
  if (preload === 'lazy') return lazy('lazy was asked for');
  if (found.prerendering) {
    return { ...lazy('the page is prerendered and may never be shown'), until: 'prerenderingchange' };
  }
  if (found.hidden) return { ...lazy('the page is in a hidden tab'), until: 'visibilitychange' };
  if (found.saveData) return lazy('the browser is asked to save data');
  if (found.effectiveType === '2g' || found.effectiveType === 'slow-2g') {
    return lazy(`the connection is slow (${found.effectiveType})`);
  }
  if (found.deviceMemory !== undefined && found.deviceMemory < LEAST_DEVICE_MEMORY) {
    return lazy(`the device has little memory (${found.deviceMemory} GB)`);
  }
  return { eager: true, reason: 'nothing speaks against it' };
}

/**
 * The first script tag that has this attribute speaks for the page: a module cannot know its own tag.
 * @param {string} name
 */
export function scriptAttribute(name) {
  return globalThis.document?.querySelector(`script[${name}]`)?.getAttribute(name) ?? null;
}
