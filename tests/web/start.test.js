// Every file that the library needs to start, each served wrongly once and for ever.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { COMPILE } from '../../www/library/features.js';
import { Stage, attempt, look } from './page.js';
import { TOP } from './server.js';

/** @typedef {import('./server.js').Behaviour} Behaviour */

const stage = new Stage();
const { server } = stage;
before(() => stage.start());
after(() => stage.stop());

const PKG = `/www/pkg/${COMPILE.folder}`;
const FILES = {
  "the worker's script": '/www/worker/worker.js',
  'a script that it imports': '/www/worker/modules.js',
  "the module's script": `${PKG}/whylens.js`,
  'the script with its SHA-256': `${PKG}/version.js`,
  'the WebAssembly file': `${PKG}/whylens_bg.wasm`,
};

/** @type {[string, (size: number) => Behaviour][]} */
const FAULTS = [
  ['refused by 503', () => ({ status: 503 })],
  ['cut half-way', (size) => ({ cut: size >> 1 })],
  // As some proxies do. A file that is cut in the middle of its last statement is no script either.
  ['ending half-way without an error', (size) => ({ cut: size >> 1, length: false })],
  ['stalling half-way', (size) => ({ stall: size >> 1 })],
  ['missing', () => ({ status: 404 })],
];

for (const [name, path] of Object.entries(FILES)) {
  describe(name, () => {
    for (const [what, how] of FAULTS) {
      const isWasm = path.endsWith('.wasm');
      // Of the WebAssembly file the status is known, and 404 does not pass.
      const passes = !(isWasm && what === 'missing');
      const code = isWasm && /503|missing/.test(`${how(0).status} ${what}`) ? 'http-status' : 'network';
      const stalls = what.startsWith('stalling');
      // A busy machine may need long to start a worker.
      const wanted = { retries: 1, stallTimeout: stalls ? 2500 : 20_000 };

      test(`${what}, once`, { timeout: 60_000, skip: !passes && 'it does not pass' }, async () => {
        const page = await stage.page();
        server.forget();
        server.behave(path, how(await sizeOf(path)), {});
        const outcome = await attempt(page, undefined, wanted);
        assert.equal(outcome.code, undefined, outcome.message);
        assert.equal(server.count(path), 2);
        assert.equal(await look(page), 'ok');
        await page.context().close();
      });

      test(`${what}, for ever`, { timeout: 60_000 }, async () => {
        const page = await stage.page();
        server.forget();
        server.behave(path, how(await sizeOf(path)));
        const outcome = await attempt(page, undefined, wanted);
        assert.equal(outcome.code, code, outcome.message);
        assert.doesNotMatch(outcome.message ?? '', /another photo/);
        assert.equal(server.count(path), passes ? 2 : 1);
        server.behave(path);
        assert.equal(await look(page), 'ok', 'the next call');
        await page.context().close();
      });
    }
  });
}

/** @param {string} path */
const sizeOf = async (path) => (await readFile(join(TOP, path))).length;

test('a start that stalls can be cancelled', { timeout: 60_000 }, async () => {
  const page = await stage.page();
  server.behave('/www/worker/worker.js', { stall: 100 });
  const took = await page.evaluate(async (model) => {
    const { load } = /** @type {any} */ (globalThis).whylens;
    const controller = new AbortController();
    const loading = load(model, { signal: controller.signal, preload: 'eager' });
    setTimeout(() => controller.abort(), 200);
    return loading.then(
      () => 'ready',
      (/** @type {{ code: string }} */ { code }) => code,
    );
  }, '/models/small/');
  assert.equal(took, 'cancelled');
  server.behave('/www/worker/worker.js');
  assert.equal((await attempt(page, undefined, { stallTimeout: 5000 })).code, undefined);
  await page.context().close();
});

test('nothing that was not expected was thrown on the page', () => assert.deepEqual(stage.errors, []));
