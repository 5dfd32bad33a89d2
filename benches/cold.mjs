// Cold starts on a slow connection: node cold.mjs SITE CACHE PACKAGES [ROUNDS]
//
// From the navigation to the first prediction, ours with its heatmap, nothing cached; every request is printed. SITE is what
// `whylens dist` wrote, CACHE and PACKAGES as of run.mjs. The photo is chosen as soon as the page takes one.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FLAGS } from '../tests/web/flags.js';
import { Network } from './network.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const [site, cache, packages, rounds = '3'] = process.argv.slice(2);
const only = process.env.ENGINES?.split(',');
const SPEEDS = [
  { name: '10 Mbit/s, 100 ms', delay: 100, rate: 10e6 / 8 },
  { name: '1.6 Mbit/s, 300 ms', delay: 300, rate: 1.6e6 / 8 },
].filter(({ name }) => (process.env.SPEEDS ? name.startsWith(process.env.SPEEDS) : true));
const MODEL = join(cache, 'models/efficientnet-lite0');
/** How much longer than its bytes a start may take, and how many round trips more. */
const [MOST_SHARE, MOST_TRIPS] = [1.15, 4];

/** What every page but our own begins with: a made-up photo, and where to say that it is done. */
const photo = `
  const side = 224, nchw = new Float32Array(3 * side * side), nhwc = new Float32Array(3 * side * side);
  for (let i = 0; i < side * side; i += 1) for (let c = 0; c < 3; c += 1)
    nchw[c * side * side + i] = nhwc[i * 3 + c] = Math.sin(i / 900 + c);
  const done = (label) => { globalThis.done = { label, ms: performance.now() }; };`;

const html = (script) =>
  `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>cold</title><script type="module">${script}</script>`;

/** The page of each engine, as its documentation begins. */
const PAGES = {
  library: html(`${photo}
    import { load } from '/whylens.js';
    const classifier = await load('models/efficientnet-lite0/', { preload: 'eager' });
    const picture = new ImageData(side, side);
    picture.data.fill(160);
    const { predictions, heatmap } = await classifier.classify(picture);
    await classifier.render(heatmap, { width: side, height: side });
    done(predictions[0].label);`),
  'onnxruntime-web': html(`${photo}
    import * as ort from '/modules/onnxruntime-web/dist/ort.wasm.min.mjs';
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = '/modules/onnxruntime-web/dist/';
    const session = await ort.InferenceSession.create('/shipped/model.onnx', { executionProviders: ['wasm'] });
    const [input] = session.inputNames, [output] = session.outputNames;
    const results = await session.run({ [input]: new ort.Tensor('float32', nchw, [1, 3, side, side]) });
    done(results[output].data.length);`),
  'LiteRT.js': html(`${photo}
    import { Tensor, loadAndCompile, loadLiteRt } from '/modules/@litertjs/core/dist/index.js';
    await loadLiteRt('/modules/@litertjs/core/wasm/', { threads: false });
    const model = await loadAndCompile('/model/model_float16.tflite', { accelerator: 'wasm' });
    const [result] = await model.run(new Tensor(nhwc, [1, side, side, 3]));
    done(result.toTypedArray().length);`),
  'transformers.js': html(`${photo}
    import { RawImage, env, pipeline } from '/modules/@huggingface/transformers/dist/transformers.min.js';
    Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: '/' });
    env.backends.onnx.wasm.wasmPaths = '/transformers-ort/';
    env.backends.onnx.wasm.numThreads = 1;
    const classify = await pipeline('image-classification', 'transformers', { dtype: 'fp16', device: 'wasm' });
    const [best] = await classify(new RawImage(new Uint8ClampedArray(side * side * 3).fill(160), side, side, 3));
    done(best.label);`),
};

