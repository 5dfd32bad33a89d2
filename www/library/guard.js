// many callers → one piece of work at a time

import { cancelled } from './errors.js';

/**
 * Shares one run of `work` between all callers while it is under way. A caller with a signal may give up;
 * the work stops when every caller has.
 * @template T
 */
export class Guard {
  /** @type {{ promise: Promise<T>, controller: AbortController, waiting: number } | null} */
  #run = null;

  /** Whether work is under way. */
  get busy() {
    return this.#run !== null;
  }

  /**
   * @param {(signal: AbortSignal) => Promise<T>} work
   * @param {AbortSignal} [signal]
   * @returns {Promise<T>} the same for all callers without a signal
   */
  join(work, signal) {
    if (signal?.aborted) return Promise.reject(cancelled(signal));
    const run = (this.#run ??= this.#start(work));
    run.waiting += 1;
    if (!signal) return run.promise;
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        run.waiting -= 1;
        if (run.waiting === 0) this.#stop(run, signal);
        reject(cancelled(signal));
      };
      signal.addEventListener('abort', giveUp, { once: true });
      run.promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
    });
  }

  /**
   * @param {(signal: AbortSignal) => Promise<T>} work
   */
  #start(work) {
    const controller = new AbortController();
    // The guard is set before any of `work` runs.
    const promise = Promise.resolve().then(() => work(controller.signal));
    const run = { promise, controller, waiting: 0 };
    const done = () => {
      if (this.#run === run) this.#run = null;
    };
    promise.then(done, done);
    return run;
  }

  /**
   * @param {{ controller: AbortController }} run
   * @param {AbortSignal} signal
   */
  #stop(run, signal) {
    if (this.#run === run) this.#run = null;
    run.controller.abort(signal.reason);
  }
}
