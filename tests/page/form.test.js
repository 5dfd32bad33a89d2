// the form for the reader's own model: what files say, own numbers, and three photos that show a wrong choice

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { classifier } from '../web/onnx.js';
import { TOP } from '../web/server.js';
import { photo, place, sample, verdict } from './visit.js';

/** @typedef {import('playwright-core').Locator} Locator */
/** @typedef {import('playwright-core').Page} Page */

const FOLDER = join(TOP, 'models/efficientnet-lite0');
const GOLDEN = join(TOP, 'tests/golden');
const SAMPLES = ['chelsea', 'coffee', 'rocket'];

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
/** @type {Record<string, Record<string, { label: string, probability: number }>>} */
let golden;
before(async () => {
  here = await place();
  golden = JSON.parse(await readFile(join(GOLDEN, 'previews.json'), 'utf8'));
});
after(() => here?.close());

/** Pictures to look at, where they are wanted. @param {string} name */
const shot = (name) => join(process.env.SHOTS ?? tmpdir(), `whylens-form-${name}.png`);

/** @param {Page} page @param {[string, Buffer | string][]} files */
async function drop(page, files) {
  await page.setInputFiles(
    '#chooser',
    files.map(([name, content]) => ({ name, mimeType: '', buffer: Buffer.from(content) })),
  );
  const form = page.getByRole('dialog', { name: 'Your own model' });
  await form.getByText('With these answers').waitFor({ timeout: 60_000 });
  return form;
}

/** The default model as an exporter might leave it: its labels are known, its numbers are not. @param {Page} page */
async function lite(page) {
  const files = ['model.onnx', 'labels.txt'].map(
    async (name) => /** @type {[string, Buffer]} */ ([name, await readFile(join(FOLDER, name))]),
  );
  const form = await drop(page, await Promise.all(files));
  return form;
}

/** Waits until the three photos have the answers of Python. @param {Locator} form @param {string} reading */
async function shows(form, reading) {
  const expected = golden[reading];
  for (const [at, name] of SAMPLES.entries()) {
    const { label, probability } = expected?.[name] ?? { label: '', probability: NaN };
    const row = form.locator('.preview-photos li').nth(at);
    await row.locator('b', { hasText: label }).waitFor({ timeout: 60_000 });
    await form.locator('.preview[aria-busy="false"]').waitFor({ timeout: 60_000 });
    const said = parseFloat((await row.locator('.soft').innerText()).replace('<', ''));
    assert.ok(Math.abs(said - 100 * probability) <= 1, `${reading}, ${name}: ${said} %, not ${100 * probability} %`);
  }
}

test('three photos follow the answers: presets, colours, crop, antialias, and what is packed agrees', async () => {
  const { page, context, complaints } = await here.visit({ query: '?preload=lazy' });
  const form = await lite(page);
  assert.equal(await form.getByRole('combobox', { name: /^Pixel values/ }).inputValue(), 'imagenet', 'the likeliest');
  await form.getByText('Change how photos are read').click();
  await form.getByRole('combobox', { name: /^Filter/ }).selectOption('bicubic');
  await shows(form, 'imagenet');
  await form.getByRole('combobox', { name: /^Pixel values/ }).selectOption('caffe');
  assert.equal(await form.getByRole('combobox', { name: /^Colours/ }).inputValue(), 'bgr');
  assert.equal(await form.getByRole('textbox', { name: /^Mean/ }).inputValue(), '103.939, 116.779, 123.68');
  await shows(form, 'caffe');
  await form.getByRole('combobox', { name: /^Pixel values/ }).selectOption('half');
  await shows(form, 'right');
  await form.getByRole('combobox', { name: /^Colours/ }).selectOption('bgr');
  assert.equal(await form.getByRole('combobox', { name: /^Pixel values/ }).inputValue(), 'own');
  await shows(form, 'bgr');
  await form.getByRole('combobox', { name: /^Colours/ }).selectOption('rgb');
  await form.getByLabel('Or what the crop keeps').fill('90');
  await shows(form, 'crop-90');
  assert.equal(await form.getByRole('spinbutton', { name: /^Shorter side/ }).inputValue(), '248');
  await form.getByRole('spinbutton', { name: /^Shorter side/ }).fill('256');
  await form.getByRole('combobox', { name: /^Filter/ }).selectOption('bilinear');
  await shows(form, 'bilinear');
  assert.equal(await form.getByLabel('Or what the crop keeps').inputValue(), '87.5');
  await form.getByLabel('Smooth when shrinking').uncheck();
  await shows(form, 'no-antialias');
  await page.screenshot({ path: shot('own-numbers') });
  await form.getByRole('button', { name: 'Check and use' }).click();
  await form.getByText('is checked, packed and in use.').waitFor({ timeout: 60_000 });
  await form.getByRole('button', { name: 'Go on' }).click();
  await sample(page, 2);
  await verdict(page, 'missile');
  const said = parseFloat(await page.locator('.class-value').first().innerText());
  assert.ok(Math.abs(said - 100 * (golden['no-antialias']?.rocket?.probability ?? NaN)) <= 1, `${said} %`);
  assert.deepEqual(complaints, []);
  await context.close();
});

