// picture → the same bytes with an EXIF orientation, in the ways of JPEG, PNG and WebP

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { TOP } from './server.js';

/** Pictures without an orientation, by format. */
const STORED = { jpeg: 'jpeg-444.jpg', png: 'png-rgb.png', webp: 'webp-lossless.webp' };

/** @typedef {keyof typeof STORED} Format */

/** @param {Format} format */
export const stored = (format) => readFile(join(TOP, 'tests/golden/photos', STORED[format]));

/** @param {number} orientation 1 to 8 */
const exif = (orientation) =>
  Buffer.from([...Buffer.from('II*\0'), 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0]);

/** @type {Record<Format, (bytes: Buffer, orientation: number) => Buffer>} */
const WAYS = {
  jpeg(bytes, orientation) {
    const content = Buffer.concat([Buffer.from('Exif\0\0'), exif(orientation)]);
    const head = Buffer.from([0xff, 0xe1, 0, content.length + 2]);
    return Buffer.concat([bytes.subarray(0, 2), head, content, bytes.subarray(2)]);
  },
  png(bytes, orientation) {
    const content = Buffer.concat([Buffer.from('eXIf'), exif(orientation)]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(content.length - 4);
    sum.writeUInt32BE(crc32(content));
    const afterHeader = 33;
    return Buffer.concat([bytes.subarray(0, afterHeader), length, content, sum, bytes.subarray(afterHeader)]);
  },
  webp(bytes, orientation) {
    // The signature byte, then 14 bits each of the width and the height, less one.
    const size = bytes.readUInt32LE(21);
    const head = Buffer.from('VP8X\x0a\0\0\0\x08\0\0\0\0\0\0\0\0\0', 'latin1');
    head.writeUIntLE(size & 0x3fff, 12, 3);
    head.writeUIntLE((size >>> 14) & 0x3fff, 15, 3);
    const content = exif(orientation);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(content.length);
    const chunks = Buffer.concat([Buffer.from('WEBP'), head, bytes.subarray(12), Buffer.from('EXIF'), length, content]);
    length.writeUInt32LE(chunks.length);
    return Buffer.concat([Buffer.from('RIFF'), length, chunks]);
  },
};

/**
 * A picture that programs turn by the orientation.
 * @param {Format} format
 * @param {number} orientation 1 to 8
 */
export async function turned(format, orientation) {
  return WAYS[format](await stored(format), orientation);
}

/**
 * Canvas transforms from stored to upright pixels, for a stored picture of this size.
 * @param {number} w
 * @param {number} h
 */
export const MATRICES = (w, h) => [
  [1, 0, 0, 1, 0, 0],
  [-1, 0, 0, 1, w, 0],
  [-1, 0, 0, -1, w, h],
  [1, 0, 0, -1, 0, h],
  [0, 1, 1, 0, 0, 0],
  [0, 1, -1, 0, h, 0],
  [0, -1, -1, 0, h, w],
  [0, -1, 1, 0, 0, w],
];
