// the shown photo → a brush on it, which is fetched with its first use, until something else is shown
import { later } from './later.js';

const scripts = later(
  /** @returns {Promise<[typeof import('./trial.js'), typeof import('./views/trial.js')]>} */ (again) =>
    Promise.all([import(`./trial.js${again}`), import(`./views/trial.js${again}`)]),
);

/**
 * @param {object} page
 * @param {Readonly<import('./state.js').State>} page.state
 * @param {(news?: Partial<import('./state.js').State>) => void} page.change
 * @param {ReturnType<typeof import('./session.js').openSession>} page.session
 * @param {(error: unknown, about: string | null, again: () => void) => void} page.said says what went wrong, until the
 *   reader tries again
 * @param {() => void} page.dismiss
 * @param {() => {words: import('./words/en.js').Words, numbers: import('./numbers.js').Numbers}} page.language of now
 * @returns {(trying: boolean) => Promise<void>}
 */
export function trier({ state, change, session, said, dismiss, language }) {
  /** The trial that was asked for last. */
  let opening = {};

  return async function tryOut(trying) {
    change({ trying, ...(trying && { choosing: false }) });
    const { shown: photo } = state;
    const { info } = session;
    if (!trying || !photo || !info) return;
    const own = (opening = {});
    const isWanted = () => own === opening && state.trying;
    try {
      const [{ openTrial }, { trialView }] = await scripts();
      const trial = await openTrial({
        photo,
        info,
        session,
        ...language(),
        view: trialView,
        onChange: change,
        onTrouble: (error, again) => said(error, photo.name, again),
        onWell: dismiss,
      });
      if (!isWanted() || photo !== state.shown) return trial.close();
      change({ trial });
    } catch (error) {
      if (!isWanted()) return;
      change({ trying: false });
      said(error, photo.name, () => void tryOut(true));
    }
  };
}
