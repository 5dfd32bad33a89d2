// what was tried → the brush over the photo, its tools, and the values before and now
import { element } from './element.js';
import { brushArea } from './brusharea.js';

/** @typedef {import('../../library/protocol.js').Prediction} Prediction */
/** @typedef {import('../../library/protocol.js').Region} Region */
/** @typedef {import('../../library/protocol.js').Size} Size */
/** @typedef {import('../brush.js').Stroke} Stroke */
/**
 * @typedef {object} Shown
 * @property {import('../../library/protocol.js').Result['model']} model
 * @property {Region} place of the picture, in pixels of the photo
 * @property {Size} image the photo
 * @property {{before: Prediction, now: Prediction | null, explained: boolean}[]} rows
 * @property {Prediction | null} first the class that is first now, where it is none of these
 * @property {number | null} most share of the map's cells that one button brushes; null: it marks none
 */

/** ms of rest before the values are read out. */
const SETTLED = 600;

/** Diameter of the brush as a share of the picture's shorter side. */
const SIZES = { least: 0.04, most: 0.6, step: 0.02 };

/**
 * @param {object} options
 * @param {import('../words/parts/trial.js').TrialWords} options.words
 * @param {import('../numbers.js').Numbers} options.numbers
 * @param {Size} options.size of the picture
 * @param {HTMLCanvasElement} options.ink
 * @param {(stroke: Stroke | null) => void} options.onDraw is being drawn; null: it was given up
 * @param {(stroke: Stroke) => void} options.onStroke
 * @param {(mode: import('../brush.js').Mode) => void} options.onMode
 * @param {(fill: import('../brush.js').Fill) => void} options.onFill
 * @param {(size: number) => void} options.onSize
 * @param {(shown: boolean) => void} options.onMap
 * @param {() => void} options.onMost
 * @param {() => void} options.onUndo
 * @param {() => void} options.onRedo
 * @param {() => void} options.onReset
 */
export function trialView({ words, numbers, size, ink, onDraw, onStroke, onMode, onFill, onSize, onMap, ...on }) {
  const { percent } = numbers;
  const area = brushArea({ words, numbers, size, ink, onDraw, onStroke, onSize: resize, onKey: undoKeys });
  const fill = choice('trial-fill', words.fill, words.fills, onFill);
  const mode = choice('trial-mode', words.mode, words.modes, onMode);
  const range = element('input', {
    type: 'range',
    min: String(SIZES.least),
    max: String(SIZES.most),
    step: String(SIZES.step),
    oninput: () => onSize(range.valueAsNumber),
  });
  const map = element('input', { type: 'checkbox', onchange: () => onMap(map.checked) });
  const mapField = element('label', { className: 'check' }, map, words.map);
  const action = (/** @type {string} */ label, /** @type {() => void} */ onclick) =>
    element('button', { type: 'button', className: 'action', onclick }, label);
  const most = action('', on.onMost);
  const undo = action(words.undo, on.onUndo);
  const redo = action(words.redo, on.onRedo);
  const reset = action(words.reset, on.onReset);
  const list = element('ul', { className: 'trial-values', 'aria-label': words.values });
  const first = element('p', { className: 'soft trial-first' });
  const said = element('p', { className: 'unseen', role: 'status' });
  const root = element(
    'div',
    { className: 'trial', role: 'group', 'aria-label': words.title, onkeydown: undoKeys },
    element(
      'p',
      { className: 'soft trial-hint', id: 'trial-hint' },
      words.hint,
      ' ',
      element('span', { className: 'trial-keys' }, words.keys),
    ),
    element('div', { className: 'trial-scores' }, list, first),
    element(
      'div',
      { className: 'trial-tools' },
      element('div', { className: 'trial-row' }, fill.root, mode.root),
      element(
        'div',
        { className: 'trial-row' },
        element('label', { className: 'field trial-size' }, words.size, range),
        mapField,
      ),
      element('div', { className: 'trial-row' }, undo, redo, reset, most),
    ),
    said,
  );
  /** @type {ReturnType<typeof row>[]} */
  const rows = [];
  let brushSize = 0;
  /** What was read out last, and what will be. */
  let known = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let settling;

  return {
    root,
    area: area.root,
    /** Takes the focus, with photo and values on the screen. */
    focus() {
      // Not from where the reader went meanwhile.
      const { activeElement: focused } = document;
      if (!focused || focused === document.body || focused.closest('.part-tools')) area.focus();
      const [top, bottom] = [area.root.getBoundingClientRect().top, list.getBoundingClientRect().bottom];
      if (top < 0 || bottom > innerHeight) area.root.scrollIntoView({ block: 'start' });
    },
    /** @param {import('../trial.js').Tried & Shown} data */
    update(data) {
      brushSize = data.size;
      root.setAttribute('aria-busy', String(!data.resting));
      area.update({ size: data.size, place: data.place, image: data.image });
      fill.update(data.fill);
      mode.update(data.mode);
      range.value = String(data.size);
      range.style.setProperty('--part', `${((data.size - SIZES.least) / (SIZES.most - SIZES.least)) * 100}%`);
      range.setAttribute('aria-valuetext', percent(data.size));
      map.checked = data.map;
      mapField.hidden = most.hidden = data.most === null;
      most.textContent = words.most[data.mode](percent(data.most ?? 0));
      // A button that is disabled while it has the focus would lose it.
      for (const [button, able] of /** @type {const} */ ([
        [undo, data.undo],
        [redo, data.redo],
        [reset, data.reset],
      ]))
        button.setAttribute('aria-disabled', String(!able));
      drawValues(data);
      if (data.resting) readOut(data);
      else clearTimeout(settling);
    },
  };

  /** @param {Shown} data */
  function drawValues({ rows: given, model, first: newcomer }) {
    while (rows.length < given.length) rows.push(row(words));
    rows.length = given.length;
    if (list.childElementCount !== rows.length) list.replaceChildren(...rows.map(({ root }) => root));
    const most = Math.max(...given.flatMap(({ before, now }) => [before.score, now?.score ?? 0]).map(Math.abs), 1e-9);
    const share = (/** @type {Prediction} */ { score, probability }) =>
      model.activation === 'none' ? Math.max(0, score / most) : probability;
    given.forEach(({ before, now, explained }, at) =>
      rows[at]?.update({
        label: before.label,
        before: numbers.given(before, model),
        now: now && numbers.given(now, model),
        from: share(before),
        to: share(now ?? before),
        explained,
      }),
    );
    first.textContent = newcomer ? words.first(newcomer.label, numbers.given(newcomer, model)) : '';
  }

  /** Not at every move: once it rests. @param {import('../trial.js').Tried & Shown} data */
  function readOut({ rows: given, model, first: newcomer, touched }) {
    const values = given.flatMap(({ before, now }) =>
      now ? [`${before.label}: ${words.change(numbers.given(before, model), numbers.given(now, model))}`] : [],
    );
    if (newcomer) values.push(words.first(newcomer.label, numbers.given(newcomer, model)));
    const text = touched ? values.join('. ') : words.untouched;
    if (text === known || (!touched && !known)) return;
    clearTimeout(settling);
    settling = setTimeout(() => {
      known = text;
      said.textContent = text;
    }, SETTLED);
  }

  /** @param {-1 | 1} by */
  function resize(by) {
    const next = brushSize + by * SIZES.step * (brushSize >= 0.2 ? 2 : 1);
    // Keys may come faster than frames.
    brushSize = Math.min(Math.max(Math.round(next * 100) / 100, SIZES.least), SIZES.most);
    onSize(brushSize);
  }

  /** @param {KeyboardEvent} event */
  function undoKeys(event) {
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key !== 'z' && key !== 'y') return;
    event.preventDefault();
    if (key === 'y' || event.shiftKey) on.onRedo();
    else on.onUndo();
  }
}

