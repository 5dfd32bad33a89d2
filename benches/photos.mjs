// Photos of four sizes → time from bytes to tensor and peak memory in Chromium, beside createImageBitmap; and photos a
// second, one after the other and as a batch.
//
// By hand, after `make build`: node benches/photos.mjs [RUNS]

import { browse } from '../tests/web/browser.js';
import { Server } from '../tests/web/server.js';

const MODEL = '/models/efficientnet-lite0/';
const SIZES = /** @type {const} */ ([
  [640, 480],
  [1632, 1224],
  [4000, 3000],
  [8000, 6000],
]);
const RUNS = Number(process.argv[2] ?? 7);

const server = await new Server().start();
const browser = await browse();
console.log(`Chromium ${browser.version()}, ${RUNS} runs, medians in ms; JPEG 4:2:0, quality 90`);
console.log('| photo | file | decode | resize | both, worst | createImageBitmap | memory while the photo is read |');
console.log('|---|---|---|---|---|---|---|');
for (const [width, height] of SIZES) {
  // A page for each: the peak of one photo must not hide that of the next.
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${server.url}/blank.html`);
  const seen = await page.evaluate(
    async ({ model, width, height, runs }) => {
      const path = '/www/whylens.js';
      const { load } = /** @type {typeof import('../www/whylens.js')} */ (await import(path));
      const classifier = await load(model);
      const source = await createImageBitmap(await (await fetch('/tests/photos/coffee.png')).blob());
      const canvas = new OffscreenCanvas(width, height);
      const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
      pen.imageSmoothingQuality = 'high';
      pen.drawImage(source, 0, 0, width, height);
      // The grain of a sensor, without which a file is smaller than a camera's.
      const strip = pen.createImageData(width, 64);
      for (let at = 0; at < strip.data.length; at += 4)
        strip.data.set([Math.random() * 255, Math.random() * 255, Math.random() * 255, 12], at);
      const grain = await createImageBitmap(strip);
      for (let y = 0; y < height; y += 64) pen.drawImage(grain, 0, y);
      const file = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.9 });
      /** @param {number[]} times */
      const median = (times) => times.sort((a, b) => a - b)[times.length >> 1] ?? 0;
      const rest = (await classifier.health()).memory;
      /** @type {{ decode: number[], resize: number[], both: number[], bitmap: number[] }} */
      const times = { decode: [], resize: [], both: [], bitmap: [] };
      for (let run = 0; run < runs; run += 1) {
        const { timing } = await classifier.classify(file, { heatmap: false });
        times.decode.push(timing.decode);
        times.resize.push(timing.preprocess);
        times.both.push(timing.decode + timing.preprocess);
        const start = performance.now();
        const short = Math.min(width, height);
        const [across, down] = [Math.floor((256 * width) / short), Math.floor((256 * height) / short)];
        const bitmap = await createImageBitmap(file, {
          resizeWidth: across,
          resizeHeight: down,
          resizeQuality: 'high',
        });
        const small = new OffscreenCanvas(across, down).getContext('2d', { willReadFrequently: true });
        small?.drawImage(bitmap, 0, 0);
        small?.getImageData(0, 0, across, down);
        times.bitmap.push(performance.now() - start);
      }
      const after = (await classifier.health()).memory;
      return {
        bytes: file.size,
        decode: median(times.decode),
        resize: median(times.resize),
        worst: Math.max(...times.both),
        bitmap: median(times.bitmap),
        peak: Math.max(after?.peak ?? 0, rest?.peak ?? 0) - (rest?.live ?? 0),
        grown: (after?.wasm ?? 0) - (rest?.wasm ?? 0),
      };
    },
    { model: MODEL, width, height, runs: RUNS },
  );
  const [ms, mb] = [
    (/** @type {number} */ value) => value.toFixed(0),
    (/** @type {number} */ bytes) => `${(bytes / 1e6).toFixed(1)} MB`,
  ];
  console.log(
    `| ${((width * height) / 1e6).toFixed(1)} MP | ${mb(seen.bytes)} | ${ms(seen.decode)} | ${ms(seen.resize)} | ${ms(seen.worst)} | ${ms(seen.bitmap)} | ${mb(seen.peak)}, the module grew by ${mb(seen.grown)} |`,
  );
  await page.context().close();
}

/** Photos of 12 megapixels in a batch, and how often it is classified in either way. */
const BATCH = 24,
  ROUNDS = 3;

const page = await (await browser.newContext()).newPage();
await page.goto(`${server.url}/blank.html`);
const rates = await page.evaluate(
  async ({ model, count, rounds }) => {
    const path = '/www/whylens.js';
    const { load } = /** @type {typeof import('../www/whylens.js')} */ (await import(path));
    const classifier = await load(model);
    const source = await createImageBitmap(await (await fetch('/tests/photos/coffee.png')).blob());
    const canvas = new OffscreenCanvas(4000, 3000);
    /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d')).drawImage(source, 0, 0, 4000, 3000);
    const file = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.9 });
    const look = () => classifier.classify(file, { view: 216 });
    await look();
    /** @type {{ alone: number[], together: number[], ahead: number }} */
    const rates = { alone: [], together: [], ahead: 0 };
    for (let round = 0; round < rounds; round += 1) {
      let start = performance.now();
      for (let at = 0; at < count; at += 1) await look();
      rates.alone.push((1000 * count) / (performance.now() - start));
      start = performance.now();
      await Promise.all(Array.from({ length: count }, look));
      rates.together.push((1000 * count) / (performance.now() - start));
      rates.ahead = Math.max(rates.ahead, (await classifier.health()).memory?.ahead ?? 0);
    }
    return rates;
  },
  { model: MODEL, count: BATCH, rounds: ROUNDS },
);
const each = (/** @type {number[]} */ values) => values.map((value) => value.toFixed(1)).join(', ');
console.log(`\n${BATCH} photos of 12 MP, with heatmaps, photos a second in each of ${ROUNDS} rounds:`);
console.log(`one after the other ${each(rates.alone)}; at once ${each(rates.together)}`);
console.log(`memory of the other workers ${(rates.ahead / 1e6).toFixed(0)} MB`);
await browser.close();
await server.stop();
