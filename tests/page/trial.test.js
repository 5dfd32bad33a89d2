// the brush on the photo: what it hides, and what the model makes of it

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { join } from 'node:path';
import { FIREFOX } from '../web/browser.js';
import { listenIn, serveEndings } from '../web/ending.js';
import { TOP } from '../web/server.js';
import { photo, place, sample, verdict } from './visit.js';

/** @typedef {import('./visit.js').Page} Page */
/**
 * A photo of which a part is hidden, and what ONNX Runtime says of it.
 * @typedef {{photo: string, part: number[] | null, box?: number[], disc?: number[], mode: 'hide' | 'keep', fill: 'cover' |
 *   'blur', classes: number[], before: number[], now: number[], first: number}} Case
 */

/** @type {{cases: Case[], colours: {photo: string, part: number[] | null, mean: number[], blurred: number[][]}[]}} */
const GOLDEN = JSON.parse(await readFile(join(TOP, 'tests/golden/brushed/scores.json'), 'utf8'));

/** Pictures to look at, where they are wanted. @param {Page} page @param {string} name */
const shoot = async (page, name) =>
  process.env.SHOTS && page.screenshot({ path: join(process.env.SHOTS, `whylens-${name}.png`) });

/** Sizes of the photos. @type {Record<string, readonly [number, number]>} */
const SIZES = { 'chelsea.png': [451, 300], 'coffee.png': [600, 400] };

/** @type {Awaited<ReturnType<typeof place>>} */
let here;
before(async () => {
  here = await place();
});
after(() => here?.close());

const WIDE = { viewport: { width: 1400, height: 1000 } };

/** @param {Page} page */
async function tryIt(page) {
  await page.getByRole('button', { name: 'Try it yourself' }).click();
  await page.locator('.trial-area').waitFor();
  await page.locator('.trial-values li').first().waitFor();
}

/** @param {Page} page @param {string} name */
async function opened(page, name) {
  await page.setInputFiles('#chooser', photo(name));
  await verdict(page);
  await tryIt(page);
}

/**
 * The values of the classes, and those now, null where the photo is whole.
 * @param {Page} page
 * @returns {Promise<{label: string, before: number, now: number | null}[]>}
 */
const values = (page) =>
  page.locator('.trial-values li').evaluateAll((rows) =>
    rows.map((row) => {
      const [before, now] = /** @type {HTMLDataElement[]} */ ([...row.querySelectorAll('data')]);
      return {
        label: row.querySelector('.class-label')?.textContent ?? '',
        before: Number(before?.value),
        now: !now || now.hidden ? null : Number(now.value),
      };
    }),
  );

/** Waits until the values are those of what is seen. @param {Page} page */
async function rested(page) {
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  await page.waitForSelector('.trial[aria-busy="false"]');
  return values(page);
}

/** A point of the picture on the screen. @param {Page} page @param {number} x @param {number} y */
async function at(page, x, y) {
  const box = await page.locator('.trial-area').boundingBox();
  const [width, height] = await page
    .locator('.trial-ink')
    .evaluate((ink) => /** @type {const} */ ([/** @type {any} */ (ink).width, /** @type {any} */ (ink).height]));
  if (!box) throw new Error('the photo cannot be seen');
  return /** @type {const} */ ([box.x + (x / width) * box.width, box.y + (y / height) * box.height]);
}

/**
 * The ink's pixels: all of them as one hash, how many are opaque, and those at some places as red, green, blue, opacity.
 * @param {Page} page
 * @param {(readonly [number, number])[]} [places]
 */
const ink = (page, places = []) =>
  page.locator('.trial-ink').evaluate(async (element, places) => {
    const { width, height } = /** @type {HTMLCanvasElement} */ (element);
    const pen = /** @type {CanvasRenderingContext2D} */ (/** @type {HTMLCanvasElement} */ (element).getContext('2d'));
    const { data } = pen.getImageData(0, 0, width, height);
    const opacities = data.filter((_, at) => at % 4 === 3);
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', data));
    return {
      width,
      hash: [...hash].join(),
      opaque: opacities.filter((level) => level === 255).length,
      empty: opacities.every((level) => level === 0),
      colours: places.map(([x, y]) => [...data.subarray(4 * (y * width + x), 4 * (y * width + x) + 4)]),
    };
  }, places);

