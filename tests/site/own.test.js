// A site of somebody's own, by `whylens new`: what its visitors see, in both themes, and nothing of ours.

import assert from 'node:assert/strict';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { browse } from '../web/browser.js';
import { TOP } from '../web/server.js';
import { Host, MODEL, TOOL, open, run, temporary } from './site.js';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The owner's file, as an owner would write it. */
const SITE = `
title = { en = "Hoa Sen Skin Clinic", vi = "Phòng khám da Hoa Sen" }
short-title = "Hoa Sen"
description = "A first look at a photo of your skin, on your own device."
models = ["models/efficientnet-lite0"]
logo = "logo.svg"
disclaimer = { en = "This is no diagnosis. Ask your doctor.", vi = "Đây không phải là chẩn đoán. Hãy hỏi bác sĩ." }
samples = ["samples/Cup.jpg"]
[text]
headline = { en = "What does the photo show?", vi = "Trong ảnh có gì?" }
lead = { en = "Add a photo of the place. It is examined on this device and never leaves this page.", vi = "Thêm ảnh. Ảnh không rời khỏi trang này." }
footer = { en = "Hoa Sen Skin Clinic, Hanoi · +84 24 1234 5678", vi = "Phòng khám da Hoa Sen, Hà Nội" }
[colours]
accent = "#00796b"
background = "#ffffff"
[hosting]
closed = true
`;
const LOGO = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="30" fill="#00796b"/><path fill="#fff" d="M32 12c7 8 7 16 0 24-7-8-7-16 0-24zM12 28c10 1 16 6 18 16-10-1-16-6-18-16zm40 0c-2 10-8 15-18 16 2-10 8-15 18-16z"/></svg>`;

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {{ path: string, remove: () => Promise<void> }} */
let place;
/** @type {Host} */
let host;
before(async () => {
  place = await temporary();
  browser = await browse();
  const clinic = join(place.path, 'clinic');
  const making = ['--page', TOP, '--compress', 'none'];
  await run(TOOL, ['new', clinic, MODEL, ...making]);
  await writeFile(join(clinic, 'site.toml'), SITE);
  await writeFile(join(clinic, 'logo.svg'), LOGO);
  await mkdir(join(clinic, 'samples'));
  await cp(join(TOP, 'www/samples/coffee.jpg'), join(clinic, 'samples/Cup.jpg'));
  await run(TOOL, ['build', clinic, ...making]);
  host = await new Host(join(clinic, 'site')).start();
});
after(async () => {
  await browser?.close();
  await place?.remove();
});

const READY = { timeout: 90_000 };

/** Everything that is said, also by labels and in dialogs that are closed. @param {import('playwright-core').Page} page */
const said = (page) =>
  page.evaluate(() =>
    [
      document.title,
      document.body.textContent,
      ...Array.from(document.querySelectorAll(':not([http-equiv])'), (element) =>
        ['alt', 'title', 'aria-label', 'placeholder', 'content'].map((name) => element.getAttribute(name)),
      ).flat(),
    ]
      .filter(Boolean)
      .join('\n'),
  );

test('a visitor sees the owner’s words, logo, colours and disclaimer', { timeout: 180_000 }, async () => {
  const context = await browser.newContext({ locale: 'en-GB', acceptDownloads: true, colorScheme: 'light' });
  const { page, complaints } = await open(context, host.url);
  await page.waitForSelector('[data-phase="ready"]', READY);
  assert.equal(await page.title(), 'Hoa Sen Skin Clinic');
  assert.equal(await page.locator('.brand').innerText(), 'Hoa Sen Skin Clinic');
  assert.equal(await page.locator('h1').innerText(), 'What does the photo show?');
  assert.match(await page.locator('.footer').innerText(), /^Hoa Sen Skin Clinic, Hanoi/);
  assert.equal(await page.locator('.status-line').innerText(), 'Ready');
  const logo = page.locator('.brand img');
  assert.ok(await logo.evaluate((image) => /** @type {HTMLImageElement} */ (image).naturalWidth > 0));
  assert.deepEqual(await page.locator('.sample').allInnerTexts(), ['1 Cup']);
  const colour = (/** @type {string} */ selector) =>
    page.locator(selector).evaluate((element) => getComputedStyle(element).backgroundColor);
  assert.equal(await colour('body'), 'rgb(255, 255, 255)');
  assert.equal(await colour('.ways .primary'), 'rgb(0, 121, 107)');
  await page.locator('.sample').click();
  await page.locator('.verdict', { hasText: /espresso/i }).waitFor(READY);
  assert.equal(await page.locator('.disclaimer:not([hidden])').innerText(), 'This is no diagnosis. Ask your doctor.');
  await page.waitForSelector('.overlay:not([hidden])');
  const [picture] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Save picture' }).click(),
  ]);
  assert.match(picture.suggestedFilename(), /-hoa-sen-skin-clinic\.png$/);
  assert.doesNotMatch(await said(page), /whylens/i);
  await page.locator('.language').click();
  await page.locator('h1', { hasText: 'Trong ảnh có gì?' }).waitFor({ state: 'attached' });
  assert.equal(await page.title(), 'Phòng khám da Hoa Sen');
  assert.equal(await page.locator('.brand').innerText(), 'Phòng khám da Hoa Sen');
  assert.match(await page.locator('.disclaimer:not([hidden])').innerText(), /chẩn đoán/);
  assert.doesNotMatch(await said(page), /whylens/i);
  assert.deepEqual(complaints, []);
  await context.close();
});

test('the installed page is the owner’s', async () => {
  const html = await (await fetch(host.url)).text();
  const at = (/** @type {string} */ rel) =>
    new URL(new RegExp(`<link rel="${rel}" href="([^"]+)"`).exec(html)?.[1] ?? '', host.url);
  const manifest = await (await fetch(at('manifest'))).json();
  assert.equal(manifest.name, 'Hoa Sen Skin Clinic');
  assert.equal(manifest.short_name, 'Hoa Sen');
  assert.doesNotMatch(JSON.stringify(manifest), /whylens/i);
  assert.equal(await (await fetch(at('icon'))).text(), LOGO);
  const sizes = await Promise.all(
    manifest.icons.map(async (/** @type {{src: string}} */ { src }) => {
      const response = await fetch(new URL(src, at('manifest')));
      assert.equal(response.status, 200, src);
      const bytes = Buffer.from(await response.arrayBuffer());
      return src.endsWith('.png') ? bytes.readUInt32BE(16) : 0;
    }),
  );
  assert.deepEqual(sizes, [0, 192, 512, 512]);
  const offline = await (await fetch(new URL('sw.js', host.url))).text();
  assert.match(offline, /<title>Hoa Sen Skin Clinic<\/title>/);
});

