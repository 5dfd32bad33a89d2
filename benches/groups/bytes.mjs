// an engine's files → bytes on the wire

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';

const build = (name) => [`www/pkg/${name}/whylens.js`, `www/pkg/${name}/whylens_bg.wasm`];
const FILES = {
  'whylens, simd128': build('run'),
  'whylens, relaxed SIMD': build('run-relaxed'),
  'whylens, threads': build('run-threads'),
  'whylens, without a plan': build('compile'),
  'onnxruntime-web': ['ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'].map(
    (file) => `packages/onnxruntime-web/dist/${file}`,
  ),
  'LiteRT.js': ['dist/index.js', 'wasm/litert_wasm_internal.js', 'wasm/litert_wasm_internal.wasm'].map(
    (file) => `packages/@litertjs/core/${file}`,
  ),
  tfjs: [
    'tfjs-core/dist/tf-core.min.js',
    'tfjs-backend-wasm/dist/tf-backend-wasm.min.js',
    'tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm',
  ].map((file) => `packages/@tensorflow/${file}`),
};

function compressed(file) {
  const bytes = readFileSync(file);
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 11,
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  return brotliCompressSync(bytes, { params }).length;
}

export function measure({ www, packages }) {
  const place = { www, packages };
  const sizes = {};
  for (const [name, files] of Object.entries(FILES)) {
    const paths = files.map((file) => join(place[file.split('/')[0]], ...file.split('/').slice(1)));
    sizes[name] = paths.reduce((sum, path) => sum + compressed(path), 0);
    console.log(`${name}: ${sizes[name]} bytes`);
  }
  return { sizes };
}

export function table([run]) {
  const lines = Object.entries(run.sizes).map(([name, bytes]) => `| ${name} | ${(bytes / 1e6).toFixed(2)} |`);
  return ['| engine and its script, brotli 11 | MB |', '|---|---|', ...lines].join('\n');
}
