// choice of the reader, else the browser's languages → words, with those of the site's owner
import { site } from './site.js';
import { words as en } from './words/en.js';

/** @typedef {import('./words/en.js').Words} Words */
/** @typedef {{code: string, name: string, fetched: () => Promise<{words: Words}>}} Language */

/** The words of the others are fetched when they are wanted. @type {Language[]} */
const known = [
  { code: en.code, name: en.name, fetched: () => Promise.resolve({ words: en }) },
  { code: 'vi', name: 'Tiếng Việt', fetched: () => import('./words/vi.js') },
];

/** Those of the site, the usual one first. */
export const languages = site.said.flatMap((said) => known.filter(({ code }) => code === said.code));

/** The page's words with what the owner says. @param {Words} words @returns {Words} */
function owned(words) {
  const { title, disclaimer, headline, lead, footer } = site.said.find(({ code }) => code === words.code) ?? {};
  const names = site.samples.map(({ name }) => [name, words.sampleNames[name] ?? name]);
  return {
    ...words,
    site: { title: title ?? null, disclaimer: disclaimer ?? null },
    title: headline ?? words.title,
    lead: lead ?? words.lead,
    footer: footer ?? words.footer,
    sampleNames: Object.fromEntries(names),
  };
}

/** @param {string | null} chosen @returns {Promise<Words>} rejects where they cannot be fetched */
export async function wordsFor(chosen) {
  const wanted = [chosen, ...navigator.languages].map((code) => code?.slice(0, 2));
  const found = wanted.flatMap((code) => languages.filter((language) => language.code === code))[0] ?? languages[0];
  return owned(found ? (await found.fetched()).words : en);
}

/** The next language of the site; null: there is no other. @param {Words} words @returns {Language | null} */
export function otherThan(words) {
  const at = languages.findIndex(({ code }) => code === words.code);
  return languages.length > 1 ? (languages[(at + 1) % languages.length] ?? null) : null;
}
