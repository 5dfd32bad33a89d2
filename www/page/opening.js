// models that the reader or a link chooses → the model in use; those of the reader's own are added and kept
import { isExported } from '../library/packing.js';
import { scriptAttribute } from '../library/policy.js';
import { OWN_MODEL } from './kept.js';
import { later } from './later.js';
import { MODELS } from './models.js';
import { PageError } from './trouble.js';

/** @typedef {import('./state.js').State} State */
/** @typedef {import('./adding.js').Adding} Adding */

/** Whether the site was made with `whylens dist --closed`. */
export const isClosed = () => scriptAttribute('data-closed') !== null;

/**
 * An address on another site: a link must not decide whose model the reader trusts.
 * @param {string | null} address
 */
export function foreign(address) {
  try {
    const url = new URL(address ?? '', document.baseURI);
    return url.origin === location.origin ? null : url;
  } catch {
    return null;
  }
}

/**
 * @param {object} page
 * @param {Readonly<State>} page.state
 * @param {(news: Partial<State>) => void} page.change
 * @param {ReturnType<typeof import('./session.js').openSession>} page.session
 * @param {import('./settings.js').Settings} page.settings
 * @param {(error: unknown, about: string | null, retry: (() => void) | null) => void} page.trouble
 * @param {(error: unknown, about: string | null, again: () => void) => void} page.said says what went wrong, until the
 *   reader tries again
 * @param {() => void} page.dismiss
 * @param {() => Promise<ArrayBuffer[]>} page.photos that the answers about a model of the reader's own are tried with
 * @param {() => Promise<unknown>} page.dialog fetches the form for such a model
 * @param {() => void} page.forgetResults of the model before
 * @param {() => void} page.work on what waits, once a model is there
 */
export function modelActions({
  state,
  change,
  session,
  settings,
  trouble,
  said,
  dismiss,
  photos,
  dialog,
  forgetResults,
  work,
}) {
  /** Bytes that a model may take, because the reader said so of one that needs them. @type {number | null} */
  let allowed = null;
  const memoryLimit = () => allowed ?? settings.memoryLimit;

  function open() {
    dismiss();
    return session.open(state.model, { ...settings, memoryLimit: memoryLimit() }).then(work);
  }

  /** @param {string} model */
  function use(model) {
    forgetResults();
    change({ model });
    return open();
  }

  /**
   * Trying again is, of a model that needs more memory than it may take, to use it anyway.
   * @param {unknown} error
   * @param {() => void} again
   */
  function anyway(error, again) {
    const { limit } = /** @type {{limit?: number}} */ (error ?? {});
    return () => {
      // What it needs is known better once its file is there.
      if (limit) allowed = Math.max(allowed ?? 0, limit * 1.25);
      again();
    };
  }

  const keeping = later(
    /** @returns {Promise<typeof import('./ownkept.js')>} */ (again) => import(`./ownkept.js${again}`),
  );

  /** @param {import('./ownmodel.js').OwnModel} model */
  async function own(model) {
    const { addressOf } = await keeping();
    return { ...addressOf(model), name: model.manifest.name, model };
  }

  const adding = later(async (again) => {
    /** @type {typeof import('./adding.js')} */
    const { addition } = await import(`./adding.js${again}`);
    const added = addition({
      onChange: (adding) => {
        change({ adding });
        if (adding)
          void dialog().catch((error) => {
            added.close();
            trouble(error, adding.parts.name, null);
          });
      },
      memoryLimit: () => memoryLimit() ?? undefined,
      photos,
      onTrouble: (error, about, again) => trouble(error, about, again && anyway(error, again)),
      async onModel(model, keeping) {
        const before = state.own;
        change({ own: await own(model), kept: state.kept || keeping });
        await use(state.own?.url ?? '');
        before?.forget();
      },
      onKept: () => change({ kept: true }),
    });
    return added;
  });

  /** @param {string} about @param {(added: Awaited<ReturnType<typeof adding>>) => void} act */
  function add(about, act) {
    void adding().then(act, (error) => said(error, about, () => add(about, act)));
  }

  async function forgetKept() {
    await caches.delete(OWN_MODEL);
    change({ kept: false });
  }

  return {
    open,
    anyway,
    adding,
    forgetKept,

    /** The usual limit holds again. */
    forgetLimit: () => {
      allowed = null;
    },

    /** A model folder is used as it is, and any other model is packed first. @param {string} address */
    useAddress(address) {
      if (isClosed() && foreign(address)) trouble(new PageError('closed-site', address), null, null);
      else if (isExported(address)) add(address, (added) => void added.download(address));
      else void use(address);
    },

    /** @param {File[]} files a model and what came with it */
    addFiles: (files) => add(files[0]?.name ?? '', (added) => void added.start(files)),

    /** The model that was kept at an earlier visit. */
    async findKept() {
      if (!(await globalThis.caches?.has(OWN_MODEL))) return;
      const model = await (await keeping()).kept();
      if (model) change({ own: await own(model), kept: true });
    },

    /** The files of the folder of the model that was added, by name. */
    async folder() {
      const { own: model } = state.adding ?? {};
      return model ? (await keeping()).folder(model) : [];
    },

    /**
     * Weights that were kept on this device and are damaged are no use on any later visit.
     * @param {unknown} error
     */
    dropDamaged(error) {
      const { code } = /** @type {{code?: string}} */ (error ?? {});
      const { own } = state;
      if (!state.kept || own?.url !== state.model || !['integrity', 'truncated', 'not-a-model'].includes(code ?? ''))
        return false;
      void forgetKept();
      own.forget();
      change({ own: null, kept: false, model: MODELS[0] ?? '' });
      trouble(new PageError('kept-damaged', error), own.name, null);
      return true;
    },
  };
}
