// ResNet-50 with random weights as ONNX bytes, batch norms folded as exporters do it.

import { int, ints, nested, node, number, tensor, value } from './onnx.js';

const STAGES = [3, 4, 6, 3];

/**
 * @param {{ width?: number, classes?: number }} [options] channels of the first stage
 * @returns {{ onnx: Buffer, weights: number }} with the bytes of its weights
 */
export function resnet({ width = 64, classes = 1000 } = {}) {
  /** @type {Buffer[]} */
  const nodes = [];
  /** @type {Buffer[]} */
  const tensors = [];
  let weights = 0;
  const weight = (/** @type {number[]} */ shape) => {
    const name = `w${tensors.length}`;
    tensors.push(tensor(name, shape, tensors.length + 1, 4));
    weights += 4 * shape.reduce((a, b) => a * b);
    return name;
  };
  const then = (/** @type {string} */ operator, /** @type {string[]} */ inputs, /** @type {Buffer[]} */ ...rest) => {
    const output = `${operator}_${nodes.length}`;
    nodes.push(node(operator, inputs, output, ...rest));
    return output;
  };
  const window = (/** @type {number} */ size, /** @type {number} */ stride) => [
    ints('kernel_shape', [size, size]),
    ints('strides', [stride, stride]),
    ints('pads', Array(4).fill(Math.floor(size / 2))),
  ];
  const conv = (
    /** @type {string} */ from,
    /** @type {number} */ inputs,
    /** @type {number} */ outputs,
    /** @type {number} */ size,
    stride = 1,
  ) => then('Conv', [from, weight([outputs, inputs, size, size])], ...window(size, stride));

  let channels = width;
  let at = then('Relu', [conv('input', 3, channels, 7, 2)]);
  at = then('MaxPool', [at], ...window(3, 2));
  STAGES.forEach((blocks, stage) => {
    const inner = width * 2 ** stage;
    for (let block = 0; block < blocks; block += 1) {
      const stride = stage > 0 && block === 0 ? 2 : 1;
      let branch = then('Relu', [conv(at, channels, inner, 1)]);
      branch = then('Relu', [conv(branch, inner, inner, 3, stride)]);
      branch = conv(branch, inner, 4 * inner, 1);
      const kept = block === 0 ? conv(at, channels, 4 * inner, 1, stride) : at;
      channels = 4 * inner;
      at = then('Relu', [then('Add', [branch, kept])]);
    }
  });
  at = then('Flatten', [then('GlobalAveragePool', [at])], int('axis', 1));
  nodes.push(node('Gemm', [at, weight([classes, channels])], 'logits', int('transB', 1)));
  const graph = nested(
    7,
    ...nodes,
    nested(2, 'resnet'),
    ...tensors,
    value(11, 'input', [1, 3, 224, 224]),
    value(12, 'logits', [1, classes]),
  );
  return { onnx: Buffer.concat([number(1, 8), nested(8, nested(1, ''), number(2, 13)), graph]), weights };
}
