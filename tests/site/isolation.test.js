// A site on a host that sends no headers: its service worker isolates it, which costs no request and no visitor a click.

import assert from 'node:assert/strict';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { FIREFOX, browse } from '../web/browser.js';
import { TOP } from '../web/server.js';
import { Host, dist, espresso, kept, open, rulesOf, temporary } from './site.js';

/** @typedef {import('playwright-core').Page} Page */

/** A folder on a host that others use too. */
const PREFIX = '/some/where/';

/** Longer than the page waits before it loads itself again. */
const LONG = 2500;

const options = { timeout: 180_000 };

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {{ path: string, remove: () => Promise<void> }} */
let place;
/** @type {Host} */
let host;
/** @type {{ isolated: string, apart: string, older: string }} */
let sites;

before(async () => {
  place = await temporary();
  const page = join(place.path, 'page');
  await cp(join(TOP, 'www'), join(page, 'www'), { recursive: true });
  const index = await readFile(join(TOP, 'index.html'), 'utf8');
  // Another site is another port here, and has no certificate.
  const open = index.replace("connect-src 'self' https:", "connect-src 'self' https: http:");
  assert.notEqual(open, index);
  await writeFile(join(page, 'index.html'), open);
  const at = (/** @type {string} */ name) => join(place.path, name);
  sites = {
    isolated: await dist(at('isolated'), [], page),
    apart: await dist(at('apart'), ['--no-isolate'], page),
    older: at('older'),
  };
  await rm(join(page, 'www/page/isolation.js'));
  const main = join(page, 'www/page/main.js');
  const code = await readFile(main, 'utf8');
  const before = code.replace(/(void keepForOffline\(.*\))\.then\(isolateNow\)/, '$1');
  assert.notEqual(before, code);
  await writeFile(main, before);
  await dist(sites.older, ['--no-isolate'], page);
  await writeFile(
    join(sites.isolated, 'frame.html'),
    '<!doctype html><title>frame</title><iframe src="./" width="900" height="900"></iframe>',
  );
  browser = await browse();
});

beforeEach(async () => {
  await host?.stop();
  host = await new Host(sites.isolated, { prefix: PREFIX }).start();
});

after(async () => {
  await browser?.close();
  await host?.stop();
  await place?.remove();
});

/** In a page: what tests evaluate there counts as a visitor's click, and only input should. */
function countInput() {
  let hasBeenActive = false;
  for (const type of ['pointerdown', 'keydown'])
    addEventListener(type, ({ isTrusted }) => void (hasBeenActive ||= isTrusted), { capture: true });
  const userActivation = { get: () => ({ hasBeenActive }) };
  Object.defineProperty(navigator, 'userActivation', userActivation);
}

/** A visitor who has not been here. */
async function visitor() {
  const context = await browser.newContext();
  await context.addInitScript(countInput);
  return context;
}

/** @param {import('playwright-core').Frame | Page} page */
const isIsolated = (page) => page.evaluate(() => crossOriginIsolated);

/** Waits until the page is isolated, on a plain host because it was loaded again. @param {Page} page */
const reloaded = (page) => page.waitForFunction(() => crossOriginIsolated, undefined, { timeout: 60_000 });

/** Marks a page, so that it can be told from the same page loaded again. @param {Page | import('playwright-core').Frame} page */
const mark = (page) => page.evaluate(() => void Object.assign(globalThis, { marked: true }));

/** @param {Page | import('playwright-core').Frame} page @returns {Promise<boolean>} */
const isMarked = (page) => page.evaluate(() => 'marked' in globalThis);

/**
 * What `health({ verbose: true })` tells of the page's model.
 * @param {Page} page
 * @returns {Promise<import('../../www/library/protocol.js').Health>}
 */
async function health(page) {
  await page.waitForSelector('[data-phase="ready"]', { timeout: 90_000 });
  return page.evaluate(() => {
    const { models } = /** @type {any} */ (globalThis)[Symbol.for('whylens')];
    const [{ classifier }] = models.values();
    return classifier.health({ verbose: true });
  });
}

/** Asks for a number of threads: a busy machine is faster with one. */
const TWO = '?threads=2';

/** Waits until the page's model is run by these. @param {Page} page */
async function hasThreads(page) {
  let last;
  for (let turn = 0; turn < 100; turn += 1) {
    const { module, threads } = await health(page);
    if (module === 'run-threads' && threads === 2) return;
    last = `${module} with ${threads}`;
    await page.waitForTimeout(100);
  }
  assert.fail(last);
}

/** How often each file was asked for; the browser looks for a new service worker whenever it likes. */
const requests = () =>
  host.seen
    .map((path) => path.slice(PREFIX.length).replace(/^www\.[0-9a-f]+/, 'www'))
    .filter((path) => path !== 'sw.js');

