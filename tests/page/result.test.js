// what the page says about a photo, and what can be asked of it

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { photo, place, ready, sample, verdict } from './visit.js';

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
});
after(() => here?.close());

test('the heatmap’s mass lies on the cat', async () => {
  const { page, context } = await here.visit();
  await sample(page, 0);
  await verdict(page);
  const mass = await page.evaluate(() => {
    const canvas = /** @type {HTMLCanvasElement} */ (document.querySelector('.overlay'));
    const { width, height, data } = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d')).getImageData(
      0,
      0,
      canvas.width,
      canvas.height,
    );
    let all = 0,
      face = 0;
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const alpha = data[(y * width + x) * 4 + 3] ?? 0;
        all += alpha;
        // The cat's face, from the photo itself.
        if (x > width * 0.1 && x < width * 0.8) face += alpha;
      }
    return { all, share: face / all };
  });
  assert.ok(mass.all > 0);
  assert.ok(mass.share > 0.8, `${mass.share}`);
  await context.close();
});

test('an unsure result is said to be unsure, a sure one sure', async () => {
  const { page, context } = await here.visit();
  await sample(page, 3);
  await verdict(page, /helmet/i);
  assert.match(await page.locator('.verdict-block').innerText(), /Not sure.*16%.*84%/s);
  await sample(page, 1);
  await verdict(page, /espresso/i);
  assert.match(await page.locator('.verdict-block').innerText(), /Quite sure.*95%/s);
  await context.close();
});

test('a bar shows the heatmap of its class', async () => {
  const { page, context } = await here.visit();
  await sample(page, 0);
  await verdict(page);
  const before = await drawn(page);
  await page.locator('.class').nth(1).click();
  await page.locator('.where h3', { hasText: await page.locator('.class-label').nth(1).innerText() }).waitFor();
  assert.notDeepEqual(await drawn(page), before);
  assert.equal(await page.locator('.class[aria-pressed="true"]').count(), 1);
  await context.close();
});

test('any class is found by its name, with its heatmap or the word that there is none', async () => {
  const { page, context } = await here.visit();
  await sample(page, 1);
  await verdict(page);
  await page.getByPlaceholder('Search 1000 classes').fill('goldf');
  await page.getByText(/^\d class/).waitFor();
  await page.locator('.class', { hasText: 'goldfish' }).click();
  await page.locator('.where h3', { hasText: 'goldfish' }).waitFor();
  assert.match(
    await page.locator('.where p').innerText(),
    /The evidence is .* of what the model sees\.|Nothing in this photo speaks for/,
  );
  await page.getByPlaceholder('Search 1000 classes').fill('');
  await page.locator('.class', { hasText: 'goldfish' }).waitFor();
  await page.getByPlaceholder('Search 1000 classes').fill('nosuchclass');
  await page.getByText('No class with this name').waitFor();
  await context.close();
});

test('two classes side by side', async () => {
  const { page, context } = await here.visit();
  await sample(page, 0);
  await verdict(page);
  await page.locator('.versus').nth(1).click();
  await page.waitForFunction(() => document.querySelectorAll('.overlay:not([hidden])').length === 2);
  const captions = await page.locator('.caption').allInnerTexts();
  assert.deepEqual(captions, (await page.locator('.class-label').allInnerTexts()).slice(0, 2));
  assert.match(await page.locator('.where').innerText(), /share \d+% of their evidence/);
  await page.locator('.versus').nth(1).click();
  await page.waitForFunction(() => document.querySelectorAll('.overlay').length === 1);
  await context.close();
});

test('opacity changes only how the canvas is laid over the photo', async () => {
  const { page, context } = await here.visit();
  await sample(page, 0);
  await verdict(page);
  const before = await drawn(page);
  await page.getByRole('slider', { name: 'Heatmap' }).fill('0.3');
  await page.waitForFunction(
    () => getComputedStyle(/** @type {Element} */ (document.querySelector('.overlay'))).opacity === '0.3',
  );
  assert.deepEqual(await drawn(page), before);
  await context.close();
});

test('held, the button shows the photo alone', async () => {
  const { page, context } = await here.visit();
  await sample(page, 0);
  await verdict(page);
  const opacity = () =>
    page.evaluate(() => getComputedStyle(/** @type {Element} */ (document.querySelector('.overlay'))).opacity);
  await page.locator('.hold').hover();
  await page.mouse.down();
  await page.waitForSelector('[data-bare="true"]');
  assert.equal(await opacity(), '0');
  await page.mouse.up();
  await page.waitForSelector('[data-bare="false"]');
  assert.equal(await opacity(), '0.75');
  await context.close();
});

test('colours change the heatmap and its legend', async () => {
  const { page, context } = await here.visit();
  await sample(page, 0);
  await verdict(page);
  const [map, legend] = [await drawn(page), await drawn(page, '.legend-ramp')];
  await page.getByLabel('Colours').selectOption('viridis');
  await page.waitForFunction((before) => {
    const canvas = /** @type {HTMLCanvasElement} */ (document.querySelector('.legend-ramp'));
    return String(canvas.getContext('2d')?.getImageData(200, 0, 1, 1).data) !== before;
  }, String(legend));
  assert.notDeepEqual(await drawn(page), map);
  await context.close();
});

