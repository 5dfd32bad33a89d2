// shown heatmaps, or those of all photos → whether they hold, on the state
import { ORDERS, checkOf, isCheckable, keepCheck } from './checked.js';
import { current } from './viewdata.js';

/** @typedef {import('./photos.js').Photo} Photo */
/** @typedef {import('./state.js').State} State */
/** @typedef {import('../library/protocol.js').Heatmap} Heatmap */
/** @typedef {ReturnType<typeof checking>} Checking */

/** What is kept of a photo that has to be classified once more to be checked. */
const KEPT = { topK: 10, scores: true };

/**
 * @param {object} page
 * @param {Readonly<State>} page.state
 * @param {(news?: Partial<State>) => void} page.change
 * @param {Pick<ReturnType<typeof import('./session.js').openSession>, 'ask'>} page.session
 * @param {() => Promise<void>} page.settled resolves when no photo waits, and the shown one is explained
 * @param {(error: unknown, about: string | null, retry: (() => void) | null) => void} page.trouble
 */
export function checking({ state, change, session, settled, trouble }) {
  /** Of the shown maps. @type {AbortController | null} */
  let running = null;
  /** Of the photo of a batch that is checked now. @type {AbortController | null} */
  let turn = null;
  let wanted = false;
  /** Photos whose maps cannot be checked, or could not be the last time. @type {Set<Photo>} */
  let passed = new Set();
  let asked = askedFor(state);

  /**
   * What is found out about a map: whether it is better than chance, then also whether it stands small changes of the
   * photo.
   * @param {Photo} photo
   * @param {Heatmap} heatmap
   * @param {number} orders
   * @param {{signal: AbortSignal, onProgress?: (progress: {loaded: number, total: number}) => void}} waiting
   * @returns {AsyncGenerator<import('./checked.js').Check, void>}
   */
  async function* check(photo, heatmap, orders, waiting) {
    const { signal } = waiting;
    const checked = await session.ask(photo, KEPT, (classifier, result) =>
      classifier.check(result, heatmap, { orders, ...waiting }),
    );
    if (!checked || signal.aborted) return;
    yield { heatmap, orders, checked };
    const stability = await session
      .ask(photo, KEPT, (classifier, result) => classifier.stability(result, heatmap, { signal }))
      .catch((error) => {
        // Methods that take many runs are not tested.
        if (error.code !== 'bad-option') throw error;
        return null;
      });
    if (stability && !signal.aborted) yield { heatmap, orders, checked, stability };
  }

  /** Checks what is shown; a newer call ends an older one. */
  async function start() {
    const { shown } = state;
    if (!shown?.result) return;
    const maps = current(state)
      .map(({ heatmap }) => heatmap)
      .filter(isCheckable);
    const orders = maps.every((map) => checkOf(shown, map)) ? ORDERS.thorough : ORDERS.quick;
    const left = maps.filter((map) => (checkOf(shown, map)?.orders ?? 0) < orders);
    running?.abort();
    const { signal } = (running = new AbortController());
    asked = askedFor(state);
    try {
      for (const [at, heatmap] of left.entries()) {
        change({ check: { loaded: at, total: left.length } });
        const onProgress = (/** @type {{loaded: number, total: number}} */ { loaded, total }) => {
          if (!signal.aborted) change({ check: { loaded: at * total + loaded, total: left.length * total } });
        };
        for await (const found of check(shown, heatmap, orders, { signal, onProgress })) {
          keepCheck(shown, found);
          change();
        }
      }
    } catch (error) {
      // Another model ends what was asked of this one before anybody follows.
      if (!signal.aborted && asked === askedFor(state)) trouble(error, shown.name, () => void start());
    }
    if (signal === running?.signal) cancel();
  }

  function cancel() {
    running?.abort();
    running = null;
    change({ check: null });
  }

  /** The next photo of the batch that was not checked. */
  const next = () =>
    state.photos.find((photo) => photo.result && !passed.has(photo) && !checkOf(photo, photo.result.heatmap));

  /** Checks the usual map of each photo, and goes on after an interruption. */
  async function all() {
    if (wanted) return;
    wanted = true;
    passed = new Set();
    change({ checkingAll: true });
    for (let photo; wanted && (await settled(), (photo = next())); change()) {
      const { signal } = (turn = new AbortController());
      asked = askedFor(state);
      try {
        const heatmap = await usual(photo, signal);
        if (heatmap && isCheckable(heatmap)) {
          let found = null;
          // Kept once all is known, so that whatever was interrupted is done again.
          for await (found of check(photo, heatmap, ORDERS.quick, { signal }));
          if (found && !signal.aborted) keepCheck(photo, found);
          // One that was classified once more comes without a slow map.
          if (photo.result) photo.result.heatmap ??= heatmap;
        } else passed.add(photo);
      } catch (error) {
        if (!signal.aborted && asked === askedFor(state)) {
          passed.add(photo);
          trouble(error, photo.name, () => void all());
        }
      }
    }
    wanted = false;
    change({ checkingAll: false });
  }

  function cancelAll() {
    wanted = false;
    turn?.abort();
  }

  /** The map that a result comes with, or would. @param {Photo} photo @param {AbortSignal} signal */
  async function usual(photo, signal) {
    const { result } = photo;
    if (!result || result.heatmap || result.noHeatmap) return result?.heatmap;
    const heatmap = await session.ask(photo, KEPT, (classifier, again) => classifier.heatmap(again, { signal }));
    if (heatmap && photo.result) photo.result.heatmap = heatmap;
    return heatmap;
  }

  /** Gives way to what the reader asks for meanwhile. */
  function follow() {
    const now = askedFor(state);
    const another = now !== asked;
    asked = now;
    if (another) turn?.abort();
    if (another && running) cancel();
  }

  return { start, cancel, all, cancelAll, follow };
}

/** What the reader looks at and waits for, as text. @param {Readonly<State>} state */
function askedFor({ shown, model, chosen, method, layers, sign, contrast, photos }) {
  const waiting = photos.some(({ status }) => status === 'waiting' || status === 'working');
  return JSON.stringify([shown?.id, shown?.region, model, chosen, method, layers, sign, contrast, waiting]);
}
