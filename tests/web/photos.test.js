// Any photo, seen the same way: orientations, regions, formats that only the browser reads, altered canvases.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { FIREFOX, browse } from './browser.js';
import { classifier, folder } from './onnx.js';
import { Stage } from './page.js';
import { TOP } from './server.js';

const REAL = '/models/efficientnet-lite0/';
const stage = new Stage();
const { server } = stage;
const options = { timeout: 120_000 };
/** @type {import('playwright-core').Page} */
let page;
/** The library in the page. @type {import('./page.js').Library} */
const whylens = /** @type {any} */ (undefined);
/** @typedef {(canvas: HTMLCanvasElement, orientation: number) => Promise<Blob>} Turn */
/** Made by `turned`. @type {Turn} */
const turn = /** @type {any} */ (undefined);

before(async () => {
  await stage.start();
  page = await stage.page({ before: turned });
});
after(() => stage.stop());

/** Gives pages `turn(canvas, orientation)`: a PNG file that is upright when its EXIF orientation is applied. */
function turned() {
  const table = Uint32Array.from({ length: 256 }, (_, byte) => {
    let sum = byte;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
    return sum;
  });
  const crc = (/** @type {number[]} */ bytes) =>
    ~bytes.reduce((sum, byte) => (table[(sum ^ byte) & 255] ?? 0) ^ (sum >>> 8), -1) >>> 0;
  const word = (/** @type {number} */ value) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
  /** @type {Turn} */
  const turn = async (upright, orientation) => {
    const { width, height } = upright;
    const across = orientation > 4;
    const stored = Object.assign(
      document.createElement('canvas'),
      across ? { width: height, height: width } : { width, height },
    );
    const context = /** @type {CanvasRenderingContext2D} */ (stored.getContext('2d'));
    // Upright coordinates → stored ones, for each orientation.
    const [w, h] = [width, height];
    const matrices = [
      [1, 0, 0, 1, 0, 0],
      [-1, 0, 0, 1, w, 0],
      [-1, 0, 0, -1, w, h],
      [1, 0, 0, -1, 0, h],
      [0, 1, 1, 0, 0, 0],
      [0, -1, 1, 0, 0, w],
      [0, -1, -1, 0, h, w],
      [0, 1, -1, 0, h, 0],
    ];
    context.setTransform(
      .../** @type {[number, number, number, number, number, number]} */ (matrices[orientation - 1]),
    );
    context.imageSmoothingEnabled = false;
    context.drawImage(upright, 0, 0);
    const blob = await new Promise((resolve) => stored.toBlob(resolve, 'image/png'));
    const bytes = [...new Uint8Array(await /** @type {Blob} */ (blob).arrayBuffer())];
    const exif = [...'eXIfII*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0']
      .map((letter) => letter.charCodeAt(0))
      .concat(orientation, 0, 0, 0, 0, 0, 0, 0);
    const chunk = [...word(exif.length - 4), ...exif, ...word(crc(exif))];
    const afterHeader = 33;
    return new Blob([new Uint8Array([...bytes.slice(0, afterHeader), ...chunk, ...bytes.slice(afterHeader)])]);
  };
  Object.assign(globalThis, { turn });
}

test('the eight orientations of a photo give the same predictions and the same upright heatmap', options, async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const photo = await createImageBitmap(await (await fetch('/tests/photos/chelsea.png')).blob());
    const upright = Object.assign(document.createElement('canvas'), { width: photo.width, height: photo.height });
    upright.getContext('2d')?.drawImage(photo, 0, 0);
    const results = [];
    for (let orientation = 1; orientation <= 8; orientation += 1) {
      const { predictions, heatmap, image } = await classifier.classify(await turn(upright, orientation), {
        heatmap: { classIndex: 282 },
      });
      results.push({
        image,
        predictions,
        values: [...(heatmap?.values ?? [])],
        max: heatmap?.max ?? 0,
        region: heatmap?.region,
      });
    }
    return results;
  }, REAL);
  const [first, ...others] = seen;
  assert.match(first?.predictions[0]?.label ?? '', /cat|tabby/);
  assert.ok((first?.max ?? 0) > 0);
  for (const [index, other] of others.entries()) {
    const name = `orientation ${index + 2}`;
    assert.deepEqual(other.image, first?.image, name);
    assert.deepEqual(other.region, first?.region, name);
    for (const [rank, { index, probability }] of other.predictions.entries()) {
      const expected = first?.predictions[rank];
      assert.equal(index, expected?.index, name);
      assert.ok(Math.abs(probability - (expected?.probability ?? 0)) <= 1e-3, name);
    }
    const off =
      Math.max(...other.values.map((value, at) => Math.abs(value - (first?.values[at] ?? 0)))) / (first?.max ?? 1);
    assert.ok(off <= 1e-3, `${name}: the heatmap is off by ${off}`);
  }
});

