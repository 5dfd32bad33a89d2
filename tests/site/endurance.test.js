// Many classifications, model switches and disposals: what is left of them. `WHYLENS_ENDURE=1000` for the
// long run (about half an hour); 60 by default.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { FIREFOX } from '../web/browser.js';
import { classifier, folder } from '../web/onnx.js';
import { SMALL, Stage } from '../web/page.js';
import { devtools } from './devtools.js';

/** The library in the page. @type {typeof import('../../www/whylens.js')} */
const whylens = /** @type {any} */ (undefined);

const TURNS = Number(process.env['WHYLENS_ENDURE'] ?? 60);
const OTHER = '/models/other/';
const REAL = '/models/efficientnet-lite0/';
/** Turns after which memory is looked at for the first time. */
const FIRST = 10;

const stage = new Stage();
const { server } = stage;
before(async () => {
  await stage.start();
  server.put(OTHER, folder({ onnx: classifier({ seed: 9 }), name: 'Other' }));
});
after(() => stage.stop());

/** What the page is given before its own scripts: each call of `evaluate` leaves its script in the heap. */
function setUp() {
  const urls = new Set();
  const { createObjectURL, revokeObjectURL } = URL;
  URL.createObjectURL = (object) => {
    const url = createObjectURL.call(URL, object);
    urls.add(url);
    return url;
  };
  URL.revokeObjectURL = (url) => {
    urls.delete(url);
    revokeObjectURL.call(URL, url);
  };
  /** @param {number} seed @param {number} width @param {number} height @param {string} type */
  const draw = async (seed, width, height, type) => {
    const canvas = new OffscreenCanvas(width, height);
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
    for (let at = 0; at < 12; at += 1) {
      context.fillStyle = `hsl(${(seed * 47 + at * 31) % 360} 80% ${20 + ((seed + at) % 6) * 12}%)`;
      context.fillRect(
        (((seed * 13 + at * 29) % 17) / 17) * width,
        (((seed * 7 + at * 19) % 23) / 23) * height,
        width / 3,
        height / 4,
      );
    }
    if (type === 'pixels') return context.getImageData(0, 0, width, height);
    if (type === 'bitmap') return canvas.transferToImageBitmap();
    return canvas.convertToBlob({ type, quality: 0.8 });
  };
  /**
   * Classifies photos of mixed sizes and kinds, each with a heatmap of another class, and checks each
   * result; changes the model in use now and then, and lets go of one.
   * @param {number} from
   * @param {number} to
   * @param {string[]} models
   */
  const endure = async (from, to, models) => {
    const sizes = [
      [40, 30],
      [640, 480],
      [31, 900],
      [1600, 1200],
      [16, 16],
      [900, 1600],
      [2400, 1600],
      [333, 777],
    ];
    // WebAssembly memory never shrinks, so the first turns see the largest photo in every form.
    const size = (/** @type {number} */ turn) => sizes[turn < 10 && turn % 2 === 0 ? 6 : turn % sizes.length] ?? [];
    const kinds = ['image/jpeg', 'pixels', 'image/png', 'bitmap', 'image/webp'];
    for (let turn = from; turn < to; turn += 1) {
      const model = models[Math.floor(turn / 5) % models.length] ?? '';
      const [width = 1, height = 1] = size(turn);
      const photo = await draw(turn, width, height, kinds[turn % kinds.length]);
      const classifier = await whylens.load(model, { preload: 'eager' });
      const controller = new AbortController();
      const result = await classifier.classify(photo, {
        heatmap: { classIndex: turn % 64 },
        signal: controller.signal,
      });
      if (photo instanceof ImageBitmap) photo.close();
      const { image, heatmap } = result;
      if (image.width !== width || image.height !== height || heatmap?.classIndex !== turn % 64)
        throw new Error(`turn ${turn}: ${JSON.stringify(image)}`);
      const another = await classifier.heatmap(result, { classIndex: (turn + 1) % 64 });
      await classifier.render(another, { width: 160, height: 120 });
      if (turn % 7 === 0) await classifier.classify(new Uint8Array([turn % 256, 1, 2])).catch(() => {});
      if (turn % 11 === 0) {
        const given = new AbortController();
        const waiting = classifier.classify(new ImageData(8, 8), { signal: given.signal }).catch(() => {});
        given.abort();
        await waiting;
      }
      if (turn % 4 === 3) await classifier.dispose();
    }
  };
  Object.assign(globalThis, { urls, photo: draw, endure });
}

