// Memory and recovery: what a worker that dies or grows costs the page.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { BUILDS, COMPILE } from '../../www/library/features.js';
import { PANIC, listenIn, serveEndings } from './ending.js';
import { classifier, folder, hoarding } from './onnx.js';
import { SMALL, Stage, attempt, health, look, workers } from './page.js';
import { TOP } from './server.js';

/** @typedef {import('./ending.js').Fault} Fault */

const stage = new Stage();
const { server } = stage;
const REAL = '/models/efficientnet-lite0/';
const options = { timeout: 120_000 };
/** @type {string[]} */
const table = [];

/** The library in the page. @type {import('./page.js').Library} */
const whylens = /** @type {any} */ (undefined);

before(async () => {
  await stage.start();
  await serveEndings(server);
});

/** A page whose workers can be ended. */
const opened = () => stage.page({ before: listenIn });
after(async () => {
  console.log(
    ['| fault | what the user sees | requests afterwards | next call works |', '|---|---|---|---|', ...table].join(
      '\n',
    ),
  );
  await stage.stop();
});

/**
 * From now on every classification ends the worker in this way; none: no more.
 * @param {import('playwright-core').Page} page
 * @param {Fault | undefined} fault
 */
const provoke = (page, fault) => page.evaluate((fault) => /** @type {any} */ (globalThis).provoke(fault), fault);

/**
 * Bytes of the worker's memory as the page was told last, whatever is loaded.
 * @param {import('playwright-core').Page} page
 * @returns {Promise<number>}
 */
const wasm = (page) =>
  page.evaluate(() => /** @type {any} */ (globalThis)[Symbol.for('whylens')].connection.memory.wasm);

for (const [fault, code, says] of /** @type {[Fault, string, RegExp][]} */ ([
  ['panic', 'worker-crashed', /^the worker ended: capacity overflow; try again/],
  ['unreachable', 'worker-crashed', /unreachable/i],
  ['out-of-memory', 'out-of-memory', /no more memory.*smaller photo or model/],
  ['close', 'worker-crashed', /the browser ended the worker/],
])) {
  test(`${fault}: what was under way is rejected, the next call works without a download`, options, async () => {
    const page = await opened();
    assert.equal(await look(page), 'ok');
    server.forget();
    await provoke(page, fault);
    const errors = await page.evaluate(async (model) => {
      const classifier = await whylens.load(model);
      const calls = [30, 31, 32].map((width) => classifier.classify(new ImageData(width, 30)));
      return Promise.all(
        calls.map((call) =>
          call.then(
            () => ({ code: 'ok', message: '' }),
            ({ code, message }) => ({ code, message }),
          ),
        ),
      );
    }, SMALL);
    await provoke(page, undefined);
    const next = await look(page);
    const made = server.count(/\.(onnx|wasm)$/);
    table.push(
      `| ${fault} | \`${errors[0]?.code}\`: ${errors[0]?.message} | ${made} | ${next === 'ok' ? 'yes' : next} |`,
    );
    assert.equal(errors[0]?.code, code, errors[0]?.message);
    assert.match(errors[0]?.message ?? '', says);
    assert.ok(
      errors.every((error) => error.code === code),
      JSON.stringify(errors),
    );
    assert.equal(next, 'ok');
    assert.equal(made, 0, 'requests for weights and wasm');
    const { counters } = await health(page);
    assert.deepEqual([counters.weightsRequested, counters.loads], [1, counters.crashes + 1]);
    assert.equal(await workers(page), 1);
    await page.context().close();
  });
}

