// what exporters write, dropped on the page: a folder, a zip or single files that say all leave no question

import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TOP } from '../web/server.js';
import { place, sample, verdict } from './visit.js';

const GOLDEN = join(TOP, 'tests/golden/sources');
const LABELS = ['tench, a fish', 'gold fish', "jack-o'-lantern", 'été', 'espresso'];

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
/** @type {string} */
let scratch;
before(async () => {
  here = await place();
  scratch = await mkdtemp(join(tmpdir(), 'whylens-page-sources-'));
});
after(async () => {
  await here?.close();
  await rm(scratch, { recursive: true });
});

/** Drops real files and folders, as a file manager does. @param {import('./visit.js').Page} page @param {string[]} files */
async function drop(page, files) {
  await page.locator('.sample').first().waitFor();
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of /** @type {const} */ (['dragEnter', 'dragOver', 'drop']))
    await session.send('Input.dispatchDragEvent', { type, x: 300, y: 300, data });
  await session.detach();
}

/** The likeliest class of the sample `coffee`, by the exporter's own Python code. @param {string} kind */
async function answer(kind) {
  const answers = JSON.parse((await readFile(join(GOLDEN, 'answers.json'))).toString());
  const shares = /** @type {number[]} */ (answers[kind]['coffee.png']);
  const largest = Math.max(...shares);
  return { label: /** @type {string} */ (LABELS[shares.indexOf(largest)]), percent: 100 * largest };
}

/** The files of a processor of transformers, as a folder. @param {string} name */
async function processor(name) {
  const folder = join(scratch, name);
  await mkdir(folder);
  await cp(join(GOLDEN, 'processors', `${name}.json`), join(folder, 'preprocessor_config.json'));
  await cp(join(GOLDEN, 'processors/model.onnx'), join(folder, 'model.onnx'));
  const labels = Object.fromEntries(LABELS.map((label, at) => [at, label]));
  await writeFile(join(folder, 'config.json'), JSON.stringify({ id2label: labels }));
  return folder;
}

/** @type {[string, () => Promise<string[]>, RegExp][]} */
const KINDS = [
  ['optimum', async () => [join(GOLDEN, 'optimum')], /labels, output from .*config\.json; resize, pixel values/],
  ['optimum-cli', async () => [join(GOLDEN, 'optimum-cli')], /resize, pixel values.* from .*preprocessor_config\.json/],
  ['timm', async () => [join(GOLDEN, 'timm')], /labels, .*from timm\/config\.json/],
  ['ultralytics', async () => [join(GOLDEN, 'ultralytics/birds.onnx')], /labels, .*from the notes in the file/],
  ['lobe', async () => [join(GOLDEN, 'lobe')], /from lobe\/signature\.json/],
  ['teachable-machine.zip', async () => [join(GOLDEN, 'teachable-machine.zip')], /from my model\/metadata\.json/],
  ['custom-vision.zip', async () => [join(GOLDEN, 'custom-vision.zip')], /labels from labels\.txt/],
  ['processors/deit', async () => [await processor('deit')], /from deit\/preprocessor_config\.json/],
  ['processors/pp-lcnet', async () => [await processor('pp-lcnet')], /order of colours/],
  ['processors/mobilevit', async () => [await processor('mobilevit')], /order of colours/],
];

for (const [kind, files, read] of KINDS) {
  test(`${kind}: dropped, nothing is asked, and the answer is that of its own Python code`, async () => {
    const { page, context, complaints, requests } = await here.visit({ query: '?preload=lazy' });
    await drop(page, await files());
    const dialog = page.getByRole('dialog', { name: 'Your own model' });
    await dialog.getByText('is checked, packed and in use.').waitFor({ timeout: 60_000 });
    assert.match(await dialog.locator('.facts').innerText(), read);
    await dialog.getByRole('button', { name: 'Go on' }).click();
    await sample(page, 1);
    const { label, percent } = await answer(kind);
    await verdict(page, label);
    const said = await page.locator('.class-value').first().innerText();
    assert.ok(Math.abs(parseFloat(said) - percent) <= 1, `${said}; expected ${percent} %`);
    assert.ok(requests.every((request) => request.method() === 'GET'));
    assert.deepEqual(complaints, []);
    await context.close();
  });
}

test('what no file says is asked, with what they say filled in', async () => {
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  await drop(page, [join(GOLDEN, 'keras')]);
  const form = page.getByRole('dialog', { name: 'Your own model' });
  await form
    .getByText('labels from keras/imagenet_class_index.json; pixel values, order of colours from the graph')
    .waitFor({
      timeout: 60_000,
    });
  await form.getByText('No file says: resize. Please check these.').waitFor();
  assert.equal(await form.getByLabel('Labels').inputValue(), LABELS.join('\n'));
  assert.equal(await form.getByLabel('Pixel values').inputValue(), 'raw');
  await form.locator('small', { hasText: 'From the graph' }).waitFor();
  assert.equal(await form.getByRole('combobox', { name: /^Size/ }).inputValue(), 'crop');
  await form.getByRole('button', { name: 'Check and use' }).click();
  await form.getByText('is checked, packed and in use.').waitFor({ timeout: 60_000 });
  await context.close();
});

test('files that contradict each other are told, and the reader chooses', async () => {
  const folder = join(scratch, 'two');
  await cp(join(GOLDEN, 'optimum'), folder, { recursive: true });
  await writeFile(join(folder, 'labels.txt'), 'one\ntwo\nthree\nfour\nfive\n');
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  await drop(page, [folder]);
  const form = page.getByRole('dialog', { name: 'Your own model' });
  await form.getByText('Two files contradict each other (labels)').waitFor({ timeout: 60_000 });
  assert.equal(await form.getByLabel('Labels').inputValue(), '');
  await context.close();
});

test('a zip that is damaged, or holds no model, is told', async () => {
  const whole = await readFile(join(GOLDEN, 'custom-vision.zip'));
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  for (const [name, buffer, said] of /** @type {[string, Buffer, string][]} */ ([
    ['cut.zip', whole.subarray(0, 5000), 'The file ended too early.'],
    ['photos.zip', Buffer.from(`PK\x05\x06${'\0'.repeat(18)}`), 'This file is not an ONNX model.'],
  ])) {
    await page.setInputFiles('#chooser', { name, mimeType: 'application/zip', buffer });
    await page.locator('.alert-view', { hasText: said }).waitFor({ timeout: 60_000 });
    assert.match(await page.locator('.alert-view').innerText(), new RegExp(name));
  }
  await context.close();
});
