// one engine in a fresh page, nothing cached → load, cold start, memory; from a fast network and from a slow one

import { SLOW } from '../server.mjs';
import { each, median } from '../numbers.mjs';
import { MODELS, filesOf } from './networks.mjs';

const ENGINES = ['whylens', 'onnxruntime-web', 'LiteRT.js', 'tfjs'];
/** The default model with FP16 weights, as it is shipped: what visitors fetch. */
const SHIPPED = {
  packed: '/shipped/model.json',
  onnx: '/shipped/model.onnx',
  tflite: '/cache/models/efficientnet-lite0/model-fp16.tflite',
};
/** tfjs has no file with FP16 weights here. */
const SLOW_ENGINES = ['whylens', 'onnxruntime-web', 'LiteRT.js'];
/** Fresh pages, and those on the slow network. */
const STARTS = 7;
const SLOW_STARTS = 3;

/** Medians of fresh pages, the engines in turn. */
async function starts(browser, names, files, count, keys) {
  const found = names.map(() => []);
  for (let n = 0; n < count; n++) {
    for (const [at, name] of names.entries()) {
      const loaded = keys.includes('load') ? await browser.load(name, files) : {};
      const cold = keys.includes('cold') ? await browser.cold(name, files) : undefined;
      found[at].push({ ...loaded, cold });
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

export async function measure({ browser, server, only }) {
  const models = {};
  const keep = (name, rows) => {
    const known = ['load', 'cold', 'memory'].filter((key) => rows[1]?.[key]);
    const ratios = Object.fromEntries(known.map((key) => [key, ratio(rows, key)]));
    models[name] = { rows, ratios };
    console.log(`${name}: ${each(ratios)}`);
  };
  const wanted = (name) => only.length === 0 || only.includes(name);
  for (const model of MODELS.filter(wanted))
    keep(model, await starts(browser, ENGINES, filesOf(model), STARTS, ['load', 'cold']));
  if (wanted('shipped')) keep('shipped', await starts(browser, ['whylens'], SHIPPED, STARTS, ['load']));
  if (wanted('slow')) {
    server.slow = true;
    keep('slow', await starts(browser, SLOW_ENGINES, SHIPPED, SLOW_STARTS, ['cold']));
    server.slow = false;
  }
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
      const slow = `EfficientNet-Lite0 as shipped, ${SLOW.rate / 1e6} Mbit/s, ${SLOW.roundTrip} ms a round trip`;
      const what = { slow, shipped: 'EfficientNet-Lite0 as shipped (FP16)' }[model] ?? model;
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
