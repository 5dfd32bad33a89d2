// title + content → a dialog
import { element, icon } from './element.js';

/**
 * @param {{title: string, close: string}} words
 * @param {...Node} content
 */
export function dialogView({ title, close }, ...content) {
  const root = element(
    'dialog',
    { 'aria-label': title },
    element(
      'header',
      { className: 'dialog-head' },
      element('h2', {}, title),
      element(
        'button',
        { type: 'button', className: 'quiet', title: close, 'aria-label': close, onclick: () => root.close() },
        icon('close'),
      ),
    ),
    ...content,
  );
  // A click outside the content is a click on the dialog itself.
  root.addEventListener('click', (event) => event.target === root && root.close());
  return {
    root,
    open: () => root.open || root.showModal(),
    close: () => root.close(),
  };
}
