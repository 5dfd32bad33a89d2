// Photos that wait are decoded and resized by other workers: the same results, in order, and no more than that.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { listenIn, serveEndings } from './ending.js';
import { HASTY, Stage, health, workers } from './page.js';

const stage = new Stage();
const { server } = stage;
const MODEL = '/models/efficientnet-lite0/';
const options = { timeout: 180_000 };

before(async () => {
  await stage.start();
  await serveEndings(server);
});
after(() => stage.stop());

/** Workers that the page has for its model, before photos wait: with threads, its helpers too. */
const ONE = 1;

/**
 * A page with a model and `photos`: large files, each other one smaller.
 * @param {string} [query]
 */
async function opened(query = '') {
  const page = await stage.page({ before: listenIn, query });
  await page.evaluate(async ([model, hasty]) => {
    const world = /** @type {any} */ (globalThis);
    world.classifier = await world.whylens.load(model, { ...hasty, preload: 'eager' });
    const photo = async (/** @type {number} */ seed) => {
      const canvas = new OffscreenCanvas(1200 + seed, 900);
      const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
      const pixels = pen.createImageData(canvas.width, canvas.height);
      let state = seed + 1;
      for (let at = 0; at < pixels.data.length; at += 1) {
        state = (state * 1103515245 + 12345) % 2 ** 31;
        pixels.data[at] = at % 4 === 3 ? 255 : (state >> 16) & 255;
      }
      pen.putImageData(pixels, 0, 0);
      return canvas.convertToBlob({ type: 'image/jpeg', quality: 0.9 });
    };
    world.photos = await Promise.all(Array.from({ length: 12 }, (_, seed) => photo(seed)));
  }, /** @type {const} */ ([MODEL, HASTY]));
  return page;
}

/**
 * Calls for all photos at once, or one after the other.
 * @param {import('playwright-core').Page} page
 * @param {boolean} together
 * @returns {Promise<{ order: number[], outcomes: any[], most: number }>}
 */
const classifyAll = (page, together) =>
  page.evaluate(async (together) => {
    const { classifier, photos } = /** @type {any} */ (globalThis);
    /** @type {number[]} */
    const order = [];
    let most = 0;
    const one = async (/** @type {Blob} */ photo, /** @type {number} */ at) => {
      const outcome = await classifier.classify(photo, { scores: true, view: 64 }).then(
        (/** @type {any} */ { id, timing, view, heatmap, ...result }) => ({
          ...result,
          scores: [...result.scores],
          heatmap: [...heatmap.values],
          view: [view.width, view.height],
          times: timing.decode > 0 && timing.preprocess > 0,
        }),
        (/** @type {any} */ { code }) => ({ code }),
      );
      order.push(at);
      most = Math.max(most, (await classifier.health()).memory.ahead);
      return outcome;
    };
    const outcomes = [];
    if (together) outcomes.push(...(await Promise.all(photos.map(one))));
    else for (const [at, photo] of photos.entries()) outcomes.push(await one(photo, at));
    return { order, outcomes: JSON.parse(JSON.stringify(outcomes)), most };
  }, together);

/**
 * Keeps the worker with the model busy until another has read a photo, however long that takes to start.
 * @param {import('playwright-core').Page} page
 */
const hold = (page) =>
  page.evaluate(() => {
    const { queue, ahead } = /** @type {any} */ (globalThis)[Symbol.for('whylens')];
    void queue.run(async () => {
      for (let turn = 0; turn < 3000 && ahead.memory === 0; turn += 1) await new Promise((go) => setTimeout(go, 20));
    });
  });

/** @param {import('playwright-core').Page} page */
const idle = (page) => page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 4500)));

test('photos that wait give the same results, in order, without a second download', options, async () => {
  const page = await opened();
  const alone = await classifyAll(page, false);
  assert.equal(alone.most, 0, 'one photo after the other needs no other worker');
  const before = await workers(page);
  server.forget();
  await hold(page);
  const together = await classifyAll(page, true);
  assert.ok(together.most > 0, 'the memory of the other workers is told');
  assert.deepEqual(
    together.order,
    [...together.order].sort((a, b) => a - b),
  );
  assert.deepEqual(together.outcomes, alone.outcomes);
  assert.equal(server.count(/\.(onnx|wasm)$/), 0, 'requests for weights and wasm');
  await idle(page);
  assert.equal(await workers(page), before);
  assert.equal((await health(page, MODEL)).memory?.ahead, 0);
  await page.context().close();
});

