// Several threads, in a page that is isolated from other origins: they give the same, and none is left.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { THREADS } from '../../www/library/features.js';
import { FIREFOX } from './browser.js';
import { Stage, health } from './page.js';
import { Server } from './server.js';

/** The library in the page. @type {typeof import('../../www/whylens.js')} */
const whylens = /** @type {any} */ (undefined);

const MODEL = '/models/efficientnet-lite0/';
const ISOLATED = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };
const FETCHED = `/www/pkg/${THREADS.folder}/whylens_bg.wasm`;
const SCRIPT = '/www/worker/worker.js';
const TURNS = Number(process.env['WHYLENS_ENDURE'] ?? 60);

const options = { timeout: 120_000 };
const stage = new Stage();
stage.server = new Server(ISOLATED);
const plain = new Stage();

before(() => Promise.all([stage.start(), plain.start()]));
after(() => Promise.all([stage.stop(), plain.stop()]));

/** @param {() => boolean} done */
async function until(done) {
  for (let turn = 0; turn < 200 && !done(); turn += 1) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(done(), String(done));
}

/** Whether this browser has what the build with threads needs. @param {import('./page.js').Page} page */
const hasThreads = async (page) => (await features(page)).threads;

/** @param {import('./page.js').Page} page */
const features = (page) =>
  page.evaluate(async () => {
    const path = '/www/library/features.js';
    return /** @type {typeof import('../../www/library/features.js')} */ (await import(path)).features();
  });

/**
 * A page in which the model is loaded, and all threads have started.
 * @param {import('../../www/library/protocol.js').LoadOptions['threads']} threads
 */