/**
 * Bytes of a heap but for compiled code, which grows for as long as the compiler finds something to do.
 * @param {{ snapshot: { meta: { node_fields: string[], node_types: string[][] } }, nodes: number[] }} heap
 */
function objects({ snapshot: { meta }, nodes }) {
  const [type, size] = ['type', 'self_size'].map((field) => meta.node_fields.indexOf(field));
  let sum = 0;
  for (let at = 0; at < nodes.length; at += meta.node_fields.length) {
    const kind = meta.node_types[0]?.[nodes[at + (type ?? 0)] ?? 0] ?? '';
    if (!['code', 'hidden', 'native', 'object shape', 'synthetic'].includes(kind)) sum += nodes[at + (size ?? 0)] ?? 0;
  }
  return sum;
}

/**
 * What Chromium's devtools say of the page, after everything that can be thrown away was.
 * @param {import('playwright-core').Page} page
 */
async function inspected(page) {
  const session = await page.context().newCDPSession(page);
  for (let turn = 0; turn < 3; turn += 1) await session.send('HeapProfiler.collectGarbage');
  let text = '';
  session.on('HeapProfiler.addHeapSnapshotChunk', ({ chunk }) => (text += chunk));
  await session.send('HeapProfiler.takeHeapSnapshot', { reportProgress: false });
  await session.send('Performance.enable');
  const { metrics } = await session.send('Performance.getMetrics');
  const metric = (/** @type {string} */ name) => metrics.find((one) => one.name === name)?.value ?? 0;
  await session.detach();
  const browserSession = await stage.browser.newBrowserCDPSession();
  const { processInfo } = await browserSession.send('SystemInfo.getProcessInfo');
  await browserSession.detach();
  const renderers = processInfo
    .filter(({ type }) => type === 'renderer')
    .map(({ id }) => {
      const rollup = readFileSync(`/proc/${id}/smaps_rollup`, 'utf8');
      return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) * 1024;
    });
  return {
    heap: objects(JSON.parse(text)),
    listeners: metric('JSEventListeners'),
    nodes: metric('Nodes'),
    process: Math.max(...renderers),
  };
}

/**
 * What the browser holds. Firefox tells nothing of its heap over WebDriver BiDi: there it is the rest.
 * @param {import('playwright-core').Page} page
 */
async function held(page) {
  return {
    ...(FIREFOX ? { heap: 0, listeners: 0, nodes: 0, process: 0 } : await inspected(page)),
    workers: page.workers().length,
    urls: await page.evaluate(() => /** @type {any} */ (globalThis).urls.size),
    wasm: await page.evaluate(
      async (models) => {
        const registry = /** @type {any} */ (globalThis)[Symbol.for('whylens')];
        for (const model of models)
          if (registry.models.size > 0) return (await whylens.health(model)).memory?.wasm ?? 0;
        return 0;
      },
      [SMALL],
    ),
  };
}

/**
 * @param {import('playwright-core').Page} page
 * @param {number} from
 * @param {number} to
 * @param {string[]} models
 */
const endure = (page, from, to, models) =>
  page.evaluate(
    ([from, to, models]) => /** @type {any} */ (globalThis).endure(from, to, models),
    /** @type {const} */ ([from, to, models]),
  );

/**
 * Disposes of all models, which ends the worker.
 * @param {import('playwright-core').Page} page
 * @param {string[]} models
 */
async function letGo(page, models) {
  await page.evaluate(async (models) => {
    for (const model of models) await (await whylens.load(model, { preload: 'lazy' })).dispose();
  }, models);
  while (page.workers().length > 0) await page.waitForTimeout(50);
}

