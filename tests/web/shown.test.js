// Any file: what is shown of it (`view`) has the very pixels that Pillow reads, and is what was classified.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Stage } from './page.js';
import { TOP } from './server.js';

const REAL = '/models/efficientnet-lite0/';
const stage = new Stage();
/** @type {import('playwright-core').Page} */
let page;
/** The library in the page. @type {import('./page.js').Library} */
const whylens = /** @type {any} */ (undefined);

before(async () => {
  await stage.start();
  page = await stage.page();
});
after(() => stage.stop());

/** @typedef {{ file: string, image: [number, number], at: number, mode?: string, width?: number, height?: number,
 *   filter?: string, channels?: string }} Case */

/** Those whose expected pixels are those of the whole file. @param {string} folder @returns {Promise<Case[]>} */
async function cases(folder) {
  /** @type {Case[]} */
  const all = JSON.parse(await readFile(join(TOP, folder, 'cases.json'), 'utf8'));
  /** @param {Case} each */
  const whole = ({ image, mode, width, height, filter, channels }) =>
    !mode ||
    (mode === 'exact' && filter === 'nearest' && channels === 'rgb' && width === image[0] && height === image[1]);
  // The damaged one differs from Pillow on wasm32, see tests/golden/files.rs.
  return all.filter((each) => whole(each) && !each.file.includes('-cut.') && each.file !== 'jpeg-420-bit-0.jpg');
}

for (const [folder, least] of /** @type {const} */ ([
  ['tests/golden/photos', 80],
  ['tests/golden/files', 70],
])) {
  test(`every file of ${folder} is shown as it was classified`, { timeout: 240_000 }, async () => {
    const list = await cases(folder);
    assert.ok(list.length >= least, `${list.length} files`);
    const wrong = await page.evaluate(async ([model, folder, list]) => {
      /** @param {ImageBitmap} bitmap */
      const pixels = (bitmap) => {
        const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
        const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
        context.drawImage(bitmap, 0, 0);
        return context.getImageData(0, 0, bitmap.width, bitmap.height);
      };
      const file = async (/** @type {string} */ name) => (await fetch(`/${folder}/${name}`)).blob();
      const expected = pixels(
        await createImageBitmap(await file('expected.png'), { colorSpaceConversion: 'none' }),
      ).data;
      const classifier = await whylens.load(model);
      const wrong = [];
      for (const { file: name, image, at } of list) {
        const options = { heatmap: false, view: 1e5 };
        const seen = await classifier.classify(await file(name), options).catch((error) => error);
        if (!seen.view) {
          wrong.push(`${name}: ${seen}`);
          continue;
        }
        const shown = pixels(seen.view);
        let different = 0;
        for (let i = 0; i < shown.width * shown.height * 3; i += 1) {
          const pixel = Math.floor(i / 3);
          // The container is grey: a value is the red of its pixel.
          if (shown.data[pixel * 4 + (i % 3)] !== expected[(at + i) * 4]) different += 1;
        }
        if (`${[shown.width, shown.height]}` !== `${image}` || different > 0)
          wrong.push(`${name}: ${shown.width} × ${shown.height}, ${different} values differ`);
        const again = await classifier.classify(shown, { heatmap: false });
        const scores = (/** @type {{ predictions: { index: number, score: number }[] }} */ { predictions }) =>
          JSON.stringify(predictions.map(({ index, score }) => [index, score]));
        if (scores(again) !== scores(seen)) wrong.push(`${name}: what is shown gives other scores`);
      }
      return wrong;
    }, /** @type {[string, string, Case[]]} */ ([REAL, folder, list]));
    assert.deepEqual(wrong, []);
  });
}

test('a file that the module calls damaged is read by the browser, which the result tells', async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const file = await (await fetch('/tests/golden/files/jpeg-broken.jpg')).blob();
    const { decoder, damaged, image } = await classifier.classify(file, { heatmap: false });
    return { decoder, damaged, image };
  }, REAL);
  assert.equal(seen.decoder, 'browser');
  assert.match(seen.damaged ?? '', /the JPEG file is damaged/);
  assert.deepEqual(seen.image, { width: 125, height: 83 });
});

test('a photo that is cut short is refused with its share, and read when asked', async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const file = await (await fetch('/tests/golden/files/jpeg-420-cut.jpg')).blob();
    const { code, percent, message } = await classifier.classify(file).catch((error) => error);
    const { partial, decoder, predictions } = await classifier.classify(file, { partial: true, heatmap: false });
    return { code, percent, message, partial, decoder, predictions: predictions.length };
  }, REAL);
  assert.equal(seen.code, 'image-corrupt');
  assert.match(seen.message, new RegExp(`${seen.percent} % of its rows are there`));
  assert.ok(seen.percent > 30 && seen.percent < 60, seen.percent);
  assert.deepEqual([seen.partial, seen.decoder, seen.predictions], [seen.percent, undefined, 5]);
});
