// SVG drawing → its pixels. A drawing is a program: the work that it gives the browser is counted first, because
// nothing can stop the browser once it draws on the page's thread. What is drawn is the cleaned copy that was counted.

import { clean } from './drawing/clean.js';
import { MOST_LETTERS, UNUSUAL, tooMuch } from './drawing/limits.js';
import { parse, serialise } from './drawing/parse.js';
import { WhylensError } from './errors.js';
import { checkPixels } from './pixels.js';

/** Longest side that is drawn first, and ms that the next size, four times as large, may take. */
const FIRST = 64,
  LONGEST = 2000;

/**
 * An SVG file, drawn at its size.
 * @param {Blob} file
 * @param {number} maxPixels
 * @returns {Promise<HTMLCanvasElement | null>} null: the file is no drawing that can be read
 */
export async function draw(file, maxPixels) {
  if (file.size > MOST_LETTERS) throw tooMuch(`${file.size} bytes`, MOST_LETTERS);
  const root = await parse(file);
  if (!root) return null;
  clean(root, maxPixels);
  const url = URL.createObjectURL(serialise(root));
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
