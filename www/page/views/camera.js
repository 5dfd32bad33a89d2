// camera that is on → buttons to take a photo, to classify live, to stop
import { element, icon } from './element.js';

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {() => void} options.onTake
 * @param {(live: boolean) => void} options.onLive
 * @param {() => void} options.onStop
 */
export function cameraView({ words, onTake, onLive, onStop }) {
  const said = words.cameraView;
  const live = element(
    'button',
    { type: 'button', className: 'way', onclick: () => onLive(live.getAttribute('aria-pressed') !== 'true') },
    said.live,
  );
  const root = element(
    'div',
    { className: 'camera-view', role: 'group', 'aria-label': said.title },
    element('button', { type: 'button', className: 'way primary', onclick: onTake }, icon('camera'), said.take),
    live,
    element('button', { type: 'button', className: 'way', onclick: onStop }, said.stop),
  );
  return {
    root,
    /** @param {{on: boolean, live: boolean}} data */
    update({ on, live: now }) {
      root.hidden = !on;
      live.setAttribute('aria-pressed', String(now));
    },
  };
}
