// SVG file → a document in which nothing runs or is loaded, and back
import { MOST_LETTERS, MOST_PARTS, tooMuch, unusual } from './limits.js';

const SVG = 'http://www.w3.org/2000/svg';
const XHTML = 'http://www.w3.org/1999/xhtml';
/** Stands for SVG while a drawing is looked at: the page's policy would report the styles of a real one. */
export const INERT = 'urn:whylens:svg';

/**
 * @param {Blob} file
 * @returns {Promise<Element | null>} null: no SVG
 */
export async function parse(file) {
  const root = await parseXml(
    withoutEntities(await text(file))
      .replaceAll(SVG, INERT)
      .replaceAll(XHTML, `${INERT}:page`),
  );
  return root?.localName === 'svg' && root.namespaceURI === INERT && !root.querySelector('parsererror') ? root : null;
}

/** @param {Element} root */
export function serialise(root) {
  const text = new XMLSerializer().serializeToString(root).replaceAll(INERT, SVG);
  return new Blob([text], { type: 'image/svg+xml' });
}

/** @param {Blob} file */
async function text(file) {
  const bytes = await file.arrayBuffer();
  const start = new TextDecoder('latin1').decode(bytes.slice(0, 256));
  const [, encoding = 'utf-8'] = /^<\?xml[^>]*\sencoding\s*=\s*["']([\w.:-]+)["']/.exec(start) ?? [];
  try {
    return new TextDecoder(encoding).decode(bytes);
  } catch {
    return new TextDecoder().decode(bytes);
  }
}

/**
 * The text without its XML declaration. Entities may only be plain words, and must not make it too long.
 * @param {string} text
 */
function withoutEntities(text) {
  let marks = 0;
  for (let at = text.indexOf('<'); at >= 0; at = text.indexOf('<', at + 1)) marks += 1;
  // An element has two at the most.
  if (marks > 2 * MOST_PARTS) throw tooMuch(`${marks} marks`, 2 * MOST_PARTS);
  let longest = 0;
  const others = text.replace(
    /<!ENTITY\s+[\w:.-]+\s+(?:"([^"<&%]*)"|'([^'<&%]*)')\s*>/g,
    (_, quoted = '', single = '') => {
      longest = Math.max(longest, quoted.length + single.length);
      return '';
    },
  );
  if (others.includes('<!ENTITY')) throw unusual('has entities that are more than words');
  const letters = longest && longest * others.split('&').length;
  if (letters > MOST_LETTERS) throw tooMuch(`${letters} letters in its entities`, MOST_LETTERS);
  return text.replace(/^\ufeff?\s*<\?xml[^>]*\?>/, '');
}

/**
 * Trusted Types forbid DOMParser.
 * @param {string} text
 * @returns {Promise<Element | null>}
 */
async function parseXml(text) {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/xml' }));
  try {
    const request = new XMLHttpRequest();
    request.open('GET', url);
    request.responseType = 'document';
    await new Promise((resolve) => {
      request.onloadend = resolve;
      request.send();
    });
    return request.responseXML?.documentElement ?? null;
  } finally {
    URL.revokeObjectURL(url);
  }
}
