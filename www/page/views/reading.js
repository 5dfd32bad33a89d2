// how photos become what a model takes: as its files say, or else as the reader does
import { element } from './element.js';
import { figures, written } from './figures.js';
import { ownModelWords } from '../words/parts/ownmodel.js';

/** @typedef {import('../../library/protocol.js').Inspection} Inspection */
/** @typedef {import('../../library/protocol.js').Previewed} Previewed */
/** @typedef {import('../ownmodel.js').Reading} Reading */
/** @typedef {Pick<Reading, 'channels' | 'scale' | 'mean' | 'std'>} Pixels */

/** A choice that is none of the presets. */
const OWN = 'own';

/** Share in percent that most crops keep: 224 of 256 pixels. */
const USUAL = '87.5';

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 */
export function readingView({ words }) {
  const said = ownModelWords(words.code).ownModel;
  const preset = element('select', { oninput: applyPreset });
  const presetNote = element('small', { hidden: true });
  const scale = text(),
    mean = text(),
    std = text();
  const range = element('small', { id: 'own-model-range' });
  const channels = element('select');
  const resize = select(said.resizes, () => {
    if (!side.value && !percent.value) [percent.value, typed] = [USUAL, percent];
  });
  const resizeNote = element('small', { hidden: true });
  const side = element('input', { type: 'number', min: '8', max: '8192', oninput: () => type(side, percent) });
  const percent = element('input', {
    type: 'number',
    min: '10',
    max: '100',
    step: 'any',
    oninput: () => type(percent, side),
  });
  /** Which of the two the reader has set; the preview tells the other one. */
  let typed = side;
  const filter = select(said.filters);
  const antialias = element('input', { type: 'checkbox' });
  const crops = element(
    'fieldset',
    {},
    element('legend', {}, said.cropGroup),
    field(said.side, side),
    field(said.percent, percent),
  );
  for (const control of [scale, mean, std]) control.setAttribute('aria-describedby', range.id);
  const details = element(
    'details',
    {},
    element('summary', {}, said.changeReading),
    element(
      'div',
      { className: 'stack-inner' },
      element(
        'fieldset',
        {},
        element('legend', {}, said.numberGroup),
        field(said.scale, scale),
        field(said.mean, mean),
        field(said.std, std),
        range,
        field(said.channels, channels),
      ),
      crops,
      element(
        'fieldset',
        {},
        element('legend', {}, said.sampleGroup),
        field(said.filter, filter),
        element('label', { className: 'check' }, antialias, said.antialias),
      ),
    ),
  );
  const root = element(
    'div',
    { className: 'reading', oninput: check, onchange: check },
    field(said.pixel, preset, presetNote),
    field(said.resize, resize, resizeNote),
    details,
  );
  // What cannot be sent must be seen.
  root.addEventListener('invalid', () => (details.open = true), true);
  /** @type {Inspection | null} */
  let seen = null;
  /** @type {Reading | null} */
  let first = null;
  return {
    root,
    /** @param {Inspection} inspection @param {Reading} likely */
    fill(inspection, likely) {
      [seen, first] = [inspection, likely];
      preset.replaceChildren(
        ...seen.presets.map(
          ({ name }) => new Option(said.pixels[/** @type {keyof typeof said.pixels} */ (name)], name),
        ),
        new Option(said.pixels.own, OWN),
      );
      const grey = likely.channels === 'grey';
      /** @type {Reading['channels'][]} */
      const orders = grey ? ['grey'] : ['rgb', 'bgr'];
      channels.replaceChildren(...orders.map((order) => new Option(said.orders[order], order)));
      channels.disabled = grey;
      show(likely);
      resize.value = likely.resize;
      type(side, percent);
      side.value = likely.side === null ? '' : String(likely.side);
      filter.value = likely.filter;
      antialias.checked = likely.antialias;
      check();
    },
    read,
    /** Tells what the numbers come to. @param {Previewed} previewed */
    resolve({ input, cropPercent }) {
      if (typed === percent && input.resize.size) side.value = String(input.resize.size);
      if (typed === side && cropPercent !== null) percent.value = String(Number(cropPercent.toFixed(2)));
    },
  };

  /** @returns {Reading} */
  function read() {
    return {
      ...numbers(),
      resize: /** @type {Reading['resize']} */ (resize.value),
      side: typed === side && side.value ? side.valueAsNumber : null,
      percent: typed === percent && percent.value ? percent.valueAsNumber : null,
      filter: /** @type {Reading['filter']} */ (filter.value),
      antialias: antialias.checked || antialias.disabled,
    };
  }

  /** @param {HTMLInputElement} one @param {HTMLInputElement} other what is not known any more */
  function type(one, other) {
    typed = one;
    other.value = '';
  }

  /** @returns {Pixels} */
  function numbers() {
    return {
      channels: /** @type {Reading['channels']} */ (channels.value),
      scale: figures(scale.value)[0] ?? NaN,
      mean: spread(mean.value),
      std: spread(std.value),
    };
  }

  /** One number stands for every colour. @param {string} given */
  function spread(given) {
    const list = figures(given);
    return list.length === 1 ? Array(colours()).fill(list[0]) : list;
  }

  function colours() {
    return channels.value === 'grey' ? 1 : 3;
  }

  /** @param {Pixels} pixels */
  function show(pixels) {
    channels.value = pixels.channels;
    scale.value = written([pixels.scale]);
    mean.value = written(pixels.mean);
    std.value = written(pixels.std);
  }

  function applyPreset() {
    const chosen = seen?.presets.find(({ name }) => name === preset.value);
    if (chosen) show({ ...chosen, mean: chosen.mean.slice(0, colours()), std: chosen.std.slice(0, colours()) });
    else details.open = true;
  }

  /** @param {Event} [event] */
  function check(event) {
    const given = numbers();
    const count = colours();
    problem(
      scale,
      figures(scale.value).length !== 1 || !Number.isFinite(given.scale) || given.scale === 0,
      said.badScale,
    );
    problem(mean, given.mean.length !== count || !given.mean.every(Number.isFinite), said.badNumbers(count));
    problem(
      std,
      given.std.length !== count || !given.std.every((value) => value > 0 && value < Infinity),
      said.badStd(count),
    );
    const sound = [scale, mean, std].every((control) => control.validity.valid);
    range.textContent = sound
      ? rangeOf(given)
      : ([scale, mean, std].find((c) => !c.validity.valid)?.validationMessage ?? '');
    range.className = sound ? '' : 'wrong';
    if (event?.target !== preset) preset.value = (sound && match(given)) || OWN;
    const crop = resize.value === 'crop' || resize.value === 'square';
    crops.hidden = side.disabled = percent.disabled = !crop;
    // Only these look at more pixels when they shrink, or not.
    antialias.disabled = !['bilinear', 'bicubic'].includes(filter.value);
    source(presetNote, ['pixels', 'colours'], sound && same(given, first));
    source(
      resizeNote,
      ['resize'],
      first?.resize === resize.value && (!crop || !side.value || first.side === side.valueAsNumber),
    );
  }

  /** @param {Pixels} given */
  function rangeOf({ scale, mean, std }) {
    const ends = mean.flatMap((m, at) => [0, 255].map((pixel) => (pixel * scale - m) / (std[at] ?? NaN)));
    const [low, high] = [Math.min(...ends), Math.max(...ends)].map((end) =>
      Number(end.toPrecision(3)).toLocaleString(words.code),
    );
    const far = mean.some((m) => m * scale > 0 && Math.abs(m) > 255 * Math.abs(scale) * 1.001);
    return [said.range(low ?? '', high ?? ''), far ? said.otherUnit((255 * scale).toLocaleString(words.code)) : '']
      .join(' ')
      .trim();
  }

  /** The preset with the same effect. @param {Pixels} given */
  function match(given) {
    const found = seen?.presets.filter((each) => same(given, each)) ?? [];
    // Two have the same effect; each is known by its name where its axes are usual.
    const last = seen?.manifest.input.layout === 'nhwc' ? found.at(-1) : found[0];
    return last?.name;
  }

  /** @param {HTMLElement} note @param {string[]} what @param {boolean | undefined} unchanged */
  function source(note, what, unchanged) {
    const from = seen?.found.facts.filter((fact) => what.includes(fact.what)).map((fact) => fact.from) ?? [];
    note.hidden = !unchanged || !from.length;
    note.textContent = said.source([...new Set(from)].map((name) => said.inside[name] ?? name).join(', '));
  }
}

