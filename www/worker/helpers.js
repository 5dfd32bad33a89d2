// a module with shared memory → more workers that help to run it. They have this worker's script, and another name.

import * as files from './files.js';

/** @typedef {import('../library/protocol.js').Module} Module */
/** @typedef {{ folder: string, module: WebAssembly.Module, memory: WebAssembly.Memory }} Invitation */

/** Name of a worker that helps. */
const NAME = 'whylens helper';

/** Bytes of a helper's stack: it runs the inner loops alone. */
const STACK = 1 << 18;

/** Pages of 64 kB: more than the module begins with, and most that it may have; as in its Makefile. */
const FEWEST_PAGES = 40,
  MOST_PAGES = 65536;

/** Whether this worker is a helper. */
export const helps = () => /** @type {{ name?: string }} */ (globalThis).name === NAME;

/**
 * The largest memory that can be shared here; none if the browser refuses even a small one. A browser sets aside
 * addresses for all of it, and a phone has few.
 */
export function memory() {
  for (let maximum = MOST_PAGES; maximum > FEWEST_PAGES; maximum /= 2) {
    try {
      return new WebAssembly.Memory({ initial: FEWEST_PAGES, maximum, shared: true });
    } catch {
      // Half of it may do.
    }
  }
  return null;
}

/**
 * Starts helpers. One that does not start is missed by nobody: the others do its work.
 * @param {string} folder of the build
 * @param {Module} module
 * @param {number} count
 */
export function start(folder, module, count) {
  const [shared, memory] = module.shared?.() ?? [];
  if (!shared || !memory) return;
  /** @type {Invitation} */
  const invitation = { folder, module: shared, memory };
  for (let n = 0; n < count; n += 1) {
    try {
      const helper = new Worker(location.href, { type: 'module', name: NAME });
      helper.onerror = (event) => event.preventDefault();
      helper.postMessage(invitation);
    } catch {
      return;
    }
  }
}

/** What a helper does: it waits to be invited, and then for work until the worker that started it ends. */
export function help() {
  globalThis.onmessage = async ({ data }) => {
    const { folder, module, memory } = /** @type {Invitation} */ (data);
    /** @type {Module | null} */
    const glue = await import(files.glue(folder).href).catch(() => null);
    if (!glue) return globalThis.close();
    glue.initSync({ module, memory, thread_stack_size: STACK });
    try {
      glue.help?.();
    } catch (error) {
      // The worker waits for this one without hearing anything.
      glue.helperDied?.();
      throw error;
    }
  };
}
