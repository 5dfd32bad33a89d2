// What `retries` allows: how often each kind of file is asked for, whatever a server does.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { COMPILE } from '../../www/library/features.js';
import { classifier, folder } from './onnx.js';
import { Stage, attempt } from './page.js';

/** @typedef {import('./server.js').Behaviour} Behaviour */

const stage = new Stage();
const { server } = stage;
const options = { timeout: 60_000 };
const onnx = classifier();
const cut = [onnx.subarray(0, 5e5), onnx.subarray(5e5)];
const sizes = {
  whole: folder(),
  parts: folder({
    change: (manifest) =>
      (manifest.weights.parts = cut.map(({ length }, index) => ({ file: `model.onnx.${index}`, bytes: length }))),
  }),
};
const half = (/** @type {number} */ size) => Math.floor(size / 2);
const version = (/** @type {string | number} */ name) => ({ headers: { etag: `"${name}"` } });

/** Where nothing stalls, however busy the machine is. */
const CALM = { stallTimeout: 20_000 };
const patience = (/** @type {string} */ name) => (name.includes('stalls') ? { stallTimeout: 2500 } : CALM);

/** @type {import('playwright-core').Page} */
let page;
let last = 0;
before(async () => {
  await stage.start();
  page = await stage.page();
  // While the worker starts, a connection may be cut before what it brought is read.
  server.put('/models/first/', sizes.whole);
  assert.ok((await attempt(page, '/models/first/', CALM)).ok);
});
after(() => stage.stop());

/**
 * Loads a model, one file of which is served so.
 * @param {string} file
 * @param {(size: number) => Behaviour[]} how
 * @param {import('../../www/library/protocol.js').LoadOptions} [wanted]
 */
async function load(file, how, wanted = {}) {
  const path = `/models/retries-${(last += 1)}/`;
  const files =
    file === 'model.onnx.1' ? { ...sizes.parts, 'model.onnx.0': cut[0], 'model.onnx.1': cut[1] } : sizes.whole;
  const bytes = /** @type {Record<string, Buffer>} */ (files);
  server.put(path, bytes);
  server.behave(path + file, ...how(bytes[file]?.length ?? 0));
  const outcome = await attempt(page, path, { ...CALM, ...wanted });
  const ranges = server.seen
    .filter((seen) => seen.path === path + file)
    .map(({ range }) => range?.replace(/^bytes=/, ''));
  server.behave(path + file);
  assert.ok((await attempt(page, path, CALM)).ok, 'the next call');
  return { ...outcome, ranges, path };
}

/** Faults that every file of a model may have; `asked`: what of it is asked for, by ranges, where it may be put together.
 * @type {[string, (size: number) => Behaviour[], string | undefined, number][]} */
const FAULTS = [
  ['cut half-way, and Range is ignored, for ever', (size) => [{ cut: half(size), ranges: false }], 'network', 4],
  [
    'cut half-way, and Range is ignored, three times',
    (size) => [...Array(3).fill({ cut: half(size), ranges: false }), {}],
    undefined,
    4,
  ],
  ['cut at once, for ever', () => [{ cut: 0 }], 'network', 4],
  ['cut after a byte more each time', () => [{ cut: 1 }], 'network', 4],
  ['503 for ever', () => [{ status: 503 }], 'http-status', 4],
  ['503 after half of it', (size) => [{ cut: half(size) }, { status: 503 }, { status: 503 }, {}], undefined, 4],
  ['503 for ever after half of it', (size) => [{ cut: half(size) }, { status: 503 }], 'http-status', 4],
  ['416 to everything', () => [{ status: 416 }], 'http-status', 1],
  [
    'another part than was asked for, for ever',
    (size) => [{ cut: half(half(size)), shift: 1, ...version(1) }],
    'network',
    4,
  ],
  [
    'another version each time',
    (size) => [1, 2, 3, 4].map((name) => ({ cut: half(half(size)), ...version(name) })),
    'network',
    4,
  ],
  ['stalls half-way, for ever', (size) => [{ stall: half(size), ranges: false }], 'network', 4],
  ['a slow drip', (size) => [{ pace: 5, part: Math.ceil(size / 40) }], undefined, 1],
];

