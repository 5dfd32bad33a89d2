// addresses of models that are not model folders: one of the Hugging Face Hub, or an ONNX file anywhere

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Hub } from '../web/hub.js';
import { Server, TOP } from '../web/server.js';
import { place, sample, verdict } from './visit.js';

const GOLDEN = join(TOP, 'tests/golden/sources');
const read = (/** @type {string} */ name) => readFile(join(GOLDEN, name));

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
/** @type {Hub} */
let hub;

before(async () => {
  const files = {
    'README.md': Buffer.from('# Birds'),
    'config.json': await read('optimum/config.json'),
    'preprocessor_config.json': await read('optimum/preprocessor_config.json'),
    'onnx/model.onnx': await read('optimum/onnx/model.onnx'),
    'onnx/model_quantized.onnx': await read('optimum/onnx/model_quantized.onnx'),
  };
  const repository = { model: 'acme/birds', files, cdn: 'https://cdn-lfs.hf.co' };
  hub = await new Hub(repository, { tls: true }).start();
  // The Hub's own address, so that the page is the one that readers have.
  const hosts = ['huggingface.co', 'cdn-lfs.hf.co'].map((host) => `MAP ${host} 127.0.0.1:${hub.port}`);
  here = await place([`--host-resolver-rules=${hosts.join(',')}`]);
});
after(() => here?.close());

/** @param {string} model @param {string} [more] */
const visit = (model, more = '') =>
  here.visit({ ignoreHTTPSErrors: true, query: `?preload=lazy${more}&model=${encodeURIComponent(model)}` });

/** @param {import('./visit.js').Page} page */
const dialog = (page) => page.getByRole('dialog', { name: 'Your own model' });

test('a link names a model of the Hub: after a yes it is fetched, packed and used, and nothing is asked', async () => {
  hub.paths();
  const { page, context, complaints, requests } = await visit('hf:acme/birds');
  await page.getByText('a model on another site, huggingface.co').waitFor();
  assert.deepEqual(hub.paths(), [], 'nothing is asked of the Hub before');
  await page.getByRole('button', { name: 'Yes, use it' }).click();
  await dialog(page).getByText('is checked, packed and in use.').waitFor({ timeout: 60_000 });
  assert.match(await dialog(page).locator('.facts').innerText(), /labels, output from birds\/config\.json/);
  const asked = hub.asked.splice(0);
  assert.deepEqual(
    asked.map(({ host, path }) => `${host}${path.replace(/[0-9a-f]{40}/, 'SHA')}`),
    [
      'huggingface.co/api/models/acme/birds/revision/main?blobs=true',
      'huggingface.co/acme/birds/resolve/SHA/config.json',
      'huggingface.co/acme/birds/resolve/SHA/preprocessor_config.json',
      'huggingface.co/acme/birds/resolve/SHA/onnx/model.onnx',
      'cdn-lfs.hf.co/cdn/onnx%2Fmodel.onnx?signature=1',
    ],
  );
  for (const { headers } of asked) assert.deepEqual([headers.cookie, headers.referer], [undefined, undefined]);
  const keep = dialog(page).getByRole('button', { name: 'Keep it on this device' });
  await keep.click();
  await keep.waitFor({ state: 'hidden' });
  await dialog(page).getByRole('button', { name: 'Go on' }).click();
  assert.equal(await page.locator('.model-button').innerText(), 'birds');
  await sample(page, 1);
  await verdict(page, /espresso|tench|gold fish|jack|été/);
  await page.locator('.model-button').click();
  await page.locator('.facts dd', { hasText: /^hf:acme\/birds$/ }).waitFor();
  assert.ok(requests.every((request) => request.method() === 'GET'));
  assert.deepEqual(complaints, []);

  await page.goto(`${here.server.url}/index.html?preload=lazy`);
  await page.locator('.model-button').click();
  await page.getByLabel('Models on this site').selectOption({ label: 'birds' });
  await sample(page, 2);
  await verdict(page, /espresso|tench|gold fish|jack|été/);
  assert.deepEqual(hub.paths(), [], 'the kept model needs no download');
  await context.close();
});

