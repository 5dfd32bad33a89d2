// drawing → the same drawing with only what is drawn, and no more than the browser can take
import { WhylensError } from '../errors.js';
import { count } from './count.js';
import { MOST_MATCHES, MOST_PARTS, tooMuch, unusual } from './limits.js';
import { cleanValue, idOf, namesOf } from './names.js';
import { INERT } from './parse.js';
import { sizeOf } from './picture.js';
import { cleanStyles, isComputed, matching, styleOf } from './styles.js';

/** @typedef {import('./names.js').Named} Named */
/** @typedef {import('./count.js').Setting} Setting */

const XLINK = 'http://www.w3.org/1999/xlink';

/** The first frame of an animation is drawn; scripts do not run in pictures. */
const LEFT_OUT = 'script, animate, animateColor, animateMotion, animateTransform, discard, mpath, set';

/**
 * Removes what is not drawn, writes styles and references again, as they were understood, and refuses what is too much.
 * @param {Element} root
 * @param {number} maxPixels of all pictures inside
 */
export function clean(root, maxPixels) {
  removeUndrawn(root);
  const elements = [root, ...root.querySelectorAll('*')];
  const named = namesOf(elements);

  /** @type {Map<Element, Setting[]>} all that is set on an element, in whatever way */
  const settings = new Map(elements.map((element) => [element, []]));
  const rules = cleanStyles(root, elements.length, named);
  for (const { selector, declarations } of rules) {
    const set = declarations.map(([name, value]) => /** @type {Setting} */ ([name, value]));
    for (const element of matching(root, selector)) settings.get(element)?.push(...set);
  }
  let pixels = 0;
  for (const element of elements) {
    const own = settings.get(element) ?? [];
    pixels += cleanHref(element, own, named);
    cleanAttributes(element, own, named);
    removeUnscaledDashes(element, own);
  }
  if (pixels > maxPixels) {
    const size = `${pixels} pixels, at most ${maxPixels / 1e6} megapixels are read`;
    throw new WhylensError(
      'image-too-large',
      `the pictures in the drawing have ${size}; make them smaller first, or raise \`maxPixels\``,
    );
  }
  checkParts(count(root, settings, named), rules.length);
}

/** @param {Element} root */
function removeUndrawn(root) {
  root.querySelectorAll(LEFT_OUT).forEach((element) => element.remove());
  // A switch also holds what is drawn in its place.
  root.querySelectorAll('switch > foreignObject').forEach((element) => element.remove());
  if (root.querySelector('foreignObject')) throw unusual('holds a web page (foreignObject)');
  for (const element of root.querySelectorAll('*')) if (element.namespaceURI !== INERT) element.remove();
}

/**
 * @param {Element} element
 * @param {Setting[]} own to which it is added
 * @param {Named} named
 * @returns {number} pixels of the picture that it holds
 */
function cleanHref(element, own, named) {
  const href = element.getAttributeNS(null, 'href') ?? element.getAttributeNS(XLINK, 'href');
  element.removeAttributeNS(XLINK, 'href');
  element.removeAttribute('href');
  if (href === null) return 0;
  const [reference, pixels] = cleanReference(element, href, named);
  if (reference) element.setAttribute('href', reference);
  own.push(['href', reference]);
  return pixels;
}

/**
 * @param {Element} element
 * @param {Setting[]} own to which they are added
 * @param {Named} named
 */
function cleanAttributes(element, own, named) {
  for (const { name, namespaceURI, value } of [...element.attributes]) {
    if (namespaceURI !== null || name === 'href') continue;
    if (name === 'style') {
      const style = styleOf(value);
      const written = style.map(([property, value]) => `${property}: ${cleanValue(value, named)}`).join('; ');
      element.removeAttribute('style');
      if (written) element.setAttribute('style', written);
      own.push(...style);
      continue;
    }
    if (name.startsWith('on')) {
      element.removeAttribute(name);
      continue;
    }
    if (isDrawn(name) && (/\\[^]*\(|\([^]*\\|(?:src|image-set)\(/i.test(value) || isComputed(name, value)))
      throw unusual(`has an attribute \`${name}\` that is computed`);
    if (/url\(/i.test(value)) element.setAttribute(name, cleanValue(value, named));
    own.push([name, value]);
    // Eight bits cannot tell more of them apart.
    if (name === 'numOctaves' && !(Number(value) <= 8)) element.setAttribute(name, '8');
  }
}

/**
 * A transform makes a line with a `vector-effect` longer but leaves its dashes as they are, so it is drawn without.
 * @param {Element} element
 * @param {Setting[]} own
 */
function removeUnscaledDashes(element, own) {
  if (!own.some(([name, value]) => name === 'vector-effect' && value !== 'none')) return;
  const style = element.getAttribute('style');
  element.setAttribute('style', `${style ? `${style}; ` : ''}stroke-dasharray: none !important`);
}

/** @param {number} parts may be infinite or no number @param {number} rules */
function checkParts(parts, rules) {
  if (!(parts <= MOST_PARTS))
    throw tooMuch(
      `${Number.isFinite(parts) ? Math.round(parts) : 'countless'} parts, what it refers to counted each time`,
      MOST_PARTS,
    );
  if (parts * rules > MOST_MATCHES) throw tooMuch(`${rules} style rules for ${Math.round(parts)} parts`, MOST_MATCHES);
}

/**
 * Whether an attribute may change what is drawn; others hold any text, such as formulas.
 * @param {string} name
 */
const isDrawn = (name) => !/^(?:(?:aria|data)-.*|class|id|lang|role|tabindex|title)$/.test(name);

/**
 * A reference as it is drawn, empty if nothing is, and the pixels of the picture that it holds.
 * @param {Element} element
 * @param {string} href
 * @param {Named} named
 * @returns {[string, number]}
 */
function cleanReference(element, href, named) {
  const id = idOf(href, named);
  if (id !== null) return [`#${encodeURIComponent(id)}`, 0];
  if (!['image', 'feImage'].includes(element.localName) || !/^\s*data:[^,]*,\s*\S/i.test(href)) return ['', 0];
  // Browsers go by the bytes, except for drawings.
  const [, type = '', base64 = ''] = /^\s*data:([^,]*);base64,([^]*)$/i.exec(href) ?? [];
  const plain = base64.replace(/\s|%0[AD]/gi, '');
  const [width, height] = (!/svg|xml/i.test(type) && sizeOf(plain)) || [];
  if (!width || !height) throw unusual('holds a picture that is damaged, or no PNG, JPEG, GIF or WebP');
  return [href, width * height];
}
