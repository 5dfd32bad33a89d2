// SVG drawing → its pixels. A drawing is a program: what it makes the browser do is counted before the browser does
// it on
// the page's thread, where nothing stops it. What is drawn is what was counted, written anew.

import { WhylensError } from './errors.js';

/**
 * Parts that are drawn at the most, those that are referred to counted each time; so many rectangles take Firefox 2.5
 * s.
 */
const MOST_PARTS = 50_000;

/** Letters of a file, and those that its entities may become. */
const MOST_LETTERS = 32e6;

/** Levels of elements in elements, what is referred to among them. */
const DEEPEST = 256;

/** Tries of a style rule on an element. */
const MOST_MATCHES = 3e7;

/** Longest side that is drawn first, and ms that the next size, four times as large, may take. */
const FIRST = 64,
  LONGEST = 2000;

/** What counts as one part: letters of attributes or of text, colours of a gradient, dashes of a line. */
const LETTERS = 200,
  STOPS = 10,
  DASHES = 10;

/** Numbers of a path that count as a part, twice as many as four: its lines may all cross one another. */
const CROSSINGS = 250;

/** Parts that a filter's step counts for, and each unit of its reach. */
const FILTER = 500,
  REACH = 10;

const SVG = 'http://www.w3.org/2000/svg';
/** In its place while a drawing is looked at: styles in it would be reported to the page's policy. */
const INERT = 'urn:whylens:svg';
const XLINK = 'http://www.w3.org/1999/xlink';
const XHTML = 'http://www.w3.org/1999/xhtml';

/** Of an animation, the first frame counts; scripts do not run in pictures. */
const LEFT_OUT = 'script, animate, animateColor, animateMotion, animateTransform, discard, mpath, set';

/** Attributes and properties whose numbers are lengths on the drawing. */
const GEOMETRY = new Set([
  'cx',
  'cy',
  'd',
  'height',
  'points',
  'r',
  'rx',
  'ry',
  'width',
  'x',
  'x1',
  'x2',
  'y',
  'y1',
  'y2',
]);

/** Passed on to what is inside. */
const INHERITED = new Set(['fill', 'marker', 'marker-end', 'marker-mid', 'marker-start', 'stroke']);

const UNUSUAL = 'save it as a PNG file';

/**
 * A file that is an SVG drawing, at its size.
 * @param {Blob} file
 * @param {number} maxPixels
 * @returns {Promise<HTMLCanvasElement | null>} null where it is none that can be read
 */
