// Every fault of a server: what the user is told, how many requests were made, and whether the next
// call works. Prints the table that the report shows.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { BUILDS, COMPILE } from '../../www/library/features.js';
import { FIREFOX } from './browser.js';
import { classifier, folder } from './onnx.js';
import { SMALL, Stage, attempt, look } from './page.js';

const stage = new Stage();
/** @type {string[]} */
const table = [];
const bytes = classifier();
const WEIGHTS = 'model.onnx';
const MANIFEST = 'model.json';
const LABELS = 'labels.txt';

/** @type {import('playwright-core').Page} the same for all: no fault may make it unusable */
let page;
let last = 0;

before(async () => {
  await stage.start();
  page = await stage.page();
});
after(async () => {
  console.log(
    ['| fault | what the user sees | requests for the weights | next call works |', '|---|---|---|---|', ...table].join(
      '\n',
    ),
  );
  await stage.stop();
});

/** @typedef {import('./server.js').Behaviour} Behaviour */

/**
 * @param {string} name
 * @param {{ path?: string, how?: Behaviour[], files?: Record<string, Buffer>, code?: string, says?: RegExp,
 *   requests?: number, keeps?: boolean,
 *   check?: (outcome: import('./page.js').Outcome, seen: import('./server.js').Seen[]) => void }} fault
 */
