// previewModel(): what a model that is not packed yet would say, held to ONNX Runtime, Pillow and torch.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { classifier, folder } from './onnx.js';
import { Stage } from './page.js';
import { TOP } from './server.js';

/** @typedef {import('../../www/library/protocol.js').Previewed} Previewed */
/** @typedef {Partial<import('../../www/library/protocol.js').PackOptions>} Description */

const stage = new Stage();
const options = { timeout: 120_000 };

/** The library in the page. @type {import('./page.js').Library} */
const whylens = /** @type {any} */ (undefined);

/** @type {import('playwright-core').Page} */
let page;

before(async () => {
  await stage.start();
  stage.server.put('/models/previewed/', { 'small.onnx': classifier(), 'one.onnx': classifier({ classes: 1 }) });
  page = await stage.page();
});
after(() => stage.stop());

/** As tests/golden/previews.py reads the photos. @type {Record<string, Description>} */
const READINGS = (() => {
  /** @type {Description} */
  const right = { preset: 'half', resize: { mode: 'shorter-side', size: 256, filter: 'bicubic' } };
  const imagenet = { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
  return {
    right,
    bgr: { ...right, channels: 'bgr' },
    caffe: { ...right, preset: 'caffe' },
    imagenet: { resize: right.resize, ...imagenet },
    'crop-90': { preset: 'half', cropPercent: 90, resize: { mode: 'shorter-side', filter: 'bicubic' } },
    bilinear: { preset: 'half', resize: { mode: 'shorter-side', size: 256, filter: 'bilinear' } },
    'no-antialias': {
      preset: 'half',
      resize: { mode: 'shorter-side', size: 256, filter: 'bilinear', antialias: false },
    },
  };
})();

test('answers follow the description and are those of Python', options, async () => {
  const golden = JSON.parse(await readFile(join(TOP, 'tests/golden/previews.json'), 'utf8'));
  assert.deepEqual(Object.keys(golden), Object.keys(READINGS));
  const seen = await page.evaluate(async (readings) => {
    const fetched = async (/** @type {string} */ path) => (await fetch(path)).blob();
    const model = whylens.previewModel(await fetched('/models/efficientnet-lite0/model.onnx'));
    /** @type {Record<string, Record<string, Previewed>>} */
    const answers = {};
    for (const [name, reading] of Object.entries(readings)) {
      answers[name] = {};
      for (const sample of ['chelsea', 'coffee', 'rocket'])
        answers[name][sample] = await model.classify(await fetched(`/www/samples/${sample}.jpg`), reading);
    }
    model.close();
    return answers;
  }, READINGS);
  for (const [name, photos] of Object.entries(golden))
    for (const [sample, expected] of Object.entries(photos)) {
      const best = seen[name]?.[sample]?.predictions[0];
      assert.equal(best?.index, expected.index, `${name}, ${sample}`);
      const difference = Math.abs((best?.probability ?? NaN) - expected.probability);
      assert.ok(difference < 0.01, `${name}, ${sample}: ${best?.probability}, not ${expected.probability}`);
    }
  const { input, cropPercent, classes, activation } = /** @type {Previewed} */ (seen['crop-90']?.chelsea);
  assert.equal(input.resize.size, 248);
  assert.ok(Math.abs((cropPercent ?? 0) - (100 * 224) / 248) < 1e-9);
  assert.deepEqual([classes, activation], [1000, 'softmax']);
});

test('what does not fit is told and leaves the model as it was; one score is read in two ways', options, async () => {
  const seen = await page.evaluate(async () => {
    const fetched = async (/** @type {string} */ path) => (await fetch(path)).blob();
    const photo = await fetched('/www/samples/coffee.jpg');
    const model = whylens.previewModel(await fetched('/models/previewed/small.onnx'));
    const good = await model.classify(photo, { preset: 'half' });
    const codes = [];
    for (const wrong of [{ mean: [1, 2] }, { std: [0] }, { cropPercent: 5 }, { preset: 'coffee' }])
      codes.push(await model.classify(photo, wrong).catch(({ code }) => code));
    const after = await model.classify(photo, { preset: 'half' });
    const pending = model.classify(photo, {}).catch(({ code }) => code);
    model.close();
    codes.push(await pending, await model.classify(photo, {}).catch(({ code }) => code));
    // One score is read as that of two classes, or as a number.
    const one = whylens.previewModel(await fetched('/models/previewed/one.onnx'));
    const two = await one.classify(photo, { activation: 'sigmoid' });
    const number = await one.classify(photo, { activation: 'none' });
    one.close();
    return { good, after, codes, two, number };
  });
  assert.deepEqual(seen.after.predictions, seen.good.predictions);
  const [count, deviation, ...rest] = seen.codes;
  assert.deepEqual([count, rest], ['bad-option', ['bad-option', 'bad-option', 'disposed', 'disposed']]);
  assert.equal(deviation, 'bad-manifest');
  assert.deepEqual([seen.two.classes, seen.two.activation], [2, 'sigmoid']);
  assert.deepEqual([seen.number.classes, seen.number.activation], [1, 'none']);
  const [first, second] = seen.two.predictions.map(({ probability }) => probability);
  assert.ok(Math.abs((first ?? 0) + (second ?? 0) - 1) < 1e-5);
});

test('a model over the memory limit is not loaded', options, async () => {
  const code = await page.evaluate(async () => {
    const file = await (await fetch('/models/efficientnet-lite0/model.onnx')).blob();
    const photo = await (await fetch('/www/samples/coffee.jpg')).blob();
    const model = whylens.previewModel(file, { memoryLimit: 20e6 });
    return model.classify(photo, {}).catch(({ code }) => code);
  });
  assert.equal(code, 'over-memory-limit');
});

test('a photo that is not recognised says so in every result', options, async () => {
  const change = (/** @type {any} */ manifest) => {
    manifest.output.threshold = 0.9;
    manifest.notRecognised = { en: 'No bird.', vi: 'Không có chim.' };
  };
  stage.server.put('/models/birds/', folder({ change }));
  const seen = await page.evaluate(async () => {
    const photo = await (await fetch('/www/samples/coffee.jpg')).blob();
    const classifier = await whylens.load('/models/birds/', { language: 'vi-VN' });
    const result = await classifier.classify(photo, { threshold: 0.95 });
    const path = '/www/why-lens.js';
    await import(path);
    const element = /** @type {import('../../www/why-lens.js').WhyLens} */ (document.createElement('why-lens'));
    element.setAttribute('model', '/models/birds/');
    document.body.append(element);
    await element.classify(photo);
    const text = element.shadowRoot?.querySelector('[part=not-recognised]')?.textContent;
    element.remove();
    const stated = classifier.model?.threshold;
    await classifier.dispose();
    return { ...result, heatmap: null, stated, text };
  });
  assert.deepEqual([seen.recognised, seen.notRecognised, seen.stated], [false, 'Không có chim.', 0.9]);
  assert.equal(seen.text, 'Không có chim.');
  assert.deepEqual(seen.predictions, [], 'the threshold of classify() is another one');
});
