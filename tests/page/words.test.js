// the page's own arithmetic and words, without a browser

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { words as en } from '../../www/page/words/en.js';
import { words as vi } from '../../www/page/words/vi.js';
import { csv, npy } from '../../www/page/download.js';
import { cutOff, overlap, place } from '../../www/page/evidence.js';
import { numbers } from '../../www/page/numbers.js';
import { describe } from '../../www/page/describe.js';
import { suspicion } from '../../www/page/preview.js';
import { sureness, verdict } from '../../www/page/verdict.js';
import { figures, written } from '../../www/page/views/figures.js';

const image = { width: 100, height: 100 };
/** @typedef {import('../../www/library/protocol.js').Evidence} Evidence */
/** @typedef {import('../../www/library/protocol.js').Heatmap} Heatmap */
/** @param {number[]} values @param {number} width @param {Partial<Heatmap>} [more] @returns {Heatmap} */
const map = (values, width, more) => ({
  classIndex: 0,
  label: 'a',
  sign: 'for',
  method: 'gradcam',
  layer: 'l',
  layers: ['l'],
  values: Float32Array.from(values),
  width,
  height: values.length / width,
  max: Math.max(...values.map(Math.abs)),
  evidence: null,
  opposing: null,
  region: { x: 0, y: 0, width: 100, height: 100 },
  image,
  ...more,
});
/** @param {Partial<Evidence>} found @returns {Evidence} */
const evidence = (found) => ({ x: 0.5, y: 0.5, share: 0.1, spots: 1, border: [], ...found });
const classes = /** @type {import('../../www/page/describe.js').Info} */ ({
  activation: 'softmax',
  labels: ['a', 'b'],
});
/** @param {Partial<Heatmap>} more @param {import('../../www/page/words/en.js').Words} [words] @param {typeof classes} [info] */
const said = (more, words = en, info = classes) =>
  describe([{ heatmap: map([1], 1, more), overlay: null }], info, words, numbers(words.code)).map(
    ({ title, text }) => `${title}: ${text}`,
  );

test('a sentence tells place, spots, extent and what may be beyond the border', () => {
  const crop = { region: { x: 40, y: 0, width: 60, height: 100 } };
  assert.deepEqual(said({ evidence: evidence({ x: 0.1, y: 0.9, spots: 3, border: ['left', 'bottom'] }), ...crop }), [
    'Evidence for “a”: The evidence is in 3 separate spots, with its centre near the bottom edge. ' +
      'Half of it falls on 10% of what the model sees. It touches the left edge of what the model sees: ' +
      'the model may be missing something beyond it.',
  ]);
  assert.deepEqual(said({ evidence: evidence({ x: 0.3, y: 0.1, border: ['top'] }) }), [
    'Evidence for “a”: The evidence is one spot near the top edge, left of the middle. ' +
      'Half of it falls on 10% of what the model sees.',
  ]);
  assert.match(
    said({ evidence: evidence({ share: 0.5 }) })[0] ?? '',
    /almost everywhere, with its centre in the middle/,
  );
  assert.deepEqual(
    said(
      { evidence: evidence({ spots: 2, border: ['top', 'left'] }), region: { x: 9, y: 9, width: 80, height: 80 } },
      vi,
    ),
    [
      'Bằng chứng cho “a”: Bằng chứng nằm ở 2 vùng tách rời, trọng tâm ở giữa ảnh. ' +
        'Một nửa bằng chứng nằm trên 10% diện tích mà mô hình nhìn thấy. ' +
        'Bằng chứng chạm mép trên và mép trái của phần ảnh mà mô hình nhìn thấy: ' +
        'có thể mô hình đã bỏ lỡ điều gì đó ở bên ngoài.',
    ],
  );
});

test('both signs are told, and that one has no evidence', () => {
  assert.deepEqual(said({ sign: 'both', evidence: evidence({}), opposing: evidence({ x: 0.95, y: 0.05 }) }), [
    'Evidence for and against “a”: For: The evidence is one spot in the middle. ' +
      'Half of it falls on 10% of what the model sees. ' +
      'Against: The evidence is one spot in the top right corner. Half of it falls on 10% of what the model sees.',
  ]);
  assert.match(said({ sign: 'both', evidence: evidence({}) })[0] ?? '', / Against: nothing\.$/);
  assert.match(said({ sign: 'against', evidence: evidence({}) })[0] ?? '', /^Evidence against “a”: The evidence is/);
});

test('every fifth of the photo has its own name, in both languages', () => {
  for (const words of [en, vi]) {
    const names = [0, 1, 2, 3, 4].flatMap((row) =>
      [0, 1, 2, 3, 4].map(
        (column) => said({ evidence: evidence({ x: column / 5 + 0.1, y: row / 5 + 0.1 }) }, words)[0] ?? '',
      ),
    );
    assert.equal(new Set(names).size, 25);
  }
});

