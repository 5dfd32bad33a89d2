// whether a heatmap is better than chance: of what is shown, and of all photos

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TOP } from '../web/server.js';
import { photo, place, sample, verdict } from './visit.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('../../www/library/protocol.js').Checked} Checked */

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
});
after(() => here?.close());

const LONG = { timeout: 60_000 };

/** @param {Page} page @param {string} name */
const button = (page, name) => page.getByRole('button', { name, exact: true });

/** Coffee, with its heatmap. @param {Parameters<typeof here.visit>[0]} [options] */
async function coffee(options) {
  const visited = await here.visit(options);
  await sample(visited.page, 1);
  await verdict(visited.page, /espresso/);
  return visited;
}

/** @param {Page} page @param {number} [panels] */
async function checked(page, panels = 1) {
  await page
    .locator('.check-verdict')
    .nth(panels - 1)
    .waitFor(LONG);
  return page.locator('.check-said').first().innerText();
}

/** A running check, some steps in. @param {Page} page */
async function started(page) {
  await button(page, 'Check this map').click();
  await page.waitForFunction(() => {
    const bar = /** @type {HTMLProgressElement | null} */ (document.querySelector('.check-running progress'));
    return bar && bar.position > 0 && bar.position < 1;
  }, LONG);
}

/** @param {Page} page @param {string} name of a button */
async function saved(page, name) {
  const [download] = await Promise.all([page.waitForEvent('download'), button(page, name).click()]);
  return readFile(await download.path(), 'utf8');
}

/** The same check by the library. @param {Page} page @param {number} orders */
const library = (page, orders) =>
  page.evaluate(async (orders) => {
    const path = '/www/whylens.js';
    const { load } = /** @type {typeof import('../../www/whylens.js')} */ (await import(path));
    const classifier = await load('/models/efficientnet-lite0/');
    const result = await classifier.classify(await (await fetch('/www/samples/coffee.jpg')).blob());
    if (!result.heatmap) throw new Error('no heatmap');
    const check = await classifier.check(result, result.heatmap, { orders });
    return {
      ...check,
      shares: [...check.shares],
      deletion: [...check.deletion],
      insertion: [...check.insertion],
      random: check.random.map((curve) => [...curve]),
      randomAreas: [...check.randomAreas],
    };
  }, orders);

/** As the page writes it. @param {number} part */
const percent = (part) => (part > 0 && part < 0.01 ? '< 1%' : `${Math.round(part * 100)}%`);

test('the check of a map is the library’s, drawn, told and saved', async (t) => {
  const { page, context, complaints, requests } = await coffee();
  assert.ok(!requests.some((request) => /check\.(js|css)/.test(request.url())), 'nothing of it before it is wanted');
  const before = Date.now();
  await button(page, 'Check this map').click();
  const said = await checked(page);
  t.diagnostic(`a first check on the page takes ${Date.now() - before} ms`);
  const expected = await library(page, 5);
  const at = expected.shares.findIndex((share) => share >= 0.1);
  const mean = expected.random.reduce((sum, curve) => sum + (curve[at] ?? 0), 0) / expected.random.length;
  const [share, from, to, random] = [expected.shares[at], expected.deletion[0], expected.deletion[at], mean].map(
    (value) => percent(value ?? NaN),
  );
  assert.ok(
    said.includes(
      `Without the ${share} that the map marks most, “espresso” falls from ${from} to ${to}; ` +
        `without ${share} at random, to ${random}.`,
    ),
    said,
  );
  assert.equal(expected.verdict, 'better');
  assert.match(said, /better than chance: it beats each of 5 random orders.*at most 17%/s);
  const plot = page.getByRole('img', { name: /^What the map marks most is hidden first\. This map: / });
  assert.match(
    (await plot.getAttribute('aria-label')) ?? '',
    new RegExp(`This map: ${from} at 0%, ${to} at ${share}, `),
  );
  const points = await plot.locator('.plot-map').getAttribute('points');
  assert.equal(points?.split(' ').length, expected.shares.length);
  await page.getByText('All values, and the opposite test').click();
  for (const [name, curve] of /** @type {const} */ ([
    ['hidden', expected.deletion],
    ['shown', expected.insertion],
  ])) {
    const rows = page.getByRole('table', { name: `What the map marks most is ${name} first` }).locator('tbody tr');
    assert.deepEqual(await rows.locator('td:nth-of-type(1)').allInnerTexts(), curve.map(percent));
  }
  await page.locator('.check-stability:not([hidden])').waitFor(LONG);
  assert.ok(await page.locator('.check-tables').isVisible(), 'what was opened stays open');
  const { check, stability } = JSON.parse(await saved(page, 'Result (JSON)'));
  assert.deepEqual(check, expected);
  assert.equal(stability.verdict, 'stable');
  await button(page, 'Check more thoroughly').click();
  await page.locator('.check-verdict', { hasText: 'each of 19 random orders' }).waitFor(LONG);
  // Whether it is stable is found out after that; nothing more thorough is left then.
  await page.locator('.check-button').waitFor({ ...LONG, state: 'hidden' });
  assert.deepEqual(complaints, []);
  await context.close();
});

