// Classifiers as ONNX bytes, written field by field: the numbers are those of onnx.proto.

import { createHash } from 'node:crypto';

/**
 * @param {number} value
 * @returns {number[]}
 */
const varint = (value) => (value > 127 ? [(value % 128) | 128, ...varint(Math.floor(value / 128))] : [value]);

/**
 * @param {number} field
 * @param {number} value
 */
export const number = (field, value) => Buffer.from([...varint(field * 8), ...varint(value)]);

/**
 * @param {number} field
 * @param {(string | Buffer)[]} parts
 */
export function nested(field, ...parts) {
  const inner = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from([...varint(field * 8 + 2), ...varint(inner.length)]), inner]);
}

/**
 * @param {string} name
 * @param {number[]} values
 */
export const ints = (name, values) =>
  nested(5, nested(1, name), ...values.map((value) => number(8, value)), number(20, 7));

/**
 * @param {string} name
 * @param {number} value
 */
export const int = (name, value) => nested(5, nested(1, name), number(3, value), number(20, 2));

/**
 * @param {string} operator
 * @param {string[]} inputs
 * @param {string} output
 * @param {Buffer[]} attributes
 */
export const node = (operator, inputs, output, ...attributes) =>
  nested(
    1,
    ...inputs.map((input) => nested(1, input)),
    nested(2, output),
    nested(3, output),
    nested(4, operator),
    ...attributes,
  );

/**
 * @param {string} name
 * @param {number[]} shape
 * @param {number} seed 0: all values are the same
 * @param {number} [gain] factor of the values
 */
export function tensor(name, shape, seed, gain = 1) {
  const values = new Float32Array(shape.reduce((a, b) => a * b));
  if (seed === 0) values.fill(1 / values.length);
  let state = seed;
  for (let at = 0; seed !== 0 && at < values.length; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[at] = (gain * (state / 2 ** 32 - 0.5)) / Math.sqrt(values.length / (shape[0] ?? 1));
  }
  return nested(
    5,
    ...shape.map((size) => number(1, size)),
    number(2, 1),
    nested(8, name),
    nested(9, Buffer.from(values.buffer)),
  );
}

/**
 * @param {number} field
 * @param {string} name
 * @param {number[]} shape
 */
export const value = (field, name, shape) =>
  nested(
    field,
    nested(1, name),
    nested(2, nested(1, number(1, 1), nested(2, ...shape.map((size) => nested(1, number(1, size)))))),
  );

/** Classes of the classifier. */
export const CLASSES = 64;

/**
 * A classifier of 32 × 32 pixels with a layer `features` of 16 × 16 × 16 and about 1.3 MB of weights. With `bright`,
 * every
 * heatmap shows where the photo is bright.
 * @param {{ seed?: number, operator?: string, external?: boolean, bright?: boolean, wide?: number, classes?: number }} [options]
 *   `wide`: with 64 classes, 320 bytes of weights each
 */
export function classifier({
  seed = 1,
  operator = 'Relu',
  external = false,
  bright = false,
  wide = 4096,
  classes = CLASSES,
} = {}) {
  // An even kernel does not shift what it sees.
  const side = bright ? 2 : 3;
  const outside = nested(
    5,
    number(1, 1),
    number(2, 1),
    nested(8, 'outside'),
    nested(13, nested(1, 'location'), nested(2, 'weights.bin')),
    number(14, 1),
  );
  const graph = nested(
    7,
    node(
      'Conv',
      ['input', 'w1'],
      'conv',
      ints('kernel_shape', [side, side]),
      ints('strides', [2, 2]),
      ints('pads', Array(4).fill(side - 2)),
    ),
    node(operator, ['conv'], 'features'),
    node('GlobalAveragePool', ['features'], 'pooled'),
    node('Flatten', ['pooled'], 'flat', int('axis', 1)),
    node('Gemm', ['flat', 'w2'], 'hidden'),
    node('Gemm', ['hidden', 'w3'], 'logits'),
    nested(2, 'small'),
    tensor('w1', [16, 3, side, side], bright ? 0 : seed),
    tensor('w2', [16, wide], bright ? 0 : seed + 1),
    tensor('w3', [wide, classes], bright ? 0 : seed + 2),
    ...(external ? [outside] : []),
    value(11, 'input', [1, 3, 32, 32]),
    value(12, 'logits', [1, classes]),
  );
  return Buffer.concat([number(1, 8), nested(8, nested(1, ''), number(2, 13)), graph]);
}

/** A sound classifier whose plan asks for 600 MB to work in; `manifest` says that there is one. */
export function hoarding() {
  const image = [1, 3, 32, 32];
  const plan = {
    version: 2,
    input: image,
    layout: 'nchw',
    output: 'logits',
    scores: [1, CLASSES],
    activation: null,
    places: [{ layer: { name: 'features', channels: 3, height: 32, width: 32 }, shape: image, axes: 'channels-first' }],
    tensors: [],
    numbers: [],
    spaces: [0, 0, 150_000_000],
    constants: [],
    forward: {
      given: 0,
      made: [
        [4096, 1, CLASSES, 1, 1],
        [0, 1, 3072, 1, 1],
      ],
      steps: [['reduce', [4096, 0, 0, 1, CLASSES, 1, 0, 1, 3072, 1]]],
    },
    backward: { given: 0, made: [[0, 1, 3072, 1, 0]], steps: [] },
  };
  const onnx = Buffer.concat([classifier(), nested(14, nested(1, 'whylens.plan'), nested(2, JSON.stringify(plan)))]);
  return { onnx, manifest: (/** @type {any} */ given) => (given.weights.plan = 2) };
}

/**
 * The files of a model folder.
 * @param {{ onnx?: Buffer, name?: string, change?: (manifest: any) => void }} [options]
 * @returns {Record<string, Buffer>}
 */
export function folder({ onnx = classifier(), name = 'Small', change = () => {} } = {}) {
  const manifest = {
    format: 1,
    name,
    version: '1',
    license: 'MIT',
    source: 'tests/web/onnx.js',
    disclaimer: null,
    weights: {
      file: 'model.onnx',
      bytes: onnx.length,
      sha256: createHash('sha256').update(onnx).digest('hex'),
      precision: 'fp32',
    },
    input: {
      name: 'input',
      layout: 'nchw',
      channels: 'rgb',
      width: 32,
      height: 32,
      resize: { mode: 'shorter-side', size: 32, filter: 'bilinear' },
      crop: 'center',
      scale: 1 / 255,
      mean: [0.5, 0.5, 0.5],
      std: [0.5, 0.5, 0.5],
    },
    output: { name: 'logits', activation: 'softmax' },
    heatmap: { layer: 'features' },
    labels: { en: 'labels.txt' },
  };
  change(manifest);
  const labels = Array.from({ length: CLASSES }, (_, index) => `class ${index}`);
  return {
    'model.json': Buffer.from(JSON.stringify(manifest)),
    'model.onnx': onnx,
    'labels.txt': Buffer.from(labels.join('\n')),
  };
}
