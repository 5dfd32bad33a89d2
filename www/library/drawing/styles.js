// style sheets and attributes → their declarations, rewritten
import { LETTERS, MOST_MATCHES, tooMuch, unusual } from './limits.js';
import { cleanValue } from './names.js';

/** @typedef {import('./names.js').Named} Named */
/**
 * @typedef {[name: string, value: string, important: string]} Declaration
 * @typedef {{ selector: string, declarations: Declaration[] }} Rule
 */

/** Pseudo-classes that take no more than a look at an element. */
const PLAIN = /:(?:root|link|visited|hover|active|focus|first-child|last-child)(?![\w(-])/g;

/**
 * Rewrites all style sheets with only what is drawn.
 * @param {Element} root
 * @param {number} elements
 * @param {Named} named
 * @returns {Rule[]}
 */
export function cleanStyles(root, elements, named) {
  /** @type {Rule[]} */
  const rules = [];
  for (const style of root.querySelectorAll('style')) {
    const sheet = new CSSStyleSheet();
    // Pictures do not draw what an import brings.
    sheet.replaceSync((style.textContent ?? '').replace(/<!--|-->/g, ''));
    style.textContent = cleanRules(sheet.cssRules, rules, named);
  }
  if (rules.length * elements > MOST_MATCHES)
    throw tooMuch(`${rules.length} style rules for ${elements} elements`, MOST_MATCHES);
  return rules;
}

/**
 * @param {CSSRuleList} list
 * @param {Rule[]} rules to which they are added
 * @param {Named} named
 * @returns {string}
 */
function cleanRules(list, rules, named) {
  return [...list]
    .map((rule) => {
      if (rule instanceof CSSFontFaceRule) return rule.cssText;
      if (rule instanceof CSSMediaRule)
        return `@media ${rule.conditionText} { ${cleanRules(rule.cssRules, rules, named)} }`;
      // The rest is for other media, or moves.
      if (!(rule instanceof CSSStyleRule)) return '';
      const selector = rule.selectorText;
      if (/~(?!=)|:/.test(selector.replace(PLAIN, '')))
        throw unusual(`has a style rule for \`${selector.slice(0, 80)}\``);
      const declarations = declarationsOf(rule.style);
      rules.push({ selector, declarations });
      return `${selector} { ${written(declarations, named)} }`;
    })
    .join('\n');
}

/** @param {Declaration[]} declarations @param {Named} named */
function written(declarations, named) {
  return declarations.map(([name, value, important]) => `${name}: ${cleanValue(value, named)}${important}`).join('; ');
}

/** @param {Element} root @param {string} selector */
export function matching(root, selector) {
  try {
    return [...(root.matches(selector) ? [root] : []), ...root.querySelectorAll(selector)];
  } catch {
    // A selector that is no selector matches nothing.
    return [];
  }
}

/**
 * @param {CSSStyleDeclaration} style
 * @returns {Declaration[]}
 */
function declarationsOf(style) {
  return Array.from(style, (name) => {
    const value = style.getPropertyValue(name);
    if (isComputed(name, value)) throw unusual(`has a style \`${name}\` that is computed`);
    return [name, value, style.getPropertyPriority(name) ? ' !important' : ''];
  });
}

/** @param {string} text of a style attribute @returns {[string, string][]} */
export function styleOf(text) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`x { ${text} }`);
  const [rule] = sheet.cssRules;
  return rule instanceof CSSStyleRule
    ? declarationsOf(rule.style).map(
        ([name, value, important]) => /** @type {[string, string]} */ ([name, value + important]),
      )
    : [];
}

/** Properties that may hold variables: colours, opacities and typefaces cost the same whatever they are. */
const PAINT = new RegExp(
  `^(?:${[
    '--.*',
    'color|fill|stroke|font-family',
    '(?:stop|flood|lighting|background)-color',
    '(?:(?:fill|stroke|stop|flood)-)?opacity',
  ].join('|')})$`,
);

/**
 * Whether the value of a property is known only when it is computed.
 * @param {string} name
 * @param {string} value
 */
export function isComputed(name, value) {
  if (/\b(?:attr|if)\(|--[\w-]*\(/i.test(value)) return true;
  const refers = /\bvar\(/i.test(value);
  if (!name.startsWith('--') && !refers) return false;
  // A variable made of another may double its length each time.
  if (!PAINT.test(name) || (name.startsWith('--') && refers)) return true;
  return value.length > LETTERS || /[\\"']|url|src|image|element/i.test(value);
}