/** Whether both give the same values. @param {Pixels} one @param {Pixels | null} other */
function same(one, other) {
  if (!other || one.channels !== other.channels) return false;
  const line = (/** @type {Pixels} */ { scale, mean, std }, /** @type {number} */ at) => [
    scale / (std[at] ?? NaN),
    (mean[at] ?? NaN) / (std[at] ?? NaN),
  ];
  const near = (/** @type {number} */ a, /** @type {number} */ b) =>
    Math.abs(a - b) <= 1e-6 * Math.max(1e-3, Math.abs(a));
  return one.mean.every((_, at) => line(one, at).every((value, i) => near(value, line(other, at)[i] ?? NaN)));
}

/** @param {HTMLInputElement} control @param {boolean} wrong @param {string} message */
function problem(control, wrong, message) {
  control.setCustomValidity(wrong ? message : '');
  control.setAttribute('aria-invalid', String(wrong));
}

const text = () => element('input', { type: 'text', required: true, spellcheck: false, autocomplete: 'off' });

/** @param {Record<string, string>} options */
export function select(options, onchange = () => {}) {
  return element('select', { onchange }, ...Object.entries(options).map(([value, text]) => new Option(text, value)));
}

/** @param {string} label @param {HTMLElement} control @param {HTMLElement} [note] */
export function field(label, control, note) {
  return element('label', { className: 'field' }, label, control, note);
}
