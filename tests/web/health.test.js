// What health() says, in every state.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SMALL, Stage, health, look } from './page.js';

const stage = new Stage();
const { server } = stage;
const WEIGHTS = `${SMALL}model.onnx`;
const options = { timeout: 60_000 };

/** The library in the page. @type {import('./page.js').Library} */
const whylens = /** @type {any} */ (undefined);

before(() => stage.start());
after(() => stage.stop());

/**
 * What kind each value is: a record of the kinds of its values, or a type.
 * @param {any} value
 * @returns {any}
 */
function kinds(value) {
  if (value === null || Array.isArray(value) || typeof value !== 'object')
    return value === null ? 'null' : Array.isArray(value) ? 'list' : typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, value]) => [name, kinds(value)]));
}

const MODEL = { name: 'string', version: 'string', sha256: 'string', bytes: 'number' };
const MEMORY = {
  wasm: 'number',
  live: 'number',
  ahead: 'number',
  peak: 'number',
  limit: 'number',
  share: 'number',
  estimated: 'number',
  needed: 'number',
};
const TIMING = { manifest: 'number', download: 'number', prepare: 'number', warmUp: 'number', total: 'number' };
const COUNTERS = {
  weightsRequested: 'number',
  parsed: 'number',
  optimised: 'number',
  loads: 'number',
  crashes: 'number',
  renewals: 'number',
};

test('every field is there, and JSON can carry it', options, async () => {
  const page = await stage.page();
  assert.equal(await look(page), 'ok');
  const [plain, verbose] = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const both = [await classifier.health(), await classifier.health({ verbose: true })];
    return /** @type {any[]} */ (JSON.parse(JSON.stringify(both)));
  }, SMALL);
  const fields = {
    status: 'string',
    model_loaded: 'boolean',
    message: 'string',
    model: MODEL,
    build: 'string',
    memory: MEMORY,
    timing: TIMING,
    counters: COUNTERS,
    warnings: 'list',
  };
  for (const [name, kind] of Object.entries(fields)) assert.deepEqual(kinds(plain[name]), kind, name);
  for (const name of ['url', 'policy', 'heatmap', 'features', 'cache', 'notes', 'lastError']) {
    assert.ok(!(name in plain) && name in verbose, name);
  }
  assert.match(verbose.model.sha256, /^[0-9a-f]{64}$/);
  assert.equal(verbose.url, server.url + SMALL + 'model.json');
  assert.deepEqual(kinds(verbose.policy).eager, 'boolean');
  for (const name of [
    'webAssembly',
    'simd',
    'relaxedSimd',
    'threads',
    'crossOriginIsolated',
    'offscreenCanvas',
    'cacheApi',
    'webLocks',
    'subtleCrypto',
  ]) {
    assert.equal(typeof verbose.features[name], 'boolean', name);
  }
  const { wasm, live, peak, limit, share, needed } = verbose.memory;
  assert.ok(live <= peak && peak <= wasm && wasm <= limit && needed <= peak, JSON.stringify(verbose.memory));
  assert.equal(share, wasm / limit);
  const { total, ...phases } = verbose.timing;
  const sum = Object.values(phases).reduce((a, b) => a + b, 0);
  assert.ok(sum > 0 && sum <= total + 1, JSON.stringify(verbose.timing));
  const { weightsRequested, parsed, optimised, loads } = verbose.counters;
  assert.deepEqual([weightsRequested, parsed, optimised, loads], [1, 1, 1, 1]);
  await page.context().close();
});

test('idle, loading, error and ready follow one another, each in words', options, async () => {
  server.behave(WEIGHTS, { status: 404 }, { pace: 30 });
  const page = await stage.page();
  const seen = await page.evaluate(async (model) => {
    /** @type {string[]} */
    const seen = [];
    const classifier = await whylens.load(model, { preload: 'lazy' });
    const note = async () => {
      const { status, model_loaded, message } = await classifier.health();
      seen.push(`${status} ${model_loaded}: ${message}`);
    };
    await note();
    for (let turn = 0; turn < 2; turn += 1) {
      const end = classifier.load().catch(() => {});
      await note();
      await end;
      await note();
    }
    return seen;
  }, SMALL);
  for (const [index, expected] of [
    /^idle false: the model is loaded on first use: lazy was asked for$/,
    /^loading false: the model is being loaded$/,
    /^error false: http-status: .*model\.onnx answered with status 404/,
    /^loading false: the model is being loaded$/,
    /^ready true: the model is ready$/,
  ].entries()) {
    assert.match(seen[index] ?? '', expected);
  }
  assert.equal((await health(page)).lastError?.code, 'http-status', 'is kept');
  server.behave(WEIGHTS);
  await page.context().close();
});
