// models that end in their own way, or in one score, or without a gradient: what the page says of them

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TOP } from '../web/server.js';
import { FIREFOX } from '../web/browser.js';
import { head } from '../web/heads.js';
import { photo, place, sample, verdict } from './visit.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
});
after(() => here?.close());

/**
 * @param {Page} page
 * @param {string} name
 * @param {Parameters<typeof head>[1]} [options] of a graph of tests/golden/heads
 */
async function use(page, name, options) {
  const files = await head(name, options);
  await page.setInputFiles(
    '#chooser',
    Object.entries(files).map(([name, buffer]) => ({ name, mimeType: '', buffer })),
  );
  await page.locator('.model-button', { hasText: name }).waitFor({ timeout: 60_000 });
}

const said = (/** @type {Page} */ page) => page.locator('.verdict-block').innerText();

test('a graph that ends in its own softmax gives probabilities, on the stage and in the sheet, by table and picture', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  await use(page, 'softmax');
  await page.setInputFiles('#chooser', [photo('coffee.png'), photo('chelsea.png')]);
  await page.locator('.tile[data-status="done"]').nth(1).waitFor({ timeout: 60_000 });
  await verdict(page, /class 3/);
  assert.match(await said(page), /Quite sure.*The model gives it \d+(\.\d)?%\./s);
  assert.match(await page.locator('.class-value').first().innerText(), /%$/);
  assert.match(await page.locator('.tile-value').first().innerText(), /%$/);
  await context.close();
});

test('a folder that was packed before, and says none, gives probabilities too', async () => {
  here.server.put('/models/older/', await head('softmax', { output: { activation: 'none' } }));
  const { page, context } = await here.visit({ query: `?preload=lazy&model=${encodeURIComponent('/models/older/')}` });
  await page.setInputFiles('#chooser', photo('coffee.png'));
  await verdict(page, /class 3/);
  assert.match(await said(page), /Quite sure.*%/s);
  await context.close();
});

test('scores that are no probabilities are shown as scores everywhere', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  await use(page, 'logits', { output: { activation: 'none' } });
  await page.setInputFiles('#chooser', [photo('coffee.png'), photo('chelsea.png')]);
  await page.locator('.tile[data-status="done"]').nth(1).waitFor({ timeout: 60_000 });
  await verdict(page, /class \d/);
  assert.match(await said(page), /Highest score/);
  assert.doesNotMatch(await said(page), /%/);
  assert.equal(await page.locator('.class').count(), 5, 'negative ones too');
  for (const value of await page.locator('.class-value, .tile-value').allInnerTexts())
    assert.match(value, /^[-−]?\d+\.\d\d$/);
  if (FIREFOX) return context.close();
  const [given] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'CSV', exact: true }).click(),
  ]);
  const [, line = ''] = (await readFile(await given.path(), 'utf8')).split('\r\n');
  assert.match(line, /^"coffee\.png",600,400,"class \d",,-?\d+\.\d+,/, 'no probability');
  await context.close();
});

test('one score is that of a sigmoid, above or below the threshold', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  await use(page, 'one-logit');
  await sample(page, 0);
  await verdict(page, /class 0/);
  const [, share = ''] = /The model gives it (\d+)%\./.exec(await said(page)) ?? [];
  assert.ok(Number(share) > 50 && Number(share) < 100, await said(page));
  assert.match(await said(page), /Above the threshold/);
  await page.getByRole('slider', { name: 'Threshold' }).fill('0.99');
  await page.getByText('Below the threshold').waitFor();
  assert.match(await said(page), /class 0.*The model gives it \d+%\./is);
  assert.equal(await page.locator('.search:visible, .versus:visible').count(), 0, 'nothing to search or to compare');
  await context.close();
});

test('an ONNX file with one score is taken for that of a sigmoid', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  const buffer = await readFile(join(TOP, 'tests/golden/heads/one-logit.onnx'));
  await page.setInputFiles('#chooser', { name: 'one.onnx', mimeType: '', buffer });
  const form = page.getByRole('dialog', { name: 'Your own model' });
  await form.getByText('knows 1 class.').waitFor({ timeout: 60_000 });
  assert.equal(await form.getByLabel('Output').inputValue(), 'sigmoid');
  assert.ok(
    await form
      .getByLabel('Output')
      .locator('option[value="softmax"]')
      .evaluate((option) => /** @type {HTMLOptionElement} */ (option).disabled),
  );
  await form.getByRole('button', { name: 'Check and use' }).click();
  await form.getByText('is checked, packed and in use').waitFor({ timeout: 60_000 });
  await context.close();
});

test('classes that do not exclude one another are given each its probability', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  await use(page, 'sigmoid');
  await sample(page, 0);
  await verdict(page, /class \d, class \d/);
  assert.match(await said(page), /The model gives them \d.*% and \d.*%\./s);
  await page.getByRole('slider', { name: 'Threshold' }).fill('1');
  await page.getByText('Nothing above the threshold').waitFor();
  assert.match(await said(page), /The highest is “class \d” at \d/);
  await context.close();
});

for (const [name, method] of /** @type {const} */ ([
  ['voted', 'eigencam'],
  ['flat', 'occlusion'],
]))
  test(`a model without gradients is explained by ${method}, without a word of an error`, async () => {
    const { page, context, complaints } = await here.visit({ query: '?preload=lazy' });
    await use(page, name);
    await page.setInputFiles('#chooser', [photo('coffee.png'), photo('chelsea.png')]);
    await page.locator('.tile[data-status="done"]').nth(1).waitFor({ timeout: 60_000 });
    await page.locator('.verdict', { hasText: /class \d/ }).waitFor();
    await page.getByText('This model cannot be differentiated here').waitFor();
    assert.equal(await page.getByLabel('Method').inputValue(), method);
    assert.equal(await page.locator('.alert-view:visible').count(), 0);
    assert.deepEqual(complaints, []);
    await context.close();
  });