test('axe finds nothing, light and dark, and nothing is wider than a phone', { timeout: 180_000 }, async () => {
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    // The page's policy keeps other scripts out, so axe is let in by the browser.
    const context = await browser.newContext({
      locale: 'en-GB',
      colorScheme,
      bypassCSP: true,
      reducedMotion: 'reduce',
    });
    const { page } = await open(context, host.url);
    await page.waitForSelector('[data-phase="ready"]', READY);
    const found = async () => {
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() =>
        /** @type {any} */ (globalThis).axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'] }),
      );
      return violations.map((/** @type {{id: string, nodes: {html: string}[]}} */ { id, nodes }) => [
        id,
        nodes.map(({ html }) => html),
      ]);
    };
    const keep = async (/** @type {string} */ name) => {
      const folder = process.env['SCREENSHOTS'];
      if (folder) await page.screenshot({ path: join(folder, `own-${name}-${colorScheme}.png`) });
    };
    await keep('empty');
    assert.deepEqual(await found(), [], colorScheme);
    await page.locator('.sample').click();
    await page.waitForSelector('.overlay:not([hidden])', READY);
    await keep('result');
    assert.deepEqual(await found(), [], colorScheme);
    await page.setViewportSize({ width: 360, height: 740 });
    await keep('phone');
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await page.reload();
    await page.waitForSelector('[data-phase="ready"]', READY);
    await keep('phone-empty');
    await context.close();
  }
});
