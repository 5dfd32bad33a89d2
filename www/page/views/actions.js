// result → buttons to save or copy it
import { element, icon } from './element.js';

/**
 * @typedef {{onPicture: () => void, onCopy: () => Promise<boolean>, onReport: () => void, onResult: () => void, onMap:
 *   () => void}} Actions
 */

/** @param {{words: import('../words/en.js').Words, actions: Actions}} options */
export function actionsView({ words, actions }) {
  const button = (/** @type {string} */ name, /** @type {string} */ label, /** @type {() => void} */ onclick) =>
    element('button', { type: 'button', className: 'action', onclick }, icon(name), element('span', {}, label));
  const copy = button('copy', words.copyPicture, async () => {
    const said = copy.querySelector('span');
    if (!said) return;
    said.textContent = (await actions.onCopy()) ? words.copied : words.cannotCopy;
    setTimeout(() => (said.textContent = words.copyPicture), 2500);
  });
  const map = button('save', words.saveMap, actions.onMap);
  const root = element(
    'div',
    { className: 'actions' },
    button('save', words.savePicture, actions.onPicture),
    copy,
    button('save', words.saveReport, actions.onReport),
    button('save', words.saveResult, actions.onResult),
    map,
  );
  return {
    root,
    /** @param {{hidden: boolean, heatmap: boolean}} data */
    update({ hidden, heatmap }) {
      root.hidden = hidden;
      map.hidden = !heatmap;
    },
  };
}
