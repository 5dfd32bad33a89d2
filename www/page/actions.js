// what the reader does with photos → changes to the state
import { atOnce } from '../library/ahead.js';
import { batch } from './batch.js';
import { meant } from './explain.js';
import { later } from './later.js';
import { SIDES, forget, live, photo as newPhoto, putAway } from './photos.js';

/** @typedef {import('./photos.js').Photo} Photo */
/** @typedef {import('./state.js').State} State */

/** @param {unknown} error */
const codeOf = (error) => String(/** @type {{code?: string} | null} */ (error)?.code);

/** Failures that come from the model and would be the same again. */
const NO_HEATMAP = ['unsupported-operator', 'unsupported-model', 'bad-option'];

const camera = later(/** @returns {Promise<typeof import('./camera.js')>} */ (again) => import(`./camera.js${again}`));

/** What is kept of the shown photo, of the others, and of the camera, whose picture is there already. */
const KEPT = {
  shown: { topK: 10, scores: true, view: SIDES.shown },
  others: { topK: 10, view: SIDES.tile },
  live: { topK: 10, scores: true },
};

/**
 * @param {object} page
 * @param {Readonly<State>} page.state
 * @param {(news?: Partial<State>) => void} page.change
 * @param {ReturnType<typeof import('./session.js').openSession>} page.session
 * @param {import('./settings.js').Settings} page.settings
 * @param {(error: unknown, about: string | null, retry: (() => void) | null) => void} page.trouble
 * @param {() => void} page.dismiss
 * @param {() => void} page.openModel
 * @param {(photo: Photo) => void} page.onResult a result is shown
 */