test('a photo that is damaged fails alone, with its code', options, async () => {
  const page = await opened();
  const { outcomes } = await page
    .evaluate(() => {
      const world = /** @type {any} */ (globalThis);
      world.photos[5] = world.photos[5].slice(0, 60_000);
      world.photos[7] = new Blob(['no picture']);
    })
    .then(() => classifyAll(page, true));
  const codes = outcomes.map(({ code }) => code ?? 'ok');
  assert.deepEqual(codes, [
    'ok',
    'ok',
    'ok',
    'ok',
    'ok',
    'image-corrupt',
    'ok',
    'image-format',
    'ok',
    'ok',
    'ok',
    'ok',
  ]);
  await page.context().close();
});

test('a photo that ends the worker that decodes it fails alone', options, async () => {
  const page = await opened();
  await page.evaluate(() => {
    const world = /** @type {any} */ (globalThis);
    world.provoke('panic', 0, world.photos[1].size);
  });
  await hold(page);
  const { outcomes } = await classifyAll(page, true);
  assert.deepEqual(
    outcomes.map(({ code }) => code ?? 'ok'),
    outcomes.map((_, at) => (at === 1 ? 'worker-crashed' : 'ok')),
  );
  const { counters } = await health(page, MODEL);
  // A decoding worker that does not start in time counts as well.
  assert.ok(counters.crashes >= 1, String(counters.crashes));
  assert.equal(counters.loads, 1, 'the worker with the model lives');
  await page.context().close();
});

test('photos that are given up while they wait hold up no other', options, async () => {
  const page = await opened();
  await hold(page);
  const codes = await page.evaluate(async () => {
    const { classifier, photos } = /** @type {any} */ (globalThis);
    const controller = new AbortController();
    const calls = photos.map((/** @type {Blob} */ photo, /** @type {number} */ at) =>
      classifier.classify(photo, at % 2 ? { signal: controller.signal } : {}).then(
        () => 'ok',
        (/** @type {any} */ { code }) => code,
      ),
    );
    await calls[0];
    controller.abort();
    return Promise.all(calls);
  });
  assert.deepEqual(
    codes.filter((_, at) => at % 2 === 0),
    Array(6).fill('ok'),
  );
  assert.deepEqual([...new Set(codes.filter((_, at) => at > 2 && at % 2 === 1))], ['cancelled']);
  await page.context().close();
});

test('a model that is disposed of leaves no worker', options, async () => {
  const page = await opened();
  const codes = await page.evaluate(async () => {
    const { classifier, photos } = /** @type {any} */ (globalThis);
    const calls = photos.map((/** @type {Blob} */ photo) =>
      classifier.classify(photo).then(
        () => 'ok',
        (/** @type {any} */ { code }) => code,
      ),
    );
    await calls[1];
    await classifier.dispose();
    return Promise.all(calls);
  });
  assert.deepEqual(codes.slice(0, 2), ['ok', 'ok']);
  assert.deepEqual([...new Set(codes.slice(3))], ['disposed']);
  // One that was about to start ends as soon as it has.
  for (let turn = 0; turn < 200 && (await workers(page)); turn += 1) await page.waitForTimeout(50);
  assert.equal(await workers(page), 0);
  await page.context().close();
});

test('where no other worker starts, the one with the model does all', options, async () => {
  const page = await opened();
  await page.evaluate(() => {
    Object.assign(globalThis, {
      Worker: class {
        constructor() {
          throw new Error('no more workers');
        }
      },
    });
  });
  const { outcomes, most } = await classifyAll(page, true);
  assert.deepEqual([...new Set(outcomes.map(({ code }) => code ?? 'ok'))], ['ok']);
  assert.equal(most, 0);
  assert.equal(await workers(page), ONE);
  await page.context().close();
});
