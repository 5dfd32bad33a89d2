// The library: photos of every kind in, predictions, heatmaps and pixels out.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import { after, before, test } from 'node:test';
import { SMALL, Stage, look, workers } from './page.js';
import { TOP } from './server.js';

const REAL = '/models/efficientnet-lite0/';
const stage = new Stage();
const options = { timeout: 120_000 };
/** @type {import('playwright-core').Page} */
let page;
/** The library in the page. @type {import('./page.js').Library} */
const whylens = /** @type {any} */ (undefined);

before(async () => {
  await stage.start();
  page = await stage.page();
});
after(() => stage.stop());

test('a photo is classified, explained and drawn', options, async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const photo = await (await fetch('/tests/photos/chelsea.png')).blob();
    const result = await classifier.classify(photo, { topK: 3, scores: true });
    const { heatmap } = result;
    if (!heatmap) return null;
    const second = await classifier.heatmap(result, { classIndex: result.predictions[1]?.index });
    const byLabel = await classifier.heatmap(result, { label: result.predictions[1]?.label });
    const pixels = await classifier.render(heatmap, { width: 90, height: 60 });
    const clear = Array.from(pixels.data).filter((_, at) => at % 4 === 3 && pixels.data[at] === 0).length;
    return {
      labels: result.predictions.map(({ label }) => label),
      image: result.image,
      typed: [
        heatmap.values instanceof Float32Array,
        result.scores instanceof Float32Array,
        pixels instanceof ImageData,
      ],
      scores: result.scores?.length,
      score: result.scores?.[result.predictions[0]?.index ?? 0] === result.predictions[0]?.score,
      max: heatmap.max === Math.max(...heatmap.values) && heatmap.values.length === heatmap.width * heatmap.height,
      classes: [
        heatmap.classIndex,
        second.classIndex,
        byLabel.classIndex,
        ...result.predictions.map(({ index }) => index),
      ],
      size: [pixels.width, pixels.height],
      drawn: clear < 90 * 60,
      plain: Object.getPrototypeOf(result) === Object.prototype,
      model: [classifier.model?.name, classifier.model?.labels.length, classifier.model?.methods[0]],
    };
  }, REAL);
  assert.ok(seen);
  assert.match(seen.labels[0] ?? '', /cat|tabby/i);
  assert.deepEqual(seen.image, { width: 451, height: 300 });
  assert.deepEqual(seen.typed, [true, true, true]);
  assert.equal(seen.scores, 1000);
  assert.ok(seen.score && seen.max && seen.drawn && seen.plain);
  const [shown, second, byLabel, first, runnerUp] = seen.classes;
  assert.deepEqual([shown, second, byLabel], [first, runnerUp, runnerUp]);
  assert.deepEqual(seen.size, [90, 60]);
  assert.deepEqual(seen.model, ['EfficientNet-Lite0', 1000, 'gradcam']);
});

test('heatmaps are those of their result, whatever was classified since and whoever asks', options, async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const photos = await Promise.all(
      ['chelsea', 'coffee'].map(async (name) => (await fetch(`/tests/photos/${name}.png`)).blob()),
    );
    const explained = await Promise.all(
      photos.map((photo) => classifier.classify(photo, { heatmap: { classIndex: 7 } })),
    );
    const [cat, cup] = await Promise.all(photos.map((photo) => classifier.classify(photo, { heatmap: false })));
    if (!cat || !cup) return null;
    // Two callers, the older photo first; then both again the other way round.
    const maps = await Promise.all(
      [cat, cup, cup, JSON.parse(JSON.stringify(cat))].map((result) => classifier.heatmap(result, { classIndex: 7 })),
    );
    const { counters } = await classifier.health();
    return {
      ids: new Set([...explained, cat, cup].map(({ id }) => id)).size,
      same: maps.map(({ values, image, region }, at) => {
        const right = explained[at % 3 === 0 ? 0 : 1]?.heatmap;
        return JSON.stringify([right?.values, right?.image, right?.region]) === JSON.stringify([values, image, region]);
      }),
      different: JSON.stringify(maps[0]?.values) !== JSON.stringify(maps[1]?.values),
      counters,
    };
  }, REAL);
  assert.equal(seen?.ids, 4);
  assert.deepEqual([seen?.same, seen?.different], [[true, true, true, true], true]);
  assert.deepEqual([seen?.counters.loads, seen?.counters.crashes], [1, 0]);
  assert.equal(await workers(page), 1);
});

