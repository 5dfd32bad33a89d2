// address of a picture → its photo
import { dialogView } from './dialog.js';
import { element } from './element.js';
import { dialogWords } from '../words/parts/dialogs.js';

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {(address: string, signal: AbortSignal) => Promise<void>} options.onAddress rejects where the picture cannot be
 *   had; closing the dialog gives up
 */
export function addressView({ words, onAddress }) {
  const said = dialogWords(words.code).address;
  const address = element('input', {
    type: 'url',
    required: true,
    autofocus: true,
    placeholder: 'https://',
    autocomplete: 'url',
  });
  const failed = element('p', { className: 'disclaimer', role: 'alert', hidden: true }, said.failed);
  const form = element(
    'form',
    { className: 'stack', onsubmit: submit },
    element('label', { className: 'field' }, said.label, address),
    element('p', { className: 'soft' }, said.note),
    failed,
    element('button', { className: 'way primary' }, said.go),
  );
  const dialog = dialogView({ title: said.title, close: words.close }, form);
  let abort = new AbortController();
  dialog.root.addEventListener('close', () => abort.abort());
  return dialog;

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    failed.hidden = true;
    form.inert = true;
    abort = new AbortController();
    const { signal } = abort;
    try {
      await onAddress(address.value, signal);
      dialog.close();
    } catch {
      failed.hidden = signal.aborted;
    }
    form.inert = false;
  }
}
