// choice of the reader, else the browser's languages → words
import { words as en } from './words/en.js';
import { words as vi } from './words/vi.js';

/** @typedef {import('./words/en.js').Words} Words */

/** @type {Words[]} */
export const languages = [en, vi];

/** @param {string | null} chosen @returns {Words} */
export function wordsFor(chosen) {
  const wanted = [chosen, ...navigator.languages].map((code) => code?.slice(0, 2));
  return wanted.flatMap((code) => languages.filter((words) => words.code === code))[0] ?? en;
}

/** @param {Words} words @returns {Words} */
export const otherThan = (words) => (words === en ? vi : en);
