// results → their photos as the network saw them, for later heatmaps

/** @typedef {import('./protocol.js').Input} Input */

/** Most bytes kept, when nobody says otherwise: 26 photos of 224 × 224 pixels. */
const MOST_BYTES = 16e6;

/**
 * The last photos of a model; the least recently used one goes first. Kept on the page's thread, so that they
 * outlive the worker.
 */
export class Inputs {
  #most;
  #bytes = 0;
  /** @type {Map<string, Input>} by the id of the result, the newest last */
  #kept = new Map();

  /** @param {number} [most] bytes; the newest is kept whatever its size, unless this is 0 */
  constructor(most = MOST_BYTES) {
    this.#most = most;
  }

  /**
   * @param {string} id
   * @param {Input} input
   */
  keep(id, input) {
    if (this.#most === 0) return;
    this.#kept.set(id, input);
    this.#bytes += input.values.byteLength;
    for (const [oldest, { values }] of this.#kept) {
      if (this.#bytes <= this.#most || oldest === id) return;
      this.#kept.delete(oldest);
      this.#bytes -= values.byteLength;
    }
  }

  /** @param {string} id */
  find(id) {
    const input = this.#kept.get(id);
    if (!input) return undefined;
    this.#kept.delete(id);
    this.#kept.set(id, input);
    return input;
  }
}