for (const mode of ['shorter-side', 'exact', 'fit']) {
  test(`the heatmap is drawn where the photo is bright: ${mode}, all orientations`, options, async () => {
    const change = (/** @type {any} */ manifest) => {
      manifest.input.resize = { mode, size: 36, filter: 'bilinear' };
      Object.assign(manifest.input, { mean: [0, 0, 0], std: [1, 1, 1] });
    };
    server.put(`/models/bright-${mode}/`, folder({ onnx: classifier({ bright: true }), change }));
    const seen = await page.evaluate(async (model) => {
      const classifier = await whylens.load(model);
      /** @type {{ name: string, off: number, share: number }[]} */
      const found = [];
      for (const [width, height, x, y] of /** @type {const} */ ([
        [300, 200, 170, 60],
        [200, 300, 60, 190],
        [256, 256, 90, 150],
      ])) {
        const upright = Object.assign(document.createElement('canvas'), { width, height });
        const context = /** @type {CanvasRenderingContext2D} */ (upright.getContext('2d'));
        context.fillRect(0, 0, width, height);
        context.fillStyle = 'white';
        context.fillRect(x - 15, y - 15, 30, 30);
        for (let orientation = 1; orientation <= 8; orientation += 1) {
          const { heatmap } = await classifier.classify(await turn(upright, orientation));
          if (!heatmap) continue;
          // What is drawn over the photo: the mass of what is not transparent.
          const { data } = await classifier.render(heatmap);
          let [mass, across, down, within] = [0, 0, 0, 0];
          for (let at = 0; at < width * height; at += 1) {
            const alpha = data[at * 4 + 3] ?? 0;
            const [column, row] = [at % width, Math.floor(at / width)];
            mass += alpha;
            across += alpha * (column + 0.5);
            down += alpha * (row + 0.5);
            if (Math.abs(column + 0.5 - x) < 40 && Math.abs(row + 0.5 - y) < 40) within += alpha;
          }
          found.push({
            name: `${width} × ${height}, ${orientation}`,
            off: Math.hypot(across / mass - x, down / mass - y),
            share: within / mass,
          });
        }
      }
      return found;
    }, `/models/bright-${mode}/`);
    assert.equal(seen.length, 24);
    // A cell of the map is 19 pixels wide at the most.
    for (const { name, off, share } of seen)
      assert.ok(off < 3 && share > 0.9, `${name}: off by ${off}, ${share} within`);
  });
}

test('a region is the part of the upright photo that a canvas cuts out, for every kind of photo', options, async () => {
  const seen = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const file = await (await fetch('/tests/photos/coffee.png')).blob();
    const bitmap = await createImageBitmap(file);
    const canvas = Object.assign(document.createElement('canvas'), { width: bitmap.width, height: bitmap.height });
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    pen.drawImage(bitmap, 0, 0);
    const region = { x: 300, y: 20, width: 280, height: 200 };
    const cut = Object.assign(document.createElement('canvas'), { width: 280, height: 200 });
    cut.getContext('2d')?.drawImage(bitmap, -300, -20);
    const expected = await classifier.classify(cut);
    const found = [];
    for (const photo of [
      file,
      await file.arrayBuffer(),
      canvas,
      bitmap,
      pen.getImageData(0, 0, 600, 400),
      await turn(canvas, 6),
    ]) {
      const result = await classifier.classify(photo, { region });
      // Another photo comes in between.
      await classifier.classify(file, { heatmap: false });
      const later = await classifier.heatmap(result, { classIndex: 968 });
      const drawn = await classifier.render(later, { width: 600, height: 400, opacity: 1 });
      const outside = drawn.data.some((level, at) => {
        const [x, y] = [(at >> 2) % 600, Math.floor((at >> 2) / 600)];
        return at % 4 === 3 && level > 0 && (x < 300 || x >= 580 || y < 20 || y >= 220);
      });
      found.push({ result, later, outside });
    }
    const refused = await Promise.all(
      [
        { x: 500, y: 0, width: 200, height: 100 },
        { x: 0, y: 0, width: 0, height: 1 },
        { x: 0, y: 0, width: 0.2, height: 1 },
        { x: -1, y: 0, width: 9, height: 9 },
        { x: 0, y: 0, width: 9 },
      ].map((region) =>
        classifier.classify(file, { region: /** @type {any} */ (region) }).then(String, ({ code }) => code),
      ),
    );
    return { region, expected, found, refused };
  }, REAL);
  const { region, expected, found, refused } = seen;
  assert.equal(found.length, 6);
  for (const { result, later, outside } of found) {
    assert.deepEqual([result.region, later.part, result.heatmap?.part], [region, region, region]);
    assert.deepEqual(result.image, { width: 600, height: 400 });
    for (const [at, { index, probability }] of expected.predictions.entries()) {
      assert.equal(result.predictions[at]?.index, index);
      assert.ok(Math.abs((result.predictions[at]?.probability ?? 0) - probability) < 1e-5);
    }
    const { x, y, width, height } = /** @type {import('./../../www/library/protocol.js').Region} */ (
      expected.heatmap?.region
    );
    assert.deepEqual(later.region, { x: x + 300, y: y + 20, width, height });
    assert.equal(outside, false);
  }
  assert.deepEqual(refused, Array(5).fill('bad-option'));
});

