// the three networks of models.py → times beside every peer's, one thread and two, and of their heatmaps

import { each } from '../numbers.mjs';

export const MODELS = ['efficientnet-lite0', 'mobilenet-v2', 'resnet-18'];
const OURS = ['whylens simd128', 'whylens', 'whylens ×2'];
const PEERS = ['onnxruntime-web', 'LiteRT.js', 'tfjs'];
const PAIRS = ['onnxruntime-web ×2', 'LiteRT.js ×2'];
const ENGINES = [...OURS, ...PEERS, ...PAIRS];

/** Addresses of what models.py made. */
export const filesOf = (model) => {
  const at = `/cache/models/${model}`;
  return {
    packed: `${at}/packed/model.json`,
    onnx: `${at}/original.onnx`,
    tflite: `${at}/model.tflite`,
    tfjs: `${at}/tfjs.json`,
  };
};

export async function measure({ browser, rounds, only }) {
  const models = {};
  for (const model of MODELS) {
    if (only.length > 0 && !only.includes(model)) continue;
    const rows = await browser.compare(ENGINES, filesOf(model), { rounds, heatmap: true });
    const of = (name) => rows.find((row) => row.name === name).median;
    const best = (names) => Math.min(...names.map(of));
    const heatmaps = OURS.map((name) => rows.find((row) => row.name === name)).map((row) => row.heatmap / row.median);
    const ratios = {
      simd128: of('whylens simd128') / best(PEERS),
      one: of('whylens') / best(PEERS),
      two: of('whylens ×2') / best(PAIRS),
      ours: of('whylens ×2') / of('whylens'),
      heatmap: heatmaps[1],
      heatmapTwo: heatmaps[2],
    };
    models[model] = { rows, ratios };
    console.log(`${model}: ${each(ratios)}`);
    for (const { name, median, p10, p90, difference } of rows)
      console.log(
        `  ${name.padEnd(20)} ${[median, p10, p90].map((ms) => ms.toFixed(1).padStart(7)).join('')} ${difference.toExponential(0)}`,
      );
  }
  return { models };
}

export function table(runs) {
  const all = (pick, digits) => runs.map((run) => pick(run).toFixed(digits)).join(', ');
  const names = Object.keys(runs[0].models);
  const lines = names.map((model) => {
    const ratio = (key) => all((run) => run.models[model].ratios[key], 2);
    return `| ${[model, ratio('one'), ratio('simd128'), ratio('two'), ratio('ours'), ratio('heatmap'), ratio('heatmapTwo')].join(' | ')} |`;
  });
  const times = ENGINES.map((name, at) => {
    const cells = names.map((model) => all((run) => run.models[model].rows[at].median, 1));
    return `| ${[name, ...cells].join(' | ')} |`;
  });
  return [
    '| × the best peer | one thread | simd128 | two threads | our two ÷ our one | with heatmap | with heatmap, two threads |',
    '|---|---|---|---|---|---|---|',
    ...lines,
    '',
    `| ms | ${names.join(' | ')} |`,
    `|---|${names.map(() => '---|').join('')}`,
    ...times,
  ].join('\n');
}
