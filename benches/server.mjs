// folders → a web server whose pages are isolated from other origins, so that they may have threads

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';

const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
};
/** @param {Record<string, string>} roots first part of an address → folder */
export class Server {
  #roots;
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
    const file = await this.#read(path).catch(() => null);
    if (!file) return response.writeHead(404).end();
    response.writeHead(200, {
      'Content-Type': TYPES[extname(path) || '.html'] ?? 'application/octet-stream',
      'Content-Length': file.length,
      'Cache-Control': 'no-store',
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    });
    response.end(file);
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
