// A built site, a server that can be told to misbehave, and pages that note what goes wrong.

import { execFile, spawn } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { hold } from '../web/held.js';
import { TOP } from '../web/server.js';

export { temporary } from '../web/held.js';

/** @typedef {import('playwright-core').Page} Page */

export const run = promisify(execFile);

/** The tool, as it was built last. */
export const TOOL = (() => {
  const built = ['release', 'debug']
    .map((profile) => join(TOP, 'target', profile, 'whylens'))
    .filter((file) => existsSync(file));
  built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  if (!built[0]) throw new Error('target/release/whylens is missing: run `make build`');
  return built[0];
})();

export const MODEL = join(TOP, 'models/efficientnet-lite0');

/**
 * Makes a site of the page in this repository, or of another one.
 * @param {string} out
 * @param {string[]} [options] of `whylens dist`
 * @param {string} [page]
 */
export async function dist(out, options = [], page = TOP) {
  await run(TOOL, [
    'dist',
    MODEL,
    '--out',
    out,
    '--page',
    page,
    ...options,
    ...(options.includes('--compress') ? [] : ['--compress', 'none']),
  ]);
  return out;
}

const TYPES = /** @type {Record<string, string>} */ ({
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.jpg': 'image/jpeg',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
});

/**
 * The headers that `_headers` of a site gives a file, as Netlify and Cloudflare Pages read it.
 * @param {string} root
 */
export async function rulesOf(root) {
  const rules = (await readFile(join(root, '_headers'), 'utf8')).split(/^(?=\S)/m).map((rule) => {
    const [path = '', ...lines] = rule.trimEnd().split('\n');
    return { path, headers: lines.map((line) => line.trim().split(/: (.*)/s)) };
  });
  /** @param {string} path @returns {Record<string, string>} */
  return (path) =>
    Object.fromEntries(
      rules
        .filter((rule) => (rule.path.endsWith('*') ? path.startsWith(rule.path.slice(0, -1)) : path === rule.path))
        .flatMap(({ headers }) => headers),
    );
}

/** A plain server: no ranges, no compression, no headers but what it is given. */
export class Host {
  /** @type {string[]} paths that were asked for */
  seen = [];
  /** @type {Set<string>} paths that are answered with 404 */
  missing = new Set();
  #server = createServer((request, response) => void this.#serve(request, response));
  #port = 0;

  /**
   * @param {string} root folder
   * @param {{ prefix?: string, types?: Record<string, string>, headers?: Record<string, string>,
   *   rules?: (path: string) => Record<string, string> }} [options] `rules`: headers of one path
   */
  constructor(root, { prefix = '/', types = {}, headers = {}, rules = () => ({}) } = {}) {
    Object.assign(this, { root });
    this.root = root;
    this.prefix = prefix;
    this.types = { ...TYPES, ...types };
    this.headers = headers;
    this.rules = rules;
  }

  async start() {
    await new Promise((resolve) => this.#server.listen(this.#port, '127.0.0.1', () => resolve(undefined)));
    this.#port = /** @type {import('node:net').AddressInfo} */ (this.#server.address()).port;
    hold(() => this.stop());
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}${this.prefix}`;
  }

  /** As if the network were gone; `start()` brings it back at the same address. */
  stop() {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async #serve(request, response) {
    const { pathname } = new URL(request.url ?? '/', this.url);
    this.seen.push(pathname);
    const inner = decodeURIComponent(pathname).slice(this.prefix.length) || 'index.html';
    const bytes =
      pathname.startsWith(this.prefix) && !this.missing.has(inner)
        ? await readFile(join(this.root, inner)).catch(() => null)
        : null;
    if (!bytes) return void response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>404</h1>');
    response.writeHead(200, {
      'content-type': this.types[extname(inner)] ?? 'application/octet-stream',
      'content-length': bytes.length,
      ...this.headers,
      ...this.rules(pathname),
    });
    response.end(bytes);
  }
}

/**
 * Starts a server program and waits until it answers.
 * @param {string} command
 * @param {string[]} options
 * @param {string} url
 * @param {string} [cwd]
 */
export async function start(command, options, url, cwd) {
  const child = spawn(command, options, { cwd, stdio: 'ignore' });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  const stop = hold(() => (child.kill(), gone));
  for (let tries = 0; ; tries += 1) {
    const up = await fetch(url).then(
      (response) => response.ok,
      () => false,
    );
    if (up) break;
    if (tries > 100 || child.exitCode !== null) throw new Error(`${command} does not answer at ${url}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return { url, stop };
}

/** A port that nobody uses. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * Opens the page and notes complaints; violations of its policy are among them.
 * @param {import('playwright-core').BrowserContext} context
 * @param {string} url
 */
export async function open(context, url) {
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) =>
      console.error(`violated: ${event.violatedDirective} by ${event.blockedURI}`),
    );
  });
  await page.goto(url);
  return { page, complaints };
}

/** The best label of the second sample, an espresso. @param {Page} page */
export async function espresso(page) {
  await page.waitForSelector('[data-phase="ready"]', { timeout: 90_000 });
  await page.locator('.sample').nth(1).click();
  await page.locator('.verdict', { hasText: /espresso/i }).waitFor({ timeout: 60_000 });
  await page.waitForSelector('.overlay:not([hidden])');
  return page.locator('.verdict').innerText();
}

/** Waits until the service worker of this version has taken over. @param {Page} page */
export async function kept(page) {
  await page.waitForFunction(() => navigator.serviceWorker.controller?.state === 'activated', undefined, {
    timeout: 60_000,
  });
}
