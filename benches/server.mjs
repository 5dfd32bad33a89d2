// The repository's files, models and peers → a page that is isolated from other origins, from a fast or a slow network.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';

const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
};
/** The slow network: ms a round trip, and bits a second that all connections share. */
export const SLOW = { roundTrip: 100, rate: 10e6 };
/** Bytes that arrive together. */
const PART = 1 << 14;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** @param {Record<string, string>} roots first part of an address → folder */
export class Server {
  /** Whether the network is the slow one. */
  slow = false;
  #roots;
  #compressed = new Map();
  #known = new WeakSet();
  #free = 0;
  #server = createServer((request, response) => {
    this.#answer(request, response).catch(() => response.destroy());
  });

  constructor(roots) {
    this.#roots = roots;
  }

  async start() {
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${this.#server.address().port}/`;
    return this;
  }

  stop() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request, response) {
    const path = decodeURIComponent(new URL(request.url, 'http://x').pathname).slice(1);
    // A new connection takes a round trip before it can ask.
    if (this.slow) await wait(SLOW.roundTrip * (this.#known.has(request.socket) ? 1 : 2));
    this.#known.add(request.socket);
    const file = await this.#read(path).catch(() => null);
    if (!file) return response.writeHead(404).end();
    const headers = {
      'Content-Type': TYPES[extname(path) || '.html'] ?? 'application/octet-stream',
      'Cache-Control': 'no-store',
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    };
    const body =
      this.slow && ['.js', '.mjs', '.wasm', '.json'].includes(extname(path)) ? this.#compress(path, file) : file;
    if (body !== file) headers['Content-Encoding'] = 'br';
    response.writeHead(200, { ...headers, 'Content-Length': body.length });
    if (!this.slow) return response.end(body);
    for (let at = 0; at < body.length; at += PART) {
      const part = body.subarray(at, at + PART);
      this.#free = Math.max(this.#free, performance.now()) + (part.length * 8000) / SLOW.rate;
      await wait(this.#free - performance.now());
      response.write(part);
    }
    response.end();
  }

  /** As hosts keep files that do not change. */
  #compress(path, file) {
    if (!this.#compressed.has(path)) {
      const params = { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_LGWIN]: 22 };
      this.#compressed.set(path, brotliCompressSync(file, { params }));
    }
    return this.#compressed.get(path);
  }

  async #read(path) {
    const [root, ...rest] = path.split('/');
    if (path === '') return Buffer.from('<!doctype html><title>bench</title><body></body>');
    const file = await readFile(join(this.#roots[root], ...rest));
    // A bare import, which an import map would serve in a page that has one.
    if (!path.includes('@litertjs/core/dist/')) return file;
    return Buffer.from(
      String(file).replaceAll('"@litertjs/wasm-utils"', '"/modules/@litertjs/wasm-utils/dist/index.js"'),
    );
  }
}