test('the first visit is loaded again once, isolated, and asks for no file a second time', options, async () => {
  const lists = [];
  for (const site of [sites.apart, sites.isolated]) {
    host.root = site;
    host.seen = [];
    const context = await visitor();
    const { page, complaints } = await open(context, host.url + TWO);
    let loads = 0;
    page.on('load', () => (loads += 1));
    if (site === sites.isolated) {
      await reloaded(page);
      await hasThreads(page);
    } else await kept(page);
    await page.waitForTimeout(LONG);
    assert.equal(loads, site === sites.isolated ? 1 : 0, 'loads after the first');
    assert.match(await espresso(page), /espresso/i);
    assert.deepEqual(complaints, []);
    lists.push(
      requests()
        .map((path) => path.replace(/pkg\/run-(relaxed|threads)/, 'pkg/run-*'))
        .sort(),
    );
    await context.close();
  }
  const [apart = [], list = []] = lists;
  const count = (/** @type {string[]} */ paths, /** @type {string} */ path) =>
    paths.filter((one) => one === path).length;
  // The page and the service worker, which keeps it, ask for this one at the same moment.
  const raced = 'www/page/isolation.js';
  const more = list.filter((path) => path !== raced && count(list, path) > count(apart, path));
  assert.deepEqual(more, [], 'no more requests than those of a site that is not isolated');
  assert.equal(list.filter((path) => /\.(onnx|planes)$/.test(path)).length, 1);
  assert.equal(list.filter((path) => path.endsWith('.wasm')).length, 1);
});

test('the second visit is isolated and asks for nothing, with or without a network', options, async () => {
  const context = await visitor();
  const first = await open(context, host.url + TWO);
  await reloaded(first.page);
  await health(first.page);
  await first.page.close();
  host.seen = [];
  for (const online of [true, false]) {
    if (!online) await host.stop();
    const { page, complaints } = await open(context, host.url + TWO);
    assert.equal(await isIsolated(page), true);
    await hasThreads(page);
    assert.match(await espresso(page), /espresso/i);
    assert.deepEqual(complaints, []);
    assert.deepEqual(requests(), []);
    await page.close();
  }
  await context.close();
  await host.start();
});

test('a host that reads `_headers` isolates the first visit, with no service worker', options, async () => {
  const reading = await new Host(sites.isolated, { rules: await rulesOf(sites.isolated) }).start();
  const context = await browser.newContext(FIREFOX ? {} : { serviceWorkers: 'block' });
  const { page, complaints } = await open(context, reading.url + TWO);
  // An isolated page is in another process than the empty one before it, and takes its time to get there.
  await reloaded(page);
  const how = () =>
    page.evaluate(() => performance.getEntriesByType('navigation').map((entry) => /** @type {any} */ (entry).type));
  assert.deepEqual(await how(), ['navigate']);
  await hasThreads(page);
  await page.waitForTimeout(LONG);
  assert.deepEqual(await how(), ['navigate'], 'it is not loaded again');
  await espresso(page);
  assert.deepEqual(
    complaints.filter((text) => !/Service Worker/i.test(text)),
    [],
  );
  await context.close();
  await reading.stop();
});

test('a page that is used in the meantime stays, with what was done; the next visit is isolated', options, async () => {
  const context = await visitor();
  const { page } = await open(context, host.url);
  await mark(page);
  await espresso(page);
  await kept(page);
  await page.waitForTimeout(LONG);
  assert.deepEqual([await isMarked(page), await isIsolated(page)], [true, false]);
  assert.match(await page.locator('.verdict').innerText(), /espresso/i);
  const { module, threads } = await health(page);
  assert.deepEqual([module, threads], ['run-threads', 1]);
  const next = await open(context, host.url);
  assert.equal(await isIsolated(next.page), true);
  await espresso(next.page);
  assert.equal(requests().filter((path) => path.endsWith('.wasm')).length, 1);
  await context.close();
});

test('a pointer that moves over the page keeps it from being loaded again', options, async () => {
  const context = await visitor();
  const { page } = await open(context, host.url);
  await mark(page);
  let moves = true;
  const moving = (async () => {
    for (let at = 0; moves; at += 1) {
      await page.mouse.move(100 + (at % 50), 200);
      await page.waitForTimeout(100);
    }
  })();
  await kept(page);
  await page.waitForTimeout(LONG);
  moves = false;
  await moving;
  assert.deepEqual([await isMarked(page), await isIsolated(page)], [true, false]);
  await context.close();
});

test('nothing is loaded again where that would not help', options, async () => {
  for (const query of ['?threads=1', '?build=simd128', '?preload=lazy', '?offline=off']) {
    const context = await visitor();
    const { page } = await open(context, host.url + query);
    await mark(page);
    await page.waitForSelector(`[data-phase="${query === '?preload=lazy' ? 'idle' : 'ready'}"]`, { timeout: 90_000 });
    if (query !== '?offline=off') await kept(page);
    await page.waitForTimeout(LONG);
    assert.deepEqual([await isMarked(page), await isIsolated(page)], [true, false], query);
    await context.close();
  }
});

