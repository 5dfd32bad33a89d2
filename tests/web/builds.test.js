// The builds of the module: one of them is fetched, and all give the same result; the whole one too, where
// the plan does not do.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BUILDS, COMPILE } from '../../www/library/features.js';
import { folder } from './onnx.js';
import { MODULE, SMALL, Stage, attempt, health } from './page.js';

const stage = new Stage();
const MODEL = '/models/efficientnet-lite0/';

before(() => stage.start());
after(() => stage.stop());

test('one build is fetched, and it is the one that health names', { timeout: 60_000 }, async () => {
  const page = await stage.page();
  stage.server.forget();
  assert.equal((await attempt(page, MODEL)).ok, true);
  const fetched = BUILDS.filter(({ folder }) => stage.server.count(`/www/pkg/${folder}/whylens_bg.wasm`) > 0);
  assert.deepEqual(
    fetched.map(({ name }) => name),
    [(await health(page, MODEL)).build],
  );
  assert.equal(stage.server.count(/\.wasm$/), 1);
  await page.context().close();
});

test(
  'a model without a plan takes the whole module, fetched once, and its weights are asked for once',
  { timeout: 60_000 },
  async () => {
    const page = await stage.page();
    const why = '#1 "hidden" NonZero cannot be kept in a plan';
    const change = (/** @type {any} */ manifest) => Object.assign(manifest.weights, { unplanned: why });
    stage.server.put('/models/other/', folder({ change }));
    stage.server.forget();
    const outcomes = await Promise.all([attempt(page), attempt(page), attempt(page, '/models/other/')]);
    assert.deepEqual(
      outcomes.map(({ ok }) => ok),
      [true, true, true],
    );
    assert.deepEqual([stage.server.count(/\.wasm$/), stage.server.count(MODULE)], [2, 1]);
    for (const [model, told] of [
      [SMALL, '`whylens pack`'],
      ['/models/other/', why],
    ]) {
      const { counters, build, module, warnings } = await health(page, model);
      assert.ok(
        warnings.some((warning) => warning.includes(String(told))),
        `the reason is told: ${warnings}`,
      );
      assert.deepEqual([build, module], [COMPILE.name, COMPILE.folder], 'health names the module that runs the model');
      assert.deepEqual([counters.weightsRequested, counters.parsed, counters.loads], [1, 1, 1]);
    }
    await page.context().close();
  },
);

test('before a model is loaded, no build runs it', { timeout: 60_000 }, async () => {
  const page = await stage.page();
  assert.equal(
    (
      await page.evaluate(async (model) => {
        const { load } = /** @type {{ whylens: typeof import('../../www/whylens.js') }} */ (
          /** @type {any} */ (globalThis)
        ).whylens;
        return (await load(model, { preload: 'lazy' })).health();
      }, SMALL)
    ).build,
    null,
  );
  await page.context().close();
});

test('a layer that is not in the plan moves the model to the whole module', { timeout: 120_000 }, async () => {
  const page = await stage.page();
  stage.server.forget();
  const seen = await page.evaluate(async (model) => {
    const { load } = /** @type {{ whylens: typeof import('../../www/whylens.js') }} */ (/** @type {any} */ (globalThis))
      .whylens;
    const classifier = await load(model, { preload: 'eager' });
    const photo = await (await fetch('/tests/photos/chelsea.png')).blob();
    const own = await classifier.classify(photo);
    const { module: planned } = await classifier.health({ verbose: true });
    const layer = classifier.model?.candidates.find(({ height }) => height === 14)?.name;
    const other = await classifier.heatmap(own, { layer });
    const back = await classifier.heatmap(own, { layer: own.heatmap?.layer });
    const again = await classifier.classify(photo, { heatmap: { layer } });
    const { counters, module } = await classifier.health({ verbose: true });
    const same = (/** @type {ArrayLike<number>} */ a, /** @type {ArrayLike<number>} */ b) =>
      Array.from(a).every((value, at) => Math.abs(value - (b[at] ?? NaN)) < 1e-4);
    return {
      sizes: [own.heatmap?.height, other.height, back.height, again.heatmap?.height],
      counters,
      modules: [planned, module],
      best: [own.predictions[0]?.index, again.predictions[0]?.index],
      same: [same(own.heatmap?.values ?? [NaN], back.values), same(other.values, again.heatmap?.values ?? [])],
    };
  }, MODEL);
  assert.deepEqual(
    [seen.sizes, seen.same],
    [
      [7, 14, 7, 14],
      [true, true],
    ],
  );
  assert.equal(seen.best[0], seen.best[1]);
  assert.ok(
    BUILDS.some(({ folder }) => folder === seen.modules[0]) && seen.modules[1] === COMPILE.folder,
    seen.modules.join(),
  );
  assert.deepEqual([stage.server.count(MODULE), stage.server.count(`${MODEL}model.onnx`)], [1, 1]);
  assert.deepEqual([seen.counters.weightsRequested, seen.counters.loads], [1, 1]);
  await page.context().close();
});

test('all builds that run here give the same classes and nearly the same scores', { timeout: 120_000 }, async (t) => {
  const results = [];
  for (const { name } of BUILDS) {
    const page = await stage.page();
    results.push(
      await page.evaluate(async ([name, model]) => {
        const { load } = /** @type {{ whylens: typeof import('../../www/whylens.js') }} */ (
          /** @type {any} */ (globalThis)
        ).whylens;
        const classifier = await load(model, { build: name, preload: 'eager' });
        const photo = await (await fetch('/tests/photos/chelsea.png')).blob();
        const { predictions, scores, heatmap } = await classifier.classify(photo, { topK: 1, scores: true });
        const { build } = await classifier.health();
        return {
          build,
          best: predictions[0]?.index,
          scores: [...(scores ?? [])],
          values: [...(heatmap?.values ?? [])],
        };
      }, /** @type {const} */ ([name, MODEL])),
    );
    await page.context().close();
  }
  const ran = new Map(results.map((result) => [result.build, result]));
  const [first, ...others] = ran.values();
  assert.ok(first?.scores.length === 1000 && first.values.length === 49);
  if (others.length === 0) return t.skip(`this browser runs ${first.build} only`);
  for (const other of others) {
    assert.equal(other.best, first.best);
    const apart = (/** @type {number[]} */ a, /** @type {number[]} */ b) =>
      Math.max(...a.map((value, at) => Math.abs(value - (b[at] ?? NaN))));
    assert.ok(apart(other.scores, first.scores) < 1e-4, `${apart(other.scores, first.scores)}`);
    assert.ok(apart(other.values, first.values) < 1e-4, `${apart(other.values, first.values)}`);
  }
});
