// the slow method: it tells how far it is, can be stopped, and holds nothing up

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Stage } from '../web/page.js';
import { place, sample, verdict } from './visit.js';

const REAL = '/models/efficientnet-lite0/';
const options = { timeout: 120_000 };
const stage = new Stage();
/** The library in the page. @type {import('../web/page.js').Library} */
const whylens = /** @type {any} */ (undefined);
/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
  await stage.start();
});
after(async () => {
  await here?.close();
  await stage.stop();
});

test('occlusion tells how far it is, and the worker hears other calls meanwhile', options, async () => {
  const page = await stage.page();
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const photo = await (await fetch('/tests/photos/coffee.png')).blob();
    const result = await classifier.classify(photo);
    /** @type {import('../../www/library/protocol.js').Progress[]} */
    const told = [];
    let meanwhile = 0,
      finished = false;
    const slow = classifier
      .heatmap(result, { method: 'occlusion', onProgress: (progress) => told.push(progress) })
      .finally(() => (finished = true));
    while (!finished && meanwhile < 3) {
      await classifier.health();
      if (!finished && told.length && told.length < 64) meanwhile += 1;
    }
    const { method, width, height, max } = await slow;
    const inside = await classifier.classify(photo, { heatmap: { method: 'occlusion' } });
    return {
      told,
      meanwhile,
      method,
      width,
      height,
      max,
      label: result.heatmap?.label,
      inside: inside.heatmap?.max,
      timing: inside.timing,
    };
  }, REAL);
  assert.equal(seen.meanwhile, 3, 'health() is answered before the heatmap');
  assert.equal(seen.told[0]?.loaded, 0, 'the cost is told before the first step');
  assert.ok(seen.told.length > 4 && seen.told.length <= 64);
  assert.ok(seen.told.every(({ loaded }, at) => loaded > (seen.told[at - 1]?.loaded ?? -1) && loaded < 64));
  assert.ok(seen.told.every(({ phase, total }) => phase === 'heatmap' && total === 64));
  assert.deepEqual([seen.method, seen.width, seen.height], ['occlusion', 7, 7]);
  assert.ok(seen.max > 0);
  assert.equal(seen.inside, seen.max, 'classify() gives the same map');
  assert.ok(
    Math.abs(
      seen.timing.total - seen.timing.decode - seen.timing.preprocess - seen.timing.inference - seen.timing.heatmap,
    ) < 1e-6,
  );
  await page.context().close();
});

test('a slow heatmap is stopped in the middle, and the next call does not wait for it', options, async () => {
  const page = await stage.page();
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const result = await classifier.classify(await (await fetch('/tests/photos/coffee.png')).blob());
    const controller = new AbortController();
    let steps = 0;
    const start = performance.now();
    const code = await classifier
      .heatmap(result, {
        method: 'occlusion',
        signal: controller.signal,
        onProgress: () => ++steps === 3 && controller.abort(),
      })
      .catch((error) => error.code);
    const stopped = performance.now();
    const { method } = await classifier.heatmap(result);
    const after = steps;
    await new Promise((resolve) => setTimeout(resolve, 500));
    return {
      code,
      method,
      steps: after,
      later: steps,
      once: (stopped - start) / 3,
      next: performance.now() - stopped - 500,
    };
  }, REAL);
  assert.equal(seen.code, 'cancelled');
  assert.equal(seen.method, 'gradcam');
  assert.equal(seen.later, seen.steps, 'no step is done after the next call');
  assert.ok(seen.next < 20 * seen.once, `the next heatmap took ${seen.next} ms, a step ${seen.once} ms`);
  await page.context().close();
});

