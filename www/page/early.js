// the page's address, settings and script tag → the first files of its model, requested before the other scripts are there
import { begin } from '../library/early.js';
import { decide, scriptAttribute, signals, switches } from '../library/policy.js';
import { MODELS } from './models.js';

/** The reader's choices as they were kept; only those that say something are heard. @returns {Record<string, unknown>} */
function kept() {
  try {
    return JSON.parse(localStorage.getItem('whylens') ?? '') ?? {};
  } catch {
    return {};
  }
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
  const { preload, memoryLimit, build } = kept();
  const page = { query: location.search, attribute: scriptAttribute };
  const found = switches({}, page, () => {});
  const chosen = /** @type {const} */ (['auto', 'eager', 'lazy']).find((choice) => choice === preload);
  if (!decide(chosen ?? found.preload, signals()).eager) return;
  begin(new URL('model.json', new URL(MODELS[0], document.baseURI)).href, {
    cache: 'whylens',
    memoryLimit: Number(memoryLimit) || found.memoryLimit,
    worker: { build: build === 'simd128' || build === 'relaxed-simd' ? build : found.build, threads: found.threads },
    weights: weights(),
  });
}

start();
