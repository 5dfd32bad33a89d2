// Weights in parts: a site for a host that takes no large file, and what happens when a part fails.

import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { browse } from '../web/browser.js';
import { classifier, folder } from '../web/onnx.js';
import { HASTY, Stage, attempt } from '../web/page.js';
import { Host, dist, espresso, kept, open, temporary } from './site.js';

/** @type {typeof import('../../www/whylens.js')} the library in the page */
const whylens = /** @type {any} */ (undefined);

describe('a site of `whylens dist --split 2MB`', () => {
  /** @type {import('playwright-core').Browser} */
  let browser;
  /** @type {{ path: string, remove: () => Promise<void> }} */
  let place;
  /** @type {string} */
  let site;
  /** @type {Host} */
  let host;
  const MODEL = 'models/efficientnet-lite0';
  before(async () => {
    place = await temporary();
    site = await dist(join(place.path, 'site'), ['--split', '2MB']);
    browser = await browse();
    host = await new Host(site).start();
  });
  after(async () => {
    await browser?.close();
    await host?.stop();
    await place?.remove();
  });

  test('holds no file over the size, and says so in model.json', async () => {
    const { weights } = JSON.parse(await readFile(join(site, MODEL, 'model.json'), 'utf8'));
    assert.equal(weights.parts.length, 5);
    const files = await readdir(join(site, MODEL));
    assert.ok(!files.includes(weights.file));
    for (const { file, bytes } of weights.parts) {
      assert.ok(bytes <= 2e6);
      assert.equal((await readFile(join(site, MODEL, file))).length, bytes);
    }
  });

  test(
    'works, asks for each part once, and on a second visit for nothing, also without a network',
    { timeout: 120_000 },
    async () => {
      const context = await browser.newContext();
      const { page, complaints } = await open(context, host.url);
      await espresso(page);
      assert.deepEqual(complaints, []);
      assert.deepEqual(
        host.seen
          .filter((path) => path.includes('.onnx'))
          .map((path) => path.split('.').at(-1))
          .sort(),
        ['0', '1', '2', '3', '4'],
      );
      await kept(page);
      await page.close();
      host.seen = [];
      const again = await open(context, host.url);
      await espresso(again.page);
      assert.deepEqual(
        host.seen.filter((path) => !path.endsWith('/sw.js')),
        [],
      );
      await again.page.close();
      await host.stop();
      const offline = await open(context, host.url);
      await espresso(offline.page);
      await context.close();
      await host.start();
    },
  );
});

