// what architectures.py made → times beside onnxruntime-web's, with one thread and with two

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { each, geometric } from '../numbers.mjs';

const ENGINES = ['whylens', 'onnxruntime-web', 'whylens ×2', 'onnxruntime-web ×2'];

/** @returns {Promise<{ models: Record<string, any>, failed: Record<string, string> }>} */
export async function measure({ browser, cache, rounds, only }) {
  const folder = join(cache, 'architectures');
  const failed = JSON.parse(String(readFileSync(join(folder, 'failed.json'))));
  const models = {};
  const packed = (name) => existsSync(join(folder, name, 'packed/model.json'));
  for (const name of readdirSync(folder).filter(packed)) {
    if (only.length > 0 && !only.includes(name)) continue;
    const at = `/cache/architectures/${name}`;
    const files = { packed: `${at}/packed/model.json`, onnx: `${at}/original.onnx` };
    try {
      const rows = await browser.compare(ENGINES, files, { rounds });
      const [one, peer, two, peers] = rows.map((row) => row.median);
      models[name] = { rows, ratios: { one: one / peer, two: two / peers, ours: two / one } };
      console.log(`${name} ${rows.map((row) => row.median.toFixed(1)).join(' ')} ms, ${each(models[name].ratios)}`);
    } catch (error) {
      failed[name] = error.message.split('\n')[0];
      console.log(`${name}: ${failed[name]}`);
    }
  }
  return { models, failed };
}

export function table(runs) {
  const all = (pick, digits) => runs.map((run) => pick(run)?.toFixed(digits) ?? '–').join(', ');
  const names = Object.keys(runs[0].models);
  const worst = (name) => Math.max(...runs.map((run) => run.models[name]?.ratios.one ?? 0));
  const lines = names
    .sort((a, b) => worst(b) - worst(a))
    .map((name) => {
      const times = [0, 1, 2, 3].map((at) => all((run) => run.models[name]?.rows[at].median, 1));
      const ratios = ['one', 'two', 'ours'].map((key) => all((run) => run.models[name]?.ratios[key], 2));
      return `| ${[name, times[0], times[1], ratios[0], times[2], times[3], ratios[1], ratios[2]].join(' | ')} |`;
    });
  const sums = (key) =>
    [geometric, (values) => Math.max(...values)].map((sum) =>
      all((run) => sum(Object.values(run.models).map(({ ratios }) => ratios[key])), 2),
    );
  const [one, two, ours] = ['one', 'two', 'ours'].map(sums);
  const row = (name, at) => `| ${name} | | | **${one[at]}** | | | **${two[at]}** | ${ours[at]} |`;
  const missing = runs.flatMap((run) => Object.entries(run.failed).map(([name, why]) => `- ${name}: ${why}`));
  return [
    '| model | ours, ms | onnxruntime-web, ms | ratio | ours with two threads, ms | onnxruntime-web with two, ms | ratio | our two ÷ our one |',
    '|---|---|---|---|---|---|---|---|',
    row(`geometric mean of ${names.length}`, 0),
    row('worst', 1),
    ...lines,
    ...(missing.length > 0 ? ['', 'Not measured:', '', ...new Set(missing)] : []),
  ].join('\n');
}
