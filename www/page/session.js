// model + photos → results and explanations
import { load } from '../whylens.js';
import { until } from '../library/errors.js';
import { explain, legend } from './explain.js';
import { develop } from './photos.js';

/** @typedef {import('../whylens.js').Classifier} Classifier */
/** @typedef {import('../library/protocol.js').Result} Result */
/** @typedef {import('./photos.js').Photo} Photo */
/** @typedef {import('./settings.js').Settings} Settings */
/**
 * @typedef {object} Loading
 * @property {'idle' | 'start' | 'download' | 'prepare' | 'ready' | 'failed'} phase
 * @property {number} loaded bytes
 * @property {number} total bytes, 0 where not known
 * @property {number} since when it began, performance.now()
 * @property {unknown} [error]
 */

/** @type {Loading} */
export const idle = { phase: 'idle', loaded: 0, total: 0, since: 0 };

/**
 * What is kept of a result: the first classes, the scores of all, and the longest side of a picture of what was
 * classified.
 * @typedef {{topK: number, scores?: boolean, view?: number}} Kept
 */

/** @param {(loading: Loading) => void} onLoading */
export function openSession(onLoading) {
  let loading = idle;
  let abort = new AbortController();
  /** @type {Promise<Classifier>} */
  let opening = Promise.reject(new Error('no model is chosen'));
  opening.catch(() => {});
  /** @type {Classifier | null} */
  let classifier = null;

  /** @param {Partial<Loading>} news */
  const tell = (news) => onLoading((loading = { ...loading, ...news }));
  /** @param {import('../library/protocol.js').Progress} progress */
  const tellProgress = ({ phase, loaded, total }) =>
    (phase === 'download' || phase === 'prepare') && tell({ phase, loaded, total });

  /** Loads the model where it is not loaded yet, with progress. @param {Classifier} made */
  async function ready(made) {
    if (loading.phase === 'ready') return made;
    const { signal } = abort;
    try {
      await made.load({
        signal,
        onProgress: (progress) => signal.aborted || made !== classifier || tellProgress(progress),
      });
    } catch (error) {
      if (made === classifier) tell({ phase: 'failed', error });
      throw error;
    }
    if (made === classifier) tell({ phase: 'ready' });
    return made;
  }

  return {
    /** @returns {import('../library/protocol.js').ModelInfo | null} */
    get info() {
      return classifier?.model ?? null;
    },

    /**
     * Opens a model, loads it where the policy says so, and lets go of the one before.
     * @param {string} url
     * @param {Settings} settings
     */
    async open(url, { preload, heatmap, memoryLimit, build }) {
      abort.abort();
      abort = new AbortController();
      const { signal } = abort;
      const before = classifier;
      classifier = null;
      tell({ ...idle, phase: 'start', since: performance.now(), error: undefined });
      await before?.dispose();
      opening = load(url, {
        preload: preload ?? undefined,
        heatmap: heatmap ?? undefined,
        memoryLimit: memoryLimit ?? undefined,
        build: build ?? undefined,
        signal,
        // A blob's address is a new one at every visit.
        cache: !url.startsWith('blob:'),
        onProgress: (progress) => signal.aborted || tellProgress(progress),
      });
      opening.catch(() => {});
      try {
        const made = await opening;
        if (signal.aborted) return;
        classifier = made;
        tell({ phase: made.model ? 'ready' : 'idle' });
        const { until } = made.policy;
        const shown = () => made === classifier && made.decide().eager && void this.start();
        if (until) document.addEventListener(until, shown, { once: true, signal });
      } catch (error) {
        if (signal === abort.signal) tell({ phase: 'failed', error });
      }
    },

    /** Loads a model that was opened but waits for its first use. */
    async start() {
      tell({ phase: 'start', since: performance.now() });
      await ready(await opening).catch(() => {});
    },

    cancel: () => abort.abort(),

    /** @param {boolean} verbose */
    health: async (verbose) => (await opening).health({ verbose }),

    /**
     * A photo that the browser cannot show, in the size of a tile.
     * @param {Blob} file
     * @param {number} longest pixels of its longer side
     */
    decode: async (file, longest) => (await opening).decode(file, { longest }),

    /**
     * A picture that is none of the photos.
     * @param {ImageBitmap} picture
     * @param {import('../library/protocol.js').ClassifyOptions} options
     */
    classify: async (picture, options) => (await opening).classify(picture, options),

    /** @param {Photo} photo @param {Kept} kept @returns {Promise<Result>} */
    look,

    ask,

    /**
     * A result of its own, with its picture, which the caller closes.
     * @param {Photo} photo
     * @param {Kept} kept
     * @param {AbortSignal} signal
     * @returns {Promise<Result>}
     */
    lookApart,

    /** @type {Classifier['render']} */
    render: async (heatmap, options) => (await opening).render(heatmap, options),

    /**
     * Heatmaps of the chosen classes and the legend; null when nobody wants them any more.
     * @param {Photo} photo
     * @param {Parameters<typeof explain>[2] & {kept: Kept}} choice
     * @param {Parameters<typeof explain>[3]} waiting its signal: nobody wants them any more
     */
    async explain(photo, choice, waiting) {
      const made = classifier;
      if (!made || !photo.result) return null;
      if (choice.kept.view && !photo.view) await lookAgain(photo, choice.kept);
      const explanations = await ask(photo, choice.kept, (by, result) => explain(by, result, choice, waiting));
      if (!explanations) return null;
      const ramp = explanations[0] && (await legend(made, explanations[0].heatmap, choice.colormap));
      return waiting.signal.aborted ? null : { explanations, legend: ramp ?? null };
    },
  };

  /**
   * Asks the model about a photo, which is classified once more where many others were since; null: there is nothing
   * to ask about.
   * @template T
   * @param {Photo} photo
   * @param {Kept} kept
   * @param {(classifier: Classifier, result: Result) => Promise<T>} act
   * @returns {Promise<T | null>}
   */
  async function ask(photo, kept, act) {
    const made = classifier;
    if (!made || !photo.result) return null;
    return act(made, photo.result).catch(async (error) => {
      if (error.code !== 'disposed' || made !== classifier) throw error;
      return act(made, await lookAgain(photo, kept));
    });
  }

  /** Once for all who ask meanwhile. @param {Photo} photo @param {Kept} kept */
  async function lookAgain(photo, kept) {
    const { region } = photo;
    photo.again ??= look(photo, kept).finally(() => (photo.again = null));
    const result = await photo.again;
    if (photo.region === region) photo.result = result;
    return result;
  }

  /** @param {Photo} photo @param {Kept} kept @returns {Promise<Result>} */
  async function look(photo, kept) {
    const { view, ...result } = await lookApart(photo, kept, photo.abort.signal);
    if (view && kept.view) await develop(photo, view, kept.view);
    return result;
  }

  /** @param {Photo} photo @param {Kept} kept @param {AbortSignal} signal @returns {Promise<Result>} */
  async function lookApart({ file, camera, region }, { topK, scores, view }, signal) {
    const made = await until(opening.then(ready), signal);
    const frame = camera ? await camera.frame() : file;
    if (!frame) throw new Error('the photo is gone');
    // One that takes many runs of the network is made of the shown photo only.
    const heatmap = made.model?.costs[made.model.methods[0] ?? ''] === 0;
    const result = await made.classify(frame, {
      topK,
      scores,
      view,
      threshold: 0,
      region: region ?? undefined,
      heatmap,
      signal,
    });
    if (frame instanceof ImageBitmap) frame.close();
    return result;
  }
}
