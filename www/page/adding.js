// files of the reader, or an address → their model in use: downloaded, looked into, described in a form, checked and packed
import { persist } from '../library/persistence.js';
import { fetchModel, inspectModel, packModel, previewModel } from '../whylens.js';
import { describe, describeReading, isTensorFlow, labelFiles, labelled, likely, partsOf, saysAll } from './ownmodel.js';
import { keep } from './ownkept.js';
import { trials } from './preview.js';
import { pathOf, placed } from './folders.js';
import { PageError } from './trouble.js';

/** @typedef {import('./ownmodel.js').Answers} Answers */
/** @typedef {import('./ownmodel.js').OwnModel} OwnModel */
/**
 * A model that is being added.
 * @typedef {object} Adding
 * @property {'fetching' | 'reading' | 'form' | 'checking' | 'report'} stage
 * @property {import('./ownmodel.js').Parts} parts
 * @property {import('../library/protocol.js').Inspection | null} seen
 * @property {Answers | null} likely the answers that the form shows first
 * @property {{loaded: number, total: number} | null} steps of packing, or bytes of a download
 * @property {unknown} failure of the last check
 * @property {import('./preview.js').Trial | null} trial what the model would say, while the form is open
 * @property {OwnModel | null} own
 * @property {boolean} kept on this device, for the next visit
 * @property {boolean | null} persisted whether the browser promises not to remove it; null: it was not asked, or does not
 *   say
 */

/**
 * @param {object} page
 * @param {(adding: Adding | null) => void} page.onChange
 * @param {() => number | undefined} page.memoryLimit
 * @param {(error: unknown, about: string | null, again: (() => void) | null) => void} page.onTrouble `again` where
 *   more memory helps, or a new download
 * @param {() => Promise<ArrayBuffer[]>} page.photos that the answers are tried with
 * @param {(own: OwnModel, keeping: boolean) => Promise<void>} page.onModel it is ready to be used
 * @param {() => void} page.onKept it is kept for the next visit
 */