test('formats that only the browser reads are read by it, whatever their name', options, async () => {
  for (const name of ['avif.avif', 'svg.svg']) {
    const seen = await page.evaluate(async ([model, name]) => {
      const classifier = await whylens.load(model);
      const bytes = await (await fetch(`/tests/golden/photos/foreign/${name}`)).arrayBuffer();
      const { predictions, image, heatmap } = await classifier.classify(
        new File([bytes], 'photo.jpg', { type: 'image/jpeg' }),
      );
      return {
        label: predictions[0]?.label,
        probability: predictions[0]?.probability ?? 0,
        image,
        region: heatmap?.region,
      };
    }, /** @type {[string, string]} */ ([REAL, name]));
    assert.deepEqual(
      [seen.label, seen.image, seen.region],
      ['espresso', { width: 300, height: 200 }, { x: 62.5, y: 12.5, width: 175, height: 175 }],
      name,
    );
    assert.ok(seen.probability > 0.6, `${name}: ${seen.probability}`);
  }
});

test(
  'a format that only the browser reads is refused by the size in its header, before it is decoded',
  options,
  async () => {
    const bytes = await readFile(join(TOP, 'tests/golden/photos/foreign/avif.avif'));
    const at = bytes.indexOf('ispe') + 8;
    assert.deepEqual([bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4)], [300, 200]);
    bytes.writeUInt32BE(20_000, at);
    bytes.writeUInt32BE(20_000, at + 4);
    const seen = await page.evaluate(
      async ([model, bytes]) => {
        const { code, message } = await (
          await whylens.load(model)
        )
          .classify(new Blob([new Uint8Array(bytes)]))
          .catch((error) => error);
        return { code, message };
      },
      /** @type {[string, number[]]} */ ([REAL, [...bytes]]),
    );
    assert.equal(seen.code, 'image-too-large');
    assert.match(seen.message, /20000 × 20000 pixels/);
  },
);

test('formats that nobody here reads are named', options, async () => {
  const codes = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const brands = (/** @type {string} */ brand) => `\0\0\0\x14ftyp${brand}\0\0\0\0mif1${'\0'.repeat(40)}`;
    const files = {
      HEIC: brands('heic'),
      AVIF: brands('avif'),
      'JPEG 2000': '\0\0\0\x0cjP  \r\n\x87\n',
      SVG: '<svg xmlns="http://www.w3.org/2000/svg"><broken',
      'a web page': '<!doctype html><svg></svg>',
    };
    return Promise.all(
      Object.entries(files).map(async ([name, text]) => {
        const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
        const error = await classifier.classify(new Blob([bytes])).catch((error) => error);
        return `${error.code}: ${error.message.includes(name) ? name : error.message}`;
      }),
    );
  }, REAL);
  assert.deepEqual(
    codes,
    ['HEIC', 'AVIF', 'JPEG 2000', 'SVG', 'a web page'].map((name) => `image-format: ${name}`),
  );
});

test(
  'a browser that gives noise for the pixels of canvases: files are exact, what comes from a canvas is refused',
  {
    ...options,
    skip: !FIREFOX && 'only Firefox does so',
  },
  async () => {
    const browser = await browse([], { 'privacy.resistFingerprinting': true });
    const guarded = await stage.page({ context: await browser.newContext() });
    const bytes = [...(await readFile(join(TOP, 'tests/photos/coffee.png')))];
    const seen = await guarded.evaluate(async ([model, bytes]) => {
      const classifier = await whylens.load(model);
      const file = new Blob([new Uint8Array(bytes)]);
      const { predictions } = await classifier.classify(file);
      const refused = await classifier
        .classify(await createImageBitmap(file))
        .catch(({ code, message }) => ({ code, message }));
      const again = await classifier.classify(file);
      return { first: predictions[0], refused, again: again.predictions[0] };
    }, /** @type {[string, number[]]} */ ([REAL, bytes]));
    const exact = await page.evaluate(async ([model, bytes]) => {
      const classifier = await whylens.load(model);
      return (await classifier.classify(new Blob([new Uint8Array(bytes)]))).predictions[0];
    }, /** @type {[string, number[]]} */ ([REAL, bytes]));
    assert.deepEqual([seen.first, seen.again], [exact, exact]);
    assert.ok('code' in seen.refused, JSON.stringify(seen.refused));
    assert.equal(seen.refused.code, 'bad-option');
    assert.match(seen.refused.message, /noise in place of the pixels/);
    await browser.close();
  },
);