test('the reader names a model in the field for addresses, and may give up', async () => {
  const { page, context } = await here.visit({ ignoreHTTPSErrors: true, query: '?preload=lazy' });
  const before = hub.repository;
  hub.repository = { ...before, pace: 2000 };
  await page.locator('.model-button').click();
  await page.getByLabel('Address of another model').fill('https://huggingface.co/acme/birds');
  await page.getByRole('button', { name: 'Use it' }).click();
  await dialog(page)
    .getByText(/Downloading https:\/\/huggingface\.co\/acme\/birds: 0\.\d MB of 0\.2 MB/)
    .waitFor({ timeout: 60_000 });
  await dialog(page).getByRole('button', { name: 'Cancel' }).click();
  await dialog(page).waitFor({ state: 'hidden' });
  assert.equal(await page.locator('.alert-view:visible').count(), 0);
  hub.repository = before;
  // The page is as it was.
  await page.keyboard.press('Escape');
  await sample(page, 1);
  await verdict(page, /espresso/i);
  await context.close();
});

test('what cannot be had is told, with what to do, and can be tried again', async () => {
  const before = hub.repository;
  const { page, context } = await visit('hf:acme/birds');
  hub.repository = { ...before, refuses: 401 };
  await page.getByRole('button', { name: 'Yes, use it' }).click();
  const alert = page.locator('.alert-view');
  await alert.getByText('Download its files yourself, then drop them here.').waitFor({ timeout: 60_000 });
  assert.match(await alert.innerText(), /hf:acme\/birds/);
  hub.repository = { ...before, silent: true };
  await alert.getByRole('button', { name: 'Try again' }).click();
  await alert.getByText(/does not let other pages read/).waitFor({ state: 'attached', timeout: 60_000 });
  hub.repository = before;
  await alert.getByRole('button', { name: 'Try again' }).click();
  await dialog(page).getByText('is checked, packed and in use.').waitFor({ timeout: 60_000 });
  await context.close();
});

test('a model that is too large is refused before it is downloaded, and used anyway after a click', async () => {
  const { page, context } = await visit('hf:acme/birds', '&memory-limit=300000');
  hub.paths();
  await page.getByRole('button', { name: 'Yes, use it' }).click();
  const anyway = page.locator('.alert-view').getByRole('button', { name: /^Needs .*: use it anyway$/ });
  await anyway.waitFor({ timeout: 60_000 });
  assert.ok(hub.paths().every((path) => !path.includes('.onnx')));
  await anyway.click();
  await page.waitForFunction(() => document.querySelector('dialog.own-model[open], .alert-view:not([hidden])'));
  await context.close();
});

test('an address of an ONNX file on this site is fetched, and the form asks what it does not say', async () => {
  const { page, context, complaints } = await here.visit({
    query: '?preload=lazy&model=/tests/golden/models/keras-mobilenet-v2.onnx',
  });
  const form = dialog(page);
  await form.getByText('keras-mobilenet-v2.onnx, 1 MB. It takes 96 × 96').waitFor({ timeout: 60_000 });
  await form.getByRole('button', { name: 'Check and use' }).click();
  await form.getByText('“keras-mobilenet-v2” is checked, packed and in use.').waitFor({ timeout: 60_000 });
  assert.deepEqual(complaints, []);
  await context.close();
});

test('a closed site takes no model from elsewhere, and asks nothing of it', async () => {
  const index = (await readFile(join(TOP, 'index.html'))).toString();
  const closed = index.replace('<script type="module"', '<script type="module" data-closed');
  here.server.behave('/index.html', { body: Buffer.from(closed) });
  const other = await new Server({ 'access-control-allow-origin': '*' }).start();
  hub.paths();
  for (const model of ['hf:acme/birds', 'https://huggingface.co/acme/birds', `${other.url}/models/`]) {
    const { page, context } = await visit(model);
    await page.locator('.alert-view', { hasText: 'This site takes no models from other sites.' }).waitFor();
    await context.close();
  }
  assert.deepEqual([hub.paths(), other.seen], [[], []]);
  const { page, context } = await here.visit({ query: '?preload=lazy' });
  const code = await page.evaluate(async () => {
    const { fetchModel } = await import(String('/www/whylens.js'));
    return fetchModel('hf:acme/birds').catch((/** @type {any} */ error) => error.code);
  });
  assert.equal(code, 'forbidden');
  here.server.behave('/index.html');
  await other.stop();
  await context.close();
});
