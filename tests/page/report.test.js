// a report: one file that is opened from a disk, under its own policy; the tool makes the same one

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { fill } from '../../www/page/report/fill.js';
import { TOOL, run, temporary } from '../site/site.js';
import { TOP } from '../web/server.js';
import { photo, photoBytes, place, sample, verdict } from './visit.js';

/** @typedef {import('./visit.js').Page} Page */

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PARTS = join(TOP, 'www/page/report');
const MODEL = join(TOP, 'models/efficientnet-lite0');

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
const { path: folder, remove } = await temporary();
before(async () => {
  here = await place();
});
after(async () => {
  await here?.close();
  await remove();
});

/** Saves a report by a button, and gives where it is. @param {Page} page @param {string} button @param {string} [as] */
async function saved(page, button, as) {
  const [download] = await Promise.all([
    page.waitForEvent('download', { timeout: 60_000 }),
    page.getByRole('button', { name: button, exact: true }).click(),
  ]);
  const path = join(folder, as ?? download.suggestedFilename());
  await download.saveAs(path);
  return { path, name: download.suggestedFilename(), html: await readFile(path, 'utf8') };
}

/**
 * Opens a saved report, without network.
 * @param {string} path
 * @param {import('playwright-core').BrowserContextOptions} [options]
 */
async function opened(path, options = {}) {
  const context = await here.browser.newContext({ offline: true, ...options });
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  /** @type {string[]} */
  const requests = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => request.url().startsWith('data:') || requests.push(request.url()));
  await page.goto(pathToFileURL(path).href);
  return { page, context, complaints, requests };
}

/** The data of a report. @param {string} html */
function dataOf(html) {
  const blocks = [...html.matchAll(/<script type="application\/json" id="([\w-]+)">(.*?)<\/script>/gs)];
  const found = blocks.map(([, id, text]) => ({ id, data: JSON.parse(text ?? '') }));
  const whole = found.pop();
  assert.equal(whole?.id, 'report-data');
  assert.deepEqual(
    found.map(({ id }) => id),
    found.map((_, at) => `photo-${at + 1}-data`),
  );
  return { whole: whole?.data, photos: found.map(({ data }) => data) };
}

/** The same but for rounding to 32 bits. @param {any} actual @param {any} expected @param {number} [tolerance] */
function near(actual, expected, tolerance = 1e-6, path = '') {
  if (typeof expected === 'number') {
    const allowed = tolerance * Math.max(1, Math.abs(expected));
    assert.ok(Math.abs(actual - expected) <= allowed, `${path}: ${actual}, expected ${expected}`);
  } else if (typeof expected === 'object' && expected) {
    assert.deepEqual(Object.keys(actual ?? {}).sort(), Object.keys(expected).sort(), path);
    for (const key of Object.keys(expected)) near(actual[key], expected[key], tolerance, `${path}.${key}`);
  } else assert.equal(actual, expected, path);
}

test('the template is filled as Mustache is', async () => {
  const cases = JSON.parse(await readFile(new URL('report/fill.json', import.meta.url), 'utf8'));
  for (const { template, view, filled } of cases) assert.equal(fill(template, view), filled, template);
  assert.equal(fill('{{a}}{{b}}', { a: 1, b: 2 }, { b: 3 }), '13');
});

test('both languages have the same words, with the same blanks', async () => {
  /** @param {object} words @param {string} path @returns {string[]} */
  const keys = (words, path = '') =>
    Object.entries(words).flatMap(([name, value]) =>
      typeof value === 'object'
        ? keys(value, `${path}${name}.`)
        : [`${path}${name} ${[...new Set(value.match(/\{\w+\}/g))].sort()}`],
    );
  const [en, vi] = await Promise.all(
    ['en', 'vi'].map(async (code) => JSON.parse(await readFile(join(PARTS, `${code}.json`), 'utf8'))),
  );
  assert.deepEqual(keys(vi), keys(en));
});

test('the policy lets the style in by its hash', async () => {
  const template = await readFile(join(PARTS, 'template.mustache'), 'utf8');
  const [, style = ''] = /<style>(.*?)<\/style>/s.exec(template) ?? [];
  const hash = createHash('sha256').update(style).digest('base64');
  assert.ok(template.includes(`style-src 'sha256-${hash}'`), `expected style-src 'sha256-${hash}'`);
});

