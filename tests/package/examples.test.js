// The projects of examples/, each built as its README says and opened in Chromium.

import assert from 'node:assert/strict';
import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { browse } from '../web/browser.js';
import { hold } from '../web/held.js';
import { TOP } from '../web/server.js';
import { Host, open, run } from '../site/site.js';
import { packed } from './packed.js';

const EXAMPLES = join(TOP, 'examples');
const TOOLS = join(TOP, 'tests/node_modules');

/** Below tests/, so that they find the frameworks in tests/node_modules, where the lock file pins all of them. */
const BUILT = join(TOP, 'tests/package/built');

/** What builds each, and the folder that is uploaded. */
const PROJECTS = {
  html: { build: [], out: '' },
  vite: { build: ['vite/bin/vite.js', 'build', '--logLevel', 'warn'], out: 'dist' },
  react: { build: ['vite/bin/vite.js', 'build', '--logLevel', 'warn'], out: 'dist' },
  svelte: { build: ['vite/bin/vite.js', 'build', '--logLevel', 'warn'], out: 'dist' },
  next: { build: ['next/dist/bin/next', 'build'], out: 'out' },
};

/** @type {import('playwright-core').Browser} */
let browser;
const remove = hold(() => rm(BUILT, { recursive: true, force: true, maxRetries: 20 }));

before(async () => {
  browser = await browse();
  await rm(BUILT, { recursive: true, force: true });
  await mkdir(BUILT, { recursive: true });
  await writeFile(join(BUILT, 'package.json'), JSON.stringify({ name: 'built', private: true }));
  const tarball = await packed(BUILT);
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', '--no-package-lock', tarball], { cwd: BUILT });
  for (const name of Object.keys(PROJECTS)) await cp(join(EXAMPLES, name), join(BUILT, name), { recursive: true });
});

after(async () => {
  await browser?.close();
  await remove();
});

test('every project is tested, with the versions that it names', async () => {
  const entries = await readdir(EXAMPLES, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  assert.deepEqual(folders.sort(), Object.keys(PROJECTS).sort());
  const listed = await readFile(join(EXAMPLES, 'README.md'), 'utf8');
  const tests = JSON.parse(await readFile(join(TOP, 'tests/package.json'), 'utf8')).devDependencies;
  const version = /^version = "(.*)"/m.exec(await readFile(join(TOP, 'Cargo.toml'), 'utf8'))?.[1];
  for (const name of folders) {
    assert.ok(listed.includes(`(${name}/)`), name);
    const { dependencies, devDependencies } = JSON.parse(await readFile(join(EXAMPLES, name, 'package.json'), 'utf8'));
    for (const [needed, wanted] of Object.entries({ ...dependencies, ...devDependencies }))
      assert.equal(wanted, needed === 'whylens' ? version : tests[needed], `${needed} of ${name}`);
  }
});

test('the hook has 15 lines, and is the same in both projects', async () => {
  const hook = await readFile(join(EXAMPLES, 'react/useWhylens.js'), 'utf8');
  assert.equal(await readFile(join(EXAMPLES, 'next/app/useWhylens.js'), 'utf8'), hook);
  const body = hook.slice(hook.indexOf('export function')).trim().split('\n');
  assert.ok(body.length <= 15, `${body.length} lines`);
});

for (const [name, { build, out }] of Object.entries(PROJECTS))
  test(`examples/${name}`, { timeout: 300_000 }, async () => {
    const folder = join(BUILT, name);
    const { scripts } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
    // As `npm run model` does it, whose node_modules is one folder up here.
    const copy = String(scripts.model ?? scripts.copy).replaceAll('node_modules/', '../node_modules/');
    await run('sh', ['-c', copy], { cwd: folder });
    const [tool, ...options] = build;
    const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' };
    if (tool) await run(process.execPath, [join(TOOLS, tool), ...options], { cwd: folder, env });
    const host = await new Host(join(folder, out)).start();
    const context = await browser.newContext();
    const { page, complaints } = await open(context, host.url);
    await page.locator('input[type=file]').setInputFiles(join(TOP, 'tests/photos/coffee.png'));
    await page.locator('output', { hasText: /^espresso, \d+ %$/ }).waitFor({ timeout: 60_000 });
    assert.ok(await page.waitForFunction(isDrawn), 'the photo is drawn, with its heatmap');
    assert.deepEqual(
      [/worker[^/]*\.js$/, /\.wasm$/, /\.onnx$/].map((kind) => host.seen.filter((path) => kind.test(path)).length),
      [1, 1, 1],
      host.seen.join(' '),
    );
    assert.deepEqual(complaints, []);
    await context.close();
    await host.stop();
  });

/** Whether the canvas holds a picture of many colours. */
function isDrawn() {
  const canvas = document.querySelector('canvas');
  if (!canvas?.width) return false;
  const { data } = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d')).getImageData(
    0,
    0,
    canvas.width,
    canvas.height,
  );
  return new Set(new Uint32Array(data.buffer)).size > 1000;
}
