// language, theme, model and settings → buttons in the header
import { element, icon } from './element.js';

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {{code: string, name: string} | null} options.other the other language, if there is one
 * @param {() => void} options.onModel
 * @param {() => void} options.onLanguage
 * @param {() => void} options.onTheme
 * @param {() => void} options.onSettings
 */
export function toolsView({ words, other, onModel, onLanguage, onTheme, onSettings }) {
  const model = element('button', { type: 'button', className: 'model-button', onclick: onModel });
  const root = element(
    'div',
    { className: 'tools-view' },
    model,
    other &&
      element(
        'button',
        { type: 'button', className: 'quiet language', lang: other.code, onclick: onLanguage },
        other.name,
      ),
    iconButton('theme', words.switchTheme, onTheme),
    iconButton('settings', words.settings, onSettings),
  );
  return {
    root,
    /** @param {{name: string | null}} data */
    update({ name }) {
      model.textContent = name ?? words.model;
      model.setAttribute('aria-label', words.aboutModel(name ?? '…'));
    },
  };
}

/** @param {string} name @param {string} title @param {() => void} onclick */
function iconButton(name, title, onclick) {
  return element('button', { type: 'button', className: 'quiet', title, 'aria-label': title, onclick }, icon(name));
}
