// The page in every engine, WebKit too: what its driver can do is load a page, run scripts in it and take a picture.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FIREFOX, WEBKIT, browse } from '../web/browser.js';
import { Server } from '../web/server.js';
import { photoBytes } from './visit.js';

const server = new Server();
const options = { timeout: 120_000 };
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').Page} */
let page;

before(async () => {
  await server.start();
  browser = await browse();
  page = await (await browser.newContext()).newPage();
  await page.goto(`${server.url}/index.html`);
  await ready();
});
after(async () => {
  await browser?.close();
  await server.stop();
});

const ready = () => page.waitForFunction(() => document.querySelector('[data-phase="ready"]'), undefined, LONG);
const LONG = { timeout: 60_000 };

/** Waits for a verdict and its heatmap. @param {string} wanted */
const shown = (wanted) =>
  page.waitForFunction(
    (wanted) => {
      const overlay = document.querySelector('.overlay:not([hidden])');
      const verdict = document.querySelector('.verdict')?.textContent ?? '';
      return overlay && verdict.toLowerCase().includes(wanted) && verdict;
    },
    wanted,
    LONG,
  );

/** What the heatmap's canvas shows: how many different alpha values, and whether it is empty. */
const overlay = () =>
  page.evaluate(() => {
    const canvas = /** @type {HTMLCanvasElement} */ (document.querySelector('.overlay:not([hidden])'));
    const pixels = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
    return new Set(Array.from(pixels).filter((_, at) => at % 4 === 0)).size;
  });

test('a sample is classified, and its heatmap drawn', options, async () => {
  await page.evaluate(() => /** @type {HTMLElement} */ (document.querySelectorAll('.sample')[1]).click());
  await shown('espresso');
  assert.ok((await overlay()) > 20, 'the heatmap has many shades');
});

test('a photo dropped on the page is classified', options, async () => {
  const photo = (await photoBytes('astronaut.png')).toString('base64');
  const before = await page.evaluate(() => document.querySelector('.verdict')?.textContent);
  await page.evaluate((photo) => {
    const bytes = Uint8Array.from(atob(photo), (letter) => letter.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], 'dropped.png', { type: 'image/png' }));
    const given = { bubbles: true, cancelable: true, dataTransfer: data };
    for (const type of ['dragenter', 'dragover', 'drop']) document.body.dispatchEvent(new DragEvent(type, given));
  }, photo);
  await page.waitForFunction(
    (before) => {
      const verdict = document.querySelector('.verdict')?.textContent;
      return document.querySelector('.overlay:not([hidden])') && verdict && verdict !== before;
    },
    before,
    LONG,
  );
});

test('the module is the one that the engine can run, and its memory is told', options, async () => {
  const { build, memory, features } = await page.evaluate(async () => {
    const { load } = await import(String('/www/whylens.js'));
    return (await load('models/efficientnet-lite0/')).health({ verbose: true });
  });
  assert.equal(build, features.relaxedSimd ? 'relaxed-simd' : 'simd128');
  // WebKit 2.50 has no relaxed SIMD.
  if (WEBKIT) assert.equal(build, 'simd128');
  if (!WEBKIT && !FIREFOX) assert.equal(build, 'relaxed-simd');
  assert.ok(memory.wasm > 20e6 && memory.wasm < 150e6, String(memory.wasm));
});

test('a second visit requests neither weights nor module', options, async () => {
  await page.waitForFunction(async () => {
    const keys = await (await caches.open('whylens')).keys();
    return keys.filter(({ url }) => /\.(onnx|wasm)/.test(url)).length === 2;
  });
  assert.equal(server.count(/\.(onnx|wasm)$/), 2, 'one request for each at the first visit');
  await page.reload();
  await ready();
  assert.equal(server.count(/\.(onnx|wasm)$/), 2);
});
