// references → the elements that they name

/** @typedef {Map<string, Element>} Named elements by their id */

/** @param {Element[]} elements @returns {Named} */
export function namesOf(elements) {
  const named = new Map();
  for (const element of elements) if (element.id && !named.has(element.id)) named.set(element.id, element);
  return named;
}

export const URLS = /url\(\s*(?:"([^"]*)"|'([^']*)'|([^"')]*))\s*\)/gi;

/**
 * @param {string} value
 * @param {Named} named
 */
export function cleanValue(value, named) {
  const known = value.replace(URLS, (_, ...found) => {
    const id = idOf(found[0] ?? found[1] ?? found[2] ?? '', named);
    return id === null ? 'none' : `url("#${CSS.escape(id)}")`;
  });
  return known.split(/url\("#[^"]*"\)/).some((rest) => /url\(/i.test(rest)) ? 'none' : known;
}

/**
 * The id that is referred to, if there is such an element.
 * @param {string} reference
 * @param {Named} named
 */
export function idOf(reference, named) {
  const plain = reference.replace(/[\t\n\r]/g, '').trim();
  if (!plain.startsWith('#')) return null;
  const id = plain.slice(1);
  if (named.has(id)) return id;
  try {
    const decoded = decodeURIComponent(id);
    return named.has(decoded) ? decoded : null;
  } catch {
    return null;
  }
}
