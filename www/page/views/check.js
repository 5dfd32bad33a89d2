// checks of the shown heatmaps → progress, a plot, sentences, all values
import { ORDERS } from '../checked.js';
import { curves, sentences, subjectOf } from '../checksaid.js';
import { called } from '../describe.js';
import { element } from './element.js';
import { plot } from './plot.js';

/** @typedef {import('../checked.js').Check} Check */
/** @typedef {import('../../library/protocol.js').ModelInfo} ModelInfo */
/**
 * @typedef {object} CheckData
 * @property {{loaded: number, total: number} | null} running
 * @property {Check[]} checks of what is shown
 * @property {import('../../library/protocol.js').Result['model']} model of the result
 * @property {ModelInfo} info
 */

/** Shares that the text of a plot tells. */
const READ = [0, 0.1, 0.25, 0.5, 0.75, 1];

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {import('../words/parts/check.js').CheckWords} options.said
 * @param {import('../numbers.js').Numbers} options.numbers
 */
export function checkView({ words, said, numbers }) {
  const progress = element('span');
  const bar = element('progress', { className: 'bar-line', 'aria-label': said.bar });
  const running = element('div', { className: 'check-running' }, progress, bar);
  const found = element('div', { className: 'check-found' });
  const spoken = element('p', { className: 'unseen', role: 'status' });
  const root = element('div', { className: 'check-view' }, running, found, spoken);
  /** @type {Check[]} */
  let shown = [];
  /** @type {ReturnType<typeof of>[]} */
  let made = [];
  let was = false;
  /** Whether there is something new to say once the check has ended. */
  let unsaid = false;
  return {
    root,
    /** @param {CheckData} data */
    update({ running: now, checks, model, info }) {
      root.hidden = !now && !checks.length;
      running.hidden = !now;
      progress.textContent = said.progress(now?.loaded ?? 0, now?.total ?? 0);
      if (now?.total) Object.assign(bar, { max: now.total, value: now.loaded });
      else bar.removeAttribute('value');
      if (checks.length !== shown.length || checks.some(({ checked }, at) => checked !== shown[at]?.checked)) {
        made = checks.map((check) => of(check, model, info));
        found.replaceChildren(...made.map((each) => each.root));
        spoken.textContent = '';
        unsaid = was;
      }
      // Whether a map is stable is known later; what the reader has opened meanwhile stays.
      checks.forEach(({ stability }, at) => made[at]?.tell(stability));
      if (now && !was) spoken.textContent = said.progress(0, 0);
      if (!now && unsaid) spoken.textContent = made.map((each) => each.spoken()).join(' ');
      if (!now) unsaid = false;
      shown = checks;
      was = !!now;
    },
  };

  /** @param {Check} check @param {CheckData['model']} model @param {ModelInfo} info */
  function of(check, model, info) {
    const { heatmap, checked } = check;
    const stable = element('p', { className: 'check-stability' });
    const tell = (/** @type {Check['stability']} */ stability) => {
      stable.hidden = !stability;
      if (!stability) return;
      const { verdict, correlation } = stability;
      stable.dataset.verdict = verdict;
      stable.textContent = verdict === 'stable' ? said.stable : said.fragile(numbers.score(correlation));
    };
    const given = (/** @type {number} */ value) => numbers.given({ probability: value, score: value }, model);
    const { sentence, verdict } = sentences(check, info, said, given, numbers, ORDERS.thorough);
    const subject = subjectOf(heatmap.label, info, said);
    const probable = model.activation !== 'none';
    const measured = probable ? said.probability(subject) : subject + (model.unit ? `, ${model.unit}` : '');
    const tests = /** @type {const} */ (['deletion', 'insertion']).map((name) => {
      const { title, axis, area } = said[name];
      const test = curves(checked, name);
      const of = (/** @type {number[]} */ curve) =>
        READ.map((wanted) => {
          const step = test.shares.findIndex((share) => share >= wanted - 1e-6);
          return said.at(numbers.percent(test.shares[step] ?? 1), given(curve[step] ?? 0));
        }).join(', ');
      const areas = [...checked.randomAreas];
      const drawing = plot(test, {
        fromZero: probable,
        value: (value) => numbers.mark(value, probable),
        share: numbers.percent,
        axis,
        alt: said.alt(title, of(test.map), of(test.mean)),
      });
      const size = numbers.score(name === 'deletion' ? checked.deletionArea : checked.insertionArea);
      return {
        figure: element(
          'figure',
          { className: 'check-figure' },
          element('figcaption', {}, element('b', {}, title), element('span', {}, measured)),
          drawing,
          element('p', { className: 'soft' }, area(size, ...range(areas))),
        ),
        table: table(test, title, given),
      };
    });
    const [deletion, insertion] = tests;
    const root = element(
      'section',
      { className: 'check-of', 'aria-label': said.title(called(heatmap, info, words)) },
      deletion?.figure,
      element(
        'div',
        { className: 'check-said' },
        element('h2', {}, said.title(called(heatmap, info, words))),
        element('p', {}, sentence),
        element('p', { className: 'check-verdict', 'data-verdict': checked.verdict }, verdict),
        stable,
        key(),
      ),
      element(
        'details',
        {},
        element('summary', {}, said.values),
        element('p', { className: 'soft' }, said.meaning),
        insertion?.figure,
        element('div', { className: 'check-tables' }, ...tests.map((test) => test.table)),
      ),
    );
    return { root, tell, spoken: () => `${sentence} ${verdict} ${stable.textContent}` };
  }

  /** @param {number[]} values @returns {[string, string]} */
  function range(values) {
    return [numbers.score(Math.min(...values)), numbers.score(Math.max(...values))];
  }

  function key() {
    const mark = (/** @type {string} */ name, /** @type {string} */ text) =>
      element('li', {}, element('span', { className: `key-${name}` }), text);
    return element(
      'ul',
      { className: 'check-key', 'aria-hidden': 'true' },
      mark('map', said.map),
      mark('mean', said.mean),
      mark('band', said.band),
    );
  }

  /** @param {import('../checksaid.js').Curves} test @param {string} title @param {(value: number) => string} given */
  function table({ shares, map, mean, least, most }, title, given) {
    const head = [said.share, said.map, said.mean, said.band];
    return element(
      'table',
      { className: 'check-table' },
      element('caption', {}, title),
      element('thead', {}, element('tr', {}, ...head.map((text) => element('th', { scope: 'col' }, text)))),
      element(
        'tbody',
        {},
        ...shares.map((share, step) =>
          element(
            'tr',
            {},
            element('th', { scope: 'row' }, numbers.percent(share)),
            ...[map, mean].map((curve) => element('td', {}, given(curve[step] ?? 0))),
            element('td', {}, `${given(least[step] ?? 0)} – ${given(most[step] ?? 0)}`),
          ),
        ),
      ),
    );
  }
}