export function addition({ onChange, memoryLimit, photos, onTrouble, onModel, onKept }) {
  let abort = new AbortController();
  /** @type {Adding | null} */
  let now = null;
  /** While the form is open. @type {ReturnType<typeof trials> | null} */
  let preview = null;

  /** @param {Partial<Adding>} news */
  const tell = (news) => {
    if (news.stage && news.stage !== 'form') endPreview();
    if (now) onChange((now = { ...now, ...news }));
  };

  function endPreview() {
    preview?.close();
    preview = null;
    if (now) now.trial = null;
  }

  function close() {
    abort.abort();
    endPreview();
    onChange((now = null));
  }

  /** @param {Adding['parts']} parts */
  function begin(parts, stage = /** @type {Adding['stage']} */ ('reading')) {
    now = {
      stage,
      parts,
      seen: null,
      likely: null,
      steps: null,
      failure: null,
      trial: null,
      own: null,
      kept: false,
      persisted: null,
    };
    onChange(now);
  }

  /** @param {string} address of a model as it was exported, or its name on the Hub */
  async function download(address) {
    abort.abort();
    abort = new AbortController();
    const { signal } = abort;
    try {
      begin({ name: address, model: {}, bytes: 0, manifest: null, labels: [] }, 'fetching');
      const found = await fetchModel(address, {
        memoryLimit: memoryLimit(),
        signal,
        onProgress: ({ loaded, total }) => signal.aborted || tell({ steps: { loaded, total } }),
      });
      if (signal.aborted) return;
      if (found instanceof File) return await start([found], address);
      const files = Object.entries(found).map(([path, blob]) => placed(blob, path));
      await start(files, address);
    } catch (error) {
      if (signal.aborted) return;
      close();
      onTrouble(error, address, () => void download(address));
    }
  }

  /**
   * @param {File[]} files an ONNX file and what came with it, or a zip of these
   * @param {string} [source] the address that they come from
   */
  async function start(files, source) {
    abort.abort();
    abort = new AbortController();
    endPreview();
    const { signal } = abort;
    const parts = partsOf(files);
    if (parts && source) {
      const [folder, below] = pathOf(/** @type {File} */ (files[0])).split('/');
      Object.assign(parts, { source, name: below === undefined ? parts.name : folder });
    }
    try {
      if (!parts) throw new PageError('no-classifier', 'there is no .onnx file and no zip among these');
      begin(parts);
      if (parts.manifest && !(await isTensorFlow(parts.manifest))) {
        await given(parts, parts.manifest, signal);
        return close();
      }
      const seen = await inspectModel(parts.model, { memoryLimit: memoryLimit(), signal });
      const answers = likely(parts, seen);
      if (signal.aborted) return;
      const asks = !saysAll(seen);
      tell({ stage: asks ? 'form' : 'checking', seen, likely: answers });
      if (!asks) await answer(answers, false);
    } catch (error) {
      if (signal.aborted) return;
      close();
      const { limit } = /** @type {{limit?: number}} */ (error ?? {});
      onTrouble(error, parts?.name ?? null, limit ? () => void start(files, source) : null);
    }
  }

  /**
   * A model whose `model.json` came with it.
   * @param {import('./ownmodel.js').Parts} parts
   * @param {File} file
   * @param {AbortSignal} signal
   */
  async function given(parts, file, signal) {
    const description = await file
      .text()
      .then(JSON.parse)
      .catch((cause) => {
        throw new PageError('bad-model-json', cause);
      });
    const labels = labelFiles(description ?? {}, parts.labels);
    const [first] = Object.values(labels);
    if (!first) throw new PageError('no-labels', 'add labels.txt to model.json and the ONNX file');
    await pack(parts, await first.text(), { format: 1, ...description }, labels, false, signal);
  }

  /** Looks at another output of the graph. @param {string} output */
  async function look(output) {
    if (!now?.seen) return;
    const { parts, seen: before } = now;
    abort.abort();
    abort = new AbortController();
    const { signal } = abort;
    const options = { memoryLimit: memoryLimit(), signal, options: { output } };
    tell({ stage: 'reading', failure: null });
    try {
      const seen = { ...(await inspectModel(parts.model, options)), heads: before.heads };
      const answers = likely(parts, seen);
      if (!signal.aborted) tell({ stage: 'form', seen, likely: answers });
    } catch (error) {
      if (!signal.aborted) tell({ stage: 'form', failure: error });
    }
  }

  /** Tries answers that may still change. @param {Answers} answers */
  function draft(answers) {
    if (now?.stage !== 'form' || !now.seen) return;
    const { parts, seen } = now;
    preview ??= trials({
      open: () => previewModel(parts.model, { memoryLimit: memoryLimit() }),
      photos,
      onChange: (trial) => tell({ trial }),
    });
    preview.show(describeReading(answers, seen));
  }

  /** @param {Answers} answers @param {boolean} keeping */
  async function answer(answers, keeping) {
    if (!now?.seen) return;
    const { parts, seen } = now;
    abort = new AbortController();
    const { signal } = abort;
    try {
      const text = labelled(answers.labels, seen.classes);
      await pack(parts, text, describe(answers, seen, parts.source ?? parts.name), null, keeping, signal);
    } catch (error) {
      if (!signal.aborted) tell({ stage: 'form', failure: error });
    }
  }

  /**
   * @param {import('./ownmodel.js').Parts} parts
   * @param {string} text labels, one a line
   * @param {import('../library/protocol.js').PackOptions | import('../library/protocol.js').Manifest} description
   * @param {Record<string, Blob> | null} given labels by language; none: those that packing gives
   * @param {boolean} keeping
   * @param {AbortSignal} signal
   */
  async function pack({ model }, text, description, given, keeping, signal) {
    tell({ stage: 'checking', steps: null, failure: null });
    const packed = await packModel(model, text, description, {
      memoryLimit: memoryLimit(),
      signal,
      onProgress: ({ loaded, total }) => signal.aborted || tell({ steps: { loaded, total } }),
    });
    const { manifest, weights, report } = packed;
    const labels = given ?? { en: new Blob([packed.labels]) };
    const own = { onnx: new Blob([weights]), manifest, labels, report };
    if (keeping) await keep(own).catch((error) => onTrouble(error, manifest.name, null));
    tell({ stage: 'report', own, kept: keeping });
    if (keeping) void promised();
    await onModel(own, keeping);
  }

  /** Tells whether the browser removes what was kept. */
  async function promised() {
    const model = now?.own;
    const persisted = await persist();
    if (model === now?.own) tell({ persisted });
  }

  return {
    start,
    download,
    look,
    draft,
    answer,
    close,
    /** Keeps the model that is in use now. */
    async keep() {
      const { own } = now ?? {};
      if (!own) return;
      try {
        await keep(own);
        tell({ kept: true });
        onKept();
        void promised();
      } catch (error) {
        onTrouble(error, own.manifest.name, null);
      }
    },
    /** Shows the form again, as it was. */
    back: () => {
      abort.abort();
      tell({ stage: 'form', failure: null });
    },
  };
}
