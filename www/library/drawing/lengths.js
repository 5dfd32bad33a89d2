// numbers of a drawing → lengths of its lines and dashes

const SVG = 'http://www.w3.org/2000/svg';

const NUMBERS = /[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?/gi;

/** @param {string} text */
export function numbersOf(text) {
  return (text.match(NUMBERS) ?? []).map(Number);
}

/** @param {number[]} numbers */
export const sumOf = (numbers) => numbers.reduce((total, number) => total + Math.abs(number), 0);

/**
 * The length of a line, or more.
 * @param {string} name
 * @param {string} value
 * @param {number} largest
 */
export function lengthOf(name, value, largest) {
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
  // Letters may be of any size.
  const unit = /\d(?:em|r?ex|r?ch|r?ic|r?cap|rem|r?lh)|\(/i.test(value) ? Infinity : 100;
  return 4 * sumOf(numbersOf(value)) * (/%|v[a-z]+/i.test(value) ? largest : /[a-z]{2}|q|\(/i.test(value) ? unit : 1);
}

/** The least length of a pattern of dashes. @param {string} text */
export function dashOf(text) {
  // In other units it may be of any length.
  if (/[a-z(%]/i.test(text.replace(NUMBERS, '').replace(/px|pt|pc|mm|cm|in|q/gi, ''))) return Number.MIN_VALUE;
  return sumOf(numbersOf(text)) || Infinity;
}
