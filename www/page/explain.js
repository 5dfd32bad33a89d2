// classes of a photo → heatmaps and their pictures
/** @typedef {import('../whylens.js').Classifier} Classifier */
/** @typedef {import('../library/protocol.js').Heatmap} Heatmap */
/** @typedef {import('../library/protocol.js').Result} Result */
/**
 * @typedef {object} Explanation
 * @property {Heatmap} heatmap
 * @property {ImageData | null} overlay none: there is no evidence
 * @property {Contrast} [contrast] that was asked for
 */
/**
 * Whether a class is set against the other chosen one, in one heatmap, or against those most like it.
 * @typedef {'other' | 'alike' | null} Contrast
 */
/**
 * @typedef {object} Choice
 * @property {number[]} classes one or two
 * @property {Heatmap['sign']} sign
 * @property {Contrast} contrast `other` is for two classes, `alike` for one
 * @property {string | null} method
 * @property {string[]} layers
 */

/** Longest side of a drawn heatmap: it is smooth, so the browser may enlarge it. */
const LONGEST = 720;

/** @typedef {Pick<import('../library/protocol.js').ModelInfo, 'oneSided'> | null} Sided null: of no model yet */

/** Whether there are maps of what speaks against a class. @param {string} method @param {Sided} info */
export const hasSides = (method, info) => !info?.oneSided.includes(method);

/** Whether its maps of two classes differ. @param {string} method */
export const tellsClasses = (method) => method !== 'eigencam';

/**
 * The heatmaps that a choice means.
 * @param {Choice} choice
 * @param {Sided} info
 * @returns {(Pick<Heatmap, 'classIndex' | 'sign'> & {contrast: Contrast, against?: {classIndex: number} | 'alike'})[]}
 */
export function meant({ classes, sign, contrast, method }, info) {
  const [first, second] = classes;
  const side = method && !hasSides(method, info) ? 'for' : sign;
  const distinct = !method || tellsClasses(method);
  if (distinct && contrast === 'other' && first !== undefined && second !== undefined)
    return [{ classIndex: first, sign: side, contrast, against: { classIndex: second } }];
  if (distinct && contrast === 'alike' && first !== undefined && second === undefined)
    return [{ classIndex: first, sign: side, contrast, against: 'alike' }];
  return classes.map((classIndex) => ({ classIndex, sign: side, contrast: null }));
}

/**
 * @param {Classifier} classifier that gave `result`
 * @param {Result} result
 * @param {Choice & {colormap: string}} choice
 * @param {{signal: AbortSignal, onProgress: (progress: import('../library/protocol.js').Progress) => void}} waiting
 * @returns {Promise<Explanation[]>}
 */
export async function explain(classifier, result, choice, waiting) {
  const { method, layers, colormap } = choice;
  const scale = Math.min(1, LONGEST / Math.max(result.image.width, result.image.height));
  const size = {
    width: Math.max(1, Math.round(result.image.width * scale)),
    height: Math.max(1, Math.round(result.image.height * scale)),
  };
  /** @type {Explanation[]} */
  const explanations = [];
  for (const { classIndex, sign, contrast, against } of meant(choice, classifier.model)) {
    const given = result.heatmap;
    const reusable =
      given?.classIndex === classIndex &&
      given.sign === sign &&
      !against &&
      (!method || given.method === method) &&
      (!layers.length || layers.join() === given.layers.join());
    const heatmap = reusable
      ? given
      : await classifier.heatmap(result, {
          classIndex,
          sign,
          contrast: against,
          method: method ?? undefined,
          layer: layers,
          ...waiting,
        });
    const colours = heatmap.sign === 'both' ? undefined : colormap;
    const overlay =
      heatmap.max > 0 ? await classifier.render(heatmap, { ...size, colormap: colours, opacity: 1 }) : null;
    explanations.push({ heatmap, overlay, contrast });
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
 * The colour map from no evidence to the most, or from the most against to the most for, one pixel high.
 * @param {Pick<Classifier, 'render'>} classifier
 * @param {Heatmap} like
 * @param {string} colormap
 */
export function legend(classifier, like, colormap) {
  const image = { width: 256, height: 1 };
  const signed = like.sign === 'both';
  const values = Float32Array.from({ length: 256 }, (_, at) => (signed ? (2 * at) / 255 - 1 : at / 255));
  const ramp = { ...like, ...image, values, max: 1, region: { x: 0, y: 0, ...image }, part: undefined, image };
  return classifier.render(ramp, { ...image, colormap: signed ? undefined : colormap, opacity: 1 });
}