test(
  `${TURNS} classifications leave no memory, listener, worker or object URL behind`,
  { timeout: TURNS * 6000 + 120_000 },
  async () => {
    const page = await stage.page({ before: setUp });
    await page.evaluate(
      () => void Object.assign(/** @type {any} */ (globalThis)[Symbol.for('whylens')], { idleTime: 200 }),
    );
    await endure(page, 0, FIRST, [SMALL, OTHER]);
    await page.waitForTimeout(1000);
    const first = await held(page);
    console.log(`after ${FIRST}: ${JSON.stringify(first)}`);
    const part = Math.ceil((TURNS - FIRST) / 4);
    for (let turn = FIRST; turn < TURNS; turn += part) {
      await endure(page, turn, Math.min(turn + part, TURNS), [SMALL, OTHER]);
      const now = await held(page);
      console.log(`after ${Math.min(turn + part, TURNS)}: ${JSON.stringify(now)}`);
      // WebAssembly memory never shrinks and is cut up by large photos: by no more than two of the largest.
      assert.ok(now.wasm <= first.wasm + 2 * 2400 * 1600 * 3, `wasm: ${first.wasm} after ${FIRST}, ${now.wasm} now`);
    }
    await letGo(page, [SMALL, OTHER]);
    await endure(page, 0, FIRST, [SMALL, OTHER]);
    await page.waitForTimeout(1000);
    const last = await held(page);
    console.log(`after ${TURNS + FIRST}: ${JSON.stringify(last)}`);
    for (const what of /** @type {const} */ (['heap', 'wasm'])) {
      assert.ok(
        last[what] <= first[what] * 1.05,
        `${what}: ${first[what]} after ${FIRST}, ${last[what]} after ${TURNS}`,
      );
    }
    assert.deepEqual([last.listeners, last.nodes, last.workers, last.urls], [first.listeners, first.nodes, 1, 0]);
    await letGo(page, [SMALL, OTHER]);
    assert.equal(page.workers().length, 0, 'no worker is left');
    assert.equal(await page.evaluate(async () => (await navigator.locks.query()).held?.length), 0, 'no lock is left');
    await page.context().close();
  },
);

test('the default model and a small one by turns keep within their memory', { timeout: 300_000 }, async () => {
  const page = await stage.page({ before: setUp });
  await page.evaluate(
    () => void Object.assign(/** @type {any} */ (globalThis)[Symbol.for('whylens')], { idleTime: 200 }),
  );
  await endure(page, 0, FIRST, [REAL, SMALL]);
  await page.waitForTimeout(1500);
  const first = await held(page);
  await endure(page, FIRST, 3 * FIRST, [REAL, SMALL]);
  const between = await held(page);
  assert.ok(between.wasm <= first.wasm * 1.25, `${first.wasm} ${between.wasm}`);
  await letGo(page, [REAL, SMALL]);
  await endure(page, 0, FIRST, [REAL, SMALL]);
  await page.waitForTimeout(1500);
  const last = await held(page);
  console.log(
    `with the default model after ${FIRST}: ${JSON.stringify(first)}, after ${4 * FIRST}: ${JSON.stringify(last)}`,
  );
  assert.ok(last.wasm <= first.wasm * 1.05, `${first.wasm} ${last.wasm}`);
  assert.deepEqual([last.listeners, last.workers, last.urls], [first.listeners, 1, 0]);
  await page.context().close();
});

test('24 callers at once keep their order and get their own results', { timeout: 120_000 }, async () => {
  const page = await stage.page({ before: setUp });
  const results = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    /** @type {number[]} */
    const order = [];
    const alone = await Promise.all(
      Array.from({ length: 24 }, (_, at) =>
        /** @type {any} */ (globalThis).photo(at, 60 + at, 90 - at, at % 2 ? 'image/png' : 'pixels'),
      ),
    );
    /** @type {number[][]} */
    const wanted = [];
    for (const photo of alone) {
      const { scores = [] } = await classifier.classify(photo, { scores: true, heatmap: false });
      wanted.push(Array.from(scores));
    }
    const together = await Promise.all(
      alone.map(async (photo, at) => {
        const result = await classifier.classify(photo, { scores: true, heatmap: { classIndex: at } });
        order.push(at);
        return result;
      }),
    );
    return {
      order,
      own: together.every(
        ({ image, heatmap, scores }, at) =>
          image.width === 60 + at &&
          image.height === 90 - at &&
          heatmap?.classIndex === at &&
          Array.from(scores ?? []).every((score, index) => score === wanted[at]?.[index]),
      ),
      distinct: new Set(wanted.map(String)).size,
    };
  }, SMALL);
  assert.deepEqual(results, { order: Array.from({ length: 24 }, (_, at) => at), own: true, distinct: 24 });
  await page.context().close();
});

