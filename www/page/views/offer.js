// what arrived unasked → the question whether to use it
import { dialogView } from './dialog.js';
import { element } from './element.js';

/**
 * @typedef {object} Offer
 * @property {string} question
 * @property {string[]} names of what it is about
 * @property {() => void} take
 */

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {(offer: Offer) => void} options.onDecided
 */
export function offerView({ words, onDecided }) {
  const said = words.offer;
  const question = element('p');
  const names = element('ul', { className: 'soft' });
  const take = element('button', { type: 'button', className: 'way primary', onclick: () => decide(true) }, said.take);
  const leave = element(
    'button',
    { type: 'button', className: 'way', autofocus: true, onclick: () => decide(false) },
    said.leave,
  );
  const dialog = dialogView(
    { title: said.title, close: words.close },
    element('div', { className: 'stack' }, question, names, element('div', { className: 'row-of' }, take, leave)),
  );
  /** @type {Offer | null} */
  let asked = null;
  dialog.root.addEventListener('close', () => decide(false));
  return {
    root: dialog.root,
    /** @param {Offer | null} offer */
    update(offer) {
      if (offer === asked) return;
      asked = offer;
      if (!offer) return dialog.close();
      question.textContent = offer.question;
      names.replaceChildren(...offer.names.map((name) => element('li', {}, name)));
      dialog.open();
    },
  };

  /** @param {boolean} wanted */
  function decide(wanted) {
    const offer = asked;
    if (!offer) return;
    asked = null;
    dialog.close();
    onDecided(offer);
    if (wanted) offer.take();
  }
}
