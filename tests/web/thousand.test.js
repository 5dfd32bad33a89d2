// A thousand photos, every tenth damaged: the others are answered, and memory stays as it is.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { SMALL, Stage, HASTY, health, workers } from './page.js';
import { TOP } from './server.js';

const COUNT = Number(process.env['WHYLENS_PHOTOS'] ?? 1000);
const NAMES = ['coffee.png', 'chelsea.png', 'rocket.jpg', 'astronaut.png'];
const stage = new Stage();

before(async () => {
  await stage.start();
  for (const name of NAMES) stage.server.put('/photos/', { [name]: await readFile(join(TOP, 'tests/photos', name)) });
});
after(() => stage.stop());

test(`${COUNT} photos, every tenth damaged`, { timeout: 600_000 }, async () => {
  const page = await stage.page();
  const run = () =>
    page.evaluate(async ([model, names, count, hasty]) => {
      const { load } = /** @type {{ whylens: import('./page.js').Library }} */ (/** @type {any} */ (globalThis))
        .whylens;
      const photos = await Promise.all(
        names.map(async (name) => new Uint8Array(await (await fetch(`/photos/${name}`)).arrayBuffer())),
      );
      /** @type {[string, (bytes: Uint8Array) => Uint8Array][]} */
      const damages = [
        ['cut in the header', (bytes) => bytes.slice(0, 20)],
        ['cut after a quarter', (bytes) => bytes.slice(0, bytes.length >> 2)],
        ['empty', () => new Uint8Array()],
        ['no picture', (bytes) => bytes.map((byte) => byte ^ 0x5a)],
        ['zeros in the middle', (bytes) => bytes.slice().fill(0, bytes.length >> 2, bytes.length >> 1)],
        ['random bits', (bytes) => bytes.map((byte, at) => (at > 40 && at % 97 === 0 ? byte ^ (at & 255) : byte))],
        ['a web page', () => new TextEncoder().encode('<!doctype html><h1>not found</h1>')],
      ];
      const classifier = await load(model, { ...hasty, preload: 'eager' });
      /** @type {Record<string, Record<string, number>>} */
      const outcomes = {};
      /** @type {number[]} */
      const memory = [];
      for (let at = 0; at < count; at += 1) {
        const photo = photos[at % photos.length] ?? new Uint8Array();
        const [kind, damage] = (at % 10 === 9 && damages[((at / 10) % damages.length) | 0]) || ['sound', null];
        const outcome = await classifier
          .classify(new Blob([new Uint8Array(damage ? damage(photo) : photo)]), { heatmap: at % 50 === 0 })
          .then(
            ({ predictions }) => (predictions.length ? 'answered' : 'nothing'),
            (error) => String(error.code),
          );
        const seen = (outcomes[kind] ??= {});
        seen[outcome] = (seen[outcome] ?? 0) + 1;
        if (at % 100 === 99) memory.push((await classifier.health()).memory?.wasm ?? 0);
      }
      return { outcomes, memory };
    }, /** @type {const} */ ([SMALL, NAMES, COUNT, HASTY]));
  const { outcomes, memory } = await run();
  console.log(JSON.stringify(outcomes, null, 1), memory.map((bytes) => `${Math.round(bytes / 1e6)} MB`).join(' '));
  assert.deepEqual(outcomes['sound'], { answered: COUNT - COUNT / 10 });
  const { sound, ...damaged } = outcomes;
  for (const [kind, seen] of Object.entries(damaged))
    for (const outcome of Object.keys(seen))
      // What is damaged only in its middle may still be shown; nothing ends the worker.
      assert.match(outcome, /^(answered|image-corrupt|image-format|image-too-large)$/, kind);
  assert.equal(
    Object.values(damaged).reduce((sum, seen) => sum + Object.values(seen).reduce((one, other) => one + other), 0),
    COUNT / 10,
  );
  assert.ok(Math.max(...memory) <= (memory[0] ?? 0) + 4e6, `memory grows: ${memory}`);
  assert.equal((await health(page)).counters.crashes, 0);
  assert.equal(await workers(page), 1);
  await page.context().close();
});
