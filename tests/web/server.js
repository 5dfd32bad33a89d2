// A web server that counts its requests and misbehaves when it is told to.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { hold } from './held.js';

/** The top of the repository. */
export const TOP = fileURLToPath(new URL('../..', import.meta.url));

const TYPES = /** @type {Record<string, string>} */ ({
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
});

/**
 * How a file is served, in place of plainly:
 * - `status`: nothing but that status
 * - `body`: these bytes in place of the file's
 * - `encoding`: compressed; `force`: also where that is not accepted
 * - `length: false`: no Content-Length
 * - `ranges: false`: a Range header is ignored
 * - `shift`: a Range is answered with what begins that many bytes later
 * - `redirect`: the file is said to be at that address
 * - `cut`: the connection is cut after that many bytes
 * - `stall`: nothing more comes after that many bytes, and the connection stays open
 * - `pace`: ms between parts of 64 kB, or of `part` bytes
 * - `type`: the content type
 * - `headers`: further headers
 * @typedef {object} Behaviour
 * @property {number} [status]
 * @property {Buffer} [body]
 * @property {'gzip' | 'br'} [encoding]
 * @property {boolean} [force]
 * @property {boolean} [length]
 * @property {boolean} [ranges]
 * @property {number} [shift]
 * @property {string} [redirect]
 * @property {number} [cut]
 * @property {number} [stall]
 * @property {number} [pace]
 * @property {number} [part]
 * @property {string} [type]
 * @property {Record<string, string>} [headers]
 */

/**
 * @typedef {{ path: string, query: string, range: string | undefined, sent: number, closed: number | null, ended:
 *   boolean }} Seen
 */

const FAST = { params: { [constants.BROTLI_PARAM_QUALITY]: 2 } };

const wait = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Server {
  /** @type {Seen[]} every request so far */
  seen = [];
  /** @type {Map<string, Buffer>} files that are not on the disk */
  #files = new Map();
  /** @type {Map<string, Behaviour[]>} the last one of each stays */
  #behaviours = new Map();
  #headers;
  #server = createServer((request, response) => {
    this.#serve(request, response).catch((error) => response.destroy(error));
  });

  /**
   * @param {Record<string, string>} [headers] sent with every answer
   */
  constructor(headers = {}) {
    this.#headers = headers;
  }

  async start() {
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', () => resolve(undefined)));
    hold(() => this.stop());
    return this;
  }

  get url() {
    const address = /** @type {import('node:net').AddressInfo} */ (this.#server.address());
    return `http://127.0.0.1:${address.port}`;
  }

  stop() {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  /**
   * Serves these files in a folder.
   * @param {string} folder such as `/models/small/`
   * @param {Record<string, Buffer>} files
   */
  put(folder, files) {
    for (const [name, bytes] of Object.entries(files)) this.#files.set(folder + name, bytes);
  }

  /**
   * How a file is served from now on: the first time, the second time, … and ever after.
   * @param {string} path
   * @param {Behaviour[]} behaviours none: plainly
   */
  behave(path, ...behaviours) {
    this.#behaviours.set(path, behaviours.length === 0 ? [{}] : behaviours);
  }

  /**
   * How often a file was asked for.
   * @param {string | RegExp} path
   */
  count(path) {
    return this.seen.filter((seen) => (typeof path === 'string' ? seen.path === path : path.test(seen.path))).length;
  }

  /** Forgets all that was seen. */
  forget() {
    this.seen = [];
  }

  /**
   * @param {import('node:http').IncomingMessage} request
   * @param {import('node:http').ServerResponse} response
   */
  async #serve(request, response) {
    const { pathname, search } = new URL(request.url ?? '/', this.url);
    const path = decodeURIComponent(pathname);
    /** @type {Seen} */
    const seen = { path, query: search.slice(1), range: request.headers.range, sent: 0, closed: null, ended: false };
    this.seen.push(seen);
    response.on('close', () => (seen.closed = performance.now()));
    const queue = this.#behaviours.get(path) ?? [{}];
    const how = (queue.length > 1 ? queue.shift() : queue[0]) ?? {};
    if (how.redirect) {
      response.writeHead(302, { location: how.redirect, ...this.#headers }).end();
      return;
    }
    const bytes = how.body ?? (await this.#read(path));
    const status = how.status ?? (bytes ? 200 : 404);
    if (!bytes || status !== 200) {
      response
        .writeHead(status, { 'content-type': 'text/html', ...this.#headers })
        .end(`<!doctype html><h1>${status}</h1>`);
      return;
    }
    const headers = /** @type {Record<string, string>} */ ({
      'content-type': how.type ?? TYPES[extname(path)] ?? 'application/octet-stream',
      'cache-control': 'no-cache',
      ...this.#headers,
      ...how.headers,
    });
    const accepted = String(request.headers['accept-encoding']);
    const encoding = how.encoding && (how.force || accepted.includes(how.encoding)) ? how.encoding : undefined;
    let [body, code] = [bytes, 200];
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? NaN) + (how.shift ?? 0);
    if (how.ranges !== false && !encoding && start >= 0) {
      if (start >= bytes.length) {
        response.writeHead(416, { 'content-range': `bytes */${bytes.length}`, ...this.#headers }).end();
        return;
      }
      headers['content-range'] = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
      [body, code] = [bytes.subarray(start), 206];
    }
    if (encoding) {
      headers['content-encoding'] = encoding;
      body = encoding === 'gzip' ? gzipSync(body, { level: 1 }) : brotliCompressSync(body, FAST);
    }
    if (how.length !== false) headers['content-length'] = String(body.length);
    response.writeHead(code, headers);
    if (how.pace === undefined && how.cut === undefined && how.stall === undefined) {
      response.end(body);
      [seen.sent, seen.ended] = [body.length, true];
      return;
    }
    response.flushHeaders();
    const end = Math.min(how.cut ?? how.stall ?? body.length, body.length);
    const step = how.part ?? 65536;
    for (let at = 0; at < end && !response.destroyed; at += step) {
      const part = body.subarray(at, Math.min(at + step, end));
      response.write(part);
      seen.sent += part.length;
      await wait(how.pace ?? 1);
    }
    if (how.stall !== undefined || response.destroyed) return;
    if (how.cut !== undefined && how.length !== false) {
      // A page loses what it has not read when its connection breaks, and may be slow on a busy machine.
      await wait(250);
      response.destroy();
    } else response.end(() => (seen.ended = true));
  }

  /**
   * @param {string} path
   * @returns {Promise<Buffer | undefined>}
   */
  async #read(path) {
    const made = this.#files.get(path);
    if (made) return made;
    if (path === '/blank.html')
      return Buffer.from('<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>test</title>');
    // The same files at other addresses, for two copies of the library on one page.
    if (path.startsWith('/copy/')) return this.#read(path.slice('/copy'.length));
    const file = normalize(join(TOP, path.endsWith('/') ? `${path}index.html` : path));
    return file.startsWith(TOP) ? readFile(file).catch(() => undefined) : undefined;
  }
}
