// browser → what it can do. Any signal may be missing, and then counts as "no" or "not known".

/**
 * @param {() => unknown} signal
 */
function can(signal) {
  try {
    return Boolean(signal());
  } catch {
    return false;
  }
}

/**
 * A module with one function that puts these instructions' vector on the stack.
 * @param {number[]} instructions
 */
function validates(instructions) {
  const body = [0, ...instructions, 11];
  return can(() =>
    WebAssembly.validate(
      new Uint8Array([
        0,
        97,
        115,
        109,
        1,
        0,
        0,
        0,
        1,
        5,
        1,
        96,
        0,
        1,
        123,
        3,
        2,
        1,
        0,
        10,
        body.length + 2,
        1,
        body.length,
        ...body,
      ]),
    ),
  );
}

/** `i8x16.popcnt(i8x16.splat(0))` */
const SIMD = [65, 0, 253, 15, 253, 98];
/** `i8x16.relaxed_swizzle(i8x16.splat(0), i8x16.splat(0))` */
const RELAXED_SIMD = [65, 0, 253, 15, 65, 0, 253, 15, 253, 128, 2];

/**
 * @typedef {object} Features
 * @property {boolean} webAssembly
 * @property {boolean} simd
 * @property {boolean} relaxedSimd
 * @property {boolean} threads relaxed SIMD and shared memory, which several workers may have in common where the page is
 *   isolated from other origins
 * @property {boolean} crossOriginIsolated
 * @property {boolean} offscreenCanvas
 * @property {boolean} cacheApi
 * @property {boolean} webLocks
 * @property {boolean} subtleCrypto
 */

/** In the address of a worker: that its page is isolated at the next visit. */
const LATER = '#isolated-later';

/**
 * Whether the service worker isolates this page at its next visit. It takes the build with threads now, for one thread:
 * who took another would fetch two, and have none for a next visit without a network.
 */
export function isIsolatedLater() {
  return can(() =>
    globalThis.document ? document.querySelector('script[data-isolate]') : globalThis.location.hash === LATER,
  );
}

/**
 * The address of a worker that knows this too.
 * @param {URL} worker
 */
export function withIsolation(worker) {
  if (isIsolatedLater() && !can(() => globalThis.crossOriginIsolated)) worker.hash = LATER;
  return worker;
}

/** Threads where nobody says how many. */
const USUAL_THREADS = 8;

/**
 * The number of threads that is meant by a switch.
 * @param {string | number | null} asked
 */
export function threads(asked) {
  return Number(asked) || Math.min(globalThis.navigator?.hardwareConcurrency || 1, USUAL_THREADS);
}

/** Firefox, in which a worker whose helpers slept was seen to keep the next worker from starting. */
const GECKO = /\bGecko\/\d/.test(globalThis.navigator?.userAgent ?? '');

/**
 * Reads every signal again, on the page or in the worker.
 * @returns {Features}
 */
export function features() {
  const isolated = can(() => globalThis.crossOriginIsolated);
  const relaxedSimd = validates(RELAXED_SIMD);
  return {
    webAssembly: can(() => typeof WebAssembly.instantiate === 'function'),
    simd: validates(SIMD),
    relaxedSimd,
    threads:
      relaxedSimd &&
      !GECKO &&
      (isolated || isIsolatedLater()) &&
      can(() => new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })),
    crossOriginIsolated: isolated,
    offscreenCanvas: can(() => new OffscreenCanvas(1, 1).getContext('2d')),
    cacheApi: can(() => globalThis.caches.open),
    webLocks: can(() => navigator.locks.request),
    subtleCrypto: can(() => crypto.subtle.digest),
  };
}

/** The build that several workers run together. */
export const THREADS = /** @type {const} */ ({ name: 'relaxed-simd', folder: 'run-threads', needs: 'threads' });

/** The builds of the module, the best first. They run models that have a plan. */
export const BUILDS = /** @type {const} */ ([
  THREADS,
  { name: 'relaxed-simd', folder: 'run-relaxed', needs: 'relaxedSimd' },
  { name: 'simd128', folder: 'run', needs: 'simd' },
]);

/** The build that also runs models without a plan and packs. */
export const COMPILE = /** @type {const} */ ({ name: 'simd128', folder: 'compile', needs: 'simd' });

/**
 * The build of the module that runs here; null: this browser runs none.
 * @param {Features} found
 * @param {string | null} [wanted] the name of a build that is taken where it runs
 */
export function build(found, wanted) {
  const able = BUILDS.filter(({ needs }) => found[needs]);
  return able.find(({ name }) => name === wanted) ?? able[0];
}