describe('a model in three parts', () => {
  const stage = new Stage();
  const { server } = stage;
  const PARTS = '/models/parts/';
  const onnx = classifier();
  const cut = [onnx.subarray(0, 5e5), onnx.subarray(5e5, 9e5), onnx.subarray(9e5)];
  const files = folder({
    change: (manifest) =>
      (manifest.weights.parts = cut.map(({ length }, index) => ({ file: `model.onnx.${index}`, bytes: length }))),
  });
  const part = (/** @type {number} */ index) => `${PARTS}model.onnx.${index}`;
  before(async () => {
    await stage.start();
    server.put(PARTS, { ...files, ...Object.fromEntries(cut.map((bytes, index) => [`model.onnx.${index}`, bytes])) });
  });
  after(() => stage.stop());
  const cached = (/** @type {import('playwright-core').Page} */ page) =>
    page.evaluate(
      async () => (await (await caches.open('whylens')).keys()).filter(({ url }) => url.includes('.onnx')).length,
    );
  const wrong = Buffer.from(cut[1] ?? []).fill(7, 1000, 2000);

  for (const [
    name,
    index,
    behaviour,
    code,
  ] of /** @type {[string, number, import('../web/server.js').Behaviour, string][]} */ ([
    ['of wrong bytes', 1, { body: wrong }, 'integrity'],
    ['that is missing', 2, { status: 404 }, 'http-status'],
    [
      'that is a web page',
      1,
      { body: Buffer.from('<!doctype html><h1>not found</h1>'), type: 'text/html' },
      'not-a-model',
    ],
    ['that is too short', 2, { body: cut[2]?.subarray(0, 1000) ?? Buffer.of() }, 'truncated'],
    ['that is too long', 0, { body: Buffer.concat([cut[0] ?? Buffer.of(), Buffer.alloc(10)]) }, 'integrity'],
    ['that never comes', 1, { stall: 0 }, 'network'],
  ])) {
    test(`a part ${name} is ${code}, is not kept, and the next load works`, { timeout: 60_000 }, async () => {
      const page = await stage.page();
      server.behave(part(index), behaviour);
      const outcome = await attempt(page, PARTS, { retries: 1, stallTimeout: 3000 });
      assert.equal(outcome.code, code, outcome.message);
      assert.equal(await cached(page), 0);
      server.behave(part(index));
      assert.ok((await attempt(page, PARTS)).ok);
      assert.equal(await cached(page), 1);
      await page.context().close();
    });
  }

  test(
    'two broken connections in different parts are resumed, and progress never falls',
    { timeout: 60_000 },
    async () => {
      const page = await stage.page();
      server.forget();
      server.behave(part(0), { cut: 3e5 }, {});
      server.behave(part(2), { cut: 1e5 }, { ranges: false });
      const outcome = await attempt(page, PARTS);
      assert.ok(outcome.ok, outcome.message);
      const loaded = outcome.progress.filter(({ phase }) => phase === 'download').map(({ loaded }) => loaded);
      assert.deepEqual(
        loaded,
        [...loaded].sort((a, b) => a - b),
      );
      assert.deepEqual([loaded[0], loaded.at(-1)], [0, onnx.length]);
      assert.ok(outcome.progress.every(({ total, phase }) => phase === 'prepare' || total === onnx.length));
      assert.deepEqual(
        [0, 1, 2].map((index) => server.count(part(index))),
        [2, 1, 2],
      );
      assert.match(server.seen.filter(({ path }) => path === part(0)).at(-1)?.range ?? '', /^bytes=\d+-$/);
      server.behave(part(0));
      server.behave(part(2));
      await page.context().close();
    },
  );

  test('giving up in the second part stops there, and the next load works', { timeout: 60_000 }, async () => {
    const page = await stage.page();
    server.forget();
    server.behave(part(1), { pace: 100 }, {});
    const code = page.evaluate(async ([model, hasty]) => {
      const controller = new AbortController();
      Object.assign(globalThis, { controller });
      return whylens.load(model, { ...hasty, signal: controller.signal }).then(
        () => 'ready',
        (error) => error.code,
      );
    }, /** @type {const} */ ([PARTS, HASTY]));
    while (!server.seen.some(({ path, sent }) => path === part(1) && sent > 1e5))
      await new Promise((resolve) => setTimeout(resolve, 10));
    await page.evaluate(() => /** @type {any} */ (globalThis).controller.abort());
    assert.equal(await code, 'cancelled');
    assert.equal(server.count(part(2)), 0);
    assert.equal(await cached(page), 0);
    server.behave(part(1));
    assert.ok((await attempt(page, PARTS)).ok);
    await page.context().close();
  });

  test('two tabs opened at once ask for each part once', { timeout: 60_000 }, async () => {
    const context = await stage.browser.newContext();
    const tabs = await Promise.all([stage.page({ context }), stage.page({ context })]);
    server.forget();
    const outcomes = await Promise.all(tabs.map((tab) => attempt(tab, PARTS)));
    assert.ok(outcomes.every(({ ok }) => ok));
    assert.deepEqual(
      [0, 1, 2].map((index) => server.count(part(index))),
      [1, 1, 1],
    );
    await context.close();
  });

  test('nothing that was not expected was thrown on the page', () => assert.deepEqual(stage.errors, []));
});
