// heatmap → where its mass lies and how concentrated it is

/** @typedef {import('../library/protocol.js').Heatmap} Heatmap */
/**
 * @typedef {object} Evidence
 * @property {0|1|2} column of the centre of mass, on the upright photo: left, centre, right
 * @property {0|1|2} row top, middle, bottom
 * @property {number} share smallest part of the map's area that holds half of the mass, 0 to 1
 * @property {'sharp'|'focused'|'spread'|'even'} concentration
 */

/**
 * Null if nothing speaks for the class.
 * @param {Heatmap} heatmap
 * @param {{width: number, height: number}} image
 * @returns {Evidence | null}
 */
export function evidence({ values, width, height, max, region }, image) {
  if (!(max > 0)) return null;
  let mass = 0,
    across = 0,
    down = 0;
  values.forEach((value, at) => {
    mass += value;
    across += value * ((at % width) + 0.5);
    down += value * (Math.floor(at / width) + 0.5);
  });
  const share = half(values).length / values.length;
  return {
    column: third((region.x + (across / mass / width) * region.width) / image.width),
    row: third((region.y + (down / mass / height) * region.height) / image.height),
    share,
    concentration: share < 0.1 ? 'sharp' : share < 0.2 ? 'focused' : share < 0.35 ? 'spread' : 'even',
  };
}

/**
 * Part of the evidence that two maps of the same size have in common: Σ min(a, b) of the maps scaled
 * to a mass of 1 each; 0 to 1.
 * @param {Heatmap} a
 * @param {Heatmap} b
 */
export function overlap(a, b) {
  const [massA, massB] = [total(a.values), total(b.values)];
  if (!massA || !massB || a.values.length !== b.values.length) return 0;
  return a.values.reduce((sum, value, at) => sum + Math.min(value / massA, (b.values[at] ?? 0) / massB), 0);
}

/** The fewest cells that hold half of the mass. @param {Float32Array} values */
function half(values) {
  const order = [...values.keys()].sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0));
  const wanted = total(values) / 2;
  let mass = 0;
  return order.slice(0, 1 + order.findIndex((at) => (mass += values[at] ?? 0) >= wanted));
}

/** @param {Float32Array} values */
const total = (values) => values.reduce((sum, value) => sum + value, 0);

/** @param {number} at 0 to 1 @returns {0|1|2} */
const third = (at) => (at < 0.4 ? 0 : at <= 0.6 ? 1 : 2);