/** @param {Page} page @param {Pick<Case, 'mode' | 'fill'>} given */
async function set(page, { mode, fill }) {
  await page.getByText(fill === 'blur' ? 'Blur' : 'Cover', { exact: true }).click();
  await page.getByText(mode === 'keep' ? 'Keep only that' : 'Hide what I brush').click();
}

/** @param {Page} page @param {number} share */
const resize = (page, share) =>
  page.getByRole('slider', { name: 'Brush' }).evaluate((slider, share) => {
    /** @type {HTMLInputElement} */ (slider).value = String(share);
    slider.dispatchEvent(new Event('input'));
  }, share);

for (const given of GOLDEN.cases.filter(({ part }) => !part))
  test(`${given.photo}, ${JSON.stringify(given.box ?? given.disc)}, ${given.mode}, ${given.fill}: ONNX Runtime says the same of that picture`, async () => {
    const { page, context, complaints } = await here.visit(WIDE);
    await opened(page, given.photo);
    await set(page, given);
    // What keeps nothing yet has values of its own, with a line more on the page.
    await rested(page);
    if (given.disc) {
      const [x = 0, y = 0, radius = 0] = given.disc;
      await resize(page, (2 * radius) / (SIZES[given.photo]?.[1] ?? 1));
      await page.mouse.click(...(await at(page, x, y)));
    } else {
      await page.locator('.trial-window').press('Enter');
    }
    const now = await rested(page);
    // A mouse hits a pixel of the screen, not one of the photo.
    const most = given.disc ? 0.04 : 0.02;
    given.now.forEach((expected, row) => {
      const { before = NaN, now: found } = now[row] ?? {};
      assert.ok(
        Math.abs(before - (given.before[row] ?? NaN)) < 0.02,
        `before: ${before}, expected ${given.before[row]}`,
      );
      assert.ok(Math.abs((found ?? NaN) - expected) < most, `now: ${found}, expected ${expected}`);
    });
    const isNew = !given.classes.includes(given.first);
    assert.equal(/First now/.test(await page.locator('.trial-first').innerText()), isNew);
    assert.deepEqual(complaints, []);
    await context.close();
  });

for (const { photo: name, part, mean, blurred } of GOLDEN.colours.filter(({ part }) => !part))
  test(`${name} is covered by its mean colour, and blurred as SciPy does`, async (t) => {
    assert.equal(part, null);
    const { page, context } = await here.visit(WIDE);
    await opened(page, name);
    await page.getByText('Keep only that').click();
    await rested(page);
    const cover = await ink(page, [
      [0, 0],
      [200, 100],
    ]);
    assert.deepEqual(cover.colours, [
      [...mean, 255],
      [...mean, 255],
    ]);
    await page.getByText('Blur', { exact: true }).click();
    await rested(page);
    const { colours } = await ink(
      page,
      blurred.map(([x = 0, y = 0]) => /** @type {const} */ ([x, y])),
    );
    const off = blurred.map(([x, y, ...colour], place) => ({
      place: `${x}, ${y}`,
      // Blurred coarsely, the rim repeats its last pixels together.
      isRim: x === blurred[0]?.[0] || x === blurred.at(-1)?.[0] || y === blurred[0]?.[1] || y === blurred.at(-1)?.[1],
      levels: Math.max(...colour.map((level, channel) => Math.abs((colours[place]?.[channel] ?? NaN) - level))),
    }));
    t.diagnostic(off.map(({ place, levels }) => `${place}: ${levels}`).join('; '));
    assert.deepEqual(
      off.filter(({ isRim, levels }) => !(levels <= (isRim ? 10 : 3))),
      [],
    );
    await context.close();
  });

