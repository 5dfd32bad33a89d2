// photos of other tabs and sites, in folders and in zips: dropped, pasted, chosen

import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { FIREFOX } from '../web/browser.js';
import { folder as modelFiles } from '../web/onnx.js';
import { TOP } from '../web/server.js';
import { photo, photoBytes, place, ready, verdict } from './visit.js';

/** @typedef {import('./visit.js').Page} Page */

const ARCHIVES = join(TOP, 'tests/page/archives');

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
/** Another site. */
const OTHER = 'https://open.example/pictures';
/** @type {string[]} what was asked of it */
let asked = [];
let scratch = '';
before(async () => {
  here = await place();
  scratch = await mkdtemp(join(tmpdir(), 'whylens-page-arriving-'));
});
after(async () => {
  await here?.close();
  await rm(scratch, { recursive: true });
});

/** A visit of somebody for whom the other site is there. @param {Parameters<typeof here.visit>[0]} [options] */
async function visit(options) {
  const answers = {
    'coffee.png': { body: await photoBytes('coffee.png'), contentType: 'image/png' },
    'page.html': { body: '<p>no picture', contentType: 'text/html' },
  };
  asked = [];
  const visited = await here.visit(options);
  await visited.page.route(`${OTHER}/**`, (route) => {
    asked.push(route.request().url());
    const name = new URL(route.request().url()).pathname.split('/').pop() ?? '';
    const answer = answers[/** @type {keyof typeof answers} */ (name)] ?? { status: 404, body: '' };
    return route.fulfill({ ...answer, headers: { 'access-control-allow-origin': '*' } });
  });
  return visited;
}

/**
 * A drag that begins elsewhere, with text of several types.
 * @param {Page} page
 * @param {Record<string, string>} data
 * @param {string} [target]
 * @returns {Promise<boolean[]>} whether the page kept the browser from doing what it does, at each event
 */
const drag = (page, data, target = 'body') =>
  page.evaluate(([data, target]) => {
    const dataTransfer = new DataTransfer();
    for (const [type, text] of Object.entries(data)) dataTransfer.setData(type, text);
    return ['dragenter', 'dragover', 'drop'].map((type) => {
      const event = new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true });
      document.querySelector(target)?.dispatchEvent(event);
      return event.defaultPrevented;
    });
  }, /** @type {const} */ ([data, target]));

const alert = (/** @type {Page} */ page, /** @type {string | RegExp} */ hasText) =>
  page.locator('.alert-view', { hasText }).waitFor({ timeout: 60_000 });

test('a picture that is dragged from another tab, also one within a link', async () => {
  const { page, context, complaints } = await visit();
  const picture = `${OTHER}/coffee.png`;
  await drag(page, { 'text/uri-list': picture });
  assert.match(await verdict(page), /espresso/i);
  await page.reload();
  const html = `<meta charset='utf-8'><a href="https://example.org/"><img alt="a > b" data-src="x" src="${picture}?a=1&amp;b=2"></a>`;
  await drag(page, { 'text/uri-list': 'https://example.org/', 'text/html': html });
  assert.match(await verdict(page), /espresso/i);
  assert.ok(asked.some((url) => url.endsWith('?a=1&b=2')));
  assert.deepEqual(complaints, []);
  await context.close();
});

test('a picture that is its own address', async () => {
  const { page, context } = await visit();
  const base64 = (await photoBytes('rocket.jpg')).toString('base64');
  await drag(page, { 'text/html': `<img src="data:image/jpeg;base64,${base64}">` });
  assert.match(await verdict(page), /missile/i);
  await context.close();
});

test('a picture that its site keeps, and an address without one, are said with what to do', async () => {
  const { page, context } = await visit();
  await page.route('https://shut.example/**', (route) => route.abort('failed'));
  for (const [address, said] of /** @type {const} */ ([
    ['https://shut.example/cat.jpg', /does not let other pages read.*Save the picture/s],
    [`${OTHER}/none.png`, /no picture at this address/],
    [`${OTHER}/page.html`, /no picture at this address/],
  ])) {
    await drag(page, { 'text/uri-list': `# a comment\r\n${address}` });
    // What is said of two of them is the same.
    await alert(page, address);
    assert.match(await page.locator('.alert-view').innerText(), said);
  }
  await context.close();
});

test('nothing that is dropped makes the browser leave the page; fields keep what is dropped into them', async () => {
  const { page, context } = await visit({ query: '?preload=lazy' });
  await page.locator('.sample').first().waitFor();
  const address = page.url();
  assert.deepEqual(await drag(page, { 'text/plain': 'words' }), [false, true, true]);
  assert.deepEqual(await drag(page, { 'text/html': '<b>words</b>', 'text/plain': 'words' }, 'footer'), [
    false,
    true,
    true,
  ]);
  await page.getByRole('button', { name: 'Link', exact: true }).click();
  await page.locator('dialog[open] input').waitFor();
  assert.deepEqual(await drag(page, { 'text/plain': 'words' }, 'dialog[open] input'), [false, false, false]);
  await page.keyboard.press('Escape');
  if (!FIREFOX) {
    // As a browser's own drag of a link ends.
    const session = await context.newCDPSession(page);
    const data = {
      items: [{ mimeType: 'text/uri-list', data: 'https://example.org/' }],
      files: [],
      dragOperationsMask: 1,
    };
    for (const type of /** @type {const} */ (['dragEnter', 'dragOver', 'drop']))
      await session.send('Input.dispatchDragEvent', { type, x: 5, y: 5, data });
    await alert(page, 'does not let other pages');
  }
  assert.equal(page.url(), address);
  assert.equal(await page.locator('.alert-view strong').count(), FIREFOX ? 0 : 1);
  await context.close();
});

