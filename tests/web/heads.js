// graphs of tests/golden/heads as model folders

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { folder } from './onnx.js';
import { TOP } from './server.js';

const HEADS = join(TOP, 'tests/golden/heads');

/**
 * The files of a model folder.
 * @param {string} name of the graph
 * @param {{ output?: { activation: string, applied?: string, unit?: string } }} [options] softmax where none is given, as a wrong
 *   guess
 */
export async function head(name, { output = { activation: 'softmax' } } = {}) {
  /** @type {{ name: string, classes: number }[]} */
  const cases = JSON.parse(await readFile(join(HEADS, 'cases.json'), 'utf8'));
  const classes = cases.find((each) => each.name === name)?.classes ?? 0;
  const change = (/** @type {any} */ manifest) => {
    Object.assign(manifest.input, {
      width: 16,
      height: 16,
      mean: [0, 0, 0],
      std: [1, 1, 1],
      resize: { mode: 'exact', filter: 'bilinear' },
      crop: 'none',
    });
    manifest.output = { name: 'output', ...output };
    manifest.heatmap.layer = null;
  };
  const labels = Array.from({ length: classes }, (_, index) => `class ${index}`).join('\n');
  return {
    ...folder({ onnx: await readFile(join(HEADS, `${name}.onnx`)), name, change }),
    'labels.txt': Buffer.from(labels),
  };
}
