// result → verdict, classes, the heatmap in words, ways to save it
import { actionsView } from './actions.js';
import { classesView } from './classes.js';
import { element } from './element.js';

/** @typedef {import('../../library/protocol.js').Prediction} Prediction */

/** Most labels of one verdict. */
const FEW = 4;

/**
 * @typedef {object} ResultData
 * @property {Prediction[]} predictions best first
 * @property {Float32Array} [scores] of all classes
 * @property {Float32Array} [probabilities] of all classes
 * @property {string[]} labels of all classes
 * @property {Pick<import('../../library/protocol.js').Result['model'], 'activation' | 'unit'>} model
 * @property {number} threshold
 * @property {import('../verdict.js').Sureness} sure
 * @property {string | null} notRecognised what the author of the model says where it is not
 * @property {boolean} rescued whether the file is damaged, and only the browser could read it
 * @property {string | null} disclaimer
 * @property {number[]} chosen class indices whose heatmaps are shown
 * @property {{title: string, text: string}[]} where the heatmaps in words
 * @property {Record<string, number>} timing
 * @property {boolean} live
 * @property {string | null} noHeatmap why there is none
 */

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {import('../numbers.js').Numbers} options.numbers
 * @param {(classIndex: number) => void} options.onClass
 * @param {(classIndex: number | null) => void} options.onCompare
 * @param {(threshold: number) => void} options.onThreshold
 * @param {import('./actions.js').Actions} options.actions
 */
export function resultView({ words, numbers, onClass, onCompare, onThreshold, actions }) {
  const sure = element('p', { className: 'sure' });
  const label = element('h2', { className: 'verdict' });
  const detail = element('p', { className: 'sure-detail' });
  const rescued = element('p', { className: 'sure-detail' }, words.readByBrowser);
  const disclaimer = element('p', { className: 'disclaimer' });
  const classes = classesView({ words, numbers, onClass, onCompare, onThreshold });
  const where = element('div', { className: 'where' });
  const times = element('dl', { className: 'times', 'aria-label': words.times.title });
  const kept = actionsView({ words, actions });
  const root = element(
    'div',
    { className: 'result-view' },
    element('div', { className: 'verdict-block' }, sure, label, detail, rescued, disclaimer),
    classes.root,
    where,
    kept.root,
    times,
  );
  return {
    root,
    /** @param {ResultData} data */
    update(data) {
      const { predictions, timing } = data;
      const [first, second] = predictions;
      root.dataset.sure = data.sure;
      sure.textContent = words.sure[data.sure];
      label.textContent =
        data.sure === 'labels'
          ? above(data)
              .map((p) => p.label)
              .join(', ')
          : data.sure === 'number' && first
            ? numbers.given(first, data.model)
            : data.sure === 'unrecognised'
              ? (data.notRecognised ?? '')
              : (first?.label ?? '');
      label.hidden = !label.textContent || data.sure === 'nothing';
      detail.textContent = first ? sentence(data, first, second) : '';
      rescued.hidden = !data.rescued;
      disclaimer.hidden = !data.disclaimer;
      disclaimer.textContent = data.disclaimer;
      classes.update(data);
      const said = data.noHeatmap ? [{ title: words.opacity, text: data.noHeatmap }] : data.where;
      where.replaceChildren(
        ...said.map(({ title, text }) => element('div', {}, element('h3', {}, title), element('p', {}, text))),
      );
      kept.update({ hidden: data.live, heatmap: data.chosen.length > 0 });
      times.replaceChildren(
        .../** @type {const} */ (['decode', 'preprocess', 'inference', 'heatmap', 'total']).map((stage) =>
          element(
            'div',
            {},
            element('dt', {}, words.times[stage]),
            element('dd', {}, `${numbers.time(timing[stage] ?? 0)} ${words.milliseconds}`),
          ),
        ),
      );
    },
  };

  /** @param {ResultData} data @param {Prediction} first @param {Prediction | undefined} second */
  function sentence(data, first, second) {
    const given = (/** @type {Prediction} */ each) => numbers.given(each, data.model);
    const p = given(first);
    switch (data.sure) {
      case 'scores':
        return p;
      case 'number':
        return first.label;
      case 'torn':
        return second ? words.sureTorn(p, second.label, given(second)) : words.sureHigh(p);
      case 'none':
        return words.sureNone(p, numbers.percent(1 - first.probability));
      case 'labels':
        return words.sureEach(above(data).map(given));
      case 'below':
        return words.sureHigh(p);
      case 'nothing':
      case 'unrecognised':
        return words.sureNearest(first.label, p);
      default:
        return words.sureHigh(p);
    }
  }
}

/** The best of the classes above the threshold. @param {ResultData} data */
function above({ predictions, threshold }) {
  return predictions.filter(({ probability }) => probability >= threshold).slice(0, FEW);
}
