// <why-lens model="…"> → a place for a photo, with what the model sees in it and why

import { WhylensError, load } from './whylens.js';

/** @typedef {import('./whylens.js').Classifier} Classifier */
/** @typedef {import('./library/protocol.js').Result} Result */
/** @typedef {import('./library/protocol.js').Photo} Photo */

const STYLE = `
  :host { display: block; max-inline-size: 32rem; font: inherit; color: inherit; overflow-wrap: anywhere; }
  :host([hidden]) { display: none; }
  .stage { display: grid; place-items: center; min-block-size: 8rem; border: 1px dashed currentColor;
    border-radius: .5rem; overflow: hidden; }
  .stage.full { border-style: solid; }
  .stage > * { grid-area: 1 / 1; max-inline-size: 100%; }
  .stage img, .stage canvas { display: block; inline-size: 100%; block-size: auto; }
  .stage canvas { pointer-events: none; }
  label { padding: 1.5rem; cursor: pointer; text-align: center; }
  .full label { place-self: end; padding: .4rem .8rem; margin: .5rem; border-radius: .4rem; z-index: 1;
    background: Canvas; color: CanvasText; }
  input { position: absolute; opacity: 0; inline-size: 1px; block-size: 1px; }
  label:focus-within { outline: 2px solid; outline-offset: -4px; }
  ol { list-style: none; margin: .5rem 0; padding: 0; }
  button { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: .1rem 1rem; inline-size: 100%;
    padding: .3rem .4rem; border: 0; border-radius: .3rem; background: none; color: inherit; font: inherit;
    text-align: start; cursor: pointer; }
  button[aria-pressed=true] { outline: 1px solid currentColor; }
  meter { grid-column: 1 / -1; inline-size: 100%; block-size: .5rem; }
  p { margin: .5rem 0; } p:empty { display: none; }
`;

/** Longest side of what is shown. */
const LONGEST = 1024;

/** @param {string} src @returns {Promise<Blob>} */
async function fetched(src) {
  let url;
  try {
    url = new URL(src, document.baseURI);
  } catch (error) {
    throw new WhylensError('bad-option', `src is "${src}", expected the address of a photo`, error);
  }
  const response = await fetch(url).catch((error) => {
    throw new WhylensError(
      'network',
      `${url} cannot be reached; check the connection, and that the server allows this page to read it (CORS)`,
      error,
    );
  });
  if (!response.ok) throw new WhylensError('http-status', `${url} answered with status ${response.status}`);
  return response.blob();
}

const number = (/** @type {string | null} */ text, /** @type {number} */ otherwise) =>
  text === null || !Number.isFinite(Number(text)) ? otherwise : Number(text);

/** Where there is no page, as on a server, importing this file does nothing. */
const Base = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (class {});

/**
 * Attributes: `model` (address of a model folder, relative to the page), `src` (a photo to begin with),
 * `top-k`, `threshold`, `method`, `layer`, `colormap`, `opacity`, `preload` (`auto`, `eager`, `lazy`),
 * `heatmap` (`off`: none). Parts: `stage`, `not-recognised` (what is said where no class reaches the model's
 * threshold). Slots hold text for the reader: `choose` (the button) and `alt` (the
 * photo's description). Elements with the same model share it, and all elements share one worker.
 *
 * Events: `result` and `error`, with the result or the error as `detail`.
 */
export class WhyLens extends Base {
  static observedAttributes = ['model', 'src'];

  #stage = document.createElement('div');
  #input = document.createElement('input');
  #image = document.createElement('img');
  #seen = document.createElement('canvas');
  #canvas = document.createElement('canvas');
  #list = document.createElement('ol');
  #status = document.createElement('p');
  #verdict = document.createElement('p');
  #note = document.createElement('p');
  #job = 0;
  /** @type {Photo | null} */
  #photo = null;
  /** @type {Result | null} */
  #result = null;
  /** @type {string | null} */
  #shown = null;
  /** @type {Promise<Classifier> | null} */
  #classifier = null;

