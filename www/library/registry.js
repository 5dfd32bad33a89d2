// all copies of the library on a page → the one worker and the models that they share

import { Ahead } from './ahead.js';
import { Connection } from './connection.js';
import { WhylensError } from './errors.js';
import { withIsolation } from './features.js';
import { worker } from './address.js';
import { Queue } from './queue.js';

/** @typedef {import('./classifier.js').Classifier} Classifier */

/** Crashes of the worker on one input after which it is not tried again. */
const MOST_CRASHES = 3;

/**
 * What all copies of this script on a page share.
 * @typedef {object} Registry
 * @property {Connection | null} connection the one worker
 * @property {Queue} queue of the photos and heatmaps of all models
 * @property {Ahead} ahead workers that decode and resize photos that wait
 * @property {Map<string, Entry>} models by address
 * @property {Map<string, Classifier>} failed the last load of each model that cannot be loaded
 * @property {Map<string, number>} crashes in a row, by input
 * @property {import('./policy.js').Build} build of the module that the next worker runs
 * @property {import('./policy.js').Threads} threads that the next worker runs models with
 * @property {number} restarts workers that died
 * @property {number} renewals workers that were replaced because they had grown
 * @property {number} atRest bytes of the worker's memory after the last load
 * @property {number} toStop ms that the worker has to hear that a call was given up
 * @property {Cache} [cache] the browser's, so that it stays while the page does
 * @property {number} idleTime ms without a call before a worker that has grown is replaced
 */

/** @typedef {{ classifier: Classifier, lazy: Promise<Classifier>, eager: Promise<Classifier> | null }} Entry */

const KEY = Symbol.for('whylens');

/** @type {Registry} */
export const registry = shared() ?? {
  connection: null,
  queue: new Queue(),
  ahead: new Ahead(() => new Connection(script(), noteDeath, { toStop: registry.toStop })),
  models: new Map(),
  failed: new Map(),
  crashes: new Map(),
  build: 'auto',
  threads: 'auto',
  restarts: 0,
  renewals: 0,
  atRest: 0,
  toStop: 10_000,
  idleTime: 3000,
};
// Where another script keeps that name to itself, this copy has a worker of its own.
Reflect.defineProperty(globalThis, KEY, { value: registry, configurable: true, writable: true });

/**
 * The registry of another copy; anything else of that name is none.
 * @returns {Registry | null}
 */
function shared() {
  try {
    const found = /** @type {{ [KEY]?: any }} */ (globalThis)[KEY];
    const { models, failed, crashes, connection } = found ?? {};
    const isOurs =
      [models, failed, crashes].every((map) => map instanceof Map) &&
      (connection === null || typeof connection?.call === 'function');
    return isOurs ? found : null;
  } catch {
    return null;
  }
}

/** The worker's script, which is told the build and the threads in its address. */
export function script() {
  const url = worker();
  if (registry.build !== 'auto') url.searchParams.set('build', registry.build);
  if (typeof registry.threads === 'number') url.searchParams.set('threads', String(registry.threads));
  return withIsolation(url);
}

/**
 * The worker: a new one if there is none or the last one died.
 * @param {import('./patience.js').Patience} [patience] with the start of a new one
 */
export function connect(patience) {
  if (!registry.connection?.alive) {
    registry.connection = new Connection(script(), noteDeath, { toStop: registry.toStop, patience });
  }
  return /** @type {Connection} */ (registry.connection);
}

/**
 * @param {WhylensError} error
 * @param {string | null} input that the worker was busy with
 */
function noteDeath(error, input) {
  if (error.code !== 'network') registry.restarts += 1;
  if (input !== null) registry.crashes.set(input, (registry.crashes.get(input) ?? 0) + 1);
}

/**
 * Runs a call that may end the worker, unless this input has ended it too often.
 * @template T
 * @param {string} input
 * @param {() => Promise<T>} run
 */
export async function carefully(input, run) {
  const crashes = registry.crashes.get(input) ?? 0;
  if (crashes >= MOST_CRASHES) {
    const message = `this input ended the worker ${crashes} times in a row and is not tried again`;
    throw new WhylensError('worker-crashed', message);
  }
  const result = await run();
  registry.crashes.delete(input);
  return result;
}
