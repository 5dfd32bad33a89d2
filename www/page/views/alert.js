// error → what happened and what to do, with the details at hand
import { told } from '../trouble.js';
import { element, icon } from './element.js';

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {ReturnType<typeof import('../numbers.js').numbers>} options.numbers
 * @param {() => void} options.onDismiss
 */
export function alertView({ words, numbers, onDismiss }) {
  const root = element('div', { className: 'alert-view', hidden: true });
  /** @type {unknown} */
  let shown;
  return {
    root,
    /** @param {{error: unknown, about: string | null, retry: (() => void) | null}} data */
    update({ error, about, retry }) {
      if (error === shown) return;
      shown = error;
      root.hidden = !error;
      if (!error) return root.replaceChildren();
      const { code, message, limit } = /** @type {{code?: string, message?: string, limit?: number}} */ (error);
      const [what, next] = told(error, words);
      root.replaceChildren(
        element('p', {}, about && element('b', {}, `${about}: `), element('strong', {}, what), ` ${next}`),
        element(
          'details',
          {},
          element('summary', {}, words.errors.details),
          element('code', {}, `${code ? `${code}: ` : ''}${message ?? String(error)}`),
        ),
        element(
          'div',
          { className: 'alert-actions' },
          retry &&
            element(
              'button',
              { type: 'button', className: 'action', onclick: retry },
              limit ? words.useAnyway(numbers.bytes(limit)) : words.retry,
            ),
          element(
            'button',
            {
              type: 'button',
              className: 'quiet',
              title: words.errors.dismiss,
              'aria-label': words.errors.dismiss,
              onclick: onDismiss,
            },
            icon('close'),
          ),
        ),
      );
    },
  };
}
