// camera that is on → buttons to take a photo, to classify live, to stop; which camera, and whether it is mirrored
import { element, icon } from './element.js';

/** @typedef {import('../camera.js').Device} Device */

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {() => void} options.onTake
 * @param {(live: boolean) => void} options.onLive
 * @param {(device: Device) => void} options.onDevice
 * @param {(flip: boolean) => void} options.onFlip
 * @param {() => void} options.onStop
 */
export function cameraView({ words, onTake, onLive, onDevice, onFlip, onStop }) {
  const said = words.cameraView;
  const toggle = (/** @type {string} */ label, /** @type {(on: boolean) => void} */ act) => {
    const button = element(
      'button',
      { type: 'button', className: 'way', onclick: () => act(button.getAttribute('aria-pressed') !== 'true') },
      label,
    );
    return button;
  };
  const live = toggle(said.live, onLive);
  const mirror = toggle(said.flip, onFlip);
  /** @type {Device[]} */
  let devices = [];
  const choice = element('select', {
    'aria-label': said.device,
    onchange: () => {
      const device = devices[choice.selectedIndex];
      if (device) onDevice(device);
    },
  });
  const state = element('p', { className: 'soft', role: 'status' });
  const root = element(
    'div',
    { className: 'camera-view', role: 'group', 'aria-label': said.title },
    element('button', { type: 'button', className: 'way primary', onclick: onTake }, icon('camera'), said.take),
    live,
    mirror,
    element('button', { type: 'button', className: 'way', onclick: onStop }, said.stop),
    choice,
    state,
  );
  return {
    root,
    /** @param {{camera: import('../camera.js').Camera | null, live: boolean}} data */
    update({ camera, live: now }) {
      root.hidden = !camera;
      if (!camera) return;
      live.setAttribute('aria-pressed', String(now));
      mirror.setAttribute('aria-pressed', String(camera.flip));
      state.textContent = camera.state === 'on' ? '' : said.states[camera.state];
      choice.hidden = camera.devices.length < 2;
      if (devices !== camera.devices) {
        devices = camera.devices;
        choice.replaceChildren(
          ...devices.map(({ label }, at) => new Option(label || `${said.device} ${at + 1}`, String(at))),
        );
      }
      const used = camera.device?.id;
      if (used) choice.selectedIndex = devices.findIndex(({ id }) => id === used);
    },
  };
}
