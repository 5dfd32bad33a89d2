// predictions → bars, a search over all classes; each bar one click from its heatmap
import { isNumber } from '../describe.js';
import { matching, predictionOf } from '../prediction.js';
import { element, icon } from './element.js';

/** @typedef {import('../../library/protocol.js').Prediction} Prediction */

const FEW = 5,
  MANY = 10;

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {import('../numbers.js').Numbers} options.numbers
 * @param {(classIndex: number) => void} options.onClass
 * @param {(classIndex: number | null) => void} options.onCompare
 * @param {(threshold: number) => void} options.onThreshold
 */
export function classesView({ words, numbers, onClass, onCompare, onThreshold }) {
  let count = FEW;
  /** @type {import('./result.js').ResultData | null} */
  let shown = null;
  const search = element('input', {
    type: 'search',
    autocomplete: 'off',
    spellcheck: false,
    'aria-controls': 'classes',
    oninput: () => draw(),
  });
  const searchField = element('label', { className: 'search' }, icon('search'), search);
  const counted = element('span', { className: 'found', role: 'status' });
  const list = element('ol', { className: 'classes', id: 'classes' });
  const more = element('button', {
    type: 'button',
    className: 'link',
    onclick: () => {
      count = count === FEW ? MANY : FEW;
      draw();
    },
  });
  const threshold = element('input', {
    type: 'range',
    min: '0',
    max: '1',
    step: '0.01',
    oninput: () => onThreshold(threshold.valueAsNumber),
  });
  const limit = element('output');
  const thresholdField = element('label', { className: 'field threshold' }, words.threshold, threshold, limit);
  const root = element(
    'div',
    { className: 'classes-view' },
    thresholdField,
    list,
    element('div', { className: 'class-tools' }, searchField, counted, more),
  );
  /** @type {Row[]} */
  let rows = [];
  return {
    root,
    /** @param {import('./result.js').ResultData} data */
    update(data) {
      shown = data;
      search.placeholder = words.search(data.labels.length);
      search.setAttribute('aria-label', search.placeholder);
      searchField.hidden = data.labels.length < 2;
      thresholdField.hidden = data.model.activation !== 'sigmoid';
      threshold.value = String(data.threshold);
      threshold.style.setProperty('--part', `${data.threshold * 100}%`);
      limit.textContent = numbers.percent(data.threshold);
      draw();
    },
  };

  function draw() {
    if (!shown) return;
    const data = shown;
    const { chosen, model, labels } = data;
    const number = isNumber({ ...model, labels });
    const wanted = search.value.trim().toLowerCase();
    const found = wanted ? matching(data, labels, wanted, MANY) : null;
    const listed = found?.first ?? first(data, count);
    root.hidden = number;
    const visible = listed.map((index) => predictionOf(data, labels, index));
    counted.textContent = found ? words.matches(found.count) : '';
    more.hidden = !!found || data.predictions.length <= FEW;
    more.textContent = count === FEW ? words.moreClasses : words.fewerClasses;
    const best = Math.max(...data.predictions.map((p) => Math.abs(p.score)), 1e-9);
    while (rows.length < visible.length) rows.push(classRow(words, onClass, onCompare));
    rows.length = visible.length;
    list.replaceChildren(...rows.map((each) => each.root));
    visible.forEach((prediction, at) => {
      const part = model.activation === 'none' ? Math.max(0, prediction.score / best) : prediction.probability;
      rows[at]?.update(prediction, part, value(prediction, model), chosen, labels.length > 1);
    });
  }

  /** @param {Prediction} prediction @param {import('./result.js').ResultData['model']} model */
  function value(prediction, model) {
    if (Number.isNaN(prediction.probability)) return words.unlisted;
    return numbers.given(prediction, model);
  }
}

/** @typedef {ReturnType<typeof classRow>} Row */

/**
 * One class: its bar, and a button to compare it.
 * @param {import('../words/en.js').Words} words
 * @param {(classIndex: number) => void} onClass
 * @param {(classIndex: number | null) => void} onCompare
 */
function classRow(words, onClass, onCompare) {
  let index = 0;
  const label = element('span', { className: 'class-label' });
  const percent = element('span', { className: 'class-value' });
  const bar = element('span', { className: 'class-bar' }, element('span'));
  const show = element(
    'button',
    { type: 'button', className: 'class', title: words.showClass, onclick: () => onClass(index) },
    label,
    ' ',
    percent,
    bar,
  );
  const compare = element(
    'button',
    {
      type: 'button',
      className: 'versus',
      onclick: () => onCompare(compare.getAttribute('aria-pressed') === 'true' ? null : index),
    },
    icon('versus'),
  );
  const root = element('li', {}, show, compare);
  return {
    root,
    /**
     * @param {Prediction} prediction
     * @param {number} part
     * @param {string} text
     * @param {number[]} chosen
     * @param {boolean} others
     */
    update(prediction, part, text, chosen, others) {
      index = prediction.index;
      const [a, b] = chosen;
      label.textContent = prediction.label;
      percent.textContent = text;
      bar.style.setProperty('--part', `${(part || 0) * 100}%`);
      root.dataset.shown = index === a ? 'first' : index === b ? 'second' : '';
      show.setAttribute('aria-pressed', String(index === a));
      const title = index === b ? words.stopComparing : words.compareWith(prediction.label);
      compare.title = title;
      compare.setAttribute('aria-label', title);
      compare.setAttribute('aria-pressed', String(index === b));
      compare.hidden = !others;
      compare.disabled = index === a || a === undefined;
    },
  };
}

/**
 * The best, and those whose heatmaps are shown.
 * @param {import('./result.js').ResultData} data
 * @param {number} count
 */
function first({ predictions, chosen }, count) {
  return [...new Set([...predictions.slice(0, count).map(({ index }) => index), ...chosen])];
}
