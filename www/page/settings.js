// choices of the reader ↔ localStorage, which may be missing or refuse
import { words as en } from './words/en.js';
import { KEY, LOADING, oneOf, stored } from './kept.js';
import { languages } from './language.js';

/**
 * @typedef {object} Settings
 * @property {string | null} language null: the browser's
 * @property {'light' | 'dark' | null} theme null: the system's
 * @property {'auto' | 'eager' | 'lazy' | null} preload null, here and below: as the page's address or its script tag
 *   say
 * @property {boolean | null} heatmap
 * @property {number | null} memoryLimit bytes
 * @property {import('../library/policy.js').Build | null} build of the module
 * @property {string} colormap
 * @property {number} opacity 0 to 1
 * @property {import('./camera.js').Device | null} camera used last; null: the browser's choice
 * @property {boolean} flip whether the camera's frames are mirrored
 */

/** @type {Settings} */
export const defaults = {
  language: null,
  theme: null,
  preload: null,
  heatmap: null,
  memoryLimit: null,
  build: null,
  colormap: 'inferno',
  opacity: 0.75,
  camera: null,
  flip: false,
};

/** What each may be. @type {{ [name in keyof Settings]: (value: unknown) => boolean }} */
const checks = {
  language: oneOf(languages.map(({ code }) => code)),
  theme: oneOf(['light', 'dark']),
  ...LOADING,
  heatmap: oneOf([true, false]),
  colormap: (value) => typeof value === 'string' && Object.hasOwn(en.colourNames, value),
  opacity: (value) => typeof value === 'number' && value >= 0 && value <= 1,
  camera: (value) => value === null || isDevice(value),
  flip: (value) => typeof value === 'boolean',
};

/** @param {unknown} value */
function isDevice(value) {
  const { id, label } = /** @type {{id?: unknown, label?: unknown}} */ (value ?? {});
  return typeof id === 'string' && typeof label === 'string';
}

/** The kept settings that are valid; the others have their defaults. @returns {Settings} */
export function readSettings() {
  const whole = stored();
  const kept = whole ?? {};
  const sound = Object.entries(checks).filter(([name, check]) => Object.hasOwn(kept, name) && check(kept[name]));
  const settings = { ...defaults, ...Object.fromEntries(sound.map(([name]) => [name, kept[name]])) };
  if (!whole || sound.length < Object.keys(kept).length) keepSettings(settings);
  return settings;
}

/** @param {Settings} settings */
export function keepSettings(settings) {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // Private windows and full disks refuse; the choice then holds for this visit only.
  }
}
