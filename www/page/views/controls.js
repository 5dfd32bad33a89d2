// how the heatmap is drawn → slider, hold-to-compare, colours with legend, method and layer
import { element, icon } from './element.js';

/** @typedef {import('../../library/protocol.js').Layer} Layer */

/**
 * @typedef {object} ControlsData
 * @property {number} opacity
 * @property {string} colormap
 * @property {ImageData | null} legend one row of the colour map, weakest to strongest
 * @property {string[]} methods
 * @property {Layer[]} layers
 * @property {string | null} method
 * @property {string[]} chosen layers
 */

const COLORMAPS = /** @type {const} */ (['inferno', 'viridis', 'magma', 'plasma', 'cividis', 'turbo', 'grey']);

/** All layers, averaged. */
const ALL = '*';

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
  method === 'occlusion' ? words.occlusion : method === 'scorecam' ? words.scoreCam : (METHODS[method] ?? method);

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {(opacity: number) => void} options.onOpacity
 * @param {(bare: boolean) => void} options.onHold
 * @param {(colormap: string) => void} options.onColormap
 * @param {(method: string) => void} options.onMethod
 * @param {(layers: string[]) => void} options.onLayers several are averaged
 */
export function controlsView({ words, onOpacity, onHold, onColormap, onMethod, onLayers }) {
  const opacity = element('input', {
    type: 'range',
    min: '0',
    max: '1',
    step: '0.01',
    oninput: () => onOpacity(opacity.valueAsNumber),
  });
  const colormap = element(
    'select',
    { onchange: () => onColormap(colormap.value) },
    ...COLORMAPS.map((name) => new Option(words.colourNames[name], name)),
  );
  const method = element('select', { onchange: () => onMethod(method.value) });
  const layer = element('select', { onchange: () => onLayers(layer.value === ALL ? all : [layer.value]) });
  const legend = element('canvas', { className: 'legend-ramp', width: 256, height: 1, 'aria-hidden': 'true' });
  const methodField = element('label', { className: 'field' }, words.method, method);
  const layerField = element('label', { className: 'field' }, words.layer, layer);
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
      element('div', { className: 'ramp' }, legend, element('span', {}, words.less), element('span', {}, words.more)),
    ),
    methodField,
    layerField,
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
      colormap.value = data.colormap;
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
      layer.disabled = data.method === 'occlusion';
      note.hidden = data.methods.includes('gradcam');
      if (data.legend && data.legend !== drawn) legend.getContext('2d')?.putImageData((drawn = data.legend), 0, 0);
    },
  };
}

/**
 * @param {HTMLSelectElement} select
 * @param {string[]} names
 * @param {string | null} chosen
 * @param {Record<string, string>} [titles]
 */
function choices(select, names, chosen, titles = {}) {
  if (select.options.length !== names.length || names.some((name, at) => select.options[at]?.value !== name))
    select.replaceChildren(...names.map((name) => new Option(titles[name] ?? name, name)));
  if (chosen) select.value = chosen;
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
