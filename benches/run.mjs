// Groups of measurements → tables, and target/bench/GROUP.json: node run.mjs CACHE [GROUP…]
//
// CACHE holds what models.py and architectures.py made, and the node modules of the peers; it stays outside git.

import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Browser } from './page.mjs';
import { Server } from './server.mjs';

const GROUPS = ['architectures', 'networks', 'starts', 'sizes', 'bytes', 'photos'];
const HERE = fileURLToPath(new URL('.', import.meta.url));
const [cache, ...asked] = process.argv.slice(2);
const list = (text) => text?.split(',').filter(Boolean) ?? [];
const www = process.env.WHYLENS_WWW ?? join(HERE, '../www');
const packages = join(cache, 'node_modules');
const [rounds, runs] = [process.env.ROUNDS ?? 21, process.env.RUNS ?? 1].map(Number);

const unknown = asked.filter((name) => !GROUPS.includes(name));
if (unknown.length > 0) throw new Error(`${unknown} is none of the groups ${GROUPS.join(', ')}`);

const roots = {
  shipped: join(HERE, '../models/efficientnet-lite0'),
  photos: join(HERE, '../tests/photos'),
  bench: HERE,
  cache,
  modules: packages,
  www,
};
const server = await new Server(roots).start();
const browser = await Browser.open(server, packages);
const require = createRequire(`${packages}/`);
const version = (name) => `${name} ${require(join(packages, name, 'package.json')).version}`;
const machine = {
  date: new Date().toISOString(),
  cpu: `${cpus().length} × ${cpus()[0].model}`,
  memory: `${(totalmem() / 1e9).toFixed(0)} GB`,
  chromium: browser.chromium.version(),
  peers: ['onnxruntime-web', '@litertjs/core', '@tensorflow/tfjs-backend-wasm'].map(version),
  rounds,
};
console.log(machine);
const bench = { server, browser, cache, packages, www, rounds, only: list(process.env.MODELS) };
mkdirSync(cache, { recursive: true });
try {
  for (const group of asked.length > 0 ? asked : GROUPS) {
    const { measure, table } = await import(`./groups/${group}.mjs`);
    const done = [];
    for (let run = 0; run < runs; run++) {
      done.push(await measure(bench));
      writeFileSync(join(cache, `${group}.json`), JSON.stringify({ machine, runs: done }, null, 1));
    }
    console.log(`\n${table(done)}\n`);
  }
} finally {
  await browser.close();
  server.stop();
}