/** Runs in our page before its scripts: chooses a photo as soon as there is a chooser, and watches for the heatmap. */
function chooseEarly(jpeg) {
  globalThis.early = {};
  const look = () => {
    const chooser = document.querySelector('#intake input[type="file"]');
    if (chooser && !globalThis.early.chosen) {
      globalThis.early.chosen = performance.now();
      const bytes = Uint8Array.from(atob(jpeg), (letter) => letter.charCodeAt(0));
      const chosen = new DataTransfer();
      chosen.items.add(new File([bytes], 'photo.jpg', { type: 'image/jpeg' }));
      chooser.files = chosen.files;
      chooser.dispatchEvent(new Event('change', { bubbles: true }));
    }
    if (!globalThis.early.shown && document.querySelector('.stage img, .stage canvas'))
      globalThis.early.shown = performance.now();
    if (document.querySelector('.verdict') && document.querySelector('.overlay:not([hidden])'))
      globalThis.done = { label: document.querySelector('.verdict').textContent, ms: performance.now() };
    else requestAnimationFrame(look);
  };
  if (globalThis.top === globalThis) requestAnimationFrame(look);
}

const { chromium } = createRequire(`${packages}/`)('playwright-core');
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: FLAGS,
});
const roots = {
  '': site,
  modules: packages,
  shipped: join(HERE, '../models/efficientnet-lite0'),
  model: MODEL,
  transformers: join(MODEL, 'transformers'),
  'transformers-ort': transformersOrt(),
};

/** The folder of the onnxruntime-web that transformers.js pins. */
function transformersOrt() {
  const own = join(packages, '@huggingface/transformers/node_modules/onnxruntime-web/dist');
  return existsSync(own) ? own : join(packages, 'onnxruntime-web/dist');
}

const jpeg = readFileSync(join(HERE, '../www/samples/coffee.jpg')).toString('base64');

/**
 * @param {string} name
 * @param {typeof SPEEDS[number]} speed
 */
async function start(name, speed) {
  const network = new Network(roots, speed);
  if (name !== 'page') network.page('/cold.html', PAGES[name]);
  await network.start();
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && console.error(name, message.text()));
  page.on('pageerror', (error) => console.error(name, error.message));
  if (name === 'page') await page.addInitScript(chooseEarly, jpeg);
  // Chromium starts a process for a site's first page.
  await page.goto('about:blank');
  network.forget();
  await page.goto(network.url + (name === 'page' ? '' : 'cold.html'), { waitUntil: 'commit', timeout: 300_000 });
  await page.waitForFunction(() => globalThis.done, undefined, { timeout: 300_000 });
  const { done, early } = await page.evaluate(() => ({ done: globalThis.done, early: globalThis.early }));
  const answers = network.answers.filter(({ bytes, start }) => start < done.ms && bytes > 0);
  const bytes = answers.reduce((sum, answer) => sum + answer.bytes, 0);
  await context.close();
  await network.stop();
  return { name, ...done, early, answers, bytes, alone: (bytes / speed.rate) * 1000 };
}

function waterfall(answers) {
  const seconds = (ms) => (ms === null ? '-' : (ms / 1000).toFixed(2)).padStart(7);
  console.log('  start   first     end      bytes');
  for (const { path, start, first, end, bytes } of answers)
    console.log(`${seconds(start)} ${seconds(first)} ${seconds(end)} ${String(bytes).padStart(10)}  ${path}`);
}

const report = [];
const names = ['page', ...Object.keys(PAGES)].filter((name) => !only || only.includes(name));
// Compresses what will be sent, and shows the browser what to expect of its machine.
for (const name of names) await start(name, { delay: 0, rate: 1e9 });
for (const speed of SPEEDS) {
  console.log(`\n${speed.name}, HTTP/1.1`);
  for (let round = 0; round < +rounds; round += 1) {
    for (const name of names) {
      const { ms, alone, bytes, answers, early, label } = await start(name, speed);
      const limit = MOST_SHARE * alone + MOST_TRIPS * speed.delay;
      report.push({ speed: speed.name, round, name, ms, alone, bytes, limit, early, answers });
      const photo = early ? `, photo chosen at ${seconds(early.chosen)}, shown at ${seconds(early.shown)}` : '';
      console.log(
        `${name.padEnd(16)} ${seconds(ms)} s, its ${(bytes / 1e6).toFixed(2)} MB alone ${seconds(alone)} s, ` +
          `limit ${seconds(limit)} s, ${answers.length} requests${photo} (${label})`,
      );
      if (round === 0) waterfall(answers);
    }
  }
}

function seconds(ms) {
  return ms === undefined ? '-' : (ms / 1000).toFixed(2);
}

await browser.close();
mkdirSync(cache, { recursive: true });
writeFileSync(join(cache, 'cold.json'), JSON.stringify(report, null, 1));