test(
  'a worker that does not stop what was given up is replaced, and one whose calls wait their turn is not',
  options,
  async () => {
    const page = await opened();
    await page.evaluate(() => Object.assign(/** @type {any} */ (globalThis)[Symbol.for('whylens')], { toStop: 700 }));
    assert.equal(await look(page), 'ok');
    server.forget();
    const waiting = await page.evaluate(async (model) => {
      const classifier = await whylens.load(model);
      const controller = new AbortController();
      const first = classifier.classify(new ImageData(30, 30), { heatmap: { method: 'occlusion' } });
      const others = [31, 32].map((width) =>
        classifier.classify(new ImageData(width, 30), { signal: controller.signal }),
      );
      setTimeout(() => controller.abort(), 20);
      const start = performance.now();
      const codes = await Promise.all(
        others.map((call) =>
          call.then(
            () => 'ok',
            ({ code }) => code,
          ),
        ),
      );
      const prompt = performance.now() - start < 500;
      return [
        ...codes,
        prompt,
        await first.then(
          () => 'ok',
          ({ code }) => code,
        ),
      ];
    }, SMALL);
    assert.deepEqual(waiting, ['cancelled', 'cancelled', true, 'ok']);
    assert.equal((await health(page)).counters.crashes, 0);

    await provoke(page, 'hang');
    const hung = await page.evaluate(async (model) => {
      const classifier = await whylens.load(model);
      const controller = new AbortController();
      const call = classifier.classify(new ImageData(30, 30), { signal: controller.signal });
      setTimeout(() => controller.abort(), 200);
      return call.then(
        () => 'ok',
        ({ code }) => code,
      );
    }, SMALL);
    await provoke(page, undefined);
    const next = await look(page);
    const made = server.count(/\.(onnx|wasm)$/);
    table.push(
      `| a call that does not stop when it is given up | \`${hung}\` | ${made} | ${next === 'ok' ? 'yes' : next} |`,
    );
    assert.deepEqual([hung, next, made], ['cancelled', 'ok', 0]);
    assert.equal((await health(page)).counters.crashes, 1);
    await page.context().close();
  },
);

test('a photo that ends the worker ends none of those that wait behind it', options, async () => {
  const page = await opened();
  await attempt(page);
  server.forget();
  const outcomes = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    /** @type {any} */ (globalThis).provoke('panic', 31);
    const photos = [30, 31, 32, 33].map((width) => classifier.classify(new ImageData(width, 30)));
    return Promise.all(
      photos.map((photo) =>
        photo.then(
          ({ image }) => image.width,
          ({ code }) => code,
        ),
      ),
    );
  }, SMALL);
  assert.deepEqual(outcomes, [30, 'worker-crashed', 32, 33]);
  assert.equal(server.count(/\.(onnx|wasm)$/), 0);
  assert.equal((await health(page)).counters.crashes, 1);
  await page.context().close();
});

test('three crashes in a row on the same photo stop, and another photo still works', options, async () => {
  const page = await opened();
  await attempt(page);
  await provoke(page, 'panic');
  const messages = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    /** @type {string[]} */
    const messages = [];
    // The same bytes, not the same object.
    for (let turn = 0; turn < 5; turn += 1) {
      await classifier.classify(new Uint8Array([1, 2, 3])).catch(({ message }) => messages.push(message));
    }
    return messages;
  }, SMALL);
  assert.equal(messages.filter((message) => /capacity overflow/.test(message)).length, 3, messages.join('\n'));
  assert.equal(messages.filter((message) => /3 times in a row and is not tried again/.test(message)).length, 2);
  await provoke(page, undefined);
  assert.equal(await look(page), 'ok');
  assert.equal((await health(page)).counters.crashes, 3);
  await page.context().close();
});

