// what a drawing may ask of the browser, and the errors of those that ask for more
import { WhylensError } from '../errors.js';

/**
 * Most parts that are drawn, counted again for each reference to them; Firefox takes 2.5 s for so many rectangles.
 */
export const MOST_PARTS = 50_000;

/** Most letters of a file, and of what its entities become. */
export const MOST_LETTERS = 32e6;

/** Most levels of nested elements, referenced ones included. */
export const DEEPEST = 256;

/** Most tries of a style rule on an element. */
export const MOST_MATCHES = 3e7;

/** Letters of attributes or text that count as one part. */
export const LETTERS = 200;

export const UNUSUAL = 'save it as a PNG file';

/**
 * @param {string} actual
 * @param {number} most
 */
export function tooMuch(actual, most) {
  return new WhylensError('image-too-large', `the drawing has ${actual}, at most ${most} are drawn; ${UNUSUAL}`);
}

/** @param {string} what */
export function unusual(what) {
  return new WhylensError('image-format', `the drawing ${what}, which is not drawn here; ${UNUSUAL}`);
}