test('a check is cancelled at once, and can be made again', async (t) => {
  const { page, context, complaints } = await coffee();
  const waits = await page.evaluate(async () => {
    const path = '/www/whylens.js';
    const { load } = /** @type {typeof import('../../www/whylens.js')} */ (await import(path));
    const classifier = await load('/models/efficientnet-lite0/');
    const result = await classifier.classify(await (await fetch('/www/samples/coffee.jpg')).blob());
    const waits = [];
    for (const after of [3, 20, 50]) {
      const stop = new AbortController();
      let since = 0;
      const onProgress = (/** @type {{loaded: number}} */ { loaded }) => {
        if (loaded !== after) return;
        since = performance.now();
        stop.abort();
      };
      const heatmap = /** @type {import('../../www/library/protocol.js').Heatmap} */ (result.heatmap);
      await classifier.check(result, heatmap, { signal: stop.signal, onProgress }).catch(() => {});
      waits.push(performance.now() - since);
    }
    return waits;
  });
  t.diagnostic(`the library gives up after ${waits.map((ms) => ms.toFixed(1)).join(', ')} ms`);
  await started(page);
  const ms = await page.evaluate(async () => {
    const button = /** @type {HTMLElement} */ (document.querySelector('.check-button'));
    const view = /** @type {HTMLElement} */ (document.querySelector('.check-view'));
    const since = performance.now();
    button.click();
    while (!view.hidden) await new Promise((resolve) => requestAnimationFrame(resolve));
    return performance.now() - since;
  });
  t.diagnostic(`the page shows it after ${ms.toFixed(1)} ms`);
  // A whole check takes seconds.
  assert.ok(ms < 1000, `${ms} ms`);
  assert.equal(await page.locator('.alert-view:visible').count(), 0);
  await button(page, 'Check this map').click();
  await checked(page);
  assert.deepEqual(complaints, []);
  await context.close();
});

test('a check stands under its own map only, and comes back with it', async () => {
  const { page, context } = await coffee();
  await button(page, 'Check this map').click();
  const said = await checked(page);
  await page.getByLabel('Method').selectOption('hirescam');
  await page.locator('.check-view').waitFor({ state: 'hidden', ...LONG });
  await button(page, 'Check this map').waitFor();
  await page.getByLabel('Method').selectOption('gradcam');
  assert.equal(await checked(page), said);
  await page.getByLabel('Colours').selectOption('viridis');
  assert.equal(await checked(page), said, 'colours are not evidence');
  await page.getByRole('radio', { name: 'against', exact: true }).check();
  await page.locator('.check-view').waitFor({ state: 'hidden', ...LONG });
  assert.ok(await page.locator('.check-button').isHidden(), 'nothing speaks against it: there is nothing to check');
  await context.close();
});

test('a map of what speaks against a class is refused, and says why', async () => {
  const { page, context } = await here.visit();
  await sample(page, 0);
  await verdict(page);
  await page.locator('.versus').nth(1).click();
  await page.getByLabel('Question').selectOption('other');
  await page.getByRole('radio', { name: 'against', exact: true }).check();
  await page.getByText('cannot be checked; one of both sides can').waitFor(LONG);
  await page.getByRole('radio', { name: 'both', exact: true }).check();
  await page.getByText('cannot be checked; one of both sides can').waitFor({ state: 'hidden', ...LONG });
  await button(page, 'Check this map').click();
  assert.match(await checked(page), /Check of the map: For and against: /);
  await page.getByLabel('Question').selectOption('');
  await page.getByRole('radio', { name: 'for', exact: true }).check();
  await button(page, 'Check these maps').click();
  await checked(page, 2);
  await context.close();
});

test('another photo, another class or another model ends a check without a word', async () => {
  const { page, context, complaints } = await coffee();
  await started(page);
  await sample(page, 2);
  await page.locator('.verdict', { hasNotText: /espresso/i }).waitFor(LONG);
  await page.locator('.overlay:not([hidden])').waitFor(LONG);
  await page.locator('.check-view').waitFor({ state: 'hidden', ...LONG });
  await started(page);
  await page.locator('.class').nth(1).click();
  await page.locator('.where h3', { hasText: await page.locator('.class-label').nth(1).innerText() }).waitFor(LONG);
  await page.locator('.check-view').waitFor({ state: 'hidden', ...LONG });
  await started(page);
  const files = ['model.json', 'model.onnx', 'labels.txt'].map(async (name) => [
    name,
    await readFile(join(TOP, 'models/efficientnet-lite0', name)),
  ]);
  here.server.put('/models/again/', Object.fromEntries(await Promise.all(files)));
  await page.locator('.model-button').click();
  await page.getByLabel('Address of another model').fill('/models/again/');
  await button(page, 'Use it').click();
  await page.locator('.check-view').waitFor({ state: 'hidden', ...LONG });
  await page.waitForSelector('[data-phase="ready"]', LONG);
  await page.keyboard.press('Escape');
  await page.locator('.overlay:not([hidden])').waitFor(LONG);
  await button(page, 'Check this map').click();
  await checked(page);
  assert.equal(await page.locator('.alert-view:visible').count(), 0);
  assert.deepEqual(complaints, []);
  await context.close();
});

