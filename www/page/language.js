// choice of the reader, else the browser's languages → words
import { words as en } from './words/en.js';

/** @typedef {import('./words/en.js').Words} Words */
/** @typedef {{code: string, name: string}} Language */

/** The words of the others are fetched when they are wanted. @type {Language[]} */
export const languages = [
  { code: en.code, name: en.name },
  { code: 'vi', name: 'Tiếng Việt' },
];

/** @type {Record<string, () => Promise<{words: Words}>>} */
const others = { vi: () => import('./words/vi.js') };

/** @param {string | null} chosen @returns {Promise<Words>} rejects where they cannot be fetched */
export async function wordsFor(chosen) {
  const wanted = [chosen, ...navigator.languages].map((code) => code?.slice(0, 2));
  const code = wanted.find((wanted) => languages.some(({ code }) => code === wanted));
  const other = code && others[code];
  return other ? (await other()).words : en;
}

/** The language to change to. @param {Words} words @returns {Language} */
export function otherThan({ code }) {
  return languages.find((language) => language.code !== code) ?? en;
}
