// the layout in any face: a machine's own fonts, wide ones, and the longest words that a model may bring

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CLASSES, folder } from '../web/onnx.js';
import { TOP } from '../web/server.js';
import { photo, photoBytes, place, ready, sample, verdict } from './visit.js';

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
  const word = (/** @type {string} */ start) => start + 'Wm'.repeat(90);
  const labels = Array.from({ length: CLASSES }, (_, at) =>
    at % 2 ? word(`class ${at} `) : `<img src=x onerror="hacked()"> ${at} ${'a quite long name '.repeat(8)}`,
  );
  const files = folder({
    change: (manifest) => {
      for (const field of ['name', 'version', 'license', 'source', 'disclaimer']) manifest[field] = word(field);
    },
  });
  here.server.put('/models/long/', { ...files, 'labels.txt': Buffer.from(labels.join('\n')) });
});
after(() => here?.close());

/** Those that are missing here are replaced by another one. */
const FACES = {
  own: '',
  ...Object.fromEntries(
    ['DejaVu Sans', 'DejaVu Serif', 'Liberation Sans', 'Noto Sans', 'monospace'].map((face) => [
      face,
      `:root { --text: "${face}"; --engraved: "${face}"; }`,
    ]),
  ),
  // WCAG 1.4.12: what a reader may set. Wider than any face for text.
  wide: ':root { --text: "DejaVu Sans", sans-serif; --engraved: var(--text); } * { letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }',
};
const WIDTHS = [320, 390, 1280];

/** @typedef {import('playwright-core').Page} Page */
/** @type {Record<string, (page: Page) => Promise<unknown>>} */
const STATES = {
  empty: ready,
  result: async (page) => {
    await sample(page, 0);
    await verdict(page);
    await page.locator('.versus').nth(1).click();
    await page.waitForFunction(() => document.querySelectorAll('.overlay:not([hidden])').length === 2);
    await page.locator('.part-tools button').first().click();
    await page.locator('[data-choosing="true"] > .part').press('Shift+ArrowLeft');
    await page.locator('.part-tools button').nth(1).waitFor();
  },
  batch: async (page) => {
    const buffer = await photoBytes('rocket.jpg');
    await page.setInputFiles('#chooser', [
      { name: `${'x'.repeat(500)}.jpg`, mimeType: 'image/jpeg', buffer },
      { name: `${'y'.repeat(500)}.jpg`, mimeType: 'image/jpeg', buffer: buffer.subarray(0, 300) },
    ]);
    await page.locator('.tile[data-status="done"]').waitFor({ timeout: 60_000 });
    await page.locator('.tile[data-status="failed"]').waitFor({ timeout: 60_000 });
  },
  error: async (page) => {
    await page.setInputFiles('#chooser', photo('README.md'));
    await page.locator('.alert-view').waitFor({ timeout: 60_000 });
    await page.locator('.alert-view summary').click();
  },
  settings: async (page) => {
    await page.locator('.tools-view button').last().click();
    await page.waitForSelector('dialog[open]');
  },
  model: async (page) => {
    await ready(page);
    await page.locator('.model-button').click();
    await page.waitForSelector('dialog[open]');
  },
  'own model': async (page) => {
    await page.setInputFiles('#chooser', join(TOP, 'tests/golden/models/keras-mobilenet-v2.onnx'));
    await page.locator('dialog[open] summary').first().waitFor({ timeout: 60_000 });
    for (const summary of await page.locator('dialog[open] summary').all()) await summary.click();
  },
};

/** Sets the faces that a page's own style would take. @param {Page} page @param {string} style */
const wear = (page, style) =>
  page.evaluate((style) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style);
    document.adoptedStyleSheets = [sheet];
  }, style);

/** What lies outside of the window, or is wider than the dialog that it is in. @param {Page} page */
const outside = (page) =>
  page.evaluate(() => {
    /** @type {string[]} */
    const found = [];
    if (document.documentElement.scrollWidth > innerWidth)
      found.push(`the page: ${document.documentElement.scrollWidth}`);
    for (const element of document.querySelectorAll(
      'dialog[open], dialog[open] *, main *, header *, footer *, .alert *',
    )) {
      // What is out of sight may not have been laid out since the window changed.
      if (!element.checkVisibility({ contentVisibilityAuto: true })) continue;
      const { left, right, width } = element.getBoundingClientRect();
      if (width > 0 && !element.closest('.unseen, .sprite, .skip, .handle') && (right > innerWidth + 1 || left < -1))
        found.push(`${element.tagName}.${element.getAttribute('class')}: ${Math.round(left)} to ${Math.round(right)}`);
      if (element.matches('dialog') && element.scrollWidth > element.clientWidth)
        found.push(`the dialog: ${element.scrollWidth} in ${element.clientWidth}`);
    }
    return found.slice(0, 12);
  });

for (const locale of ['en', 'vi'])
  for (const [name, reach] of Object.entries(STATES))
    test(`${name}, ${locale}: nothing is wider than the screen in any face`, { timeout: 120_000 }, async () => {
      const { page, context } = await here.visit({
        locale,
        query: '?model=/models/long/',
        viewport: { width: 390, height: 800 },
      });
      await reach(page);
      /** @type {string[]} */
      const found = [];
      for (const [face, style] of Object.entries(FACES)) {
        await wear(page, style);
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 800 });
          found.push(...(await outside(page)).map((text) => `${face} at ${width}: ${text}`));
          const folder = process.env['WHYLENS_SCREENSHOTS'];
          if (folder) {
            await mkdir(folder, { recursive: true });
            await page.screenshot({
              path: join(folder, `${name}-${locale}-${face.replace(' ', '')}-${width}.png`),
              fullPage: true,
            });
          }
        }
      }
      assert.deepEqual(found, []);
      await context.close();
    });

test('the element keeps within its place in any face', { timeout: 60_000 }, async () => {
  const context = await here.browser.newContext({ viewport: { width: 320, height: 800 } });
  const page = await context.newPage();
  await page.goto(`${here.server.url}/blank.html`);
  await page.evaluate(async () => {
    const path = '/www/why-lens.js';
    await import(path);
    document.body.innerHTML =
      '<div style="display: grid"><why-lens model="/models/long/" src="/tests/photos/coffee.png" alt="a cup"></why-lens></div>';
  });
  await page.locator('why-lens li').first().waitFor({ timeout: 60_000 });
  for (const [face, style] of Object.entries(FACES)) {
    await wear(page, `${style} body { font-family: var(--text); }`);
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 320, face);
  }
  await context.close();
});
