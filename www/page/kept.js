// what the browser keeps of the reader's choices, and which of them decide how a model is loaded
import { BUILDS } from '../library/policy.js';

/** Where it is kept. */
export const KEY = 'whylens';

/** The cache that holds a model of the reader's own. */
export const OWN_MODEL = 'whylens own model';

/** @param {readonly unknown[]} choices */
export const oneOf = (choices) => (/** @type {unknown} */ value) => value === null || choices.includes(value);

/** What a choice that decides that may be; null: as the page's address or its script tag say. */
export const LOADING = {
  preload: oneOf(['auto', 'eager', 'lazy']),
  memoryLimit: (/** @type {unknown} */ value) => value === null || (Number.isFinite(value) && Number(value) > 0),
  build: oneOf(BUILDS),
};

/** Unchecked; null: nothing that can be read. @returns {Record<string, unknown> | null} */
export function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    return typeof found === 'object' ? found : null;
  } catch {
    return null;
  }
}
