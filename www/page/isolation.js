// a first visit → the same page once more, isolated from other origins by its service worker, so that it has threads
import { THREADS, isIsolatedLater } from '../library/features.js';

/** How long a page has to be left alone before it is taken for unused, in ms. */
const QUIET = 1000;

/** What a visitor does that need not be a use of the page yet. */
const SIGNS = ['pointermove', 'pointerdown', 'keydown', 'wheel', 'scroll', 'dragenter', 'focusin', 'selectionchange'];

/**
 * Loads the page again if that gives it threads and takes nothing from the visitor: all files are kept by then, and
 * nothing was done. Whoever has begun has threads from the next visit on.
 * @param {() => Promise<Partial<import('../library/protocol.js').Health>>} health with its verbose part
 */
export async function isolate(health) {
  if (!canHelp() || (await health()).module !== THREADS.folder || !(await isLeftAlone())) return;
  try {
    if (sessionStorage.getItem('whylens isolated')) return;
    sessionStorage.setItem('whylens isolated', 'tried');
  } catch {
    // What cannot be remembered might be done again and again.
    return;
  }
  location.reload();
}

/** Whether the page can be isolated, but was loaded before its service worker could do so. */
function canHelp() {
  const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType('navigation'));
  return (
    isIsolatedLater() &&
    !crossOriginIsolated &&
    navigation?.workerStart === 0 &&
    globalThis.top === globalThis.self &&
    // Isolation would part them.
    !globalThis.opener
  );
}

/** Whether the visitor did nothing so far, and does nothing for a while. */
async function isLeftAlone() {
  const watch = new AbortController();
  /** @type {Promise<boolean>} */
  const disturbed = new Promise((resolve) => {
    for (const sign of SIGNS)
      document.addEventListener(sign, () => resolve(true), { capture: true, passive: true, signal: watch.signal });
  });
  /** @type {Promise<boolean>} */
  const quiet = new Promise((resolve) => setTimeout(resolve, QUIET, false));
  const busy = (await Promise.race([disturbed, quiet])) || isInUse();
  watch.abort();
  return !busy;
}

/** Every signal that the page is in use; what this browser does not tell counts as use. */
function isInUse() {
  const { userActivation } = navigator;
  return (
    (userActivation?.hasBeenActive ?? true) ||
    document.body.dataset['state'] !== 'empty' ||
    document.querySelector('dialog[open]') !== null ||
    scrollY > 0
  );
}
