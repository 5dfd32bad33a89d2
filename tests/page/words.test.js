// the page's own arithmetic and words, without a browser

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { words as en } from '../../www/page/words/en.js';
import { words as vi } from '../../www/page/words/vi.js';
import { csv, npy } from '../../www/page/download.js';
import { evidence, overlap } from '../../www/page/evidence.js';
import { numbers } from '../../www/page/numbers.js';
import { describe } from '../../www/page/describe.js';
import { suspicion } from '../../www/page/preview.js';
import { sureness, verdict } from '../../www/page/verdict.js';
import { figures, written } from '../../www/page/views/figures.js';

const image = { width: 100, height: 100 };
/** @param {number[]} values @param {number} width @returns {import('../../www/library/protocol.js').Heatmap} */
const map = (values, width, region = { x: 0, y: 0, width: 100, height: 100 }) => ({
  classIndex: 0,
  label: 'a',
  sign: 'for',
  method: 'gradcam',
  layer: 'l',
  layers: ['l'],
  values: Float32Array.from(values),
  width,
  height: values.length / width,
  max: Math.max(...values),
  region,
  image,
});

test('evidence is found where its mass is', () => {
  const corner = [0, 0, 0, 0, 0, 0, 0, 0, 1];
  assert.deepEqual(evidence(map(corner, 3), image), { column: 2, row: 2, share: 1 / 9, concentration: 'focused' });
  assert.deepEqual(evidence(map([1, 1, 1, 1], 2), image), { column: 1, row: 1, share: 0.5, concentration: 'even' });
});

test('the place is one of the photo, not of the part that the model saw', () => {
  const right = { x: 60, y: 0, width: 40, height: 100 };
  assert.equal(evidence(map([1, 0, 0, 0], 2, right), image)?.column, 2);
});

test('no evidence is none', () => {
  assert.equal(evidence(map([0, 0, 0, 0], 2), image), null);
  const none = [{ heatmap: map([0, 0, 0, 0], 2), overlay: null }];
  const classes = /** @type {import('../../www/page/describe.js').Info} */ ({
    activation: 'softmax',
    labels: ['a', 'b'],
  });
  const [said] = describe(none, image, classes, en, numbers('en'));
  assert.match(said?.text ?? '', /Nothing in this photo speaks for “a”/);
  const number = /** @type {import('../../www/page/describe.js').Info} */ ({ activation: 'none', labels: ['a'] });
  const [unmoved] = describe(none, image, number, en, numbers('en'));
  assert.equal(unmoved?.title, 'What raises it');
  assert.match(unmoved?.text ?? '', /moves the number this way/);
});

test('overlap is 1 for maps that differ in strength only, 0 for maps that never meet', () => {
  assert.equal(overlap(map([1, 0, 1, 0], 2), map([2, 0, 2, 0], 2)), 1);
  assert.equal(overlap(map([1, 0, 1, 0], 2), map([0, 3, 0, 3], 2)), 0);
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