function fault(
  name,
  { path: file = WEIGHTS, how = [{}], files, code, says = /./, requests, keeps = !code, check = () => {} },
) {
  test(name, { timeout: 60_000 }, async () => {
    const { server } = stage;
    const folderPath = `/models/fault-${(last += 1)}/`;
    server.put(folderPath, files ?? folder());
    server.behave(folderPath + file, ...how);
    const outcome = await attempt(page, folderPath, { stallTimeout: 1500 });
    const seen = server.seen.filter(({ path }) => path === folderPath + WEIGHTS);
    const kept = await page.evaluate(
      async (path) => (await (await caches.open('whylens')).keys()).filter(({ url }) => url.includes(path)),
      folderPath,
    );
    server.put(folderPath, folder());
    server.behave(folderPath + file);
    const next = await look(page, folderPath);
    table.push(
      `| ${name} | ${outcome.ok ? 'the model, ready' : `\`${outcome.code}\`: ${outcome.message?.replaceAll(server.url + folderPath, '')}`} | ${seen.length} | ${next === 'ok' ? 'yes' : next} |`,
    );

    assert.equal(outcome.code, code, outcome.message);
    if (code) assert.match(outcome.message ?? '', says);
    if (requests !== undefined) assert.equal(seen.length, requests, 'requests for the weights');
    assert.equal(next, 'ok', 'next call');
    const downloads = outcome.progress.filter(({ phase }) => phase === 'download');
    for (const [index, { loaded, total }] of downloads.entries()) {
      assert.ok(loaded <= total, `${loaded} of ${total}`);
      assert.ok(loaded >= (downloads[index - 1]?.loaded ?? 0), 'progress never falls');
    }
    if (outcome.ok) {
      assert.equal(downloads.at(-1)?.loaded, bytes.length);
      const phases = outcome.progress.map(({ phase, loaded, total }) =>
        phase === 'download' ? phase : `${phase} ${loaded} of ${total}`,
      );
      assert.deepEqual([...new Set(phases)], ['download', 'prepare 0 of 1', 'prepare 1 of 1']);
    }
    assert.equal(kept.length, Number(keeps), 'files in the cache');
    check(outcome, seen);
  });
}

fault('no fault', { requests: 1 });
fault('404', { how: [{ status: 404 }], code: 'http-status', says: /status 404/, requests: 1 });
fault('404 for model.json', {
  path: MANIFEST,
  how: [{ status: 404 }],
  code: 'http-status',
  says: /model\.json answered with status 404/,
  requests: 0,
});
fault('404 for the labels', {
  path: LABELS,
  how: [{ status: 404 }],
  code: 'http-status',
  says: /labels\.txt answered with status 404/,
});
fault('503 once', { how: [{ status: 503 }, {}], requests: 2 });
fault('503 for ever', {
  how: [{ status: 503 }],
  code: 'http-status',
  says: /status 503/,
  requests: 4,
  check: ({ ms }) => assert.ok(ms > 20 + 40 + 80, `${ms} ms: each pause is twice the one before`),
});
fault('429, then plain', { how: [{ status: 429 }, {}], requests: 2 });
fault('slow', {
  how: [{ pace: 20 }],
  requests: 1,
  check: ({ progress }) =>
    assert.ok(progress.filter(({ loaded, total }) => loaded > 0 && loaded < total).length > 3, 'progress in between'),
});
fault('slow and gzipped', { how: [{ pace: 20, encoding: 'gzip' }], requests: 1 });
fault('gzip', { how: [{ encoding: 'gzip' }], requests: 1 });
fault('brotli', { how: [{ encoding: 'br' }], requests: 1 });
fault('gzip, no Content-Length', { how: [{ encoding: 'gzip', length: false }], requests: 1 });
fault('no Content-Length', { how: [{ length: false }], requests: 1 });
fault('wrong content type', { how: [{ type: 'text/html' }], requests: 1 });
fault('truncated file', {
  how: [{ body: bytes.subarray(0, bytes.length / 2) }],
  code: 'truncated',
  says: /has \d+ bytes, model\.json says/,
  requests: 2,
});
fault('empty file', { how: [{ body: Buffer.alloc(0) }], code: 'truncated', requests: 2 });
fault('file that is too long', {
  how: [{ body: Buffer.concat([bytes, bytes]) }],
  code: 'integrity',
  says: /more than the/,
  requests: 1,
});
fault('HTML with 200', {
  how: [{ body: Buffer.from('<!doctype html><h1>Welcome</h1>'), type: 'text/html' }],
  code: 'not-a-model',
  says: /web page/,
  requests: 1,
});
fault('long HTML with 200', {
  how: [{ body: Buffer.from(`<!doctype html>${'<p>Welcome</p>'.repeat(2e5)}`), pace: 5, type: 'text/html' }],
  code: 'not-a-model',
  says: /web page/,
  requests: 1,
});
fault('HTML for model.json', {
  path: MANIFEST,
  how: [{ body: Buffer.from('<html><h1>Welcome</h1>') }],
  code: 'not-a-model',
  says: /model\.json is a web page/,
  requests: 0,
});
fault('HTML for the labels', {
  path: LABELS,
  how: [{ body: Buffer.from('<html><h1>Welcome</h1>') }],
  code: 'not-a-model',
  says: /labels\.txt is a web page/,
});
fault('Git LFS pointer', {
  how: [{ body: Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:1\n') }],
  code: 'not-a-model',
  says: /git lfs pull/,
  requests: 1,
});
fault('JSON', { how: [{ body: Buffer.from('{"error": "quota"}') }], code: 'not-a-model', says: /JSON/, requests: 1 });
fault('gzip that is not undone', {
  how: [{ body: gzipSync(bytes) }],
  code: 'not-a-model',
  says: /Content-Encoding: gzip/,
  requests: 1,
});
fault('wrong bytes of the right length', {
  how: [{ body: Buffer.from(bytes).fill(7, 5000, 6000) }],
  code: 'integrity',
  says: /SHA-256/,
  requests: 1,
});
fault('connection cut half-way', {
  how: [{ cut: bytes.length / 2 }, {}],
  requests: 2,
  check: (_, seen) =>
    assert.deepEqual(
      seen.map(({ range }) => range),
      [undefined, `bytes=${bytes.length / 2}-`],
    ),
});
fault('connection cut half-way, no ranges', { how: [{ cut: bytes.length / 2 }, { ranges: false }], requests: 2 });
fault('connection cut half-way, under gzip', {
  how: [{ cut: 4e5, encoding: 'gzip' }, { encoding: 'gzip' }],
  requests: 2,
});
fault('connection cut half-way, and ranges that the browser cannot undo', {
  how: [{ cut: 4e5, encoding: 'gzip' }, { encoding: 'gzip', force: true, ranges: false }, {}],
  // Firefox undoes them, and has the whole file.
  requests: FIREFOX ? 2 : 3,
});
fault('connection cut every time after some progress', {
  how: [{ cut: 4e5 }, { cut: 4e5 }, { cut: 4e5 }, { cut: 4e5 }, {}],
  requests: 4,
});
fault('connection cut at once, for ever', {
  how: [{ cut: 0 }],
  code: 'network',
  says: /check the connection/,
  requests: 4,
});
fault('no length, and ends half-way', { how: [{ cut: bytes.length / 2, length: false }, {}], requests: 2 });
fault('resumed, but of another version', {
  how: [{ cut: bytes.length / 2 }, { body: classifier({ seed: 9 }) }, {}],
  requests: 3,
});
fault('stalls half-way', { how: [{ stall: bytes.length / 2 }, {}], requests: 2 });
fault('stalls at once, for ever', {
  how: [{ stall: 0 }],
  code: 'network',
  says: /stalled: no byte came for 1\.5 s/,
  requests: 4,
});
fault('weights in another file', {
  files: folder({ onnx: classifier({ external: true }) }),
  code: 'external-data',
  says: /weights\.bin/,
  requests: 1,
});
fault('model that was truncated before it was packed', {
  files: folder({ onnx: bytes.subarray(0, 9000) }),
  code: 'truncated',
  says: /ends in the middle/,
  requests: 1,
});
fault('operator that is not known', {
  files: folder({ onnx: classifier({ operator: 'Frobnicate' }) }),
  code: 'unsupported-operator',
  says: /Frobnicate/,
  requests: 1,
  keeps: true,
});
fault('model.json without a field', {
  files: folder({ change: (manifest) => delete manifest.input.mean }),
  code: 'bad-manifest',
  says: /input.*mean/,
  requests: 0,
});
fault('model.json that is no JSON', {
  path: MANIFEST,
  how: [{ body: Buffer.from('format: 1') }],
  code: 'bad-manifest',
  says: /model\.json/,
  requests: 0,
});
fault('labels that are too few', {
  path: LABELS,
  how: [{ body: Buffer.from('one\ntwo') }],
  code: 'bad-manifest',
  says: /2 labels for 64 classes/,
  requests: 1,
  keeps: true,
});
fault('a model far over the limit', {
  files: folder({ change: (manifest) => (manifest.weights.bytes = 4e9) }),
  code: 'over-memory-limit',
  says: /4000 MB of weights.*limit is \d+ MB. Raise `memoryLimit` to \d+e6/,
  requests: 0,
});

for (const [name, file] of /** @type {const} */ ([
  ['model.json', MANIFEST],
  ['the labels', LABELS],
  ['the weights', WEIGHTS],
])) {
  test(`aborted while it waits for ${name}`, { timeout: 60_000 }, async () => {
    const { server } = stage;
    const folderPath = `/models/fault-${(last += 1)}/`;
    server.put(folderPath, folder());
    server.behave(folderPath + file, { stall: 0 });
    await page.evaluate((model) => {
      const { load } = /** @type {any} */ (globalThis).whylens;
      const controller = new AbortController();
      const waiting = load(model, { signal: controller.signal }).catch((/** @type {any} */ error) => error.code);
      Object.assign(globalThis, { abort: () => (controller.abort(), waiting) });
    }, folderPath);
    const asked = () => server.seen.find(({ path }) => path === folderPath + file);
    while (!asked()) await new Promise((resolve) => setTimeout(resolve, 10));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const start = performance.now();
    const code = await page.evaluate(() => /** @type {any} */ (globalThis).abort());
    assert.equal(code, 'cancelled');
    while (!asked()?.closed && performance.now() < start + 5000) await new Promise((resolve) => setTimeout(resolve, 5));
    const took = (asked()?.closed ?? Infinity) - start;
    assert.ok(took < 100, `${took} ms`);
    server.behave(folderPath + file);
    assert.equal(await look(page, folderPath), 'ok');
  });
}

test('no connection at all', { timeout: 60_000 }, async () => {
  const fresh = await stage.page();
  await fresh.context().setOffline(true);
  const outcome = await attempt(fresh, SMALL, { retries: 1 });
  await fresh.context().setOffline(false);
  const next = await look(fresh);
  table.push(
    `| no connection at all | \`${outcome.code}\`: ${outcome.message?.replaceAll(stage.server.url, '')} | 0 | ${next === 'ok' ? 'yes' : next} |`,
  );
  assert.equal(outcome.code, 'network');
  assert.equal(next, 'ok');
  await fresh.context().close();
});

for (const [name, how, code] of /** @type {[string, Behaviour, string][]} */ ([
  ['no wasm file', { status: 404 }, 'http-status'],
  ['damaged wasm file', { body: Buffer.from('\0asm\x01\0\0\0\x01\x03not') }, 'integrity'],
  ['HTML for the wasm file', { body: Buffer.from('<!doctype html>'), type: 'text/html' }, 'integrity'],
])) {
  test(name, { timeout: 60_000 }, async () => {
    const fresh = await stage.page();
    for (const { folder } of [...BUILDS, COMPILE]) stage.server.behave(`/www/pkg/${folder}/whylens_bg.wasm`, how);
    const outcome = await attempt(fresh);
    for (const { folder } of [...BUILDS, COMPILE]) stage.server.behave(`/www/pkg/${folder}/whylens_bg.wasm`);
    const next = await look(fresh);
    table.push(
      `| ${name} | \`${outcome.code}\`: ${outcome.message?.replaceAll(stage.server.url, '')} | 0 | ${next === 'ok' ? 'yes' : next} |`,
    );
    assert.equal(outcome.code, code, outcome.message);
    assert.equal(next, 'ok');
    await fresh.context().close();
  });
}
