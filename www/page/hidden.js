// picture → what covers its parts: its mean colour, or the picture blurred
import { canvas } from './canvas.js';

/** σ of the Gaussian as a share of the picture's shorter side, as in `check()`; it is cut off at 3 σ, edges are repeated. */
const SIGMA = 1 / 20;

/** σ in cells of the grid that is blurred: what is so smooth may be computed coarsely and enlarged. */
const SIGMA_IN_CELLS = 5;

/** Pixels that are read in one task of the page. */
const AT_ONCE = 150_000;

/** Lets the browser handle input in between. */
const pause = () => new Promise((resolve) => setTimeout(resolve));

/**
 * @param {ImageBitmap} picture opaque
 * @returns {Promise<{mean: string, blurred: HTMLCanvasElement}>} a colour of CSS, and a picture of the same size
 */
export async function hidden(picture) {
  const { width, height } = picture;
  const sigma = SIGMA * Math.min(width, height);
  const side = Math.max(1, Math.floor(sigma / SIGMA_IN_CELLS));
  const grid = await averages(picture, side);
  await smooth(grid, sigma / side);
  const small = canvas(grid.columns, grid.rows);
  small.putImageData(pixels(grid), 0, 0);
  const blurred = canvas(width, height);
  blurred.imageSmoothingQuality = 'high';
  blurred.drawImage(small.canvas, 0, 0, grid.columns * side, grid.rows * side);
  return { mean: `rgb(${grid.mean.map(Math.round).join(' ')})`, blurred: blurred.canvas };
}

/** @typedef {{columns: number, rows: number, values: Float32Array}} Grid red, green and blue of each cell, row-major */

/**
 * The mean colour of each cell of `side` × `side` pixels, fewer at the right and at the bottom, and of all.
 * @param {ImageBitmap} picture
 * @param {number} side
 * @returns {Promise<Grid & {mean: number[]}>}
 */
async function averages(picture, side) {
  const { width, height } = picture;
  const [columns, rows] = [Math.ceil(width / side), Math.ceil(height / side)];
  const values = new Float32Array(columns * rows * 3);
  const mean = [0, 0, 0];
  const strip = Math.max(1, Math.floor(AT_ONCE / width / side)) * side;
  const pen = canvas(width, Math.min(strip, height), { willReadFrequently: true });
  for (let top = 0; top < height; top += strip) {
    const deep = Math.min(strip, height - top);
    pen.drawImage(picture, 0, -top);
    const { data } = pen.getImageData(0, 0, width, deep);
    for (let y = 0, at = 0; y < deep; y += 1) {
      const row = Math.floor((top + y) / side) * columns;
      for (let x = 0; x < width; x += 1, at += 4) {
        const cell = 3 * (row + Math.floor(x / side));
        for (let channel = 0; channel < 3; channel += 1)
          values[cell + channel] = (values[cell + channel] ?? 0) + (data[at + channel] ?? 0);
      }
    }
    await pause();
  }
  for (let row = 0, at = 0; row < rows; row += 1)
    for (let column = 0; column < columns; column += 1)
      for (let channel = 0; channel < 3; channel += 1, at += 1) {
        const sum = values[at] ?? 0;
        mean[channel] = (mean[channel] ?? 0) + sum / (width * height);
        values[at] = sum / (Math.min(side, width - column * side) * Math.min(side, height - row * side));
      }
  return { columns, rows, values, mean };
}

/** A Gaussian along rows, then along columns. @param {Grid} grid @param {number} sigma in cells */
async function smooth(grid, sigma) {
  const { columns, rows } = grid;
  const reach = Math.ceil(3 * sigma);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, at) => Math.exp(-((at - reach) ** 2) / (2 * sigma ** 2)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  for (const [length, step, lines, apart] of /** @type {const} */ ([
    [columns, 3, rows, 3 * columns],
    [rows, 3 * columns, columns, 3],
  ])) {
    await pause();
    const { values } = grid;
    const smoothed = new Float32Array(values.length);
    for (let line = 0; line < lines; line += 1)
      for (let at = 0; at < length; at += 1)
        for (let channel = 0; channel < 3; channel += 1) {
          const start = line * apart + channel;
          let sum = 0;
          for (let tap = -reach; tap <= reach; tap += 1)
            sum +=
              (weights[tap + reach] ?? 0) * (values[start + step * Math.min(Math.max(at + tap, 0), length - 1)] ?? 0);
          smoothed[start + step * at] = sum / total;
        }
    grid.values = smoothed;
  }
}

/** @param {Grid} grid */
function pixels({ columns, rows, values }) {
  const image = new ImageData(columns, rows);
  for (let cell = 0; cell < columns * rows; cell += 1)
    image.data.set([values[3 * cell] ?? 0, values[3 * cell + 1] ?? 0, values[3 * cell + 2] ?? 0, 255], 4 * cell);
  return image;
}
