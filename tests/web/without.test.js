// Browsers that lack something, or have it and refuse it: what is lost, and what is not.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { classifier, folder } from './onnx.js';
import { MODULE, SMALL, Stage, attempt, health, look } from './page.js';
import { TOP } from './server.js';

const stage = new Stage();
const { server } = stage;
const WEIGHTS = `${SMALL}model.onnx`;
const WORKER = '/www/worker/worker.js';
const options = { timeout: 60_000 };

before(() => stage.start());
after(() => stage.stop());
afterEach(() => {
  for (const path of [WORKER, WEIGHTS]) server.behave(path);
});

/**
 * From now on the worker is changed before it starts.
 * @param {string} change
 */
async function worker(change) {
  const script = await readFile(join(TOP, WORKER), 'utf8');
  server.behave(WORKER, { body: Buffer.from(`${script}\n${change}`) });
}

const REFUSED = "new DOMException('The operation is insecure.', 'SecurityError')";
const FULL = "new DOMException('No room.', 'QuotaExceededError')";

const isModuleKept = async () => {
  const keys = await (await caches.open('whylens')).keys();
  return keys.some(({ url }) => url.includes('.wasm'));
};

/**
 * @param {string} name
 * @param {string} change made to the worker before it starts
 * @param {{ note?: RegExp, cached: boolean, found?: boolean, module?: boolean }} expected whether the weights are
 *   kept, and
 *   whether a second visit finds them, and the module
 */
function without(name, change, { note, cached, found = cached, module = found }) {
  test(name, options, async () => {
    await worker(change);
    server.forget();
    const page = await stage.page();
    assert.equal(await look(page), 'ok');
    const { notes, cache } = await health(page);
    if (note) assert.match(notes?.join() ?? '', note);
    else assert.deepEqual(notes, []);
    assert.equal(cache?.cached, cached);
    const context = page.context();
    if (module) await page.waitForFunction(isModuleKept);
    await page.close();
    const again = await stage.page({ context });
    assert.equal(await look(again), 'ok');
    assert.deepEqual([server.count(WEIGHTS), server.count(MODULE)], [found ? 1 : 2, module ? 1 : 2]);
    assert.deepEqual((await health(again)).counters.weightsRequested, found ? 0 : 1);

    await again.evaluate(async (model) => {
      const { load, clearCache } = /** @type {{ whylens: import('./page.js').Library }} */ (
        /** @type {any} */ (globalThis)
      ).whylens;
      await (await load(model)).dispose();
      await clearCache();
    }, SMALL);
    server.behave(WEIGHTS, { body: Buffer.from(classifier()).fill(7, 5000, 6000) });
    assert.equal((await attempt(again)).code, 'integrity');
    server.behave(WEIGHTS);
    assert.equal(await look(again), 'ok', 'the next call');
    await context.close();
  });
}

without('nothing', '', { cached: true });
without('no Cache API', "Object.defineProperty(globalThis, 'caches', { value: undefined });", {
  cached: false,
  note: /no Cache API/,
});
without(
  'a Cache API that cannot be opened, as in some private windows',
  `CacheStorage.prototype.open = () => Promise.reject(${REFUSED});`,
  {
    cached: false,
    note: /the cache cannot be used, the model is downloaded on every visit: SecurityError/,
  },
);
without('a cache that takes nothing', `Cache.prototype.put = () => Promise.reject(${FULL});`, {
  cached: false,
  note: /could not be cached: QuotaExceededError/,
});
without('a cache that finds nothing and throws', `Cache.prototype.match = () => Promise.reject(${REFUSED});`, {
  cached: true,
  found: false,
});
without('no Web Locks', "Object.defineProperty(navigator, 'locks', { value: undefined });", {
  cached: true,
  note: /no Web Locks/,
});
without('Web Locks that are refused', `navigator.locks.request = () => Promise.reject(${REFUSED});`, {
  cached: true,
  note: /no Web Locks/,
});
without('no SubtleCrypto', "Object.defineProperty(crypto, 'subtle', { value: undefined });", {
  cached: true,
  module: false,
});
without('no OffscreenCanvas', 'delete globalThis.OffscreenCanvas;', { cached: true });
without('streams that cannot be made', 'delete globalThis.TransformStream;', {
  cached: false,
  module: true,
  note: /could not be cached/,
});

test('no Web Locks, two tabs: both work', options, async () => {
  server.put(SMALL, folder());
  server.behave(WEIGHTS, { pace: 20 });
  const context = await stage.browser.newContext();
  const before = () => Object.defineProperty(navigator, 'locks', { value: undefined });
  await worker("Object.defineProperty(navigator, 'locks', { value: undefined });");
  const tabs = await Promise.all([stage.page({ context, before }), stage.page({ context, before })]);
  const outcomes = await Promise.all(tabs.map((tab) => attempt(tab)));
  assert.ok(
    outcomes.every(({ ok }) => ok),
    JSON.stringify(outcomes),
  );
  await context.close();
});

test('a worker that gets its lock late is not taken for dead', options, async () => {
  const late = `
const request = navigator.locks.request.bind(navigator.locks);
navigator.locks.request = async (name, ...rest) => {
  if (name === self.name) await new Promise((go) => setTimeout(go, 4000));
  return request(name, ...rest);
};`;
  server.behave(WORKER, { body: Buffer.from(late + (await readFile(join(TOP, WORKER), 'utf8'))) });
  const page = await stage.page();
  assert.equal(await look(page), 'ok');
  const started = await health(page);
  assert.equal(await look(page), 'ok');
  await page.waitForTimeout(4500);
  assert.equal(await look(page), 'ok');
  const { counters } = await health(page);
  assert.deepEqual([counters.crashes, counters.loads], [started.counters.crashes, started.counters.loads]);
  assert.equal(counters.crashes, 0);
  await page.context().close();
});
