// size of a picture → whether it may be read

import { WhylensError } from './errors.js';

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
