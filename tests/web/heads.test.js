// classify() of models without gradients, and what it tells of probabilities.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { head } from './heads.js';
import { SMALL, Stage } from './page.js';

const stage = new Stage();
const options = { timeout: 60_000 };

/** The library in the page. @type {import('./page.js').Library} */
const whylens = /** @type {any} */ (undefined);

/** @type {import('playwright-core').Page} */
let page;

before(async () => {
  await stage.start();
  page = await stage.page();
});
after(() => stage.stop());

for (const [name, method, code] of /** @type {const} */ ([
  ['voted', 'eigencam', 'unsupported-operator'],
  ['signed', 'eigencam', 'unsupported-operator'],
  ['flat', 'occlusion', 'unsupported-model'],
])) {
  test(`${name}: a photo is classified whatever its heatmap is made by`, options, async () => {
    stage.server.put(`/models/${name}/`, await head(name));
    const seen = await page.evaluate(async (model) => {
      const classifier = await whylens.load(model);
      const photo = await (await fetch('/tests/photos/chelsea.png')).blob();
      const result = await classifier.classify(photo);
      const other = await classifier.heatmap(result, { classIndex: 1 });
      const codes = [];
      for (const heatmap of [{ method: 'gradcam' }, { classIndex: 99 }])
        codes.push(await classifier.classify(photo, { heatmap }).catch(({ code }) => code));
      return {
        predictions: result.predictions.length,
        method: result.heatmap?.method,
        noHeatmap: result.noHeatmap,
        other: other.method,
        codes,
        methods: classifier.model?.methods,
      };
    }, `/models/${name}/`);
    assert.deepEqual([seen.predictions, seen.method, seen.noHeatmap, seen.other], [5, method, undefined, method]);
    assert.equal(seen.methods?.[0], method);
    assert.deepEqual(seen.codes, [code, 'bad-option'], 'what is asked for by name fails, for the true reason');
  });
}

test('what lowers a score is the heatmap of its negative, a number has its unit', options, async () => {
  const number = { activation: 'none', unit: 'years' };
  stage.server.put('/models/number/', await head('one-logit', { output: number }));
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const photo = await (await fetch('/tests/photos/chelsea.png')).blob();
    const result = await classifier.classify(photo);
    const wanted = /** @type {const} */ ({ method: 'hirescam' });
    const raises = await classifier.heatmap(result, wanted);
    const lowers = await classifier.heatmap(result, { ...wanted, sign: 'against' });
    const both = [...raises.values].map((value, at) => value * (lowers.values[at] ?? NaN));
    const codes = [];
    for (const options of [{ sign: 'neither' }, { sign: 'against', method: 'eigencam' }])
      codes.push(await classifier.heatmap(result, /** @type {any} */ (options)).catch(({ code }) => code));
    const signed = await classifier.heatmap(result, { ...wanted, sign: 'both' });
    const less = raises.values.map((value, at) => value - (lowers.values[at] ?? NaN));
    const off = Math.max(...signed.values.map((value, at) => Math.abs(value - (less[at] ?? NaN)))) / signed.max;
    const { data } = await classifier.render(signed, { opacity: 1 });
    const hues = { blue: 0, orange: 0, other: 0 };
    for (let at = 0; at < data.length; at += 4) {
      const [red = 0, , blue = 0, alpha] = data.subarray(at, at + 4);
      if (alpha) hues[red < blue ? 'blue' : red > blue ? 'orange' : 'other'] += 1;
    }
    codes.push(await classifier.render(signed, { colormap: 'inferno' }).catch(({ code }) => code));
    const { model: told, predictions } = result;
    const signs = [raises.sign, lowers.sign, signed.sign];
    return { signs, maxima: [raises.max, lowers.max], both, codes, told, predictions, off, hues };
  }, '/models/number/');
  assert.deepEqual(seen.signs, ['for', 'against', 'both']);
  assert.ok(seen.off < 1e-6, `one map less the other, differs by ${seen.off}`);
  assert.equal(seen.hues.orange > 0, (seen.maxima[0] ?? 0) > 0, 'orange for what raises it');
  assert.equal(seen.hues.blue > 0, (seen.maxima[1] ?? 0) > 0, 'blue for what lowers it');
  assert.ok(Math.max(...seen.maxima) > 0, 'one of them at least');
  assert.ok(
    seen.both.every((product) => product === 0),
    'a place raises a score or lowers it',
  );
  assert.deepEqual(seen.codes, ['bad-option', 'bad-option', 'bad-option']);
  assert.deepEqual([seen.told.activation, seen.told.unit, seen.predictions.length], ['none', 'years', 1]);
  assert.equal(seen.predictions[0]?.probability, seen.predictions[0]?.score);
});