test('the report of a photo opens from a disk without network, and holds what the page knows', async () => {
  const { page, context, complaints } = await here.visit();
  await page.setInputFiles('#chooser', photo('coffee.png'));
  await verdict(page, /espresso/i);
  const { path, name, html } = await saved(page, 'Save report');
  assert.equal(name, 'coffee-whylens-report.html');
  const result = JSON.parse((await saved(page, 'Result (JSON)')).html);
  assert.deepEqual(complaints, []);
  await context.close();

  const { whole, photos } = dataOf(html);
  const [{ scores, ...record }] = photos;
  near(record, result);
  assert.equal(scores.length, 1000);
  near(scores[967], result.predictions[0].score);
  const manifest = JSON.parse(await readFile(join(MODEL, 'model.json'), 'utf8'));
  assert.equal(whole.format, 1);
  assert.equal(whole.model.sha256, manifest.weights.sha256);
  assert.deepEqual(whole.input, manifest.input);
  assert.equal(whole.model.labels[967], 'espresso');
  assert.match(whole.whylens, /^\d+\.\d+\.\d+$/);
  assert.ok(Math.abs(Date.now() - Date.parse(whole.created)) < 120_000);

  const report = await opened(path);
  const text = await report.page.locator('body').innerText();
  for (const part of ['coffee.png', 'espresso', '95.', manifest.weights.sha256, 'Apache-2.0', 'Grad-CAM', 'features'])
    assert.ok(text.includes(part), part);
  assert.match(text, /224 × 224 pixels.*shorter side to 256 pixels, bicubic.*the middle.*1\/255.*0\.5, 0\.5, 0\.5/s);
  for (const picture of await report.page.locator('img').all()) {
    assert.ok(await picture.evaluate((img) => /** @type {HTMLImageElement} */ (img).naturalWidth > 0));
    assert.ok(await picture.getAttribute('alt'));
  }
  assert.equal(await report.page.locator('.picture').count(), 2);
  assert.equal(await report.page.title(), 'coffee.png – Classification report');
  assert.deepEqual(report.complaints, [], 'the policy forbids nothing that it holds');
  assert.deepEqual(report.requests, [pathToFileURL(path).href]);
  await report.context.close();
});

test('two classes side by side are in it, and the languages of the page', async () => {
  const { page, context } = await here.visit({ locale: 'vi-VN' });
  await sample(page, 0);
  await verdict(page);
  await page.locator('.versus').nth(1).click();
  await page.waitForFunction(() => document.querySelectorAll('.overlay:not([hidden])').length === 2);
  const { path, html } = await saved(page, 'Lưu báo cáo');
  await context.close();
  const [record] = dataOf(html).photos;
  assert.notEqual(record.heatmap.classIndex, record.compared.classIndex);
  const report = await opened(path);
  assert.equal(await report.page.locator('.picture').count(), 3);
  assert.equal(await report.page.locator('html').getAttribute('lang'), 'vi');
  assert.match(await report.page.locator('body').innerText(), /Báo cáo phân loại.*Xác suất.*38,\d%.*0,5; 0,5; 0,5/s);
  await report.context.close();
});

test('hostile names are text, and long ones are cut', async () => {
  const { page, context } = await here.visit();
  const hostile = `"><script>alert(1)</script><img src=x onerror=alert(2)>' {{said.model}} $& ${'x'.repeat(200)}.png`;
  await page.setInputFiles('#chooser', {
    name: hostile,
    mimeType: 'image/png',
    buffer: await photoBytes('coffee.png'),
  });
  await verdict(page, /espresso/i);
  const { path, html } = await saved(page, 'Save report', 'hostile.html');
  await context.close();
  assert.equal(dataOf(html).photos[0].file, hostile);
  const report = await opened(path);
  assert.deepEqual(report.complaints, []);
  assert.equal(await report.page.locator('script:not([type="application/json"])').count(), 0);
  assert.equal(await report.page.locator('[onerror]').count(), 0);
  const shown = (await report.page.locator('.photo h2').textContent()) ?? '';
  assert.equal(shown, `${hostile.slice(0, 159)}…`);
  await report.context.close();
});