for (const file of ['model.onnx', 'model.onnx.1', 'model.json', 'labels.txt']) {
  describe(file, () => {
    for (const [name, how, code, requests] of FAULTS) {
      test(name, options, async () => {
        const outcome = await load(file, how, patience(name));
        assert.equal(outcome.code, code, outcome.message);
        assert.equal(outcome.ranges.length, requests, outcome.ranges.join(' '));
      });
    }

    test('a redirect is followed', options, async () => {
      const target = `/models/elsewhere-${last}/`;
      server.put(target, {
        ...sizes.whole,
        ...(file === 'model.onnx.1' ? { 'model.onnx.1': /** @type {Buffer} */ (cut[1]) } : {}),
      });
      const outcome = await load(file, () => [{ redirect: target + file }]);
      assert.deepEqual([outcome.code, outcome.ranges.length, server.count(target + file)], [undefined, 1, 1]);
    });

    test('`retries: 0` asks once', options, async () => {
      const outcome = await load(file, (size) => [{ cut: half(size) }], { retries: 0 });
      assert.deepEqual([outcome.code, outcome.ranges.length], ['network', 1]);
    });

    test('what was received is kept through other faults', options, async () => {
      const { code, ranges, message } = await load(file, (size) => [
        { cut: half(size), ...version(1) },
        { status: 503 },
        { cut: 0, ...version(1) },
        version(1),
      ]);
      assert.equal(code, undefined, message);
      assert.equal(ranges[0], undefined);
      assert.match(ranges[1] ?? '', /^\d+-$/);
      assert.deepEqual(ranges.slice(2), [ranges[1], ranges[1]]);
    });

    test('another version is fetched whole', options, async () => {
      const { code, ranges, message } = await load(file, (size) => [{ cut: half(size), ...version(1) }, version(2)]);
      assert.equal(code, undefined, message);
      assert.deepEqual([ranges.length, ranges[0], ranges[2]], [3, undefined, undefined]);
    });
  });
}

test('bytes that nothing checks are not put together from responses without a version', options, async () => {
  const { code, ranges } = await load('labels.txt', (size) => [{ cut: half(size) }, {}]);
  assert.deepEqual([code, ranges], [undefined, [undefined, undefined]]);
});

test('every response that brings a good part of the file is worth another request', options, async () => {
  const { code, ranges, message } = await load('model.onnx', () => [{ cut: 1e5 }], { retries: 1 });
  assert.equal(code, undefined, message);
  assert.equal(ranges.length, Math.ceil(onnx.length / 1e5));
});

test('a download that starts again has no more requests than one that is not', options, async () => {
  const other = classifier({ seed: 9 });
  const wrong = { body: other, ...{ cut: half(onnx.length) } };
  const { code, ranges } = await load('model.onnx', () => [{ cut: half(onnx.length) }, { body: other }, wrong], {
    retries: 2,
  });
  assert.deepEqual([code, ranges.length], ['network', 3]);
  const single = await load('model.onnx', () => [{ cut: half(onnx.length) }, { body: other }], {
    retries: 1,
    cache: false,
  });
  assert.deepEqual([single.code, single.ranges.length], ['integrity', 3]);
});

describe('the module', () => {
  const WASM = `/www/pkg/${COMPILE.folder}/whylens_bg.wasm`;
  const GLUE = `/www/pkg/${COMPILE.folder}/whylens.js`;
  const damaged = Buffer.concat([Buffer.from('\0asm\x01\0\0\0'), Buffer.from([1, 3, 9, 9, 9])]);
  /** @type {[string, string, Behaviour[], string | undefined, number][]} */
  const faults = [
    ['503, then plain', WASM, [{ status: 503 }, {}], undefined, 2],
    ['503 for ever', WASM, [{ status: 503 }], 'http-status', 4],
    ['404', WASM, [{ status: 404 }], 'http-status', 1],
    ['cut half-way, then plain', WASM, [{ cut: 1e6 }, {}], undefined, 2],
    ['cut half-way, for ever', WASM, [{ cut: 1e6 }], 'network', 4],
    ['cut at once, for ever', WASM, [{ cut: 0 }], 'network', 4],
    ['stalls half-way, then plain', WASM, [{ stall: 1e6 }, {}], undefined, 2],
    ['stalls at once, for ever', WASM, [{ stall: 0 }], 'network', 4],
    ['a slow drip', WASM, [{ pace: 5 }], undefined, 1],
    ['a redirect', WASM, [{ redirect: `/copy${WASM}` }], undefined, 1],
    ['damaged', WASM, [{ body: damaged }], 'integrity', 1],
    ['its script: 503, then plain', GLUE, [{ status: 503 }, {}], undefined, 2],
    ['its script: 503 for ever', GLUE, [{ status: 503 }], 'network', 4],
    ['its script: cut for ever', GLUE, [{ cut: 1000 }], 'network', 4],
  ];
  for (const [name, path, how, code, requests] of faults) {
    test(name, options, async () => {
      const fresh = await stage.page();
      server.forget();
      server.behave(path, ...how);
      const outcome = await attempt(fresh, undefined, patience(name));
      const asked = server.count(path);
      server.behave(path);
      assert.equal(outcome.code, code, outcome.message);
      assert.equal(asked, requests);
      assert.ok((await attempt(fresh, undefined, CALM)).ok, 'the next call');
      await fresh.context().close();
    });
  }
});

test('nothing that was not expected was thrown on the page', () => assert.deepEqual(stage.errors, []));