test('the photos used last are kept for heatmaps, and the others say so', options, async () => {
  const page = await stage.page();
  const seen = await page.evaluate(async (model) => {
    // Two inputs of the small model.
    const classifier = await whylens.load(model, { keepBytes: 2 * 3 * 32 * 32 * 4 });
    const code = (/** @type {import('../../www/library/protocol.js').Result} */ result) =>
      classifier.heatmap(result).then(
        () => 'ok',
        ({ code }) => code,
      );
    const results = [];
    for (let turn = 0; turn < 2; turn += 1) results.push(await classifier.classify(new ImageData(32, 32)));
    const [first, second] = results;
    if (!first || !second) return null;
    const codes = [await code(first)];
    await classifier.classify(new ImageData(32, 32));
    codes.push(await code(first), await code(second));
    await classifier.dispose();
    const later = await whylens.load(model, { keepBytes: 0 });
    const unkept = await later.classify(new ImageData(32, 32));
    codes.push(
      await later.heatmap(first).catch(({ code }) => code),
      await later.heatmap(unkept).catch(({ code }) => code),
    );
    return codes;
  }, SMALL);
  assert.deepEqual(seen, ['ok', 'ok', 'disposed', 'disposed', 'disposed']);
  await page.context().close();
});

test('every kind of photo gives the same result, and stays with its owner', options, async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const blob = await (await fetch('/tests/photos/coffee.png')).blob();
    const buffer = await blob.arrayBuffer();
    const bitmap = await createImageBitmap(blob);
    const image = new Image();
    image.src = URL.createObjectURL(blob);
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    context.drawImage(bitmap, 0, 0);
    const offscreen = new OffscreenCanvas(bitmap.width, bitmap.height);
    offscreen.getContext('2d')?.drawImage(bitmap, 0, 0);
    const video = document.createElement('video');
    video.srcObject = canvas.captureStream(0);
    video.muted = true;
    const waiting = await classifier.classify(video).catch(({ code }) => code);
    const photos = {
      Blob: blob,
      File: new File([blob], 'coffee.png'),
      ArrayBuffer: buffer,
      Uint8Array: new Uint8Array(buffer),
      part: new Uint8Array(await new Blob(['xx', blob]).arrayBuffer(), 2),
      ImageBitmap: bitmap,
      ImageData: context.getImageData(0, 0, canvas.width, canvas.height),
      HTMLImageElement: image,
      HTMLCanvasElement: canvas,
      OffscreenCanvas: offscreen,
      VideoFrame: new VideoFrame(canvas, { timestamp: 0 }),
    };
    /** @type {Record<string, { index: number, off: number }>} */
    const results = {};
    let exact = 0;
    for (const [name, photo] of Object.entries(photos)) {
      const { predictions } = await classifier.classify(photo, { heatmap: false });
      exact ||= predictions[0]?.score ?? 0;
      results[name] = { index: predictions[0]?.index ?? -1, off: Math.abs((predictions[0]?.score ?? 0) - exact) };
    }
    const kept = [buffer.byteLength > 0, bitmap.width > 0];
    await classifier.classify(buffer, { transfer: true });
    const odd = await Promise.all(
      [null, 'photo.jpg', {}, 7].map((photo) =>
        classifier.classify(/** @type {any} */ (photo)).catch(({ code }) => code),
      ),
    );
    return { results, kept, taken: buffer.byteLength, odd, waiting };
  }, REAL);
  for (const [name, { index, off }] of Object.entries(seen.results)) {
    assert.equal(index, 967, name);
    assert.ok(off < 0.02, `${name} is off by ${off}`);
  }
  assert.deepEqual(seen.kept, [true, true]);
  assert.equal(seen.taken, 0);
  assert.deepEqual(seen.odd, ['bad-option', 'bad-option', 'bad-option', 'bad-option']);
  assert.equal(seen.waiting, 'bad-option');
});

