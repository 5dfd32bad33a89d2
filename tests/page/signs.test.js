// what speaks for a class, against it, or both; and one class set against others

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { place, sample, verdict } from './visit.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('../../www/library/protocol.js').Heatmap} Heatmap */
/** @typedef {import('../../www/library/protocol.js').HeatmapOptions} HeatmapOptions */

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
});
after(() => here?.close());

/** @param {Page} page @param {string} name */
const show = (page, name) => page.getByRole('radio', { name, exact: true }).check();

/** How the heatmap is described, once it is that of `title`. @param {Page} page @param {string} title */
async function where(page, title) {
  await page.locator('.where h3').getByText(title, { exact: true }).first().waitFor({ timeout: 60_000 });
  return page.locator('.where').innerText();
}

/** The pixels of the picture over the photo. @param {Page} page */
const drawn = (page) =>
  page.evaluate(() => {
    const canvas = /** @type {HTMLCanvasElement} */ (document.querySelector('.overlay'));
    const { width, height } = canvas;
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    return { width, height, data: pen.getImageData(0, 0, width, height).data.join() };
  });

/**
 * What the library gives and draws for a sample, in the size of the picture on the page.
 * @param {Page} page
 * @param {string} name
 * @param {HeatmapOptions} options of the heatmap
 * @param {{width: number, height: number}} size
 */
const library = (page, name, options, size) =>
  page.evaluate(async ([name, options, { width, height }]) => {
    const path = '/www/whylens.js';
    const { load } = /** @type {typeof import('../../www/whylens.js')} */ (await import(path));
    const classifier = await load('/models/efficientnet-lite0/');
    const photo = await (await fetch(`/www/samples/${name}.jpg`)).blob();
    const result = await classifier.classify(photo, { heatmap: false });
    const classIndex = options.label ? undefined : result.predictions[0]?.index;
    const heatmap = await classifier.heatmap(result, { classIndex, ...options });
    const colormap = heatmap.sign === 'both' ? 'diverging' : 'inferno';
    const image = await classifier.render(heatmap, { width, height, colormap, opacity: 1 });
    // As a canvas keeps it, which stores colours times their opacity.
    const canvas = new OffscreenCanvas(width, height);
    const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
    pen.putImageData(image, 0, 0);
    const data = pen.getImageData(0, 0, width, height).data.join();
    return { heatmap: { ...heatmap, values: [...heatmap.values] }, data };
  }, /** @type {const} */ ([name, options, size]));

/** The saved result. @param {Page} page @returns {Promise<{heatmap: Heatmap, compared?: Heatmap}>} */
async function saved(page) {
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Result (JSON)' }).click(),
  ]);
  const chunks = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}

test('each side of the evidence is drawn, told and saved as the library gives it', async () => {
  const { page, context, complaints } = await here.visit();
  await sample(page, 0);
  await verdict(page);
  const [first = '', second = ''] = await page.locator('.class-label').allInnerTexts();
  assert.equal(await page.locator('.caption:visible').count(), 0);
  assert.ok(await page.getByRole('radio', { name: 'for', exact: true }).isChecked());
  // Alone, nothing in this photo speaks against the first.
  await page.locator('.versus').nth(1).click();
  await page.getByLabel('Question').selectOption('other');
  const label = `${first}, not ${second}`;
  await where(page, `Evidence for “${label}”`);
  for (const [name, title, caption] of /** @type {const} */ ([
    ['against', `Evidence against “${label}”`, `Against: ${label}`],
    ['both', `Evidence for and against “${label}”`, `For and against: ${label}`],
  ])) {
    await show(page, name);
    await where(page, title);
    assert.equal(await page.locator('.caption').innerText(), caption);
    const shown = await drawn(page);
    const expected = await library(page, 'chelsea', { contrast: { label: second }, sign: name }, shown);
    assert.ok(shown.data === expected.data, `another picture of ${name}`);
    const { heatmap } = await saved(page);
    assert.equal(heatmap.sign, name);
    assert.deepEqual(heatmap.values, expected.heatmap.values);
  }
  assert.deepEqual(await page.locator('.ramp span:visible').allInnerTexts(), ['against', '0', 'for']);
  assert.ok(await page.getByLabel('Colours').isDisabled(), 'a map of both has its own colours');
  await show(page, 'for');
  await where(page, `Evidence for “${label}”`);
  assert.deepEqual(await page.locator('.ramp span:visible').allInnerTexts(), ['little evidence', 'most']);
  assert.ok(await page.getByLabel('Colours').isEnabled());
  assert.deepEqual(complaints, []);
  await context.close();
});

test('what nothing speaks for or against is said, and not drawn', async () => {
  const { page, context } = await here.visit();
  await sample(page, 1);
  await verdict(page, /espresso/);
  await show(page, 'against');
  const nothing = 'Nothing in this photo speaks against “espresso”. There is no heatmap to draw.';
  assert.match(await where(page, 'Evidence against “espresso”'), new RegExp(nothing));
  assert.equal(await page.locator('.caption').innerText(), nothing);
  assert.equal(await page.locator('.overlay:visible').count(), 0);
  await show(page, 'both');
  assert.match(await where(page, 'Evidence for and against “espresso”'), /Against: nothing\./);
  await context.close();
});

