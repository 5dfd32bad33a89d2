// First and second photo, first and second visit, in fresh pages: node visits.mjs SITE PACKAGES [PAGES]
//
// SITE is what `whylens dist` wrote. Medians in ms; nothing slows the connection down.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FLAGS } from '../tests/web/flags.js';
import { Network } from './network.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const [site, packages, pages = '11'] = process.argv.slice(2);
const photos = ['coffee', 'chelsea', 'rocket'].map((name) =>
  readFileSync(join(HERE, `../www/samples/${name}.jpg`)).toString('base64'),
);

/** Runs in a page of the site. */
async function classify(photos) {
  const { load } = await import('./whylens.js');
  const classifier = await load('models/efficientnet-lite0/', { preload: 'eager' });
  const { timing } = await classifier.health({ verbose: true });
  // Nobody chooses a photo sooner than this.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const files = photos.map((text) => new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]));
  const times = [];
  for (const file of files) {
    const start = performance.now();
    const result = await classifier.classify(file);
    const { decode, preprocess, inference, heatmap } = result.timing;
    times.push({ whole: performance.now() - start, decode, preprocess, inference, heatmap });
  }
  return { times, timing };
}

/** Runs in our page: when its model was ready, as navigation counts. */
const ready = () => globalThis.readyAt;
function watch() {
  new MutationObserver(() => {
    if (document.querySelector('[data-phase="ready"]')) globalThis.readyAt ??= performance.now();
  }).observe(document, { subtree: true, childList: true, attributes: true });
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const shown = (entries) =>
  Object.keys(entries[0])
    .map((name) => `${name} ${median(entries.map((entry) => entry[name] ?? NaN)).toFixed(1)}`)
    .join(', ');

const { chromium } = createRequire(`${packages}/`)('playwright-core');
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: FLAGS,
});
const network = await new Network({ '': site }, { delay: 0, rate: 1e10 }).start();
network.page('/blank.html', '<!doctype html><link rel="icon" href="data:,"><title>visits</title>');

const [runs, visits] = [[], []];
for (let round = -1; round < +pages; round += 1) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${network.url}blank.html`);
  const run = await page.evaluate(`(${classify})(${JSON.stringify(photos)})`);
  await context.close();

  const other = await browser.newContext();
  const visitor = await other.newPage();
  await visitor.addInitScript(watch);
  const times = [];
  for (let visit = 0; visit < 3; visit += 1) {
    await visitor.goto(network.url);
    await visitor.waitForSelector('[data-phase="ready"]', { timeout: 120_000 });
    times.push(await visitor.evaluate(ready));
    // The site is kept after the first.
    if (visit === 0)
      await visitor.waitForFunction(() => navigator.serviceWorker.controller?.state === 'activated', undefined, {
        timeout: 120_000,
      });
  }
  await other.close();
  // The first round warms the machine up.
  if (round >= 0) (runs.push(run), visits.push({ first: times[0], second: times[1], third: times[2] }));
}
for (const [at, name] of ['first', 'second', 'third'].entries())
  console.log(`${name} photo: ${shown(runs.map(({ times }) => times[at]))}`);
console.log(`first ÷ second: ${median(runs.map(({ times: [a, b] }) => a.whole / b.whole)).toFixed(2)}`);
console.log(`load: ${shown(runs.map(({ timing }) => timing))}`);
console.log(`visits, ready after: ${shown(visits)}`);
await browser.close();
await network.stop();
