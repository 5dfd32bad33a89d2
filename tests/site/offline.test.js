// The service worker: what a visitor has when the network or a new version of the site fails.

import assert from 'node:assert/strict';
import { cp, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { browse } from '../web/browser.js';
import { TOP } from '../web/server.js';
import { Host, dist, espresso, kept, open, temporary } from './site.js';

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {{ path: string, remove: () => Promise<void> }} */
let place;
/** @type {Host} */
let host;
/** @type {{ first: string, second: string, off: string, isolated: string, closed: string }} */
let sites;
const coffee = await readFile(join(TOP, 'tests/photos/coffee.png'));

before(async () => {
  place = await temporary();
  const page = join(place.path, 'page');
  await cp(join(TOP, 'index.html'), join(page, 'index.html'));
  await cp(join(TOP, 'www'), join(page, 'www'), { recursive: true });
  const at = (/** @type {string} */ name) => join(place.path, name);
  const main = join(page, 'www/page/main.js');
  const code = await readFile(main, 'utf8');
  const name = (/** @type {string} */ version) =>
    writeFile(main, `${code}\ndocument.documentElement.dataset['version'] = '${version}';\n`);
  await name('first');
  const first = await dist(at('first'), [], page);
  const off = await dist(at('off'), ['--no-offline'], page);
  const isolated = await dist(at('isolated'), ['--isolate'], page);
  const closed = await dist(at('closed'), ['--closed'], page);
  await name('second');
  sites = { first, second: await dist(at('second'), [], page), off, isolated, closed };
  browser = await browse();
});

beforeEach(async () => {
  await host?.stop();
  host = await new Host(sites.first).start();
});

after(async () => {
  await browser?.close();
  await host?.stop();
  await place?.remove();
});

/** A visitor who has been here once, and whose browser keeps the site. */
async function visitor() {
  const context = await browser.newContext();
  const { page } = await open(context, host.url);
  await espresso(page);
  await kept(page);
  return { context, page };
}

/**
 * The version that a page runs, which it says at the end of its script.
 * @param {import('playwright-core').Page} page
 */
const version = async (page) =>
  (await page.waitForFunction(() => document.documentElement.dataset['version'])).jsonValue();

/**
 * Has the browser look at sw.js, and waits until it took or refused what it found.
 * @param {import('playwright-core').Page} page
 */
const update = (page) =>
  page.evaluate(async () => {
    const registration = await navigator.serviceWorker.getRegistration();
    await registration?.update().catch(() => {});
    const worker = registration?.installing ?? registration?.waiting;
    if (worker)
      await new Promise((resolve) =>
        worker.addEventListener(
          'statechange',
          () => ['activated', 'redundant'].includes(worker.state) && resolve(undefined),
        ),
      );
  });

/**
 * Changes what the host serves and waits until the browser has taken it. Asks more than once: a browser may join
 * an update to one that is under way for the page before, which ends with what the host served then.
 * @param {import('playwright-core').Page} page @param {() => void} change
 */
async function deploy(page, change) {
  const taken = await page.evaluateHandle(() => {
    const state = { taken: false };
    navigator.serviceWorker.addEventListener('controllerchange', () => (state.taken = true), { once: true });
    return state;
  });
  change();
  while (!(await taken.evaluate((state) => state.taken))) await update(page);
}

const files = (/** @type {Host} */ { seen }, /** @type {RegExp} */ name) => seen.filter((path) => name.test(path));

test(
  'the first visit asks for the weights and the module once, though the site is kept',
  { timeout: 120_000 },
  async () => {
    const { context } = await visitor();
    assert.equal(files(host, /\.(onnx|planes)$/).length, 1);
    assert.equal(files(host, /\.wasm$/).length, 1);
    await context.close();
  },
);

test('the second visit works without a network, model included', { timeout: 120_000 }, async () => {
  const { context, page } = await visitor();
  await page.close();
  await host.stop();
  const again = await open(context, host.url);
  assert.match(await espresso(again.page), /espresso/i);
  assert.equal(await again.page.evaluate(() => navigator.serviceWorker.controller !== null), true);
  await context.close();
  await host.start();
});

test('the second visit asks for no weights and no module', { timeout: 120_000 }, async () => {
  const { context, page } = await visitor();
  await page.close();
  host.seen = [];
  const again = await open(context, host.url);
  await espresso(again.page);
  assert.deepEqual(
    host.seen.filter((path) => !path.endsWith('/sw.js')),
    [],
  );
  await context.close();
});

test(
  'a new version comes all at once, and a page that is open goes on with the old one',
  { timeout: 120_000 },
  async () => {
    const { context, page } = await visitor();
    await deploy(page, () => (host.root = sites.second));
    assert.equal(await version(page), 'first');
    assert.equal(
      await page.evaluate(async () => {
        const script = /** @type {HTMLScriptElement} */ (document.querySelector('script[type=module]'));
        return (await fetch(new URL('../worker/worker.js', script.src))).status;
      }),
      200,
      'a file of the old version, which the server has no more',
    );
    const next = await open(context, host.url);
    assert.equal(await version(next.page), 'second');
    await espresso(next.page);
    assert.deepEqual(next.complaints, []);
    await context.close();
  },
);

test('a deployment that lacks a file leaves visitors with the version before', { timeout: 240_000 }, async () => {
  const www = (await readdir(sites.second)).find((name) => name.startsWith('www.'));
  for (const missing of [`${www}/worker/worker.js`, 'index.html', 'models/efficientnet-lite0/model.json']) {
    host.root = sites.first;
    host.missing = new Set();
    const { context, page } = await visitor();
    host.root = sites.second;
    host.missing = new Set([missing]);
    await update(page);
    const next = await open(context, host.url);
    assert.equal(await version(next.page), 'first', missing);
    await espresso(next.page);
    await deploy(page, () => host.missing.clear());
    const healed = await open(context, host.url);
    assert.equal(await version(healed.page), 'second', 'the repaired deployment arrives');
    await context.close();
  }
});

test('a deployment of wrong bytes, and one without sw.js, are not taken', { timeout: 120_000 }, async () => {
  const { context, page } = await visitor();
  const broken = join(place.path, 'broken');
  await cp(sites.second, broken, { recursive: true });
  const www = (await readdir(broken)).find((name) => name.startsWith('www.'));
  await writeFile(join(broken, `${www}`, 'whylens.js'), '<!doctype html><h1>proxy error</h1>');
  host.root = broken;
  for (const missing of [[], ['sw.js']]) {
    host.missing = new Set(missing);
    await update(page);
    const next = await open(context, host.url);
    assert.equal(await version(next.page), 'first');
    await espresso(next.page);
    await next.page.close();
  }
  await context.close();
});

test('a visitor can switch it off, and so can the owner', { timeout: 120_000 }, async () => {
  const left = (/** @type {import('playwright-core').Page} */ page) =>
    page.waitForFunction(async () => {
      const names = await caches.keys();
      return (
        !(await navigator.serviceWorker.getRegistration()) && !names.some((name) => name.startsWith('whylens site'))
      );
    });
  const one = await visitor();
  const off = await open(one.context, `${host.url}?offline=off`);
  await left(off.page);
  await one.context.close();

  const two = await visitor();
  host.root = sites.off;
  const registered = () =>
    two.page.evaluate(async () => (await navigator.serviceWorker.getRegistration()) !== undefined);
  while (await registered()) await update(two.page);
  await left(two.page);
  const next = await open(two.context, host.url);
  await espresso(next.page);
  assert.equal(await next.page.evaluate(() => navigator.serviceWorker.controller), null);
  await two.context.close();
});

test('the worker adds isolation and the other headers where the owner wants them', { timeout: 120_000 }, async () => {
  host.root = sites.isolated;
  const { context, page } = await visitor();
  assert.equal(await page.evaluate(() => crossOriginIsolated), false);
  const again = await open(context, host.url);
  assert.equal(await again.page.evaluate(() => crossOriginIsolated), true);
  await espresso(again.page);
  assert.deepEqual(again.complaints, []);
  await context.close();
});

/**
 * Damages a file that the service worker keeps.
 * @param {import('playwright-core').Page} page
 * @param {string} name what its address ends in
 * @param {'cut' | 'changed'} damage
 */
const spoil = (page, name, damage) =>
  page.evaluate(async ([name, damage]) => {
    const [site] = (await caches.keys()).filter((name) => name.startsWith('whylens site'));
    const cache = await caches.open(site ?? '');
    const key = (await cache.keys()).find(({ url }) => url.endsWith(name));
    const kept = key && (await cache.match(key));
    if (!key || !kept) throw new Error(`${name} is not kept`);
    const bytes = new Uint8Array(await kept.arrayBuffer());
    // Still a script, a page or a list, but another one.
    const spoilt = damage === 'cut' ? bytes.slice(0, bytes.length / 2) : new Uint8Array([...bytes, 32]);
    await cache.put(key, new Response(spoilt, { headers: kept.headers }));
    return new URL(key.url).pathname;
  }, /** @type {[string, string]} */ ([name, damage]));

test('what is kept and was damaged is dropped and fetched again, once', { timeout: 240_000 }, async () => {
  const { context, page } = await visitor();
  for (const damage of /** @type {const} */ (['cut', 'changed'])) {
    /** @type {string[]} */
    const spoilt = [];
    for (const name of [
      '/index.html',
      '/main.js',
      '/page.css',
      '/worker.js',
      '/pkg/run-threads/version.js',
      '/pkg/run-threads/whylens.js',
      '/pkg/run/version.js',
      '/pkg/run/whylens.js',
      '/model.json',
      '/labels.txt',
    ]) {
      const path = await spoil(page, name === '/labels.txt' ? '.txt' : name, damage);
      spoilt.push(path === '/index.html' ? '/' : path);
    }
    host.seen = [];
    const again = await open(context, host.url);
    await espresso(again.page);
    assert.deepEqual(again.complaints, [], damage);
    const asked = host.seen.filter((path) => path !== '/sw.js');
    assert.deepEqual(
      asked.filter((path) => !spoilt.includes(path)),
      [],
      damage,
    );
    assert.equal(new Set(asked).size, asked.length, `${damage}: each once, ${asked}`);
    assert.ok(
      asked.includes('/') &&
        asked.some((path) => path.endsWith('/main.js')) &&
        asked.some((path) => path.endsWith('/model.json')),
      `${damage}: ${asked}`,
    );
    await again.page.close();
    host.seen = [];
    const mended = await open(context, host.url);
    await espresso(mended.page);
    assert.deepEqual(
      host.seen.filter((path) => path !== '/sw.js'),
      [],
      `${damage}: the visit after`,
    );
    await mended.page.close();
  }
  await context.close();
});

test(
  'what is kept and was damaged is said where there is no network, and comes back with it',
  { timeout: 240_000 },
  async () => {
    const { context, page } = await visitor();
    await spoil(page, '/model.json', 'changed');
    await host.stop();
    const model = await open(context, host.url);
    await model.page.locator('.alert-view', { hasText: 'The connection failed.' }).waitFor({ timeout: 60_000 });
    assert.match(
      (await model.page.locator('.alert-view code').textContent()) ?? '',
      /network: http.*model\.json cannot be reached.*check the connection/,
    );
    await spoil(model.page, '/index.html', 'cut');
    await model.page.close();
    const index = await open(context, host.url);
    const said = index.page.getByText('is damaged, and 127.0.0.1');
    await said.waitFor();
    await host.start();
    await index.page.getByRole('link', { name: host.url }).click();
    await espresso(index.page);
    await context.close();
  },
);

/**
 * Sends photos to the site as the share sheet does: by a form, from the page that is open.
 * @param {import('playwright-core').Page} page
 * @param {string} action
 * @param {Record<string, string>} [files] their names and types
 */
const share = (page, action, files = { 'shared ü.jpg': 'image/jpeg' }) =>
  page.evaluate(
    async ([action, files, bytes]) => {
      const input = Object.assign(document.createElement('input'), { type: 'file', name: 'photos' });
      const data = new DataTransfer();
      for (const [name, type] of Object.entries(files))
        data.items.add(new File([new Uint8Array(bytes)], name, { type }));
      input.files = data.files;
      const form = Object.assign(document.createElement('form'), {
        method: 'post',
        enctype: 'multipart/form-data',
        action,
      });
      form.append(input);
      document.body.append(form);
      form.submit();
    },
    /** @type {[string, Record<string, string>, number[]]} */ ([action, files, [...coffee]]),
  );

test('photos that another app shares reach the page, once the reader wants them', { timeout: 120_000 }, async () => {
  const { context, page } = await visitor();
  await share(page, './?share');
  await page.waitForURL(/\?shared/);
  await page.getByText('shared ü.jpg').waitFor();
  await page.waitForSelector('[data-phase="ready"]', { timeout: 60_000 });
  assert.equal(await page.locator('.verdict:visible').count(), 0);
  await page.getByRole('button', { name: 'Yes, use it' }).click();
  await page.locator('.verdict', { hasText: /espresso/i }).waitFor({ timeout: 60_000 });
  await context.close();
});

test(
  'a form that a foreign page sends by itself brings nothing, or waits for the reader where the page hides its name',
  { timeout: 120_000 },
  async () => {
    const foreign = join(place.path, 'foreign');
    await mkdir(foreign, { recursive: true });
    await writeFile(join(foreign, 'index.html'), '<!doctype html><title>foreign</title>');
    const other = await new Host(foreign).start();
    const silent = await new Host(foreign, { headers: { 'referrer-policy': 'no-referrer' } }).start();
    const { context } = await visitor();
    for (const [from, kept] of /** @type {[Host, boolean][]} */ ([
      [other, false],
      [silent, true],
    ])) {
      const page = await context.newPage();
      // A page of another site, as localhost is not 127.0.0.1.
      await page.goto(from.url.replace('127.0.0.1', 'localhost'));
      await share(page, `${host.url}?share`, {
        'mine.jpg': 'image/jpeg',
        'evil.onnx': '',
        'model.json': 'application/json',
      });
      await page.waitForURL(kept ? `${host.url}?shared` : host.url);
      await page.waitForSelector('[data-phase="ready"]', { timeout: 60_000 });
      if (kept) await page.getByText('evil.onnx').waitFor();
      else assert.equal(await page.locator('dialog[open]').count(), 0);
      assert.equal(await page.locator('.verdict:visible, dialog.own-model[open]').count(), 0, 'nothing by itself');
      await page.close();
    }
    await context.close();
    await other.stop();
    await silent.stop();
  },
);

test('a closed site is offered nothing by other apps, and takes nothing', { timeout: 120_000 }, async () => {
  host.root = sites.closed;
  const { context, page } = await visitor();
  const manifest = await page.evaluate(async () =>
    (await fetch(/** @type {HTMLLinkElement} */ (document.querySelector('link[rel=manifest]')).href)).json(),
  );
  assert.deepEqual(
    Object.keys(manifest).filter((name) => /share_target|file_handlers/.test(name)),
    [],
  );
  await share(page, './?share');
  await page.waitForURL(host.url);
  await page.waitForSelector('[data-phase="ready"]', { timeout: 60_000 });
  assert.deepEqual(
    await page.evaluate(async () => [
      await caches.has('whylens shared /'),
      document.querySelectorAll('dialog[open]').length,
    ]),
    [false, 0],
  );
  await context.close();
});
