// a model folder of as many classes as ImageNet-21k has

import { classifier, folder } from '../web/onnx.js';

export const MANY = 21_841;

/** @param {number} index */
export const labelOf = (index) => `class ${index}, with as many words as those of WordNet have`;

/** @param {'softmax' | 'none'} activation */
export function manyClasses(activation) {
  const files = folder({
    onnx: classifier({ classes: MANY, wide: 16 }),
    name: 'Many',
    change: (manifest) => (manifest.output.activation = activation),
  });
  return { ...files, 'labels.txt': Buffer.from(Array.from({ length: MANY }, (_, at) => labelOf(at)).join('\n')) };
}