test('axe finds nothing, light and dark, wide and narrow', { timeout: 120_000 }, async () => {
  const { page, context } = await here.visit();
  await page.setInputFiles('#chooser', [photo('chelsea.png'), photo('coffee.png'), photo('README.md')]);
  await page.locator('.tile[data-status="failed"]').waitFor({ timeout: 60_000 });
  await verdict(page);
  const one = await saved(page, 'Save report');
  const many = await saved(page, 'Report');
  await context.close();
  for (const { path } of [one, many])
    for (const colorScheme of /** @type {const} */ (['light', 'dark']))
      for (const width of [360, 1200]) {
        const report = await opened(path, { colorScheme, viewport: { width, height: 800 } });
        await report.page.evaluate(AXE);
        const { violations } = await report.page.evaluate(() => /** @type {any} */ (globalThis).axe.run());
        assert.deepEqual(
          violations.map((/** @type {any} */ { id, nodes }) => [id, nodes[0].html]),
          [],
          `${path}, ${colorScheme}, ${width}`,
        );
        assert.equal(await report.page.evaluate(() => document.documentElement.scrollWidth), width);
        await report.page.screenshot({
          path: join(process.env['SHOTS'] ?? tmpdir(), `whylens-report-${colorScheme}-${width}.png`),
          fullPage: true,
        });
        await report.context.close();
      }
});

test('a photo prints to one white page of A4', async () => {
  const { page, context } = await here.visit({ colorScheme: 'dark' });
  // Upright, so that its pictures are as tall as they get.
  await page.setInputFiles('#chooser', join(TOP, 'tests/page/report/tall.png'));
  await verdict(page);
  await page.getByRole('button', { name: 'Check this map' }).click();
  await page.getByText('All values, and the opposite test').waitFor({ timeout: 60_000 });
  const { path, html } = await saved(page, 'Save report', 'printed.html');
  await context.close();
  const [{ check }] = dataOf(html).photos;
  assert.equal(check.deletion.length, check.shares.length);
  assert.equal(check.random.length, check.randomAreas.length);
  const report = await opened(path, { colorScheme: 'dark' });
  assert.deepEqual(report.complaints, []);
  assert.equal(await report.page.locator('.plot svg[role="img"]').count(), 2);
  assert.match(await report.page.locator('.check').innerText(), /Without the \d+% that the map marks most/);
  const session = await report.context.newCDPSession(report.page);
  const { data } = await session.send('Page.printToPDF', { preferCSSPageSize: true, printBackground: true });
  const pdf = Buffer.from(data, 'base64');
  await writeFile(join(process.env['SHOTS'] ?? tmpdir(), 'whylens-report.pdf'), pdf);
  const text = pdf.toString('latin1');
  assert.equal(text.match(/\/Type\s*\/Page\b/g)?.length, 1);
  const [, width, height] = /\/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]/.exec(text) ?? [];
  assert.ok(Math.abs(Number(width) - 595) < 2 && Math.abs(Number(height) - 842) < 2, `${width} × ${height}`);
  await report.page.emulateMedia({ media: 'print', colorScheme: 'dark' });
  const ground = await report.page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  assert.equal(ground, 'rgb(255, 255, 255)');
  await report.context.close();
});

