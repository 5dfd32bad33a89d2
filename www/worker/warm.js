// a module with a model → the same, after a first photo: browsers compile a function when it is first called, and well only
// when it has been called before

/** @typedef {import('../library/protocol.js').Module} Module */
/** @typedef {import('../library/protocol.js').ModelInfo} ModelInfo */

/** A JPEG of 16 × 16 pixels. */
const PHOTO = `/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDACgcHiMeGSgjISMtKygwPGRBPDc3PHtYXUlkkYCZlo+AjIqgtObDoKrarYqMyP/L2u71////m8H////6/
+b9//j/2wBDASstLTw1PHZBQXb4pYyl+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj/wAARCAAQABADASIA
AhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAAAv/EABwQAAEEAwEAAAAAAAAAAAAAAAMAAQITBCExQf/EABUBAQEAAAAAAAAAAAAAAAAAAAEC/8QAGxEAAQQDAAAA
AAAAAAAAAAAAAQACAzEREkH/2gAMAwEAAhEDEQA/ADPLlW2kw5kq30nMQq24mEQq/FMJbikks3ri/9k=`;

/**
 * Classifies a made-up photo as any other.
 * @param {Module} module
 * @param {ModelInfo} model
 */
export async function classifyOnce(module, { url, methods }) {
  const photo = Uint8Array.from(atob(PHOTO.replaceAll('\n', '')), (letter) => letter.charCodeAt(0));
  // A heatmap that takes many runs of the network is for a photo that somebody has chosen.
  const explains = methods.length > 0 && methods[0] !== 'occlusion';
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
  await module.classify(url, 'warm-up', photo, options, () => {}, new AbortController().signal);
}
