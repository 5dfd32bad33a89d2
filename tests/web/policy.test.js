// Eager or lazy: each signal alone, and the switches.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { checkSwitches, decide, limitOf, switches } from '../../www/library/policy.js';
import { FIREFOX } from './browser.js';
import { MODULE, SMALL, Stage, health, look } from './page.js';

/** @typedef {import('../../www/library/policy.js').Signals} Signals */

/** @type {Signals} */
const UNKNOWN = {
  prerendering: undefined,
  hidden: undefined,
  saveData: undefined,
  effectiveType: undefined,
  deviceMemory: undefined,
  phone: undefined,
};

describe('decide', () => {
  test('loads when nothing is known', () => assert.equal(decide('auto', UNKNOWN).eager, true));

  for (const [name, value, reason] of /** @type {[keyof Signals, any, RegExp][]} */ ([
    ['prerendering', true, /prerendered/],
    ['hidden', true, /hidden tab/],
    ['saveData', true, /save data/],
    ['effectiveType', '2g', /slow \(2g\)/],
    ['effectiveType', 'slow-2g', /slow \(slow-2g\)/],
    ['deviceMemory', 0.5, /little memory \(0\.5 GB\)/],
  ])) {
    test(`waits when ${name} is ${value}, unless eager is asked for`, () => {
      const found = { ...UNKNOWN, [name]: value };
      assert.equal(decide('auto', found).eager, false);
      assert.match(decide('auto', found).reason, reason);
      assert.equal(decide('eager', found).eager, true);
    });
  }

  for (const [name, value] of /** @type {[keyof Signals, any][]} */ ([
    ['prerendering', false],
    ['hidden', false],
    ['saveData', false],
    ['effectiveType', '3g'],
    ['effectiveType', '4g'],
    ['deviceMemory', 2],
  ])) {
    test(`loads when ${name} is ${value}, unless lazy is asked for`, () => {
      const found = { ...UNKNOWN, [name]: value };
      assert.equal(decide('auto', found).eager, true);
      assert.equal(decide('lazy', found).eager, false);
    });
  }
});

describe('the memory limit', () => {
  for (const [name, found, limit] of /** @type {[string, Partial<Signals>, number][]} */ ([
    ['a device of unknown memory', {}, 1e9],
    ['a device of 2 GB', { deviceMemory: 2 }, 512e6],
    ['a device of 4 GB', { deviceMemory: 4 }, 1e9],
    ['a device of 32 GB', { deviceMemory: 32 }, 2e9],
    ['a device of 0.5 GB', { deviceMemory: 0.5 }, 512e6],
    ['a phone', { phone: true }, 512e6],
    ['a phone of 8 GB', { phone: true, deviceMemory: 8 }, 512e6],
  ])) {
    test(`of ${name} is ${limit / 1e6} MB`, () => assert.equal(limitOf({ ...UNKNOWN, ...found }), limit));
  }
});

