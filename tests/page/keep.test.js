// what can be taken away: picture, map, JSON, CSV, clipboard

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { photo, place, sample, verdict } from './visit.js';

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
});
after(() => here?.close());

test('a result: picture, JSON, raw map, clipboard', async () => {
  const { page, context } = await here.visit({ permissions: ['clipboard-read', 'clipboard-write'] });
  await page.setInputFiles('#chooser', photo('coffee.png'));
  await verdict(page, /espresso/i);

  const picture = await download(page, 'Save picture');
  assert.equal(picture.name, 'coffee-whylens.png');
  assert.deepEqual([...picture.bytes.subarray(1, 4)], [...Buffer.from('PNG')]);
  assert.ok(picture.bytes.readUInt32BE(20) > 400, 'the caption is below the photo');

  const result = JSON.parse((await download(page, 'Result (JSON)')).bytes.toString());
  assert.equal(result.file, 'coffee.png');
  assert.deepEqual(result.image, { width: 600, height: 400 });
  assert.equal(result.predictions[0].label, 'espresso');
  assert.equal(result.heatmap.values.length, result.heatmap.width * result.heatmap.height);

  const map = await download(page, 'Raw map (NPY)');
  assert.equal(map.name, 'coffee-espresso.npy');
  const length = map.bytes.readUInt16LE(8);
  assert.equal((10 + length) % 64, 0);
  assert.match(map.bytes.subarray(10, 10 + length).toString(), /'<f4'.*\(7, 7\).*\n$/);
  const values = Array.from({ length: 49 }, (_, at) => map.bytes.readFloatLE(10 + length + at * 4));
  assert.equal(map.bytes.length, 10 + length + 49 * 4);
  assert.deepEqual(values, result.heatmap.values);

  await page.getByRole('button', { name: 'Copy picture' }).click();
  await page.getByText('Copied').waitFor();
  const types = await page.evaluate(async () => (await navigator.clipboard.read()).flatMap((item) => item.types));
  assert.deepEqual(types, ['image/png']);
  await context.close();
});

test('two classes are kept together', async () => {
  const { page, context } = await here.visit();
  await sample(page, 0);
  await verdict(page);
  await page.locator('.versus').nth(1).click();
  await page.waitForFunction(() => document.querySelectorAll('.overlay:not([hidden])').length === 2);
  const result = JSON.parse((await download(page, 'Result (JSON)')).bytes.toString());
  assert.notEqual(result.heatmap.classIndex, result.compared.classIndex);
  const wide = (await download(page, 'Save picture')).bytes.readUInt32BE(16);
  await page.locator('.versus').nth(1).click();
  await page.waitForFunction(() => document.querySelectorAll('.overlay').length === 1);
  const narrow = (await download(page, 'Save picture')).bytes.readUInt32BE(16);
  assert.ok(wide > 1.8 * narrow, `${wide} and ${narrow} pixels`);
  await context.close();
});

test('a batch: progress, order, filter, CSV and JSON', async () => {
  const { page, context } = await here.visit();
  const names = ['chelsea.png', 'coffee.png', 'rocket.jpg', 'astronaut.png'];
  await page.setInputFiles('#chooser', [...names.map(photo), photo('README.md')]);
  await page.locator('.tile[data-status="done"]').nth(3).waitFor({ timeout: 60_000 });
  await page.locator('.tile[data-status="failed"]').waitFor({ timeout: 60_000 });
  await page.getByText('5 photos').waitFor();
  await page.getByLabel('Sort').selectOption('sure');
  assert.match((await page.locator('.tile-label').allInnerTexts()).join(), /^espresso/);

  const table = await download(page, 'CSV');
  assert.equal(table.name, 'whylens.csv');
  const [head = '', ...lines] = table.bytes.toString().replace('\ufeff', '').trim().split('\r\n');
  assert.match(head, /^"file","width","height","label_1","probability_1","score_1",/);
  assert.equal(lines.length, 5);
  assert.match(lines[0] ?? '', /^"coffee\.png",600,400,"espresso",0\.9/);
  assert.match(lines[4] ?? '', /^"README\.md",,.*,"image-format"$/);

  await page.getByRole('combobox', { name: 'Show', exact: true }).selectOption({ label: 'espresso (1)' });
  assert.equal(await page.locator('.tile').count(), 1);
  const listed = JSON.parse((await download(page, 'JSON')).bytes.toString());
  assert.deepEqual(
    listed.map((/** @type {{file: string}} */ each) => each.file),
    ['coffee.png'],
  );

  await page.getByRole('combobox', { name: 'Show', exact: true }).selectOption({ label: 'All classes' });
  await page.locator('.tile', { hasText: 'missile' }).click();
  assert.match(await verdict(page, /missile/i), /missile/i);
  await page.locator('.class').nth(1).click();
  await page.locator('.where h3', { hasText: await page.locator('.class-label').nth(1).innerText() }).waitFor();
  await page.getByRole('button', { name: 'Clear' }).click();
  await page.waitForSelector('body[data-state="empty"]');
  await context.close();
});

test('a batch can be stopped and taken up again', async () => {
  const { page, context } = await here.visit();
  await page.setInputFiles(
    '#chooser',
    Array.from({ length: 30 }, (_, at) => photo(at % 2 ? 'coffee.png' : 'chelsea.png')),
  );
  await page.locator('.tile[data-status="done"]').first().waitFor({ timeout: 60_000 });
  await page.locator('.sheet').getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('button', { name: 'Continue' }).waitFor();
  const left = await page.locator('.tile[data-status="cancelled"]').count();
  assert.ok(left > 0);
  await page.waitForTimeout(500);
  assert.equal(await page.locator('.tile:is([data-status="cancelled"], [data-status="working"])').count(), left);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.tile[data-status="done"]').length === 30, undefined, {
    timeout: 60_000,
  });
  await context.close();
});

/** @param {import('playwright-core').Page} page @param {string} button */
async function download(page, button) {
  const [given] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: button, exact: true }).click(),
  ]);
  return { name: given.suggestedFilename(), bytes: await readFile(await given.path()) };
}