export function actions({ state, change, session, settings, trouble, dismiss, openModel, onResult }) {
  const { work, idle } = batch(
    () =>
      state.loading.phase === 'failed'
        ? undefined
        : ([state.shown, ...state.photos].find((photo) => photo?.file && photo.status === 'waiting') ?? undefined),
    (photo) => session.look(photo, photo === state.shown ? KEPT.shown : KEPT.others),
    (photo) => {
      if (photo.status === 'failed' && state.loading.phase === 'failed') photo.status = 'waiting';
      if (photo === state.shown && photo.status === 'done') show(photo);
      if (photo === state.shown && photo.status === 'failed') {
        tellFailure(photo);
        // A file that is not a picture is not shown as one.
        if (codeOf(photo.error) === 'image-format' && state.photos.length === 1) {
          forget(photo);
          change({ photos: [], shown: null });
        }
      }
      change();
    },
    atOnce(),
  );

  /** Retrying helps if the photo itself is sound. @param {Photo} photo */
  function tellFailure(photo) {
    trouble(photo.error, photo.name, codeOf(photo.error).startsWith('image-') ? null : () => again([photo]));
  }

  /** @param {File[]} files */
  function addFiles(files) {
    if (!files.length) return;
    const added = files.map(newPhoto);
    const alone = added.length === 1 && state.photos.length < 2;
    if (alone) state.photos.forEach(forget);
    change({ photos: alone ? added : [...state.photos, ...added] });
    show(added[0] ?? null);
    if (state.loading.phase === 'failed') openModel();
    else work();
  }

  /** @param {Photo | null} photo */
  function show(photo) {
    const { shown } = state;
    if (shown !== photo) shown?.camera?.stop();
    if (shown && shown !== photo) putAway(shown);
    if (shown !== photo) explaining.abort();
    if (shown !== photo || photo?.status === 'done') dismiss();
    const best = photo?.result && explainable() && !photo.result.noHeatmap ? photo.result.predictions[0] : null;
    // A photo that was classified anew, as another part of it, keeps the classes that the reader chose.
    const pinned = state.pinned && shown === photo && !!best;
    change({
      shown: photo,
      live: false,
      choosing: state.choosing && shown === photo,
      trying: state.trying && shown === photo,
      pinned,
      chosen: pinned ? state.chosen : best ? [best.index] : [],
      explanations: photo && photo === shown ? state.explanations : [],
    });
    if (photo?.status === 'failed') tellFailure(photo);
    if (!photo?.result) return;
    explained = explainChosen();
    onResult(photo);
  }

  /** @returns {boolean} */
  function explainable() {
    return (session.info?.methods.length ?? 0) > 0;
  }

  /** Resolves when no photo is worked on, and the last one is explained. */
  const settled = () => idle().then(() => explained);

  let explained = Promise.resolve();
  let explaining = new AbortController();
  /** Draws the heatmaps of the chosen classes; a newer call cancels an older one. @param {Partial<State>} [news] */
  async function explainChosen(news = {}) {
    change(news);
    explaining.abort();
    const { signal } = (explaining = new AbortController());
    const { shown, chosen: classes, method, layers, sign, contrast, pinned } = state;
    if (!shown?.result) return;
    const slow =
      shown.camera || !classes.length
        ? undefined
        : setTimeout(() => change({ explaining: { loaded: 0, total: 0 } }), 300);
    let [before, last] = [0, 0];
    const choice = { classes, method, layers, sign, contrast };
    const maps = meant(choice, session.info).length;
    // Two classes side by side are explained one after the other.
    const onProgress = (/** @type {import('../library/protocol.js').Progress} */ { loaded, total }) => {
      if (signal.aborted) return;
      if (loaded < last) before += total;
      last = loaded;
      change({ explaining: { loaded: before + loaded, total: total * maps } });
    };
    try {
      const found = await session.explain(
        shown,
        { ...choice, colormap: settings.colormap, kept: shown.camera ? KEPT.live : KEPT.shown },
        { signal, onProgress },
      );
      if (found) change(found);
    } catch (error) {
      if (signal.aborted) return;
      cancelExplaining();
      const { code, message } = /** @type {{code?: string, message?: string}} */ (error);
      // Nobody asked for this one: the result stands, and says why.
      if (!pinned && !method && !layers.length && sign === 'for' && !contrast && code && NO_HEATMAP.includes(code)) {
        shown.result.noHeatmap = { code, message: message ?? String(error) };
        return change({ chosen: [] });
      }
      trouble(error, shown.name, () => void explainChosen({ chosen: classes, method, layers, sign, contrast }));
    } finally {
      clearTimeout(slow);
      if (signal === explaining.signal && state.explaining) change({ explaining: null });
    }
  }

  /** What is shown stays as it was before the last choice. */
  function cancelExplaining() {
    explaining.abort();
    const [first, second] = state.explanations;
    const compared = first?.contrast === 'other' ? first.heatmap.contrast?.[0] : second?.heatmap;
    const before = first && {
      method: first.heatmap.method,
      layers: first.heatmap.layers,
      sign: first.heatmap.sign,
      contrast: first.contrast ?? null,
      chosen: [first.heatmap, ...(compared ? [compared] : [])].map(({ classIndex }) => classIndex),
    };
    change({ explaining: null, ...before });
  }

  /** @param {Photo[]} photos */
  function again(photos) {
    photos.forEach((photo) => {
      photo.abort.abort();
      Object.assign(photo, { status: 'waiting', error: null, again: null, abort: new AbortController() });
    });
    dismiss();
    change();
    if (state.loading.phase === 'failed') openModel();
    else work();
  }

  /**
   * Classifies a part of the shown photo, or all of it.
   * @param {import('../library/protocol.js').Region | null} region
   */
  function choosePart(region) {
    const { shown } = state;
    if (!shown?.file) return;
    explaining.abort();
    shown.region = region;
    change({ trying: false });
    again([shown]);
  }

  function cancelBatch() {
    for (const photo of state.photos) {
      if (photo.status === 'working') photo.abort.abort();
      if (photo.status === 'waiting') photo.status = 'cancelled';
    }
    change();
  }

  function clear() {
    state.photos.forEach(forget);
    change({ photos: [] });
    show(null);
  }

  /** @param {string} name */
  async function startCamera(name) {
    const { camera: wanted, flip } = settings;
    /** @type {Photo | null} */
    let photo = null;
    const isShown = () => photo !== null && photo === state.shown;
    const onChange = () => {
      if (isShown()) change();
    };
    const onEnd = (/** @type {unknown} */ error) => {
      if (isShown()) trouble(error, name, () => void startCamera(name));
    };
    try {
      const { openCamera } = await camera();
      photo = live(await openCamera({ wanted, flip, onChange, onEnd }), name);
      show(photo);
      await photo.camera?.play();
      await watch(photo);
    } catch (error) {
      trouble(error, null, null);
    }
  }

  /** Only the newest call goes on. */
  let watching = {};

  /** Classifies the camera's newest frame for as long as it is live. @param {Photo} photo */
  async function watch(photo) {
    const own = (watching = {});
    const wanted = () => own === watching && photo === state.shown && state.live;
    change({ live: true });
    try {
      while (wanted()) {
        if (!(await photo.camera?.next()) || !wanted()) return;
        const result = await session.look(photo, KEPT.live);
        photo.result = result;
        const best = explainable() ? result.predictions[0] : null;
        if (photo === state.shown) await explainChosen(best && !state.pinned ? { chosen: [best.index] } : {});
      }
    } catch (error) {
      if (wanted()) trouble(error, photo.name, () => void watch(photo));
    }
  }

  /** @param {string} name */
  async function takePhoto(name) {
    const camera = state.shown?.camera;
    if (!camera) return;
    try {
      addFiles([await camera.photo(name)]);
    } catch (error) {
      trouble(error, name, null);
    }
  }

  /** For another model: the results of the last one no longer count. */
  function forgetResults() {
    explaining.abort();
    state.photos.forEach((photo) =>
      Object.assign(photo, {
        status: 'waiting',
        result: null,
        error: null,
        again: null,
        checks: [],
        abort: new AbortController(),
      }),
    );
    if (state.shown?.camera) state.shown.result = null;
    change({
      chosen: [],
      explanations: [],
      legend: null,
      method: null,
      layers: [],
      explaining: null,
      pinned: false,
      trying: false,
    });
  }

  return {
    work,
    settled,
    addFiles,
    show,
    explainChosen,
    cancelExplaining,
    again,
    choosePart,
    cancelBatch,
    clear,
    startCamera,
    watch,
    takePhoto,
    forgetResults,
  };
}
