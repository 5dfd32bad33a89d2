// state → what each view shows
import { ORDERS, checkOf, isCheckable } from './checked.js';
import { called, describe, isNumber, nothing } from './describe.js';
import { hasSides, layersOf, tellsClasses } from './explain.js';
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
 * The explanations of what the result is of: after another part was classified, those before it stay for a moment.
 * @param {Readonly<Pick<State, 'explanations' | 'shown'>>} state
 */
export function current({ explanations, shown }) {
  const part = JSON.stringify(shown?.result?.region);
  return explanations.filter(({ heatmap }) => JSON.stringify(heatmap.part) === part);
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
  const now = current(state);
  const result = shown.result ?? null;
  const waiting =
    !!shown.file && (result ? isPending(shown) : shown.status !== 'failed' && shown.status !== 'cancelled');
  return {
    photo: shown.id,
    url: shown.url,
    view: shown.view ?? shown.small,
    video: shown.camera?.video ?? null,
    mirrored: shown.camera?.flip ?? false,
    name: shown.name,
    image: result?.image ?? null,
    region: now[0]?.heatmap.region ?? null,
    part: shown.region,
    choosing: shown.file && result ? state.choosing : null,
    trying: shown.file && result && shown.view && !waiting ? state.trying : null,
    over: state.trial?.area ?? null,
    under: state.trial?.root ?? null,
    panes: explanations.map((each) => ({
      label: called(each.heatmap, info, words),
      zero: each.heatmap.max > 0 ? null : nothing(each.heatmap, info, words),
      plain: each.heatmap.sign === 'for' && !each.heatmap.contrast,
      overlay: now.includes(each) ? each.overlay : null,
    })),
    opacity: state.trial?.map === false ? 0 : opacity,
    bare: state.bare,
    busy:
      waiting || (state.trying && !state.trial)
        ? waitingFor(state, words)
        : explaining && words.explaining(explaining.loaded, explaining.total),
    steps: waiting ? null : explaining,
  };
}

/** Whether a photo is classified once more, as another part of it. @param {Photo} photo */
const isPending = ({ status }) => status === 'waiting' || status === 'working';

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
export function resultData(state, result, info, words, numbers) {
  const { shown, chosen, threshold } = state;
  const explanations = current(state);
  const { predictions, scores, probabilities, model, timing } = result;
  const { labels, activation, disclaimer } = info;
  return {
    predictions,
    scores,
    probabilities,
    labels,
    model,
    threshold,
    sure: sureness(result, activation, threshold, labels.length),
    notRecognised: result.notRecognised ?? null,
    rescued: result.damaged !== undefined,
    disclaimer: words.site.disclaimer ?? disclaimer,
    chosen,
    where: describe(explanations, info, words, numbers),
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
export function controlsData(state, heatmap, info, { opacity, colormap }) {
  const { legend, method, layers, sign, chosen, contrast } = state;
  const by = method ?? heatmap.method;
  return {
    sign: hasSides(by, info) ? sign : 'for',
    sided: hasSides(by, info),
    ...checkable(state),
    number: isNumber(info),
    classes: info.labels.length > 1 ? chosen.map((index) => info.labels[index] ?? '') : [],
    contrast: tellsClasses(by) ? contrast : null,
    contrastable: tellsClasses(by),
    opacity,
    colormap,
    legend,
    methods: info.methods,
    layerless: info.layerless,
    layers: layersOf(info),
    method: by,
    chosen: layers.length ? layers : heatmap.layers,
  };
}

/**
 * What can be done about the check of the shown maps.
 * @param {Readonly<State>} state
 * @returns {Pick<import('./views/controls.js').ControlsData, 'check' | 'maps'>}
 */
function checkable(state) {
  const { shown, check, live } = state;
  const found = current(state).map(({ heatmap }) => heatmap);
  const maps = found.filter(isCheckable);
  const checks = maps.map((map) => shown && checkOf(shown, map));
  const refused = found.some(({ sign, max }) => sign === 'against' && max > 0);
  return {
    maps: maps.length,
    check:
      live || !found.length
        ? 'none'
        : check
          ? 'running'
          : !maps.length
            ? refused
              ? 'refused'
              : 'none'
            : !checks.every(Boolean)
              ? 'open'
              : checks.every((made) => made && made.orders >= ORDERS.thorough)
                ? 'thorough'
                : 'done',
  };
}

/**
 * The checks of what is shown.
 * @param {Readonly<State>} state
 * @param {ModelInfo} info
 * @returns {import('./views/check.js').CheckData | null}
 */
export function checkData(state, info) {
  const { shown, check } = state;
  if (!shown?.result) return null;
  const checks = current(state).flatMap(({ heatmap }) => checkOf(shown, heatmap) ?? []);
  return { running: check, checks, model: shown.result.model, info };
}
