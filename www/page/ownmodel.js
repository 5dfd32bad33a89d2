// files of the reader → what describes their model; the packed model → a folder at blob addresses, kept if wanted

import { sha256 } from '../library/digest.js';
import { pathOf } from './folders.js';

/** @typedef {import('../library/protocol.js').Inspection} Inspection */
/** @typedef {import('../library/protocol.js').Manifest} Manifest */
/** @typedef {import('../library/protocol.js').PackOptions} PackOptions */
/** @typedef {import('../library/protocol.js').PackReport} PackReport */
/**
 * A model folder in the page's hands.
 * @typedef {object} OwnModel
 * @property {Blob} onnx
 * @property {Manifest} manifest
 * @property {Record<string, Blob>} labels by language
 * @property {PackReport} report
 */
/**
 * @typedef {object} Parts
 * @property {string} name of the file or the folder that holds the model
 * @property {string} [source] the address that it was downloaded from
 * @property {File | Record<string, File>} model a zip, or all files by their paths
 * @property {number} bytes
 * @property {File | null} manifest
 * @property {File[]} labels of the manifest
 */
/**
 * How photos become what the model takes.
 * @typedef {object} Reading
 * @property {'rgb' | 'bgr' | 'grey'} channels
 * @property {number} scale
 * @property {number[]} mean in the order of the channels
 * @property {number[]} std
 * @property {'crop' | 'square' | 'stretch' | 'fit'} resize
 * @property {number | null} side the shorter side before the crop, or that of the square
 * @property {number | null} percent what the crop keeps of it, in its place
 * @property {NonNullable<PackOptions['resize']>['filter']} filter
 * @property {boolean} antialias
 */
/**
 * The rest of what an ONNX file does not say about itself.
 * @typedef {object} Rest
 * @property {string} name
 * @property {'softmax' | 'sigmoid' | 'none' | null} activation null: the graph ends in it
 * @property {string} output the tensor with the scores
 * @property {string} unit of an output that is one number
 * @property {number} size of the input, where the graph leaves it open
 * @property {string} layer empty: the latest
 * @property {'fp16' | 'fp32' | ''} precision empty: the smaller one that changes nothing
 * @property {string} license
 * @property {string} disclaimer
 * @property {number | null} threshold 0..1
 * @property {string} notRecognised
 * @property {string} labels one a line; empty: they are numbered
 */
/** @typedef {Reading & Rest} Answers */

const CACHE = 'whylens own model';

/** A header of what is kept; the weights are checked against it when they are loaded. */
const SHA256 = 'x-whylens-sha256';

/**
 * The parts of a model among files: an ONNX file and what came with it, in a folder or not, or a zip of these.
 * @param {File[]} files
 * @returns {Parts | null}
 */
export function partsOf(files) {
  const models = files.filter(({ name }) => /\.onnx$/i.test(name));
  const zip = files.find(({ name }) => /\.zip$/i.test(name));
  const [first] = models;
  if (!first && !zip) return null;
  if (!first && zip) return { name: zip.name, model: zip, bytes: zip.size, manifest: null, labels: [] };
  const [folder, below] = pathOf(/** @type {File} */ (first)).split('/');
  const { name, size } = /** @type {File} */ (first);
  return {
    name: models.length === 1 || below === undefined ? name : /** @type {string} */ (folder),
    model: Object.fromEntries(files.map((file) => [pathOf(file), file])),
    bytes: size,
    manifest: files.find(({ name }) => /^model\b.*\.json$/i.test(name)) ?? null,
    labels: files.filter(({ name }) => /\.txt$/i.test(name)),
  };
}