/**
 * @param {string} type
 * @param {Buffer} data
 */
function chunk(type, data) {
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  const body = Buffer.concat([Buffer.from(type), data]);
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

/**
 * A black PNG file of this size, in few bytes.
 * @param {number} size
 */
function hugePng(size) {
  const header = Buffer.from('\0\0\0\0\0\0\0\0\x01\0\0\0\0', 'latin1');
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  const rows = deflateSync(Buffer.alloc((Math.ceil(size / 8) + 1) * size));
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', rows),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

test('each bad photo has its code, and the next photo works', options, async () => {
  const jpeg = await readFile(join(TOP, 'tests/photos/rocket.jpg'));
  for (const [name, bytes, codes] of /** @type {[string, Buffer, string[]][]} */ ([
    ['empty', Buffer.alloc(0), ['image-format']],
    ['text', Buffer.from('not a picture'), ['image-format']],
    ['cut JPEG', jpeg.subarray(0, 700), ['image-corrupt']],
    ['20000 × 20000 PNG', hugePng(20000), ['image-too-large']],
  ])) {
    const error = await page.evaluate(
      async ([model, bytes]) => {
        const classifier = await whylens.load(model);
        const photo = new File([new Uint8Array(bytes)], 'photo.jpg', { type: 'image/jpeg' });
        return classifier.classify(photo).then(
          () => ({ code: 'ok', message: '' }),
          ({ code, message }) => ({ code, message }),
        );
      },
      /** @type {[string, number[]]} */ ([SMALL, [...bytes]]),
    );
    assert.ok(codes.includes(error.code), `${name}: ${error.code}: ${error.message}`);
    assert.equal(await look(page), 'ok', `the photo after ${name}`);
  }
});

test('wrong options are refused at the door', options, async () => {
  const codes = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const photo = new ImageData(8, 8);
    const result = await classifier.classify(photo);
    const { heatmap } = result;
    const calls = /** @type {any[]} */ ([
      () => classifier.classify(photo, { topK: 0 }),
      () => classifier.classify(photo, { threshold: 2 }),
      () => classifier.classify(photo, { heatmap: { classIndex: 1.5 } }),
      () => classifier.classify(photo, { heatmap: { classIndex: 64 } }),
      () => classifier.heatmap(result, { label: 'unicorn' }),
      () => classifier.heatmap(result, { method: 'magic' }),
      () => classifier.heatmap(/** @type {any} */ ({ classIndex: 1 })),
      () => classifier.heatmap(/** @type {any} */ (null)),
      () => whylens.load(model, { keepBytes: -1 }),
      () => heatmap && classifier.render(heatmap, { opacity: 2 }),
      () => heatmap && classifier.render(heatmap, { colormap: 'beige' }),
      () => whylens.load(/** @type {any} */ (7)),
      () => whylens.load('http://['),
      () => whylens.load(model, /** @type {any} */ ({ onProgress: 1 })),
    ]);
    return Promise.all(
      calls.map((call) =>
        call().then(
          () => 'ok',
          (/** @type {any} */ error) => (error instanceof whylens.WhylensError ? error.code : String(error)),
        ),
      ),
    );
  }, SMALL);
  assert.deepEqual(
    codes,
    codes.map(() => 'bad-option'),
  );
  assert.equal(await look(page), 'ok');
});
