// heatmaps → where on the photo their evidence lies, and how much two have in common

/** @typedef {import('../library/protocol.js').Heatmap} Heatmap */
/** @typedef {import('../library/protocol.js').Evidence} Evidence */
/** @typedef {Evidence['border'][number]} Side */
/** @typedef {Pick<Heatmap, 'region' | 'image'>} On a region of the upright photo */

/**
 * The fifths of the upright photo, across and down, that hold the centre: 0 at the left and the upper edge, 2 in the middle.
 * @param {Evidence} evidence
 * @param {On} on
 */
export function place({ x, y }, { region, image }) {
  return {
    column: fifth((region.x + x * region.width) / image.width),
    row: fifth((region.y + y * region.height) / image.height),
  };
}

/**
 * Sides of what the model saw that the evidence touches and beyond which the photo goes on.
 * @param {Evidence} evidence
 * @param {On} on
 * @returns {Side[]}
 */
export function cutOff({ border }, { region, image }) {
  const beyond = {
    top: region.y,
    right: image.width - region.x - region.width,
    bottom: image.height - region.y - region.height,
    left: region.x,
  };
  return border.filter((side) => beyond[side] >= 1);
}

/**
 * Part of the evidence that two maps of the same size have in common: Σ min(a, b) of what is above zero, scaled to a
 * mass of 1 each; 0 to 1.
 * @param {Heatmap} a
 * @param {Heatmap} b
 */
export function overlap(a, b) {
  const [massA, massB] = [total(a.values), total(b.values)];
  if (!massA || !massB || a.values.length !== b.values.length) return 0;
  return a.values.reduce(
    (sum, value, at) => sum + Math.min(Math.max(value, 0) / massA, Math.max(b.values[at] ?? 0, 0) / massB),
    0,
  );
}

/** @param {Float32Array} values */
const total = (values) => values.reduce((sum, value) => sum + Math.max(value, 0), 0);

/** @param {number} at 0 to 1, beyond where the region is padded */
const fifth = (at) => Math.min(Math.max(Math.floor(at * 5), 0), 4);
