// photo → message for the worker

import { WhylensError, badOption, isA, shown as said } from './errors.js';
import { checkPixels } from './pixels.js';

/** @typedef {import('./protocol.js').Photo} Photo */
/** @typedef {import('./protocol.js').WirePhoto} WirePhoto */
/** @typedef {{ photo: WirePhoto, transfer: Transferable[] }} Packed */

const EXPECTED =
  'Blob, File, ArrayBuffer, Uint8Array, ImageBitmap, ImageData, HTMLImageElement, HTMLCanvasElement, ' +
  'HTMLVideoElement, OffscreenCanvas or VideoFrame';

/** Pixels as they are in the file: no colour management, upright by EXIF. @type {ImageBitmapOptions} */
export const AS_STORED = { colorSpaceConversion: 'none', premultiplyAlpha: 'none', imageOrientation: 'from-image' };

/**
 * @param {unknown} value
 * @param {string} name of a class that this browser may not have
 */
function is(value, name) {
  const type = /** @type {Record<string, any>} */ (globalThis)[name];
  return typeof type === 'function' && isA(value, type);
}

const DRAWABLE = [
  'ImageBitmap',
  'HTMLImageElement',
  'HTMLCanvasElement',
  'HTMLVideoElement',
  'OffscreenCanvas',
  'VideoFrame',
];

/**
 * @param {unknown} photo
 */
export function checkPhoto(photo) {
  if (![...DRAWABLE, 'ArrayBuffer', 'Blob', 'ImageData', 'Uint8Array'].some((name) => is(photo, name))) {
    throw badOption(`the photo is ${said(photo)}, expected ${EXPECTED}`);
  }
  const buffer =
    photo instanceof ArrayBuffer
      ? photo
      : is(photo, 'ImageData')
        ? /** @type {ImageData} */ (photo).data.buffer
        : photo instanceof Uint8Array
          ? photo.buffer
          : null;
  if (buffer instanceof ArrayBuffer && isDetached(buffer))
    throw badOption('the photo has a buffer that was given away (detached); give its bytes before that, or a copy');
}

/** @param {ArrayBuffer} buffer */
export function isDetached(buffer) {
  try {
    // Not every browser has `detached`.
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

/**
 * Takes what the photo shows at the time of the call; later changes to it have no effect.
 * @param {Photo} photo
 * @param {boolean} transfer whether a buffer may be taken from the caller
 * @param {number} maxPixels
 * @returns {Promise<Packed>}
 */
export async function pack(photo, transfer, maxPixels) {
  checkPhoto(photo);
  if (photo instanceof Blob) {
    const drawing = await svg(photo, maxPixels);
    return drawing ? draw(drawing) : { photo, transfer: [] };
  }
  if (photo instanceof ArrayBuffer) {
    const bytes = transfer ? photo : photo.slice(0);
    return { photo: bytes, transfer: [bytes] };
  }
  if (photo instanceof Uint8Array) {
    const whole = transfer && photo.byteLength === photo.buffer.byteLength && photo.buffer instanceof ArrayBuffer;
    const bytes = /** @type {ArrayBuffer} */ (whole ? photo.buffer : new Uint8Array(photo).buffer);
    return { photo: bytes, transfer: [bytes] };
  }
  if (is(photo, 'ImageData')) {
    const { data, width, height } = /** @type {ImageData} */ (photo);
    if (!(data instanceof Uint8ClampedArray)) {
      throw badOption('the ImageData holds other than 8-bit values, expected Uint8ClampedArray');
    }
    const rgba = new Uint8Array(data);
    return { photo: { rgba, width, height }, transfer: [rgba.buffer] };
  }
  if (is(photo, 'ImageBitmap') && typeof OffscreenCanvas === 'function') {
    return { photo: /** @type {ImageBitmap} */ (photo), transfer: [] };
  }
  if (is(photo, 'HTMLImageElement')) await shown(/** @type {HTMLImageElement} */ (photo));
  if (is(photo, 'HTMLVideoElement') && /** @type {HTMLVideoElement} */ (photo).readyState < 2) {
    throw badOption('the video has no picture yet; wait for its `loadeddata` event');
  }
  const { naturalWidth, videoWidth, displayWidth, width, naturalHeight, videoHeight, displayHeight, height } =
    /** @type {Record<string, any>} */ (photo);
  checkPixels(
    naturalWidth ?? videoWidth ?? displayWidth ?? width,
    naturalHeight ?? videoHeight ?? displayHeight ?? height,
    maxPixels,
  );
  return draw(/** @type {any} */ (photo));
}

/** Bytes in which an SVG file must say what it is. */
const PROLOGUE = 1024;

/**
 * An SVG file, recognised by its first bytes, drawn at its size; only a page can draw it.
 * @param {Blob} file
 * @param {number} maxPixels
 * @returns {Promise<HTMLCanvasElement | null>}
 */
async function svg(file, maxPixels) {
  if (typeof Image !== 'function') return null;
  const start = (
    await file
      .slice(0, PROLOGUE)
      .text()
      .catch(() => '')
  ).toLowerCase();
  if (!/^\ufeff?\s*</.test(start) || !/<svg[\s>]/.test(start) || /<html|<!doctype html/.test(start)) return null;
  const { draw } = await import('./drawing.js').catch((error) => {
    throw new WhylensError('network', `the script that reads drawings cannot be loaded: ${error.message}`, error);
  });
  return draw(file, maxPixels);
}

/**
 * @param {HTMLImageElement} image
 */
async function shown(image) {
  try {
    await image.decode();
  } catch (error) {
    throw new WhylensError('image-corrupt', `the picture at ${image.currentSrc || image.src} cannot be shown`, error);
  }
}

/**
 * @param {ImageBitmap | HTMLImageElement | HTMLCanvasElement | HTMLVideoElement | OffscreenCanvas | VideoFrame} source
 * @returns {Promise<Packed>}
 */
async function draw(source) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(source, AS_STORED);
  } catch (error) {
    throw new WhylensError('image-format', 'the browser cannot read the pixels of this picture', error);
  }
  if (typeof OffscreenCanvas === 'function') return { photo: bitmap, transfer: [bitmap] };
  const canvas = document.createElement('canvas');
  const pixels = readPixels(bitmap, canvas);
  return { photo: pixels, transfer: [pixels.rgba.buffer] };
}

