// Whatever is given to a public function: what it cannot be is `bad-option` with its name, and the next call works.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { folder } from './onnx.js';
import { SMALL, Stage, look } from './page.js';

const stage = new Stage();
const options = { timeout: 180_000 };
/** The library in the page. @type {import('./page.js').Library} */
const whylens = /** @type {any} */ (undefined);

before(() => stage.start());
after(() => stage.stop());

/** What is none of most things, as code: it has to be made in the page. */
const STRANGE = {
  null: 'null',
  NaN: 'NaN',
  'a negative number': '-1',
  'a huge number': '1e300',
  Infinity: '-Infinity',
  text: '"text"',
  'a number': '5.5',
  true: 'true',
  'a list': '[{}]',
  'an object': '({})',
  'a function': '(() => 1)',
  'a symbol': 'Symbol("s")',
  'a big number': '5n',
  'an object without a prototype': 'Object.create(null)',
  'one that cannot be told':
    '({ toString() { throw new Error("no"); }, [Symbol.toPrimitive]() { throw new Error("no"); } })',
  'a proxy that throws':
    'new Proxy({}, { get() { throw new Error("no"); }, getPrototypeOf() { throw new Error("no"); } })',
};

/** What each option may be among these, and a getter of it must not be read more than once. */
const OPTIONS = /** @type {const} */ ({
  load: {
    preload: [],
    heatmap: ['true'],
    memoryLimit: ['a huge number', 'a number'],
    build: [],
    language: ['text'],
    maxPixels: ['a huge number', 'a number'],
    maxBytes: ['a huge number', 'a number'],
    onProgress: ['a function'],
    signal: [],
    cache: ['true'],
    retries: [],
    retryDelay: ['a number'],
    stallTimeout: ['a number'],
    keepBytes: ['a huge number', 'a number'],
  },
  classify: {
    topK: ['a huge number'],
    threshold: [],
    heatmap: ['true', 'an object', 'a list', 'an object without a prototype', 'one that cannot be told'],
    region: [],
    scores: ['true'],
    view: ['a huge number', 'a number'],
    transfer: ['true'],
    maxPixels: ['a huge number', 'a number'],
    maxBytes: ['a huge number', 'a number'],
    onProgress: ['a function'],
    signal: [],
  },
  heatmap: { classIndex: [], label: [], sign: [], method: [], layer: [], onProgress: ['a function'], signal: [] },
  render: { width: [], height: [], colormap: [], opacity: [], signal: [] },
  decode: { longest: ['a huge number', 'a number'], maxPixels: ['a huge number', 'a number'], signal: [] },
  ready: { onProgress: ['a function'], signal: [] },
  inspectModel: {
    beside: ['an object', 'an object without a prototype', 'a proxy that throws'],
    options: ['a list', 'an object', 'an object without a prototype', 'a proxy that throws'],
    memoryLimit: ['a huge number', 'a number'],
    signal: [],
    onProgress: ['a function'],
  },
  packModel: {
    beside: ['an object', 'an object without a prototype', 'a proxy that throws'],
    memoryLimit: ['a huge number', 'a number'],
    signal: [],
    onProgress: ['a function'],
  },
});

/** What a call may be given as a whole, beside its options. */
const GIVEN = [
  'load(X)',
  'load(model, X)',
  'classify(X)',
  'classify(photo, X)',
  'classify(photo, { region: { x: 0, y: 0, width: X, height: 9 } })',
  'heatmap(X)',
  'heatmap(result, X)',
  'render(X)',
  'render({ ...map, values: X })',
  'render({ ...map, region: X })',
  'render({ ...map, width: X })',
  'render({ ...map, max: X })',
  'render(map, X)',
  'decode(X)',
  'decode(file, X)',
  'health(X)',
  'classifier.health(X)',
  'classifier.load(X)',
  'inspectModel(X)',
  'inspectModel(onnx, X)',
  'packModel(X, "", {})',
  'packModel(onnx, X, {})',
  'packModel(onnx, "", X)',
  'packModel(onnx, "", {}, X)',
];

