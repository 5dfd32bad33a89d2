// folders → a web server behind a slow connection: each answer waits for a round trip, and all share one bandwidth
//
// HTTP/1.1, as Chromium speaks it without TLS: six connections, each of which costs one round trip more before its first
// answer. Texts and WebAssembly are compressed by Brotli, as plain hosts do; weights are not.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants } from 'node:zlib';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
  '.jpg': 'image/jpeg',
  '.png': 'image/png',
};
const COMPRESSED = ['.html', '.js', '.mjs', '.css', '.json', '.svg', '.txt', '.wasm', '.webmanifest'];

/** Bytes that one answer sends before it is another's turn. */
const TURN = 4096;

/** ms between two looks at the clock. */
const TICK = 2;

/** How hard texts and modules are compressed, the same for all. */
const QUALITY = Number(process.env.QUALITY ?? 9);

/** @param {Buffer} body */
const brotli = (body) =>
  promisify(brotliCompress)(body, {
    params: { [constants.BROTLI_PARAM_QUALITY]: QUALITY, [constants.BROTLI_PARAM_LGWIN]: 22 },
  });

/** By path on the disk, or text: compressing takes longer than a start. @type {Map<string, Promise<Buffer>>} */
const compressed = new Map();

export class Network {
  /** What was asked for: times in ms since `start`, bytes as they were sent. */
  answers = [];
  #roots;
  #pages = new Map();
  /** @type {Map<string, Promise<{ body: Buffer, headers: Record<string, string> } | null>>} */
  #files = new Map();
  /** Answers on their way. */
  #sending = [];
  /** @type {WeakSet<import('node:net').Socket>} */
  #known = new WeakSet();
  #delay;
  #rate;
  #timer;
  #began = performance.now();
  #server = createServer((request, response) => void this.#serve(request, response));

  /**
   * @param {Record<string, string>} roots by the first part of a path; '' for all other paths
   * @param {{ delay: number, rate: number }} speed ms of a round trip, bytes a second
   */
  constructor(roots, { delay, rate }) {
    this.#roots = roots;
    this.#delay = delay;
    this.#rate = rate;
  }

  async start() {
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    let last = performance.now();
    let budget = 0;
    this.#timer = setInterval(() => {
      const now = performance.now();
      // What nobody sent is lost.
      budget = Math.min(budget + ((now - last) / 1000) * this.#rate, this.#sending.length ? Infinity : 0);
      last = now;
      while (this.#sending.length && budget > 0) budget -= this.#send();
    }, TICK);
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}/`;
  }

  /** Serves a page. @param {string} path @param {string} html */
  page(path, html) {
    this.#pages.set(path, html);
  }

  /** Begins to count from here. */
  forget() {
    this.answers = [];
    this.#began = performance.now();
  }

  stop() {
    clearInterval(this.#timer);
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  /** Sends a turn's bytes of the answer that has waited longest. */
  #send() {
    const sending = this.#sending.shift();
    const { response, body, answer } = sending;
    const part = body.subarray(answer.bytes, answer.bytes + TURN);
    if (response.destroyed) return 0;
    if (answer.first === null) answer.first = performance.now() - this.#began;
    response.write(part);
    answer.bytes += part.length;
    if (answer.bytes < body.length) this.#sending.push(sending);
    else {
      answer.end = performance.now() - this.#began;
      response.end();
    }
    return part.length;
  }

  async #serve(request, response) {
    const { pathname } = new URL(request.url, this.url);
    const answer = { path: pathname, start: performance.now() - this.#began, first: null, end: null, bytes: 0 };
    this.answers.push(answer);
    const fresh = !this.#known.has(request.socket);
    this.#known.add(request.socket);
    if (!this.#files.has(pathname)) this.#files.set(pathname, this.#read(pathname));
    const file = await this.#files.get(pathname);
    const wait = this.#delay * (fresh ? 2 : 1) - (performance.now() - this.#began - answer.start);
    await new Promise((resolve) => setTimeout(resolve, wait));
    if (!file) {
      answer.end = performance.now() - this.#began;
      response.writeHead(404).end();
      return;
    }
    if (request.headers['if-none-match'] === file.headers.etag) {
      answer.end = performance.now() - this.#began;
      response.writeHead(304, file.headers).end();
      return;
    }
    response.writeHead(200, { ...file.headers, 'content-length': file.body.length });
    response.flushHeaders();
    this.#sending.push({ response, body: file.body, answer });
  }

  /** @param {string} pathname */
  async #read(pathname) {
    const [root, ...rest] = decodeURIComponent(pathname).slice(1).split('/');
    const named = root in this.#roots && root !== '';
    const path = named
      ? join(this.#roots[root], ...rest)
      : join(this.#roots[''] ?? '/nowhere', decodeURIComponent(pathname));
    const file = path.endsWith('/') ? join(path, 'index.html') : path;
    const html = this.#pages.get(pathname);
    let body = html === undefined ? await readFile(file).catch(() => null) : Buffer.from(html);
    if (!body) return null;
    // A bare import, which an import map would serve in a page that has one.
    if (file.includes('@litertjs/core/dist'))
      body = Buffer.from(
        String(body).replaceAll('"@litertjs/wasm-utils"', '"/modules/@litertjs/wasm-utils/dist/index.js"'),
      );
    const ending = html === undefined ? extname(file) : '.html';
    const headers = {
      'content-type': TYPES[ending] ?? 'application/octet-stream',
      'cache-control': /[./][0-9a-f]{16}[./]/.test(pathname) ? 'public, max-age=31536000, immutable' : 'max-age=600',
      etag: `"${body.length}"`,
    };
    if (!COMPRESSED.includes(ending)) return { body, headers };
    const key = html === undefined ? file : html;
    if (!compressed.has(key)) compressed.set(key, brotli(body));
    return { body: await compressed.get(key), headers: { ...headers, 'content-encoding': 'br' } };
  }
}
