// www/ → a folder that npm packs: `node src/release/npm.js OUT`; needs `make build` first.
//
// The page's side finds the worker and the module's files by `new URL('./…', import.meta.url)`, spelled
// out as bundlers want it, and tells the worker of them in its address: a bundler gives each file a
// name of its own, and the worker, which it copies as it is, could not know. So the worker is one file.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const TOP = fileURLToPath(new URL('../..', import.meta.url));
// Installed where the tests' tools are.
const { build } = /** @type {typeof import('../../tests/node_modules/esbuild')} */ (createRequire(join(TOP, 'tests/'))('esbuild'));
const WWW = join(TOP, 'www');
const PKG = join(WWW, 'pkg');
const OUT = resolve(process.argv[2] ?? join(TOP, 'dist-npm'));
const ENTRIES = ['whylens.js', 'why-lens.js'];
const MODEL = 'models/efficientnet-lite0';

/** A value of Cargo.toml's `[package]`. @param {string} name */
function cargo(name) {
  const found = new RegExp(`^${name} = "(.*)"$`, 'm').exec(readFileSync(join(TOP, 'Cargo.toml'), 'utf8'));
  if (!found?.[1]) throw new Error(`Cargo.toml has no ${name}`);
  return found[1];
}

const builds = existsSync(PKG) ? readdirSync(PKG).filter((name) => existsSync(join(PKG, name, 'whylens_bg.wasm'))).sort() : [];
if (!builds.includes('run')) throw new Error('www/pkg is missing: run `make build` first');

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
for (const entry of ENTRIES) cpSync(join(WWW, entry), join(OUT, entry));
cpSync(join(WWW, 'library'), join(OUT, 'library'), { recursive: true });
for (const folder of builds) {
  for (const file of ['whylens.js', 'whylens_bg.wasm']) cpSync(join(PKG, folder, file), join(OUT, 'pkg', folder, file));
}

const places = builds.map((folder) => {
  const sha256 = createHash('sha256').update(readFileSync(join(PKG, folder, 'whylens_bg.wasm'))).digest('hex');
  const at = (/** @type {string} */ file) => `whole(new URL('../pkg/${folder}/${file}', import.meta.url))`;
  return `  '${folder}': { script: ${at('whylens.js')}, wasm: ${at('whylens_bg.wasm')}, sha256: '${sha256}' },`;
});
writeFileSync(join(OUT, 'library/address.js'), `// build of the module → the addresses of its files, which the worker is told in its own address.

/** Turbopack puts an object in place of a URL: it cannot be changed, and its address may lack the site. */
const whole = (url) => new URL(url.href, location.href).href;

// On a server there is no location.
const files = () => ({
${places.join('\n')}
});

/** @param {string} folder of a build, such as \`run\` */
export const wasm = (folder) => new URL(files()[folder]?.wasm ?? '');

export function worker() {
  const url = new URL(whole(new URL('../worker/worker.js', import.meta.url)));
  url.hash = encodeURIComponent(JSON.stringify(files()));
  return url;
}
`);

/** @type {import('../../tests/node_modules/esbuild').Plugin} */
const told = {
  name: 'told',
  setup({ onLoad }) {
    onLoad({ filter: /\/files\.js$/ }, () => ({
      contents: `const told = JSON.parse(decodeURIComponent(location.hash.slice(1)));
        export const glue = (folder) => new URL(told[folder].script);
        export const wasm = (folder) => new URL(told[folder].wasm);
        export const version = (folder) => told[folder].sha256;`,
    }));
  },
};
await build({ entryPoints: [join(WWW, 'worker/worker.js')], outfile: join(OUT, 'worker/worker.js'), bundle: true, format: 'esm', target: 'es2022', plugins: [told], logLevel: 'warning' });

const types = ['--ignoreConfig', '--allowJs', '--declaration', '--emitDeclarationOnly', '--outDir', join(OUT, 'types'), '--rootDir', WWW,
  '--target', 'ES2022', '--lib', 'ES2023,DOM,DOM.Iterable,DOM.AsyncIterable', '--module', 'ESNext', '--moduleResolution', 'bundler', '--skipLibCheck', '--types', ''];
execFileSync(process.execPath, [join(TOP, 'tests/node_modules/typescript/bin/tsc'), ...types, ...ENTRIES.map((entry) => join(WWW, entry))], { stdio: 'inherit' });

for (const file of ['LICENSE-APACHE', 'LICENSE-MIT']) cpSync(join(TOP, file), join(OUT, file));
cpSync(join(TOP, 'docs/npm.md'), join(OUT, 'README.md'));
cpSync(join(WWW, 'licenses.txt'), join(OUT, 'licenses.txt'));
for (const file of readdirSync(join(TOP, MODEL)).filter((name) => !name.endsWith('.py'))) cpSync(join(TOP, MODEL, file), join(OUT, MODEL, file));

const entry = (/** @type {string} */ file) => ({ types: `./types/${file.replace(/\.js$/, '.d.ts')}`, default: `./${file}` });
writeFileSync(join(OUT, 'package.json'), `${JSON.stringify({
  name: cargo('name'),
  version: cargo('version'),
  description: cargo('description'),
  license: '(MIT OR Apache-2.0)',
  repository: { type: 'git', url: `git+${cargo('repository')}.git` },
  keywords: ['onnx', 'grad-cam', 'image-classification', 'wasm', 'explainability', 'custom-element'],
  type: 'module',
  sideEffects: ['./why-lens.js', './worker/worker.js'],
  exports: {
    '.': entry('whylens.js'),
    './why-lens.js': entry('why-lens.js'),
    './models/*': './models/*',
    './package.json': './package.json',
  },
  types: './types/whylens.d.ts',
  files: ['*.js', 'library', 'worker', 'pkg', 'types', 'models', 'licenses.txt', 'LICENSE-*'],
}, null, 2)}\n`);
console.log(`${OUT}: ${cargo('name')} ${cargo('version')} with ${builds.join(' and ')}`);
