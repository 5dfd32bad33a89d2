// address of a model → Classifier: the library's entry

import { CACHE, CREATE, Classifier } from './library/classifier.js';
import { WhylensError, badOption, cancelled, isA, shown } from './library/errors.js';
import { checkWaiting, loadOptions, read } from './library/options.js';
import { Preview, fileOf, inWorker, isExported } from './library/packing.js';
import { checkSwitches, scriptAttribute, switches } from './library/policy.js';
import { registry, script } from './library/registry.js';
import { checkPlace } from './library/startup.js';

/** @typedef {import('./library/protocol.js').LoadOptions} LoadOptions */
/** @typedef {import('./library/protocol.js').FetchingOptions} FetchingOptions */
/** @typedef {import('./library/protocol.js').Inspection} Inspection */
/** @typedef {import('./library/protocol.js').PackedModel} PackedModel */
/** @typedef {import('./library/protocol.js').PackingOptions} PackingOptions */
/** @typedef {import('./library/protocol.js').PackOptions} PackOptions */

export { Classifier, WhylensError };

/**
 * The address of a model's `model.json`, relative to the page.
 * @param {string | URL} model folder or `model.json`
 */
function manifestUrl(model) {
  checkPlace();
  if (typeof model !== 'string' && !isA(model, URL)) {
    throw badOption(`the model is ${shown(model)}, expected the address of a model folder`);
  }
  if (isExported(String(model))) {
    throw badOption(
      `"${model}" is not a model folder: make one of it by \`whylens pack\`, or by fetchModel() and packModel()`,
    );
  }
  const url = absolute(model);
  if (!url.pathname.endsWith('.json')) {
    url.pathname += url.pathname.endsWith('/') ? 'model.json' : '/model.json';
  }
  url.hash = '';
  return url.href;
}