test('a check goes on in another language', async () => {
  const { page, context } = await coffee();
  await started(page);
  await page.getByRole('button', { name: 'Tiếng Việt', exact: true }).click();
  await page.getByText('Chọn ảnh').waitFor(LONG);
  assert.match(await checked(page), /“espresso” giảm từ 95% xuống .*\sBản đồ tốt hơn ngẫu nhiên/s);
  await page.getByRole('button', { name: 'English', exact: true }).click();
  await page.locator('.check-verdict', { hasText: 'it beats each of 5 random orders' }).waitFor(LONG);
  await context.close();
});

test('when the worker ends during a check, that is said, and the next one works', async () => {
  const { page, context } = await coffee();
  await started(page);
  for (const worker of page.workers())
    await worker.evaluate(() => void setTimeout(() => Promise.reject(new Error('ended by a test')))).catch(() => {});
  await page.getByText('The classifier stopped unexpectedly.').waitFor(LONG);
  assert.ok(await page.locator('.overlay').isVisible(), 'the map is still there');
  await page.locator('.alert-view').getByRole('button', { name: 'Try again' }).click();
  await checked(page);
  await context.close();
});

test('by keyboard alone: the button starts, cancels and starts again, and keeps the focus', async () => {
  const { page, context } = await coffee();
  await page.locator('.check-button').focus();
  await page.keyboard.press('Enter');
  await button(page, 'Cancel the check').waitFor(LONG);
  await page.keyboard.press('Enter');
  await button(page, 'Check this map').waitFor(LONG);
  await page.keyboard.press('Enter');
  await checked(page);
  assert.ok(await page.locator('.check-button').evaluate((each) => each === document.activeElement));
  const spoken = page.locator('.check-view [role="status"]');
  // At the end, with what is known of its stability.
  await spoken.filter({ hasText: 'The map stays' }).waitFor({ ...LONG, state: 'attached' });
  assert.match(await spoken.innerText(), /Without the .* better than chance/);
  await context.close();
});

test('the maps of a batch: progress, a pause for the reader, an end, a table and JSON', async () => {
  const { page, context, complaints } = await here.visit();
  const names = ['chelsea.png', 'coffee.png', 'rocket.jpg', 'astronaut.png'];
  await page.setInputFiles('#chooser', names.map(photo));
  await page.locator('.tile[data-status="done"]').nth(3).waitFor(LONG);
  await button(page, 'Check all maps').click();
  await page.locator('.tile-check:visible').first().waitFor(LONG);
  assert.match(await page.locator('.sheet-head').first().innerText(), /[1-3] of 4 maps checked/);
  await button(page, 'Stop checking').click();
  await button(page, 'Check all maps').waitFor(LONG);
  const before = await page.locator('.tile-check:visible').count();
  assert.ok(before >= 1 && before < 4, `${before}`);
  await button(page, 'Check all maps').click();
  await page.locator('.tile').nth(3).click();
  await page.locator('.where h3').waitFor(LONG);
  await page.locator('.tile-check:visible').nth(3).waitFor(LONG);
  await button(page, 'Check all maps').waitFor(LONG);
  assert.match(await checked(page), /Check of the map/, 'the shown one is among them');
  const written = JSON.parse(await saved(page, 'JSON'));
  const table = (await saved(page, 'CSV')).replace('\ufeff', '').trim().split('\r\n');
  assert.match(
    table[0] ?? '',
    /"check","deletion_area","insertion_area","random_area_least","random_area_most","region","recognised","error"$/,
  );
  const texts = await page.locator('.tile-check').allInnerTexts();
  for (const [at, { file, check, stability }] of written.entries()) {
    assert.equal(file, names[at]);
    assert.match(stability.verdict, /^(stable|fragile)$/);
    assert.match(texts[at] ?? '', new RegExp(`\\(${check.advantage.toFixed(2).replace('-', '-')}\\)$`));
    const random = [Math.min(...check.randomAreas), Math.max(...check.randomAreas)];
    const cells = [`"${check.verdict}"`, check.deletionArea, check.insertionArea, ...random, '', 'true', ''];
    assert.ok(table[at + 1]?.endsWith(`,${cells.join(',')}`), table[at + 1]);
  }
  assert.deepEqual(complaints, []);
  await context.close();
});