/**
 * One of a few, as buttons that are radios.
 * @template {string} Name
 * @param {string} name
 * @param {string} title
 * @param {Record<Name, string>} labels
 * @param {(chosen: Name) => void} onChoice
 */
function choice(name, title, labels, onChoice) {
  const inputs = /** @type {Name[]} */ (Object.keys(labels)).map((value) =>
    element('input', { type: 'radio', name, value, className: 'unseen', onchange: () => onChoice(value) }),
  );
  const root = element(
    'fieldset',
    { className: 'choice' },
    element('legend', { className: 'unseen' }, title),
    ...inputs.map((input) =>
      element('label', {}, input, element('span', {}, labels[/** @type {Name} */ (input.value)])),
    ),
  );
  return {
    root,
    /** @param {Name} chosen */
    update(chosen) {
      for (const input of inputs) input.checked = input.value === chosen;
    },
  };
}

/** One class: its value before and now. @param {import('../words/parts/trial.js').TrialWords} words */
function row(words) {
  const label = element('span', { className: 'class-label' });
  const was = element('data', { className: 'trial-before' });
  const arrow = element('span', { className: 'trial-arrow' }, '→');
  const is = element('data', { className: 'trial-now' });
  const seen = element('span', { className: 'class-value', 'aria-hidden': 'true' }, was, arrow, is);
  const unseen = element('span', { className: 'unseen' });
  const filled = element('span');
  const mark = element('i');
  const bar = element('span', { className: 'class-bar', 'aria-hidden': 'true' }, filled, mark);
  const root = element('li', {}, label, seen, unseen, bar);
  return {
    root,
    /** @param {{label: string, before: string, now: string | null, from: number, to: number, explained: boolean}} data */
    update({ label: name, before, now, from, to, explained }) {
      label.textContent = name;
      Object.assign(was, { textContent: before, value: String(from) });
      Object.assign(is, { textContent: now ?? '', value: String(to) });
      arrow.hidden = is.hidden = now === null;
      was.dataset.past = String(now !== null);
      unseen.textContent = now === null ? before : words.change(before, now);
      filled.style.setProperty('--part', `${(to || 0) * 100}%`);
      mark.style.setProperty('--part', `${(from || 0) * 100}%`);
      root.dataset.shown = explained ? 'first' : '';
    },
  };
}
