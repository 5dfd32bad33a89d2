// The library in places that are not an ordinary page of its own site.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { health, inspectModel, load, packModel } from '../../www/whylens.js';
import { WhyLens } from '../../www/why-lens.js';
import { FIREFOX, WEBKIT, browse } from './browser.js';
import { folder } from './onnx.js';
import { SMALL } from './page.js';
import { Server } from './server.js';

/** The site whose page imports the library. */
const site = new Server();
/** Where the library and the model are: another origin, which lets others read. */
const cdn = new Server({ 'access-control-allow-origin': '*' });
/** @type {import('playwright-core').Browser} */
let browser;
const options = { timeout: 60_000 };

before(async () => {
  for (const server of [site, cdn]) {
    await server.start();
    server.put(SMALL, folder());
  }
  browser = await browse();
});
after(async () => {
  await browser?.close();
  for (const server of [site, cdn]) await server.stop();
});

/**
 * A page that imports the library of the other origin, and what its first load gives.
 * @param {string} [policy] of the page
 * @param {string} [path] of the model
 */
async function fromElsewhere(policy, path = SMALL) {
  site.behave('/blank.html', policy ? { headers: { 'content-security-policy': policy } } : {});
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${site.url}/blank.html`);
  const outcome = await page.evaluate(look, { library: `${cdn.url}/www/whylens.js`, model: cdn.url + path });
  await page.context().close();
  return outcome;
}

/** @param {{ library: string, model: string }} from */
async function look({ library, model }) {
  try {
    const whylens = await import(library);
    const classifier = await whylens.load(model, { preload: 'eager', retries: 0, build: 'simd128' });
    const { predictions } = await classifier.classify(new ImageData(32, 32), { topK: 2 });
    const { build } = await classifier.health();
    return { code: 'ok', message: `${predictions.length} ${build}` };
  } catch (error) {
    const { code, message } = /** @type {{ code?: string, message: string }} */ (error);
    return { code: code ?? 'none', message };
  }
}

test('imported from another origin it works, with its switches', options, async () => {
  assert.deepEqual(await fromElsewhere(), { code: 'ok', message: '2 simd128' });
});

const needed = () => `script-src ${cdn.url} 'unsafe-eval' 'wasm-unsafe-eval'; connect-src ${cdn.url}`;

test('with the policy that the docs name it works', options, async () => {
  const { code, message } = await fromElsewhere(`default-src 'none'; worker-src blob: ${cdn.url}; ${needed()}`);
  assert.equal(code, 'ok', message);
});

test('a policy that forbids its worker is told apart from the network', options, async () => {
  const { code, message } = await fromElsewhere(`default-src 'none'; worker-src 'self'; ${needed()}`);
  assert.equal(code, 'unsupported-browser', message);
  assert.match(message, /worker-src blob:/);
});

test('a worker that cannot be fetched is a matter of the network', options, async () => {
  cdn.behave('/www/worker/worker.js', { status: 503 });
  const { code, message } = await fromElsewhere();
  cdn.behave('/www/worker/worker.js');
  assert.equal(code, 'network', message);
});

test('a policy of the own site that forbids workers is told too', options, async () => {
  site.behave('/blank.html', { headers: { 'content-security-policy': "worker-src 'none'" } });
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${site.url}/blank.html`);
  const { code, message } = await page.evaluate(look, { library: `${site.url}/www/whylens.js`, model: SMALL });
  assert.equal(code, 'unsupported-browser', message);
  assert.match(message, /worker-src/);
  await page.context().close();
});

test('in a sandboxed frame it works, with nothing kept', options, async () => {
  site.behave('/blank.html', {});
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${site.url}/blank.html`);
  await page.evaluate(() => {
    const frame = Object.assign(document.createElement('iframe'), { srcdoc: '<!doctype html><title>in</title>' });
    frame.setAttribute('sandbox', 'allow-scripts');
    document.body.append(frame);
    return new Promise((resolve) => frame.addEventListener('load', resolve));
  });
  const frame = page.frames()[1];
  assert.ok(frame);
  const outcome = await frame.evaluate(look, { library: `${cdn.url}/www/whylens.js`, model: cdn.url + SMALL });
  assert.equal(outcome.code, 'ok', outcome.message);
  await page.context().close();
});

test('in a service worker it names the way out', { ...options, skip: FIREFOX && 'no modules there' }, async () => {
  const page = await (await browser.newContext()).newPage();
  site.behave('/sw-test.js', { type: 'text/javascript' });
  const script = `
    import { load } from '/www/whylens.js';
    addEventListener('message', ({ source, data }) =>
      load('${SMALL}').catch(({ code, message }) => source.postMessage({ code, message })));
    addEventListener('activate', (event) => event.waitUntil(clients.claim()));`;
  site.put('/', { 'sw-test.js': Buffer.from(script) });
  await page.goto(`${site.url}/blank.html`);
  const answer = await page.evaluate(async () => {
    const { serviceWorker } = navigator;
    await serviceWorker.register('/sw-test.js', { type: 'module' });
    const { active } = await serviceWorker.ready;
    const said = new Promise((resolve) => serviceWorker.addEventListener('message', ({ data }) => resolve(data)));
    serviceWorker.startMessages();
    active?.postMessage('load');
    return /** @type {Promise<{ code: string, message: string }>} */ (said);
  });
  assert.equal(answer.code, 'unsupported-browser');
  assert.match(answer.message, /offscreen document/);
  await page.context().close();
});

test('on a server its files can be imported, and every call is refused by its code', async () => {
  assert.equal(typeof WhyLens, 'function');
  const refused = { name: 'WhylensError', code: 'unsupported-browser' };
  await assert.rejects(() => load('models/x/'), refused);
  await assert.rejects(() => health('models/x/'), refused);
  await assert.rejects(() => inspectModel(new Blob()), refused);
  await assert.rejects(() => packModel(new Blob(), 'a', { name: 'a' }), refused);
});

/**
 * An address at https://, which the test answers itself.
 * @param {import('playwright-core').BrowserContext} context
 */
async function secure(context) {
  await context.route('https://secure.test/**', async (route) => {
    const { pathname } = new URL(route.request().url());
    await route.fulfill({ response: await context.request.get(site.url + pathname) });
  });
  const page = await context.newPage();
  await page.goto('https://secure.test/blank.html');
  return page;
}

test(
  'a secure page names an address that is not encrypted as the cause',
  { ...options, skip: (FIREFOX || WEBKIT) && 'requests of workers are answered in Chromium only' },
  async () => {
    const page = await secure(await browser.newContext());
    const codes = await page.evaluate(async () => {
      const whylens = await import(String('/www/whylens.js'));
      const code = (/** @type {{ code: string, message: string }} */ { code, message }) => `${code}: ${message}`;
      const hasty = { preload: 'eager', retries: 0, stallTimeout: 20_000 };
      return [
        await whylens.load('http://models.test/small/', hasty).catch(code),
        await whylens.fetchModel('http://models.test/model.onnx').catch(code),
        await whylens.load('https://models.test/small/', hasty).catch(code),
      ];
    });
    assert.match(codes[0], /^insecure-address: http:\/\/models\.test.* give its https:\/\/ address/);
    assert.match(codes[1], /^insecure-address: /);
    assert.match(codes[2], /^network: /);
    await page.context().close();
  },
);
