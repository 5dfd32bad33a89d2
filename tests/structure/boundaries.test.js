// What may name what: read off the sources.

import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const TOP = fileURLToPath(new URL('../..', import.meta.url));

/** The sources below a folder, by their paths. @param {string} folder @param {RegExp} kind @param {string} [but] */
async function sources(folder, kind, but) {
  const entries = await readdir(join(TOP, folder), { recursive: true, withFileTypes: true });
  /** @type {Map<string, string>} */
  const found = new Map();
  for (const entry of entries) {
    const path = relative(TOP, join(entry.parentPath, entry.name));
    if (!entry.isFile() || !kind.test(path) || (but && path.startsWith(but))) continue;
    found.set(path, await readFile(join(TOP, path), 'utf8'));
  }
  assert.ok(found.size > 0, `${folder} holds nothing`);
  return found;
}

/** Code without its comments. @param {string} text */
const code = (text) => text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');

/** @param {Map<string, string>} files @param {RegExp} pattern @param {(path: string) => boolean} allowed */
function only(files, pattern, allowed) {
  const naming = [...files].filter(([, text]) => pattern.test(code(text))).map(([path]) => path);
  assert.ok(naming.some(allowed), `nothing names ${pattern} any more: the rule is out of date`);
  assert.deepEqual(
    naming.filter((path) => !allowed(path)),
    [],
  );
}

const rust = await sources('src', /\.rs$/);
const scripts = await sources('www', /\.js$/, 'www/pkg');

test('only src/model/ names tract', () => {
  only(rust, /\btract_/, (path) => path.startsWith('src/model/'));
});

test('src/model/run/ names nothing of src/model/compile/', () => {
  const run = new Map([...rust].filter(([path]) => path.startsWith('src/model/run/')));
  assert.ok(run.size > 5);
  for (const [path, text] of run) assert.doesNotMatch(code(text), /\bcompile::|\bmodel::\{[^}]*\bcompile\b/, path);
});

test('what runs a plan names nothing of tract', () => {
  const run = [...rust].filter(([path]) => path.startsWith('src/model/run/'));
  assert.ok(run.some(([path]) => path === 'src/model/run/steps/executor.rs'));
  for (const [path, text] of run) {
    const [outside] = code(text).split('#[cfg(test)]\nmod tests');
    assert.doesNotMatch(outside, /\btract_|\bTract[A-Z]/, path);
  }
});

test('only the surface for JavaScript, downloads and the clock of the browser name its types', () => {
  const allowed = (/** @type {string} */ path) => /^src\/(wasm|fetch)(\.rs$|\/)/.test(path);
  only(rust, /\b(js_sys|web_sys|wasm_bindgen)\b/, allowed);
});

test('only www/worker/ names the modules in www/pkg/', () => {
  only(scripts, /\/pkg\//, (path) => path.startsWith('www/worker/'));
});

test('the library and the worker import nothing of the page', () => {
  for (const [path, text] of scripts) {
    if (/^www\/(library|worker)\/|^www\/[\w-]+\.js$/.test(path))
      assert.doesNotMatch(code(text), /from '[^']*\/page\//, path);
  }
});

test('only main.js knows the views', () => {
  const outside = new Map([...scripts].filter(([path]) => !path.startsWith('www/page/views/')));
  only(outside, /from '[^']*\/views\//, (path) => path === 'www/page/main.js');
});