test('the whole photo gives what it gave; undo, redo and start over restore exactly', async () => {
  const { page, context } = await here.visit(WIDE);
  await page.setInputFiles('#chooser', photo('chelsea.png'));
  await verdict(page);
  const shown = () => page.locator('#result').innerText();
  const result = await shown();
  const own = await page.evaluate(
    async (bytes) => {
      const path = '/www/whylens.js';
      const { load } = await import(path);
      const classifier = await load('/models/efficientnet-lite0/');
      const { predictions } = await classifier.classify(new Blob([new Uint8Array(bytes)]), { topK: 3 });
      return predictions.map((/** @type {{probability: number}} */ { probability }) => probability);
    },
    [...(await readFile(photo('chelsea.png')))],
  );
  await tryIt(page);
  const whole = await rested(page);
  whole.forEach(({ before, now }, row) => {
    assert.equal(now, null);
    assert.ok(Math.abs(before - own[row]) < 1e-6, `${before}, expected ${own[row]}`);
  });

  const undo = page.getByRole('button', { name: 'Undo' });
  assert.equal(await undo.getAttribute('aria-disabled'), 'true');
  await page.mouse.move(...(await at(page, 120, 90)));
  await page.mouse.down();
  await page.mouse.move(...(await at(page, 250, 120)), { steps: 5 });
  await page.mouse.up();
  const first = { values: await rested(page), ink: await ink(page) };
  assert.notDeepEqual(first.values, whole);
  await page.mouse.click(...(await at(page, 300, 200)));
  const second = { values: await rested(page), ink: await ink(page) };
  assert.notDeepEqual(second.ink, first.ink);

  await undo.click();
  assert.deepEqual({ values: await rested(page), ink: await ink(page) }, first);
  await page.getByRole('button', { name: 'Redo' }).click();
  assert.deepEqual({ values: await rested(page), ink: await ink(page) }, second);
  await page.keyboard.press('Control+z');
  await page.keyboard.press('Control+z');
  assert.deepEqual(await rested(page), whole);
  assert.ok((await ink(page)).empty, 'nothing is left of the ink');
  await page.keyboard.press('Control+y');
  await page.getByRole('button', { name: 'Start over' }).click();
  assert.deepEqual(await rested(page), whole);
  // What was thrown away can be had back.
  await undo.click();
  assert.deepEqual({ values: await rested(page), ink: await ink(page) }, first);

  await page.getByRole('button', { name: 'Put the brush away' }).click();
  await page.waitForSelector('.trial', { state: 'detached' });
  assert.equal(await page.locator('.trial-area').count(), 0);
  assert.equal(await shown(), result);
  await context.close();
});

test('a large photo is brushed in a smaller size, which changes next to nothing', async () => {
  const { page, context } = await here.visit(WIDE);
  const url = `data:image/png;base64,${(await readFile(photo('astronaut.png'))).toString('base64')}`;
  const large = await page.evaluate(async (url) => {
    const small = await createImageBitmap(await (await fetch(url)).blob());
    const canvas = new OffscreenCanvas(3000, 3000);
    const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
    pen.imageSmoothingQuality = 'high';
    pen.drawImage(small, 0, 0, 3000, 3000);
    const file = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.95 });
    const path = '/www/whylens.js';
    const { load } = await import(path);
    const classifier = await load('/models/efficientnet-lite0/');
    const { predictions } = await classifier.classify(file, { topK: 3 });
    const reader = new FileReader();
    const read = new Promise((resolve) => (reader.onload = resolve));
    reader.readAsDataURL(file);
    await read;
    return {
      file: String(reader.result).replace(/^.*,/, ''),
      probabilities: predictions.map((/** @type {{probability: number}} */ { probability }) => probability),
    };
  }, url);
  const { probabilities } = large;
  await page.setInputFiles('#chooser', {
    name: 'large.jpg',
    mimeType: 'image/jpeg',
    buffer: Buffer.from(large.file, 'base64'),
  });
  await verdict(page);
  await tryIt(page);
  const found = await rested(page);
  assert.equal((await ink(page)).width, 1024);
  probabilities.forEach((/** @type {number} */ expected, /** @type {number} */ row) => {
    const { before = NaN } = found[row] ?? {};
    assert.ok(Math.abs(before - expected) < 0.01, `${before}, expected ${expected}`);
  });
  await context.close();
});

/** Counts the photos that the worker is given. @param {Page} page */
const counting = (page) =>
  page.addInitScript(() => {
    const counts = Object.assign(globalThis, { classified: 0, most: 0 });
    /** @type {Set<number>} */
    const under = new Set();
    class Counted extends Worker {
      /** @param {[string | URL, WorkerOptions]} given */
      constructor(...given) {
        super(...given);
        this.addEventListener('message', ({ data }) => 'progress' in data || under.delete(data.id));
      }

      /** @override */
      postMessage(/** @type {any} */ message, /** @type {any} */ rest) {
        if (message.type === 'classify') {
          under.add(message.id);
          counts.classified += 1;
          counts.most = Math.max(counts.most, under.size);
        }
        super.postMessage(message, rest);
      }
    }
    Object.assign(globalThis, { Worker: Counted });
  });

