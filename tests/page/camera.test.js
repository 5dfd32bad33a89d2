// the camera: which one, what ends or hides it, black pictures, mirrored ones

import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { FIREFOX } from '../web/browser.js';
import { place, ready, verdict } from './visit.js';

/** @typedef {import('./visit.js').Page} Page */

/** Pictures to look at, where they are wanted. @param {string} name */
const shot = (name) => join(process.env.SHOTS ?? tmpdir(), `whylens-${name}.png`);

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place(['--use-fake-device-for-media-stream=device-count=2']);
});
after(() => here?.close());

/**
 * A page with its camera on.
 * @param {Parameters<typeof here.visit>[0]} [options]
 */
async function watching(options) {
  const visited = await here.visit({ permissions: FIREFOX ? [] : ['camera'], ...options });
  await ready(visited.page);
  await visited.page.getByRole('button', { name: 'Camera', exact: true }).click();
  await visited.page.waitForSelector('.photo video');
  return visited;
}

/** Milliseconds that the last frame took: another number with each. @param {Page} page */
const last = (page) => page.locator('.times').innerText();

/** @param {Page} page */
async function goesOn(page) {
  await page.waitForSelector('.times');
  const before = await last(page);
  await page.waitForFunction(
    (before) => /** @type {HTMLElement} */ (document.querySelector('.times'))?.innerText !== before,
    before,
  );
}

/** Whether frames are classified in a second. @param {Page} page */
async function stands(page) {
  await page.waitForTimeout(300);
  const before = await last(page);
  await page.waitForTimeout(1000);
  return (await last(page)) === before;
}

/** Calls a function with the track in use. @param {Page} page @param {string} code */
const track = (page, code) =>
  page.evaluate((code) => {
    const { srcObject } = /** @type {HTMLVideoElement} */ (document.querySelector('.photo video'));
    return new Function('track', `return ${code}`)(/** @type {MediaStream} */ (srcObject).getVideoTracks()[0]);
  }, code);

/** Makes the page think that it is hidden, or shown again. @param {Page} page @param {boolean} hidden */
const hide = (page, hidden) =>
  page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
    Object.defineProperty(document, 'visibilityState', { value: hidden ? 'hidden' : 'visible', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);

const two = { skip: FIREFOX && 'it imitates one camera' };

test('one of several cameras, remembered for the next visit, also by its name', two, async () => {
  const { page, context, complaints } = await watching();
  await goesOn(page);
  const choice = page.locator('.camera-view select');
  const names = await choice.locator('option').allInnerTexts();
  assert.equal(names.length, 2);
  const other = 1;
  await page.screenshot({ path: shot('camera') });
  await page.setViewportSize({ width: 360, height: 740 });
  await page.screenshot({ path: shot('camera-phone') });
  await choice.selectOption({ index: other });
  await page.waitForFunction((name) => {
    const video = /** @type {HTMLVideoElement | null} */ (document.querySelector('.photo video'));
    return /** @type {MediaStream | null} */ (video?.srcObject)?.getVideoTracks()[0]?.label === name;
  }, names[other]);
  await goesOn(page);
  // As browsers do that give cameras new ids.
  await page.evaluate(() => {
    const kept = JSON.parse(localStorage.whylens);
    localStorage.whylens = JSON.stringify({ ...kept, camera: { ...kept.camera, id: 'an older id' } });
  });
  await page.reload();
  await ready(page);
  await page.getByRole('button', { name: 'Camera', exact: true }).click();
  await page.waitForSelector('.photo video');
  assert.equal(await track(page, 'track.label'), names[other]);
  assert.deepEqual(complaints, []);
  await context.close();
});

test('a camera that is gone: another one is used', two, async () => {
  const { page, context } = await here.visit({ permissions: ['camera'] });
  await page.evaluate(() => {
    localStorage.whylens = JSON.stringify({ camera: { id: 'gone', label: 'gone' } });
  });
  await page.reload();
  await ready(page);
  await page.getByRole('button', { name: 'Camera', exact: true }).click();
  await goesOn(page);
  await context.close();
});

test('iOS: the video is in the document, inline and muted, before it plays', async () => {
  const { page, context } = await watching({
    before: (page) =>
      page.addInitScript(() => {
        const { play } = HTMLMediaElement.prototype;
        HTMLMediaElement.prototype.play = function () {
          const { isConnected, muted } = this;
          Object.assign(globalThis, { played: [isConnected, muted, this.hasAttribute('playsinline')] });
          return play.call(this);
        };
      }),
  });
  await goesOn(page);
  assert.deepEqual(await page.evaluate(() => /** @type {any} */ (globalThis).played), [true, true, true]);
  await context.close();
});

test('a camera that ends is said, and starts again by a click', async () => {
  const { page, context } = await watching();
  await goesOn(page);
  await track(page, "(track.stop(), track.dispatchEvent(new Event('ended')))");
  await page.locator('.alert-view', { hasText: 'The camera has stopped.' }).waitFor();
  await page.getByRole('button', { name: 'Try again' }).click();
  await goesOn(page);
  assert.equal(await page.locator('.alert-view:visible').count(), 0);
  await context.close();
});

test('a camera that is held back is said, nothing is classified meanwhile, and it goes on', async () => {
  const { page, context } = await watching();
  await goesOn(page);
  await track(page, "track.dispatchEvent(new Event('mute'))");
  await page.getByText('holds the camera back').waitFor();
  assert.ok(await stands(page));
  await track(page, "track.dispatchEvent(new Event('unmute'))");
  await goesOn(page);
  assert.equal(await page.getByText('holds the camera back').count(), 0);
  await context.close();
});

test('a hidden page, or a locked phone, has its camera off, and on again when it is back', async () => {
  const { page, context } = await watching();
  await goesOn(page);
  const before = await page.evaluateHandle(
    () => /** @type {any} */ (document.querySelector('.photo video')).srcObject.getVideoTracks()[0],
  );
  await hide(page, true);
  assert.equal(await before.evaluate((track) => track.readyState), 'ended');
  await page.getByText('The camera is off while this page is hidden.').waitFor({ state: 'attached' });
  assert.ok(await stands(page));
  await hide(page, false);
  await goesOn(page);
  assert.equal(await track(page, 'track.readyState'), 'live');
  // One that is stopped stays so.
  await page.getByRole('button', { name: 'Stop', exact: true }).click();
  await hide(page, true);
  await hide(page, false);
  await page.waitForTimeout(300);
  assert.equal(await page.locator('video:visible').count(), 0);
  assert.equal(await page.evaluate(() => document.querySelector('video')?.srcObject), null);
  await context.close();
});

/** A camera whose picture the test draws. @param {Page} page */
const drawn = (page) =>
  page.addInitScript(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 480 });
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    let left = 'black',
      right = 'black',
      frames = 0;
    setInterval(() => {
      pen.fillStyle = left;
      pen.fillRect(0, 0, 320, 480);
      pen.fillStyle = right;
      pen.fillRect(320, 0, 320, 480);
      // A picture that stays the same is no new frame.
      pen.fillStyle = left === 'black' ? '#000001' : left;
      pen.fillRect(0, 0, 1, 1 + (frames++ % 9));
    }, 50);
    Object.assign(globalThis, {
      paint: (/** @type {string} */ a, /** @type {string} */ b) => ([left, right] = [a, b]),
    });
    navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(20);
    navigator.mediaDevices.enumerateDevices = async () => [];
  });

