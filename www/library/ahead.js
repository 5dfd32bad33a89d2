// photos that wait → their inputs, made by other workers while the one with the model is busy

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./protocol.js').Waiting} Waiting */
/** @typedef {(worker: Connection) => Promise<Waiting | null>} Read null: the worker with the model has to read it */

/** Most workers that decode and resize. */
const MOST_WORKERS = 4;

/** Bytes of files that have waited from which on a worker is started: to decode them takes as long as its start. */
const WORTHWHILE = 1e6;

/** Bytes of memory that a worker is expected to take: that for a photo of 12 megapixels. */
const EXPECTED = 96e6;

/** Failures that are not the photo's. */
const NOT_ITS_OWN = ['network', 'http-status', 'unsupported-browser', 'out-of-memory', 'disposed'];

/** In place of a photo, of a worker that has not started. */
const STARTING = Symbol('starting');

/** Workers beside the one with the model: each decodes a photo, none on a single core. */
const most = () => {
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  return cores > 1 ? Math.min(cores, MOST_WORKERS) : 0;
};

/** Calls of `classify()` at once that keep all workers busy. */
export const atOnce = () => 1 + most();

/**
 * The workers that decode and resize photos that wait. They start when many bytes wait, and end when none do.
 */
export class Ahead {
  #start;
  /** With the photo that each is at; null: it is free. @type {Map<Connection, Place | typeof STARTING | null>} */
  #workers = new Map();
  /** Photos that nobody reads yet, the next one first. @type {Place[]} */
  #line = [];
  /** Photos that are being read or were, until their turn comes. @type {Set<Place>} */
  #read = new Set();
  /** Bytes of the files that have waited since no photo did. */
  #waited = 0;
  /** Bytes of the largest memory of a worker. */
  #largest = EXPECTED;
  /** Whether workers fail to start; until no photo waits. */
  #fails = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #idle;

  /** @param {() => Connection} start */
  constructor(start) {
    this.#start = start;
  }

  /** Bytes of the memory of all these workers. */
  get memory() {
    let bytes = 0;
    for (const { memory } of this.#workers.keys()) bytes += memory?.wasm ?? 0;
    return bytes;
  }

  /**
   * A place in the line of photos that wait, to be taken when its turn comes.
   * @param {number} bytes of its file
   * @param {number} room bytes of memory that these workers may take
   * @param {number} idleTime ms without a photo after which they end
   * @param {Read} read
   */
  wait(bytes, room, idleTime, read) {
    const place = new Place(room, read, (left) => {
      if (!this.#read.delete(left)) this.#line = this.#line.filter((other) => other !== left);
      this.#go();
      if (this.#line.length || this.#read.size) return;
      clearTimeout(this.#idle);
      this.#idle = setTimeout(() => this.close(), idleTime);
    });
    clearTimeout(this.#idle);
    this.#waited += bytes;
    this.#line.push(place);
    this.#go();
    return place;
  }

  /** Ends all workers. @param {import('./errors.js').WhylensError} [error] for what they are at */
  close(error) {
    clearTimeout(this.#idle);
    for (const worker of this.#workers.keys()) worker.close(error);
    this.#workers.clear();
    this.#fails = false;
    this.#waited = 0;
  }

  /** Gives photos to workers that are free, as long as few are read ahead, and starts more. */
  #go() {
    for (const [worker, place] of this.#workers) {
      if (!worker.alive && place !== STARTING) this.#workers.delete(worker);
      else if (place === null && this.#line.length && this.#read.size < 2 * most()) this.#give(worker);
    }
    const starting = [...this.#workers.values()].filter((place) => place === STARTING).length;
    for (const { room } of this.#line.slice(starting)) if (this.#isWorthwhile(room)) this.#add();
  }

  /** @param {Connection} worker */
  #give(worker) {
    const place = /** @type {Place} */ (this.#line.shift());
    this.#read.add(place);
    this.#workers.set(worker, place);
    place.begin(worker, (error) => this.#done(worker, place.room, error));
  }

  /** Whether one more worker would help. @param {number} room */
  #isWorthwhile(room) {
    const { size } = this.#workers;
    return !this.#fails && this.#waited >= WORTHWHILE && size < most() && (size + 1) * this.#largest <= room;
  }

  /** Until a worker has started, the one with the model reads what comes next. */
  #add() {
    const worker = this.#start();
    this.#workers.set(worker, STARTING);
    worker.started.then(() => {
      if (!this.#workers.has(worker)) return;
      this.#fails ||= !worker.alive;
      this.#workers.set(worker, null);
      this.#go();
    });
  }

  /**
   * @param {Connection} worker
   * @param {number} room
   * @param {{ code?: string } | null} error
   */
  #done(worker, room, error) {
    if (!this.#workers.has(worker)) return;
    this.#workers.set(worker, null);
    this.#largest = Math.max(this.#largest, worker.memory?.wasm ?? 0);
    const fails = error?.code !== undefined && NOT_ITS_OWN.includes(error.code);
    this.#fails ||= fails;
    // Memory of WebAssembly never shrinks.
    if (fails || this.memory > room) worker.close();
    this.#go();
  }
}

/** A photo that waits. */
class Place {
  #read;
  #leave;
  /** @type {Promise<Waiting | null> | null} */
  #reading = null;

  /**
   * @param {number} room
   * @param {Read} read
   * @param {(place: Place) => void} leave
   */
  constructor(room, read, leave) {
    this.room = room;
    this.#read = read;
    this.#leave = leave;
  }

  /**
   * @param {Connection} worker
   * @param {(error: { code?: string } | null) => void} done
   */
  begin(worker, done) {
    this.#reading = this.#read(worker).then(
      (waiting) => (done(null), waiting),
      (error) => {
        done(error);
        if (NOT_ITS_OWN.includes(error?.code)) return null;
        throw error;
      },
    );
    this.#reading.catch(() => {});
  }

  /** What was read of it; null: nobody began to. */
  async take() {
    try {
      return await this.#reading;
    } finally {
      this.#leave(this);
    }
  }

  /** Gives up waiting, or what was not taken. */
  leave() {
    this.#reading?.then(
      (waiting) => waiting?.view?.close(),
      () => {},
    );
    this.#leave(this);
  }
}
