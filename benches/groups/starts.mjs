// one engine in a fresh page, nothing cached → load, cold start, memory; `make cold` has slow connections

import { each, median } from '../numbers.mjs';
import { MODELS, filesOf } from './networks.mjs';

const ENGINES = ['whylens', 'onnxruntime-web', 'LiteRT.js', 'tfjs'];
/** The default model with FP16 weights, as visitors fetch it: ours alone, for the peers have FP32. */
const SHIPPED = { packed: '/shipped/model.json', onnx: '/shipped/model.onnx' };
/** Fresh pages. */
const STARTS = 7;

/** Medians of fresh pages, the engines in turn. */
async function starts(browser, names, files) {
  const found = names.map(() => []);
  for (let n = 0; n < STARTS; n++) {
    for (const [at, name] of names.entries()) {
      const loaded = await browser.load(name, files);
      found[at].push({ ...loaded, cold: await browser.cold(name, files) });
    }
  }
  return names.map((name, at) => {
    const middle = (key) => found[at][0][key] && median(found[at].map((start) => start[key]));
    const values = ['prepare', 'load', 'cold', 'memory'].map((key) => [key, middle(key)]);
    return { name, ...Object.fromEntries(values) };
  });
}

/** Of our own to the best of the peers. */
function ratio([ours, ...peers], key) {
  return ours[key] / Math.min(...peers.map((peer) => peer[key]));
}

export async function measure({ browser, only }) {
  const models = {};
  const wanted = (name) => only.length === 0 || only.includes(name);
  for (const model of MODELS.filter(wanted)) {
    const rows = await starts(browser, ENGINES, filesOf(model));
    const ratios = Object.fromEntries(['load', 'cold', 'memory'].map((key) => [key, ratio(rows, key)]));
    models[model] = { rows, ratios };
    console.log(`${model}: ${each(ratios)}`);
  }
  if (wanted('shipped')) models.shipped = { rows: await starts(browser, ['whylens'], SHIPPED), ratios: {} };
  return { models };
}

export function table(runs) {
  const lines = [];
  for (const [model, { rows }] of Object.entries(runs[0].models)) {
    for (const [at, { name }] of rows.entries()) {
      const all = (pick) => runs.flatMap((run) => (run.models[model] ? [pick(run.models[model])] : [])).join(', ');
      const ms = (value) => value.toFixed(0);
      const cell = (key, text) => {
        if (!rows[at][key]) return '';
        const share = ({ ratios }) => (at === 0 && ratios[key] ? ` (**${ratios[key].toFixed(2)}**)` : '');
        return all((model) => text(model.rows[at][key]) + share(model));
      };
      const prepare = cell('prepare', (value) => value.toFixed(1));
      const what = model === 'shipped' ? 'EfficientNet-Lite0 as shipped (FP16)' : model;
      const memory = cell('memory', (bytes) => (bytes / 1e6).toFixed(1));
      lines.push(
        `| ${[at === 0 ? what : '', name, prepare, cell('load', ms), cell('cold', ms), memory].join(' | ')} |`,
      );
    }
  }
  return [
    '| model | engine | prepare, ms | load, ms | cold start, ms | wasm MB |',
    '|---|---|---|---|---|---|',
    ...lines,
  ].join('\n');
}