test('a model that is loaded without heatmaps says why there is none', options, async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model, { heatmap: false });
    const { predictions, heatmap, noHeatmap } = await classifier.classify(new ImageData(40, 30), { heatmap: true });
    const plain = await classifier.classify(new ImageData(40, 30));
    const asked = await classifier.heatmap(plain).catch(({ code }) => code);
    return { predictions: predictions.length, heatmap, noHeatmap, plain: plain.noHeatmap, asked };
  }, SMALL);
  assert.deepEqual([seen.predictions, seen.heatmap, seen.plain], [5, undefined, undefined]);
  assert.match(seen.noHeatmap?.message ?? '', /loaded without heatmaps/);
  assert.equal(seen.asked, 'bad-option');
});

test('results and models tell what their probabilities are, older folders too', options, async () => {
  for (const [name, output, expected] of /** @type {[string, any, string][]} */ ([
    ['softmax', { activation: 'none', applied: 'softmax' }, 'softmax'],
    ['softmax', { activation: 'none' }, 'softmax'],
    ['sigmoid', { activation: 'none' }, 'sigmoid'],
    ['log-softmax', { activation: 'softmax' }, 'softmax'],
    ['one-logit', { activation: 'softmax' }, 'sigmoid'],
    ['logits', { activation: 'none' }, 'none'],
  ])) {
    const model = `/models/${name}-${output.activation}-${output.applied}/`;
    stage.server.put(model, await head(name, { output }));
    const seen = await page.evaluate(async (model) => {
      const classifier = await whylens.load(model);
      const result = await classifier.classify(new ImageData(40, 30));
      const { warnings } = await classifier.health();
      const sum = result.predictions.reduce((sum, { probability }) => sum + probability, 0);
      await classifier.dispose();
      return { told: [classifier.model?.activation, result.model.activation], sum, warnings };
    }, model);
    assert.deepEqual(seen.told, [expected, expected], model);
    if (expected === 'softmax') assert.ok(Math.abs(seen.sum - 1) < 1e-5, `${model}: ${seen.sum}`);
    assert.equal(
      seen.warnings.some((warning) => warning.includes('softmax over one class')),
      name === 'one-logit',
      model,
    );
  }
});

test('the element gives the predictions where the heatmap fails, and scores as scores', options, async () => {
  stage.server.put('/models/scores/', await head('logits', { output: { activation: 'none' } }));
  const seen = await page.evaluate(async () => {
    const path = '/www/why-lens.js';
    await import(path);
    const photo = await (await fetch('/tests/photos/chelsea.png')).blob();
    const found = [];
    for (const model of ['/models/voted/', '/models/scores/']) {
      const element = document.createElement('why-lens');
      element.setAttribute('model', model);
      document.body.append(element);
      await /** @type {import('../../www/why-lens.js').WhyLens} */ (element).classify(photo);
      const root = /** @type {ShadowRoot} */ (element.shadowRoot);
      found.push({
        rows: [...root.querySelectorAll('li')].map((row) => row.textContent),
        status: root.querySelector('[role=status]')?.textContent,
        canvases: root.querySelectorAll('canvas').length,
      });
      element.remove();
    }
    return found;
  });
  const [voted, scores] = seen;
  assert.deepEqual([voted?.rows.length, voted?.status, voted?.canvases], [3, '', 2]);
  assert.match(voted?.rows[0] ?? '', /^class \d \d+(\.\d)?%$/);
  assert.match(scores?.rows[0] ?? '', /^class \d -?\d+(\.\d+)?$/);
});
