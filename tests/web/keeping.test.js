// What the browser promises about a model that is kept, and models with very many classes.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { classifier, folder } from './onnx.js';
import { HASTY, Stage } from './page.js';

const stage = new Stage();
const { server } = stage;
const options = { timeout: 60_000 };
before(() => stage.start());
after(() => stage.stop());

for (const [name, answers, expected] of /** @type {[string, [boolean, boolean] | null, [number, unknown]][]} */ ([
  ['granted', [false, true], [1, true]],
  ['granted before', [true, true], [0, true]],
  ['refused', [false, false], [1, false]],
  ['not known', null, [0, null]],
])) {
  test(`\`persist\` asks once the model is kept, and health() tells the answer: ${name}`, options, async () => {
    const page = await stage.page();
    const seen = await page.evaluate(async ([answers, hasty]) => {
      let asked = 0;
      let [granted, answer] = answers ?? [];
      const storage = answers && {
        persisted: async () => granted,
        persist: async () => ((asked += 1), (granted = answer)),
      };
      Object.defineProperty(navigator, 'storage', { value: storage });
      const { load } = /** @type {any} */ (globalThis).whylens;
      const first = await load('/models/small/', { ...hasty, preload: 'eager' });
      const before = [asked, (await first.health({ verbose: true })).cache.persisted];
      await first.dispose();
      const second = await load('/models/small/', { ...hasty, preload: 'eager', persist: true });
      await new Promise((resolve) => setTimeout(resolve, 50));
      return { before, after: [asked, (await second.health({ verbose: true })).cache.persisted] };
    }, /** @type {const} */ ([answers, HASTY]));
    assert.deepEqual(seen.before, [0, answers?.[0] ?? null], 'nothing is asked without it');
    assert.deepEqual(seen.after, expected);
    await page.context().close();
  });
}

test('21,841 classes: all scores have their labels, and the page stays responsive', options, async () => {
  const classes = 21_841;
  const model = folder({ onnx: classifier({ classes }) });
  const labels = Array.from({ length: classes }, (_, at) => `n${at} class number ${at}, of a long list`);
  server.put('/models/many/', { ...model, 'labels.txt': Buffer.from(labels.join('\n')) });
  const page = await stage.page();
  const { long, predictions, scores } = await page.evaluate(async (hasty) => {
    /** @type {number[]} */
    const long = [];
    if (globalThis.PerformanceObserver?.supportedEntryTypes?.includes('longtask'))
      new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => duration))).observe({
        type: 'longtask',
      });
    const { load } = /** @type {any} */ (globalThis).whylens;
    const classifier = await load('/models/many/', {
      ...hasty,
      stallTimeout: 20_000,
      preload: 'eager',
      memoryLimit: 1500e6,
    });
    const { predictions, scores } = await classifier.classify(new ImageData(64, 64), {
      topK: 21_841,
      threshold: 0,
      scores: true,
      heatmap: false,
    });
    return { long, predictions, scores: scores.length };
  }, HASTY);
  assert.equal(scores, classes);
  assert.equal(predictions.length, classes);
  for (const { index, label } of predictions) assert.equal(label, labels[index]);
  console.log(`tasks over 50 ms on the page's thread: ${long.join(' ') || 'none'}`);
  await page.context().close();
});

test('labels that are not UTF-8 are refused, never shown with holes', options, async () => {
  const utf16 = Buffer.from('one\ntwo\n', 'utf16le');
  for (const bytes of [Buffer.from('caf\xe9\n', 'latin1'), utf16, Buffer.from('caf\uFFFD\n')]) {
    server.put('/models/latin/', { ...folder(), 'labels.txt': bytes });
    const page = await stage.page();
    const { code, message } = await page.evaluate(
      (hasty) =>
        /** @type {any} */ (globalThis).whylens
          .load('/models/latin/', { ...hasty, preload: 'eager' })
          .catch((/** @type {any} */ { code, message }) => ({ code, message })),
      HASTY,
    );
    assert.equal(code, 'bad-manifest', message);
    await page.context().close();
  }
});