test('the place is one of the photo, not of the part that the model saw, also where that is padded', () => {
  const right = { region: { x: 60, y: 0, width: 40, height: 100 }, image };
  assert.deepEqual(place(evidence({ x: 0.1 }), right), { column: 3, row: 2 });
  const padded = { region: { x: 0, y: -50, width: 100, height: 200 }, image };
  assert.deepEqual(place(evidence({ y: 0.1 }), padded), { column: 2, row: 0 });
  assert.deepEqual(cutOff(evidence({ border: ['top', 'left'] }), padded), []);
});

test('no evidence is none', () => {
  assert.match(said({ max: 0 })[0] ?? '', /Nothing in this photo speaks for “a”\. There is no heatmap to draw/);
  const number = /** @type {typeof classes} */ ({ activation: 'none', labels: ['a'] });
  assert.match(said({ max: 0 }, en, number)[0] ?? '', /^What raises it: .* moves the number this way/);
});

test('overlap is 1 for maps that differ in strength only, 0 for maps that never meet', () => {
  assert.equal(overlap(map([1, 0, 1, 0], 2), map([2, 0, 2, 0], 2)), 1);
  assert.equal(overlap(map([1, 0, 1, 0], 2), map([0, 3, 0, 3], 2)), 0);
  assert.equal(overlap(map([1, -1, 1, 0], 2), map([2, 0, 2, -3], 2)), 1);
});

test('sureness', () => {
  const at = (/** @type {number[]} */ ...probabilities) => ({
    predictions: probabilities.map((probability, index) => ({ index, label: 'a', probability, score: 0 })),
    recognised: true,
  });
  assert.equal(sureness(at(0.95, 0.02), 'softmax', 0.5, 3), 'high');
  assert.equal(sureness(at(30), 'none', 0.5, 1), 'number');
  assert.equal(sureness(at(0.6, 0.2), 'softmax', 0.5, 3), 'good');
  assert.equal(sureness(at(0.393, 0.356), 'softmax', 0.5, 3), 'torn');
  assert.equal(sureness(at(0.4, 0.1), 'softmax', 0.5, 3), 'low');
  assert.equal(sureness(at(0.162, 0.16), 'softmax', 0.5, 3), 'none');
  assert.equal(sureness(at(0.7, 0.6), 'sigmoid', 0.5, 3), 'labels');
  assert.equal(sureness(at(0.4, 0.1), 'sigmoid', 0.5, 3), 'nothing');
  assert.equal(sureness(at(), 'softmax', 0.5, 3), 'nothing');
  assert.equal(sureness(at(0.7), 'sigmoid', 0.5, 1), 'labels');
  assert.equal(sureness(at(0.4), 'sigmoid', 0.5, 1), 'below');
  assert.equal(sureness(at(0.4, 0.1), 'none', 0.5, 3), 'scores');
  const none = { ...at(0.95, 0.02), recognised: false };
  assert.equal(sureness(none, 'softmax', 0.5, 3), 'unrecognised');
  const result = /** @type {import('../../www/library/protocol.js').Result} */ (/** @type {unknown} */ (none));
  assert.equal(verdict(result, en), 'Not recognised');
  assert.equal(verdict({ ...result, notRecognised: 'No bird.' }, en), 'No bird.');
  assert.equal(verdict({ ...result, recognised: true }, en), 'a');
});

test('numbers are read as people copy them from code, and written so', () => {
  for (const [text, expected] of /** @type {[string, number[]][]} */ ([
    ['0.485, 0.456, 0.406', [0.485, 0.456, 0.406]],
    ['[0.5 0.25;-1]', [0.5, 0.25, -1]],
    ['(123.675, 116.28, 103.53)', [123.675, 116.28, 103.53]],
    ['1/255', [1 / 255]],
    ['1e-3', [1e-3]],
    ['', []],
    ['half', [NaN]],
    ['1/2/3', [NaN]],
    ['1/', [NaN]],
    ['0,5', [0, 5]],
  ]))
    assert.deepEqual(figures(text), expected, text);
  for (const [values, expected] of /** @type {[number[], string][]} */ ([
    [[1 / 255], '1/255'],
    [[1 / 127.5], '1/127.5'],
    [[0.485, 0.456, 0.406], '0.485, 0.456, 0.406'],
    [[0, 1, 103.939], '0, 1, 103.939'],
    [[0.1 + 0.2], '0.3'],
  ])) {
    assert.equal(written(values), expected);
    for (const [at, value] of figures(expected).entries()) assert.ok(Math.abs(value - (values[at] ?? NaN)) < 1e-12);
  }
});