describe('switches', () => {
  /**
   * @param {Partial<import('../../www/library/policy.js').Switches>} options
   * @param {string} query
   * @param {Record<string, string>} attributes
   */
  const read = (options, query = '', attributes = {}) => {
    /** @type {string[]} */
    const warnings = [];
    const page = { query, attribute: (/** @type {string} */ name) => attributes[name] ?? null };
    return { ...switches(options, page, (warning) => warnings.push(warning)), warnings };
  };
  const plain = { preload: 'auto', heatmap: true, memoryLimit: 1e9, build: 'auto', threads: 'auto', warnings: [] };

  test('have their defaults', () => assert.deepEqual(read({}), plain));
  test('are read from script tags', () => {
    const attributes = {
      'data-preload': 'lazy',
      'data-heatmap': 'false',
      'data-memory-limit': '1e8',
      'data-build': 'simd128',
      'data-threads': '3',
    };
    assert.deepEqual(read({}, '', attributes), {
      preload: 'lazy',
      heatmap: false,
      memoryLimit: 1e8,
      build: 'simd128',
      threads: 3,
      warnings: [],
    });
  });
  test('are read from the address, under both names', () => {
    assert.deepEqual(read({}, '?preload=eager&data-heatmap=0&memory-limit=2e8&build=relaxed-simd&threads=2'), {
      preload: 'eager',
      heatmap: false,
      memoryLimit: 2e8,
      build: 'relaxed-simd',
      threads: 2,
      warnings: [],
    });
  });
  test('come from the nearest place', () => {
    const attributes = { 'data-preload': 'lazy' };
    assert.equal(read({ preload: 'auto' }, '?preload=eager', attributes).preload, 'auto');
    assert.equal(read({}, '?preload=eager', attributes).preload, 'eager');
    assert.equal(read({}, '', attributes).preload, 'lazy');
  });
  test('that mean nothing are ignored with a warning, and the next place is asked', () => {
    const found = read({}, '?preload=soon&memory-limit=-1', { 'data-preload': 'lazy' });
    assert.deepEqual([found.preload, found.memoryLimit, found.warnings.length], ['lazy', 1e9, 2]);
  });
  test('that load() is given are checked', () => {
    for (const wrong of [
      { preload: 'soon' },
      { heatmap: 1 },
      { memoryLimit: -1 },
      { memoryLimit: '1' },
      { build: 'best' },
      { threads: 0 },
      { threads: 65 },
    ]) {
      assert.throws(() => checkSwitches(/** @type {any} */ (wrong)), { code: 'bad-option' });
    }
  });
});