/** @param {import('playwright-core').Page} page */
const setUp = (page) =>
  page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const photo = new ImageData(40, 30);
    const result = await classifier.classify(photo);
    const canvas = Object.assign(document.createElement('canvas'), { width: 9, height: 9 });
    const file = await new Promise((resolve) => canvas.toBlob(resolve));
    const onnx = await (await fetch(`${model}model.onnx`)).arrayBuffer();
    Object.assign(globalThis, { classifier, photo, result, map: result.heatmap, file, onnx, model });
  }, SMALL);

/**
 * Runs code in the page, and says how it went; `Function` since its values cannot be sent.
 * @param {import('playwright-core').Page} page
 * @param {string} code
 */
const run = (page, code) =>
  page.evaluate(async (code) => {
    /** @type {any} */
    const { classifier, photo, result, map, file, onnx, model } = /** @type {any} */ (globalThis);
    const bare = {
      load: whylens.load,
      health: whylens.health,
      inspectModel: whylens.inspectModel,
      packModel: whylens.packModel,
    };
    const bound = Object.fromEntries(
      ['classify', 'heatmap', 'render', 'decode'].map((name) => [name, classifier[name].bind(classifier)]),
    );
    const names = { ...bare, ...bound, classifier, photo, result, map, file, onnx, model };
    try {
      await new Function(...Object.keys(names), `return (async () => ${code})()`)(...Object.values(names));
      return 'ok';
    } catch (error) {
      const { code, message } = /** @type {{ code?: string, message?: string }} */ (error);
      return `${code}: ${message}`;
    }
  }, code);

/** How an option is given to each. @type {Record<keyof typeof OPTIONS, (options: string) => string>} */
const CALLS = {
  load: (options) => `load('/models/other/?' + Math.random(), ${options})`,
  classify: (options) => `classify(photo, ${options})`,
  heatmap: (options) => `heatmap(result, ${options})`,
  render: (options) => `render(map, ${options})`,
  decode: (options) => `decode(file, ${options})`,
  ready: (options) => `classifier.load(${options})`,
  inspectModel: (options) => `inspectModel(onnx, ${options})`,
  packModel: (options) => `packModel(onnx, '', {}, ${options})`,
};

for (const [call, names] of Object.entries(OPTIONS)) {
  test(`${call}: every option of every kind`, options, async () => {
    stage.server.put('/models/other/', folder());
    const page = await stage.page();
    await setUp(page);
    const make = CALLS[/** @type {keyof typeof OPTIONS} */ (call)];
    for (const [name, fine] of Object.entries(names)) {
      for (const [kind, code] of Object.entries(STRANGE)) {
        if (/** @type {readonly string[]} */ (fine).includes(kind)) continue;
        const said = await run(page, make(`{ ${name}: ${code} }`));
        assert.match(said, /^bad-option: /, `${name}: ${kind}`);
        // What is inside of an object is named in its place.
        const inside = name === 'heatmap' ? 'the options|cannot be read|' : '';
        if (!['text', 'a list', 'an object'].includes(kind))
          assert.match(said, new RegExp(`${inside}\\b${name}\\b|cannot be sent`), `${name}: ${kind}`);
      }
      const thrown = await run(page, make(`{ get ${name}() { throw new Error('no'); } }`));
      assert.match(thrown, new RegExp(`^bad-option: ${name} cannot be read`), name);
    }
    assert.equal(await look(page), 'ok');
    assert.equal(
      await page.evaluate(async (model) => (await (await whylens.load(model)).health()).counters.crashes, SMALL),
      0,
      'the worker lives',
    );
    await page.context().close();
  });
}

