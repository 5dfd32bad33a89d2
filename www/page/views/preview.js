// what a model would say of a few photos → the photos, each with its class
import { suspicion } from '../preview.js';
import { element } from './element.js';
import { ownModelWords } from '../words/parts/ownmodel.js';

/** @typedef {import('../preview.js').Trial} Trial */

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {import('../numbers.js').Numbers} options.numbers
 * @param {{ name: string, url: string }[]} options.photos
 */
export function previewView({ words, numbers, photos }) {
  const said = ownModelWords(words.code).ownModel.preview;
  const rows = photos.map(({ name, url }) => {
    const label = element('b');
    const value = element('span', { className: 'soft' });
    const said = element('span', {}, label, ' ', value);
    const photo = element('img', { src: url, alt: words.sampleNames[name], width: 64, height: 64, loading: 'lazy' });
    return { root: element('li', {}, photo, said), said, label, value };
  });
  const list = element('ul', { className: 'preview-photos' }, ...rows.map(({ root }) => root));
  const note = element('p', { className: 'preview-note', role: 'status' });
  const spoken = element('p', { className: 'unseen', role: 'status' });
  const root = element(
    'section',
    { className: 'preview', 'aria-label': said.title },
    element('h3', {}, said.title),
    list,
    note,
    spoken,
  );
  return {
    root,
    /**
     * @param {Trial | null} trial
     * @param {object} model
     * @param {(index: number) => string} model.label
     * @param {number | null} model.threshold
     * @param {string} model.unit
     */
    update(trial, { label, threshold, unit }) {
      const { answers, busy, failure } = trial ?? { answers: [], busy: false, failure: null };
      root.setAttribute('aria-busy', String(busy));
      rows.forEach((row, at) => {
        const answer = answers[at];
        const best = answer?.predictions[0];
        const known = !best || threshold === null || answer?.activation === 'none' || best.probability >= threshold;
        const given = best && numbers.given(best, { activation: answer.activation, unit });
        row.label.textContent = best ? (known ? label(best.index) : words.sure.unrecognised) : '';
        row.value.textContent = best
          ? [known ? '' : label(best.index), given].filter(Boolean).join(', ')
          : failure
            ? ''
            : '…';
      });
      const heard = photos
        .map(({ name }, at) => `${words.sampleNames[name]}: ${rows[at]?.said.textContent}`)
        .join('; ');
      if (!busy && answers.length && heard !== spoken.textContent) spoken.textContent = heard;
      const found = busy || failure ? null : suspicion(answers);
      const { code, message } = /** @type {{code?: string, message?: string}} */ (failure ?? {});
      note.textContent = failure
        ? `${(code && said.failed[code]) || said.failed.other} ${message ?? ''}`.trim()
        : busy && !answers.length
          ? said.loading
          : found
            ? said.suspicious[found]
            : '';
      note.classList.toggle('warning', found !== null);
      note.hidden = !note.textContent;
    },
  };
}
