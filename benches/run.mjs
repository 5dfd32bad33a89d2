// Engines and models → medians side by side, in one page of one Chromium: node run.mjs CACHE PACKAGES [ROUNDS]
//
// CACHE holds what models.py made, PACKAGES is the folder of the node modules; both stay outside git.

import { createServer } from 'node:http';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants } from 'node:zlib';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const [cache, packages, rounds = '60'] = process.argv.slice(2);
const www = process.env.WHYLENS_WWW ?? join(HERE, '../www');
const only = process.env.ENGINES?.split(',');
const MODELS = (process.env.MODELS ?? 'efficientnet-lite0,mobilenet-v2,resnet-18').split(',');
const WIRE = {
  whylens: [`${www}/pkg/run/whylens.js`, `${www}/pkg/run/whylens_bg.wasm`],
  'whylens relaxed': [`${www}/pkg/run-relaxed/whylens.js`, `${www}/pkg/run-relaxed/whylens_bg.wasm`],
  'whylens, without a plan': [`${www}/pkg/compile/whylens.js`, `${www}/pkg/compile/whylens_bg.wasm`],
  'onnxruntime-web': ['ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'].map((file) =>
    join(packages, 'onnxruntime-web/dist', file),
  ),
  'LiteRT.js': ['dist/index.js', 'wasm/litert_wasm_internal.js', 'wasm/litert_wasm_internal.wasm'].map((file) =>
    join(packages, '@litertjs/core', file),
  ),
  tfjs: [
    'tfjs-core/dist/tf-core.min.js',
    'tfjs-backend-wasm/dist/tf-backend-wasm.min.js',
    'tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm',
  ].map((file) => join(packages, '@tensorflow', file)),
};
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
};
/** Multiplications and additions of one run. */
const OPERATIONS = { 'efficientnet-lite0': 0.77e9, 'mobilenet-v2': 0.6e9, 'resnet-18': 3.63e9 };
/** Sides that one network is run at. */
const SIDES = [96, 160, 224, 320, 448];
const ROOTS = {
  shipped: join(HERE, '../models/efficientnet-lite0'),
  bench: HERE,
  cache,
  modules: packages,
  run: join(www, 'pkg/run'),
  'run-relaxed': join(www, 'pkg/run-relaxed'),
};

const server = createServer(async (request, response) => {
  const [root, ...rest] = decodeURIComponent(new URL(request.url, 'http://x').pathname).slice(1).split('/');
  try {
    let body =
      root === '' ? Buffer.from('<!doctype html><title>bench</title>') : await readFile(join(ROOTS[root], ...rest));
    // A bare import, which an import map would serve in a page that has one.
    if (rest[0] === '@litertjs' && rest.at(-1).endsWith('.js') && rest.includes('dist')) {
      body = Buffer.from(
        String(body).replaceAll('"@litertjs/wasm-utils"', '"/modules/@litertjs/wasm-utils/dist/index.js"'),
      );
    }
    response.writeHead(200, {
      'Content-Type': TYPES[extname(rest.at(-1) ?? 'page.html')] ?? 'application/octet-stream',
      'Content-Length': body.length,
      'Cache-Control': 'no-store',
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    });
    response.end(body);
  } catch {
    response.writeHead(404).end();
  }
}).listen(0, '127.0.0.1');
const address = () => `http://127.0.0.1:${server.address().port}/`;

/** Runs in the page. */
async function sideBySide({ names, model, rounds }) {
  const { ENGINES } = await import('/bench/engines.js');
  const loaded = [];
  for (const name of names) {
    const engine = ENGINES[name]();
    await engine.start();
    const load = await engine.load(model);
    loaded.push({ name, engine, load, times: [], scores: null });
  }
  for (let round = -10; round < rounds; round++) {
    for (const entry of loaded) {
      const { scores, milliseconds } = await entry.engine.run();
      if (round >= 0) entry.times.push(milliseconds);
      entry.scores = scores;
    }
  }
  return loaded.map(({ name, engine, load, times, scores }) => ({
    name,
    load,
    times,
    memory: engine.memory(),
    scores: [...scores],
  }));
}

/** Runs in a fresh page: ms from navigation to the first prediction. */
async function cold({ name, model }) {
  const { ENGINES } = await import('/bench/engines.js');
  const engine = ENGINES[name]();
  await engine.start();
  await engine.load(model, { waiting: true });
  await engine.run();
  return performance.now();
}

/**
 * Runs in the page: GFLOP/s of the kernel alone, operands in cache, the best of some slices; what no network can
 * exceed.
 */
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

/** Runs in the page: memory of the model as it is shipped, FP16, and times of one network at several sizes. */
async function alone({ name, sides, rounds }) {
  const { ENGINES } = await import('/bench/engines.js');
  const engine = ENGINES[`${name} + heatmap`]();
  await engine.start();
  const load = await engine.load('shipped');
  for (let round = 0; round < 5; round++) await engine.run();
  const memory = engine.memory();
  const sizes = [];
  for (const side of sides) {
    await engine.load(side === 224 ? 'efficientnet-lite0' : `efficientnet-lite0-${side}`);
    const times = [];
    for (let round = -5; round < rounds; round++) {
      const { milliseconds } = await engine.run();
      if (round >= 0) times.push(milliseconds);
    }
    sizes.push({ side, median: times.sort((a, b) => a - b)[times.length >> 1], memory: engine.memory() });
  }
  return { load, memory, sizes };
}

const quantile = (values, q) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];
const median = (values) => quantile(values, 0.5);