test('while it moves fast, one picture at a time is classified, the newest', async () => {
  const { page, context } = await here.visit({ ...WIDE, before: counting });
  await opened(page, 'chelsea.png');
  await rested(page);
  const counts = () =>
    page.evaluate(() => {
      const { classified, most } = /** @type {any} */ (globalThis);
      return /** @type {[number, number]} */ ([classified, most]);
    });
  const [before] = await counts();
  await page.mouse.move(...(await at(page, 60, 60)));
  await page.mouse.down();
  const moves = 600;
  const [left, top] = await at(page, 60, 60);
  const [right, bottom] = await at(page, 390, 240);
  await page.evaluate(
    async ({ moves, left, top, right, bottom }) => {
      const area = document.querySelector('.trial-area');
      for (let move = 1; move <= moves; move += 1) {
        const across = (1 - Math.cos(move / 15)) / 2;
        const [clientX, clientY] = [left + across * (right - left), top + (move / moves) * (bottom - top)];
        area?.dispatchEvent(new PointerEvent('pointermove', { pointerId: 1, clientX, clientY, bubbles: true }));
        if (move % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 4));
      }
    },
    { moves, left, top, right, bottom },
  );
  // The values follow while the brush is still down.
  const during = await values(page);
  assert.ok(during.some(({ now }) => now !== null));
  await page.mouse.up();
  const end = await rested(page);
  const [after, most] = await counts();
  assert.ok(after - before < moves / 5, `${after - before} pictures for ${moves} moves`);
  assert.equal(most, 1, 'one at a time');
  // The same picture, reached in another way.
  await page.getByRole('button', { name: 'Undo' }).click();
  await rested(page);
  await page.getByRole('button', { name: 'Redo' }).click();
  assert.deepEqual(await rested(page), end);
  await context.close();
});

test('by keys alone, and what they do is said', async () => {
  const { page, context } = await here.visit(WIDE);
  await page.setInputFiles('#chooser', photo('chelsea.png'));
  await verdict(page);
  await page.getByRole('button', { name: 'Try it yourself' }).focus();
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement?.classList.contains('trial-window'));
  const label = () => page.locator('.trial-window').getAttribute('aria-label');
  assert.equal(await label(), 'Brush window, 20% wide, 50% from the left, 50% from the top');
  for (const key of ['ArrowLeft', 'ArrowLeft', 'ArrowUp', 'Shift+ArrowUp', '+', '+', '-'])
    await page.keyboard.press(key);
  await rested(page);
  assert.equal(await label(), 'Brush window, 24% wide, 43% from the left, 44% from the top');
  await page.keyboard.press('Space');
  const now = await rested(page);
  assert.ok(now.every(({ now }) => now !== null));
  // The middle: 225.5 - 2 × 15 to the right, 150 - 15 - 3.75 down.
  const brushed = await ink(page, [[195, 131]]);
  assert.equal(brushed.opaque, 72 * 72);
  assert.equal(brushed.colours[0]?.[3], 255);
  await page.locator('.trial [role="status"]', { hasText: /tiger cat: from 39% to \d+%/ }).waitFor();
  await page.keyboard.press('Control+z');
  await page.locator('.trial [role="status"]', { hasText: 'The photo is whole' }).waitFor();
  // Never out of the photo.
  for (let times = 0; times < 40; times += 1) await page.keyboard.press('ArrowRight');
  assert.match((await label()) ?? '', /100% from the left/);
  await shoot(page, 'trial-keys');
  // All tools are reached by Tab.
  await page.getByRole('button', { name: 'Put the brush away' }).focus();
  const names = [];
  for (let at = 0; at < 8; at += 1) {
    await page.keyboard.press('Tab');
    names.push(
      await page.evaluate(() => {
        const { activeElement: focus } = document;
        const label = focus?.closest('label')?.textContent ?? focus?.textContent;
        return label ?? '';
      }),
    );
  }
  assert.deepEqual(names.slice(0, 8), [
    'Cover',
    'Hide what I brush',
    'Brush',
    'Show the heatmap',
    'Undo',
    'Redo',
    'Start over',
    'Hide the 10% that the map marks most',
  ]);
  await page.keyboard.press('Enter');
  await rested(page);
  // 5 of 49 cells of the square that the model sees, a side of 262 pixels.
  const { opaque } = await ink(page);
  assert.ok(Math.abs(opaque - 5 * (262 / 7) ** 2) < 300, `${opaque} pixels`);
  await context.close();
});

