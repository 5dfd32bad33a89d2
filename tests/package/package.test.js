// The npm package as a developer gets it: packed, installed, bundled or not, in Chromium.

import assert from 'node:assert/strict';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { browse } from '../web/browser.js';
import { TOP } from '../web/server.js';
import { Host, freePort, run, start, temporary } from '../site/site.js';
import { packed } from './packed.js';

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {{ path: string, remove: () => Promise<void> }} */
let place;
/** A project that has installed the tarball. @type {string} */
let app;
const bin = (/** @type {string} */ name) => join(TOP, 'tests/node_modules', name);

before(async () => {
  place = await temporary();
  browser = await browse();
  const tarball = await packed(place.path);
  app = join(place.path, 'app');
  await mkdir(join(app, 'public'), { recursive: true });
  await writeFile(join(app, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }));
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball], { cwd: app });
  await cp(join(app, 'node_modules/whylens/models'), join(app, 'public/models'), { recursive: true });
  await cp(join(TOP, 'tests/photos/coffee.png'), join(app, 'public/coffee.png'));
  await writeFile(
    join(app, 'index.html'),
    `<!doctype html><meta charset="utf-8"><title>app</title><link rel="icon" href="data:,">
<script type="module" src="/main.ts"></script>`,
  );
  await writeFile(
    join(app, 'main.ts'),
    `
import { load, WhylensError, type Classifier } from 'whylens';
import 'whylens/why-lens.js';

async function look(): Promise<string> {
  const classifier: Classifier = await load('models/efficientnet-lite0/', { onProgress: ({ loaded }) => void loaded.toFixed() });
  const photo = await (await fetch('coffee.png')).blob();
  const { predictions, heatmap } = await classifier.classify(photo);
  if (!heatmap) throw new WhylensError('bad-option', 'no heatmap');
  const overlay: ImageData = await classifier.render(heatmap, { width: 60, height: 40 });
  return \`\${predictions[0]?.label} \${heatmap.values.length} \${overlay.width}\`;
}
Object.assign(globalThis, { found: look() });
`,
  );
  await writeFile(
    join(app, 'vite.config.js'),
    "export default { base: './', optimizeDeps: { exclude: ['whylens'] } };\n",
  );
});

after(async () => {
  await browser?.close();
  await place?.remove();
});

/** @param {string} url */
async function visit(url) {
  const context = await browser.newContext();
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(url);
  return { context, page, complaints };
}

const ESPRESSO = /^espresso \d+ 60$/;
const found = (/** @type {import('playwright-core').Page} */ page) =>
  page
    .waitForFunction(() => 'found' in globalThis)
    .then(() => page.evaluate(() => /** @type {any} */ (globalThis).found));

test('a TypeScript project takes the types', { timeout: 60_000 }, async () => {
  const options = [
    '--noEmit',
    '--strict',
    '--target',
    'ES2022',
    '--module',
    'ESNext',
    '--moduleResolution',
    'bundler',
    '--lib',
    'ES2023,DOM,DOM.Iterable',
    '--types',
    '',
  ];
  await run(process.execPath, [bin('typescript/bin/tsc'), ...options, 'main.ts'], { cwd: app });
  await writeFile(join(app, 'wrong.ts'), "import { load } from 'whylens'; load(1); load('m', { preload: 'soon' });");
  const { stdout } = await run(process.execPath, [bin('typescript/bin/tsc'), ...options, 'wrong.ts'], {
    cwd: app,
  }).catch((error) => error);
  assert.equal(stdout.match(/error TS2345|error TS2322/g)?.length, 2, stdout);
});

test('a project built with Vite, served below a path', { timeout: 120_000 }, async () => {
  await run(process.execPath, [bin('vite/bin/vite.js'), 'build', '--logLevel', 'warn'], { cwd: app });
  const host = await new Host(join(app, 'dist'), { prefix: '/some/where/' }).start();
  const { context, page, complaints } = await visit(host.url);
  assert.match(await found(page), ESPRESSO);
  assert.deepEqual(complaints, []);
  assert.deepEqual(
    [/worker.*\.js$/, /\.wasm$/, /\.onnx$/].map((name) => host.seen.filter((path) => name.test(path)).length),
    [1, 1, 1],
    host.seen.join(' '),
  );
  host.seen = [];
  await page.reload();
  assert.match(await found(page), ESPRESSO);
  assert.equal(host.seen.filter((path) => /\.(wasm|onnx)$/.test(path)).length, 0, 'a second visit asks for nothing');
  await context.close();
  await host.stop();
});

