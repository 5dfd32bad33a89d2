// A module built with the feature `profile` + model folders → how long the steps of their plans take:
// node profile.mjs PACKAGE FOLDER…

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';

// Node 20 knows relaxed SIMD only by this flag.
if (process.versions.node.startsWith('20.')) setFlagsFromString('--experimental-wasm-relaxed-simd');
const [pkg, ...folders] = process.argv.slice(2);
const { initSync, profile } = await import(pathToFileURL(join(pkg, 'whylens.js')).href);
initSync({ module: readFileSync(join(pkg, 'whylens_bg.wasm')) });
for (const folder of folders) {
  const manifest = readFileSync(join(folder, 'model.json'));
  const onnx = readFileSync(join(folder, JSON.parse(String(manifest)).weights.file));
  console.log(`${folder}: ${profile(manifest, onnx, 10)}`);
}
