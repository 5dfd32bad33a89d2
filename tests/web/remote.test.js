// fetchModel(): the files of a model at an address or on the Hugging Face Hub, here a server with its layout

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { browse } from './browser.js';
import { Hub, SHA } from './hub.js';
import { classifier } from './onnx.js';
import { Server, TOP } from './server.js';

const read = (/** @type {string} */ name) => readFile(join(TOP, 'tests/golden/sources/optimum', name));

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Server} */
let server;
/** @type {import('playwright-core').Page} */
let page;
/** @type {Hub} */
let hub;
/** @type {Hub} the host of large files */
let cdn;
/** @type {Record<string, Buffer>} */
let files;

before(async () => {
  files = {
    'README.md': Buffer.from('# Birds'),
    'config.json': await read('config.json'),
    'preprocessor_config.json': await read('preprocessor_config.json'),
    'tokenizer.json': Buffer.from('{}'),
    'pytorch_model.bin': Buffer.alloc(2000),
    'onnx/model.onnx': await read('onnx/model.onnx'),
    'onnx/model_quantized.onnx': Buffer.alloc(2000),
  };
  [browser, server] = [await browse(), await new Server().start()];
  cdn = await new Hub({ model: 'acme/birds', files }).start();
  hub = await new Hub({ model: 'acme/birds', files, cdn: `http://127.0.0.1:${cdn.port}` }).start();
  page = await (await browser.newContext()).newPage();
  await page.goto(`${server.url}/blank.html`);
});
after(async () => {
  await browser?.close();
});

/**
 * Fetches in the page: what it gives, by path and size, or how it fails.
 * @param {string} address
 * @param {{ memoryLimit?: number, endpoint?: string, stopAt?: number }} [options]
 * @returns {Promise<{ found?: Record<string, number>, told: number[][], code?: string, message?: string, limit?:
 *   number }>}
 */
function fetched(address, { stopAt, ...options } = {}) {
  const given = { endpoint: `http://127.0.0.1:${hub.port}/`, ...options };
  return page.evaluate(
    async ({ address, given, stopAt }) => {
      const { fetchModel } = await import(String('/www/whylens.js'));
      /** @type {number[][]} */
      const told = [];
      const stop = new AbortController();
      try {
        const found = await fetchModel(address, {
          ...given,
          signal: stop.signal,
          onProgress: (/** @type {{loaded: number, total: number}} */ { loaded, total }) => {
            told.push([loaded, total]);
            if (stopAt !== undefined && loaded >= stopAt) stop.abort();
          },
        });
        const sizes = found instanceof File ? { [found.name]: found } : found;
        return {
          told,
          found: Object.fromEntries(Object.entries(sizes).map(([path, { size }]) => [path, size])),
        };
      } catch (error) {
        const { code, message, limit } = /** @type {any} */ (error);
        return { told, code, message, limit };
      }
    },
    { address, given, stopAt },
  );
}

/** @param {Partial<import('./hub.js').Repository>} faults @param {() => Promise<void>} act */
async function withFaults(faults, act) {
  const before = [hub.repository, cdn.repository];
  hub.repository = { ...hub.repository, ...faults };
  cdn.repository = { ...cdn.repository, ...faults };
  await act();
  [hub.repository, cdn.repository] = /** @type {[any, any]} */ (before);
}

const sizeOf = (/** @type {string} */ name) => files[name]?.length ?? NaN;

test('of a model on the Hub, only what packing needs is fetched, and nothing of the reader goes along', async () => {
  await page.context().addCookies([{ name: 'session', value: 'secret', domain: '127.0.0.1', path: '/' }]);
  hub.paths();
  cdn.paths();
  const { found, told } = await fetched('hf:acme/birds');
  assert.deepEqual(found, {
    'birds/config.json': sizeOf('config.json'),
    'birds/preprocessor_config.json': sizeOf('preprocessor_config.json'),
    'birds/onnx/model.onnx': sizeOf('onnx/model.onnx'),
  });
  for (const { headers } of [...hub.asked, ...cdn.asked])
    assert.deepEqual([headers.cookie, headers.referer, headers.authorization], [undefined, undefined, undefined]);
  assert.deepEqual(
    [...hub.paths(), ...cdn.paths()],
    [
      '/api/models/acme/birds/revision/main?blobs=true',
      `/acme/birds/resolve/${SHA}/config.json`,
      `/acme/birds/resolve/${SHA}/preprocessor_config.json`,
      `/acme/birds/resolve/${SHA}/onnx/model.onnx`,
      '/cdn/onnx%2Fmodel.onnx?signature=1',
    ],
  );
  const all = Object.values(found ?? {}).reduce((sum, size) => sum + size, 0);
  const [last = []] = told.slice(-1);
  assert.equal(last[0], last[1]);
  assert.ok(Number(last[1]) >= all, 'the total is that of all files');
  // The total is told before the first of its files.
  const list = Number(last[1]) - all;
  assert.deepEqual(
    told.find(([, total]) => total === last[1]),
    [list, last[1]],
  );
  await page.context().clearCookies();
});

test('the address of the page of a model, or of one of its files, names it too', async () => {
  const endpoint = `http://127.0.0.1:${hub.port}`;
  const { found } = await fetched(`${endpoint}/acme/birds/blob/main/onnx/model.onnx`);
  assert.ok(found?.['birds/onnx/model.onnx']);
  const { code, message } = await fetched('hf:acme/birds/onnx/other.onnx');
  assert.equal(code, 'bad-option');
  assert.match(String(message), /has no file onnx\/other\.onnx; it has onnx\/model\.onnx/);
});

