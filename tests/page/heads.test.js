// models that end in their own way, or in one score, or without a gradient: what the page says of them

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TOP } from '../web/server.js';
import { FIREFOX } from '../web/browser.js';
import { head } from '../web/heads.js';
import { classifier, folder } from '../web/onnx.js';
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

/** Pictures to look at, where they are wanted. @param {string} name */
const shot = (name) => join(process.env.SHOTS ?? tmpdir(), `whylens-${name}.png`);

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

/** The form for an ONNX file of tests/golden/exports. @param {Page} page @param {string} name @param {string} about */
async function drop(page, name, about) {
  const buffer = await readFile(join(TOP, `tests/golden/exports/${name}.onnx`));
  await page.setInputFiles('#chooser', { name: `${name}.onnx`, mimeType: '', buffer });
  const form = page.getByRole('dialog', { name: 'Your own model' });
  await form.getByText(about).waitFor({ timeout: 60_000 });
  return form;
}

/** @param {import('playwright-core').Locator} form */
async function taken(form) {
  await form.getByRole('button', { name: 'Check and use' }).click();
  await form.getByText('is checked, packed and in use').waitFor({ timeout: 60_000 });
  await form.getByRole('button', { name: 'Go on' }).click();
}

test('an ONNX file with one score decides between two classes, each with its heatmap', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  const form = await drop(page, 'logit', 'knows 1 class.');
  assert.equal(await form.getByLabel('Output').inputValue(), 'sigmoid');
  assert.ok(
    await form
      .getByLabel('Output')
      .locator('option[value="softmax"]')
      .evaluate((option) => /** @type {HTMLOptionElement} */ (option).disabled),
  );
  await form.getByLabel('Labels').fill('sound');
  await form.getByText('1 label for 1 class').waitFor();
  await form.getByLabel('Labels').fill('sound\nbroken');
  await form.getByText('2 labels, one per class').waitFor();
  await taken(form);
  await sample(page, 0);
  await verdict(page, /sound|broken/);
  const [first, second] = await page.locator('.class-value').allInnerTexts();
  assert.equal(parseInt(first ?? '', 10) + parseInt(second ?? '', 10), 100, 'nothing is left for a third');
  await page
    .getByRole('button', { name: /Compare with/ })
    .last()
    .click();
  await page.getByText('share').waitFor({ timeout: 60_000 });
  const titles = await page.locator('.where h3').allInnerTexts();
  assert.deepEqual(titles.slice(0, 2).sort(), ['Evidence for “broken”', 'Evidence for “sound”']);
  await page.screenshot({ path: shot('two-classes') });
  await context.close();
});

test('a single label gets its negative', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  const form = await drop(page, 'probability', 'It ends in its own sigmoid.');
  await form.getByLabel('Labels').fill('cracked');
  await taken(form);
  await sample(page, 0);
  await verdict(page, /cracked/);
  const labels = await page.locator('.class-label').allInnerTexts();
  assert.deepEqual(labels.sort(), ['cracked', 'not cracked']);
  await context.close();
});

