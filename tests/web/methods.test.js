// methods that run the network again, and features: what they give and cost in a browser

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SMALL, Stage } from './page.js';

const REAL = '/models/efficientnet-lite0/';
const stage = new Stage();
const options = { timeout: 120_000 };

/** The library in the page. @type {import('./page.js').Library} */
const whylens = /** @type {any} */ (undefined);

/** @type {import('playwright-core').Page} */
let page;

before(async () => {
  await stage.start();
  page = await stage.page();
});
after(() => stage.stop());

test('each method tells what it costs before its first run', options, async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const result = await classifier.classify(await (await fetch('/tests/photos/chelsea.png')).blob());
    const costs = classifier.model?.costs ?? {};
    const layerless = classifier.model?.layerless;
    const asked = /** @type {import('../../www/library/protocol.js').HeatmapOptions[]} */ ([
      { method: 'ablationcam', sign: 'both' },
      { method: 'occlusion', grid: 4 },
      { method: 'rise', grid: 5, masks: 6, seed: 3 },
      { method: 'gradcam', smooth: true },
      { method: 'hirescam' },
    ]);
    const maps = [];
    for (const options of asked) {
      /** @type {import('../../www/library/protocol.js').Progress[]} */
      const told = [];
      const start = performance.now();
      const map = await classifier.heatmap(result, { ...options, onProgress: (news) => told.push(news) });
      const { method, width, height, max, sign, layers } = map;
      const finite = map.values.every(Number.isFinite) && map.values.length === width * height;
      const [first] = told;
      maps.push({
        method,
        width,
        height,
        max,
        sign,
        layers,
        finite,
        told: told.length,
        first,
        ms: performance.now() - start,
      });
    }
    const again = await classifier.heatmap(result, { method: 'rise', grid: 5, masks: 6, seed: 3 });
    const other = await classifier.heatmap(result, { method: 'rise', grid: 5, masks: 6, seed: 4 });
    const { build } = await classifier.health();
    return { costs, layerless, maps, maxima: [again.max, other.max], layer: classifier.model?.layers[0], build };
  }, REAL);
  const channels = seen.layer?.channels ?? 0;
  assert.equal(channels, 1280);
  assert.deepEqual(
    [seen.costs.gradcam, seen.costs.scorecam, seen.costs.ablationcam, seen.costs.occlusion, seen.costs.rise],
    [0, channels, channels, 64, 500],
  );
  assert.equal(seen.costs.integratedgradients, 20);
  assert.deepEqual(seen.layerless, ['occlusion', 'rise', 'integratedgradients']);
  const [ablation, occlusion, rise, smooth, quick] = seen.maps;
  assert.ok(seen.maps.every(({ finite, max }) => finite && max > 0));
  assert.deepEqual(ablation?.first, { phase: 'heatmap', loaded: 0, total: channels });
  assert.ok(ablation && ablation.told > 1 && ablation.told <= channels);
  assert.deepEqual([ablation?.width, ablation?.sign], [7, 'both']);
  assert.deepEqual([occlusion?.first?.total, occlusion?.width, occlusion?.height], [25, 4, 4]);
  assert.deepEqual([rise?.first?.total, rise?.width, rise?.height, rise?.layers], [6, 224, 224, []]);
  assert.deepEqual([smooth?.first?.total, smooth?.method, smooth?.width], [10, 'gradcam', 7]);
  assert.equal(quick?.told, 0);
  assert.equal(seen.maxima[0], rise?.max, 'the same seed gives the same map');
  assert.notEqual(seen.maxima[1], rise?.max);
  console.log(seen.maps.map(({ method, ms }) => `${method} ${Math.round(ms)} ms`).join(', '));
});

