// what heatmaps show, and how → slider, hold-to-compare, colours with legend, sides, question, method and layer
import { element, icon } from './element.js';

/** @typedef {import('../../library/protocol.js').Layer} Layer */
/** @typedef {import('../../library/protocol.js').Heatmap['sign']} Sign */
/** @typedef {import('../explain.js').Contrast} Contrast */

/**
 * @typedef {object} ControlsData
 * @property {number} opacity
 * @property {string} colormap
 * @property {ImageData | null} legend one row of the colour map, weakest to strongest
 * @property {string[]} methods
 * @property {string[]} layerless methods that take no layer
 * @property {Layer[]} layers
 * @property {Sign} sign
 * @property {boolean} sided whether the method tells what speaks for a class from what speaks against it
 * @property {boolean} number whether the model gives one number, and no class
 * @property {string[]} classes labels of those that are explained; none: there is no other to set them against
 * @property {Contrast} contrast
 * @property {boolean} contrastable whether the method tells one class from another
 * @property {string | null} method
 * @property {string[]} chosen layers
 * @property {'none' | 'refused' | 'open' | 'running' | 'done' | 'thorough'} check of the shown maps; none: there is nothing
 *   to check; done: a more thorough one is left
 * @property {number} maps
 */

const COLORMAPS = /** @type {const} */ (['inferno', 'viridis', 'magma', 'plasma', 'cividis', 'turbo', 'grey']);

/** That of maps of both sides. */
const BOTH = 'diverging';

/** All layers, averaged. */
const ALL = '*';

const SIGNS = /** @type {const} */ (['for', 'against', 'both']);

/** As their papers write them. */
const METHODS = /** @type {Record<string, string>} */ ({
  gradcam: 'Grad-CAM',
  'gradcam++': 'Grad-CAM++',
  hirescam: 'HiResCAM',
  layercam: 'LayerCAM',
  xgradcam: 'XGrad-CAM',
  eigencam: 'Eigen-CAM',
  eigengradcam: 'Eigen-GradCAM',
});

/** @param {string} method @param {import('../words/en.js').Words} words */
export const methodName = (method, words) =>
  /** @type {Record<string, string>} */ (words.methods)[method] ?? METHODS[method] ?? method;

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {(opacity: number) => void} options.onOpacity
 * @param {(bare: boolean) => void} options.onHold
 * @param {(colormap: string) => void} options.onColormap
 * @param {(method: string) => void} options.onMethod
 * @param {() => void} options.onCheck
 * @param {() => void} options.onCheckCancel
 * @param {(sign: Sign) => void} options.onSign
 * @param {(contrast: Contrast) => void} options.onContrast
 * @param {(layers: string[]) => void} options.onLayers several are averaged
 */
export function controlsView(options) {
  const { words, onOpacity, onHold, onColormap, onSign, onContrast, onMethod, onLayers, onCheck, onCheckCancel } =
    options;
  const opacity = element('input', {
    type: 'range',
    min: '0',
    max: '1',
    step: '0.01',
    oninput: () => onOpacity(opacity.valueAsNumber),
  });
  const colormap = element('select', { onchange: () => onColormap(colormap.value) });
  const method = element('select', { onchange: () => onMethod(method.value) });
  const layer = element('select', { onchange: () => onLayers(layer.value === ALL ? all : [layer.value]) });
  const legend = element('canvas', { className: 'legend-ramp', width: 256, height: 1, 'aria-hidden': 'true' });
  const methodField = element('label', { className: 'field' }, words.method, method);
  const layerField = element('label', { className: 'field' }, words.layer, layer);
  const sides = segments('sign', SIGNS, onSign);
  const why = element('p', { className: 'soft controls-note', id: 'one-sided' });
  const question = element('select', {
    onchange: () => onContrast(/** @type {Contrast} */ (question.value || null)),
  });
  const questionField = element('label', { className: 'field question' }, words.question, question);
  const check = element('button', {
    type: 'button',
    className: 'check-button',
    onclick: () => (checking ? onCheckCancel() : onCheck()),
  });
  let checking = false;
  const refused = element('p', { className: 'soft controls-note' }, words.check.against);
  const [low, zero, high] = [element('span'), element('span', {}, '0'), element('span')];
  const note = element('p', { className: 'soft controls-note' }, words.noGradients);
  const root = element(
    'div',
    { className: 'controls-view' },
    element('label', { className: 'field opacity' }, words.opacity, opacity),
    holdButton(words.hold, onHold),
    element(
      'div',
      { className: 'legend' },
      element('label', { className: 'field' }, words.colours, colormap),
      element('div', { className: 'ramp' }, legend, low, zero, high),
    ),
    sides.root,
    questionField,
    methodField,
    layerField,
    check,
    why,
    refused,
    note,
  );
  /** @type {ImageData | null} */
  let drawn = null;
  /** @type {string[]} */
  let all = [];
  return {
    root,
    /** @param {ControlsData} data */
    update(data) {
      opacity.value = String(data.opacity);
      opacity.style.setProperty('--part', `${data.opacity * 100}%`);
      const both = data.sign === 'both';
      choices(colormap, both ? [BOTH] : COLORMAPS, both ? BOTH : data.colormap, {
        ...words.colourNames,
        [BOTH]: words.twoColours,
      });
      colormap.disabled = both;
      const said = data.number ? words.moving : words.speaking;
      low.textContent = both ? said.against : words.less;
      high.textContent = both ? said.for : words.more;
      zero.hidden = !both;
      sides.update(said, data.sign, data.sided);
      checking = data.check === 'running';
      const open = data.maps > 1 ? words.check.both : words.check.start;
      check.textContent = checking ? words.check.cancel : data.check === 'done' ? words.check.more : open;
      check.hidden = data.check === 'none' || data.check === 'thorough' || data.check === 'refused';
      refused.hidden = data.check !== 'refused';
      why.hidden = data.sided;
      if (!data.sided) why.textContent = words.oneSided(methodName(data.method ?? '', words));
      const [first, second] = data.classes;
      questionField.hidden = first === undefined;
      question.disabled = !data.contrastable;
      if (first !== undefined) choices(question, ...questions(first, second, data.contrast, words));
      choices(
        method,
        data.methods,
        data.method,
        Object.fromEntries(data.methods.map((name) => [name, methodName(name, words)])),
      );
      all = data.layers.map(({ name }) => name);
      const sizes = Object.fromEntries(
        data.layers.map(({ name, width, height, channels }) => [name, words.layerSize(width, height, channels)]),
      );
      choices(layer, [...all, ALL], data.chosen.length > 1 ? ALL : (data.chosen[0] ?? null), {
        ...sizes,
        [ALL]: words.allLayers,
      });
      layer.title = data.chosen.join(' + ');
      methodField.hidden = data.methods.length < 2;
      layerField.hidden = data.layers.length < 2;
      layer.disabled = data.method !== null && data.layerless.includes(data.method);
      note.hidden = data.methods.includes('gradcam');
      if (data.legend && data.legend !== drawn) legend.getContext('2d')?.putImageData((drawn = data.legend), 0, 0);
    },
  };
}