test('numbers are checked as they are typed, and a wrong unit is told', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  const form = await drop(page, [['small.onnx', classifier()]]);
  await form.getByText('Change how photos are read').click();
  await form.getByText('The model gets values from −2.12 to 2.64.').or(form.getByText('from -2.12 to 2.64.')).waitFor();
  await form.getByRole('textbox', { name: /^Mean/ }).fill('[123.675, 116.28, 103.53]');
  await form.getByText('Pixels are scaled to 0 to 1: is the mean meant for another scale?').waitFor();
  await form.getByRole('textbox', { name: /^Scale/ }).fill('1');
  await form.getByRole('textbox', { name: /^Deviation/ }).fill('58.395, 57.12, 57.375');
  assert.equal(
    await form.getByRole('combobox', { name: /^Pixel values/ }).inputValue(),
    'imagenet',
    'the same values in another unit',
  );
  for (const [name, value, said] of /** @type {const} */ ([
    [/^Mean/, '1, 2', 'The mean is one number, or one for each of three colours.'],
    [/^Deviation/, '0', 'The deviation is one number above 0'],
    [/^Scale/, 'a', 'The scale is one number other than 0'],
  ])) {
    const field = form.getByRole('textbox', { name });
    const before = await field.inputValue();
    await field.fill(value);
    await form.getByText(said).waitFor();
    assert.equal(await field.getAttribute('aria-invalid'), 'true');
    await form.getByRole('button', { name: 'Check and use' }).click();
    assert.ok(await field.isVisible(), 'the browser holds the form back');
    await field.fill(before);
    assert.equal(await field.getAttribute('aria-invalid'), 'false');
  }
  // A mistake in what is folded away is shown.
  await form.getByRole('textbox', { name: /^Mean/ }).fill('');
  await form.getByText('Change how photos are read').click();
  assert.equal(await form.getByRole('textbox', { name: /^Mean/ }).isVisible(), false);
  await form.getByRole('button', { name: 'Check and use' }).click();
  await form.getByRole('textbox', { name: /^Mean/ }).waitFor({ state: 'visible' });
  await context.close();
});

test('what files say is filled in with its source, and a source goes when its answer is changed', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  const config = { do_resize: true, size: { shortest_edge: 40 }, resample: 3, do_center_crop: true, crop_size: 32 };
  const numbers = {
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: [0.1, 0.2, 0.3],
    image_std: [0.4, 0.5, 0.6],
  };
  const form = await drop(page, [
    ['small.onnx', classifier()],
    ['preprocessor_config.json', JSON.stringify({ image_processor_type: 'ViTImageProcessor', ...config, ...numbers })],
  ]);
  const source = form.locator('small:visible', { hasText: 'From preprocessor_config.json' });
  assert.equal(await source.count(), 2);
  assert.equal(await form.getByRole('combobox', { name: /^Pixel values/ }).inputValue(), 'own');
  assert.equal(await form.getByRole('textbox', { name: /^Mean/ }).isVisible(), false, 'folded away');
  await form.getByText('Change how photos are read').click();
  assert.equal(await form.getByRole('textbox', { name: /^Mean/ }).inputValue(), '0.1, 0.2, 0.3');
  assert.equal(await form.getByRole('combobox', { name: /^Filter/ }).inputValue(), 'bicubic');
  await form.getByRole('textbox', { name: /^Mean/ }).fill('0.5');
  assert.equal(await source.count(), 1, 'of the size only');
  await context.close();
});