const { chromium } = createRequire(`${packages}/`)('playwright-core');
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
const evaluate = async (task, argument) => {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && console.error(message.text()));
  await page.goto(address());
  try {
    return await page.evaluate(`(${task})(${JSON.stringify(argument)})`);
  } finally {
    await context.close();
  }
};

const names = [
  'whylens',
  'whylens + heatmap',
  'whylens relaxed',
  'whylens relaxed + heatmap',
  'onnxruntime-web',
  'LiteRT.js',
  'tfjs',
]
  .filter((name) => (only ? only.includes(name) : true))
  .filter((name) => !name.includes('relaxed') || existsSync(join(www, 'pkg/run-relaxed')));
const report = {
  date: new Date().toISOString(),
  chromium: browser.version(),
  cpu: cpus()[0].model,
  rounds: +rounds,
  models: {},
  wire: {},
};
for (const model of MODELS) {
  const results = await evaluate(sideBySide, { names, model, rounds: +rounds });
  const reference = results.find(({ name }) => name === 'onnxruntime-web') ?? results[0];
  const peers = results.filter(({ name }) => !name.startsWith('whylens'));
  const best = (key) => Math.min(...peers.map(key));
  const rows = results.map(({ name, load, times, memory, scores }) => {
    const difference = Math.max(...scores.map((score, i) => Math.abs(score - reference.scores[i])));
    // Unequal work is not compared.
    if (!(difference <= 1e-3) || scores.length !== reference.scores.length) {
      throw new Error(`${name} and ${reference.name} differ by ${difference} on ${model}`);
    }
    return {
      name,
      median: median(times),
      p10: quantile(times, 0.1),
      p90: quantile(times, 0.9),
      ratio: median(times) / best((peer) => median(peer.times)),
      load,
      loadRatio: load / best((peer) => peer.load),
      memory,
      difference,
    };
  });
  if (!process.env.NO_COLD) {
    const started = rows.filter(({ name }) => !name.includes('heatmap')).map((row) => ({ row, starts: [] }));
    for (let i = 0; i < 7; i++)
      for (const { row, starts } of started) starts.push(await evaluate(cold, { name: row.name, model }));
    const fastest = Math.min(
      ...started.filter(({ row }) => !row.name.startsWith('whylens')).map(({ starts }) => median(starts)),
    );
    for (const { row, starts } of started) {
      row.cold = median(starts);
      row.coldRatio = row.cold / fastest;
    }
  }
  report.models[model] = rows;
  console.log(`\n${model}`);
  console.log(
    'engine                      median   p10    p90  ratio |   load ratio |   cold ratio | wasm MB | difference',
  );
  for (const row of rows) {
    console.log(
      [
        row.name.padEnd(26),
        row.median.toFixed(1).padStart(8),
        row.p10.toFixed(1).padStart(6),
        row.p90.toFixed(1).padStart(7),
        row.ratio.toFixed(2).padStart(6),
        ' |',
        row.load.toFixed(0).padStart(6),
        row.loadRatio.toFixed(2).padStart(6),
        '|',
        (row.cold?.toFixed(0) ?? '').padStart(6),
        (row.coldRatio?.toFixed(2) ?? '').padStart(6),
        '|',
        (row.memory / 1e6).toFixed(1).padStart(7),
        '|',
        row.difference.toExponential(1),
      ].join(''),
    );
  }
}
if (!process.env.NO_ALONE) {
  report.alone = {};
  for (const name of names.filter((name) => name.startsWith('whylens') && !name.includes('heatmap'))) {
    const result = await evaluate(alone, { name, sides: SIDES, rounds: Math.min(20, +rounds) });
    report.alone[name] = result;
    console.log(
      `\n${name}, the model as shipped (FP16): load ${result.load.toFixed(0)} ms, wasm memory ${(result.memory / 1e6).toFixed(1)} MB at rest and peak`,
    );
    for (const { side, median, memory } of result.sizes) {
      console.log(
        `${String(side).padStart(5)} px ${median.toFixed(1).padStart(7)} ms ${((median / side ** 2) * 1e6).toFixed(0).padStart(6)} ms a megapixel, ${(memory / 1e6).toFixed(1)} MB`,
      );
    }
  }
  for (const [name, folder] of [
    ['whylens', 'kernels+simd128'],
    ['whylens relaxed', 'kernels+simd128,+relaxed-simd'],
  ]) {
    const file = `${folder}/wasm32-unknown-unknown/release/kernels.wasm`;
    if (!names.includes(name) || !existsSync(join(cache, file))) continue;
    const gflops = await evaluate(limit, { wasm: `/cache/${file}`, rounds: 60 });
    report.limit = { ...report.limit, [name]: gflops };
    const shares = MODELS.map((model) => {
      const row = report.models[model].find((row) => row.name === name);
      return `${model} ${((OPERATIONS[model] / row.median / 1e6 / gflops) * 100).toFixed(0)} %`;
    });
    console.log(`${name}: the kernel alone does ${gflops.toFixed(1)} GFLOP/s; of that reached: ${shares.join(', ')}`);
  }
}
await browser.close();
server.close();
if (!process.env.NO_WIRE) {
  console.log('\nbytes on the wire, brotli 11');
  for (const [name, files] of Object.entries(WIRE)) {
    if (!files.every(existsSync)) continue;
    const size = (file) =>
      brotliCompressSync(readFileSync(file), {
        params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 },
      }).length;
    report.wire[name] = files.reduce((sum, file) => sum + size(file), 0);
    console.log(`${name.padEnd(26)} ${(report.wire[name] / 1e6).toFixed(2)} MB`);
  }
}
writeFileSync(join(cache, 'bench.json'), JSON.stringify(report, null, 2));