test('a number is shown with its unit, and what raises and lowers it', async () => {
  const { page, context, complaints } = await here.visit({ query: '?preload=lazy' });
  const form = await drop(page, 'age', 'knows 1 class.');
  assert.ok(await form.getByLabel('Unit of the number').isHidden());
  await form.getByLabel('Output').selectOption('none');
  await form.getByLabel('Unit of the number').fill('years');
  await form.getByLabel('Labels').fill('age');
  await taken(form);
  await page.setInputFiles('#chooser', [photo('coffee.png'), photo('chelsea.png')]);
  await page.locator('.tile[data-status="done"]').nth(1).waitFor({ timeout: 60_000 });
  assert.match(await verdict(page), /^[-−]?\d+\.\d\d years$/);
  assert.match(await said(page), /The model’s estimate.*years\s+age/s);
  assert.match(await page.locator('.tile-value').first().innerText(), /^[-−]?\d+\.\d\d years$/);
  assert.equal(await page.locator('.class:visible, .search:visible, .threshold:visible').count(), 0);
  const sides = page.getByRole('group', { name: 'Show what' });
  assert.deepEqual(await sides.locator('label').allInnerTexts(), ['raises it', 'lowers it', 'both']);
  for (const [side, title] of /** @type {const} */ ([
    ['both', 'What raises and lowers it'],
    ['lowers it', 'What lowers it'],
  ])) {
    await sides.getByRole('radio', { name: side }).check();
    await page.locator('.where h3', { hasText: title }).waitFor({ timeout: 60_000 });
    assert.deepEqual(await page.locator('.where h3').allInnerTexts(), [title]);
  }
  assert.ok(await page.getByLabel('Question').isHidden());
  await page.screenshot({ path: shot('number') });
  await page.getByLabel('Method').selectOption('occlusion');
  await page.locator('.where h3', { hasText: 'What lowers it' }).first().waitFor({ timeout: 60_000 });
  assert.deepEqual(complaints, []);
  await context.close();
});

test('where several outputs may hold the scores, one is chosen', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  const form = await drop(page, 'questions', 'knows 2 classes.');
  const chooser = form.getByLabel('Scores from');
  assert.deepEqual(await chooser.locator('option').allInnerTexts(), ['gender (2 classes)', 'mood (4 classes)']);
  await page.screenshot({ path: shot('chooser') });
  await chooser.selectOption('mood');
  await form.getByText('knows 4 classes.').waitFor({ timeout: 60_000 });
  assert.equal(await chooser.inputValue(), 'mood');
  await taken(form);
  await sample(page, 0);
  await verdict(page, /class \d/);
  assert.equal(await page.locator('.class').count(), 4);
  await context.close();
});

test('an auxiliary head is no question, a dictionary of labels none either', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  const form = await drop(page, 'auxiliary', 'knows 5 classes.');
  assert.ok(await form.getByLabel('Scores from').isHidden());
  await form.getByRole('button', { name: 'Close' }).click();
  const other = await drop(page, 'dictionary', 'knows 3 classes.');
  assert.equal(await other.getByLabel('Labels').inputValue(), 'cat\ndog\nowl');
  await taken(other);
  await sample(page, 0);
  await verdict(page, /cat|dog|owl/);
  await context.close();
});

test('a graph that takes whole numbers is given pixels as they are', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  const form = await drop(page, 'uint8-cast', 'knows 5 classes.');
  assert.equal(await form.getByLabel('Pixel values').inputValue(), 'raw');
  await form.getByText('pixel values from the graph').waitFor();
  await taken(form);
  await sample(page, 0);
  await verdict(page, /class \d/);
  await context.close();
});

test('21,841 classes are searched by a word', async () => {
  const labels = Array.from({ length: 21_841 }, (_, index) => `class ${index}`);
  here.server.put('/models/many/', {
    ...folder({ onnx: classifier({ classes: labels.length, wide: 16 }) }),
    'labels.txt': Buffer.from(labels.join('\n')),
  });
  const { page, context } = await here.visit({ query: `?preload=lazy&model=${encodeURIComponent('/models/many/')}` });
  await sample(page, 0);
  await verdict(page, /class \d/);
  await page.getByLabel('Search 21841 classes').fill('class');
  await page.getByText('21841 classes', { exact: true }).waitFor();
  assert.equal(await page.locator('.class').count(), 10);
  await page.getByLabel('Search 21841 classes').fill('class 21840');
  await page.getByText('1 class', { exact: true }).waitFor();
  assert.equal(await page.locator('.class-label').innerText(), 'class 21840');
  await page.locator('.class').click();
  await page.locator('.where h3', { hasText: 'class 21840' }).waitFor({ timeout: 60_000 });
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