export async function draw(file, maxPixels) {
  if (file.size > MOST_LETTERS) throw tooMuch(`${file.size} bytes`, MOST_LETTERS);
  const root = await parse(
    withoutEntities(await text(file))
      .replaceAll(SVG, INERT)
      .replaceAll(XHTML, `${INERT}:page`),
  );
  if (!root) return null;
  clean(root, maxPixels);
  const url = URL.createObjectURL(
    new Blob([new XMLSerializer().serializeToString(root).replaceAll(INERT, SVG)], { type: 'image/svg+xml' }),
  );
  try {
    const image = new Image();
    const loaded = new Promise((resolve) => (image.onload = image.onerror = resolve));
    image.src = url;
    await loaded;
    const { naturalWidth: width, naturalHeight: height } = image;
    if (!width || !height) return null;
    checkPixels(width, height, maxPixels);
    return await rasterise(image, width, height);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/**
 * @param {number} width
 * @param {number} height
 * @param {number} maxPixels
 */
export function checkPixels(width, height, maxPixels) {
  if (width * height <= maxPixels) return;
  const size = `${width} × ${height} pixels, at most ${maxPixels / 1e6} megapixels are read`;
  throw new WhylensError('image-too-large', `the picture has ${size}; make it smaller first, or raise \`maxPixels\``);
}

/**
 * @param {string} actual
 * @param {number} most
 */
function tooMuch(actual, most) {
  return new WhylensError('image-too-large', `the drawing has ${actual}, at most ${most} are drawn; ${UNUSUAL}`);
}

/** @param {string} what */
function unusual(what) {
  return new WhylensError('image-format', `the drawing ${what}, which is not drawn here; ${UNUSUAL}`);
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
 * The text without its declaration, if it stays of bearable length: entities may be plain words only.
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
 * Not by DOMParser, which Trusted Types forbid. Nothing in such a document runs or is loaded.
 * @param {string} text
 * @returns {Promise<Element | null>}
 */
async function parse(text) {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/xml' }));
  try {
    const request = new XMLHttpRequest();
    request.open('GET', url);
    request.responseType = 'document';
    await new Promise((resolve) => {
      request.onloadend = resolve;
      request.send();
    });
    const root = request.responseXML?.documentElement;
    return root?.localName === 'svg' && root.namespaceURI === INERT && !root.querySelector('parsererror') ? root : null;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/**
 * Takes out what is not drawn, writes styles and references anew as they were understood, and refuses what is too much.
 * @param {Element} root
 * @param {number} maxPixels of all pictures inside
 */
function clean(root, maxPixels) {
  root.querySelectorAll(LEFT_OUT).forEach((element) => element.remove());
  // A switch holds what is drawn in its place.
  root.querySelectorAll('switch > foreignObject').forEach((element) => element.remove());
  if (root.querySelector('foreignObject')) throw unusual('holds a web page (foreignObject)');
  for (const element of root.querySelectorAll('*')) if (element.namespaceURI !== INERT) element.remove();
  const elements = [root, ...root.querySelectorAll('*')];
  /** @type {Map<string, Element>} */
  const named = new Map();
  for (const element of elements) if (element.id && !named.has(element.id)) named.set(element.id, element);

  /** @type {Map<Element, [string, string][]>} what is set on an element, by any way */
  const declared = new Map(elements.map((element) => [element, []]));
  let pixels = 0;
  const rules = cleanStyles(root, elements.length, named);
  for (const { selector, declarations } of rules) {
    for (const element of matching(root, selector))
      declared
        .get(element)
        ?.push(...declarations.map(([name, value]) => /** @type {[string, string]} */ ([name, value])));
  }
  for (const element of elements) {
    const own = declared.get(element) ?? [];
    const href = element.getAttributeNS(null, 'href') ?? element.getAttributeNS(XLINK, 'href');
    element.removeAttributeNS(XLINK, 'href');
    element.removeAttribute('href');
    if (href !== null) {
      const [reference, size] = cleanReference(element, href, named);
      pixels += size;
      if (reference) element.setAttribute('href', reference);
      own.push(['href', reference]);
    }
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
      // More of them cannot be told apart in eight bits.
      if (name === 'numOctaves' && !(Number(value) <= 8)) element.setAttribute(name, '8');
    }
    // A transform makes such a line longer and leaves its dashes as they are: it is drawn without.
    if (own.some(([name, value]) => name === 'vector-effect' && value !== 'none')) {
      const style = element.getAttribute('style');
      element.setAttribute('style', `${style ? `${style}; ` : ''}stroke-dasharray: none !important`);
    }
  }
  if (pixels > maxPixels)
    throw new WhylensError(
      'image-too-large',
      `the pictures in the drawing have ${pixels} pixels, at most ${maxPixels / 1e6} megapixels are read; make them smaller first, or raise \`maxPixels\``,
    );
  const parts = count(root, declared, named);
  // Not a number is too much, too.
  if (!(parts <= MOST_PARTS))
    throw tooMuch(
      `${Number.isFinite(parts) ? Math.round(parts) : 'countless'} parts, what it refers to counted each time`,
      MOST_PARTS,
    );
  if (parts * rules.length > MOST_MATCHES)
    throw tooMuch(`${rules.length} style rules for ${Math.round(parts)} parts`, MOST_MATCHES);
}

/**
 * The rules of all style sheets, which are written anew.
 * @param {Element} root
 * @param {number} elements
 * @param {Map<string, Element>} named
 */
function cleanStyles(root, elements, named) {
  /** @type {{ selector: string, declarations: [string, string, string][] }[]} */
  const rules = [];
  /** @param {CSSRuleList} list @returns {string} */
  const read = (list) =>
    [...list]
      .map((rule) => {
        if (rule instanceof CSSFontFaceRule) return rule.cssText;
        // Others are for other media, or move.
        if (!(rule instanceof CSSStyleRule))
          return rule instanceof CSSMediaRule ? `@media ${rule.conditionText} { ${read(rule.cssRules)} }` : '';
        const selector = rule.selectorText;
        // What takes more than a look at an element and those around it.
        if (
          /~(?!=)|:/.test(
            selector.replace(/:(?:root|link|visited|hover|active|focus|first-child|last-child)(?![\w(-])/g, ''),
          )
        ) {
          throw unusual(`has a style rule for \`${selector.slice(0, 80)}\``);
        }
        const declarations = declarationsOf(rule.style);
        rules.push({ selector, declarations });
        return `${selector} { ${declarations.map(([name, value, important]) => `${name}: ${cleanValue(value, named)}${important}`).join('; ')} }`;
      })
      .join('\n');
  for (const style of root.querySelectorAll('style')) {
    const sheet = new CSSStyleSheet();
    // What an import brings is not drawn in pictures.
    sheet.replaceSync((style.textContent ?? '').replace(/<!--|-->/g, ''));
    style.textContent = read(sheet.cssRules);
  }
  if (rules.length * elements > MOST_MATCHES)
    throw tooMuch(`${rules.length} style rules for ${elements} elements`, MOST_MATCHES);
  return rules;
}

/** @param {Element} root @param {string} selector */
function matching(root, selector) {
  try {
    return [...(root.matches(selector) ? [root] : []), ...root.querySelectorAll(selector)];
  } catch {
    // Such a rule matches nothing.
    return [];
  }
}

/**
 * @param {CSSStyleDeclaration} style
 * @returns {[string, string, string][]}
 */
function declarationsOf(style) {
  return Array.from(style, (name) => {
    const value = style.getPropertyValue(name);
    if (isComputed(name, value)) throw unusual(`has a style \`${name}\` that is computed`);
    return [name, value, style.getPropertyPriority(name) ? ' !important' : ''];
  });
}

/** @param {string} text of a style attribute @returns {[string, string][]} */
function styleOf(text) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`x { ${text} }`);
  const [rule] = sheet.cssRules;
  return rule instanceof CSSStyleRule
    ? declarationsOf(rule.style).map(
        ([name, value, important]) => /** @type {[string, string]} */ ([name, value + important]),
      )
    : [];
}

/** What variables may be in: colours and faces, which cost the same whatever they are. */
const PAINT =
  /^(?:--.*|color|fill|stroke|(?:stop|flood|lighting|background)-color|(?:(?:fill|stroke|stop|flood)-)?opacity|font-family)$/;

/**
 * Whether it cannot be told what a property is without computing it.
 * @param {string} name
 * @param {string} value
 */
function isComputed(name, value) {
  if (/\b(?:attr|if)\(|--[\w-]*\(/i.test(value)) return true;
  const refers = /\bvar\(/i.test(value);
  if (!name.startsWith('--') && !refers) return false;
  // One of another may grow with each.
  if (!PAINT.test(name) || (name.startsWith('--') && refers)) return true;
  return value.length > LETTERS || /[\\"']|url|src|image|element/i.test(value);
}

/**
 * Whether an attribute may change what is drawn; others hold the words of whoever made the drawing, formulas too.
 * @param {string} name
 */
const isDrawn = (name) => !/^(?:(?:aria|data)-.*|class|id|lang|role|tabindex|title)$/.test(name);

const URLS = /url\(\s*(?:"([^"]*)"|'([^']*)'|([^"')]*))\s*\)/gi;

/**
 * @param {string} value
 * @param {Map<string, Element>} named
 */
function cleanValue(value, named) {
  const known = value.replace(URLS, (_, ...found) => {
    const id = idOf(found[0] ?? found[1] ?? found[2] ?? '', named);
    return id === null ? 'none' : `url("#${CSS.escape(id)}")`;
  });
  return known.split(/url\("#[^"]*"\)/).some((rest) => /url\(/i.test(rest)) ? 'none' : known;
}

/**
 * The id that is referred to, if there is such an element.
 * @param {string} reference
 * @param {Map<string, Element>} named
 */
function idOf(reference, named) {
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

/**
 * A reference as it is drawn, empty where nothing is, and the pixels of the picture it holds.
 * @param {Element} element
 * @param {string} href
 * @param {Map<string, Element>} named
 * @returns {[string, number]}
 */
function cleanReference(element, href, named) {
  const id = idOf(href, named);
  if (id !== null) return [`#${encodeURIComponent(id)}`, 0];
  if (!['image', 'feImage'].includes(element.localName) || !/^\s*data:[^,]*,\s*\S/i.test(href)) return ['', 0];
  // Browsers go by what the bytes are, but for drawings.
  const [, type = '', base64 = ''] = /^\s*data:([^,]*);base64,([^]*)$/i.exec(href) ?? [];
  const plain = base64.replace(/\s|%0[AD]/gi, '');
  const [width, height] = (!/svg|xml/i.test(type) && sizeOf(plain)) || [];
  if (!width || !height) throw unusual('holds a picture that is damaged, or no PNG, JPEG, GIF or WebP');
  return [href, width * height];
}

/**
 * Width and height of a picture by its header.
 * @param {string} base64
 */
function sizeOf(base64) {
  let data;
  try {
    data = Uint8Array.from(atob(decodeURIComponent(base64)), (letter) => letter.charCodeAt(0));
  } catch {
    return null;
  }
  if (data.length < 30) return null;
  const view = new DataView(data.buffer);
  const tag = (/** @type {number} */ at) => String.fromCharCode(...data.subarray(at, at + 4));
  if (tag(0) === '\x89PNG') return [view.getUint32(16), view.getUint32(20)];
  if (tag(0) === 'GIF8') return [view.getUint16(6, true), view.getUint16(8, true)];
  if (tag(0) === 'RIFF' && tag(8) === 'WEBP') {
    if (tag(12) === 'VP8X')
      return [1 + (view.getUint32(24, true) & 0xffffff), 1 + (view.getUint32(27, true) & 0xffffff)];
    if (tag(12) === 'VP8L')
      return [1 + (view.getUint32(21, true) & 0x3fff), 1 + ((view.getUint32(21, true) >> 14) & 0x3fff)];
    return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
  }
  if (view.getUint16(0) !== 0xffd8) return null;
  for (let at = 2; at + 9 < data.length; at += 2 + view.getUint16(at + 2)) {
    while (data[at + 1] === 0xff && at + 10 < data.length) at += 1;
    const marker = data[at + 1] ?? 0;
    if (data[at] !== 0xff) return null;
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker))
      return [view.getUint16(at + 7), view.getUint16(at + 5)];
  }
  return null;
}

/**
 * What an element costs with all that it holds and refers to.
 * @typedef {object} Cost
 * @property {number} parts
 * @property {number} points
 * @property {number} length of lines, in units
 * @property {number} depth
 */

/**
 * At least the parts that the browser draws.
 * @param {Element} root
 * @param {Map<Element, [string, string][]>} declared
 * @param {Map<string, Element>} named
 */
function count(root, declared, named) {
  /** @type {Map<Element, Cost | null>} null: it is being counted, and browsers do not follow circles */
  const known = new Map();
  const all = [...declared.values()].flat();
  const isDashed = all.some(([name, value]) => name === 'stroke-dasharray' && numbersOf(value).length);
  /** What a length in units that are not the drawing's own may be of. */
  const largest = all
    .filter(([name]) => /^(?:viewBox|width|height)$/.test(name))
    .flatMap(([, value]) => numbersOf(value))
    .reduce((most, number) => Math.max(most, number), 100);

  /** @param {string} reference */
  const targets = (reference) => {
    const id = idOf(reference, named);
    const target = id === null ? undefined : named.get(id);
    return target ? [target] : [];
  };

  /** @param {Element} element @param {number} depth @returns {Cost} */
  function cost(element, depth) {
    const before = known.get(element);
    if (before !== undefined) return before ?? { parts: 0, points: 0, length: 0, depth: 0 };
    if (depth > DEEPEST) throw tooMuch(`more than ${DEEPEST} levels`, DEEPEST);
    known.set(element, null);
    const own = declared.get(element) ?? [];
    const sum = { parts: 1, points: 0, length: 0, depth: 0 };
    const add = (/** @type {Cost} */ { parts, points, length, depth }) => {
      sum.parts += parts;
      sum.points += points;
      sum.length += length;
      sum.depth = Math.max(sum.depth, depth);
    };
    let letters = 0;
    if (/^fe(?!MergeNode|Func|\w+Light$)/.test(element.localName)) sum.parts += FILTER;
    for (const [name, value] of own) {
      if (name !== 'href') letters += value.length;
      if (name === 'filter' && value.replace(URLS, '').includes('('))
        sum.parts += FILTER + REACH * sumOf(numbersOf(value));
      if (name === 'radius' || name === 'stdDeviation') sum.parts += REACH * sumOf(numbersOf(value));
      if (name === 'order') sum.parts += sumOf(numbersOf(value)) ** 2;
      if (isDashed && name === 'pathLength') sum.length += sumOf(numbersOf(value));
      if (!GEOMETRY.has(name) && !/(?:path|polygon|shape)\(/i.test(value)) continue;
      const numbers = numbersOf(value);
      sum.points += numbers.length;
      sum.parts += (numbers.length / CROSSINGS) ** 2;
      if (isDashed) sum.length += lengthOf(name, value, largest);
    }
    if (element.localName !== 'style')
      for (const node of element.childNodes) if (node instanceof Text) letters += node.length;
    sum.parts += letters / LETTERS;
    for (const child of element.children) add(cost(child, depth + 1));
    for (const target of own.flatMap(([name, value]) => (name === 'href' ? targets(value) : [])))
      add(cost(target, depth + 1));

    let [times, more] = [1, 0];
    for (const [name, value] of own) {
      if (name === 'stroke-dasharray' && numbersOf(value).length) more += sum.length / dashOf(value) / DASHES;
      for (const target of [...value.matchAll(URLS)].flatMap((found) =>
        targets(found[1] ?? found[2] ?? found[3] ?? ''),
      )) {
        const there = cost(target, depth + 1);
        sum.depth = Math.max(sum.depth, there.depth);
        if (/Gradient$/.test(target.localName)) times += Math.floor(there.parts / STOPS);
        else if (name === 'marker' || name === 'marker-mid') more += there.parts * sum.points;
        else if (INHERITED.has(name)) times += there.parts;
        else more += there.parts;
      }
    }
    const total = { parts: sum.parts * times + more, points: sum.points, length: sum.length, depth: sum.depth + 1 };
    if (total.depth > DEEPEST) throw tooMuch(`more than ${DEEPEST} levels`, DEEPEST);
    known.set(element, total);
    return total;
  }
  return cost(root, 0).parts;
}

const NUMBERS = /[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?/gi;

/** @param {string} text */
function numbersOf(text) {
  return (text.match(NUMBERS) ?? []).map(Number);
}

/** @param {number[]} numbers */
const sumOf = (numbers) => numbers.reduce((total, number) => total + Math.abs(number), 0);

/**
 * At least the length of a line.
 * @param {string} name
 * @param {string} value
 * @param {number} largest
 */
function lengthOf(name, value, largest) {
  if (name === 'd' || name === 'points') {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', name === 'd' ? value.replace(/^\s*path\(\s*["']|["']\s*\)\s*$/g, '') : `M${value}z`);
    try {
      const length = path.getTotalLength();
      return length >= 0 ? length : Infinity;
    } catch {
      // Firefox has no length of a path without a point.
      return 0;
    }
  }
  // Letters are of any size.
  const unit = /\d(?:em|r?ex|r?ch|r?ic|r?cap|rem|r?lh)|\(/i.test(value) ? Infinity : 100;
  return 4 * sumOf(numbersOf(value)) * (/%|v[a-z]+/i.test(value) ? largest : /[a-z]{2}|q|\(/i.test(value) ? unit : 1);
}

/** The least length of a pattern of dashes. @param {string} text */
function dashOf(text) {
  // In other units it may be of any length.
  if (/[a-z(%]/i.test(text.replace(NUMBERS, '').replace(/px|pt|pc|mm|cm|in|q/gi, ''))) return Number.MIN_VALUE;
  return sumOf(numbersOf(text)) || Infinity;
}

/**
 * Draws larger and larger, as long as the next size will not take too long.
 * @param {HTMLImageElement} image
 * @param {number} width
 * @param {number} height
 */
async function rasterise(image, width, height) {
  for (let scale = Math.min(1, FIRST / Math.max(width, height)); ; scale = Math.min(1, scale * 2)) {
    const size = { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
    const canvas = Object.assign(document.createElement('canvas'), size);
    // Drawn here and now, so that it can be timed.
    const context = canvas.getContext('2d', { willReadFrequently: true });
    if (!context)
      throw new WhylensError('image-too-large', `no canvas of ${size.width} × ${size.height} pixels can be had`);
    const start = performance.now();
    context.drawImage(image, 0, 0, size.width, size.height);
    context.getImageData(0, 0, 1, 1);
    if (scale === 1) return canvas;
    if (4 * (performance.now() - start) > LONGEST) {
      throw new WhylensError(
        'image-too-large',
        `the drawing takes too long to be drawn at ${width} × ${height} pixels; ${UNUSUAL}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve));
  }
}
