// www/ → the npm package's tarball, as a developer installs it

import { join } from 'node:path';
import { TOP } from '../web/server.js';
import { run } from '../site/site.js';

/**
 * Packs the package. Its path.
 * @param {string} folder an empty one
 */
export async function packed(folder) {
  const made = join(folder, 'npm');
  await run(process.execPath, [join(TOP, 'src/release/npm.js'), made]);
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: made });
  const packed = JSON.parse(stdout);
  const [{ filename, files, size }] = Array.isArray(packed) ? packed : Object.values(packed);
  console.log(`${filename}: ${files.length} files, ${(size / 1e6).toFixed(1)} MB`);
  return join(folder, filename);
}
