// everything that the page knows, in its first state
import { idle } from './session.js';

/** @typedef {import('./photos.js').Photo} Photo */
/** @typedef {ReturnType<typeof blank>} State */

/** For several classes a photo, where the model states none. */
export const USUAL_THRESHOLD = 0.5;

/** @param {string} model */
export const blank = (model) => ({
  /** Address of the model in use. */
  model,
  loading: idle,
  /** @type {string[]} */
  facts: [],
  /** @type {Photo[]} */
  photos: [],
  /** One of the photos, or the camera. @type {Photo | null} */
  shown: null,
  /** What is explained, one or two side by side: class indices. @type {number[]} */
  chosen: [],
  /** Whether the reader chose the class, so that the camera's next frame keeps it. */
  pinned: false,
  /** @type {import('./explain.js').Explanation[]} */
  explanations: [],
  /** @type {ImageData | null} */
  legend: null,
  /** What speaks for the class, against it, or both. @type {import('../library/protocol.js').Heatmap['sign']} */
  sign: 'for',
  /** What the first chosen class is set against in one heatmap, if anything. @type {import('./explain.js').Contrast} */
  contrast: null,
  /** @type {string | null} */
  method: null,
  /** ONNX tensors explained, averaged where there are several; empty: the model's own. @type {string[]} */
  layers: [],
  /**
   * The reader's own model, whether in use or not.
   * @type {{url: string, name: string, model: import('./ownmodel.js').OwnModel, forget: () => void} | null}
   */
  own: null,
  /** The reader's model that is being added. @type {import('./adding.js').Adding | null} */
  adding: null,
  /**
   * What arrived unasked and waits for the reader to decide, oldest first.
   * @type {import('./views/offer.js').Offer[]}
   */
  offers: [],
  /** What is being fetched or unpacked. @type {string | null} */
  arriving: null,
  /** Whether the reader's own model is kept for the next visit. */
  kept: false,
  /**
   * An explanation that takes long enough to show progress, with its steps if it has any.
   * @type {{loaded: number, total: number} | null}
   */
  explaining: null,
  /** A report of many photos that is being made. @type {{loaded: number, total: number} | null} */
  reporting: null,
  /** The check of what is shown, while it runs. @type {{loaded: number, total: number} | null} */
  check: null,
  /** Whether the heatmaps of all photos are being checked. */
  checkingAll: false,
  threshold: USUAL_THRESHOLD,
  /** Whether the reader chooses the part of the shown photo that is classified. */
  choosing: false,
  /** Whether the reader brushes the shown photo, and their trial once it is there. */
  trying: false,
  /** @type {import('./trial.js').Trial | null} */
  trial: null,
  bare: false,
  /** Whether the camera's frames are classified. */
  live: false,
  /** @type {{error: unknown, about: string | null, retry: (() => void) | null}} */
  trouble: { error: null, about: null, retry: null },
  /** @type {unknown} */
  report: null,
});