test('a browser that does not isolate the page loads it again once, and never any more', options, async () => {
  const context = await visitor();
  const page = await context.newPage();
  await page.addInitScript(() => Object.defineProperty(globalThis, 'crossOriginIsolated', { value: false }));
  let loads = 0;
  page.on('load', () => (loads += 1));
  await page.goto(host.url);
  await kept(page);
  for (let turn = 0; turn < 100 && loads < 2; turn += 1) await page.waitForTimeout(100);
  await espresso(page);
  await page.waitForTimeout(LONG);
  assert.equal(loads, 2);
  await page.goto(host.url);
  await page.waitForSelector('[data-phase="ready"]', { timeout: 90_000 });
  await page.waitForTimeout(LONG);
  assert.equal(loads, 3);
  await context.close();
});

test('a page in a frame works, and is never loaded again', options, async () => {
  const context = await visitor();
  const { page } = await open(context, `${host.url}frame.html`);
  for (const visit of ['first', 'second']) {
    const frame = page.frames()[1];
    assert.ok(frame);
    await frame.waitForSelector('[data-phase="ready"]', { timeout: 90_000 });
    await mark(frame);
    await frame.waitForFunction(() => navigator.serviceWorker.controller?.state === 'activated');
    await page.waitForTimeout(LONG);
    assert.deepEqual([await isMarked(frame), await isIsolated(frame)], [true, false], `${visit} visit`);
    await frame.locator('.sample').nth(1).click();
    await frame.locator('.verdict', { hasText: /espresso/i }).waitFor({ timeout: 60_000 });
    await page.reload();
  }
  await context.close();
});

test('photos of other sites come, or are refused, as on a page that is not isolated', options, async () => {
  const photos = join(TOP, 'tests/photos');
  const others = await Promise.all([
    new Host(photos, { headers: { 'access-control-allow-origin': '*' } }).start(),
    new Host(photos).start(),
  ]);
  const addresses = others.map(({ url }) => `${url}coffee.png`);
  const outcomes = [];
  for (const site of [sites.apart, sites.isolated]) {
    host.root = site;
    const context = await visitor();
    const { page } = await open(context, host.url);
    await kept(page);
    if (site === sites.isolated) await reloaded(page);
    await page.waitForSelector('[data-phase="ready"]', { timeout: 90_000 });
    outcomes.push(
      await page.evaluate(async (addresses) => {
        const { src } = /** @type {HTMLScriptElement} */ (document.querySelector('script[data-models]'));
        const path = new URL('sources.js', src).href;
        const { fetchPhoto } = /** @type {typeof import('../../www/page/sources.js')} */ (await import(path));
        return Promise.all(
          addresses.map((address) =>
            fetchPhoto(address).then(
              ({ size }) => size,
              ({ code }) => code,
            ),
          ),
        );
      }, addresses),
    );
    await context.close();
  }
  const { length } = await readFile(join(photos, 'coffee.png'));
  assert.deepEqual(outcomes[0], [length, 'address-shut']);
  assert.deepEqual(outcomes[1], outcomes[0]);
  await Promise.all(others.map((other) => other.stop()));
});

test("an earlier site's visitors get this one, isolated, at their next visit but one", options, async () => {
  host.root = sites.older;
  const context = await visitor();
  const { page } = await open(context, host.url + TWO);
  await espresso(page);
  await kept(page);
  await page.close();
  host.root = sites.isolated;
  const next = await open(context, host.url + TWO);
  await espresso(next.page);
  await next.page.waitForFunction(async () => (await navigator.serviceWorker.getRegistration())?.active);
  await next.page.evaluate(async () => {
    const registration = await navigator.serviceWorker.getRegistration();
    const script = /** @type {HTMLScriptElement} */ (document.querySelector('script[data-models]')).src;
    const here = new URL('../', new URL('./', script)).pathname;
    // Until the files of the new version are kept.
    for (;;) {
      await registration?.update().catch(() => {});
      const names = (await caches.keys()).filter((name) => name.startsWith('whylens site'));
      if (names.length > 1 && !registration?.installing && !registration?.waiting) return here;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  });
  await next.page.close();
  const after = await open(context, host.url + TWO);
  assert.equal(await isIsolated(after.page), true);
  await hasThreads(after.page);
  await espresso(after.page);
  assert.deepEqual(after.complaints, []);
  await context.close();
});

test('a script that was lost comes from the network, fit for an isolated page', options, async () => {
  const context = await visitor();
  const { page } = await open(context, host.url);
  await reloaded(page);
  await health(page);
  await page.evaluate(async () => {
    for (const name of await caches.keys()) {
      const cache = await caches.open(name);
      for (const { url } of await cache.keys())
        if (/\/(worker\.js|helpers\.js|index\.html)$/.test(url)) await cache.delete(url);
    }
  });
  await page.close();
  const again = await open(context, host.url);
  assert.equal(await isIsolated(again.page), true);
  await espresso(again.page);
  assert.deepEqual(again.complaints, []);
  await context.close();
});
