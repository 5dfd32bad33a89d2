// What a page asks for before its scripts could: each file once, nothing where it is to be lazy, and it may fail.

import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { brotliCompressSync } from 'node:zlib';
import { after, before, beforeEach, test } from 'node:test';
import { browse } from '../web/browser.js';
import { Server, TOP } from '../web/server.js';
import { dist, temporary } from './site.js';

/** @typedef {import('playwright-core').Page} Page */

const server = new Server();
const options = { timeout: 120_000 };
/** @type {import('playwright-core').Browser} */
let browser;
let out = '';
/** Paths of the site's files. */
let paths = /** @type {string[]} */ ([]);

const path = (/** @type {RegExp} */ pattern) => {
  const [found, ...others] = paths.filter((path) => pattern.test(path));
  assert.ok(found && !others.length, `${pattern} is ${found}, ${others}`);
  return found;
};

before(async () => {
  out = await dist((await temporary()).path, ['--no-offline']);
  for (const entry of await readdir(out, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const name = file.slice(out.length + 1);
    server.put('/site/', { [name]: await readFile(file) });
    paths.push(`/site/${name}`);
  }
  await server.start();
  browser = await browse();
});
after(async () => {
  await browser?.close();
  await server.stop();
});
beforeEach(() => {
  for (const path of paths) server.behave(path);
  server.forget();
});

/** @param {{ query?: string, context?: import('playwright-core').BrowserContext, before?: () => void }} [options] */
async function visit({ query = '', context, before } = {}) {
  const page = await (context ?? (await browser.newContext())).newPage();
  if (before) await page.addInitScript(before);
  /** @type {string[]} */
  const complaints = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(`${server.url}/site/index.html${query}`, { waitUntil: 'commit' });
  return { page, complaints };
}

/** @param {Page} page */
const ready = (page) => page.waitForSelector('[data-phase="ready"]', { timeout: 90_000 });

/** The verdict about a photo that is chosen now. @param {Page} page */
async function coffee(page) {
  await page.locator('#chooser').setInputFiles(join(TOP, 'www/samples/coffee.jpg'));
  await page.locator('.verdict', { hasText: /espresso/i }).waitFor({ timeout: 90_000 });
  await page.waitForSelector('.overlay:not([hidden])');
}

const WEIGHTS = /\.onnx$/;
const PLANES = /\.planes$/;
const MODULE = /\/run[\w-]*\/whylens_bg\.wasm$/;
const MANIFEST = /\/model\.json$/;

test('each file is asked for once, the weights before the scripts of the page are there', options, async () => {
  const main = path(/\/page\/main\.js$/);
  const session = path(/\/page\/session\.js$/);
  // One that the page cannot run without.
  server.behave(session, { stall: 0 });
  const { page } = await visit();
  while (!server.count(PLANES) || !server.count(MODULE)) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await page.locator('#chooser').count(), 0);
  await page.context().close();
  server.behave(session);
  server.forget();

  const { page: whole, complaints } = await visit();
  await coffee(whole);
  assert.deepEqual(
    [PLANES, WEIGHTS, MODULE, MANIFEST, /worker\.js$/, main].map((path) => server.count(path)),
    [1, 0, 1, 1, 1, 1],
  );
  const twice = [...new Set(server.seen.map(({ path }) => path))].filter((path) => server.count(path) > 1);
  // The worker's thread asks for what both threads run; what a cache makes of it is for the server to say.
  assert.deepEqual(
    twice.filter((path) => !/\/(library|worker)\//.test(path)),
    [],
  );
  server.forget();
  await whole.reload();
  await coffee(whole);
  assert.deepEqual(
    [PLANES, WEIGHTS, MODULE].map((path) => server.count(path)),
    [0, 0, 0],
  );
  assert.deepEqual(complaints, []);
  await whole.context().close();
});

test('until the first photo is explained, the scripts of the page are 60 kB at most', options, async () => {
  const { page } = await visit();
  await coffee(page);
  const seen = [...new Set(server.seen.map(({ path }) => path))];
  await page.context().close();
  // What runs the model is counted with its module.
  const scripts = seen.filter((path) => path.endsWith('.js') && !path.includes('/pkg/'));
  const sizes = await Promise.all(
    scripts.map(async (path) => brotliCompressSync(await readFile(join(out, path.slice('/site/'.length)))).length),
  );
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(bytes > 20_000 && bytes <= 60_000, `${scripts.length} scripts, ${bytes} bytes`);
});

test('a lazy page asks for nothing of its model', options, async () => {
  const saving = () =>
    Object.defineProperty(navigator, 'connection', { value: { saveData: true, effectiveType: '4g' } });
  const kept = () => localStorage.setItem('whylens', JSON.stringify({ preload: 'lazy' }));
  for (const visitor of [{ query: '?preload=lazy' }, { before: saving }, { before: kept }]) {
    server.forget();
    const { page } = await visit(visitor);
    await page.waitForSelector('[data-phase="idle"]');
    await page.waitForLoadState('networkidle');
    assert.deepEqual(
      [PLANES, WEIGHTS, MODULE, MANIFEST].map((path) => server.count(path)),
      [0, 0, 0, 0],
      JSON.stringify(visitor),
    );
    if (visitor.query) await coffee(page);
    await page.context().close();
  }
});

test('a photo that is chosen before the model is there is shown at once, and classified later', options, async () => {
  const planes = path(PLANES);
  server.behave(planes, { pace: 40 });
  const { page } = await visit();
  await page.locator('#chooser').setInputFiles(join(TOP, 'www/samples/coffee.jpg'));
  await page.waitForFunction(() => {
    const shown = /** @type {HTMLImageElement | null} */ (document.querySelector('#photo img'));
    return shown?.complete && shown.naturalWidth > 0;
  });
  assert.equal(server.seen.find((seen) => seen.path === planes)?.ended, false);
  await page.locator('.verdict', { hasText: /espresso/i }).waitFor({ timeout: 90_000 });
  assert.equal(server.count(planes), 1);
  server.behave(planes);
  await page.context().close();
});

test('what breaks on its way is asked for again as it is', options, async () => {
  const planes = path(PLANES);
  for (const [how, ranged] of /** @type {const} */ ([
    [{ status: 404 }, false],
    [{ body: Buffer.from('no planes') }, false],
    [{ cut: 3_000_000 }, true],
  ])) {
    server.behave(planes, how);
    server.forget();
    const { page } = await visit();
    await coffee(page);
    assert.equal(server.count(planes), 1);
    const again = server.seen.filter(({ path }) => WEIGHTS.test(path));
    assert.equal(again.length, 1, JSON.stringify(how.status));
    // What the worker has read is kept.
    if (ranged) assert.match(again[0]?.range ?? '', /^bytes=[1-9]\d*-$/);
    await page.context().close();
  }
  server.behave(planes);
});

test('without the script that asks early, the worker asks', options, async () => {
  const early = path(/\/page\/early\.js$/);
  server.behave(early, { status: 500 });
  const { page } = await visit();
  await coffee(page);
  assert.deepEqual(
    [PLANES, MODULE, MANIFEST].map((path) => server.count(path)),
    [1, 1, 1],
  );
  server.behave(early);
  await page.context().close();
});

test('of two tabs, one downloads', options, async () => {
  const planes = path(PLANES);
  server.behave(planes, { pace: 5 });
  const context = await browser.newContext();
  const [first, second] = await Promise.all([visit({ context }), visit({ context })]);
  await Promise.all([ready(first.page), ready(second.page)]);
  assert.equal(server.count(PLANES) + server.count(WEIGHTS), 1);
  server.behave(planes);
  await context.close();
});
