// what is shown → files that the reader keeps; what makes them is fetched with its first use
import { copyPicture } from './clipboard.js';
import { called } from './describe.js';
import { later } from './later.js';
import { site } from './site.js';
import { current } from './viewdata.js';

/** @typedef {import('./photos.js').Photo} Photo */

const files = later(
  /** @returns {Promise<typeof import('./download.js')>} */ (again) => import(`./download.js${again}`),
);
const drawing = later(
  /** @returns {Promise<typeof import('./picture.js')>} */ (again) => import(`./picture.js${again}`),
);
const reports = later(/** @returns {Promise<typeof import('./report.js')>} */ (again) => import(`./report.js${again}`));

/**
 * @param {object} page
 * @param {Readonly<import('./state.js').State>} page.state
 * @param {(news: Partial<import('./state.js').State>) => void} page.change
 * @param {ReturnType<typeof import('./session.js').openSession>} page.session
 * @param {import('./settings.js').Settings} page.settings
 * @param {(error: unknown, about: string | null, retry: (() => void) | null) => void} page.trouble
 * @param {() => {words: import('./words/en.js').Words, numbers: import('./numbers.js').Numbers}} page.language of now
 */
export function savers({ state, change, session, settings, trouble, language }) {
  let reporting = new AbortController();

  /** @param {(saved: typeof import('./download.js')) => Promise<void> | void} act */
  async function save(act) {
    try {
      await act(await files());
    } catch (error) {
      trouble(error, null, null);
    }
  }

  async function picture() {
    const { shown: photo } = state;
    const { info } = session;
    if (!photo || !info) throw new Error('there is nothing to draw');
    const shown = { explanations: current(state), legend: state.legend, opacity: settings.opacity };
    const { words, numbers } = language();
    const { pictureOf } = await drawing();
    return pictureOf(photo, shown, info, words, numbers);
  }

  /** What a report is made with. */
  function making() {
    if (!session.info) throw new Error('there is nothing to report');
    return { model: session.info, render: session.render, style: settings, words: language().words };
  }

  /** One file of many photos, until it is cancelled. @param {Photo[]} listed */
  async function reportAll(listed) {
    reporting.abort();
    const { signal } = (reporting = new AbortController());
    const photos = listed.filter(({ result, status }) => result || status === 'failed');
    const onProgress = (/** @type {number} */ loaded) => {
      if (!signal.aborted) change({ reporting: { loaded, total: photos.length } });
    };
    onProgress(0);
    try {
      const by = making();
      const [{ download }, { reportOfMany }] = await Promise.all([files(), reports()]);
      const made = await reportOfMany(by, photos, session.lookApart, { signal, onProgress });
      if (!signal.aborted) download(made, `${site.file}-report.html`);
    } catch (error) {
      if (!signal.aborted) trouble(error, null, () => void reportAll(listed));
    }
    if (signal === reporting.signal) change({ reporting: null });
  }

  /** @param {(photo: Photo) => Promise<void>} act */
  function withShown(act) {
    return () => {
      const { shown } = state;
      if (shown?.result) void act(shown).catch((error) => trouble(error, state.shown?.name ?? null, null));
    };
  }

  return {
    save,
    reportAll,
    cancelReport: () => reporting.abort(),

    /** What the buttons beside a result do. @type {import('./views/actions.js').Actions} */
    shown: {
      onPicture: withShown(async (photo) => {
        const [{ download, named }, drawn] = await Promise.all([files(), picture()]);
        download(drawn, named(photo, `${site.file}.png`));
      }),
      onCopy: () => copyPicture(picture()),
      onReport: withShown(async (photo) => {
        const [shown, by] = [current(state), making()];
        const [{ download, named }, { reportOfShown }] = await Promise.all([files(), reports()]);
        download(await reportOfShown(by, photo, shown), named(photo, `${site.file}-report.html`));
      }),
      onResult: withShown(async (photo) => {
        const { download, json, named, record } = await files();
        const heatmaps = current(state).map(({ heatmap }) => heatmap);
        download(json(record(photo, heatmaps)), named(photo, `${site.file}.json`));
      }),
      onMap: withShown(async (photo) => {
        const { download, named, npy } = await files();
        const { words } = language();
        for (const { heatmap } of current(state)) {
          const name = called(heatmap, session.info, words).replace(/[^\p{L}\p{N}]+/gu, '-');
          download(npy(heatmap), named(photo, `${name}.npy`));
        }
      }),
    },
  };
}