for (const [when, trap] of /** @type {const} */ ([
  ['at once', `${PANIC};`],
  // The trap comes out of the module's own queue, not of the call.
  [
    'in the middle',
    `const tell = progress; progress = (...news) => (tell(...news), news[0] === 'prepare' && setTimeout(() => ${PANIC}));`,
  ],
])) {
  test(
    `a model whose load ends the worker ${when} is given up after three times, and others still load`,
    options,
    async () => {
      const head = 'export function load(url, options, progress, signal) {';
      for (const { folder: build } of [...BUILDS, COMPILE]) {
        const glue = await readFile(join(TOP, `www/pkg/${build}/whylens.js`), 'utf8');
        assert.ok(glue.includes(head));
        const body = Buffer.from(glue.replace(head, `${head} if (url.includes('/models/fragile/')) { ${trap} }`));
        server.behave(`/www/pkg/${build}/whylens.js`, { body });
      }
      server.put('/models/fragile/', folder());
      const page = await opened();
      assert.equal(await look(page), 'ok');
      const outcomes = [];
      for (let turn = 0; turn < 5; turn += 1) outcomes.push(await attempt(page, '/models/fragile/'));
      server.forget();
      assert.ok(
        outcomes.every(({ code }) => code === 'worker-crashed'),
        JSON.stringify(outcomes),
      );
      assert.equal(
        outcomes.filter(({ message }) => /capacity overflow/.test(message ?? '')).length,
        3,
        JSON.stringify(outcomes),
      );
      assert.equal(
        outcomes.filter(({ message }) => /3 times in a row and is not tried again/.test(message ?? '')).length,
        2,
      );
      assert.equal(await look(page), 'ok', 'the other model');
      const made = server.count(/\.(onnx|wasm)$/);
      table.push(
        `| a load that ends the worker ${when}, for the fourth time | \`${outcomes[4]?.code}\`: ${outcomes[4]?.message} | ${made} | yes, of other models |`,
      );
      assert.equal(made, 0);
      for (const { folder: build } of [...BUILDS, COMPILE]) server.behave(`/www/pkg/${build}/whylens.js`);
      await page.context().close();
    },
  );
}

test('a worker that dies takes all models with it, and each comes back from the cache', options, async () => {
  server.put('/models/second/', folder({ name: 'Second' }));
  const page = await opened();
  assert.deepEqual([await look(page), await look(page, '/models/second/')], ['ok', 'ok']);
  await page.evaluate(async () => {
    const classifier = await whylens.load('/models/second/');
    /** @type {any} */ (globalThis).before = await classifier.classify(new ImageData(32, 32));
  });
  server.forget();
  await provoke(page, 'panic');
  assert.equal(await look(page), 'worker-crashed');
  await provoke(page, undefined);
  const heatmap = await page.evaluate(async () => {
    const classifier = await whylens.load('/models/second/');
    return classifier.heatmap(/** @type {any} */ (globalThis).before, { classIndex: 1 }).then(
      () => 'ok',
      ({ code, message }) => `${code}: ${message}`,
    );
  });
  assert.equal(heatmap, 'ok', 'the photos of results outlive the worker');
  assert.deepEqual([await look(page, '/models/second/'), await look(page)], ['ok', 'ok']);
  assert.equal(server.count(/\.(onnx|wasm)$/), 0);
  assert.equal(await workers(page), 1);
  await page.context().close();
});

test('without a cache, the next call after a crash downloads once more', options, async () => {
  const page = await opened();
  await attempt(page, SMALL, { cache: false });
  assert.equal(await look(page), 'ok');
  server.forget();
  await provoke(page, 'panic');
  assert.equal(await look(page), 'worker-crashed');
  await provoke(page, undefined);
  assert.equal(await look(page), 'ok');
  assert.equal(server.count(/\.onnx$/), 1);
  await page.context().close();
});

