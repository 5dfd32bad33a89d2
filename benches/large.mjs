// ONNX files of 1000 classes → memory and time of packing and of using them in a page with its default settings, in
// Chromium: node large.mjs FILE…

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { dropped } from '../tests/page/large.js';
import { place } from '../tests/page/visit.js';

const megabytes = (bytes) => Math.round(bytes / 1e6);
console.log(
  '| file | MB | MB in use to pack, at most | MB of WebAssembly memory | s | MB in use to load and run, at most | MB of WebAssembly memory |',
);
console.log('|---|---|---|---|---|---|---|');
const here = await place();
for (const file of process.argv.slice(2)) {
  const onnx = await readFile(file);
  const { packing, packSeconds, using, complaints } = await dropped(here, onnx);
  if (complaints.length) throw new Error(complaints.join('\n'));
  const sizes = [onnx.length, packing.peak, packing.wasm].map(megabytes);
  console.log(
    `| ${[basename(file), ...sizes, packSeconds.toFixed(1), megabytes(using.peak), megabytes(using.wasm)].join(' | ')} |`,
  );
}
await here.close();
