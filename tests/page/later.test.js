// Parts of the page that are fetched with their first use: one that does not arrive is said, and nothing else is lost.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TOP } from '../web/server.js';
import { place, ready, verdict } from './visit.js';

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
});
after(() => here?.close());

const SAMPLE = (/** @type {string} */ name) => join(TOP, `www/samples/${name}.jpg`);

/** @typedef {import('./visit.js').Page} Page */

/**
 * What uses a part, the script that is missing at first, and what is there in the end.
 * @type {[string, string, (page: Page) => Promise<void>, (page: Page) => Promise<void>][]}
 */
const PARTS = [
  [
    'the settings',
    'views/settings.js',
    (page) => page.getByRole('button', { name: 'Settings' }).click(),
    (page) => page.locator('dialog[open]', { hasText: 'Settings' }).waitFor(),
  ],
  [
    'a script that a dialog imports',
    'views/dialog.js',
    (page) => page.locator('.model-button').click(),
    (page) => page.locator('dialog[open]', { hasText: 'Apache-2.0' }).waitFor(),
  ],
  [
    'the contact sheet',
    'views/sheet.js',
    (page) => page.setInputFiles('#chooser', [SAMPLE('coffee'), SAMPLE('chelsea')]),
    (page) => page.locator('#sheet .tile').nth(1).waitFor(),
  ],
  [
    'what saves a result',
    'download.js',
    (page) => page.getByRole('button', { name: 'Result (JSON)' }).click(),
    async (page) => {
      const saved = page.waitForEvent('download');
      await page.getByRole('button', { name: 'Result (JSON)' }).click();
      assert.match((await saved).suggestedFilename(), /\.json$/);
    },
  ],
];

for (const [name, script, use, isThere] of PARTS)
  test(`${name} can be had once the network is back`, async () => {
    const { page, context } = await here.visit();
    await ready(page);
    await page.setInputFiles('#chooser', SAMPLE('coffee'));
    await verdict(page);
    await page.waitForSelector('.overlay:not([hidden])');
    const path = `**/www/page/${script}*`;
    await page.route(path, (route) => route.abort());
    await use(page);
    await page.locator('#alert', { hasText: 'The connection failed.' }).waitFor();
    assert.match(await page.locator('.verdict').innerText(), /espresso|cat/i);
    await page.unroute(path);
    // A message that is gone, since another photo is shown meanwhile, needs no click.
    const again = page.locator('#alert').getByRole('button', { name: 'Try again' });
    await again.click({ timeout: 3000 }).catch(() => {});
    await isThere(page);
    await context.close();
  });

test('a first photo fetches none of them', async () => {
  const { page, context } = await here.visit();
  /** @type {string[]} */
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await page.reload();
  await ready(page);
  await page.setInputFiles('#chooser', SAMPLE('coffee'));
  await verdict(page);
  await page.waitForSelector('.overlay:not([hidden])');
  const parts = asked.filter((path) =>
    /\/(dialog|settings|model|ownmodel|adding|camera|sheet|picture|download)\.js$/.test(path),
  );
  assert.deepEqual(
    parts.filter((path) => !path.endsWith('/page/settings.js')),
    [],
  );
  assert.ok(asked.some((path) => path.endsWith('/views/stage.js')));
  await context.close();
});
