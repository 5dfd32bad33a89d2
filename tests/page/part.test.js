// the part of a photo that is classified: drawn, moved and resized by mouse, finger and keys

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { FIREFOX } from '../web/browser.js';
import { TOP } from '../web/server.js';
import { photo, place, verdict } from './visit.js';

/** @typedef {import('./visit.js').Page} Page */
/** @typedef {{x: number, y: number, width: number, height: number}} Region */

/** What ONNX Runtime says of a part of a photo. @type {{region: number[], probabilities: number[]}} */
const GOLDEN = JSON.parse(await readFile(join(TOP, 'tests/golden/regions/scores.json'), 'utf8'));

/** Pictures to look at, where they are wanted. @param {string} name */
const shot = (name) => join(process.env.SHOTS ?? tmpdir(), `whylens-${name}.png`);

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
});
after(() => here?.close());

const choose = (/** @type {Page} */ page) => page.getByRole('button', { name: 'Choose a part' }).click();

/** The part that the frame shows, in pixels of the photo. @param {Page} page @returns {Promise<number[]>} */
async function framed(page) {
  const label = (await page.locator('.part').getAttribute('aria-label')) ?? '';
  const [width, height, x, y] = [...label.matchAll(/\d+/g)].map(Number);
  return /** @type {number[]} */ ([x, y, width, height]);
}

/** The result, as it can be saved. @param {Page} page */
async function saved(page) {
  const content = await page.evaluate(async () => {
    const click = HTMLAnchorElement.prototype.click;
    /** @type {Promise<string>} */
    const clicked = new Promise((resolve) => {
      HTMLAnchorElement.prototype.click = function () {
        resolve(this.href);
      };
    });
    const button = [...document.querySelectorAll('button')].find(({ textContent }) => textContent === 'Result (JSON)');
    button?.click();
    const href = await clicked;
    HTMLAnchorElement.prototype.click = click;
    return (await fetch(href)).text();
  });
  return JSON.parse(content);
}

/** Waits for the result of a part. @param {Page} page @param {(region: Region | undefined) => boolean} is */
async function classified(page, is) {
  for (let tries = 0; tries < 600; tries += 1) {
    const result = await saved(page);
    if (is(result.region) && result.heatmap && (await page.locator('.busy:visible').count()) === 0) return result;
    await page.waitForTimeout(100);
  }
  throw new Error(`this part was never classified: ${JSON.stringify(await saved(page)).slice(0, 3000)}`);
}

/** A point of the photo on the screen. @param {Page} page @param {number} x @param {number} y @param {number} width */
async function at(page, x, y, width) {
  const box = await page.locator('.part-area').boundingBox();
  if (!box) throw new Error('the photo cannot be seen');
  return /** @type {const} */ ([box.x + (x / width) * box.width, box.y + (y / width) * box.width]);
}

/** @param {Page} page @param {readonly [number, number]} from @param {readonly [number, number]} to */
async function dragTo(page, from, to) {
  await page.mouse.move(...from);
  await page.mouse.down();
  await page.mouse.move((from[0] + to[0]) / 2, (from[1] + to[1]) / 2, { steps: 3 });
  await page.mouse.move(...to);
  await page.mouse.up();
}

test('a frame that is drawn: ONNX Runtime says the same of that part; moved, resized, and all of it again', async () => {
  const { page, context, complaints } = await here.visit({ viewport: { width: 1400, height: 1000 } });
  await page.setInputFiles('#chooser', photo('coffee.png'));
  await verdict(page, /espresso/);
  const whole = await saved(page);
  assert.equal(whole.region, undefined);
  await choose(page);
  assert.deepEqual(await framed(page), [0, 0, 600, 400]);
  const [x = 0, y = 0, width = 0, height = 0] = GOLDEN.region;
  await dragTo(page, await at(page, x, y, 600), await at(page, x + width, y + height, 600));
  const near = (/** @type {number[]} */ expected) => (/** @type {Region | undefined} */ region) =>
    !!region &&
    [region.x, region.y, region.width, region.height].every((v, i) => Math.abs(v - (expected[i] ?? 0)) <= 1);
  const part = await classified(page, near(GOLDEN.region));
  const off = Math.abs(part.predictions[0].probability - (GOLDEN.probabilities[0] ?? 0));
  assert.ok(off < 0.02, `${part.predictions[0].probability}, expected ${GOLDEN.probabilities[0]}`);
  assert.deepEqual(part.heatmap.part, part.region);
  assert.ok(part.heatmap.region.x >= part.region.x && part.heatmap.region.y >= part.region.y);
  const legend = await page.locator('.legend-ramp').evaluate((ramp) => {
    const { width, height } = /** @type {HTMLCanvasElement} */ (ramp);
    const { data } = /** @type {any} */ (ramp).getContext('2d').getImageData(0, 0, width, height);
    return data.some((/** @type {number} */ level) => level > 0);
  });
  assert.ok(legend, 'the legend has its colours');
  await page.screenshot({ path: shot('part') });

  // Moved to the right as far as it goes, then its left edge.
  const middle = await at(page, x + width / 2, y + height / 2, 600);
  await dragTo(page, middle, [middle[0] + 900, middle[1]]);
  await classified(page, near([600 - width, y, width, height]));
  await dragTo(page, await at(page, 600 - width, y + height / 2, 600), await at(page, 500, y, 600));
  await classified(page, near([500, y, 100, height]));
  // A click draws nothing.
  await page.mouse.click(...(await at(page, 50, 350, 600)));
  assert.ok(near([500, y, 100, height])((await saved(page)).region));

  await page.getByRole('button', { name: 'Whole photo' }).click();
  const again = await classified(page, (region) => !region);
  assert.deepEqual(again.predictions, whole.predictions);
  await page.getByRole('button', { name: 'Done' }).click();
  await page.waitForSelector('.part', { state: 'hidden' });
  assert.deepEqual(complaints, []);
  await context.close();
});

