// files of the reader → what describes their model

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
