// call → the worker's answer

import { WhylensError, cancelled, fromWire } from './errors.js';
import { PATIENCE } from './patience.js';
import { checkPlace, startWorker } from './startup.js';

/** @typedef {import('./protocol.js').Call} Call */
/** @typedef {import('./protocol.js').Answer} Answer */
/** @typedef {import('./protocol.js').Progress} Progress */
/** @typedef {{ resolve: (result: any) => void, reject: (error: unknown) => void, input: string | null,
 *   onProgress: ((progress: Progress) => void) | undefined }} Pending */

/** @typedef {{ timer: ReturnType<typeof setTimeout> | undefined, heard: Promise<void>,
 *   resolve: () => void }} Unheard */

/**
 * One worker. Every call is answered once; when the worker dies, all calls under way are rejected.
 */
export class Connection {
  #alive = true;
  /** Null before it has started, and when it is dead. @type {Worker | null} */
  #worker = null;
  /** What is sent once the worker has started, by call. @type {Map<number, (worker: Worker) => void>} */
  #unsent = new Map();
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  #last = 0;
  /** The name of the worker, and of a lock that it holds. */
  #life = `whylens worker ${Math.random()} ${Math.random()}`;
  #onDeath;
  #toStop;
  /** @type {AbortController} */
  #watch = new AbortController();
  /** Calls that were given up, until the worker hears of it. @type {Map<number, Unheard>} */
  #unheard = new Map();
  /** @type {import('./protocol.js').Memory | null} */
  memory = null;

  /**
   * @param {URL} script
   * @param {(error: WhylensError, input: string | null) => void} onDeath is told what the worker was busy with
   * @param {{ toStop?: number, patience?: import('./patience.js').Patience }} [options] `toStop`: ms after which a
   *   worker that does not hear that a call was given up is ended; `patience`: with its start
   */
  constructor(script, onDeath, { toStop = Infinity, patience = PATIENCE } = {}) {
    checkPlace();
    this.#onDeath = onDeath;
    this.#toStop = toStop;
    /** Resolves when it has started, or cannot. @type {Promise<void>} */
    this.started = startWorker(script, this.#life, patience, this.#watch.signal).then(
      (worker) => this.#use(worker),
      (error) => this.#die(error, null),
    );
  }

  /** @param {Worker} worker */
  #use(worker) {
    if (!this.#alive) return worker.terminate();
    this.#worker = worker;
    worker.onmessage = ({ data }) => this.#answer(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#die(new WhylensError('worker-crashed', `the worker ended: ${event.message}`, event.error), null);
    };
    worker.onmessageerror = () => {
      this.#die(new WhylensError('worker-crashed', 'an answer of the worker could not be read'), null);
    };
    for (const send of this.#unsent.values()) send(worker);
    this.#unsent.clear();
  }

  get alive() {
    return this.#alive;
  }

  /** Number of calls that wait for an answer. */
  get busy() {
    return this.#pending.size;
  }

  /**
   * @param {Call} call
   * @param {{ transfer?: Transferable[], signal?: AbortSignal, input?: string, onProgress?: (progress: Progress) =>
   *   void }} [options]
   * @returns {Promise<any>}
   */
  call(call, { transfer = [], signal, input, onProgress } = {}) {
    if (!this.#alive) return Promise.reject(new WhylensError('worker-crashed', 'the worker is gone'));
    if (signal?.aborted) return Promise.reject(cancelled(signal));
    const id = (this.#last += 1);
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#pending.delete(id);
        if (!this.#unsent.delete(id)) {
          this.#worker?.postMessage({ type: 'cancel', target: id });
          this.#waitFor(id);
        }
        reject(cancelled(/** @type {AbortSignal} */ (signal)));
      };
      const settled = () => signal?.removeEventListener('abort', giveUp);
      signal?.addEventListener('abort', giveUp, { once: true });
      this.#pending.set(id, {
        resolve: (result) => (settled(), resolve(result)),
        reject: (error) => (settled(), reject(error)),
        input: input ?? null,
        onProgress,
      });
      const send = (/** @type {Worker} */ worker) => {
        try {
          worker.postMessage({ ...call, id }, transfer);
        } catch (error) {
          this.#pending.delete(id);
          settled();
          reject(new WhylensError('bad-option', `this cannot be sent to the worker: ${error}`, error));
        }
      };
      if (this.#worker) send(this.#worker);
      else this.#unsent.set(id, send);
    });
  }

  /** Resolves when the worker has heard of all that was given up, or was ended. */
  async hearing() {
    await Promise.all([...this.#unheard.values()].map(({ heard }) => heard));
  }

  /**
   * A worker hears nothing during one run of a network, and a very long one would keep all other calls waiting.
   * @param {number} id
   */
  #waitFor(id) {
    const end = () =>
      this.#die(
        new WhylensError('worker-crashed', 'the worker did not stop what was given up, and was replaced'),
        null,
      );
    const timer = this.#toStop < Infinity ? setTimeout(end, this.#toStop) : undefined;
    let resolve = () => {};
    /** @type {Promise<void>} */
    const heard = new Promise((done) => (resolve = done));
    this.#unheard.set(id, { timer, heard, resolve });
  }

  /**
   * @param {number} id
   */
  #hasHeard(id) {
    const call = this.#unheard.get(id);
    this.#unheard.delete(id);
    clearTimeout(call?.timer);
    call?.resolve();
  }

  /**
   * Ends the worker and gives its memory back.
   * @param {WhylensError} [error] for calls under way
   */
  close(error = new WhylensError('worker-crashed', 'the worker was ended')) {
    this.#alive = false;
    this.#worker?.terminate();
    this.#worker = null;
    this.#watch.abort();
    this.#unsent.clear();
    for (const id of this.#unheard.keys()) this.#hasHeard(id);
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(error);
  }

  /**
   * @param {Answer} answer
   */
  #answer(answer) {
    if ('crashed' in answer) {
      const busy = answer.id === null ? undefined : this.#pending.get(answer.id);
      this.#die(fromWire(answer.crashed), busy?.input ?? null);
      return;
    }
    if ('started' in answer) return;
    if ('holding' in answer) {
      this.#watchOver();
      return;
    }
    if ('heard' in answer) {
      this.#hasHeard(answer.heard);
      return;
    }
    const pending = this.#pending.get(answer.id);
    if ('progress' in answer) {
      pending?.onProgress?.(answer.progress);
      return;
    }
    this.memory = answer.memory ?? this.memory;
    this.#pending.delete(answer.id);
    if ('error' in answer) pending?.reject(fromWire(answer.error));
    else pending?.resolve(answer.result);
  }

  /**
   * @param {WhylensError} error
   * @param {string | null} input
   */
  #die(error, input) {
    if (!this.#alive) return;
    this.#alive = false;
    this.#onDeath(error, input);
    this.close(error);
  }

  /**
   * A worker that the browser ends says nothing. But from now on it holds a lock with its name while it lives, so
   * whoever gets that lock knows that it died.
   */
  #watchOver() {
    const { signal } = this.#watch;
    globalThis.navigator?.locks
      ?.request(this.#life, { signal }, () => {
        const [busy] = this.#pending.values();
        this.#die(new WhylensError('worker-crashed', 'the browser ended the worker'), busy?.input ?? null);
      })
      .catch(() => {});
  }
}
