// settings → a dialog to change them
import { dialogView } from './dialog.js';
import { element } from './element.js';
import { dialogWords } from '../words/parts/dialogs.js';

/** @typedef {import('../settings.js').Settings} Settings */

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {{code: string, name: string}[]} options.languages
 * @param {(choice: Partial<Settings>) => void} options.onChoice
 * @param {(choice: Partial<Settings>) => void} options.onReload choices that the model must be loaded again for
 */
export function settingsView({ words, languages, onChoice, onReload }) {
  const said = dialogWords(words.code).settings;
  const language = select(
    { '': said.browser, ...Object.fromEntries(languages.map(({ code, name }) => [code, name])) },
    (value) => onChoice({ language: value || null }),
  );
  const theme = select({ '': words.theme.system, light: words.theme.light, dark: words.theme.dark }, (value) =>
    onChoice({ theme: /** @type {Settings['theme']} */ (value || null) }),
  );
  const preload = select({ '': said.given, ...said.preloads }, (value) =>
    onReload({ preload: /** @type {Settings['preload']} */ (value || null) }),
  );
  const heatmap = select({ '': said.given, on: said.on, off: said.off }, (value) =>
    onReload({ heatmap: value ? value === 'on' : null }),
  );
  const memory = element('input', {
    type: 'number',
    min: '64',
    max: '4096',
    step: '1',
    inputMode: 'numeric',
    placeholder: said.given,
    onchange: () =>
      memory.checkValidity() && onReload({ memoryLimit: memory.value ? memory.valueAsNumber * 1e6 : null }),
  });
  const build = select({ '': said.given, ...said.builds }, (value) =>
    onReload({ build: /** @type {Settings['build']} */ (value || null) }),
  );
  const dialog = dialogView(
    { title: words.settings, close: words.close },
    element(
      'div',
      { className: 'stack' },
      languages.length > 1 && field(said.language, language),
      field(said.theme, theme),
      field(said.preload, preload, said.preloadNote),
      field(said.heatmap, heatmap, said.heatmapNote),
      field(said.memory, memory, said.memoryNote),
      field(said.build, build, said.buildNote),
    ),
  );
  return {
    ...dialog,
    /** @param {Settings} settings */
    update(settings) {
      language.value = settings.language ?? '';
      theme.value = settings.theme ?? '';
      preload.value = settings.preload ?? '';
      heatmap.value = settings.heatmap === null ? '' : settings.heatmap ? 'on' : 'off';
      build.value = settings.build ?? '';
      if (document.activeElement !== memory)
        memory.value = settings.memoryLimit ? String(settings.memoryLimit / 1e6) : '';
    },
  };
}

/** @param {Record<string, string>} options @param {(value: string) => void} onChoice */
function select(options, onChoice) {
  const built = element(
    'select',
    { onchange: () => onChoice(built.value) },
    ...Object.entries(options).map(([value, text]) => new Option(text, value)),
  );
  return built;
}

/** @param {string} label @param {HTMLElement} control @param {string} [note] */
function field(label, control, note) {
  return element(
    'label',
    { className: 'field row' },
    element('span', {}, element('b', {}, label), note && element('small', {}, note)),
    control,
  );
}