test('one class for all photos, or all classes alike, is suspicious', () => {
  const answer = (/** @type {number} */ index, /** @type {number} */ probability, classes = 10) =>
    /** @type {import('../../www/library/protocol.js').Previewed} */ ({
      predictions: [{ index, label: '', probability, score: 0 }],
      classes,
      activation: 'softmax',
    });
  const three = (/** @type {ReturnType<typeof answer>[]} */ ...answers) => suspicion(answers);
  assert.equal(three(answer(3, 0.999), answer(3, 1), answer(3, 0.99)), 'same');
  assert.equal(three(answer(3, 0.999), answer(2, 1), answer(3, 0.99)), null);
  assert.equal(three(answer(3, 0.12), answer(1, 0.11), answer(3, 0.13)), 'even');
  assert.equal(three(answer(3, 0.12), answer(1, 0.51), answer(3, 0.13)), null);
  assert.equal(three(answer(0, 0.54, 2), answer(1, 0.51, 2), answer(0, 0.5, 2)), 'even');
  assert.equal(three(answer(0, 1, 1), answer(0, 1, 1), answer(0, 1, 1)), null);
  assert.equal(three(answer(3, 0.999), answer(3, 1)), null);
});

test('a table quotes all text, disarms formulas wherever a cell may begin, and leaves numbers alone', async () => {
  const line = async (/** @type {any} */ photo) =>
    (await csv([photo]).text()).replace(/^[^\n]*\n/, '').replace(/\r\n$/, '');
  const named = async (/** @type {string} */ name) =>
    (await line({ name, result: null, error: { code: 'image-format' } })).replace(/(?:,)+"image-format"$/, '');
  for (const [name, written] of [
    ['cat.jpg', '"cat.jpg"'],
    ['a, b - c', '"a, b - c"'],
    ['say "x"', '"say ""x"""'],
    ['=cmd|"x",.jpg', '"\'=cmd|""x"",.jpg"'],
    ['+1', '"\'+1"'],
    ['-1', '"\'-1"'],
    ['@SUM(1)', '"\'@SUM(1)"'],
    ['\t1', '"\'\t1"'],
    ['\r1', '"\'\r1"'],
    ['\n1', '"\'\n1"'],
    [' =1', '"\' =1"'],
    ['\ufeff\0=1', '"\'\ufeff\0=1"'],
    ['＝1', '"\'＝1"'],
    ['＋1', '"\'＋1"'],
    ['－1', '"\'－1"'],
    ['＠1', '"\'＠1"'],
    ['−1', '"\'−1"'],
    ['a,=1', '"a,\'=1"'],
    ['a; +1', '"a;\' +1"'],
    ['a\t-1', '"a\t\'-1"'],
    ['a|@1', '"a|\'@1"'],
    ['a\n＝1', '"a\n\'＝1"'],
    ['a"=1', '"a""\'=1"'],
    ["a'=1", '"a\'\'=1"'],
  ])
    assert.equal(await named(name ?? ''), written);

  const predictions = [{ index: 0, label: '=1', probability: 0.5, score: -2.5 }];
  const result = { image: { width: 6, height: 4 }, predictions, model: { activation: 'softmax' } };
  assert.match(await line({ name: 'x', result }), /^"x",6,4,"'=1",0\.5,-2\.5,,/);
});

test('a raw map is read by numpy’s rules', async () => {
  const bytes = Buffer.from(await npy(map([1, 2, 3, 4, 5, 6], 3)).arrayBuffer());
  assert.equal(bytes.subarray(0, 8).toString('latin1'), '\x93NUMPY\x01\x00');
  assert.match(bytes.toString('latin1'), /'shape': \(2, 3\)/);
  assert.equal(bytes.readFloatLE(bytes.length - 4), 6);
});

test('both languages say the same things, and every error code has its words', async () => {
  /** @param {object} words @param {string} path @returns {string[]} */
  const keys = (words, path = '') =>
    Object.entries(words).flatMap(([name, value]) =>
      typeof value === 'object' && value ? keys(value, `${path}${name}.`) : [`${path}${name}:${typeof value}`],
    );
  assert.deepEqual(keys(vi), keys(en));
  const { readFile } = await import('node:fs/promises');
  const protocol = await readFile(new URL('../../www/library/protocol.js', import.meta.url), 'utf8');
  const codes = [
    ...(/ErrorCode/.exec(protocol) ? protocol.slice(0, protocol.indexOf('ErrorCode')) : '').matchAll(/'([a-z-]+)'/g),
  ].map(([, code]) => code);
  assert.ok(codes.length > 15);
  assert.deepEqual(Object.keys(en.errors.known).sort(), codes.sort());
});

test('percentages say small and nearly certain as such', () => {
  const { percent } = numbers('en');
  assert.equal(percent(0.0004), '< 1%');
  assert.equal(percent(0.162), '16%');
  assert.equal(percent(0.9996), '99.9%');
  assert.equal(percent(0), '0%');
});
