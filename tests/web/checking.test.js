// check() and stability(): what they find, progress, cancelling, and what is refused.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Stage } from './page.js';

const stage = new Stage();
const options = { timeout: 120_000 };
const REAL = '/models/efficientnet-lite0/';

/** The library in the page. @type {import('./page.js').Library} */
const whylens = /** @type {any} */ (undefined);

/** @type {import('playwright-core').Page} */
let page;

before(async () => {
  await stage.start();
  page = await stage.page();
});
after(() => stage.stop());

test('a check tells its curves, each run, and whether the map is better than chance', options, async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const result = await classifier.classify(await (await fetch('/tests/photos/chelsea.png')).blob());
    if (!result.heatmap) throw new Error('no heatmap');
    /** @type {import('../../www/library/protocol.js').Progress[]} */
    const told = [];
    const given = { steps: 10, orders: 3, onProgress: (/** @type {any} */ progress) => told.push(progress) };
    const checked = await classifier.check(result, result.heatmap, given);
    const again = await classifier.check(result, result.heatmap, { steps: 10, orders: 3 });
    const opposite = { ...result.heatmap, values: result.heatmap.values.map((value) => -value) };
    const worse = await classifier.check(result, opposite, { steps: 10, orders: 3 });
    const plain = (/** @type {Float32Array} */ values) => [...values];
    return {
      told,
      same: again.deletion.every((value, at) => value === checked.deletion[at]),
      first: result.predictions[0]?.probability,
      lengths: [checked.shares, checked.deletion, checked.insertion, ...checked.random].map((curve) => curve.length),
      deletion: plain(checked.deletion),
      insertion: plain(checked.insertion),
      areas: [checked.deletionArea, checked.insertionArea, checked.advantage, checked.chance],
      verdicts: [checked.verdict, worse.verdict],
    };
  }, REAL);
  assert.deepEqual(
    seen.told.map(({ phase, loaded, total }) => [phase, loaded, total]),
    Array.from({ length: 46 }, (_, at) => ['check', at + 1, 47]),
  );
  assert.ok(seen.same, 'the same seed gives the same curves');
  assert.deepEqual(seen.lengths, Array(6).fill(11));
  assert.ok(Math.abs((seen.deletion[0] ?? 0) - (seen.first ?? 1)) < 1e-6, 'begins with the whole photo');
  assert.equal(seen.deletion[0], seen.insertion.at(-1));
  assert.equal(seen.deletion.at(-1), seen.insertion[0]);
  const [deletion = 0, insertion = 0, advantage = 0, chance] = seen.areas;
  assert.ok(Math.abs(insertion - deletion - advantage) < 1e-6);
  assert.equal(chance, 0.25);
  assert.deepEqual(seen.verdicts, ['better', 'worse']);
});

test('a check is stopped between two runs, and the next call works', options, async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const result = await classifier.classify(await (await fetch('/tests/photos/coffee.png')).blob());
    if (!result.heatmap) throw new Error('no heatmap');
    const controller = new AbortController();
    let runs = 0;
    const onProgress = () => ++runs === 3 && controller.abort();
    const code = await classifier
      .check(result, result.heatmap, { signal: controller.signal, onProgress })
      .catch((error) => error.code);
    const { method } = await classifier.heatmap(result);
    return { code, runs, method };
  }, REAL);
  assert.deepEqual(seen, { code: 'cancelled', runs: 3, method: 'gradcam' });
});

test('what cannot be checked is a bad option', options, async () => {
  const codes = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const result = await classifier.classify(await (await fetch('/tests/photos/coffee.png')).blob());
    const map = result.heatmap;
    if (!map) throw new Error('no heatmap');
    const against = await classifier.heatmap(result, { sign: 'against' });
    const code = (/** @type {Promise<unknown>} */ promise) => promise.then(String, (error) => error.code);
    const odd = /** @type {any[]} */ ([{ steps: 0 }, { orders: 1 }, { fill: 'black' }, { seed: -1 }]);
    return Promise.all([
      ...odd.map((options) => code(classifier.check(result, map, options))),
      code(classifier.check(result, against)),
      code(classifier.check(result, { ...map, classIndex: 5000 })),
      code(classifier.check(result, /** @type {any} */ (null))),
    ]);
  }, REAL);
  assert.deepEqual(codes, Array(7).fill('bad-option'));
});