test('one class for all three, or all classes alike, brings a hint', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  const form = await drop(page, [['small.onnx', classifier()]]);
  await form.getByText('All classes are nearly equal').waitFor({ timeout: 60_000 });
  await form.getByText('Change how photos are read').click();
  await form.getByRole('textbox', { name: /^Mean/ }).fill('123675, 116280, 103530');
  await form.getByText('One class for all three photos').waitFor({ timeout: 60_000 });
  await page.screenshot({ path: shot('hint') });
  await form.getByLabel('Labels').fill(Array.from({ length: 64 }, (_, at) => `bird ${at}`).join('\n'));
  await form
    .locator('.preview-photos b', { hasText: /^bird \d+$/ })
    .first()
    .waitFor();
  await context.close();
});

test('a graph with a softmax of single operators is not asked for one, and is tried as it is packed', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  const form = await drop(page, [['by-hand.onnx', await readFile(join(GOLDEN, 'heads/softmax-by-hand.onnx'))]]);
  await form.getByText('It ends in its own softmax.').waitFor();
  assert.equal(await form.getByRole('combobox', { name: /^Output/ }).count(), 0);
  await form.locator('.preview[aria-busy="false"]').waitFor({ timeout: 60_000 });
  const tried = await form.locator('.preview-photos .soft').first().innerText();
  await form.getByRole('button', { name: 'Check and use' }).click();
  await form.getByText('is checked, packed and in use.').waitFor({ timeout: 60_000 });
  await form.getByRole('button', { name: 'Go on' }).click();
  await sample(page, 0);
  await verdict(page);
  assert.equal(await page.locator('.class-value').first().innerText(), tried);
  await context.close();
});

test('a threshold and a sentence: in the preview, the verdict, the sheet, its files', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  const form = await drop(page, [['small.onnx', classifier()]]);
  await form.getByText('More', { exact: true }).click();
  assert.equal(await form.getByLabel('Sentence for photos').isVisible(), false);
  await form.getByLabel('Recognised from').fill('50');
  await form.getByLabel('Sentence for photos').fill('No bird that this model knows.');
  await form.locator('.preview-photos b', { hasText: 'Not recognised' }).nth(2).waitFor({ timeout: 60_000 });
  await form.getByRole('button', { name: 'Check and use' }).click();
  await form.getByText('is checked, packed and in use.').waitFor({ timeout: 60_000 });
  await form.getByRole('button', { name: 'Go on' }).click();
  await sample(page, 0);
  await verdict(page, 'No bird that this model knows.');
  assert.match(await page.locator('.verdict-block').innerText(), /Not recognised.*The highest is “class \d+” at \d+%/s);
  await page.screenshot({ path: shot('not-recognised') });
  await page.setInputFiles('#chooser', [photo('coffee.png'), photo('chelsea.png')]);
  await page.locator('.tile-label', { hasText: 'No bird that this model knows.' }).nth(1).waitFor({ timeout: 60_000 });
  const [table] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'CSV', exact: true }).click(),
  ]);
  const [head = '', line = ''] = (await readFile(await table.path(), 'utf8')).split('\r\n');
  assert.match(head, /"recognised","error"$/);
  assert.match(line, /,false,$/);
  await context.close();
});

for (const [name, look] of /** @type {const} */ ([
  ['phone-dark', { viewport: { width: 360, height: 740 }, colorScheme: 'dark' }],
  ['phone-vi', { viewport: { width: 360, height: 740 }, locale: 'vi-VN' }],
]))
  test(`${name}: the whole form fits, and every control has a name`, async () => {
    const { page, context } = await here.visit({ query: '?preload=lazy', ...look });
    await page.setInputFiles('#chooser', { name: 'small.onnx', mimeType: '', buffer: classifier() });
    const form = page.locator('.own-model');
    await form.locator('.preview[aria-busy="false"]').waitFor({ timeout: 60_000 });
    await page.screenshot({ path: shot(name) });
    for (const summary of await form.locator('summary').all()) await summary.click();
    const wide = await form.evaluate((dialog) => dialog.scrollWidth - dialog.clientWidth);
    assert.ok(wide <= 0, `${wide} px too wide`);
    for (const control of await form.locator('input:visible, select:visible, textarea:visible').all()) {
      const named = await control.evaluate(
        (element) => /** @type {HTMLInputElement} */ (element).labels?.[0]?.textContent?.trim() ?? '',
      );
      assert.ok(named, await control.evaluate((element) => element.outerHTML));
    }
    await form.getByRole('combobox').nth(1).scrollIntoViewIfNeeded();
    await page.screenshot({ path: shot(`${name}-open`) });
    await context.close();
  });