  constructor() {
    super();
    const root = this.attachShadow({ mode: 'open' });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    this.#input.type = 'file';
    this.#input.accept = 'image/*';
    const label = document.createElement('label');
    const words = document.createElement('slot');
    words.name = 'choose';
    words.textContent = 'Choose a photo, or drop one here';
    label.append(this.#input, words);
    this.#stage.className = 'stage';
    this.#stage.setAttribute('part', 'stage');
    this.#stage.append(label);
    this.#status.setAttribute('role', 'status');
    this.#verdict.setAttribute('part', 'not-recognised');
    root.append(this.#stage, this.#status, this.#verdict, this.#list, this.#note);
    this.#seen.setAttribute('role', 'img');
    this.#image.onerror = () => this.#image.remove();
    this.#input.onchange = () => this.#take(this.#input.files);
    this.#stage.ondragover = (event) => event.preventDefault();
    this.#stage.ondrop = (event) => {
      event.preventDefault();
      this.#take(event.dataTransfer?.files ?? null);
    };
  }

  connectedCallback() {
    if (this.getAttribute('model')) this.classifier.catch((error) => this.#fail(error));
  }

  disconnectedCallback() {
    this.#job += 1;
    this.#forget();
  }

  /** @param {string} name @param {string | null} before @param {string | null} now */
  attributeChangedCallback(name, before, now) {
    if (before === now) return;
    if (name === 'model') {
      this.#classifier = null;
      if (this.isConnected && now) this.classifier.catch((error) => this.#fail(error));
    }
    if (name === 'src' && now) void this.#open(now);
  }

  /** The classifier, shared with every element and script that uses this model. */
  get classifier() {
    const model = this.getAttribute('model');
    if (!model) return Promise.reject(new WhylensError('bad-option', '<why-lens> needs a model="…"'));
    const preload = /** @type {'auto' | 'eager' | 'lazy' | null} */ (this.getAttribute('preload')) ?? undefined;
    const loading = (this.#classifier ??= load(model, { preload, heatmap: this.#explains ? undefined : false }));
    loading.catch(() => {
      if (this.#classifier === loading) this.#classifier = null;
    });
    return loading;
  }

  get #explains() {
    return this.getAttribute('heatmap') !== 'off';
  }

  /**
   * Shows a photo and what the model sees in it.
   * @param {Blob} photo
   * @returns {Promise<Result | null>} null if another photo came in the meantime
   */
  async classify(photo) {
    if (!(photo instanceof Blob)) throw new WhylensError('bad-option', 'the photo is no Blob or File');
    this.#photo = photo;
    this.#show(photo);
    return this.#look();
  }

  /** @param {FileList | null} files */
  #take(files) {
    if (files?.[0]) this.classify(files[0]).catch(() => {});
  }

  /** @param {string} src */
  async #open(src) {
    try {
      const photo = await fetched(src);
      // Its failure has been reported by then.
      await this.classify(photo).catch(() => {});
    } catch (error) {
      this.#fail(error);
    }
  }

  /** @param {number} [classIndex] the class explained, the most probable one when absent */
  async #look(classIndex) {
    const job = (this.#job += 1);
    this.#status.textContent = '…';
    try {
      const classifier = await this.classifier;
      const { view, ...result } = await classifier.classify(/** @type {Photo} */ (this.#photo), {
        topK: number(this.getAttribute('top-k'), 3),
        threshold: number(this.getAttribute('threshold'), 0),
        view: LONGEST,
        heatmap: this.#explains && { classIndex, ...this.#wanted },
      });
      const overlay = result.heatmap && (await this.#draw(classifier, result.heatmap));
      if (job !== this.#job) return null;
      this.#status.textContent = result.noHeatmap ? `No heatmap: ${result.noHeatmap.message}` : '';
      if (view) this.#develop(view);
      this.#note.textContent = classifier.model?.disclaimer ?? '';
      this.#result = result;
      this.#tell(result);
      if (overlay) this.#lay(overlay);
      this.dispatchEvent(new CustomEvent('result', { detail: result }));
      return result;
    } catch (error) {
      if (job === this.#job) this.#fail(error);
      throw error;
    }
  }

  /** @param {number} classIndex */
  async #explain(classIndex) {
    const shown = this.#result;
    if (!shown) return;
    const job = (this.#job += 1);
    this.#status.textContent = '…';
    try {
      const classifier = await this.classifier;
      const heatmap = await classifier.heatmap(shown, { classIndex, ...this.#wanted });
      const overlay = await this.#draw(classifier, heatmap);
      if (job !== this.#job) return;
      const result = (this.#result = { ...shown, heatmap });
      this.#status.textContent = '';
      this.#tell(result);
      this.#lay(overlay);
      this.dispatchEvent(new CustomEvent('result', { detail: result }));
    } catch (error) {
      if (job !== this.#job) return;
      // Many photos have been classified since.
      if (error instanceof WhylensError && error.code === 'disposed') await this.#look(classIndex);
      else this.#fail(error);
    }
  }

  /** What the attributes say about heatmaps. */
  get #wanted() {
    return { method: this.getAttribute('method') ?? undefined, layer: this.getAttribute('layer') ?? undefined };
  }

  /** @param {Classifier} classifier @param {import('./library/protocol.js').Heatmap} heatmap */
  #draw(classifier, heatmap) {
    const { image } = heatmap;
    const shrink = Math.min(1, LONGEST / Math.max(image.width, image.height));
    return classifier.render(heatmap, {
      width: Math.max(1, Math.round(image.width * shrink)),
      height: Math.max(1, Math.round(image.height * shrink)),
      colormap: this.getAttribute('colormap') ?? undefined,
      opacity: number(this.getAttribute('opacity'), 0.6),
    });
  }

  /** @param {ImageData} overlay */
  #lay(overlay) {
    this.#canvas.width = overlay.width;
    this.#canvas.height = overlay.height;
    this.#canvas.getContext('2d')?.putImageData(overlay, 0, 0);
    this.#seen.after(this.#canvas);
  }

  /** Shows what was classified, which some browsers would show differently. @param {ImageBitmap} view */
  #develop(view) {
    Object.assign(this.#seen, { width: view.width, height: view.height });
    this.#seen.getContext('2d')?.drawImage(view, 0, 0);
    view.close();
    this.#image.remove();
    this.#stage.prepend(this.#seen);
  }

  /** @param {Blob} photo */
  #show(photo) {
    this.#forget();
    this.#result = null;
    // A drawing may keep the browser busy for ever, so it is shown only after it was checked.
    if (/^image\/svg/i.test(photo.type)) this.#image.removeAttribute('src');
    else this.#image.src = this.#shown = URL.createObjectURL(photo);
    this.#image.alt = this.getAttribute('alt') ?? '';
    this.#seen.setAttribute('aria-label', this.#image.alt);
    this.#seen.remove();
    this.#canvas.remove();
    this.#stage.classList.add('full');
    this.#stage.prepend(this.#image);
    this.#list.replaceChildren();
    this.#verdict.textContent = '';
  }

  #forget() {
    if (this.#shown) URL.revokeObjectURL(this.#shown);
    this.#shown = null;
  }

  /** @param {Result} result */
  #tell({ predictions, recognised, notRecognised, heatmap, model: { activation, unit } }) {
    this.#verdict.textContent = recognised ? '' : notRecognised || 'Not recognised';
    this.#list.replaceChildren(
      ...predictions.map(({ index, label, probability, score }) => {
        const [row, button, meter] = [
          document.createElement('li'),
          document.createElement('button'),
          document.createElement('meter'),
        ];
        const scores = activation === 'none';
        const given = scores
          ? [score.toLocaleString(undefined, { maximumFractionDigits: 2 }), unit].filter(Boolean).join(' ')
          : probability.toLocaleString(undefined, { style: 'percent', maximumFractionDigits: 1 });
        button.type = 'button';
        button.disabled = !heatmap;
        button.setAttribute('aria-pressed', String(index === heatmap?.classIndex));
        button.onclick = () => void this.#explain(index).catch(() => {});
        meter.value = probability;
        button.append(label, ' ', given, ...(scores ? [] : [meter]));
        row.append(button);
        return row;
      }),
    );
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#status.textContent = error instanceof Error ? error.message : String(error);
    this.dispatchEvent(new CustomEvent('error', { detail: error }));
  }
}

const elements = globalThis.customElements;
if (elements && !elements.get('why-lens')) elements.define('why-lens', WhyLens);