test('a project in Vite’s development server', { timeout: 120_000 }, async () => {
  const port = await freePort();
  const server = await start(
    process.execPath,
    [bin('vite/bin/vite.js'), '--port', String(port), '--host', '127.0.0.1', '--strictPort'],
    `http://127.0.0.1:${port}/`,
    app,
  );
  const { context, page, complaints } = await visit(server.url);
  assert.match(await found(page), ESPRESSO);
  assert.deepEqual(complaints, []);
  await context.close();
  await server.stop();
});

test('a plain page: three elements share one worker and one model', { timeout: 120_000 }, async () => {
  const plain = join(place.path, 'plain');
  await cp(join(app, 'node_modules/whylens'), join(plain, 'lib'), { recursive: true });
  await cp(join(TOP, 'tests/photos/coffee.png'), join(plain, 'coffee.png'));
  await writeFile(
    join(plain, 'index.html'),
    `<!doctype html><meta charset="utf-8"><title>plain</title><link rel="icon" href="data:,">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src 'self' blob: data:; require-trusted-types-for 'script'; trusted-types whylens 'allow-duplicates'">
<script type="module" src="lib/why-lens.js"></script>
<why-lens model="lib/models/efficientnet-lite0/" src="coffee.png" alt="A cup"></why-lens>
<why-lens model="lib/models/efficientnet-lite0/" src="coffee.png" top-k="1"></why-lens>
<why-lens model="lib/models/efficientnet-lite0/" src="coffee.png" heatmap="off"></why-lens>`,
  );
  const host = await new Host(plain).start();
  const { context, page, complaints } = await visit(host.url);
  await page.waitForFunction(
    () =>
      Array.from(document.querySelectorAll('why-lens'), ({ shadowRoot }) => shadowRoot?.querySelector('li')).every(
        Boolean,
      ),
    undefined,
    { timeout: 60_000 },
  );
  const shown = await page.evaluate(() =>
    Array.from(document.querySelectorAll('why-lens'), ({ shadowRoot }) => ({
      classes: shadowRoot?.querySelectorAll('li').length,
      first: shadowRoot?.querySelector('li')?.textContent?.split(' ')[0],
      // Over the picture, which is drawn too.
      overlay: Boolean(shadowRoot?.querySelector('canvas + canvas')),
    })),
  );
  assert.deepEqual(shown, [
    { classes: 3, first: 'espresso', overlay: true },
    { classes: 1, first: 'espresso', overlay: true },
    { classes: 3, first: 'espresso', overlay: false },
  ]);
  assert.equal(page.workers().length, 1);
  assert.deepEqual(
    [/worker\.js$/, /\.wasm$/, /\.onnx$/, /model\.json$/].map(
      (name) => host.seen.filter((path) => name.test(path)).length,
    ),
    [1, 1, 1, 1],
    host.seen.join(' '),
  );
  assert.deepEqual(complaints, []);
  await context.close();
  await host.stop();
});

test('what is in the package is what package.json promises', async () => {
  const root = join(app, 'node_modules/whylens');
  const { exports, version, files } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  assert.equal(version, /^version = "(.*)"/m.exec(await readFile(join(TOP, 'Cargo.toml'), 'utf8'))?.[1]);
  for (const entry of ['.', './why-lens.js'])
    for (const file of Object.values(exports[entry])) assert.ok((await readFile(join(root, file))).length > 0, file);
  assert.ok(
    files.includes('licenses.txt') && (await readFile(join(root, 'licenses.txt'), 'utf8')).includes('tract-onnx'),
  );
  assert.doesNotMatch(await readFile(join(root, 'whylens.js'), 'utf8'), /^import .*views/m);
});
