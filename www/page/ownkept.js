// a packed model of the reader's own → a folder at blob addresses, or kept for the next visit
import { sha256 } from '../library/digest.js';
import { OWN_MODEL } from './kept.js';

/** @typedef {import('./ownmodel.js').OwnModel} OwnModel */

/** A header of what is kept; the weights are checked against it when they are loaded. */
const SHA256 = 'x-whylens-sha256';

/**
 * The address of its `model.json`, valid for this visit, and how to release it.
 * @param {OwnModel} model
 */
export function addressOf({ onnx, manifest, labels }) {
  /** @type {string[]} */
  const made = [];
  /** @param {Blob} blob */
  const address = (blob) => {
    const url = URL.createObjectURL(blob);
    made.push(url);
    return url;
  };
  const content = {
    ...manifest,
    weights: { ...manifest.weights, file: address(onnx) },
    labels: Object.fromEntries(Object.entries(labels).map(([language, file]) => [language, address(file)])),
  };
  const url = address(new Blob([JSON.stringify(content)], { type: 'application/json' }));
  return { url, forget: () => made.forEach((url) => URL.revokeObjectURL(url)) };
}

/** The files of its folder, by name. @param {OwnModel} model @returns {[string, Blob][]} */
export function folder({ onnx, manifest, labels }) {
  const names = Object.fromEntries(
    Object.keys(labels).map((language, at) => [language, at ? `labels.${language}.txt` : 'labels.txt']),
  );
  const json = JSON.stringify({ ...manifest, labels: names }, null, 2);
  return [
    ['model.json', new Blob([json, '\n'], { type: 'application/json' })],
    ['model.onnx', onnx],
    ...Object.entries(labels).map(([language, file]) => /** @type {[string, Blob]} */ ([names[language], file])),
  ];
}

/** @param {OwnModel} model */
export async function keep({ onnx, manifest, labels, report }) {
  await caches.delete(OWN_MODEL);
  const cache = await caches.open(OWN_MODEL);
  const texts = Object.fromEntries(
    await Promise.all(Object.entries(labels).map(async ([language, file]) => [language, await file.text()])),
  );
  await cache.put('/own/model.onnx', new Response(onnx));
  const text = JSON.stringify({ manifest, labels: texts, report });
  await cache.put('/own/model.json', new Response(text, { headers: { [SHA256]: await digest(text) } }));
}

/** @param {string} text */
const digest = (text) => sha256(new TextEncoder().encode(text));

/** The model that was kept, if there is one. @returns {Promise<OwnModel | null>} */
export async function kept() {
  try {
    const cache = await caches.open(OWN_MODEL);
    const [onnx, rest] = await Promise.all(['model.onnx', 'model.json'].map((name) => cache.match(`/own/${name}`)));
    if (!onnx || !rest) return null;
    const text = await rest.text();
    const sha256 = rest.headers.get(SHA256);
    if (sha256 !== null && sha256 !== (await digest(text))) throw new Error('it was damaged');
    const { manifest, labels, report } = JSON.parse(text);
    const files = Object.entries(labels).map(([language, text]) => [language, new Blob([text])]);
    if (!manifest.weights || !manifest.input || !report.difference) throw new Error('it is no model');
    return { onnx: await onnx.blob(), manifest, labels: Object.fromEntries(files), report };
  } catch {
    await forgetKept().catch(() => {});
    return null;
  }
}

export const forgetKept = () => caches.delete(OWN_MODEL);