test(
  'a pasted address, by the keyboard and by the button; text is left alone',
  { skip: FIREFOX && 'its clipboard cannot be filled from outside' },
  async () => {
    const { page, context } = await visit({ permissions: ['clipboard-read', 'clipboard-write'] });
    await ready(page);
    const paste = (/** @type {string} */ text) =>
      page.evaluate((text) => {
        const data = new DataTransfer();
        data.setData('text/plain', text);
        const event = new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true });
        document.body.dispatchEvent(event);
        return event.defaultPrevented;
      }, text);
    assert.equal(await paste('see https://example.org/a.jpg'), false);
    assert.equal(await paste(` ${OTHER}/coffee.png\n`), true);
    assert.match(await verdict(page), /espresso/i);
    await page.evaluate((text) => navigator.clipboard.writeText(text), `${here.server.url}/tests/photos/rocket.jpg`);
    await page.getByRole('button', { name: 'Paste', exact: true }).click();
    assert.match(await verdict(page, /missile/), /missile/i);
    await context.close();
  },
);

/** Drops real files and folders, as a file manager does. @param {Page} page @param {string[]} files */
async function dropFiles(page, files) {
  await page.locator('.sample').first().waitFor();
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of /** @type {const} */ (['dragEnter', 'dragOver', 'drop']))
    await session.send('Input.dispatchDragEvent', { type, x: 300, y: 300, data });
  await session.detach();
}

const names = (/** @type {Page} */ page) =>
  page.locator('.tile').evaluateAll((tiles) => tiles.map((tile) => /** @type {HTMLElement} */ (tile).title));

async function album() {
  const album = join(scratch, 'album');
  await mkdir(join(album, 'more'), { recursive: true });
  await cp(photo('coffee.png'), join(album, '10.png'));
  await cp(photo('rocket.jpg'), join(album, '9.jpg'));
  await cp(photo('chelsea.png'), join(album, 'more/cat.png'));
  for (const name of ['notes.txt', 'Thumbs.db', '.hidden.png', 'film.mp4'])
    await writeFile(join(album, name), 'no photo');
  return album;
}

test(
  'a folder of photos, dropped: its photos in order, and nothing else',
  { skip: FIREFOX && 'no real drops' },
  async () => {
    const folder = await album();
    const { page, context } = await visit();
    await dropFiles(page, [folder]);
    await page.locator('.tile[data-status="done"]').nth(2).waitFor({ timeout: 60_000 });
    assert.deepEqual(await names(page), ['9.jpg', '10.png', 'cat.png']);
    await context.close();
  },
);

test('a chosen folder: of photos, of a model, of neither', async () => {
  const { page, context } = await visit();
  const chooser = page.getByLabel('Folder').first();
  await chooser.setInputFiles(await album());
  await page.locator('.tile[data-status="done"]').nth(2).waitFor({ timeout: 60_000 });
  assert.deepEqual(await names(page), ['9.jpg', '10.png', 'cat.png']);
  const none = join(scratch, 'none');
  await mkdir(none);
  await writeFile(join(none, 'notes.txt'), 'words');
  await chooser.setInputFiles(none);
  await alert(page, 'There is no photo among these files.');
  const model = join(scratch, 'model');
  await mkdir(model);
  for (const [name, bytes] of Object.entries(modelFiles({ name: 'In a folder' })))
    await writeFile(join(model, name), bytes);
  await chooser.setInputFiles(model);
  await page.locator('.model-button', { hasText: 'In a folder' }).waitFor({ timeout: 60_000 });
  await context.close();
});

for (const name of ['photos.zip', 'prefixed.zip'])
  test(`${name}: its photos by name, packed or not; hidden files and texts are left out`, async () => {
    const { page, context, complaints } = await visit();
    await page.setInputFiles('#chooser', join(ARCHIVES, name));
    await page.locator('.tile[data-status="done"]').nth(2).waitFor({ timeout: 60_000 });
    assert.deepEqual(await names(page), ['9.png', '10.jpg', 'hà nội.tif']);
    assert.equal(await page.locator('.alert-view strong').count(), 0);
    assert.deepEqual(complaints, []);
    await context.close();
  });

test('zips that are too large, encrypted or damaged', async () => {
  const { page, context } = await visit();
  await page.setInputFiles('#chooser', join(ARCHIVES, 'large.zip'));
  await alert(page, /large\.zip.*too large together/s);
  await page.setInputFiles('#chooser', join(ARCHIVES, 'encrypted.zip'));
  await alert(page, /encrypted\.zip.*cannot be read here/s);
  for (const [name, broken] of /** @type {const} */ ([
    ['liar.zip', 'zeros.bmp'],
    ['cut.zip', 'cut.jpg'],
  ])) {
    await page.setInputFiles('#chooser', join(ARCHIVES, name));
    await page.locator(`.tile[title^="${broken}"][data-status="failed"]`).waitFor({ timeout: 60_000 });
    await page.locator('.tile[title="fine.png"][data-status="done"]').waitFor({ timeout: 60_000 });
    await page.getByRole('button', { name: 'Clear' }).click();
  }
  await context.close();
});