test('the sides are chosen by arrow keys, and stay for the next photo', async () => {
  const { page, context } = await here.visit();
  await sample(page, 1);
  await verdict(page, /espresso/);
  await page.getByRole('radio', { name: 'for', exact: true }).focus();
  await page.keyboard.press('ArrowLeft');
  await where(page, 'Evidence for and against “espresso”');
  assert.ok(await page.getByRole('radio', { name: 'both', exact: true }).evaluate((each) => each.matches(':focus')));
  await sample(page, 0);
  await verdict(page, /cat/);
  await page.locator('.where h3', { hasText: 'Evidence for and against “' }).waitFor();
  await context.close();
});

test('a method without another side says so', async () => {
  const { page, context } = await here.visit();
  await sample(page, 1);
  await verdict(page, /espresso/);
  await show(page, 'both');
  await where(page, 'Evidence for and against “espresso”');
  await page.getByLabel('Method').selectOption('eigencam');
  await where(page, 'Evidence for “espresso”');
  const sides = page.getByRole('group', { name: 'Show what speaks' });
  assert.ok(await page.getByRole('radio', { name: 'both', exact: true }).isDisabled());
  const reason = 'Eigen-CAM does not tell what speaks for a class from what speaks against it.';
  await page.getByText(reason).waitFor();
  const described = await sides.getAttribute('aria-describedby');
  assert.equal(await page.locator(`#${described}`).innerText(), reason);
  await page.getByLabel('Method').selectOption('gradcam');
  await where(page, 'Evidence for and against “espresso”');
  assert.ok(await page.getByText(reason).isHidden());
  await context.close();
});

test('the methods that the page takes for one-sided are those that the library refuses', async () => {
  const { page, context } = await here.visit();
  await sample(page, 1);
  await verdict(page, /espresso/);
  const answers = await page.evaluate(async () => {
    const [library, rules] = ['/www/whylens.js', '/www/page/explain.js'];
    const { load } = /** @type {typeof import('../../www/whylens.js')} */ (await import(library));
    const { hasSides } = /** @type {typeof import('../../www/page/explain.js')} */ (await import(rules));
    const classifier = await load('/models/efficientnet-lite0/');
    const result = await classifier.classify(await (await fetch('/www/samples/coffee.jpg')).blob(), { heatmap: false });
    const answers = [];
    const { model } = classifier;
    if (!model) throw new Error('not loaded');
    for (const method of model.methods) {
      const stop = new AbortController();
      const asked = classifier.heatmap(result, {
        method,
        sign: 'both',
        signal: stop.signal,
        onProgress: () => stop.abort(),
      });
      const code = await asked.then(
        () => 'made',
        (error) => error.code,
      );
      answers.push({ method, code, sides: hasSides(method, model) });
    }
    return answers;
  });
  assert.ok(answers.length > 5);
  for (const { method, code, sides } of answers) assert.equal(code !== 'bad-option', sides, `${method}: ${code}`);
  await context.close();
});

test('two classes side by side become one map of why the one and not the other', async () => {
  const { page, context, complaints } = await here.visit();
  await sample(page, 0);
  await verdict(page);
  const [first = '', second = ''] = await page.locator('.class-label').allInnerTexts();
  await page.locator('.versus').nth(1).click();
  await page.waitForFunction(() => document.querySelectorAll('.overlay:not([hidden])').length === 2);
  await page.getByLabel('Question').selectOption({ label: `Why “${first}” and not “${second}”?` });
  await where(page, `Evidence for “${first}, not ${second}”`);
  assert.deepEqual(await page.locator('.caption').allInnerTexts(), [`${first}, not ${second}`]);
  const shown = await drawn(page);
  const expected = await library(page, 'chelsea', { contrast: { label: second } }, shown);
  assert.ok(shown.data === expected.data, 'another picture');
  const { heatmap, compared } = await saved(page);
  assert.deepEqual(
    heatmap.contrast?.map(({ label }) => label),
    [second],
  );
  assert.equal(compared, undefined);
  await show(page, 'both');
  await where(page, `Evidence for and against “${first}, not ${second}”`);
  await page.getByLabel('Question').selectOption({ label: 'Why each of the two?' });
  await page.waitForFunction(() => document.querySelectorAll('.overlay:not([hidden])').length === 2);
  assert.deepEqual(complaints, []);
  await context.close();
});

test('one class is set against those most like it', async () => {
  const { page, context } = await here.visit();
  await sample(page, 0);
  await verdict(page);
  const first = await page.locator('.class-label').first().innerText();
  await page.getByLabel('Question').selectOption({ label: 'Why not a similar class?' });
  const said = await where(page, `Evidence for “${first}, not similar classes”`);
  const shown = await drawn(page);
  const expected = await library(page, 'chelsea', { contrast: 'alike' }, shown);
  assert.ok(shown.data === expected.data, 'another picture');
  const [a, b, c] = (expected.heatmap.contrast ?? []).map(({ label }) => `“${label}”`);
  assert.match(said, new RegExp(`Compared with ${a}, ${b} and ${c}\\.`));
  await page.getByLabel('Method').selectOption('eigencam');
  await where(page, `Evidence for “${first}”`);
  assert.ok(await page.getByLabel('Question').isDisabled(), 'Eigen-CAM is the same for every class');
  await context.close();
});
