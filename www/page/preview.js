// model that is being added + answers of the form → what it would say of a few photos

/** @typedef {Partial<import('../library/protocol.js').PackOptions>} Description */
/** @typedef {import('../library/protocol.js').Previewed} Previewed */
/** @typedef {ReturnType<typeof import('../whylens.js').previewModel>} Model */
/**
 * @typedef {object} Trial
 * @property {Previewed[]} answers one per photo, as far as they are there
 * @property {boolean} busy
 * @property {unknown} failure
 */

/** ms without another change before photos are classified. */
const PAUSE = 300;

/** Failures after which another description may work. */
const DESCRIBED = ['bad-option', 'bad-manifest', 'unsupported-model'];

/**
 * Only the newest description is tried; the model is loaded with the first.
 * @param {object} options
 * @param {() => Model} options.open
 * @param {() => Promise<ArrayBuffer[]>} options.photos
 * @param {(trial: Trial) => void} options.onChange
 */
export function trials({ open, photos, onChange }) {
  /** @type {Model | null} */
  let model = null;
  /** @type {Description | null} */
  let wanted = null;
  /** The newest description, as text. */
  let newest = '';
  let [running, closed] = [false, false];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {Trial} */
  let trial = { answers: [], busy: false, failure: null };

  /** @param {Partial<Trial>} news */
  const tell = (news) => {
    trial = { ...trial, ...news };
    if (!closed) onChange(trial);
  };
  async function run() {
    if (running) return;
    running = true;
    while (wanted && !closed) {
      const description = wanted;
      wanted = null;
      const text = newest;
      const current = () => !closed && text === newest;
      try {
        model ??= open();
        /** @type {Previewed[]} */
        const answers = [];
        for (const photo of await photos()) {
          if (current()) answers.push(await model.classify(photo, description));
          if (current()) tell({ answers: [...answers, ...trial.answers.slice(answers.length)], failure: null });
        }
        if (current()) tell({ busy: false });
      } catch (failure) {
        const { code = '' } = /** @type {{code?: string}} */ (failure ?? {});
        if (!DESCRIBED.includes(code)) {
          model?.close();
          model = null;
        }
        if (current()) tell({ answers: [], busy: false, failure });
      }
    }
    running = false;
  }

  return {
    /** @param {Description} description */
    show(description) {
      const text = JSON.stringify(description);
      if (closed || text === newest) return;
      newest = text;
      clearTimeout(timer);
      timer = setTimeout(() => {
        wanted = description;
        void run();
      }, PAUSE);
      tell({ busy: true });
    },
    close() {
      closed = true;
      clearTimeout(timer);
      model?.close();
    },
  };
}

/**
 * What answers have in common if the numbers are often wrong.
 * @param {Previewed[]} answers
 * @returns {'same' | 'even' | null}
 */
export function suspicion(answers) {
  const best = answers.flatMap(({ predictions, classes, activation }) =>
    predictions[0] && classes > 1 && activation !== 'none' ? [{ ...predictions[0], classes, activation }] : [],
  );
  const [first] = best;
  if (!first || best.length < 3) return null;
  if (best.every(({ index, probability }) => index === first.index && probability >= 0.99)) return 'same';
  const even = best.every(
    ({ probability, classes, activation }) => activation === 'softmax' && probability <= 1 / classes + 0.05,
  );
  return even ? 'even' : null;
}