test(
  'by finger, on a phone; a second finger gives the stroke up',
  {
    skip: FIREFOX && 'no touches in Firefox over WebDriver BiDi',
  },
  async () => {
    const { page, context } = await here.visit({
      viewport: { width: 360, height: 740 },
      hasTouch: true,
      isMobile: true,
    });
    await opened(page, 'coffee.png');
    await page.locator('.trial').scrollIntoViewIfNeeded();
    const session = await context.newCDPSession(page);
    const touch = (/** @type {string} */ type, /** @type {(readonly [number, number])[]} */ points) =>
      session.send('Input.dispatchTouchEvent', {
        type: /** @type {'touchStart'} */ (type),
        touchPoints: points.map(([x, y], id) => ({ x, y, id })),
      });
    const scrolled = await page.evaluate(() => scrollY);
    await touch('touchStart', [await at(page, 200, 100)]);
    for (const y of [150, 200, 250, 300]) await touch('touchMove', [await at(page, 200 + y / 2, y)]);
    await touch('touchEnd', []);
    const brushed = await rested(page);
    assert.ok((brushed[0]?.now ?? 1) < (brushed[0]?.before ?? 0));
    assert.equal(await page.evaluate(() => scrollY), scrolled, 'the page stays where it is');
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    const seen = await page.locator('.trial-values').boundingBox();
    const area = await page.locator('.trial-area').boundingBox();
    assert.ok(seen && area && seen.y + seen.height - area.y < 740, 'photo and values fit on the screen together');
    await shoot(page, 'trial-phone');
    const { opaque } = await ink(page);
    const [left, right] = [await at(page, 150, 150), await at(page, 250, 150)];
    await touch('touchStart', [left]);
    await touch('touchMove', [[left[0] + 4, left[1]]]);
    await touch('touchStart', [left, right]);
    for (const by of [10, 20, 30, 40, 60, 80]) {
      await touch('touchMove', [
        [left[0] - by, left[1]],
        [right[0] + by, right[1]],
      ]);
      // The browser takes one place of each finger for a frame.
      await page.waitForTimeout(50);
    }
    await touch('touchEnd', []);
    await page.waitForFunction(() => (globalThis.visualViewport?.scale ?? 1) > 1.5);
    assert.equal((await ink(page)).opaque, opaque, 'two fingers enlarge the page, and brush nothing');
    assert.deepEqual(await rested(page), brushed);
    await context.close();
  },
);

test('a phone held sideways: photo and values side by side', async () => {
  const { page, context } = await here.visit({ viewport: { width: 740, height: 360 }, hasTouch: true, isMobile: true });
  await opened(page, 'coffee.png');
  await page.locator('.stage-view').evaluate((stage) => stage.scrollIntoView());
  const values = await page.locator('.trial-values').boundingBox();
  const area = await page.locator('.photo').boundingBox();
  assert.ok(values && area && area.x + area.width < values.x, 'the values beside the photo');
  for (const { y, height } of [values, area]) assert.ok(y >= 0 && y + height <= 360, `${y} to ${y + height}`);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 740);
  await shoot(page, 'trial-sideways');
  await context.close();
});

