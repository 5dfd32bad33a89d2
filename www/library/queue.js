// calls → one after the other

import { cancelled } from './errors.js';

/**
 * Photos and heatmaps of all models of a page take turns: the worker handles one at a time, and what it has not
 * been sent yet is not lost when it dies.
 */
export class Queue {
  #busy = false;
  /** @type {{ begin: () => void, soon: boolean }[]} */
  #line = [];

  /** Whether a call that is made now has to wait. */
  get busy() {
    return this.#busy;
  }

  /**
   * @template T
   * @param {() => Promise<T>} work
   * @param {AbortSignal} [signal] gives up waiting; what has begun has to stop by itself
   * @param {boolean} [soon] before all that can wait: a heatmap of a photo needs no other run of the network until
   *   another photo comes in between
   * @returns {Promise<T>}
   */
  async run(work, signal, soon = false) {
    if (signal?.aborted) throw cancelled(signal);
    if (this.#busy) await this.#wait(signal, soon);
    this.#busy = true;
    try {
      return await work();
    } finally {
      const next = this.#line.shift();
      if (next) next.begin();
      else this.#busy = false;
    }
  }

  /**
   * @param {AbortSignal | undefined} signal
   * @param {boolean} soon
   * @returns {Promise<void>}
   */
  #wait(signal, soon) {
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#line.splice(this.#line.indexOf(place), 1);
        reject(cancelled(/** @type {AbortSignal} */ (signal)));
      };
      const begin = () => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const place = { begin, soon };
      signal?.addEventListener('abort', leave, { once: true });
      const behind = soon ? this.#line.findIndex(({ soon }) => !soon) : -1;
      this.#line.splice(behind < 0 ? this.#line.length : behind, 0, place);
    });
  }
}
