// Ways in which a worker ends, asked for by tests: the worker's script is served with a piece of its own, which the
// page tells what to do. Nothing of it is in what is shipped.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TOP } from './server.js';

/** @typedef {'panic' | 'unreachable' | 'out-of-memory' | 'close' | 'hang'} Fault */

const WORKER = '/www/worker/worker.js';

/** Text of a call that makes the module panic: no array can be so long. */
export const PANIC = 'decodePhoto({ length: 3e9 }, 1, 1)';

const piece = `
const ends = {
  panic: (module) => module.${PANIC},
  unreachable: () => new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 5, 1, 3, 0, 0, 11,
  ]))).exports.f(),
  'out-of-memory': (module) => {
    // One that has no length any more when it is copied leaves the memory taken that was made for it.
    const take = () => {
      let asked = 0;
      const taken = { get length() { if (asked++) throw new Error('taken'); return 2 ** 28; } };
      try { module.decodePhoto(taken, 1, 1); } catch (error) { return error; }
    };
    for (;;) { const error = take(); if (error instanceof WebAssembly.RuntimeError) throw error; }
  },
  close: () => { scope.close(); return new Promise(() => {}); },
  hang: () => { for (;;); },
};
let end = null;
const hear = scope.onmessage;
scope.onmessage = (event) => { if (event.data.type === 'end') end = event.data; else hear(event); };
const asShipped = classify;
classify = async (request, ...rest) => {
  const { fault, width = request.photo.width } = end ?? {};
  if (fault && width === request.photo.width) await ends[fault](await modules.home(request.url));
  return asShipped(request, ...rest);
};
const aheadAsShipped = ahead;
ahead = async (request) => {
  if (end?.fault && end.size === request.photo.size) await ends[end.fault](await modules.join(request.shared));
  return aheadAsShipped(request);
};
`;

/** @param {import('./server.js').Server} server */
export async function serveEndings(server) {
  server.behave(WORKER, { body: Buffer.from((await readFile(join(TOP, WORKER), 'utf8')) + piece) });
}

/** Runs in the page before all else: tells each worker what \`provoke\` says. */
export function listenIn() {
  /** @type {Worker[]} */
  const workers = [];
  /** @type {unknown} */
  let end = { type: 'end' };
  const Real = Worker;
  Object.assign(globalThis, {
    Worker: class extends Real {
      /** @param {string | URL} script @param {WorkerOptions} [options] */
      constructor(script, options) {
        super(script, options);
        workers.push(this);
        this.postMessage(end);
      }
    },
    /** @param {Fault} [fault] @param {number} [width] of the photos that end the worker; all when absent
     * @param {number} [size] of the file that ends a worker which decodes it ahead */
    provoke: (fault, width, size) => {
      end = { type: 'end', fault, width, size };
      for (const worker of workers) worker.postMessage(end);
    },
  });
}
