// text, as people copy it from code ↔ numbers

/**
 * `0.485, 0.456, 0.406`, `[1/255]` → numbers; what is none is NaN.
 * @param {string} text
 */
export const figures = (text) =>
  text
    .replace(/[[\](){}]/g, ' ')
    .split(/[\s,;]+/)
    .filter(Boolean)
    .map((word) => {
      const [top = NaN, bottom = 1, ...more] = word.split('/').map((part) => (part ? Number(part) : NaN));
      return more.length ? NaN : top / bottom;
    });

/** @param {readonly number[]} numbers */
export const written = (numbers) => numbers.map(figure).join(', ');

/** A fraction where that is shorter: 1/255. @param {number} number */
function figure(number) {
  const halves = Math.round(2 / number);
  const isShare = number > 0 && number < 0.1 && Math.abs(number * halves - 2) < 1e-9;
  return isShare ? `1/${halves / 2}` : String(Number(number.toPrecision(12)));
}