test(
  'a tab that is hidden, frozen and back results what was asked before and after',
  { timeout: 120_000, skip: FIREFOX && 'only Chromium freezes a tab when asked' },
  async () => {
    const browser = await devtools();
    const tab = await browser.tab(`${server.url}/blank.html`);
    await tab.evaluate(`(async () => {
    globalThis.states = [];
    for (const type of ['visibilitychange', 'freeze', 'resume']) document.addEventListener(type, () => states.push(type));
    const { load } = await import('/www/whylens.js');
    globalThis.classifier = await load('${SMALL}');
    globalThis.look = async (width) => (await classifier.classify(new ImageData(width, 10))).image.width;
    globalThis.answered = [];
  })()`);
    const other = await browser.tab('about:blank');
    await other.front();
    assert.equal(await tab.evaluate('document.visibilityState'), 'hidden');
    assert.equal(await tab.evaluate('look(21)'), 21, 'asked while hidden');
    await tab.evaluate(
      'for (const width of [10, 11, 12, 13]) look(width).then((answer) => answered.push(answer), (error) => answered.push(error.code)); 0',
    );
    await tab.send('Page.setWebLifecycleState', { state: 'frozen' });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await tab.send('Page.setWebLifecycleState', { state: 'active' });
    assert.equal(await tab.evaluate('look(22)'), 22, 'asked after it was frozen');
    await tab.front();
    assert.equal(await tab.evaluate('look(23)'), 23, 'asked when it is back');
    assert.deepEqual(await tab.evaluate('answered'), [10, 11, 12, 13]);
    assert.deepEqual(await tab.evaluate('states'), ['visibilitychange', 'freeze', 'resume', 'visibilitychange']);
    const { counters } = await tab.evaluate('classifier.health()');
    assert.deepEqual([counters.loads, counters.crashes, counters.weightsRequested], [1, 0, 1]);
    await browser.close();
  },
);

test('a page that was left and came back works', { timeout: 120_000 }, async () => {
  const page = await stage.page({ before: setUp });
  const look = () =>
    page.evaluate(async (model) => {
      const path = '/www/whylens.js';
      const library = /** @type {typeof import('../../www/whylens.js')} */ (await import(path));
      return (await (await library.load(model)).classify(new ImageData(17, 5))).image.width;
    }, SMALL);
  assert.equal(await look(), 17);
  await page.goto(`${server.url}/blank.html?elsewhere`);
  await page.goBack();
  assert.equal(await look(), 17);
  await page.context().close();
});

test('elements that come and go leave no listener, worker or object URL', { timeout: 120_000 }, async () => {
  const page = await stage.page({ before: setUp });
  const turn = () =>
    page.evaluate(async ([one, two]) => {
      const path = '/www/why-lens.js';
      await import(path);
      for (const model of [one, two, one]) {
        const elements = [1, 2, 3].map(() => Object.assign(document.createElement('why-lens'), {}));
        for (const element of elements) {
          element.setAttribute('model', model ?? '');
          document.body.append(element);
        }
        const photos = await Promise.all(
          [50, 60, 70].map((size) => /** @type {any} */ (globalThis).photo(size, size, 40, 'image/png')),
        );
        await Promise.all(elements.map((element, at) => /** @type {any} */ (element).classify(photos[at])));
        for (const element of elements) element.remove();
      }
    }, /** @type {const} */ ([SMALL, OTHER]));
  await turn();
  const first = await held(page);
  for (let more = 0; more < 5; more += 1) await turn();
  const last = await held(page);
  console.log(`elements: ${JSON.stringify(first)} ${JSON.stringify(last)}`);
  assert.deepEqual([last.listeners, last.nodes, last.workers, last.urls], [first.listeners, first.nodes, 1, 0]);
  await page.context().close();
});

test('nothing that was not expected was thrown on the page', () => assert.deepEqual(stage.errors, []));
