// classes of a photo → heatmaps and their pictures
/** @typedef {import('../whylens.js').Classifier} Classifier */
/** @typedef {import('../library/protocol.js').Heatmap} Heatmap */
/** @typedef {import('../library/protocol.js').Result} Result */
/** @typedef {{heatmap: Heatmap, overlay: ImageData | null}} Explanation */

/** Longest side of a drawn heatmap: it is smooth, so the browser may enlarge it. */
const LONGEST = 720;

/**
 * A class, or what speaks against it, as one number: ~0 is what speaks against the first.
 * @param {Pick<Heatmap, 'classIndex' | 'sign'>} heatmap
 */
export const choiceOf = ({ classIndex, sign }) => (sign === 'against' ? ~classIndex : classIndex);

/** @param {number} choice @returns {Pick<Heatmap, 'classIndex' | 'sign'>} */
const chosenBy = (choice) =>
  choice < 0 ? { classIndex: ~choice, sign: 'against' } : { classIndex: choice, sign: 'for' };

/**
 * @param {Classifier} classifier that gave `result`
 * @param {Result} result
 * @param {{classes: number[], method: string | null, layers: string[], colormap: string}} choice
 * @param {{signal: AbortSignal, onProgress: (progress: import('../library/protocol.js').Progress) => void}} waiting
 * @returns {Promise<Explanation[]>}
 */
export async function explain(classifier, result, { classes, method, layers, colormap }, waiting) {
  const scale = Math.min(1, LONGEST / Math.max(result.image.width, result.image.height));
  const size = {
    width: Math.max(1, Math.round(result.image.width * scale)),
    height: Math.max(1, Math.round(result.image.height * scale)),
  };
  /** @type {Explanation[]} */
  const explanations = [];
  for (const choice of classes) {
    const { classIndex, sign } = chosenBy(choice);
    const given = result.heatmap;
    const reusable =
      given?.classIndex === classIndex &&
      given.sign === sign &&
      (!method || given.method === method) &&
      (!layers.length || layers.join() === given.layers.join());
    const heatmap = reusable
      ? given
      : await classifier.heatmap(result, { classIndex, sign, method: method ?? undefined, layer: layers, ...waiting });
    const overlay = heatmap.max > 0 ? await classifier.render(heatmap, { ...size, colormap, opacity: 1 }) : null;
    explanations.push({ heatmap, overlay });
  }
  return explanations;
}

/**
 * The layers to choose from: the last map of each size, the model's own in place of another of its size.
 * @param {import('../library/protocol.js').ModelInfo} info
 */
export function layersOf({ layers, candidates }) {
  const own = (/** @type {import('../library/protocol.js').Layer} */ layer) =>
    layers.find(({ width, height }) => width === layer.width && height === layer.height) ?? layer;
  const listed = candidates.map(own);
  return [...listed, ...layers.filter((layer) => !listed.includes(layer) && own(layer) === layer)];
}

/**
 * The colour map from no evidence to the most, one pixel high.
 * @param {Classifier} classifier
 * @param {Heatmap} like
 * @param {string} colormap
 */
export function legend(classifier, like, colormap) {
  const image = { width: 256, height: 1 };
  const values = Float32Array.from({ length: 256 }, (_, at) => at / 255);
  const ramp = { ...like, ...image, values, max: 1, region: { x: 0, y: 0, ...image }, part: undefined, image };
  return classifier.render(ramp, { ...image, colormap, opacity: 1 });
}