/** Levels (of 255) by which a pixel that is read may differ from the one that was drawn. */
const MOST_NOISE = 8;

/**
 * Whether canvases give back what was drawn: protection against fingerprinting may add noise.
 * @type {boolean | undefined}
 */
let truthful;

/**
 * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context of a canvas that is cleared
 */
function isTruthful(context) {
  const drawn = context.createImageData(16, 16);
  for (let at = 0; at < drawn.data.length; at += 1) drawn.data[at] = at % 4 === 3 ? 255 : (at * 89) % 256;
  context.putImageData(drawn, 0, 0);
  const read = context.getImageData(0, 0, 16, 16).data;
  context.clearRect(0, 0, 16, 16);
  return drawn.data.every((value, at) => Math.abs(value - (read[at] ?? 0)) <= MOST_NOISE);
}

/**
 * Reads a bitmap's pixels and closes it.
 * @param {ImageBitmap} bitmap
 * @param {HTMLCanvasElement | OffscreenCanvas} canvas
 * @returns {import('./protocol.js').Pixels}
 */
export function readPixels(bitmap, canvas) {
  const { width, height } = bitmap;
  canvas.width = width;
  canvas.height = height;
  const options = { willReadFrequently: true, colorSpace: /** @type {const} */ ('srgb') };
  const context = /** @type {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | null} */ (
    canvas.getContext('2d', options)
  );
  if (!context) throw new WhylensError('image-too-large', `no canvas of ${width} × ${height} pixels can be had`);
  try {
    truthful ??= isTruthful(context);
    if (!truthful) {
      const advice =
        'this browser gives noise in place of the pixels of pictures (fingerprinting protection); ' +
        'give the file itself, as JPEG, PNG or WebP, or allow this site to read canvases';
      throw new WhylensError('bad-option', advice);
    }
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    return { rgba: new Uint8Array(data.buffer), width, height };
  } catch (error) {
    if (error instanceof DOMException && error.name === 'SecurityError') {
      const advice =
        'the picture comes from another site that does not let this page read it; load it with `crossorigin`';
      throw new WhylensError('bad-option', advice, error);
    }
    throw error;
  } finally {
    bitmap.close();
  }
}

/** @type {WeakMap<object, string>} */
const names = new WeakMap();
let named = 0;

/**
 * Tells whether two photos are the same input without reading all of them.
 * @param {Photo} photo
 * @returns {string}
 */
export function identify(photo) {
  if (photo instanceof Blob) {
    const file = /** @type {Partial<File>} */ (photo);
    return ['blob', photo.size, photo.type, file.name, file.lastModified].join(' ');
  }
  if (photo instanceof ArrayBuffer || photo instanceof Uint8Array) {
    const bytes = photo instanceof ArrayBuffer ? new Uint8Array(photo) : photo;
    let hash = 0x811c9dc5;
    const step = Math.max(1, Math.floor(bytes.length / 4096));
    for (let at = 0; at < bytes.length; at += step) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
    return `bytes ${bytes.length} ${hash >>> 0}`;
  }
  if (photo === null || typeof photo !== 'object') return 'nothing';
  const name = names.get(photo) ?? `object ${(named += 1)}`;
  names.set(photo, name);
  return name;
}
