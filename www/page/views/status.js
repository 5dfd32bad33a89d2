// state of the model → one quiet line with progress, cancel and retry
import { element } from './element.js';

/** @typedef {import('../session.js').Loading} Loading */

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {import('../numbers.js').Numbers} options.numbers
 * @param {() => void} options.onCancel
 * @param {() => void} options.onLoad
 */
export function statusView({ words, numbers, onCancel, onLoad }) {
  const line = element('span', { className: 'status-line' });
  const bar = element('progress', {
    className: 'bar-line status-bar',
    max: 1,
    hidden: true,
    'aria-label': words.loading.progress,
  });
  const cancel = element('button', { type: 'button', className: 'link', onclick: onCancel }, words.cancel);
  const again = element('button', { type: 'button', className: 'link', onclick: onLoad }, words.retry);
  const root = element('div', { className: 'status-view' }, bar, line, cancel, again);

  return {
    root,
    /** @param {{loading: Loading, facts: string[]}} data */
    update({ loading, facts }) {
      const { phase, loaded, total, since } = loading;
      const running = phase === 'start' || phase === 'download' || phase === 'prepare';
      const passed = numbers.seconds(performance.now() - since);
      root.dataset.phase = phase;
      bar.hidden = !running;
      if (phase === 'download' && total) bar.value = loaded / total;
      else bar.removeAttribute('value');
      cancel.hidden = !running;
      again.hidden = phase !== 'failed' && phase !== 'idle';
      again.textContent = phase === 'idle' ? words.load : words.retry;
      line.textContent = {
        idle: () => words.loading.idle,
        start: () => words.loading.start,
        download: () => words.loading.download(numbers.bytes(loaded), numbers.bytes(total || loaded), passed),
        prepare: () => words.loading.prepare(passed),
        ready: () => words.loading.ready(facts),
        failed: () => words.loading.failed,
      }[phase]();
    },
  };
}