test('what is given in place of photos, heatmaps, models and options', options, async () => {
  const page = await stage.page();
  await setUp(page);
  for (const call of GIVEN) {
    for (const [kind, code] of Object.entries({ undefined: 'undefined', ...STRANGE })) {
      const said = await run(page, call.replace('X', code));
      // What is no option of any name, and absent options, are no failure; an address is an address.
      const isAddress = /^(load|health)\(X\)/.test(call) && ['text', 'a list', 'an object'].includes(kind);
      const isLabels = /"text"/.test(code) && call.includes('onnx, X');
      const isOptions =
        /, X\)$|health\(X\)|load\(X\)|"", X/.test(call) &&
        [
          'undefined',
          'a list',
          'an object',
          'an object without a prototype',
          'one that cannot be told',
          'a proxy that throws',
        ].includes(kind);
      const isNumber = /width|max/.test(call) && ['a huge number', 'a number'].includes(kind);
      if (isAddress || isLabels || isOptions || isNumber)
        assert.doesNotMatch(said, /^undefined|TypeError|worker-crashed/, `${call}: ${kind}`);
      else assert.match(said, /^bad-option: /, `${call}: ${kind}`);
    }
  }
  assert.equal(await look(page), 'ok');
  assert.equal(
    await page.evaluate(async (model) => (await (await whylens.load(model)).health()).counters.crashes, SMALL),
    0,
    'the worker lives',
  );
  await page.context().close();
});

test('buffers that were given away, pictures that are closed and sizes that nothing can have', options, async () => {
  const page = await stage.page();
  await setUp(page);
  for (const [code, wanted] of /** @type {[string, RegExp][]} */ ([
    [
      '(() => { const bytes = new ArrayBuffer(9); structuredClone(bytes, { transfer: [bytes] }); return classify(bytes); })()',
      /^bad-option: .*detached/,
    ],
    [
      '(() => { const bytes = new Uint8Array(9); structuredClone(bytes.buffer, { transfer: [bytes.buffer] }); return classify(bytes, { transfer: true }); })()',
      /^bad-option: .*detached/,
    ],
    [
      '(() => { const bytes = new ArrayBuffer(9); structuredClone(bytes, { transfer: [bytes] }); return decode(bytes); })()',
      /^bad-option: .*detached/,
    ],
    [
      '(() => { const bytes = new ArrayBuffer(9); structuredClone(bytes, { transfer: [bytes] }); return inspectModel(bytes); })()',
      /^bad-option: .*detached/,
    ],
    [
      '(() => { const { data } = photo; const other = new ImageData(9, 9); structuredClone(other.data.buffer, { transfer: [other.data.buffer] }); return classify(other); })()',
      /^bad-option: .*detached/,
    ],
    [
      '(() => { const values = new Float32Array(map.values); structuredClone(values.buffer, { transfer: [values.buffer] }); return render({ ...map, values }); })()',
      /^bad-option: values/,
    ],
    [
      '(async () => { const bitmap = await createImageBitmap(photo); bitmap.close(); return classify(bitmap); })()',
      /^(bad-option|image-format): /,
    ],
    ['classify(new ArrayBuffer(0))', /^image-format: the file is empty/],
    ['render(map, { width: 1e6, height: 1e6 })', /^bad-option: width and height/],
    ['render(map, { colormap: "pink" })', /^bad-option: .*colormap|^bad-option: .*pink/],
    ['heatmap(result, { method: "magic" })', /^bad-option: .*magic/],
    ['heatmap(result, { classIndex: 1e6 })', /^bad-option: /],
    ['load("/models/other/?a", { stallTimeout: 2 ** 31 })', /^bad-option: stallTimeout is 2147483648/],
    ['load("/models/other/?b", { retryDelay: 2 ** 31 })', /^bad-option: retryDelay is 2147483648/],
    ['load("/models/other/?c", { retries: 2 ** 32 })', /^bad-option: retries is 4294967296/],
    ['load("/models/other/?d", { stallTimeout: 2 ** 31 - 1, retryDelay: 2 ** 20, retries: 2 ** 31 - 1 })', /^ok/],
    ['classifier.listen(5)', /^bad-option: onProgress/],
  ]))
    assert.match(await run(page, code), wanted, code);
  assert.equal(await look(page), 'ok');
  assert.equal(
    await page.evaluate(async (model) => (await (await whylens.load(model)).health()).counters.crashes, SMALL),
    0,
    'the worker lives',
  );
  await page.context().close();
});

