// calls → one after the other

import { until } from './errors.js';

/**
 * Photos and heatmaps of all models of a page take turns: the worker handles one at a time, and what it has not
 * been sent yet is not lost when it dies.
 */
export class Queue {
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();

  /**
   * @template T
   * @param {() => Promise<T>} work
   * @param {AbortSignal} [signal] gives up waiting; what has begun has to stop by itself
   * @returns {Promise<T>}
   */
  run(work, signal) {
    const before = this.#last;
    const mine = until(before, signal).then(work);
    // Nothing is kept of what is done.
    this.#last = Promise.allSettled([before, mine]).then(() => {});
    return mine;
  }
}
