// Scripts, tabs and documents that live beside each other: who downloads, and who takes over.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, beforeEach, test } from 'node:test';
import { FIREFOX, WEBKIT } from './browser.js';
import { hold, temporary } from './held.js';
import { HASTY, MODULE, SMALL, Stage, attempt, health, look } from './page.js';

const stage = new Stage();
const { server } = stage;
const WEIGHTS = `${SMALL}model.onnx`;
const options = { timeout: 60_000 };

/** The library in the page. @type {import('./page.js').Library} */
const whylens = /** @type {any} */ (undefined);

before(() => stage.start());
after(() => stage.stop());
beforeEach(() => {
  server.behave(WEIGHTS);
  server.forget();
});

/** @param {() => boolean} condition */
async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

const arrived = () => server.seen.some(({ path, sent }) => path === WEIGHTS && sent > 0);

test('two script tags on one page share everything', options, async () => {
  const tag = (/** @type {string} */ url, /** @type {string} */ attributes) =>
    `<script type="module" ${attributes} src="/start.js?${url}"></script>`;
  const start =
    "const { load } = await import(new URL(import.meta.url).searchParams.get('library')); (globalThis.loads ??= []).push(load('/models/small/'));";
  server.put('/', {
    'start.js': Buffer.from(start),
    'twice.html': Buffer.from(`<!doctype html><link rel="icon" href="data:,">
      ${tag('library=/www/whylens.js', 'data-heatmap="false"')}${tag('library=/copy/www/whylens.js', 'data-preload="eager"')}`),
  });
  const page = await (await stage.browser.newContext()).newPage();
  await page.goto(`${server.url}/twice.html`);
  await page.waitForFunction(() => /** @type {any} */ (globalThis).loads?.length === 2);
  const seen = await page.evaluate(async () => {
    const [one, two] = await Promise.all(/** @type {any} */ (globalThis).loads);
    const { counters, policy, heatmap } = await one.health({ verbose: true });
    return { same: one === two, counters, reason: policy.reason, heatmap };
  });
  assert.ok(seen.same);
  // Each switch is heard, whichever of the two tags has it.
  assert.deepEqual([seen.reason, seen.heatmap], ['eager was asked for', false]);
  assert.deepEqual([seen.counters.weightsRequested, seen.counters.parsed, seen.counters.optimised], [1, 1, 1]);
  // Either copy of the library may be the first.
  assert.deepEqual(
    [WEIGHTS, new RegExp(`${MODULE}$`), /worker\.js$/].map((path) => server.count(path)),
    [1, 1, 1],
  );
  // The driver of WebKit does not tell.
  if (!WEBKIT) assert.equal(page.workers().length, 1);
  await page.context().close();
});

test('a tab that is closed in the middle of its download leaves it to the one that waits', options, async () => {
  server.behave(WEIGHTS, { pace: 100 }, {});
  const context = await stage.browser.newContext();
  const [first, second] = [await stage.page({ context }), await stage.page({ context })];
  attempt(first).catch(() => {});
  await until(arrived);
  const waiting = attempt(second);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(server.count(WEIGHTS), 1);
  await first.close();
  const outcome = await waiting;
  assert.ok(outcome.ok, outcome.message);
  assert.equal(server.count(WEIGHTS), 2);
  assert.deepEqual((await health(second)).counters.weightsRequested, 1);
  await context.close();
});

test('who waits for another tab can give up, and the other goes on', options, async () => {
  server.behave(WEIGHTS, { pace: 40 });
  const context = await stage.browser.newContext();
  const [first, second] = [await stage.page({ context }), await stage.page({ context })];
  const loading = attempt(first);
  await until(arrived);
  const [code, ms] = await second.evaluate(async ([model, hasty]) => {
    const controller = new AbortController();
    const waiting = whylens.load(model, { ...hasty, signal: controller.signal }).then(
      () => 'ready',
      (error) => error.code,
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    const start = performance.now();
    controller.abort();
    return /** @type {[string, number]} */ ([await waiting, performance.now() - start]);
  }, /** @type {const} */ ([SMALL, HASTY]));
  assert.equal(code, 'cancelled');
  assert.ok(ms < 100, `${ms} ms`);
  assert.ok((await loading).ok);
  assert.equal(await look(second), 'ok');
  assert.equal(server.count(WEIGHTS), 1);
  await context.close();
});

test('loads and failures in two tabs do not mix', options, async () => {
  server.behave(WEIGHTS, { status: 404 }, {});
  const context = await stage.browser.newContext();
  const tabs = [await stage.page({ context }), await stage.page({ context })];
  const codes = (await Promise.all(tabs.map((tab) => attempt(tab)))).map(({ ok, code }) => (ok ? 'ok' : code));
  assert.deepEqual(codes.sort(), ['http-status', 'ok']);
  assert.deepEqual(await Promise.all(tabs.map((tab) => look(tab))), ['ok', 'ok']);
  assert.equal(server.count(WEIGHTS), 2);
  await context.close();
});

// Playwright switches prerendering off, so this is a browser of its own; the page reports by a request.
test(
  'a page that the browser prerenders loads when it is shown and used',
  { ...options, skip: (FIREFOX || WEBKIT) && 'it does not prerender' },
  async () => {
    server.put('/', {
      'before.html': Buffer.from(`<!doctype html><link rel="icon" href="data:,">
      <script type="speculationrules">{"prerender": [{"urls": ["/after.html"], "eagerness": "immediate"}]}</script>
      <script type="module" src="/before.js"></script>`),
      'before.js': Buffer.from(
        "while (!(await (await fetch('/go')).text()).startsWith('go')); location.href = '/after.html';",
      ),
      'after.html': Buffer.from('<!doctype html><script type="module" src="/after.js"></script>'),
      'after.js': Buffer.from(`
      const prerendered = document.prerendering;
      const { load } = await import('/www/whylens.js');
      const classifier = await load('/models/small/');
      const { status, policy } = await classifier.health({ verbose: true });
      await fetch('/loaded');
      if (prerendered) await new Promise((resolve) => document.addEventListener('prerenderingchange', resolve));
      const { predictions } = await classifier.classify(new ImageData(8, 8));
      await fetch('/report?' + encodeURIComponent(JSON.stringify({ prerendered, status, reason: policy.reason, predictions: predictions.length })));`),
    });
    server.behave('/go', { body: Buffer.from('wait'), pace: 100 });
    const { path } = await temporary();
    const flags = [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-sync',
      `--user-data-dir=${path}`,
      '--remote-debugging-port=0',
    ];
    const browser = spawn(process.env['CHROMIUM'] ?? '/usr/bin/chromium', [...flags, `${server.url}/before.html`], {
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => browser.on('exit', resolve));
    const close = hold(() => (browser.kill(), ended));
    try {
      await until(() => server.count('/loaded') > 0);
      assert.deepEqual([server.count(WEIGHTS), server.count(/\.wasm$/)], [0, 0], 'while it is prerendered');
      server.behave('/go', { body: Buffer.from('go') });
      await until(() => server.count('/report') > 0);
      const report = server.seen.find(({ path }) => path === '/report')?.query ?? '';
      const { reason, ...seen } = JSON.parse(decodeURIComponent(report));
      assert.deepEqual(seen, { prerendered: true, status: 'idle', predictions: 5 });
      assert.match(reason, /prerendered/);
      assert.equal(server.count(WEIGHTS), 1);
    } finally {
      await close();
    }
  },
);

test('nothing that was not expected was thrown on the pages', () => assert.deepEqual(stage.errors, []));
