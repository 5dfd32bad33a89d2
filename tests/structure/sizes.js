// The modules in www/pkg/ against their ceilings: `node tests/structure/sizes.js`. What grew on purpose raises its own.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, constants } from 'node:zlib';

/** Most bytes by brotli at quality 9, which takes seconds; at 11, which visitors get, an eighth less. */
const MOST = { run: 640_000, 'run-relaxed': 640_000, 'run-threads': 650_000, compile: 2_950_000 };

const PKG = fileURLToPath(new URL('../../www/pkg', import.meta.url));
const params = { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_LGWIN]: 24 };
const sizes = Object.entries(MOST).map(async ([build, most]) => {
  const wasm = await readFile(join(PKG, build, 'whylens_bg.wasm'));
  const { length } = await promisify(brotliCompress)(wasm, { params });
  console.log(`${build}: ${length} bytes of at most ${most}, ${wasm.length} as they are`);
  return length <= most;
});
if (!(await Promise.all(sizes)).every(Boolean)) {
  console.error('a module has grown: find out what it links now, or raise its ceiling and say why in the commit');
  process.exitCode = 1;
}