async function loaded(threads, query = '') {
  const page = await stage.page({ query });
  const started = await page.evaluate(async ([model, threads]) => {
    const classifier = await whylens.load(model, { preload: 'eager', ...(threads ? { threads } : {}) });
    Object.assign(globalThis, { classifier });
    const wanted = threads ?? Number(new URLSearchParams(location.search).get('threads'));
    for (let turn = 0; turn < 200; turn += 1) {
      const { threads } = await classifier.health({ verbose: true });
      if (threads === wanted) return threads;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return (await classifier.health({ verbose: true })).threads;
  }, /** @type {const} */ ([MODEL, threads]));
  return { page, started };
}

/** Scores and heatmaps of a photo, to the last bit. @param {import('./page.js').Page} page */
const outcome = (page) =>
  page.evaluate(async () => {
    const { classifier } = /** @type {{ classifier: import('../../www/whylens.js').Classifier }} */ (
      /** @type {any} */ (globalThis)
    );
    const photo = await (await fetch('/tests/photos/chelsea.png')).blob();
    const result = await classifier.classify(photo, { scores: true });
    const occluded = await classifier.heatmap(result, { method: 'occlusion' });
    const bits = (/** @type {Float32Array | undefined} */ values) => [
      ...new Uint32Array(Float32Array.from(values ?? []).buffer),
    ];
    return [result.scores, result.heatmap?.values, occluded.values].map(bits);
  });

test('any number of threads gives the same scores and heatmaps to the last bit', options, async (t) => {
  const first = await loaded(2);
  if (!(await hasThreads(first.page))) return t.skip('this browser has no threads, or no relaxed SIMD');
  assert.equal(first.started, 2);
  const expected = await outcome(first.page);
  assert.deepEqual([expected[0]?.length, expected[1]?.length], [1000, 49]);
  await first.page.context().close();
  for (const threads of [3, 5]) {
    const { page, started } = await loaded(threads);
    assert.equal(started, threads);
    assert.deepEqual(await outcome(page), expected, `${threads} threads`);
    await page.context().close();
  }
});

test('threads are taken where the page is isolated, as many as the address says', options, async (t) => {
  stage.server.forget();
  const { page, started } = await loaded(undefined, '?threads=3');
  if (!(await hasThreads(page))) return t.skip('this browser has no threads, or no relaxed SIMD');
  const { module, build } = await health(page, MODEL);
  assert.deepEqual([started, module, build], [3, THREADS.folder, THREADS.name]);
  assert.equal(stage.server.count(FETCHED), 1);
  await page.context().close();
});

test('one thread, and a page that is not isolated, take another build', options, async () => {
  const one = await loaded(1);
  assert.equal(one.started, 1);
  const elsewhere = await plain.page();
  await elsewhere.evaluate((model) => whylens.load(model, { preload: 'eager', threads: 4 }), MODEL);
  for (const page of [one.page, elsewhere]) {
    const { module, threads } = await health(page, MODEL);
    assert.ok(module !== THREADS.folder && threads === 1, `${module} with ${threads}`);
    await page.context().close();
  }
  assert.equal(plain.server.count(FETCHED), 0);
});

/** What keeps helpers from starting: how a file is served to the worker, and then to them. */
const KEPT_FROM_STARTING = /** @type {[string, string, ...import('./server.js').Behaviour[]][]} */ ([
  ['a script that is gone', SCRIPT, {}, { status: 404 }],
  ['a script that is another one', SCRIPT, {}, { body: Buffer.from('<h1>proxy error</h1>'), type: 'text/html' }],
  ["the module's script is gone", `/www/pkg/${THREADS.folder}/whylens.js`, {}, { status: 404 }],
  // A worker takes its policy from its own file. In Firefox this one would not let it import its own modules.
  ...(FIREFOX ? [] : [['a policy', SCRIPT, { headers: { 'content-security-policy': "worker-src 'none'" } }]]),
]);

for (const [why, path, ...served] of KEPT_FROM_STARTING) {
  test(`helpers that cannot start are missed by nobody: ${why}`, options, async (t) => {
    const page = await stage.page();
    if (!(await hasThreads(page))) return t.skip('this browser has no threads, or no relaxed SIMD');
    t.after(() => stage.server.behave(path));
    stage.server.forget();
    stage.server.behave(path, ...served);
    const best = await page.evaluate(async (model) => {
      const classifier = await whylens.load(model, { preload: 'eager', threads: 3 });
      const photo = await (await fetch('/tests/photos/chelsea.png')).blob();
      return (await classifier.classify(photo)).predictions[0]?.index;
    }, MODEL);
    if (served.length > 1) await until(() => stage.server.count(path) === 3);
    const { module, threads } = await health(page, MODEL);
    assert.deepEqual([best !== undefined, module, threads], [true, THREADS.folder, 1]);
    if (!FIREFOX) await until(() => page.workers().length === 1);
    await page.context().close();
  });
}

test('a helper that dies ends the worker, and the next one is whole', options, async (t) => {
  const page = await stage.page();
  if (!(await hasThreads(page))) return t.skip('this browser has no threads, or no relaxed SIMD');
  const script = readFileSync(new URL('../../www/worker/helpers.js', import.meta.url), 'utf8');
  // One of the two does what it does after a trap.
  const dying = script.replace(
    'glue.help?.();',
    `await navigator.locks.request('one', { ifAvailable: true }, (lock) => {
      if (!lock) return glue.help();
      glue.helperDied();
      return new Promise(() => {});
    });`,
  );
  t.after(() => stage.server.put('/www/worker/', { 'helpers.js': Buffer.from(script) }));
  assert.notEqual(dying, script);
  stage.server.put('/www/worker/', { 'helpers.js': Buffer.from(dying) });
  const error = await page.evaluate(async (model) => {
    try {
      const classifier = await whylens.load(model, { preload: 'eager', threads: 3 });
      for (let turn = 0; turn < 100; turn += 1) {
        await classifier.classify(new ImageData(40 + turn, 30), { heatmap: false });
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return null;
    } catch (error) {
      const { code, message } = /** @type {{ code: string, message: string }} */ (error);
      return { code, message };
    }
  }, MODEL);
  assert.equal(error?.code, 'worker-crashed');
  assert.match(error?.message ?? '', /a thread that helps has ended/);
  stage.server.put('/www/worker/', { 'helpers.js': Buffer.from(script) });
  const classes = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model, { preload: 'eager', threads: 3 });
    return (await classifier.classify(new ImageData(40, 30), { heatmap: false })).predictions.length;
  }, MODEL);
  assert.equal(classes, 5);
  if (!FIREFOX) await until(() => page.workers().length === 3);
  await page.context().close();
});

/**
 * Waits until the page's model is run by so many threads, and in Chromium until the page has as many workers.
 * @param {import('./page.js').Page} page
 * @param {number} count
 */
