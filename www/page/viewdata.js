// state → what each view shows
import { called, describe } from './describe.js';
import { layersOf } from './explain.js';
import { sureness } from './verdict.js';

/** @typedef {import('./state.js').State} State */
/** @typedef {import('./photos.js').Photo} Photo */
/** @typedef {import('./settings.js').Settings} Settings */
/** @typedef {import('./words/en.js').Words} Words */
/** @typedef {import('../library/protocol.js').ModelInfo} ModelInfo */
/** @typedef {import('../library/protocol.js').Result} Result */

/**
 * The models to choose from: those of the site, by the names of their folders, and the reader's own.
 * @param {string[]} models
 * @param {State['own']} own
 */
export function modelChoices(models, own) {
  const ofSite = models.map((url) => ({ url, name: url.split('/').filter(Boolean).at(-1) ?? url }));
  return own ? [...ofSite, own] : ofSite;
}

/**
 * @param {Readonly<State>} state
 * @param {Photo} shown
 * @param {ModelInfo | null} info
 * @param {Settings} settings
 * @param {Words} words
 * @returns {import('./views/stage.js').StageData}
 */
export function stageData(state, shown, info, { opacity }, words) {
  const { explanations, explaining } = state;
  const result = shown.result ?? null;
  const waiting = !result && !!shown.file && shown.status !== 'failed' && shown.status !== 'cancelled';
  return {
    url: shown.url,
    view: shown.view ?? shown.small,
    video: shown.camera?.video ?? null,
    name: shown.name,
    image: result?.image ?? null,
    region: explanations[0]?.heatmap.region ?? null,
    panes: explanations.map(({ heatmap, overlay }) => ({
      label: called(heatmap, info, words),
      zero: !(heatmap.max > 0),
      overlay,
    })),
    opacity,
    bare: state.bare,
    busy: waiting ? waitingFor(state, words) : explaining && words.explaining(explaining.loaded, explaining.total),
    steps: waiting ? null : explaining,
  };
}

/** @param {Readonly<State>} state @param {Words} words */
function waitingFor({ loading }, words) {
  return loading.phase === 'ready' ? words.working : words.waitingForModel;
}

/**
 * @param {Readonly<State>} state
 * @param {Result} result
 * @param {ModelInfo} info
 * @param {Words} words
 * @param {import('./numbers.js').Numbers} numbers
 * @returns {import('./views/result.js').ResultData}
 */
export function resultData({ shown, explanations, chosen, threshold }, result, info, words, numbers) {
  const { predictions, image, model, timing } = result;
  const { labels, activation, disclaimer } = info;
  return {
    predictions,
    labels,
    model,
    threshold,
    sure: sureness(result, activation, threshold, labels.length),
    notRecognised: result.notRecognised ?? null,
    rescued: result.damaged !== undefined,
    disclaimer,
    chosen,
    where: describe(explanations, image, info, words, numbers),
    timing,
    live: !!shown?.camera,
    noHeatmap: whyNone(info, result, explanations, words),
  };
}

/** @param {ModelInfo} info @param {Result} result @param {State['explanations']} explanations @param {Words} words */
function whyNone({ methods }, { noHeatmap }, explanations, words) {
  if (!methods.length) return words.noHeatmaps;
  return noHeatmap && !explanations.length ? words.noHeatmap(noHeatmap.message) : null;
}

/**
 * @param {Readonly<State>} state
 * @param {import('../library/protocol.js').Heatmap} heatmap
 * @param {ModelInfo} info
 * @param {Settings} settings
 * @returns {import('./views/controls.js').ControlsData}
 */
export function controlsData({ legend, method, layers }, heatmap, info, { opacity, colormap }) {
  return {
    opacity,
    colormap,
    legend,
    methods: info.methods,
    layers: layersOf(info),
    method: method ?? heatmap.method,
    chosen: layers.length ? layers : heatmap.layers,
  };
}
