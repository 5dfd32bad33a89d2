// the page for everyone: axe, the keyboard, zoom, a narrow screen

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TOP } from '../web/server.js';
import { photo, place, ready, sample, verdict } from './visit.js';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
});
after(() => here?.close());

const KERAS = join(TOP, 'tests/golden/models/keras-mobilenet-v2.onnx');

/** @type {Record<string, (page: import('playwright-core').Page) => Promise<unknown>>} */
const STATES = {
  empty: ready,
  result: async (page) => {
    await sample(page, 0);
    await verdict(page);
  },
  unsure: async (page) => {
    await sample(page, 3);
    await verdict(page);
  },
  'two classes': async (page) => {
    await sample(page, 0);
    await verdict(page);
    await page.locator('.versus').nth(1).click();
    await page.waitForFunction(() => document.querySelectorAll('.overlay:not([hidden])').length === 2);
  },
  'both sides, checked': async (page) => {
    await sample(page, 0);
    await verdict(page);
    await page.getByRole('radio', { name: 'both', exact: true }).check();
    await page.locator('.where h3', { hasText: 'for and against' }).waitFor();
    await page.getByRole('button', { name: 'Check this map' }).click();
    await page.locator('.check-verdict').waitFor({ timeout: 60_000 });
    await page.getByText('All values, and the opposite test').click();
  },
  part: async (page) => {
    await sample(page, 1);
    await verdict(page);
    await page.getByRole('button', { name: 'Choose a part' }).click();
    await page.locator('[data-choosing="true"] > .part').press('Shift+ArrowLeft');
    await page.getByRole('button', { name: 'Whole photo' }).waitFor();
  },
  trial: async (page) => {
    await sample(page, 0);
    await verdict(page);
    await page.getByRole('button', { name: 'Try it yourself' }).click();
    await page.locator('.trial-window').press('Enter');
    await page.locator('.trial-now').first().waitFor();
  },
  camera: async (page) => {
    await ready(page);
    await page.getByRole('button', { name: 'Camera', exact: true }).click();
    await page.locator('.times').waitFor();
    await page.getByRole('button', { name: 'Classify live' }).click();
  },
  batch: async (page) => {
    await page.setInputFiles('#chooser', [photo('chelsea.png'), photo('coffee.png'), photo('README.md')]);
    await page.locator('.tile[data-status="failed"]').waitFor({ timeout: 60_000 });
  },
  error: async (page) => {
    await page.setInputFiles('#chooser', photo('README.md'));
    await page.locator('.alert-view').waitFor({ timeout: 60_000 });
  },
  settings: async (page) => {
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.waitForSelector('dialog[open]');
  },
  model: async (page) => {
    await ready(page);
    await page.locator('.model-button').click();
    await page.waitForSelector('dialog[open]');
  },
  'own model': async (page) => {
    await page.setInputFiles('#chooser', KERAS);
    await page.getByRole('button', { name: 'Check and use' }).waitFor({ timeout: 60_000 });
    for (const summary of await page.locator('dialog[open] summary').all()) await summary.click();
  },
  'own model in use': async (page) => {
    await page.setInputFiles('#chooser', KERAS);
    await page.getByRole('button', { name: 'Check and use' }).click({ timeout: 60_000 });
    await page.getByText('is checked, packed and in use').waitFor({ timeout: 60_000 });
  },
  slow: async (page) => {
    await sample(page, 1);
    await verdict(page);
    await page.getByLabel('Method').selectOption('occlusion');
    await page.locator('.busy', { hasText: 'of 64' }).waitFor();
  },
};

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

for (const [name, reach] of Object.entries(STATES))
  test(
    `${name}: axe finds nothing, narrow and wide, light and dark, and nothing is wider than the screen`,
    { timeout: 120_000 },
    async () => {
      const { page, context } = await here.visit({ viewport: { width: 360, height: 800 } });
      await reach(page);
      await page.evaluate(AXE);
      /** @type {string[]} */
      const found = [];
      for (const width of [360, 1600])
        for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
          await page.setViewportSize({ width, height: 800 });
          await page.emulateMedia({ colorScheme });
          // It may be done by now.
          if (name === 'slow' && !(await page.locator('.busy').isVisible())) await reach(page);
          const { violations } = await page.evaluate(
            (runOnly) => /** @type {any} */ (globalThis).axe.run({ runOnly }),
            RULES,
          );
          found.push(
            ...violations.map(
              (/** @type {any} */ violation) =>
                `${width} ${colorScheme}: ${violation.id}: ${violation.nodes.map((/** @type {any} */ node) => node.target + ' ' + node.failureSummary).join(' | ')}`,
            ),
          );
          const wide = await page.evaluate(() => document.documentElement.scrollWidth);
          if (wide !== width) found.push(`${width} ${colorScheme}: ${wide} pixels wide`);
        }
      assert.deepEqual(found, []);
      await context.close();
    },
  );

test('by keyboard alone: a sample, another class, two classes, the slider, a dialog', async () => {
  const { page, context } = await here.visit();
  await ready(page);
  const focused = () =>
    page.evaluate(
      () => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '',
    );
  /** @param {string | RegExp} wanted */
  const tabTo = async (wanted) => {
    for (let at = 0; at < 60; at++) {
      await page.keyboard.press('Tab');
      if ((await focused()).match(wanted)) return;
    }
    assert.fail(`Tab never reaches ${wanted}`);
  };
  await page.keyboard.press('Tab');
  assert.match(await focused(), /Skip/);
  await tabTo(/Coffee/);
  await page.keyboard.press('Enter');
  await verdict(page, /espresso/i);
  assert.match(await focused(), /Coffee/, 'the focus stays where it was');
  assert.match(await page.locator('#spoken').innerText(), /espresso, 95%/);
  await tabTo(/^\D+ \d+%$/);
  await tabTo(/^\D+ \d+%$/);
  const label = await page.evaluate(() => document.activeElement?.querySelector('.class-label')?.textContent ?? '');
  await page.keyboard.press('Space');
  await page.locator('.where h3', { hasText: label }).waitFor();
  assert.match(await focused(), new RegExp(label), 'the list keeps the focus');
  await tabTo(/Compare with/);
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('.caption:not([hidden])').length === 2);
  await page.getByRole('slider', { name: 'Heatmap' }).focus();
  await page.keyboard.press('ArrowLeft');
  await page.waitForFunction(
    () => Number(/** @type {HTMLInputElement} */ (document.querySelector('.opacity input')).value) === 0.74,
  );
  await page.keyboard.press('Tab');
  await page.keyboard.down('Space');
  await page.waitForSelector('[data-bare="true"]');
  await page.keyboard.up('Space');
  await page.waitForSelector('[data-bare="false"]');
  await page.getByRole('button', { name: 'Settings' }).focus();
  await page.keyboard.press('Enter');
  await page.waitForSelector('dialog[open]');
  await page.keyboard.press('Escape');
  assert.equal(await focused(), 'Settings', 'the focus returns to the button');
  await context.close();
});

test('at 200 % zoom, and with forced colours, all is there', async () => {
  const { page, context } = await here.visit({
    viewport: { width: 640, height: 400 },
    deviceScaleFactor: 2,
    forcedColors: 'active',
  });
  await sample(page, 1);
  await verdict(page, /espresso/i);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 640);
  assert.ok(await page.getByRole('button', { name: 'Save picture' }).isVisible());
  await context.close();
});

test('nothing moves of itself under reduced motion', async () => {
  const { page, context } = await here.visit({ reducedMotion: 'reduce' });
  await sample(page, 1);
  await verdict(page, /espresso/i);
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
  await context.close();
});