test('a model over the limit is refused before it is downloaded, with the numbers', options, async () => {
  const page = await opened();
  server.forget();
  const outcome = await attempt(page, REAL, { memoryLimit: 30e6 });
  assert.equal(outcome.code, 'over-memory-limit');
  assert.match(outcome.message ?? '', /10 MB of weights.*needs about \d+ MB.*limit is 30 MB/);
  const enough = Number(/memoryLimit` to (\S+e6)/.exec(outcome.message ?? '')?.[1]);
  assert.equal(server.count(/\.onnx$/), 0);
  assert.equal(outcome.limit, enough);
  assert.ok((await attempt(page, REAL, { memoryLimit: enough })).ok, 'and is taken with the one that it names');
  await page.context().close();
});

test('past 80 % of the limit, health warns', options, async () => {
  const page = await opened();
  const { memory } = await attempt(page).then(() => health(page));
  await page.evaluate(async (model) => (await whylens.load(model)).dispose(), SMALL);
  await attempt(page, SMALL, { memoryLimit: (memory?.wasm ?? 0) * 1.15 });
  const { warnings, memory: now } = await health(page);
  assert.match(warnings.join(), /8\d % of the memory limit/);
  assert.ok((now?.share ?? 0) > 0.8);
  await page.context().close();
});

test('the estimate covers the peak of the default model, and heatmap: false saves memory', options, async () => {
  const page = await opened();
  /** @type {number[]} bytes of WebAssembly memory */
  const used = [];
  for (const heatmap of [true, false]) {
    const outcome = await attempt(page, REAL, { heatmap });
    assert.ok(outcome.ok, outcome.message);
    assert.equal(await look(page, REAL), 'ok');
    const { memory } = await health(page, REAL);
    console.log(`heatmap ${heatmap}: ${JSON.stringify(memory)}`);
    assert.ok((memory?.peak ?? Infinity) <= (memory?.estimated ?? 0), JSON.stringify(memory));
    used.push(memory?.wasm ?? 0);
    await page.evaluate(async (model) => (await whylens.load(model)).dispose(), REAL);
  }
  assert.ok((used[1] ?? 0) <= (used[0] ?? 0) - 1e6, used.join(' '));
  await page.context().close();
});

test('dispose of the last model ends the worker', options, async () => {
  const page = await opened();
  await attempt(page);
  assert.equal(await workers(page), 1);
  await page.evaluate(async (model) => (await whylens.load(model)).dispose(), SMALL);
  for (let tried = 0; (await workers(page)) > 0; tried += 1) {
    assert.ok(tried < 100, 'it is gone');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(await look(page), 'ok');
  await page.context().close();
});

test(
  'a worker that a huge photo made large is replaced in idle time, and heatmaps of its photos are still made',
  options,
  async () => {
    const page = await opened();
    await attempt(page);
    const before = await health(page);
    server.forget();
    const seen = await page.evaluate(async (model) => {
      /** @type {any} */ (globalThis)[Symbol.for('whylens')].idleTime = 100;
      const classifier = await whylens.load(model);
      const canvas = new OffscreenCanvas(6000, 4000);
      const context = canvas.getContext('2d');
      if (context) [context.fillStyle] = ['red'];
      context?.fillRect(0, 0, 3000, 2000);
      const result = await classifier.classify(canvas, { heatmap: { classIndex: 7 } });
      const { heatmap } = result;
      const grown = (await classifier.health()).memory?.wasm ?? 0;
      while ((await classifier.health()).counters.renewals === 0)
        await new Promise((resolve) => setTimeout(resolve, 50));
      const again = await classifier.heatmap(result, { classIndex: 7 });
      return { grown, same: JSON.stringify(heatmap) === JSON.stringify(again), region: again.region };
    }, SMALL);
    const after = await health(page);
    assert.ok(seen.grown > (before.memory?.wasm ?? 0) + 96e6, `${seen.grown}`);
    assert.ok((after.memory?.wasm ?? Infinity) < (before.memory?.wasm ?? 0) * 1.5, `${after.memory?.wasm}`);
    assert.ok(seen.same, 'the heatmap is the same');
    assert.deepEqual([after.counters.weightsRequested, after.counters.renewals, after.counters.crashes], [1, 1, 0]);
    assert.equal(server.count(/\.(onnx|wasm)$/), 0);
    assert.equal(await workers(page), 1);
    await page.context().close();
  },
);

/** A model with about 130 MB of weights, of which a worker makes more. @param {(manifest: any) => void} [change] */
const large = (change) => folder({ onnx: classifier({ bright: true, wide: 400_000 }), name: 'Large', change });

test('a model that fails gives its memory back before another is loaded', options, async () => {
  server.put('/models/failing/', { ...large(), 'labels.txt': Buffer.from('one') });
  const page = await opened();
  assert.equal((await attempt(page, '/models/failing/')).code, 'bad-manifest');
  const grown = await wasm(page);
  const outcome = await attempt(page, REAL, { memoryLimit: grown });
  assert.ok(outcome.ok, `${outcome.message}`);
  const { memory, counters } = await health(page, REAL);
  assert.ok(grown > 150e6 && (memory?.wasm ?? Infinity) < 100e6, `${grown} ${memory?.wasm}`);
  assert.deepEqual([counters.renewals, counters.crashes], [1, 0]);
  assert.equal(await workers(page), 1);
  await page.context().close();
});

test('a worker whose last load failed is released in idle time, with no model left', options, async () => {
  const page = await opened();
  await page.evaluate(
    () => void Object.assign(/** @type {any} */ (globalThis)[Symbol.for('whylens')], { idleTime: 100 }),
  );
  assert.equal((await attempt(page, '/models/failing/')).code, 'bad-manifest');
  await page.waitForFunction(() => !(/** @type {any} */ (globalThis)[Symbol.for('whylens')].connection.alive));
  assert.equal(await look(page), 'ok');
  await page.context().close();
});

test(
  'a large model that is disposed of gives its memory back, and heatmaps of the others are still made',
  options,
  async () => {
    server.put('/models/large/', large());
    const page = await opened();
    await page.evaluate(
      () => void Object.assign(/** @type {any} */ (globalThis)[Symbol.for('whylens')], { idleTime: 100 }),
    );
    assert.equal(await look(page), 'ok');
    await page.evaluate(async (model) => {
      const small = await whylens.load(model);
      /** @type {any} */ (globalThis).before = await small.classify(new ImageData(32, 32));
    }, SMALL);
    const before = await wasm(page);
    assert.equal(await look(page, '/models/large/'), 'ok');
    const grown = await wasm(page);
    server.forget();
    const seen = await page.evaluate(async (model) => {
      const small = await whylens.load(model);
      await (await whylens.load('/models/large/')).dispose();
      while ((await small.health()).counters.renewals === 0) await new Promise((resolve) => setTimeout(resolve, 50));
      const { classIndex } = await small.heatmap(/** @type {any} */ (globalThis).before, { classIndex: 7 });
      return { classIndex, after: (await small.health()).memory?.wasm ?? Infinity };
    }, SMALL);
    assert.ok(grown > before + 150e6 && seen.after < before * 1.5, `${before} ${grown} ${seen.after}`);
    assert.equal(seen.classIndex, 7);
    assert.equal(server.count(/\.(onnx|wasm)$/), 0);
    assert.equal(await look(page, '/models/large/'), 'ok', 'and it can be loaded again');
    await page.context().close();
  },
);

test('a plan that takes too much is refused, and the default model is loaded after it', options, async () => {
  const { onnx, manifest } = hoarding();
  server.put('/models/hoard/', folder({ onnx, name: 'Hoard', change: (given) => manifest(given) }));
  const page = await opened();
  const outcome = await attempt(page, '/models/hoard/', { memoryLimit: 512e6 });
  assert.equal(outcome.code, 'over-memory-limit', outcome.message);
  assert.match(outcome.message ?? '', /needs \d{3,4} MB/);
  const grown = await wasm(page);
  assert.ok(grown < 60e6, `${grown}`);
  assert.equal((await attempt(page, REAL)).ok, true);
  assert.equal(await look(page, REAL), 'ok');
  await page.context().close();
});

test('a layer that is not in the plan is added from the cache', options, async () => {
  server.put('/models/layers/', folder());
  const page = await opened();
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const result = await classifier.classify(new ImageData(32, 32));
    const first = await classifier.heatmap(result, { layer: 'features', classIndex: 1 });
    const other = await classifier.heatmap(result, { layer: 'pooled', classIndex: 1 });
    const unknown = await classifier.heatmap(result, { layer: 'nothing' }).catch(({ code }) => code);
    const again = await classifier.heatmap(result, { layer: 'features', classIndex: 1 });
    const direct = await classifier.classify(new ImageData(32, 32), { heatmap: { layer: 'pooled', classIndex: 1 } });
    return {
      layers: [first.layer, other.layer, direct.heatmap?.layer],
      unknown,
      same: [JSON.stringify(first) === JSON.stringify(again), JSON.stringify(other) === JSON.stringify(direct.heatmap)],
    };
  }, '/models/layers/');
  assert.deepEqual(seen, { layers: ['features', 'pooled', 'pooled'], unknown: 'bad-option', same: [true, true] });
  assert.equal(server.count('/models/layers/model.onnx'), 1);
  await page.context().close();
});

test('nothing that was not expected was thrown on the page', () => assert.deepEqual(stage.errors, []));