test('what ROAD puts in place of hidden parts can be asked for', options, async () => {
  const [linear, mean] = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const result = await classifier.classify(await (await fetch('/tests/photos/coffee.png')).blob());
    const map = result.heatmap;
    if (!map) throw new Error('no heatmap');
    const areas = async (/** @type {'linear' | 'mean'} */ fill) =>
      (await classifier.check(result, map, { steps: 4, orders: 2, fill })).deletion;
    return [[...(await areas('linear'))], [...(await areas('mean'))]];
  }, REAL);
  assert.equal(linear?.at(-1), mean?.at(-1), 'nothing is shown');
  assert.notEqual(linear?.[1], mean?.[1]);
});

test('evidence has a place, an extent and spots', options, async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const result = await classifier.classify(await (await fetch('/tests/photos/coffee.png')).blob());
    const both = await classifier.heatmap(result, { sign: 'both' });
    const sides = [both.values.some((value) => value > 0), both.values.some((value) => value < 0)];
    return { one: result.heatmap, found: [both.evidence !== null, both.opposing !== null], sides };
  }, REAL);
  const { evidence, opposing } = seen.one ?? {};
  assert.ok(evidence && evidence.x > 0 && evidence.x < 1 && evidence.y > 0 && evidence.y < 1);
  assert.ok(evidence.share > 0 && evidence.share <= 0.5 && evidence.spots >= 1 && Array.isArray(evidence.border));
  assert.equal(opposing, null);
  assert.deepEqual(seen.found, seen.sides);
});

test('a heatmap is made again of a moved and a stored photo', options, async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const result = await classifier.classify(await (await fetch('/tests/photos/chelsea.png')).blob());
    const map = result.heatmap;
    if (!map) throw new Error('no heatmap');
    /** @type {import('../../www/library/protocol.js').Progress[]} */
    const told = [];
    const found = await classifier.stability(result, map, { onProgress: (progress) => told.push(progress) });
    const contrast = await classifier.heatmap(result, { contrast: 'alike', sign: 'both' });
    const alike = await classifier.stability(result, contrast);
    const controller = new AbortController();
    const stopped = await classifier
      .stability(result, map, { signal: controller.signal, onProgress: () => controller.abort() })
      .catch((error) => error.code);
    const slow = await classifier.stability(result, { ...map, method: 'occlusion' }).catch((error) => error.code);
    const odd = await classifier.stability(result, { ...map, layers: ['nowhere'] }).catch((error) => error.code);
    return { told, found, alike: alike.variants.length, stopped, slow, odd };
  }, REAL);
  assert.deepEqual(
    seen.told.map(({ phase, loaded, total }) => [phase, loaded, total]),
    [1, 2, 3, 4, 5].map((done) => ['stability', done, 6]),
  );
  assert.deepEqual(
    seen.found.variants.map(({ correlation, probability, ...change }) => change),
    [
      { kind: 'shift', x: 4, y: 0 },
      { kind: 'shift', x: -4, y: 0 },
      { kind: 'shift', x: 0, y: 4 },
      { kind: 'shift', x: 0, y: -4 },
      { kind: 'jpeg', quality: 75 },
      { kind: 'jpeg', quality: 50 },
    ],
  );
  assert.ok(seen.found.correlation > 0.9 && seen.found.correlation < 1, `${seen.found.correlation}`);
  assert.equal(seen.found.verdict, 'stable');
  assert.equal(seen.alike, 6);
  assert.deepEqual([seen.stopped, seen.slow, seen.odd], ['cancelled', 'bad-option', 'bad-option']);
});
