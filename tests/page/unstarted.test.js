// The page where it cannot start: it says why, and what to do.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { FIREFOX, browse } from '../web/browser.js';
import { Server, TOP } from '../web/server.js';

const server = new Server();
/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  await server.start();
  browser = await browse();
});
after(async () => {
  await browser?.close();
  await server.stop();
});

/**
 * @param {(page: import('playwright-core').Page) => Promise<import('playwright-core').Page |
 *   import('playwright-core').Frame>} open
 * @param {import('playwright-core').BrowserContextOptions} [options]
 */
async function unstarted(open, options) {
  const context = await browser.newContext(options);
  const notice = (await open(await context.newPage())).locator('#unstarted');
  // Its style sheet hides it for the first seconds.
  for (let text = '', tried = 0; !/has not started/.test(text); tried += 1) {
    assert.ok(tried < 100, `it says "${text}"`);
    await new Promise((resolve) => setTimeout(resolve, 200));
    text = await notice.innerText();
  }
  await context.close();
}

test('opened from a disk', { skip: FIREFOX && 'it starts there' }, () =>
  unstarted(async (page) => {
    await page.goto(pathToFileURL(join(TOP, 'index.html')).href);
    return page;
  }),
);

test('without scripts', { skip: FIREFOX && 'a page without scripts cannot be read by WebDriver' }, () =>
  unstarted(
    async (page) => {
      await page.goto(`${server.url}/index.html`);
      return page;
    },
    { javaScriptEnabled: false },
  ),
);

test('at the address of a folder without its slash', () =>
  unstarted(async (page) => {
    const html = await (await page.request.get(`${server.url}/index.html`)).body();
    server.behave('/sub/site', { body: html, type: 'text/html' });
    server.put('/sub/', { site: html });
    await page.goto(`${server.url}/sub/site`);
    return page;
  }));

test('in a sandboxed frame', () =>
  unstarted(async (page) => {
    await page.goto(`${server.url}/blank.html`);
    await page.evaluate(() => {
      const frame = Object.assign(document.createElement('iframe'), { src: '/index.html' });
      frame.setAttribute('sandbox', 'allow-scripts');
      document.body.append(frame);
    });
    await page.waitForFunction(() => frames.length === 1);
    const frame = page.frames()[1];
    assert.ok(frame);
    return frame;
  }));

test('with a script that does not arrive', () =>
  unstarted(async (page) => {
    await page.route('**/page/session.js', (route) => route.abort());
    await page.goto(`${server.url}/index.html`);
    return page;
  }));

test('it is gone as soon as the page has started, and never seen', async () => {
  const page = await (await browser.newContext()).newPage();
  await page.addInitScript(() => {
    addEventListener('animationend', ({ target }) => {
      if (target instanceof Element && target.id === 'unstarted') document.title = 'seen';
    });
  });
  await page.goto(`${server.url}/index.html`);
  await page.waitForSelector('#intake button, #intake label');
  assert.equal(await page.locator('#unstarted').count(), 0);
  assert.notEqual(await page.title(), 'seen');
  await page.context().close();
});

test('without WebAssembly the error says so', async () => {
  const page = await (await browser.newContext()).newPage();
  await page.route('**/worker/worker.js*', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `delete globalThis.WebAssembly;\n${await response.text()}` });
  });
  await page.goto(`${server.url}/index.html`);
  await page.waitForFunction(() => document.querySelector('#alert')?.textContent?.includes('Lockdown Mode'));
  await page.context().close();
});
