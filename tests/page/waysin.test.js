// every way in ends at a verdict

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { FIREFOX } from '../web/browser.js';
import { folder as modelFiles } from '../web/onnx.js';
import { Server, TOP } from '../web/server.js';
import { photo, photoBytes, place, ready, sample, verdict } from './visit.js';

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
});
after(() => here?.close());

test('a chosen photo', async () => {
  const { page, complaints, context } = await here.visit();
  await page.setInputFiles('#chooser', photo('chelsea.png'));
  assert.match(await verdict(page), /cat/i);
  assert.deepEqual(complaints, []);
  await context.close();
});

test('a photo chosen before the model is ready is next', async () => {
  const { page, context } = await here.visit();
  await page.setInputFiles('#chooser', photo('coffee.png'));
  assert.match(await verdict(page), /espresso/i);
  await context.close();
});

test('a dropped photo, anywhere on the page', async () => {
  const { page, context } = await here.visit();
  await drop(page, 'header', [await photoBytes('chelsea.png')], 'chelsea.png', 'image/png');
  assert.match(await verdict(page), /cat/i);
  assert.equal(await page.locator('body[data-over]').count(), 0);
  await context.close();
});

const noClipboard = { skip: FIREFOX && 'its clipboard cannot be filled from outside' };

test('a pasted photo', noClipboard, async () => {
  const { page, context } = await here.visit();
  const bytes = [...(await photoBytes('rocket.jpg'))];
  await page.evaluate((bytes) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], 'rocket.jpg', { type: 'image/jpeg' }));
    document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }));
  }, bytes);
  assert.match(await verdict(page), /missile/i);
  await context.close();
});

test('the clipboard, by its button', noClipboard, async () => {
  const { page, context } = await here.visit({ permissions: ['clipboard-read', 'clipboard-write'] });
  const bytes = [...(await photoBytes('coffee.png'))];
  await page.evaluate(
    (bytes) =>
      navigator.clipboard.write([
        new ClipboardItem({ 'image/png': new Blob([new Uint8Array(bytes)], { type: 'image/png' }) }),
      ]),
    bytes,
  );
  await page.getByRole('button', { name: 'Paste', exact: true }).click();
  assert.match(await verdict(page), /espresso/i);
  await context.close();
});

test('an empty clipboard is said', noClipboard, async () => {
  const { page, context } = await here.visit({ permissions: ['clipboard-read', 'clipboard-write'] });
  await page.evaluate(() => navigator.clipboard.writeText('no picture'));
  await page.getByRole('button', { name: 'Paste', exact: true }).click();
  await page.getByText('no picture on the clipboard').waitFor();
  await context.close();
});

for (const [at, name, wanted] of /** @type {const} */ ([
  [0, 'chelsea', /cat/i],
  [1, 'coffee', /espresso/i],
  [2, 'rocket', /missile/i],
  [3, 'astronaut', /helmet/i],
]))
  test(`the sample ${name}`, async () => {
    const { page, context } = await here.visit();
    await sample(page, at);
    assert.match(await verdict(page), wanted);
    await context.close();
  });

test('an address whose server allows it, and one that does not', async () => {
  const { page, context } = await here.visit();
  const body = await photoBytes('coffee.png');
  await page.route('https://open.example/**', (route) =>
    route.fulfill({ body, contentType: 'image/png', headers: { 'access-control-allow-origin': '*' } }),
  );
  await page.route('https://shut.example/**', (route) => route.abort('failed'));
  await page.getByRole('button', { name: 'Link', exact: true }).click();
  const address = page.getByLabel('Address of a picture');
  await address.fill('https://shut.example/coffee.png');
  await page.getByRole('button', { name: 'Fetch' }).click();
  await page.getByText('does not let other pages read the picture').waitFor();
  await address.fill('https://open.example/coffee.png');
  await page.getByRole('button', { name: 'Fetch' }).click();
  assert.match(await verdict(page), /espresso/i);
  await context.close();
});

test('the camera: live, then a photo, then off', async () => {
  const { page, context } = await here.visit({ permissions: ['camera'] });
  await ready(page);
  await page.getByRole('button', { name: 'Camera', exact: true }).click();
  await page.waitForSelector('.photo video');
  await page.waitForSelector('.overlay:not([hidden])');
  const first = await page.locator('.times dd').last().innerText();
  await page.waitForFunction(
    (first) => [...document.querySelectorAll('.times dd')].at(-1)?.textContent !== first,
    first,
  );
  await page.getByRole('button', { name: 'Take photo' }).click();
  await page.waitForSelector('.photo .seen');
  await verdict(page);
  assert.equal(await page.locator('.photo video').count(), 0);
  await context.close();
});

