// the contact sheet: what each photo looks like, also where the browser cannot show it, and why one has no answer

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TOP } from '../web/server.js';
import { photo, photoBytes, place } from './visit.js';

/** @typedef {import('./visit.js').Page} Page */

/** Pictures to look at, where they are wanted. @param {string} name */
const shot = (name) => join(process.env.SHOTS ?? tmpdir(), `whylens-${name}.png`);

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
});
after(() => here?.close());

const svg = (/** @type {string} */ inside) =>
  Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200">${inside}</svg>`);

/** How many colours the picture of a tile has. @param {Page} page @param {string} name */
const colours = (page, name) =>
  page.locator(`.tile[title^="${name}"] canvas`).evaluate((canvas) => {
    const { width, height } = /** @type {HTMLCanvasElement} */ (canvas);
    const { data } = /** @type {any} */ (canvas).getContext('2d').getImageData(0, 0, width, height);
    return new Set(new Uint32Array(data.buffer)).size;
  });

/** @param {Page} page @param {string} name @param {number} least */
async function drawn(page, name, least) {
  for (let tries = 0; tries < 100; tries += 1) {
    if ((await colours(page, name)) >= least) return;
    await page.waitForTimeout(100);
  }
  assert.fail(`${name} has ${await colours(page, name)} colours`);
}

test('photos that the browser cannot show have their picture, those that failed their reason', async () => {
  const { page, context } = await here.visit();
  // A PNG that says it has 20000 × 20000 pixels.
  const large = Buffer.from(
    '89504e470d0a1a0a0000000d4948445200004e2000004e2008020000006c12d16e0000001449444154789cedc13101000000c2a0f54f6d0d0fa000000041d3419d0000000049454e44ae426082',
    'hex',
  );
  const coffee = await photoBytes('coffee.png');
  const file = (/** @type {string} */ name, /** @type {Buffer} */ buffer, mimeType = '') => ({
    name,
    mimeType,
    buffer,
  });
  await page.setInputFiles('#chooser', [
    file('fine.png', coffee, 'image/png'),
    file('scan.tif', await (await import('node:fs/promises')).readFile(join(TOP, 'tests/golden/photos/tiff-lzw.tif'))),
    // Browsers show neither: one is of no type, one asks for what a picture may not have.
    file(
      'drawing.svg',
      svg('<rect width="200" height="100" fill="red"/><circle cx="200" cy="120" r="60" fill="blue"/>'),
    ),
    file('words.jpg', Buffer.from('only words'), 'image/jpeg'),
    file('cut.png', coffee.subarray(0, 60_000), 'image/png'),
    file('large.png', large, 'image/png'),
  ]);
  await page.locator('.tile[data-status="failed"]').nth(2).waitFor({ timeout: 60_000 });
  for (const [name, least] of /** @type {const} */ ([
    ['fine.png', 100],
    ['scan.tif', 100],
    ['drawing.svg', 3],
  ]))
    await drawn(page, name, least);
  for (const [name, said] of /** @type {const} */ ([
    ['words.jpg', /cannot be read as a picture/],
    ['cut.png', /damaged/],
    ['large.png', /too large/],
  ])) {
    const tile = page.locator(`.tile[title^="${name}"]`);
    assert.match(await tile.locator('.tile-value').innerText(), said);
    assert.match((await tile.getAttribute('title')) ?? '', said);
  }
  await page.locator('.sheet').scrollIntoViewIfNeeded();
  await page.screenshot({ path: shot('sheet') });
  await page.setViewportSize({ width: 360, height: 740 });
  await page.locator('.sheet').scrollIntoViewIfNeeded();
  await page.screenshot({ path: shot('sheet-phone') });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  await context.close();
});

test('photos that were skipped have their picture too', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  // The model never arrives.
  await page.route('**/model.onnx*', () => {});
  const scan = join(TOP, 'tests/golden/photos/tiff-lzw.tif');
  await page.setInputFiles('#chooser', [photo('rocket.jpg'), scan]);
  await page.locator('.sheet').getByRole('button', { name: 'Cancel' }).click();
  await page.locator('.tile[data-status="cancelled"]').nth(1).waitFor();
  await drawn(page, 'rocket.jpg', 100);
  await drawn(page, 'tiff-lzw.tif', 100);
  await context.close();
});