async function untilThreads(page, count) {
  let threads = null;
  for (let turn = 0; turn < 200 && threads !== count; turn += 1) {
    ({ threads = null } = await health(page, MODEL));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(threads, count);
  if (!FIREFOX) await until(() => page.workers().length === count);
}

test('a worker that is replaced takes its helpers along, and the next one has its own', options, async (t) => {
  const { page } = await loaded(3);
  if (!(await hasThreads(page))) return t.skip('this browser has no threads, or no relaxed SIMD');
  for (let turn = 1; turn <= 3; turn += 1) {
    await page.evaluate(async (turn) => {
      const registry = /** @type {any} */ (globalThis)[Symbol.for('whylens')];
      const { classifier } = /** @type {any} */ (globalThis);
      // As if it had grown.
      Object.assign(registry, { idleTime: 0, atRest: -Infinity });
      await classifier.classify(new ImageData(40, 30), { heatmap: false });
      while (registry.renewals < turn) await new Promise((resolve) => setTimeout(resolve, 20));
    }, turn);
    await untilThreads(page, 3);
  }
  await page.context().close();
});

test('a worker that is ended while its helpers work leaves none of them', options, async (t) => {
  const { page } = await loaded(3);
  if (!(await hasThreads(page))) return t.skip('this browser has no threads, or no relaxed SIMD');
  for (let turn = 1; turn <= 5; turn += 1) {
    const code = await page.evaluate(async () => {
      const { connection } = /** @type {any} */ (globalThis)[Symbol.for('whylens')];
      const { classifier } = /** @type {any} */ (globalThis);
      const result = await classifier.classify(new ImageData(40, 30));
      const answer = classifier.heatmap(result, { method: 'occlusion' }).catch((/** @type {any} */ { code }) => code);
      // Dozens of runs of the network take longer.
      await new Promise((resolve) => setTimeout(resolve, 100));
      connection.close(Object.assign(new Error('the worker was ended'), { code: 'worker-crashed' }));
      return answer;
    });
    assert.equal(code, 'worker-crashed');
    await page.evaluate(() => /** @type {any} */ (globalThis).classifier.classify(new ImageData(40, 30)));
    await untilThreads(page, 3);
  }
  await page.context().close();
});

test('many models that come and go leave no worker, and each has its helpers', options, async (t) => {
  const page = await stage.page();
  if (!(await hasThreads(page))) return t.skip('this browser has no threads, or no relaxed SIMD');
  for (let turn = 0; turn < 20; turn += 1) {
    await page.evaluate((model) => whylens.load(model, { preload: 'eager', threads: 3 }), MODEL);
    // In every other turn the helpers sleep when their worker ends, in the rest they start.
    if (turn % 2) await untilThreads(page, 3);
    await page.evaluate(async (model) => (await whylens.load(model)).dispose(), MODEL);
  }
  if (!FIREFOX) await until(() => page.workers().length === 0);
  assert.equal(await page.evaluate(async () => (await navigator.locks.query()).held?.length), 0, 'no lock is left');
  await page.context().close();
});

test(
  'many runs leave no memory behind, and no worker is left after disposal',
  { timeout: 120_000 + TURNS * 1000 },
  async (t) => {
    const { page, started } = await loaded(3);
    if (!(await hasThreads(page))) return t.skip('this browser has no threads, or no relaxed SIMD');
    assert.equal(started, 3);
    const memory = await page.evaluate(async (turns) => {
      const { classifier } = /** @type {{ classifier: import('../../www/whylens.js').Classifier }} */ (
        /** @type {any} */ (globalThis)
      );
      const seen = [];
      for (let turn = 0; turn < turns; turn += 1) {
        const image = new ImageData(300, 200);
        image.data.fill((turn * 37) % 256);
        await classifier.classify(image, { scores: false });
        const { memory } = await classifier.health();
        seen.push([memory?.wasm ?? 0, memory?.live ?? 0]);
      }
      return seen;
    }, TURNS);
    const [early, late] = [memory[9], memory.at(-1)];
    assert.equal(late?.[0], early?.[0], 'wasm memory after 10 runs and after all');
    // The ids of results grow by a digit.
    assert.ok(Math.abs((late?.[1] ?? NaN) - (early?.[1] ?? NaN)) < 100, `in use: ${early?.[1]}, then ${late?.[1]}`);
    if (!FIREFOX) assert.equal(page.workers().length, 3, 'the worker and its helpers');
    await page.evaluate(async () => {
      const { classifier } = /** @type {any} */ (globalThis);
      await classifier.dispose();
    });
    await until(() => page.workers().length === 0);
    await page.context().close();
  },
);
