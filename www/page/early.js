// the page's address, settings and script tag → the first files of its model, requested before the other scripts are there
import { begin } from '../library/early.js';
import { decide, scriptAttribute, signals, switches } from '../library/policy.js';
import { LOADING, stored } from './kept.js';
import { MODELS } from './models.js';

const kept = stored() ?? {};

/** A choice that the reader made at an earlier visit. @param {keyof typeof LOADING} name */
function chosen(name) {
  const choice = kept[name] ?? null;
  return /** @type {any} */ (LOADING[name](choice) ? choice : null);
}

/** What `whylens dist` says of the weights: file, bytes, what to request. */
function weights() {
  const [file, bytes, first, planes] = scriptAttribute('data-weights')?.split(' ') ?? [];
  if (!file || !first) return undefined;
  const url = (/** @type {string} */ name) => new URL(name, document.baseURI).href;
  return { url: url(file), bytes: Number(bytes), first: url(first), ...(planes ? { planes: url(planes) } : {}) };
}

function start() {
  const query = new URLSearchParams(location.search);
  // The reader asks for another model, or it is not said yet which.
  if (query.has('model') || !MODELS[0]) return;
  const page = { query: location.search, attribute: scriptAttribute };
  const found = switches({}, page, () => {});
  if (!decide(chosen('preload') ?? found.preload, signals()).eager) return;
  begin(new URL('model.json', new URL(MODELS[0], document.baseURI)).href, {
    cache: 'whylens',
    memoryLimit: chosen('memoryLimit') ?? found.memoryLimit,
    worker: { build: chosen('build') ?? found.build, threads: found.threads },
    weights: weights(),
  });
}

start();