test('a batch: one file, each photo with a section; it can be cancelled', { timeout: 120_000 }, async () => {
  const { page, context, complaints } = await here.visit();
  const coffee = await photoBytes('coffee.png');
  const chelsea = await photoBytes('chelsea.png');
  const files = Array.from({ length: 12 }, (_, at) => ({
    name: `photo ${at + 1}.png`,
    mimeType: 'image/png',
    buffer: at % 2 ? coffee : chelsea,
  }));
  await page.setInputFiles('#chooser', [
    ...files,
    { name: 'README.md', mimeType: 'image/png', buffer: Buffer.from('only words') },
  ]);
  await page.locator('.tile[data-status="failed"]').waitFor({ timeout: 60_000 });
  await page.waitForFunction(() => document.querySelectorAll('.tile[data-status="done"]').length === 12);
  const button = page.getByRole('button', { name: 'Report', exact: true });
  await button.click();
  await page.getByText(/^Report: \d+ of 13 photos/).waitFor();
  await page.locator('.reporting').getByRole('button', { name: 'Cancel' }).click();
  await page.locator('.reporting').waitFor({ state: 'hidden' });
  const { path, name, html } = await saved(page, 'Report');
  assert.equal(name, 'whylens-report.html');
  assert.deepEqual(complaints, []);
  await context.close();
  const { photos } = dataOf(html);
  assert.deepEqual(
    photos.map(({ file }) => file),
    [...files.map((each) => each.name), 'README.md'],
  );
  for (const [at, each] of photos.slice(0, 12).entries()) {
    assert.equal(each.predictions[0].label, at % 2 ? 'espresso' : 'tiger cat');
    assert.equal(each.scores.length, 1000);
    assert.equal(each.heatmap.values.length, 49);
  }
  assert.ok(photos[12].error);
  const report = await opened(path);
  assert.deepEqual(report.complaints, []);
  assert.equal(await report.page.locator('.overview tbody tr').count(), 13);
  assert.match(await report.page.locator('#photo-13').innerText(), /cannot be read as a picture/);
  await report.page.locator('.overview a').nth(4).click();
  assert.match(await report.page.locator(':target h2').innerText(), /photo 5\.png/);
  await report.context.close();
});

test('the tool makes the same document', { timeout: 120_000 }, async () => {
  for (const name of ['coffee.png', 'chelsea.png']) await copyFile(photo(name), join(folder, name));
  const { page, context } = await here.visit();
  await page.setInputFiles('#chooser', join(folder, 'coffee.png'));
  await verdict(page, /espresso/i);
  const one = await saved(page, 'Save report', 'page-one.html');
  await page.getByRole('button', { name: 'Check this map' }).click();
  await page.locator('.check-stability:not([hidden])').waitFor({ timeout: 60_000 });
  const checked = await saved(page, 'Save report', 'page-checked.html');
  await page.reload();
  await page.setInputFiles('#chooser', [join(folder, 'coffee.png'), join(folder, 'chelsea.png')]);
  await page.waitForFunction(() => document.querySelectorAll('.tile[data-status="done"]').length === 2);
  const many = await saved(page, 'Report', 'page-many.html');
  // Our own page parses no text as a document.
  const reader = await context.newPage();
  for (const [made, given] of /** @type {const} */ ([
    [one, ['coffee.png']],
    [checked, ['coffee.png', '--check']],
    [many, ['coffee.png', 'chelsea.png']],
  ])) {
    await run(TOOL, ['classify', MODEL, ...given, '--top-k', '10', '--report', 'tool.html'], {
      cwd: folder,
      env: { ...process.env, LANG: 'en_GB.UTF-8' },
    });
    const tool = await readFile(join(folder, 'tool.html'), 'utf8');
    const [ours, theirs] = await reader.evaluate(listed, [made.html, tool]);
    assert.deepEqual(theirs, ours);
    const [expected, actual] = [dataOf(made.html), dataOf(tool)].map(({ whole, photos }) => ({
      whole: { ...whole, created: '' },
      photos: photos.map((each) => ({ ...each, timing: null })),
    }));
    near(actual, expected, 1e-3);
  }
  await context.close();
});

/**
 * The elements of documents, without what differs from run to run: times, data, and how pictures are encoded.
 * @param {string[]} documents
 */
function listed(documents) {
  return documents.map((html) => {
    const read = new DOMParser().parseFromString(html, 'text/html');
    for (const time of read.querySelectorAll('time')) time.replaceWith('a time');
    for (const data of read.querySelectorAll('script')) data.textContent = '';
    return [...read.querySelectorAll('*')].map((each) =>
      [
        each.tagName,
        ...[...each.attributes].map(({ name, value }) => `${name}=${value.replace(/;base64,.*/s, '')}`),
        each.children.length ? '' : each.textContent,
      ].join(' '),
    );
  });
}