test('integrated gradients compile the model anew, with the gradient at the input', options, async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const result = await classifier.classify(await (await fetch('/tests/photos/chelsea.png')).blob());
    const before = await classifier.heatmap(result);
    const start = performance.now();
    /** @type {number[]} */
    const told = [];
    const map = await classifier.heatmap(result, {
      method: 'integratedgradients',
      sign: 'both',
      steps: 4,
      onProgress: ({ loaded, total }) => total === 4 && told.push(loaded),
    });
    const ms = performance.now() - start;
    const after = await classifier.heatmap(result);
    const { module } = await classifier.health({ verbose: true });
    const apart =
      Math.max(...before.values.map((value, at) => Math.abs(value - (after.values[at] ?? NaN)))) / before.max;
    const { width, height, layers, max } = map;
    return { width, height, layers, max, told, ms, module, apart, layer: [before.layer, after.layer] };
  }, REAL);
  assert.deepEqual([seen.width, seen.height, seen.layers, seen.told], [224, 224, [], [0, 1, 2, 3]]);
  assert.ok(seen.max > 0);
  assert.equal(seen.module, 'compile');
  assert.equal(seen.layer[0], seen.layer[1], 'the usual layer stays');
  assert.ok(seen.apart < 1e-2, `the usual heatmap stays, differs by ${seen.apart}`);
  console.log(`with compiling ${Math.round(seen.ms)} ms`);
});

test('features are the map of a layer, or its mean', options, async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const photo = await (await fetch('/tests/photos/chelsea.png')).blob();
    const [pooled, map] = await Promise.all([
      classifier.features(photo),
      classifier.features(photo, { pooled: false, layer: classifier.model?.layers[0]?.name }),
    ]);
    const part = await classifier.features(photo, { region: { x: 0, y: 0, width: 100, height: 100 } });
    const places = map.values.length / pooled.values.length;
    const means = [...pooled.values].map((_, at) => {
      const plane = map.values.subarray(at * places, (at + 1) * places);
      return plane.reduce((sum, value) => sum + value, 0) / places;
    });
    const apart = Math.max(...means.map((mean, at) => Math.abs(mean - (pooled.values[at] ?? NaN))));
    const codes = [];
    for (const options of [{ layer: 'elsewhere' }, { layer: 3 }, { pooled: 'no' }])
      codes.push(await classifier.features(photo, /** @type {any} */ (options)).catch(({ code }) => code));
    const controller = new AbortController();
    controller.abort();
    codes.push(await classifier.features(photo, { signal: controller.signal }).catch(({ code }) => code));
    const moved = part.values.some((value, at) => value !== pooled.values[at]);
    return { shapes: [pooled.shape, map.shape], layers: [pooled.layer, map.layer], apart, codes, moved };
  }, SMALL);
  const [pooled, map] = seen.shapes;
  assert.equal(pooled?.length, 1);
  assert.deepEqual([map?.length, map?.[0]], [3, pooled?.[0]]);
  assert.equal(seen.layers[0], seen.layers[1]);
  assert.ok(seen.apart < 1e-4, String(seen.apart));
  assert.deepEqual(seen.codes, ['bad-option', 'bad-option', 'bad-option', 'cancelled']);
  assert.ok(seen.moved, 'a part has features of its own');
});

test('a model that is loaded without its layers has no features', options, async () => {
  const other = await stage.page();
  const code = await other.evaluate(async (model) => {
    const classifier = await whylens.load(model, { heatmap: false });
    return classifier.features(new ImageData(40, 30)).catch(({ code }) => code);
  }, SMALL);
  assert.equal(code, 'bad-option');
  await other.context().close();
});

test('numbers that a method does not take are refused', options, async () => {
  const codes = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const result = await classifier.classify(new ImageData(40, 30));
    const codes = [];
    for (const options of [
      { method: 'occlusion', grid: 33 },
      { method: 'occlusion', grid: 2.5 },
      { method: 'gradcam', grid: 7 },
      { method: 'rise', masks: 0 },
      { method: 'rise', smooth: true },
      { method: 'rise', sign: 'both' },
      { method: 'gradcam', fill: 'blur' },
      { smooth: 1 },
    ])
      codes.push(await classifier.heatmap(result, /** @type {any} */ (options)).then(String, ({ code }) => code));
    return codes;
  }, SMALL);
  assert.deepEqual(codes, Array(8).fill('bad-option'));
});
