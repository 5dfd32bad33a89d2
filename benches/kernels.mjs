// Built kernels (wasm files) → GFLOP/s of each case in one Chromium: node kernels.mjs FILE.wasm…

import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { createRequire } from 'node:module';
import { FLAGS } from '../tests/web/flags.js';

const CASES = [
  ['pointwise', 784, 192, 192],
  ['pointwise', 12544, 32, 16],
  ['pointwise', 12544, 16, 96],
  ['pointwise', 3136, 96, 24],
  ['pointwise', 3136, 24, 144],
  ['pointwise', 3136, 144, 24],
  ['pointwise', 784, 240, 40],
  ['pointwise', 784, 40, 240],
  ['pointwise', 196, 80, 480],
  ['pointwise', 196, 480, 112],
  ['pointwise', 196, 672, 112],
  ['pointwise', 49, 672, 192],
  ['pointwise', 49, 192, 1152],
  ['pointwise', 49, 1152, 192],
  ['pointwise', 49, 1152, 320],
  ['pointwise', 49, 320, 1280],
  ['pointwise', 1, 1280, 1000],
  ['dense', 112, 3, 32],
  ['dense', 56, 64, 64],
  ['dense', 28, 128, 128],
  ['dense', 14, 256, 256],
  ['dense', 7, 512, 512],
  ['winograd', 56, 64, 64],
  ['winograd', 28, 128, 128],
  ['winograd', 14, 256, 256],
  ['winograd', 8, 512, 512],
  ['depthwise', 112, 32, 3, 1],
  ['depthwise', 112, 96, 3, 2],
  ['depthwise', 56, 144, 3, 1],
  ['depthwise', 56, 144, 5, 2],
  ['depthwise', 28, 240, 5, 1],
  ['depthwise', 14, 480, 3, 1],
  ['depthwise', 14, 672, 5, 1],
  ['depthwise', 7, 1152, 5, 1],
];

/** Runs in the page. */
async function measure({ files, cases, rounds }) {
  const builds = await Promise.all(
    files.map(
      async (bytes) =>
        (
          await WebAssembly.instantiate(
            Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)),
            {},
          )
        ).instance.exports,
    ),
  );
  const rows = [];
  for (const [name, ...sizes] of cases) {
    const prepared = builds.map((build) => build[name](...sizes));
    const operations = builds[0].operations(prepared[0]);
    // Slices shorter than a scheduler's, so that the best is free of other processes.
    const times = Math.max(1, Math.round(1.2e8 / operations));
    const best = builds.map(() => Infinity);
    for (let round = 0; round < rounds; round++) {
      builds.forEach((build, i) => {
        const start = performance.now();
        build.run(prepared[i], times);
        best[i] = Math.min(best[i], (performance.now() - start) / times);
      });
    }
    builds.forEach((build, i) => build.forget(prepared[i]));
    rows.push({ name, sizes, milliseconds: best, gflops: best.map((ms) => operations / ms / 1e6) });
  }
  return rows;
}

const files = process.argv.slice(2);
const require = createRequire(process.env.BENCH_MODULES ? `${process.env.BENCH_MODULES}/` : import.meta.url);
const { chromium } = require('playwright-core');
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: FLAGS,
});
const page = await browser.newPage();
const rows = await page.evaluate(
  `(${measure})(${JSON.stringify({
    files: files.map((file) => readFileSync(file).toString('base64')),
    cases: CASES,
    rounds: 60,
  })})`,
);
await browser.close();
console.log(
  ['case'.padEnd(30), ...files.map((file) => basename(dirname(dirname(dirname(file)))).padStart(26))].join(''),
);
for (const { name, sizes, milliseconds, gflops } of rows) {
  const cells = gflops.map((rate, i) => `${milliseconds[i].toFixed(3)} ms ${rate.toFixed(1)} GF/s`.padStart(26));
  console.log([`${name} ${sizes.join(' ')}`.padEnd(30), ...cells].join(''));
}
