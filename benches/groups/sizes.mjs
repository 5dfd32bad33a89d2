// EfficientNet-Lite0 for inputs of several sizes → times; what of the kernel's own speed the networks reach

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MODELS, filesOf } from './networks.mjs';

const SIDES = [96, 160, 224, 320, 448];
/** Multiplications and additions of one run. */
const OPERATIONS = { 'efficientnet-lite0': 0.77e9, 'mobilenet-v2': 0.6e9, 'resnet-18': 3.63e9 };
const KERNELS = 'kernels+simd128,+relaxed-simd/wasm32-unknown-unknown/release/kernels.wasm';

/** Runs in the page: GFLOP/s of the kernel alone, operands in cache, the best of some slices. */
async function limit({ wasm, rounds }) {
  const { instance } = await WebAssembly.instantiate(await (await fetch(wasm)).arrayBuffer(), {});
  const { pointwise, operations, run } = instance.exports;
  const prepared = pointwise(196, 192, 48);
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    run(prepared, 40);
    best = Math.min(best, (performance.now() - start) / 40);
  }
  return operations(prepared) / best / 1e6;
}

export async function measure({ browser, cache, rounds }) {
  const sides = {};
  for (const side of SIDES) {
    const model = side === 224 ? MODELS[0] : `${MODELS[0]}-${side}`;
    const [row] = await browser.compare(['whylens'], filesOf(model), { rounds });
    sides[side] = row.median;
    console.log(`${side} px: ${row.median.toFixed(1)} ms`);
  }
  if (!existsSync(join(cache, KERNELS))) return { sides };
  const gflops = await browser.evaluate(limit, { wasm: `/cache/${KERNELS}`, rounds: 60 });
  const shares = {};
  for (const model of MODELS) {
    const [row] = await browser.compare(['whylens'], filesOf(model), { rounds });
    shares[model] = OPERATIONS[model] / row.median / 1e6 / gflops;
  }
  return { sides, gflops, shares };
}

export function table(runs) {
  const all = (pick, digits) => runs.map((run) => pick(run).toFixed(digits)).join(', ');
  const lines = [
    `| side of the input | ${SIDES.join(' | ')} |`,
    `|---|${SIDES.map(() => '---|').join('')}`,
    `| ms | ${SIDES.map((side) => all(({ sides }) => sides[side], 1)).join(' | ')} |`,
    `| ms a megapixel | ${SIDES.map((side) => all(({ sides }) => (sides[side] / side ** 2) * 1e6, 0)).join(' | ')} |`,
  ];
  if (!runs[0].shares) return lines.join('\n');
  const shares = MODELS.map((model) => `${model} ${all(({ shares }) => shares[model] * 100, 0)} %`);
  const kernel = all(({ gflops }) => gflops, 1);
  return [
    ...lines,
    '',
    `The kernel alone does ${kernel} GFLOP/s. Of that the networks reach: ${shares.join('; ')}.`,
  ].join('\n');
}
