// a module with a model → the same, after first photos: browsers compile a function when it is first called, and well only
// when it has been called often

/** @typedef {import('../library/protocol.js').Module} Module */
/** @typedef {import('../library/protocol.js').ModelInfo} ModelInfo */

/** Pixels of each side: enough for the loops of a decoder to count as called often. */
const SIDE = 512;

/** A progressive JPEG of 32 × 32 pixels, which no browser makes, and how often it is decoded instead of a larger one. */
const PROGRESSIVE = `/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1xeXBkeFxl
Z2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2P/wgARCAAgACADASIAAhEB
AxEB/8QAGAAAAwEBAAAAAAAAAAAAAAAAAwQFAQL/xAAXAQEBAQEAAAAAAAAAAAAAAAABBAAC/9oADAMBAAIQAxAAAAGdWTZnpLxmGBPrRuxo6Tg//8QA
HBABAAIDAAMAAAAAAAAAAAAAAQACAxETISIx/9oACAEBAAEFAsdJUqF6Gq/beCp0rd50GZWNmG4TNjXG+yOoGj//xAAaEQACAgMAAAAAAAAAAAAAAAAA
EQESITFB/9oACAEDAQE/AaqDg8IjSP/EABcRAQEBAQAAAAAAAAAAAAAAAAEAEEH/2gAIAQIBAT8BXuE3/8QAHxAAAgICAQUAAAAAAAAAAAAAAREAEAIh
MRJBUVJi/9oACAEBAAY/AmeIDkG51Y2PnSi89qEb25ifamORuaibNf/EAB4QAAMAAgMAAwAAAAAAAAAAAAABESFhMUGRUbHB/9oACAEBAAE/Ib+bYtgy
XPCQxxV2hwryciu40r9GyupoLWVkh9BBZuiGBjsXkawk++r5Io802YSdJaIB/9oADAMBAAIAAwAAABAPNMf/xAAXEQEBAQEAAAAAAAAAAAAAAAABABEx
/9oACAEDAQE/EAAFj1O8JdL/xAAZEQACAwEAAAAAAAAAAAAAAAAAAREhQWH/2gAIAQIBAT8Qax0XRbk//8QAIBABAAICAgIDAQAAAAAAAAAAAQARITFB
UWFxkbHB0f/aAAgBAQABPxCqBQ0YrqEHosdwIAGpweT+Rwhw1AWiwBoI8tmj2VqnSV8S6LSCbBlfBoJzYlEICi4clX9yhDuLKo5zuGwgjuzZ3FqGgKsg
W+6HSsPj6gYEpbSR/Yhx7WZD7mVcBc//2Q==`;
const TIMES = 60;

/** A made-up photo without flat parts. */
function pixels() {
  const rgba = new Uint8ClampedArray(SIDE * SIDE * 4);
  for (let at = 0; at < rgba.length; at += 1) rgba[at] = at % 4 === 3 ? 255 : 128 + 90 * Math.sin(at * at * 1e-3);
  return rgba;
}

/**
 * The same as a JPEG; null where this browser makes none in a worker.
 * @param {Uint8ClampedArray<ArrayBuffer>} rgba
 */
async function jpeg(rgba) {
  const canvas = globalThis.OffscreenCanvas && new OffscreenCanvas(SIDE, SIDE);
  const context = canvas?.getContext('2d');
  if (!canvas || !context) return null;
  context.putImageData(new ImageData(rgba, SIDE), 0, 0);
  const blob = await canvas.convertToBlob({ type: 'image/jpeg' });
  return new Uint8Array(await blob.arrayBuffer());
}

/**
 * What classifies a made-up photo as any other, each time it is called.
 * @param {Module} module
 * @param {ModelInfo} model
 */
export async function rehearsal(module, { url, methods, costs }) {
  const rgba = pixels();
  const file = await jpeg(rgba).catch(() => null);
  // A heatmap that takes many runs of the network is for a photo that somebody has chosen.
  const explains = costs[methods[0] ?? ''] === 0;
  const options = {
    topK: 1,
    threshold: 0,
    region: null,
    heatmap: explains ? { sign: /** @type {const} */ ('for'), layers: [] } : null,
    scores: false,
    maxPixels: 1e6,
    maxBytes: 1e6,
    partial: false,
    view: null,
  };
  const { signal } = new AbortController();
  const tell = () => {};
  const progressive = Uint8Array.from(atob(PROGRESSIVE.replaceAll('\n', '')), (letter) => letter.charCodeAt(0));
  return () => {
    for (let time = 0; time < TIMES; time += 1) module.decodePhoto(progressive, options.maxPixels, SIDE);
    return file
      ? module.classify(url, 'warm-up', file, options, tell, signal)
      : module.classifyPixels(url, 'warm-up', new Uint8Array(rgba.buffer), SIDE, SIDE, 0, options, tell, signal);
  };
}