test('a part, a photo of a batch; another photo, part, language or model ends it', async () => {
  const { page, context, complaints } = await here.visit(WIDE);
  await page.setInputFiles('#chooser', [photo('coffee.png'), photo('rocket.jpg')]);
  await page.locator('.tile[data-status="done"]').nth(1).waitFor({ timeout: 60_000 });
  await verdict(page, /espresso/);
  const ends = () => page.waitForFunction(() => !document.querySelector('.trial, .trial-area'));

  await tryIt(page);
  await page.locator('.trial-window').press('Enter');
  await rested(page);
  await page.locator('.tile').nth(1).click();
  await ends();
  await verdict(page, /missile/);
  await tryIt(page);
  const [first] = await rested(page);
  assert.match(first?.label ?? '', /missile/);

  await page.locator('.tile').nth(0).click();
  await ends();
  await verdict(page, /espresso/);
  const golden = GOLDEN.cases.filter(({ part }) => part);
  const [x = 0, y = 0, width = 0, height = 0] = golden[0]?.part ?? [];
  await page.getByRole('button', { name: 'Choose a part' }).click();
  await page.locator('.part-area[data-choosing="true"]').waitFor();
  await page.locator('.part-area').scrollIntoViewIfNeeded();
  const box = await page.locator('.part-area').boundingBox();
  if (!box) throw new Error('the photo cannot be seen');
  const to = (/** @type {number} */ x, /** @type {number} */ y) =>
    /** @type {const} */ ([box.x + (x / 600) * box.width, box.y + (y / 600) * box.width]);
  await page.mouse.move(...to(x, y));
  await page.mouse.down();
  await page.mouse.move(...to(x + width, y + height), { steps: 4 });
  await page.mouse.up();
  await page.getByRole('button', { name: 'Whole photo' }).waitFor();
  await tryIt(page);
  assert.equal(await page.locator('.part-area[data-choosing="true"]').count(), 0);
  for (const given of golden) {
    await set(page, given);
    await page.locator('.trial-window').press('Enter');
    const found = await rested(page);
    given.now.forEach((expected, row) => {
      const { before = NaN, now } = found[row] ?? {};
      assert.ok(
        Math.abs(before - (given.before[row] ?? NaN)) < 0.03,
        `before: ${before}, expected ${given.before[row]}`,
      );
      assert.ok(Math.abs((now ?? NaN) - expected) < 0.03, `now: ${now}, expected ${expected}`);
    });
    await shoot(page, `trial-part-${given.mode}`);
    await page.keyboard.press('Control+z');
  }
  await page.getByRole('button', { name: 'Whole photo' }).click();
  await ends();

  await page.waitForFunction(() => !document.querySelector('.busy:not([hidden])'));
  await tryIt(page);
  await page.getByRole('button', { name: 'Tiếng Việt' }).click();
  await ends();
  await page.getByRole('button', { name: 'Tự tay thử' }).click();
  await page.getByText('Chỉ giữ chỗ tô').click();
  await rested(page);
  await shoot(page, 'trial-vietnamese');
  await page.getByRole('button', { name: 'English' }).click();
  await ends();

  await tryIt(page);
  await page.getByRole('button', { name: 'Choose a part' }).click();
  await ends();
  assert.deepEqual(complaints, []);
  await context.close();
});

test('the camera is not brushed', async () => {
  const { page, context } = await here.visit(WIDE);
  await page.getByRole('button', { name: 'Camera', exact: true }).click();
  await page.locator('.times').waitFor({ timeout: 60_000 });
  assert.equal(await page.getByRole('button', { name: 'Try it yourself' }).isVisible(), false);
  await context.close();
});

test('a worker that ends is said, and the next stroke works; a part of the page that does not arrive too', async () => {
  await serveEndings(here.server);
  const { page, context } = await here.visit({ ...WIDE, before: (page) => page.addInitScript(listenIn) });
  let broken = true;
  await page.route('**/page/trial.css', (route) => (broken ? route.abort() : route.continue()));
  await page.setInputFiles('#chooser', photo('chelsea.png'));
  await verdict(page);
  await page.getByRole('button', { name: 'Try it yourself' }).click();
  await page.locator('.alert-view', { hasText: 'The connection failed' }).waitFor();
  broken = false;
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.locator('.trial-window').waitFor({ state: 'attached' });

  await page.evaluate(() => /** @type {any} */ (globalThis).provoke('unreachable'));
  await page.locator('.trial-window').press('Enter');
  await page.locator('.alert-view', { hasText: 'stopped unexpectedly' }).waitFor();
  await page.evaluate(() => /** @type {any} */ (globalThis).provoke());
  await page.locator('.trial-window').press('ArrowRight');
  await page.locator('.trial-window').press('Enter');
  const [first] = await rested(page);
  assert.ok(first && first.now !== null && first.now !== first.before);
  await page.waitForSelector('.alert-view', { state: 'hidden' });
  await context.close();
});

test('the heatmap is shown, or hidden', async () => {
  const { page, context } = await here.visit(WIDE);
  await sample(page, 0);
  await verdict(page);
  await tryIt(page);
  const opacity = () => page.locator('.overlay').evaluate((overlay) => getComputedStyle(overlay).opacity);
  assert.notEqual(await opacity(), '0');
  await page.getByText('Show the heatmap').click();
  await page.waitForFunction(
    () => getComputedStyle(document.querySelector('.overlay') ?? document.body).opacity === '0',
  );
  await page.getByText('Show the heatmap').click();
  await page.waitForFunction(
    () => getComputedStyle(document.querySelector('.overlay') ?? document.body).opacity !== '0',
  );
  // Another class is explained: its values are there too.
  await page.locator('.class').nth(4).click();
  await page.waitForFunction(() => document.querySelectorAll('.trial-values li').length === 4);
  await context.close();
});