/** @param {string | URL} address relative to the page */
function absolute(address) {
  try {
    return new URL(address, globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch (error) {
    throw new WhylensError('bad-option', `"${address}" is not an address`, error);
  }
}

/**
 * A model's classifier: the same one for all callers on the page. Resolves when the model is ready, or at once
 * if it is loaded on first use. A failed load is forgotten: the next call tries again. The options of the first
 * call hold.
 *
 * @param {string | URL} model address of a model folder or its `model.json`, relative to the page
 * @param {LoadOptions} [options]
 * @returns {Promise<Classifier>}
 */
export function load(model, options) {
  try {
    return start(manifestUrl(model), loadOptions(options));
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * @param {string} url
 * @param {LoadOptions} options
 * @returns {Promise<Classifier>}
 */
function start(url, options) {
  const { signal, onProgress, preload } = options;
  if (signal?.aborted) return Promise.reject(cancelled(signal));
  let entry = registry.models.get(url);
  if (!entry) {
    const classifier = new Classifier(CREATE, url, options);
    if (!registry.connection?.alive) {
      registry.build = classifier.build;
      registry.threads = classifier.threads;
    }
    entry = { classifier, lazy: Promise.resolve(classifier), eager: null };
    registry.models.set(url, entry);
    registry.failed.delete(url);
  }
  const { classifier } = entry;
  if (onProgress) classifier.listen(onProgress);
  if (preload === 'eager') classifier.policy = { eager: true, reason: 'eager was asked for' };
  if (!classifier.policy.eager) {
    whenShown(url, classifier);
    return entry.lazy;
  }

  const shared = entry;
  const promise = signal
    ? classifier.load({ signal }).then(() => classifier)
    : (shared.eager ??= classifier.load().then(() => classifier));
  promise.catch(() => {
    if (shared.eager === promise) shared.eager = null;
    if (classifier.model || classifier.loading || registry.models.get(url) !== shared) return;
    registry.models.delete(url);
    registry.failed.set(url, classifier);
  });
  return promise;
}

/** @type {WeakSet<Classifier>} */
const unseen = new WeakSet();

/**
 * Decides again when a page that nobody saw is shown.
 * @param {string} url
 * @param {Classifier} classifier
 */
function whenShown(url, classifier) {
  const { until } = classifier.policy;
  if (!until || unseen.has(classifier)) return;
  unseen.add(classifier);
  const shown = () => {
    unseen.delete(classifier);
    if (!classifier.policy.until || registry.models.get(url)?.classifier !== classifier) return;
    classifier.decide();
    void start(url, {});
  };
  document.addEventListener(until, shown, { once: true });
}

/**
 * The health of a model, also of one whose load failed or was never asked for.
 * @param {string | URL} model
 * @param {{ verbose?: boolean }} [options]
 */
export async function health(model, options) {
  read(options, ['verbose']);
  const url = manifestUrl(model);
  const classifier =
    registry.models.get(url)?.classifier ?? registry.failed.get(url) ?? new Classifier(CREATE, url, {});
  return classifier.health(options);
}

/**
 * Downloads a classifier as it was exported, for `inspectModel()` and `packModel()`: without cookies and without telling
 * the page's address. A site made with `whylens dist --closed` takes only what is its own.
 * @param {string | URL} address of an ONNX file or a zip, relative to the page; or `hf:ORG/NAME[/FILE.onnx][@REVISION]`,
 *   or the address of the model's page on the Hugging Face Hub
 * @param {FetchingOptions} [options]
 * @returns {Promise<Blob | Record<string, Blob>>} a zip, or files by their paths
 */
export async function fetchModel(address, options) {
  const given = read(options, ['endpoint', 'memoryLimit', 'signal', 'onProgress']);
  checkWaiting(given);
  const { endpoint } = given;
  if (typeof address !== 'string' && !isA(address, URL))
    throw badOption(`the model is ${shown(address)}, expected an address`);
  if (endpoint !== undefined && !(typeof endpoint === 'string' && /^https?:\/\/[^?#]+$/.test(endpoint)))
    throw badOption(`endpoint is ${shown(endpoint)}, expected an address such as "https://huggingface.co"`);
  const url = absolute(address);
  if (!['hf:', 'http:', 'https:'].includes(url.protocol)) throw badOption(`"${address}" cannot be downloaded`);
  if (scriptAttribute('data-closed') !== null && url.origin !== globalThis.location?.origin)
    throw new WhylensError('forbidden', `this site is closed and takes no model from elsewhere, so not "${address}"`);
  /** @type {Extract<import('./library/protocol.js').Call, { type: 'fetch' }>} */
  const call = {
    type: 'fetch',
    address: url.href,
    endpoint: endpoint?.replace(/\/+$/, ''),
    memoryLimit: left(given.memoryLimit),
  };
  return inWorker(call, script(), given);
}

/**
 * Tells what an ONNX file is: its inputs, classes and layers, and what it does not say about itself.
 * @param {import('./library/packing.js').ModelFile} model
 * @param {PackingOptions & { options?: Partial<PackOptions> }} [options]
 * @returns {Promise<Inspection>}
 */
export async function inspectModel(model, options) {
  const { options: given, ...rest } = packing(options);
  const call = {
    model: fileOf(model),
    beside: rest.beside,
    options: { memoryLimit: rest.memoryLimit, options: { name: 'model', ...given } },
  };
  return inWorker({ type: 'inspect', ...call }, script(), rest);
}

/**
 * Makes a model folder of an ONNX file, checked, its weights in half precision, as `whylens pack` does.
 * @param {import('./library/packing.js').ModelFile} model
 * @param {string | readonly string[]} labels in class order; text: one per line
 * @param {PackOptions | import('./library/protocol.js').Manifest} description what the graph does not say about
 *   itself, or the `model.json` that came with the file
 * @param {PackingOptions} [options]
 * @returns {Promise<PackedModel>}
 */
export async function packModel(model, labels, description, options) {
  const rest = packing(options);
  if (![labels].flat().every((label) => typeof label === 'string'))
    throw badOption(`labels are ${shown(labels)}, expected text, or a list of it`);
  if (typeof description !== 'object' || description === null)
    throw badOption(`the description is ${shown(description)}, expected an object`);
  const given =
    'format' in description ? { manifest: text(description), options: { name: '' } } : { options: description };
  const call = {
    model: fileOf(model),
    beside: rest.beside,
    labels: [labels].flat().join('\n'),
    options: { memoryLimit: rest.memoryLimit, ...given },
  };
  return inWorker({ type: 'pack', ...call }, script(), rest);
}

/**
 * Loads a model that is not packed yet, to see what it would say with other descriptions.
 * @param {import('./library/packing.js').ModelFile} model
 * @param {Pick<PackingOptions, 'beside' | 'memoryLimit'>} [options]
 * @returns {Preview}
 */
export function previewModel(model, options) {
  const { beside, memoryLimit } = packing(options);
  return new Preview({ model: fileOf(model), beside, memoryLimit }, script());
}

/** @param {object} description */
function text(description) {
  try {
    return JSON.stringify(description);
  } catch (error) {
    throw new WhylensError('bad-option', 'the description cannot be written as JSON', error);
  }
}

/**
 * @param {PackingOptions & { options?: Partial<PackOptions> } | undefined} given
 */
function packing(given) {
  const {
    beside = {},
    options = {},
    memoryLimit,
    signal,
    onProgress,
  } = read(given, ['beside', 'options', 'memoryLimit', 'signal', 'onProgress']);
  checkWaiting({ signal, onProgress });
  const isFiles =
    typeof beside === 'object' && beside !== null && Object.values(beside).every((file) => isA(file, Blob));
  if (!isFiles) throw badOption(`beside is ${shown(beside)}, expected Blobs by name`);
  if (typeof options !== 'object' || options === null)
    throw badOption(`options is ${shown(options)}, expected an object`);
  return { beside: { ...beside }, options, memoryLimit: left(memoryLimit), signal, onProgress };
}

/**
 * Bytes of memory that a second worker may use besides the first.
 * @param {number | undefined} memoryLimit
 */
function left(memoryLimit) {
  checkSwitches({ memoryLimit });
  const query = globalThis.location?.search ?? '';
  const limit = switches({ memoryLimit }, { query, attribute: scriptAttribute }, () => {}).memoryLimit;
  const connection = registry.connection;
  return Math.max(0, limit - (connection?.alive ? (connection.memory?.wasm ?? 0) : 0));
}

/**
 * Forgets every model that the browser keeps for this site; the next load downloads it again.
 * @returns {Promise<boolean>} whether there was anything to forget
 */
export async function clearCache() {
  try {
    return await caches.delete(CACHE);
  } catch {
    return false;
  }
}