/**
 * What may be asked of one class or of two: values, the chosen one, their texts.
 * @param {string} first
 * @param {string | undefined} second
 * @param {Contrast} contrast
 * @param {import('../words/en.js').Words} words
 * @returns {[string[], string, Record<string, string>]}
 */
function questions(first, second, contrast, words) {
  const { one, alike, each, other } = words.questions;
  return second === undefined
    ? [['', 'alike'], contrast === 'alike' ? 'alike' : '', { '': one(first), alike }]
    : [['', 'other'], contrast === 'other' ? 'other' : '', { '': each, other: other(first, second) }];
}

/**
 * One of a few, side by side.
 * @template {string} Value
 * @param {string} name
 * @param {readonly Value[]} values
 * @param {(value: Value) => void} onChoice
 */
function segments(name, values, onChoice) {
  const title = element('legend');
  const choices = values.map((value) => {
    const radio = element('input', { type: 'radio', name, value, onchange: () => onChoice(value) });
    const text = element('span');
    return { value, radio, text, root: element('label', { className: 'segment' }, radio, text) };
  });
  const root = element(
    'fieldset',
    { className: 'field segments', 'aria-describedby': 'one-sided' },
    title,
    element('div', { className: 'segment-row' }, ...choices.map((choice) => choice.root)),
  );
  return {
    root,
    /**
     * @param {Record<Value, string> & {title: string}} said
     * @param {Value} chosen
     * @param {boolean} enabled
     */
    update(said, chosen, enabled) {
      title.textContent = said.title;
      root.disabled = !enabled;
      for (const { value, radio, text } of choices) {
        text.textContent = said[value];
        radio.checked = value === chosen;
      }
    },
  };
}

/**
 * @param {HTMLSelectElement} select
 * @param {readonly string[]} names
 * @param {string | null} chosen
 * @param {Record<string, string>} [titles]
 */
function choices(select, names, chosen, titles = {}) {
  const wanted = names.map((name) => new Option(titles[name] ?? name, name));
  const same = (/** @type {HTMLOptionElement} */ { value, text }, /** @type {number} */ at) =>
    wanted[at]?.value === value && wanted[at]?.text === text;
  if (select.options.length !== names.length || ![...select.options].every(same)) select.replaceChildren(...wanted);
  if (chosen !== null) select.value = chosen;
}

/** @param {string} label @param {(held: boolean) => void} onHold */
function holdButton(label, onHold) {
  const held = (/** @type {boolean} */ now) => {
    button.setAttribute('aria-pressed', String(now));
    onHold(now);
  };
  const key = (/** @type {boolean} */ down) => (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== ' ' && event.key !== 'Enter') return;
    event.preventDefault();
    if (!event.repeat) held(down);
  };
  const button = element(
    'button',
    {
      type: 'button',
      className: 'hold',
      'aria-pressed': 'false',
      onpointerdown: () => held(true),
      onpointerup: () => held(false),
      onpointerleave: () => held(false),
      onpointercancel: () => held(false),
      onkeydown: key(true),
      onkeyup: key(false),
      onblur: () => held(false),
      oncontextmenu: (/** @type {Event} */ event) => event.preventDefault(),
    },
    icon('eye'),
    element('span', {}, label),
  );
  return button;
}