/** Whether a `model.json` is that of TensorFlow.js, which Teachable Machine exports. @param {File} file */
export const isTensorFlow = async (file) => /^\s*\{[^]*"weightsManifest"/.test(await file.text());

/** Whether the files say all that the form would ask. @param {Inspection} seen */
export const saysAll = ({ found, labels, guesses, classes }) =>
  (found.labels ?? labels)?.length === classes && ![...guesses, ...found.conflicts, ...found.limits].length;

/**
 * What the form says at first: what the files say, or else the likeliest answers.
 * @param {Parts} parts
 * @param {Inspection} seen
 * @returns {Answers}
 */
export function likely({ name }, { manifest, activation, found, labels: own }) {
  const { width, height, resize, channels, scale, mean, std } = manifest.input;
  const { options, labels } = found;
  return {
    name: options.name || name.replace(/\.(onnx|zip)$/i, ''),
    channels,
    scale,
    mean,
    std,
    resize: modeOf(resize),
    side: resize.size ?? (resize.mode === 'shorter-side' ? Math.min(width, height) : null),
    percent: null,
    filter: resize.filter,
    antialias: resize.antialias ?? true,
    activation: (activation ?? manifest.output.applied) ? null : manifest.output.activation,
    output: manifest.output.name,
    unit: '',
    size: width,
    layer: '',
    precision: '',
    license: options.license ?? '',
    disclaimer: '',
    threshold: null,
    notRecognised: '',
    labels: (labels ?? own)?.join('\n') ?? '',
  };
}

/** @param {NonNullable<PackOptions['resize']>} resize @returns {Reading['resize']} */
function modeOf({ mode, size }) {
  if (mode === 'exact') return size ? 'square' : 'stretch';
  return mode === 'fit' ? 'fit' : 'crop';
}

/** @param {Answers} answers @param {Inspection} seen @param {string} file @returns {PackOptions} */
export function describe(answers, seen, file) {
  const { threshold } = answers;
  return {
    ...describeReading(answers, seen),
    name: answers.name,
    source: file,
    license: answers.license || undefined,
    disclaimer: answers.disclaimer || undefined,
    unit: answers.unit || undefined,
    threshold: threshold ?? undefined,
    notRecognised: (threshold !== null && answers.notRecognised) || undefined,
    layer: answers.layer || undefined,
    precision: answers.precision || undefined,
  };
}

/** What decides how photos are read, and their scores. @param {Answers} answers @param {Inspection} seen */
export function describeReading(answers, { manifest, guesses, heads }) {
  const { channels, scale, mean, std, filter, antialias, side, percent } = answers;
  const open = guesses.includes('size');
  const crops = answers.resize === 'crop' || answers.resize === 'square';
  return {
    layout: manifest.input.layout,
    channels,
    size: open ? /** @type {[number, number]} */ ([answers.size, answers.size]) : undefined,
    resize: { mode: MODES[answers.resize], size: (crops && side) || undefined, filter, antialias },
    cropPercent: (crops && !side && percent) || undefined,
    scale,
    mean,
    std,
    activation: answers.activation ?? undefined,
    output: heads.length > 1 ? answers.output : undefined,
  };
}

const MODES = /** @type {const} */ ({ crop: 'shorter-side', square: 'exact', stretch: 'exact', fit: 'fit' });

/** Labels as text, one a line. @param {string} given @param {number} classes */
export const labelled = (given, classes) =>
  given.trim() || Array.from({ length: classes }, (_, at) => `class ${at}`).join('\n');

/**
 * The file of each language, by the names in `model.json`; if there is only one file, that one.
 * @param {Manifest} manifest
 * @param {File[]} files
 */
export function labelFiles({ labels }, files) {
  const found = Object.entries(labels ?? {}).flatMap(([language, name]) =>
    files.filter((file) => file.name === name).map((file) => /** @type {const} */ ([language, file])),
  );
  const only = files[0] ? [/** @type {const} */ ([Object.keys(labels ?? {})[0] ?? 'en', files[0]])] : [];
  return /** @type {Record<string, Blob>} */ (Object.fromEntries(found.length ? found : only));
}

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
  await caches.delete(CACHE);
  const cache = await caches.open(CACHE);
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
    const cache = await caches.open(CACHE);
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

export const forgetKept = () => caches.delete(CACHE);