test('several layers are averaged, and unknown ones refused by name', options, async () => {
  const page = await stage.page();
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const result = await classifier.classify(await (await fetch('/tests/photos/chelsea.png')).blob());
    const candidates = classifier.model?.candidates ?? [];
    const two = candidates.slice(-2).map(({ name }) => name);
    const averaged = await classifier.heatmap(result, { layer: two });
    const alone = await classifier.heatmap(result, { layer: two[0] });
    const usual = await classifier.heatmap(result);
    const bad = await classifier.heatmap(result, { layer: ['nowhere', ...two] }).then(
      () => 'made',
      ({ code, message }) => `${code}: ${message}`,
    );
    return { candidates, two, averaged, alone, usual: usual.layer, own: classifier.model?.layers[0]?.name, bad };
  }, REAL);
  assert.ok(seen.candidates.length >= 4, JSON.stringify(seen.candidates));
  assert.deepEqual([seen.averaged.layers, seen.averaged.layer], [seen.two, seen.two.join(' + ')]);
  assert.equal(seen.alone.layer, seen.two[0]);
  assert.deepEqual(
    [seen.averaged.width, seen.averaged.height],
    [seen.alone.width, seen.alone.height],
    'it has the size of the finest',
  );
  assert.ok(seen.averaged.max > 0 && seen.averaged.max <= 1.0001);
  assert.equal(seen.usual, seen.own);
  assert.match(seen.bad, /^bad-option: .*nowhere/);
  await page.context().close();
});

test('the limits of a photo are options', options, async () => {
  const page = await stage.page();
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model, { maxPixels: 100_000 });
    const photo = await (await fetch('/tests/photos/coffee.png')).blob();
    const bitmap = await createImageBitmap(photo);
    const code = (/** @type {Promise<unknown>} */ call) =>
      call.then(
        () => 'ok',
        (/** @type {any} */ { code, message }) => `${code}: ${message}`,
      );
    return {
      over: await code(classifier.classify(photo)),
      bitmap: await code(classifier.classify(bitmap)),
      raised: await code(classifier.classify(photo, { maxPixels: 240_000 })),
      bytes: await code(classifier.classify(photo, { maxPixels: Infinity, maxBytes: 1000 })),
      bad: await code(classifier.classify(photo, { maxPixels: -1 })),
    };
  }, REAL);
  assert.match(seen.over, /^image-too-large: .*600 × 400 pixels.*raise `maxPixels`/);
  assert.match(seen.bitmap, /^image-too-large: .*600 × 400 pixels.*raise `maxPixels`/);
  assert.equal(seen.raised, 'ok');
  assert.match(seen.bytes, /^image-too-large: .*raise `maxBytes`/);
  assert.match(seen.bad, /^bad-option: maxPixels is -1/);
  await page.context().close();
});

test('the page shows the steps of occlusion, and cancelling keeps what was shown', options, async () => {
  const { page, context, complaints } = await here.visit();
  await sample(page, 1);
  await verdict(page, /espresso/i);
  await page.getByLabel('Method').selectOption('occlusion');
  await page.locator('.busy', { hasText: /Explaining · \d+ of 64/ }).waitFor();
  await page.locator('.busy').getByRole('button', { name: 'Cancel' }).click();
  await page.waitForFunction(() => !document.querySelector('.busy:not([hidden])'));
  assert.equal(await page.getByLabel('Method').inputValue(), 'gradcam');
  await page.getByLabel('Method').selectOption('occlusion');
  await page.locator('.busy', { hasText: /Explaining · \d+ of 64/ }).waitFor();
  await page.waitForFunction(() => !document.querySelector('.busy:not([hidden])'), undefined, { timeout: 60_000 });
  assert.equal(await page.getByLabel('Method').inputValue(), 'occlusion');
  await page.getByLabel('Method').selectOption('occlusion');
  // Another photo does not wait for the steps of the one before.
  await page.locator('.class').nth(1).click();
  await page.locator('.busy', { hasText: /Explaining · \d+ of 64/ }).waitFor();
  await sample(page, 2);
  await page.locator('.verdict', { hasText: /missile/i }).waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});
