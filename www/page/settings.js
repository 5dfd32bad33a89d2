// choices of the reader ↔ localStorage, which may be missing or refuse

/**
 * @typedef {object} Settings
 * @property {string | null} language null: the browser's
 * @property {'light' | 'dark' | null} theme null: the system's
 * @property {'auto' | 'eager' | 'lazy' | null} preload null, here and below: as the page's address or its script tag say
 * @property {boolean | null} heatmap
 * @property {number | null} memoryLimit bytes
 * @property {import('../policy.js').Build | null} build of the module
 * @property {string} colormap
 * @property {number} opacity 0 to 1
 */

/** @type {Settings} */
export const defaults = {
  language: null, theme: null, preload: null, heatmap: null, memoryLimit: null, build: null, colormap: 'inferno', opacity: 0.75,
};

const KEY = 'whylens';

/** @returns {Settings} */
export function readSettings() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    const known = Object.entries(defaults).filter(([name, value]) => name in kept && (value === null || typeof value === typeof kept[name]));
    return { ...defaults, ...Object.fromEntries(known.map(([name]) => [name, kept[name]])) };
  } catch {
    return { ...defaults };
  }
}

/** @param {Settings} settings */
export function keepSettings(settings) {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // Private windows and full disks refuse; the choice then holds for this visit.
  }
}