test('weights in other files come along, from the Hub and from any address', async () => {
  const onnx = classifier({ external: true });
  const weights = classifier().subarray(0, 4);
  const hosted = { 'onnx/model.onnx': onnx, 'onnx/weights.bin': weights, 'weights.bin': Buffer.alloc(5) };
  await withFaults({ files: hosted }, async () => {
    const { found } = await fetched('hf:acme/birds');
    assert.deepEqual(found, { 'birds/onnx/model.onnx': onnx.length, 'birds/onnx/weights.bin': 4 });
  });
  await withFaults({ files: { 'onnx/model.onnx': onnx } }, async () => {
    const { code, message } = await fetched('hf:acme/birds');
    assert.equal(code, 'external-data');
    assert.match(String(message), /onnx\/model\.onnx keeps its weights in onnx\/weights\.bin, which is not there/);
  });
  server.put('/beside/', { 'model.onnx': onnx, 'weights.bin': weights });
  const { found } = await fetched('/beside/model.onnx');
  assert.deepEqual(found, { 'model.onnx': onnx.length, 'weights.bin': 4 });
});

test('an ONNX file or a zip at any address is fetched by itself', async () => {
  const other = await new Server({ 'access-control-allow-origin': '*' }).start();
  const onnx = await read('onnx/model.onnx');
  other.put('/some where/', { 'birds.onnx': onnx });
  const { found } = await fetched(`${other.url}/some%20where/birds.onnx?x=1`);
  assert.deepEqual(found, { 'birds.onnx': onnx.length });
  other.put('/', { 'birds.zip': Buffer.from('PK') });
  assert.deepEqual((await fetched(`${other.url}/birds.zip`)).found, { 'birds.zip': 2 });
  // Relative to the page.
  const { found: own } = await fetched('/tests/golden/sources/optimum/onnx/model.onnx');
  assert.deepEqual(own, { 'model.onnx': onnx.length });
  await other.stop();
});

test('what is refused, missing or damaged is told apart', async () => {
  const message = async (/** @type {string} */ address, /** @type {string} */ code, options = {}) => {
    const found = await fetched(address, options);
    assert.equal(found.code, code, JSON.stringify(found));
    return String(found.message);
  };
  assert.match(await message('hf:acme/dogs', 'forbidden'), /no such model on the Hub, or it is private or gated/);
  assert.match(await message('hf:acme', 'forbidden'), /status 401/);
  assert.match(await message('hf:../birds', 'bad-option'), /hf:ORG\/NAME/);
  await withFaults({ refuses: 403 }, async () => {
    assert.match(await message('hf:acme/birds', 'forbidden'), /status 403.*private or gated/);
  });
  await withFaults({ files: { 'model.safetensors': Buffer.alloc(9) } }, async () => {
    assert.match(await message('hf:acme/birds', 'not-a-model'), /optimum-cli export onnx --model acme\/birds/);
  });
  await withFaults({ files: { 'x.onnx': Buffer.alloc(9), 'y.onnx': Buffer.alloc(9) } }, async () => {
    assert.match(await message('hf:acme/birds', 'bad-option'), /such as hf:acme\/birds\/x\.onnx: x\.onnx, y\.onnx/);
  });
  await withFaults({ damaged: true }, async () => {
    assert.match(await message('hf:acme/birds', 'integrity'), /the Hub says [0-9a-f]{64}; try again/);
  });
  await withFaults({ silent: true }, async () => {
    const host = `127.0.0.1:${hub.port}`;
    assert.match(await message('hf:acme/birds', 'forbidden'), new RegExp(`${host} does not let other pages read`));
  });
  const gone = await new Server().start();
  const { url } = gone;
  await gone.stop();
  assert.match(await message(`${url}/x.onnx`, 'network'), /cannot be reached.*check the connection/);
  assert.match(await message(`${server.url}/nothing.onnx`, 'http-status'), /status 404; check the name or the address/);
  await message(`${server.url}/blank.html?x.onnx`, 'not-a-model');
  assert.match(await message('ftp://acme/x.onnx', 'bad-option'), /cannot be downloaded/);
});

test('a model that could not be packed in the memory that may be used is not downloaded', async () => {
  cdn.paths();
  const { code, limit } = await fetched('hf:acme/birds', { memoryLimit: 1e5 });
  assert.equal(code, 'over-memory-limit');
  assert.ok(Number(limit) >= 2.5 * sizeOf('onnx/model.onnx'));
  assert.deepEqual(cdn.paths(), []);
});

test('giving up ends the download', async () => {
  const large = Buffer.concat([await read('onnx/model.onnx'), Buffer.alloc(2 ** 23)]);
  await withFaults({ files: { ...files, 'onnx/model.onnx': large }, pace: 50 }, async () => {
    const { code, told } = await fetched('hf:acme/birds', { stopAt: 2e5 });
    assert.equal(code, 'cancelled');
    assert.ok(Number(told.at(-1)?.[0]) < large.length);
  });
});

test('load() takes model folders, and says what to do with an exported model', async () => {
  const messages = await page.evaluate(async () => {
    const { load } = await import(String('/www/whylens.js'));
    const failure = (/** @type {string} */ address) => load(address).catch((/** @type {any} */ error) => error.message);
    return Promise.all(['hf:acme/birds', 'models/birds.onnx'].map(failure));
  });
  for (const message of messages) assert.match(message, /not a model folder.*whylens pack.*fetchModel/);
});
