// Model folders made to do harm, in the browser: those of `cargo test --release --test hostile`, which leaves them in
// target/hostile/, and texts with markup on the page.

import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CLASSES, folder } from '../web/onnx.js';
import { SMALL, Stage, attempt, look } from '../web/page.js';
import { TOP } from '../web/server.js';
import { Host, TOOL, open, run, temporary } from './site.js';

/** @typedef {{ name: string, file: string, at: number, code: string }} Case */

/** The library in the page. @type {typeof import('../../www/whylens.js')} */
const whylens = /** @type {any} */ (undefined);

const stage = new Stage();
const { server } = stage;
before(() => stage.start());
after(() => stage.stop());

const SOUND = 'one\ntwo\nthree';

/** A folder that holds this graph. @param {Buffer} onnx */
const around = (onnx) =>
  folder({
    onnx,
    name: 'hostile',
    change: (manifest) => {
      Object.assign(manifest.input, {
        width: 8,
        height: 8,
        crop: 'none',
        resize: { mode: 'exact', filter: 'bilinear' },
      });
      manifest.heatmap.layer = null;
    },
  });

test('each is refused with its code within two seconds, and the next call works', { timeout: 600_000 }, async (t) => {
  /** @type {Case[]} */
  const cases = JSON.parse(
    await readFile(join(TOP, 'target/hostile/cases.json'), 'utf8').catch(() => {
      throw new Error('target/hostile is missing: run `cargo test --release --test hostile`');
    }),
  );
  assert.ok(cases.length > 100);
  const held = (/** @type {number} */ at) => readFile(join(TOP, `target/hostile/${at}`));
  const sound = around(await held(0));
  const page = await stage.page();
  assert.equal(await look(page), 'ok');
  /** @type {string[]} */
  const wrong = [];
  /** @type {string[]} */
  const crashed = [];
  const rows = ['| hostile input | code in Chromium | ms | MB of WebAssembly memory |', '|---|---|---:|---:|'];
  for (const { name, file, at, code: native } of cases) {
    // The page gives its reader's own model by such addresses.
    const expected = name.includes('blob:') ? 'network' : native;
    if (file === 'model.json' && expected === '-') continue;
    const bytes = await held(at);
    const files = file === 'model.onnx' ? around(bytes) : { ...sound, [file]: bytes };
    // An address of its own: one that ended the worker three times is not tried again.
    const hostile = `/models/hostile-${at}/`;
    server.put(hostile, { ...files, 'labels.txt': file === 'labels.txt' ? bytes : Buffer.from(SOUND) });
    const outcome = await attempt(page, hostile, { memoryLimit: 512e6 });
    const code = outcome.ok ? '-' : outcome.code;
    const memory = await page.evaluate(async ([small, hostile]) => {
      const { wasm = 0 } = (await (await whylens.load(small)).health()).memory ?? {};
      if ((await whylens.health(hostile)).model_loaded) await (await whylens.load(hostile)).dispose();
      return wasm;
    }, /** @type {const} */ ([SMALL, hostile]));
    const next = await look(page);
    rows.push(`| ${name} | \`${code}\` | ${Math.round(outcome.ms)} | ${(memory / 1e6).toFixed(0)} |`);
    // What the engine does not look for ends the worker: natively the panic is caught, here it is not.
    const right = code === expected || (code === 'worker-crashed' && expected === 'unsupported-model');
    if (code === 'worker-crashed') crashed.push(name);
    if (!right || (!outcome.ok && outcome.ms > 2000) || memory > 512e6 || next !== 'ok') {
      wrong.push(
        `${name}: ${code}, expected ${expected}, ${Math.round(outcome.ms)} ms, ${memory} bytes, next ${next}: ${outcome.message?.slice(0, 300)}`,
      );
    }
    if ((outcome.message?.length ?? 0) > 4000) wrong.push(`${name}: a message of ${outcome.message?.length} letters`);
  }
  t.diagnostic(`${cases.length} cases, ${crashed.length} of which ended the worker: ${crashed.join('; ')}`);
  assert.ok(crashed.length < 20);
  console.log(rows.join('\n'));
  assert.deepEqual(wrong, []);
  await page.context().close();
});

test('markup in labels, manifest and file names is text on the page', { timeout: 120_000 }, async () => {
  const { path, remove } = await temporary();
  const evil = (/** @type {string} */ where) =>
    `<img src=x onerror="document.hacked='${where}'"><script>document.hacked='${where}'</script>`;
  const labels = Array.from({ length: CLASSES }, (_, at) => `${evil('label')} ${at} \u202e"'&lt;`);
  const files = folder({
    change: (manifest) => {
      for (const field of ['name', 'version', 'license', 'source', 'disclaimer']) manifest[field] = evil(field);
      manifest.heatmap.layer = null;
    },
  });
  await mkdir(join(path, 'model'));
  for (const [name, bytes] of Object.entries({ ...files, 'labels.txt': labels.join('\n') }))
    await writeFile(join(path, 'model', name), bytes);
  await run(TOOL, ['dist', join(path, 'model'), '--out', join(path, 'site'), '--page', TOP, '--compress', 'none']);
  const host = await new Host(join(path, 'site')).start();
  const context = await stage.browser.newContext();
  const { page, complaints } = await open(context, host.url);
  await page.waitForSelector('[data-phase="ready"]', { timeout: 60_000 });
  const photo = await readFile(join(TOP, 'tests/photos/rocket.jpg'));
  await page.setInputFiles('#chooser', [
    { name: `${evil('file')}.jpg`, mimeType: 'image/jpeg', buffer: photo },
    { name: `${evil('damaged')}\u202egpj.exe`, mimeType: 'image/jpeg', buffer: photo.subarray(0, 300) },
    { name: `${'x'.repeat(5000)}.jpg`, mimeType: 'image/jpeg', buffer: photo },
  ]);
  await page.locator('.verdict', { hasText: '<img src=x' }).waitFor({ timeout: 60_000 });
  await page.waitForFunction(
    () =>
      document.querySelectorAll('.tile[data-status]:not([data-status="waiting"]):not([data-status="busy"])').length ===
      3,
    undefined,
    { timeout: 60_000 },
  );
  const buttons = await page.locator('#tools button').all();
  for (const [at, button] of buttons.entries()) {
    await button.click();
    // Those of the model and of the settings open dialogs, which are fetched with their first use.
    if (at === 0 || at === buttons.length - 1) await page.locator('dialog[open]').waitFor();
    await page.keyboard.press('Escape');
  }
  const found = await page.evaluate(() => ({
    hacked: /** @type {any} */ (document).hacked,
    made: document.querySelectorAll('img[onerror], script:not([src])').length,
    wide: document.documentElement.scrollWidth <= innerWidth,
  }));
  assert.deepEqual(found, { hacked: undefined, made: 0, wide: true });
  assert.deepEqual(complaints, []);
  await context.close();
  await host.stop();
  await remove();
});

test('nothing that was not expected was thrown on the page', () => assert.deepEqual(stage.errors, []));