test('a failed download is said, and tried again without a new visit', async () => {
  const weights = '/models/efficientnet-lite0/model.onnx';
  here.server.behave(weights, { status: 404 }, {});
  const { page, context } = await here.visit();
  await page.getByText('The server did not send the file.').waitFor({ timeout: 60_000 });
  await page.setInputFiles('#chooser', photo('coffee.png'));
  assert.match(await verdict(page), /espresso/i);
  here.server.behave(weights);
  await context.close();
});

test('a download can be cancelled and taken up again', async () => {
  const weights = '/models/efficientnet-lite0/model.onnx';
  here.server.behave(weights, { pace: 100 });
  const { page, context } = await here.visit();
  await page.locator('.status-line', { hasText: 'Downloading' }).waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.locator('.status-line', { hasText: 'not loaded' }).waitFor();
  here.server.behave(weights);
  await page.getByRole('button', { name: 'Try again' }).first().click();
  await ready(page);
  await context.close();
});

test('choices stay for the next visit, and a storage that refuses harms nothing', async () => {
  const { page, context } = await here.visit({ colorScheme: 'light' });
  await page.getByRole('button', { name: 'Switch between light and dark' }).click();
  await page.waitForSelector('html[data-theme="dark"]');
  await page.getByRole('button', { name: 'Tiếng Việt', exact: true }).click();
  await page.getByText('Chọn ảnh').waitFor();
  await page.reload();
  await page.getByText('Chọn ảnh').waitFor();
  assert.equal(await page.locator('html').getAttribute('lang'), 'vi');
  assert.equal(await page.locator('html').getAttribute('data-theme'), 'dark');
  await context.close();
  const refused = await here.visit({
    before: (page) =>
      page.addInitScript(() => {
        Object.defineProperty(globalThis, 'localStorage', {
          get: () => {
            throw new DOMException('no', 'SecurityError');
          },
        });
      }),
  });
  await sample(refused.page, 1);
  await verdict(refused.page, /espresso/i);
  assert.deepEqual(refused.complaints, []);
  await refused.context.close();
});

test('the browser’s language is spoken', async () => {
  const { page, context } = await here.visit({ locale: 'vi-VN' });
  await page.getByText('Chọn ảnh').waitFor();
  await sample(page, 1);
  await verdict(page, /espresso/i);
  assert.match(await page.locator('.where').innerText(), /Bằng chứng nằm/);
  await context.close();
});

test('the build of the module is a choice that stays', async () => {
  const { page, context, requests } = await here.visit();
  await ready(page);
  await page.getByRole('button', { name: 'Settings' }).click();
  await page.getByLabel('Build').selectOption('simd128');
  await page.keyboard.press('Escape');
  await page.locator('.status-line', { hasText: 'simd128' }).waitFor();
  await page.reload();
  await ready(page);
  assert.ok(requests.some((request) => request.url().endsWith('worker.js?build=simd128')));
  assert.match(await page.locator('.status-line').innerText(), /simd128/);
  await context.close();
});

test('loaded lazily, the first photo loads the model', async () => {
  const { page, context, requests } = await here.visit({ query: '?preload=lazy' });
  await page.getByText('The model loads with the first photo').waitFor();
  assert.equal(requests.filter((request) => request.url().endsWith('.onnx')).length, 0);
  await sample(page, 1);
  await verdict(page, /espresso/i);
  await context.close();
});

test('without heatmaps the result says so', async () => {
  const { page, context } = await here.visit({ query: '?heatmap=false' });
  await sample(page, 1);
  await page.getByText('Heatmaps are switched off').waitFor({ timeout: 60_000 });
  assert.equal(await page.locator('.controls:visible').count(), 0);
  await context.close();
});

test('?health=verbose shows the health report as JSON', async () => {
  const { page, context } = await here.visit({ query: '?health=verbose' });
  await page.locator('.health pre', { hasText: 'status' }).waitFor({ timeout: 60_000 });
  const text = await page.locator('.health pre').innerText();
  assert.equal(JSON.parse(text).status, 'ready');
  await context.close();
});

/** Some pixels of a canvas. @param {import('playwright-core').Page} page @param {string} [selector] */
function drawn(page, selector = '.overlay') {
  return page.evaluate((selector) => {
    const canvas = /** @type {HTMLCanvasElement} */ (document.querySelector(selector));
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    if (canvas.height === 1) return [...pen.getImageData(200, 0, 1, 1).data];
    return Array.from({ length: 64 }, (_, at) => [
      ...pen.getImageData((((at % 8) + 0.5) * canvas.width) / 8, ((Math.floor(at / 8) + 0.5) * canvas.height) / 8, 1, 1)
        .data,
    ]).flat();
  }, selector);
}
