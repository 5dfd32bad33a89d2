// curves of a check → a small plot

/** In units of the drawing: its size, and the room for the marks beside and below the curves. */
const [WIDTH, HEIGHT, LEFT, BOTTOM, EDGE] = [320, 176, 38, 34, 8];
const SHARES = [0, 0.25, 0.5, 0.75, 1];

/**
 * @param {import('../checksaid.js').Curves} curves
 * @param {object} marks
 * @param {boolean} marks.fromZero whether values begin at 0, as probabilities do
 * @param {(value: number) => string} marks.value
 * @param {(share: number) => string} marks.share
 * @param {string} marks.axis what the shares are of
 * @param {string} marks.alt the plot in words
 */
export function plot({ shares, map, mean, least, most }, { fromZero, value, share, axis, alt }) {
  const all = [...map, ...least, ...most];
  const ticks = rounded(fromZero ? 0 : Math.min(...all), Math.max(...all));
  const [bottom = 0, top = 1] = [ticks[0], ticks.at(-1)];
  const x = (/** @type {number} */ at) => LEFT + at * (WIDTH - LEFT - EDGE);
  const y = (/** @type {number} */ at) => HEIGHT - BOTTOM - ((at - bottom) / (top - bottom)) * (HEIGHT - BOTTOM - EDGE);
  const points = (/** @type {number[]} */ curve) =>
    curve.map((each, step) => `${x(shares[step] ?? 0).toFixed(1)},${y(each).toFixed(1)}`);
  const text = (/** @type {Record<string, string | number>} */ attributes, /** @type {string} */ words) => {
    const made = drawn('text', attributes);
    made.textContent = words;
    return made;
  };
  return drawn(
    'svg',
    { class: 'plot', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': alt },
    ...ticks.map((at) => drawn('path', { class: 'plot-grid', d: `M${LEFT} ${y(at)}H${WIDTH - EDGE}` })),
    ...ticks.map((at) => text({ x: LEFT - 6, y: y(at) + 4, 'text-anchor': 'end' }, value(at))),
    ...SHARES.map((at) =>
      text({ x: x(at), y: HEIGHT - BOTTOM + 14, 'text-anchor': at === 1 ? 'end' : 'middle' }, share(at)),
    ),
    text({ x: (LEFT + WIDTH - EDGE) / 2, y: HEIGHT - 4, 'text-anchor': 'middle' }, axis),
    drawn('polygon', { class: 'plot-band', points: [...points(most), ...points(least).reverse()].join(' ') }),
    drawn('polyline', { class: 'plot-mean', points: points(mean).join(' ') }),
    drawn('polyline', { class: 'plot-map', points: points(map).join(' ') }),
    ...points(map).map((point) => {
      const [cx = 0, cy = 0] = point.split(',');
      return drawn('circle', { class: 'plot-point', cx, cy, r: 2 });
    }),
  );
}

/**
 * Round numbers from at most the least to at least the most, three to six.
 * @param {number} least
 * @param {number} most
 */
export function rounded(least, most) {
  const span = most - least || Math.abs(most) || 1;
  const power = 10 ** Math.floor(Math.log10(span / 4));
  const step = power * ([1, 2, 2.5, 5].find((times) => span / 4 <= times * power) ?? 10);
  const first = Math.floor(least / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(most / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, at) => (first + at) * step);
}

/** @param {string} tag @param {Record<string, string | number>} attributes @param {...Element} inside */
function drawn(tag, attributes, ...inside) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...inside);
  return made;
}
