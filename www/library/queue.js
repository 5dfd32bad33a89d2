// calls → one after the other

import { until } from './errors.js';

/**
 * Photos and heatmaps of all models of a page take turns: the worker does one at a time, and what is not yet
 * sent to it is not lost with it.
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
    // Of what was done nothing is kept.
    this.#last = Promise.allSettled([before, mine]).then(() => {});
    return mine;
  }
}