test('no camera is said', async () => {
  const { page, context } = await here.visit({
    before: (page) =>
      page.addInitScript(() => {
        navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotFoundError'));
      }),
  });
  await page.getByRole('button', { name: 'Camera', exact: true }).click();
  await page.getByText('No camera can be used here').waitFor();
  await context.close();
});

/**
 * What the service worker keeps from a share.
 * @param {import('playwright-core').Page} page
 * @param {string} name
 * @param {Buffer} bytes
 */
const keepShared = (page, name, bytes) =>
  page.evaluate(
    async ([name, bytes]) => {
      const cache = await caches.open('whylens shared /');
      await cache.put(
        `/shared/${name}`,
        new Response(new Uint8Array(bytes), {
          headers: { 'content-type': name.endsWith('.png') ? 'image/png' : '', 'x-name': encodeURIComponent(name) },
        }),
      );
    },
    /** @type {[string, number[]]} */ ([name, [...bytes]]),
  );

test('photos that the service worker kept from a share, once the reader wants them', async () => {
  const { page, context } = await here.visit();
  await keepShared(page, 'my cat.png', await photoBytes('chelsea.png'));
  await page.goto(`${here.server.url}/index.html?shared`);
  await page.getByText('A photo was shared with this page.').waitFor();
  await page.getByText('my cat.png').waitFor();
  await ready(page);
  assert.equal(await page.locator('.verdict:visible').count(), 0, 'not by itself');
  await page.getByRole('button', { name: 'Yes, use it' }).click();
  assert.match(await verdict(page), /cat/i);
  assert.equal(await page.evaluate(() => caches.has('whylens shared /')), false);
  await context.close();
});

test('what was shared and is not wanted is gone', async () => {
  const { page, context } = await here.visit();
  await keepShared(page, 'my cat.png', await photoBytes('chelsea.png'));
  await page.goto(`${here.server.url}/index.html?shared`);
  await page.getByRole('button', { name: 'No', exact: true }).click();
  await ready(page);
  await sample(page, 1);
  assert.match(await verdict(page), /espresso/i);
  assert.equal(await page.locator('.tile').count(), 0, 'there is one photo');
  await page.goto(`${here.server.url}/index.html?shared`);
  await ready(page);
  assert.equal(await page.locator('dialog[open]').count(), 0);
  await context.close();
});

test('a model that is shared with its model.json is only offered, by its name', async () => {
  const { page, context } = await here.visit();
  for (const [name, bytes] of Object.entries(modelFiles({ name: 'Stranger' }))) await keepShared(page, name, bytes);
  await page.goto(`${here.server.url}/index.html?shared`);
  await page.getByText('A model was shared with this page.').waitFor();
  await page.getByText('model.onnx').waitFor();
  await ready(page);
  const model = page.locator('#tools');
  assert.match(await model.innerText(), /EfficientNet/);
  await page.getByRole('button', { name: 'Yes, use it' }).click();
  await page.locator('.model-button', { hasText: 'Stranger' }).waitFor({ timeout: 60_000 });
  await context.close();
});

test('a link names a model of another site: nothing is asked of that site before the reader wants it', async () => {
  const other = await new Server({ 'access-control-allow-origin': '*' }).start();
  other.put('/evil/', modelFiles({ name: 'Evil' }));
  const { page, context } = await here.visit({ query: `?model=${encodeURIComponent(`${other.url}/evil/`)}` });
  await page.getByText(`a model on another site, ${new URL(other.url).host}`).waitFor();
  await ready(page);
  assert.match(await page.locator('#tools').innerText(), /EfficientNet/);
  assert.deepEqual(other.seen, []);
  await page.getByRole('button', { name: 'No', exact: true }).click();
  assert.deepEqual(other.seen, []);
  await other.stop();
  await context.close();
});