test('by keys alone', async () => {
  const { page, context } = await here.visit();
  await page.setInputFiles('#chooser', photo('coffee.png'));
  await verdict(page);
  await page.getByRole('button', { name: 'Choose a part' }).focus();
  await page.keyboard.press('Enter');
  await page.locator('[data-choosing="true"] > .part').focus();
  // A step is 2 % of the longer side.
  for (let times = 0; times < 10; times += 1) await page.keyboard.press('Shift+ArrowLeft');
  for (let times = 0; times < 5; times += 1) await page.keyboard.press('Shift+ArrowUp');
  for (let times = 0; times < 3; times += 1) await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowDown');
  const { region } = await classified(page, (region) => region?.x === 36);
  assert.deepEqual(region, { x: 36, y: 12, width: 480, height: 340 });
  assert.deepEqual(await framed(page), [36, 12, 480, 340]);
  // Never out of the photo.
  for (let times = 0; times < 30; times += 1) await page.keyboard.press('ArrowLeft');
  await classified(page, (region) => region?.x === 0 && region.width === 480);
  for (let times = 0; times < 60; times += 1) await page.keyboard.press('Shift+ArrowLeft');
  await classified(page, (region) => region?.width === 8);
  await context.close();
});

test('by finger, on a phone', { skip: FIREFOX && 'no touches in Firefox over WebDriver BiDi' }, async () => {
  const { page, context } = await here.visit({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  await page.setInputFiles('#chooser', photo('coffee.png'));
  await verdict(page);
  await choose(page);
  await page.locator('.part').scrollIntoViewIfNeeded();
  const session = await context.newCDPSession(page);
  const touch = (/** @type {string} */ type, /** @type {readonly [number, number][]} */ points) =>
    session.send('Input.dispatchTouchEvent', {
      type: /** @type {'touchStart'} */ (type),
      touchPoints: points.map(([x, y]) => ({ x, y })),
    });
  await touch('touchStart', [[...(await at(page, 150, 100, 600))]]);
  await touch('touchMove', [[...(await at(page, 300, 200, 600))]]);
  await touch('touchMove', [[...(await at(page, 450, 300, 600))]]);
  await touch('touchEnd', []);
  const { region } = await classified(page, (region) => !!region);
  for (const [name, expected] of /** @type {const} */ ([
    ['x', 150],
    ['y', 100],
    ['width', 300],
    ['height', 200],
  ]))
    assert.ok(Math.abs(region[name] - expected) <= 3, `${name} ${region[name]}`);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  await page.screenshot({ path: shot('part-phone') });
  await context.close();
});

test('two classes side by side stay chosen, and each photo of a batch keeps its own part', async () => {
  const { page, context } = await here.visit();
  await page.setInputFiles('#chooser', [photo('coffee.png'), photo('rocket.jpg')]);
  await page.locator('.tile[data-status="done"]').nth(1).waitFor({ timeout: 60_000 });
  await verdict(page, /espresso/);
  await page.locator('.versus').nth(2).click();
  await page.waitForFunction(() => document.querySelectorAll('.overlay:not([hidden])').length === 2);
  const before = await page.locator('.caption').allInnerTexts();
  await choose(page);
  await page.locator('[data-choosing="true"] > .part').focus();
  await page.keyboard.press('Shift+ArrowLeft');
  const part = await classified(page, (region) => region?.width === 588);
  assert.deepEqual(await page.locator('.caption').allInnerTexts(), before);
  assert.deepEqual([part.heatmap.part, part.compared.part], [part.region, part.region]);
  await page.locator('.tile').nth(1).click();
  await verdict(page, /missile/);
  assert.equal((await saved(page)).region, undefined);
  assert.equal(await page.locator('.part:visible').count(), 0);
  // A key whose part was not classified yet means no other photo.
  await choose(page);
  await page.evaluate(() => {
    const frame = document.querySelector('[data-choosing="true"] > .part');
    frame?.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', shiftKey: true, bubbles: true }));
    /** @type {HTMLElement | null} */ (document.querySelector('.tile'))?.click();
  });
  await classified(page, (region) => region?.width === 588);
  await page.waitForSelector('.part-area:not([hidden])');
  await page.waitForTimeout(500);
  assert.equal((await saved(page)).region.width, 588);
  await page.locator('.tile').nth(1).click();
  await verdict(page, /missile/);
  assert.equal((await saved(page)).region, undefined);
  await context.close();
});

test('parts that are chosen faster than they are classified: the last one counts', async () => {
  const { page, context } = await here.visit();
  await page.setInputFiles('#chooser', photo('coffee.png'));
  await verdict(page);
  await choose(page);
  for (const right of [500, 400, 300, 200]) {
    if (right < 500) await page.getByRole('button', { name: 'Whole photo' }).click();
    await page.waitForSelector('.part[data-whole="true"]');
    await dragTo(page, await at(page, 20, 20, 600), await at(page, right, 300, 600));
  }
  const { region } = await classified(page, (region) => !!region && region.width < 200);
  const [x, y, width, height] = await framed(page);
  assert.deepEqual(region, { x, y, width, height });
  await context.close();
});
