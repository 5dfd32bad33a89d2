// numbers → text of a report, by rules that the tool has too (src/cli/classify/report/figures.rs)

/** @typedef {typeof import('./en.json')} Words */

/**
 * A sentence with its blanks, such as `{share}`, filled.
 * @param {string} sentence
 * @param {Record<string, string>} values
 */
export const said = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (blank, name) => values[name] ?? blank);

/** Rounded half away from zero. @param {number} value @param {number} digits @param {string} point */
export function fixed(value, digits, point) {
  const scaled = Math.floor(Math.abs(value) * 10 ** digits + 0.5);
  if (!Number.isSafeInteger(scaled)) return String(value);
  const text = String(scaled).padStart(digits + 1, '0');
  const whole = text.slice(0, text.length - digits);
  return (value < 0 && scaled > 0 ? '−' : '') + (digits ? whole + point + text.slice(-digits) : whole);
}

/** Three digits that count. @param {number} value @param {string} point */
export function brief(value, point) {
  let digits = 2;
  for (let size = Math.abs(value); size >= 10 && digits > 0; size /= 10) digits -= 1;
  for (let size = Math.abs(value); size > 0 && size < 1 && digits < 9; size *= 10) digits += 1;
  return fixed(value, digits, point);
}

/** As many digits as tell the number from all others. @param {number} value @param {Words} words */
export const exact = (value, { decimal }) => String(value).replace('.', decimal).replace('-', '−');

/** @param {readonly number[]} values @param {Words} words */
export const listed = (values, words) => values.map((value) => exact(value, words)).join(words.list);

/** @param {number} scale such as 1/255 @param {Words} words */
export function ratio(scale, words) {
  const parts = Math.round(1 / scale);
  return parts > 1 && Math.abs(1 / scale - parts) < 1e-6 ? `1/${parts}` : exact(scale, words);
}

/** A part of 1, to a tenth of a percent. @param {number} part @param {Words} words */
export function percent(part, { percent, decimal }) {
  const number = fixed(part * 100, 1, decimal);
  const is = (/** @type {string} */ text) => number === text.replace('.', decimal);
  if (is('0.0') && part > 0) return `< ${said(percent, { number: fixed(0.1, 1, decimal) })}`;
  if (is('100.0') && part < 1) return `> ${said(percent, { number: fixed(99.9, 1, decimal) })}`;
  return said(percent, { number });
}

/** A part of 1 in whole percent. @param {number} part @param {Words} words */
export const whole = (part, words) => said(words.percent, { number: fixed(part * 100, 0, words.decimal) });

/** A point in a drawing. @param {number} x @param {number} y */
export const point = (x, y) => `${fixed(x, 1, '.')},${fixed(y, 1, '.')}`;

/** @param {string} iso @param {Words} words */
export function date(iso, { date, months }) {
  const [, year = '', month = '', day = '', time = ''] = /^(\d+)-(\d+)-(\d+)T(\d+:\d+)/.exec(iso) ?? [];
  return said(date, { year, month: months[Number(month) - 1] ?? '', day: String(Number(day)), time });
}

/** Letters of a name that are shown. */
const MOST = 160;

/** A name without what moves or breaks lines, and no longer than fits. @param {string} name */
export function clipped(name) {
  const letters = [...name.replace(/\p{Cc}/gu, '\ufffd')];
  return letters.length > MOST ? `${letters.slice(0, MOST - 1).join('')}…` : letters.join('');
}

/** The fewest digits that give the same number of 32 bits, if it is one. @param {number} value */
export function short(value) {
  if (Number.isInteger(value) || Math.fround(value) !== value) return value;
  for (let digits = 6; digits < 9; digits += 1) {
    const fewer = Number(value.toPrecision(digits));
    if (Math.fround(fewer) === value) return fewer;
  }
  return Number(value.toPrecision(9));
}
