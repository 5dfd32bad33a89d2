// Cargo's dependencies → the licences of everything that is linked into the WebAssembly module:
// `node src/release/licenses.js OUT`.

import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const TOP = fileURLToPath(new URL('../..', import.meta.url));
const TARGET = 'wasm32-unknown-unknown';

/**
 * @typedef {{ id: string, name: string, version: string, license: string | null, repository: string | null, authors:
 *   string[], manifest_path: string, targets: { kind: string[] }[] }} Package
 */
/** @typedef {{ id: string, deps: { pkg: string, dep_kinds: { kind: string | null }[] }[] }} Node */

/** @type {{ packages: Package[], resolve: { root: string, nodes: Node[] } }} */
const metadata = JSON.parse(execFileSync('cargo', ['metadata', '--format-version', '1', '--locked', '--filter-platform', TARGET], { cwd: TOP, maxBuffer: 1 << 28, encoding: 'utf8' }));
const packages = new Map(metadata.packages.map((one) => [one.id, one]));
const nodes = new Map(metadata.resolve.nodes.map((one) => [one.id, one]));

/** @type {Set<string>} what is linked: no build scripts, no macros, nothing for tests */
const linked = new Set();
const pending = [metadata.resolve.root];
for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
  const macro = packages.get(id)?.targets.some(({ kind }) => kind.includes('proc-macro'));
  if (linked.has(id) || macro) continue;
  linked.add(id);
  for (const { pkg, dep_kinds: kinds } of nodes.get(id)?.deps ?? []) if (kinds.some(({ kind }) => kind === null)) pending.push(pkg);
}

/**
 * The MIT licence alone where it is one of several to choose from: it is the shortest.
 * @param {Package} crate
 */
function texts({ manifest_path: manifest, license }) {
  const folder = dirname(manifest);
  const names = readdirSync(folder).filter((name) => /^(licen[cs]e|copying|notice|unlicense|copyright)/i.test(name) && !/\.(rs|toml)$/.test(name)).sort();
  const mit = /\bMIT\b/.test(license ?? '') && !/\bAND\b/.test(license ?? '') ? names.filter((name) => /mit/i.test(name)) : [];
  return (mit.length ? mit : names).map((name) => {
    try {
      return readFileSync(join(folder, name), 'utf8').replace(/\r\n/g, '\n').trim();
    } catch {
      return '';
    }
  }).filter(Boolean);
}

/** @type {Map<string, string[]>} text → crates that have it */
const held = new Map();
const crates = [...linked].map((id) => /** @type {Package} */ (packages.get(id))).sort((a, b) => a.name.localeCompare(b.name, 'en') || a.version.localeCompare(b.version, 'en'));
const rows = crates.map((crate) => {
  if (!crate.license) throw new Error(`${crate.name} ${crate.version} names no licence`);
  const found = texts(crate);
  for (const text of found) held.set(text, [...(held.get(text) ?? []), `${crate.name} ${crate.version}`]);
  return `${crate.name} ${crate.version}: ${crate.license}${found.length ? '' : ' (no text in the crate)'}${crate.authors.length ? `, by ${crate.authors.join(', ')}` : ''}`;
});
const line = '='.repeat(80);
const own = ['LICENSE-MIT', 'LICENSE-APACHE'].map((name) => readFileSync(join(TOP, name), 'utf8').trim());
for (const text of own) held.delete(text);
const body = [
  'Whylens is MIT or Apache-2.0, as you like. Its WebAssembly module holds code of these crates:',
  rows.filter((row) => !row.startsWith('whylens ')).join('\n'),
  'Models have licences of their own; see LICENSE and model.json beside them.',
  ...own.map((text) => `${line}\nWhylens\n${line}\n\n${text}`),
  ...[...held].map(([text, of]) => `${line}\n${of.join(', ')}\n${line}\n\n${text}`),
].join('\n\n');
writeFileSync(process.argv[2] ?? join(TOP, 'www/licenses.txt'), `${body}\n`);
console.log(`licences of ${rows.length - 1} crates, ${held.size} different texts`);