for (const [name, before] of /** @type {[string, () => void][]} */ ([
  [
    'an empty object',
    () => Object.assign(globalThis, { [Symbol.for('whylens')]: {}, [Symbol.for('whylens.error')]: {} }),
  ],
  ['numbers', () => Object.assign(globalThis, { [Symbol.for('whylens')]: 5, [Symbol.for('whylens.error')]: 5 })],
  [
    'what looks alike',
    () =>
      Object.assign(globalThis, {
        [Symbol.for('whylens')]: { models: {}, failed: new Map(), crashes: new Map(), connection: {} },
        [Symbol.for('whylens.error')]: class {},
      }),
  ],
  [
    'what throws',
    () =>
      ['whylens', 'whylens.error'].forEach((key) =>
        Object.defineProperty(globalThis, Symbol.for(key), {
          get() {
            throw new Error('no');
          },
          configurable: true,
        }),
      ),
  ],
  [
    'what cannot be replaced',
    () =>
      ['whylens', 'whylens.error'].forEach((key) =>
        Object.defineProperty(globalThis, Symbol.for(key), { value: Object.freeze({}) }),
      ),
  ],
])) {
  test(`another script has the library's names: ${name}`, options, async () => {
    const page = await stage.page({ before });
    assert.equal(await look(page), 'ok');
    const codes = await page.evaluate(async (model) => {
      const error = await whylens.load(/** @type {any} */ (null)).catch((error) => error);
      return [
        error.code,
        error instanceof whylens.WhylensError,
        error instanceof Error,
        (await whylens.load(model)) === (await whylens.load(model)),
      ];
    }, SMALL);
    assert.deepEqual(codes, ['bad-option', true, true, true]);
    await page.context().close();
  });
}

test(
  'attributes of <why-lens> that mean nothing are told by an `error` event, and the element goes on',
  options,
  async () => {
    const page = await stage.page();
    const seen = await page.evaluate(async (model) => {
      const path = '/www/why-lens.js';
      await import(path);
      const canvas = Object.assign(document.createElement('canvas'), { width: 9, height: 9 });
      /** @type {Blob | null} */
      const photo = await new Promise((resolve) => canvas.toBlob(resolve));
      /** @type {string[]} */
      const codes = [];
      for (const attributes of [
        { 'top-k': '-5' },
        { 'top-k': '1.5' },
        { threshold: '5' },
        { opacity: '-1' },
        { method: 'magic' },
        { layer: 'nothing' },
        { colormap: 'pink' },
        { preload: 'soon' },
        { model: 'http://[' },
        { model: '' },
        { src: 'http://[' },
        { src: '/nothing.png' },
      ]) {
        const element = document.createElement('why-lens');
        const failed = new Promise((resolve) =>
          element.addEventListener('error', (event) => resolve(/** @type {any} */ (event).detail.code), { once: true }),
        );
        for (const [name, value] of Object.entries({ model, ...attributes })) element.setAttribute(name, value);
        document.body.append(element);
        if (!('src' in attributes)) /** @type {any} */ (element).classify(photo).catch(() => {});
        codes.push(`${Object.entries(attributes)}: ${await failed}`);
        for (const name of Object.keys(attributes)) element.removeAttribute(name);
        element.setAttribute('model', model);
        const { predictions } = await /** @type {any} */ (element).classify(photo);
        if (!predictions.length) codes.push('and then nothing');
        codes.push(
          ...(
            await Promise.all(
              [null, undefined, 5, 'text', {}].map((wrong) =>
                /** @type {any} */ (element).classify(wrong).then(
                  () => 'taken',
                  (/** @type {any} */ { code }) => code,
                ),
              ),
            )
          ).filter((code) => code !== 'bad-option'),
        );
        element.remove();
      }
      return codes;
    }, SMALL);
    assert.deepEqual(seen, [
      'top-k,-5: bad-option',
      'top-k,1.5: bad-option',
      'threshold,5: bad-option',
      'opacity,-1: bad-option',
      'method,magic: bad-option',
      'layer,nothing: bad-option',
      'colormap,pink: bad-option',
      'preload,soon: bad-option',
      'model,http://[: bad-option',
      'model,: bad-option',
      'src,http://[: bad-option',
      'src,/nothing.png: http-status',
    ]);
    await page.context().close();
  },
);

test('nothing that was not expected was thrown on the page', () => assert.deepEqual(stage.errors, []));
