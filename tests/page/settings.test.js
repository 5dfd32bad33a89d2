// what is kept of the reader's choices, whatever another script made of it

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { place, ready, sample, verdict } from './visit.js';

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
});
after(() => here?.close());

const DEFAULTS = {
  language: null,
  theme: null,
  preload: null,
  heatmap: null,
  memoryLimit: null,
  build: null,
  colormap: 'inferno',
  opacity: 0.75,
  camera: null,
  flip: false,
};

test('settings that mean nothing are ignored and replaced, and the page works', { timeout: 240_000 }, async () => {
  const { page, context, complaints } = await here.visit();
  for (const [kept, left = {}] of /** @type {[unknown, object?][]} */ ([
    [{ language: 5 }],
    [{ language: 'xx' }],
    [{ language: { length: 2 } }],
    [{ theme: 'pink', opacity: 0.5 }, { opacity: 0.5 }],
    [{ preload: 'soon' }],
    [{ preload: 1 }],
    [{ heatmap: 'yes' }],
    [{ memoryLimit: '1' }],
    [{ memoryLimit: -1 }],
    [{ memoryLimit: {} }],
    [{ build: 'best' }],
    [{ colormap: 'toString' }],
    [{ colormap: '__proto__' }],
    [{ colormap: 5 }],
    [{ opacity: -1 }],
    [{ opacity: '1' }],
    [{ opacity: null }],
    [{ camera: 'front' }],
    [{ camera: { id: 5, label: '' } }],
    [{ flip: 'yes' }],
    [null],
    [[]],
    ['text'],
    [5],
    [{ unknown: 1, theme: 'dark' }, { theme: 'dark' }],
    [undefined],
  ])) {
    const text = kept === undefined ? '{broken' : JSON.stringify(kept);
    await page.evaluate((text) => localStorage.setItem('whylens', text), text);
    await page.reload();
    await ready(page);
    const seen = await page.evaluate(() => JSON.parse(localStorage.getItem('whylens') ?? 'null'));
    // An empty list holds nothing that is wrong.
    assert.deepEqual(seen, Array.isArray(kept) ? kept : { ...DEFAULTS, ...left }, text);
  }
  await sample(page, 1);
  assert.match(await verdict(page), /espresso/i);
  assert.deepEqual(complaints, []);
  await context.close();
});

test('an address whose switches mean nothing changes nothing', { timeout: 120_000 }, async () => {
  for (const query of [
    '?preload=%00&heatmap=5&memory-limit=NaN&build=__proto__&health&shared',
    '?model=',
    '?model=http%3A%2F%2F%5B',
    '?offline=maybe&shared=../../x',
  ]) {
    const { page, context } = await here.visit({ query });
    await page.waitForSelector('[data-phase="ready"], [data-phase="failed"]', { timeout: 60_000 });
    if (!query.startsWith('?model')) {
      await sample(page, 1);
      assert.match(await verdict(page), /espresso/i);
    }
    assert.ok(await page.locator('.sample').first().isEnabled());
    await context.close();
  }
});