/** @param {Page} page @param {string} left @param {string} right */
const paint = (page, left, right) =>
  page.evaluate(([left, right]) => /** @type {any} */ (globalThis).paint(left, right), [left, right]);

test('a black picture is not classified, and said; nor is a photo taken of it', async () => {
  const { page, context } = await watching({ before: drawn });
  await page.getByText('The picture is black').waitFor();
  await page.waitForTimeout(1000);
  assert.equal(await page.locator('.verdict:visible').count(), 0);
  await page.getByRole('button', { name: 'Take photo' }).click();
  await page.locator('.alert-view', { hasText: 'picture is black' }).waitFor();
  assert.equal(await page.locator('.photo video').count(), 1);
  await paint(page, '#203040', '#506070');
  await goesOn(page);
  assert.equal(await page.getByText('The picture is black, so').count(), 0);
  await context.close();
});

/** The colours at the left and the right of the stage, as they are seen. @param {Page} page */
async function sides(page) {
  const bytes = [...(await page.locator('.photo').screenshot())];
  return page.evaluate(async (bytes) => {
    const bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
    const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (
      new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d')
    );
    pen.drawImage(bitmap, 0, 0);
    return [0.02, 0.98].map((share) => {
      const [r = 0, , b = 0] = pen.getImageData(Math.floor(bitmap.width * share), 9, 1, 1).data;
      return r > b ? 'red' : 'blue';
    });
  }, bytes);
}

test('mirrored: what is shown is what is classified, and taken; remembered', async () => {
  const { page, context } = await watching({ before: drawn });
  await paint(page, '#e00000', '#0000e0');
  await goesOn(page);
  assert.deepEqual(await sides(page), ['red', 'blue']);
  await page.getByRole('button', { name: 'Mirror' }).click();
  await goesOn(page);
  assert.deepEqual(await sides(page), ['blue', 'red']);
  await page.getByRole('button', { name: 'Take photo' }).click();
  await page.waitForSelector('.photo .seen');
  await verdict(page);
  assert.deepEqual(await sides(page), ['blue', 'red']);
  await page.reload();
  await ready(page);
  await page.getByRole('button', { name: 'Camera', exact: true }).click();
  await page.waitForSelector('video.mirrored');
  await context.close();
});