test('a format that the browser cannot show is decoded for the page, and can be saved', async () => {
  const { page, context } = await here.visit();
  await page.setInputFiles('#chooser', join(TOP, 'tests/golden/photos/tiff-lzw.tif'));
  await verdict(page);
  await page.waitForSelector('.photo .seen');
  const save = page.getByRole('button', { name: 'Save picture' });
  // Playwright hears of no downloads in Firefox over WebDriver BiDi: there the link is looked at.
  const name = FIREFOX
    ? await page
        .evaluate(() => {
          HTMLAnchorElement.prototype.click = function () {
            document.title = this.download;
          };
        })
        .then(() => save.click())
        .then(() => page.waitForFunction(() => /\.png$/.test(document.title) && document.title))
        .then((title) => title.jsonValue())
    : (await Promise.all([page.waitForEvent('download'), save.click()]))[0].suggestedFilename();
  assert.equal(name, 'tiff-lzw-whylens.png');
  await context.close();
});

test('a file that is not a picture is reported, and the next photo works', async () => {
  const { page, context } = await here.visit();
  // A PNG that says it has 20000 × 20000 pixels.
  const large = Buffer.from(
    '89504e470d0a1a0a0000000d4948445200004e2000004e2008020000006c12d16e0000001449444154789cedc13101000000c2a0f54f6d0d0fa000000041d3419d0000000049454e44ae426082',
    'hex',
  );
  const cut = (await photoBytes('coffee.png')).subarray(0, 4000);
  for (const [name, buffer, said] of /** @type {[string, Buffer, string][]} */ ([
    ['empty.png', Buffer.alloc(0), 'cannot be read as a picture'],
    ['notes.jpg', Buffer.from('only words'), 'cannot be read as a picture'],
    ['cut.png', cut, 'damaged'],
    ['large.png', large, 'too large'],
  ])) {
    await page.setInputFiles('#chooser', { name, mimeType: 'image/png', buffer });
    await page.locator('.alert-view', { hasText: name }).waitFor({ timeout: 60_000 });
    assert.match(await page.locator('.alert-view strong').innerText(), new RegExp(said));
  }
  await page.setInputFiles('#chooser', photo('coffee.png'));
  assert.match(await verdict(page), /espresso/i);
  assert.equal(await page.locator('.alert-view:visible').count(), 0);
  await context.close();
});

test('a drawing that would keep the browser busy is said, never shown, and the next photo works', async () => {
  const { page, context } = await here.visit();
  const uses = Array.from(
    { length: 9 },
    (_, at) => `<g id="a${at + 1}">${`<use href="#a${at}" x="1"/>`.repeat(8)}</g>`,
  ).join('');
  const buffer = Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200"><defs><rect id="a0" width="9" height="9"/>${uses}</defs><use href="#a9"/></svg>`,
  );
  await page.setInputFiles('#chooser', photo('rocket.jpg'));
  await verdict(page);
  await page.setInputFiles('#chooser', { name: 'busy.svg', mimeType: 'image/svg+xml', buffer });
  await page.locator('.alert-view strong', { hasText: 'too large' }).waitFor({ timeout: 60_000 });
  assert.equal(await page.locator('.photo img[src]').count(), 0, 'nor is the photo before it');
  await page.setInputFiles('#chooser', photo('coffee.png'));
  assert.match(await verdict(page), /espresso/i);
  await context.close();
});

test('a photo chosen while another is looked at takes its place', async () => {
  const { page, context } = await here.visit();
  await page.setInputFiles('#chooser', photo('rocket.jpg'));
  await page.setInputFiles('#chooser', photo('chelsea.png'));
  await page.setInputFiles('#chooser', photo('coffee.png'));
  assert.match(await verdict(page), /espresso/i);
  await page.waitForTimeout(1500);
  assert.match(await page.locator('.verdict').innerText(), /espresso/i);
  await context.close();
});

/**
 * @param {import('playwright-core').Page} page
 * @param {string} target
 * @param {Buffer[]} files
 * @param {string} name
 * @param {string} type
 */
async function drop(page, target, files, name, type) {
  const data = await page.evaluateHandle(
    ({ files, name, type }) => {
      const data = new DataTransfer();
      for (const bytes of files) data.items.add(new File([new Uint8Array(bytes)], name, { type }));
      return data;
    },
    { files: files.map((file) => [...file]), name, type },
  );
  for (const event of ['dragenter', 'dragover', 'drop'])
    await page.dispatchEvent(target, event, { dataTransfer: data });
}