describe('in the browser', () => {
  const stage = new Stage();
  const { server } = stage;
  const WEIGHTS = `${SMALL}model.onnx`;
  /** The library in the page. @type {import('./page.js').Library} */
  const whylens = /** @type {any} */ (undefined);
  before(() => stage.start());
  after(() => stage.stop());

  for (const [name, before] of /** @type {[string, () => void][]} */ ([
    ['prerendered', () => Object.defineProperty(document, 'prerendering', { value: true })],
    ['hidden', () => Object.defineProperty(document, 'visibilityState', { value: 'hidden' })],
    [
      'on a connection that saves data',
      () => Object.defineProperty(navigator, 'connection', { value: { saveData: true } }),
    ],
    ['on 2G', () => Object.defineProperty(navigator, 'connection', { value: { effectiveType: '2g' } })],
    ['on a small device', () => Object.defineProperty(navigator, 'deviceMemory', { value: 1 })],
  ])) {
    test(`a page that is ${name} loads on first use, once`, { timeout: 60_000 }, async () => {
      server.forget();
      const page = await stage.page({ before });
      const state = await health(page);
      assert.deepEqual([state.status, state.model_loaded, state.policy?.eager], ['idle', false, false]);
      assert.deepEqual([server.count(WEIGHTS), server.count(/wasm$/)], [0, 0]);
      assert.equal(await look(page), 'ok');
      assert.equal((await health(page)).status, 'ready');
      assert.deepEqual([server.count(WEIGHTS), server.count(MODULE)], [1, 1]);
      await page.context().close();
    });
  }

  for (const [event, before, shown] of /** @type {[string, () => void, () => void][]} */ ([
    [
      'visibilitychange',
      () => Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true }),
      () => Object.defineProperty(document, 'visibilityState', { value: 'visible' }),
    ],
    [
      'prerenderingchange',
      () => Object.defineProperty(document, 'prerendering', { value: true, configurable: true }),
      () => Object.defineProperty(document, 'prerendering', { value: false }),
    ],
  ])) {
    test(`a page that is shown (${event}) loads once, unless something else speaks against it`, async () => {
      for (const saveData of [false, true]) {
        server.forget();
        const page = await stage.page({ before });
        await page.evaluate((model) => Promise.all([whylens.load(model), whylens.load(model)]), SMALL);
        assert.equal(server.count(WEIGHTS), 0);
        await page.evaluate(shown);
        const eager = await page.evaluate(
          async ({ event, saveData, model }) => {
            Object.defineProperty(navigator, 'connection', { value: { saveData } });
            document.dispatchEvent(new Event(event));
            document.dispatchEvent(new Event(event));
            const classifier = await whylens.load(model);
            return classifier.policy.eager;
          },
          { event, saveData, model: SMALL },
        );
        assert.deepEqual([eager, server.count(WEIGHTS)], saveData ? [false, 0] : [true, 1]);
        await page.context().close();
      }
    });
  }

  for (const [name, command, emulation] of /** @type {const} */ ([
    ['asked to save data', 'Emulation.setDataSaverOverride', { dataSaverEnabled: true }],
    [
      'on 2G',
      'Network.emulateNetworkConditions',
      { offline: false, latency: 2500, downloadThroughput: 50e3, uploadThroughput: 50e3 },
    ],
  ])) {
    test(
      `a browser that really is ${name} loads on first use`,
      { timeout: 60_000, skip: FIREFOX && 'it tells nothing of connections' },
      async () => {
        const page = await stage.page();
        const session = await page.context().newCDPSession(page);
        await session.send(command, /** @type {any} */ (emulation));
        server.forget();
        const { status, policy } = await health(page);
        assert.deepEqual([status, policy?.eager, server.count(WEIGHTS)], ['idle', false, 0], JSON.stringify(policy));
        await session.send('Network.emulateNetworkConditions', {
          offline: false,
          latency: 0,
          downloadThroughput: -1,
          uploadThroughput: -1,
        });
        assert.equal(await look(page), 'ok');
        assert.equal(server.count(WEIGHTS), 1);
        await page.context().close();
      },
    );
  }

  test('signals that throw or are missing do not matter', { timeout: 60_000 }, async () => {
    const page = await stage.page({
      before: () => {
        for (const [owner, name] of /** @type {[object, string][]} */ ([
          [document, 'prerendering'],
          [navigator, 'connection'],
          [navigator, 'deviceMemory'],
        ])) {
          Object.defineProperty(owner, name, {
            get: () => {
              throw new Error('not told');
            },
          });
        }
        Object.defineProperty(navigator, 'locks', { value: undefined });
      },
    });
    assert.equal(await look(page), 'ok');
    assert.equal((await health(page)).policy?.eager, true);
    await page.context().close();
  });

  test('the script tag, the address and load() are heard, the nearest most', { timeout: 60_000 }, async () => {
    const script = '<script type="application/x-none" data-preload="lazy" data-heatmap="false"></script>';
    const lazy = await stage.page({ script });
    const found = await health(lazy);
    assert.deepEqual([found.policy?.eager, found.policy?.reason, found.heatmap], [false, 'lazy was asked for', false]);
    await lazy.context().close();
    const eager = await stage.page({ script, query: '?preload=eager' });
    assert.equal((await health(eager)).policy?.eager, true);
    await eager.context().close();
    const option = await stage.page({ script, query: '?preload=lazy' });
    const status = await option.evaluate(
      async (model) => (await (await whylens.load(model, { preload: 'eager' })).health()).status,
      SMALL,
    );
    assert.equal(status, 'ready');
    await option.context().close();
  });

  test('a failed pre-load is shown, and the next classify tries again', { timeout: 60_000 }, async () => {
    server.behave(WEIGHTS, { status: 404 }, {});
    const page = await stage.page();
    const seen = await page.evaluate(async (model) => {
      const classifier = await whylens.load(model, { preload: 'lazy' });
      const code = await classifier.load().catch((error) => error.code);
      const { status, message, lastError } = await classifier.health({ verbose: true });
      const { predictions } = await classifier.classify(new ImageData(8, 8));
      return {
        code,
        status,
        message,
        lastError: lastError?.code,
        predictions: predictions.length,
        after: (await classifier.health()).status,
      };
    }, SMALL);
    assert.match(seen.message, /http-status.*404/);
    assert.deepEqual(
      { ...seen, message: '' },
      { code: 'http-status', status: 'error', message: '', lastError: 'http-status', predictions: 5, after: 'ready' },
    );
    server.behave(WEIGHTS, { status: 404 }, {});
    const eager = await page.evaluate(async (model) => {
      await (await whylens.load(model)).dispose();
      await whylens.clearCache();
      const code = await whylens.load(model).catch((error) => error.code);
      return [code, (await whylens.health(model)).status, (await whylens.load(model)).model?.name];
    }, SMALL);
    assert.deepEqual(eager, ['http-status', 'error', 'Small']);
    await page.context().close();
  });
});
