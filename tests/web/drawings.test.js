// SVG drawings: those that would keep the browser busy are refused before they are drawn, others look as the browser
// draws them.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SMALL, Stage } from './page.js';

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

const SVG = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"';
const drawing = (/** @type {string} */ inside, size = 'width="300" height="200"', before = '') =>
  `${before}<svg ${SVG} ${size}>${inside}</svg>`;

/**
 * Eight times eight times eight … of something small.
 * @param {(level: number) => string} level
 * @param {number} levels
 */
const nested = (level, levels = 9) => Array.from({ length: levels }, (_, at) => level(at + 1)).join('');
const USES = `<rect id="a0" width="9" height="9"/>${nested((at) => `<g id="a${at}">${`<use href="#a${at - 1}" x="1"/>`.repeat(8)}</g>`)}`;
const all = (/** @type {string} */ use) => `<defs>${USES}</defs>${use}`;
const PATTERNS = `<pattern id="p0" width="9" height="9"><path d="M0 0h5v5z"/></pattern>${nested((at) => `<pattern id="p${at}" width="9" height="9">${`<rect width="5" height="5" fill="url(#p${at - 1})"/>`.repeat(8)}</pattern>`)}`;
const MASKS = `<mask id="m0"><rect width="9" height="9"/></mask>${nested((at) => `<mask id="m${at}">${`<rect width="5" height="5" mask="url(#m${at - 1})"/>`.repeat(8)}</mask>`)}`;
const ENTITIES = `<!DOCTYPE svg [<!ENTITY e0 "wordwordword">${nested((at) => `<!ENTITY e${at} "${`&e${at - 1};`.repeat(10)}">`)}]>`;
const across = (/** @type {number} */ lines) =>
  `M0 0${Array.from({ length: lines }, (_, at) => `L${(at * 7919) % 300} ${(at * 104729) % 200}`).join('')}`;
const filtered = (/** @type {string} */ steps) =>
  `<filter id="f">${steps}</filter>${'<rect width="300" height="200" filter="url(#f)"/>'.repeat(20)}`;
/** The head of a PNG file of 30,000 × 30,000 pixels. */
const HUGE = 'iVBORw0KGgoAAAANSUhEUgAAdTAAAHUwCAIAAAAAAAAAAAAAAAAA';

for (const [name, text, code] of /** @type {[string, string, string][]} */ ([
  ['nested uses', drawing(all('<use href="#a9"/>')), 'image-too-large'],
  ['nested uses by the older name', drawing(all('<use xlink:href="#a9"/>')), 'image-too-large'],
  ['nested uses, escaped', drawing(all('<use href="#%619"/>')), 'image-too-large'],
  ['nested uses, with a tab in the reference', drawing(all('<use href="#a&#9;9"/>')), 'image-too-large'],
  [
    'nested uses by an animation',
    drawing(all('<use href="#a0"><set attributeName="href" to="#a9"/></use>')),
    'image-too-large',
  ],
  [
    'nested uses in a file that names its encoding',
    drawing(all('<use href="#a9"/>'), undefined, '<?xml version="1.0" encoding="windows-1252"?>'),
    'image-too-large',
  ],
  ['nested patterns', drawing(`${PATTERNS}<rect width="300" height="200" fill="url(#p9)"/>`), 'image-too-large'],
  [
    'nested patterns for all that is inside',
    drawing(`${PATTERNS}<g stroke="url('#p9')"><rect width="300" height="200"/></g>`),
    'image-too-large',
  ],
  [
    'nested patterns by a style sheet',
    drawing(`<style>rect.b { fill: url(#p9) }</style>${PATTERNS}<rect class="b" width="300" height="200"/>`),
    'image-too-large',
  ],
  [
    'nested patterns by a style',
    drawing(`${PATTERNS}<rect style="fill:u\\72l(#p9)" width="300" height="200"/>`),
    'image-too-large',
  ],
  [
    'nested patterns by an escaped attribute',
    drawing(`${PATTERNS}<rect fill="u\\72l(#p9)" width="300" height="200"/>`),
    'image-format',
  ],
  [
    'nested patterns by a variable',
    drawing(`<style>rect { --p: url(#p9) }</style>${PATTERNS}<rect style="fill: var(--p)" width="300" height="200"/>`),
    'image-format',
  ],
  [
    'nested patterns in place of a variable',
    drawing(`${PATTERNS}<rect fill="var(--none, url(#p9))" width="300" height="200"/>`),
    'image-format',
  ],
  [
    'variables that grow with each other',
    drawing(
      `<style>* { --v0: red; ${nested((at) => `--v${at}: ${`var(--v${at - 1}) `.repeat(8)};`)} }</style>${'<g/>'.repeat(900)}`,
    ),
    'image-format',
  ],
  [
    'nested uses, and a line without end that counts for nothing',
    drawing(all('<use href="#a9"/><rect width="1e999" stroke-dasharray="0"/>')),
    'image-too-large',
  ],
  [
    'nested uses, and a marker without end at no point',
    drawing(
      all('<use href="#a9"/><marker id="m"><feGaussianBlur stdDeviation="1e999"/></marker><g marker-mid="url(#m)"/>'),
    ),
    'image-too-large',
  ],
  ['nested masks', drawing(`${MASKS}<rect width="300" height="200" mask="url(#m9)"/>`), 'image-too-large'],
  [
    'a marker at every point',
    drawing(
      `<marker id="m">${'<rect width="1" height="1"/>'.repeat(100)}</marker><path marker-mid="url(#m)" d="M0 0${'L1 1'.repeat(5000)}"/>`,
    ),
    'image-too-large',
  ],
  ['nested entities', drawing('<text>&e9;</text>', undefined, ENTITIES), 'image-format'],
  [
    'an entity that is used often',
    drawing(`<text>${'&a;'.repeat(50_000)}</text>`, undefined, `<!DOCTYPE svg [<!ENTITY a "${'word'.repeat(200)}">]>`),
    'image-too-large',
  ],
  ['many elements', drawing('<rect width="3" height="3"/>'.repeat(200_000)), 'image-too-large'],
  ['elements in elements', drawing(`${'<g>'.repeat(3000)}${'</g>'.repeat(3000)}`), 'image-too-large'],
  [
    'a long chain of uses',
    drawing(Array.from({ length: 2000 }, (_, at) => `<g id="c${at + 1}"><use href="#c${at}"/></g>`).join('')),
    'image-too-large',
  ],
  [
    'short dashes',
    drawing(
      '<path d="M0 0L300 200" stroke="red" stroke-width="9" stroke-linecap="round" stroke-dasharray="0.0004"/>'.repeat(
        20,
      ),
    ),
    'image-too-large',
  ],
  [
    'short dashes by a style sheet',
    drawing(`<style>path { stroke-dasharray: .0004px }</style>${'<path d="M0 0L300 200" stroke="red"/>'.repeat(20)}`),
    'image-too-large',
  ],
  [
    'dashes that a path makes short',
    drawing(
      '<path d="M0 0L300 200" stroke="red" stroke-width="9" stroke-linecap="round" stroke-dasharray="5" pathLength="1e6"/>'.repeat(
        500,
      ),
    ),
    'image-too-large',
  ],
  [
    'dashes in letters that are very small',
    drawing(
      `<g font-size="0.0001">${'<path d="M0 0L300 200" stroke="red" stroke-width="9" stroke-linecap="round" stroke-dasharray="30em"/>'.repeat(100)}</g>`,
    ),
    'image-too-large',
  ],
  [
    'a clip by a path that crosses itself very often',
    drawing(`<rect width="300" height="200" style="clip-path: path('${across(100_000)}')"/>`),
    'image-too-large',
  ],
  ['a path that crosses itself very often', drawing(`<path d="${across(200_000)}"/>`), 'image-too-large'],
  [
    'a wide blur',
    drawing('<rect width="9" height="9" style="filter: drop-shadow(0 0 1e6px red)"/>'.repeat(20)),
    'image-too-large',
  ],
  ['a filter that reaches far', drawing(filtered('<feMorphology operator="dilate" radius="1e6"/>')), 'image-too-large'],
  [
    'a filter of a million factors',
    drawing(filtered(`<feConvolveMatrix order="1000" kernelMatrix="${'1 '.repeat(1e6)}"/>`)),
    'image-too-large',
  ],
  [
    'a style sheet that looks everywhere',
    drawing(`<style>:has(a) b, a ~ b { fill: red }</style>${'<g/>'.repeat(9)}`),
    'image-format',
  ],
  [
    'a drawing of 16,384 × 16,384 pixels',
    drawing('<rect width="9" height="9"/>', 'width="16384" height="16384"'),
    'image-too-large',
  ],
  [
    'a picture of 30,000 × 30,000 pixels inside',
    drawing(`<image width="9" height="9" href="data:image/png;base64,${HUGE}"/>`),
    'image-too-large',
  ],
  [
    'a drawing inside',
    drawing(
      `<image width="9" height="9" href="data:image/svg+xml;base64,${Buffer.from(drawing(all('<use href="#a9"/>'))).toString('base64')}"/>`,
    ),
    'image-format',
  ],
  [
    'a web page inside',
    drawing('<foreignObject width="9" height="9"><p xmlns="http://www.w3.org/1999/xhtml">words</p></foreignObject>'),
    'image-format',
  ],
])) {
  test(`${name}: refused at once, and the next photo works`, options, async () => {
    const seen = await page.evaluate(async ([model, text]) => {
      const classifier = await whylens.load(model);
      const { code, message } = await classifier.classify(new Blob([text])).catch((error) => error);
      const { predictions } = await classifier.classify(new ImageData(40, 30));
      return { code, message, predictions: predictions.length };
    }, /** @type {[string, string]} */ ([SMALL, text]));
    assert.deepEqual([seen.code, seen.predictions], [code, 5], seen.message);
    assert.match(seen.message, /PNG file|make (it|them) smaller/);
  });
}

test('filters that take ever longer are given up before they are drawn at their size', options, async () => {
  // Repeated until it is slow on every machine, unless it is given up.
  const seen = await page.evaluate(
    async ([model, text]) => {
      const classifier = await whylens.load(model);
      const { code, message } = await classifier.classify(new Blob([text])).catch((error) => error);
      return { code, message };
    },
    /** @type {[string, string]} */ ([
      SMALL,
      drawing(
        filtered('<feMorphology operator="dilate" radius="60"/>').replace(/300|200/g, '7000'),
        'width="7000" height="7000"',
      ),
    ]),
  );
  assert.equal(seen.code, 'image-too-large', seen.message);
  assert.match(seen.message, /too long to be drawn at 7000 × 7000 pixels/);
});

test('pictures and canvases over `maxPixels` are refused before their pixels are read', options, async () => {
  const codes = await page.evaluate(async (model) => {
    const classifier = await whylens.load(model);
    const image = new Image();
    image.src = URL.createObjectURL(
      new Blob(['<svg xmlns="http://www.w3.org/2000/svg" width="16384" height="16384"/>'], { type: 'image/svg+xml' }),
    );
    const read = [image, Object.assign(document.createElement('canvas'), { width: 9000, height: 9000 })];
    const { createImageBitmap } = globalThis;
    let drawn = 0;
    globalThis.createImageBitmap = /** @type {any} */ (
      (/** @type {any[]} */ ...given) => ((drawn += 1), Reflect.apply(createImageBitmap, globalThis, given))
    );
    const codes = [];
    for (const photo of read) codes.push(await classifier.classify(photo).catch(({ code }) => code));
    globalThis.createImageBitmap = createImageBitmap;
    return [...codes, drawn];
  }, SMALL);
  assert.deepEqual(codes, ['image-too-large', 'image-too-large', 0]);
});

for (const [name, text, same = text] of /** @type {[string, string, string?][]} */ ([
  [
    'styles, gradients, uses and a circle of uses',
    drawing(`<style>.a { fill: #0f0; stroke: url(#g) } /* a note */ @media (min-width: 1px) { circle { opacity: .5 } }</style>
    <defs><linearGradient id="g"><stop stop-color="red"/><stop offset="1" style="stop-color: blue"/></linearGradient><g id="x"><use href="#y"/></g><g id="y"><use href="#x"/></g></defs>
    <rect class="a" x="10" y="10" width="90" height="90" stroke-width="9"/><circle id="r" cx="150" cy="50" r="30" fill="url(#g)"/><use xlink:href="#r" y="90"/><use href="#x"/>`),
  ],
  [
    'dashes, a pattern, a mask, a clip, a marker and a filter',
    drawing(`<pattern id="p" width="20" height="20" patternUnits="userSpaceOnUse"><circle cx="10" cy="10" r="6" fill="red"/></pattern>
    <mask id="m"><rect width="150" height="200" fill="#fff"/></mask><clipPath id="c"><circle cx="200" cy="100" r="60"/></clipPath><marker id="k" markerWidth="4" markerHeight="4"><rect width="3" height="3"/></marker>
    <filter id="b"><feGaussianBlur stdDeviation="4"/></filter><rect width="300" height="100" fill="url(#p)" mask="url(#m)"/><rect width="300" height="200" fill="blue" clip-path="url(#c)"/>
    <path d="M10 150L90 120 150 190" fill="none" stroke="green" stroke-width="4" stroke-dasharray="8 4" marker-mid="url(#k)"/><rect x="20" y="20" width="40" height="40" filter="url(#b)"/>`),
  ],
  [
    'entities of words and another encoding, as Illustrator writes them',
    drawing(
      '<rect width="150" height="200" fill="&c;"/><metadata><x:y xmlns:x="urn:x">ä</x:y></metadata>',
      'xmlns:z="&n;" width="300" height="200" viewBox="0 0 300 200"',
      '<?xml version="1.0" encoding="iso-8859-1"?><!-- ä --><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd" [ <!ENTITY n "http://ns.adobe.com/x/"> <!ENTITY c "teal"> ]>',
    ),
    drawing('<rect width="150" height="200" fill="teal"/>'),
  ],
  [
    'variables, and formulas in words that are not drawn',
    drawing(
      '<style>:root { --c: red }</style><g fill="var(--c)" data-latex="\\sin(x)" aria-label="if(x)" id="a (\\1)"><rect width="150" height="200"/><rect x="200" width="50" height="200" fill="var(--none, #00f)"/></g>',
    ),
  ],
  [
    'thousands of style rules, as of traced pictures',
    drawing(
      `<style>${Array.from({ length: 2000 }, (_, at) => `.c${at} { fill: rgb(${at % 256}, 0, 99) }`).join('')}</style>${Array.from({ length: 6000 }, (_, at) => `<rect class="c${at % 2000}" x="${at % 300}" y="${at % 200}" width="9" height="9"/>`).join('')}`,
    ),
  ],
  [
    'a dashed line far from where numbers begin',
    drawing(
      `<g transform="translate(-20000 -20000)"><path d="M20000 20100${Array.from({ length: 300 }, (_, at) => `L${20000 + at} ${20100 + (at % 2)}`).join('')}" fill="none" stroke="red" stroke-width="9" stroke-dasharray="20 10"/></g>`,
    ),
  ],
  [
    'lines of one width at every scale, which are drawn without their dashes',
    drawing(
      '<g transform="scale(100000)"><path d="M0 0L.003 .002" stroke="red" stroke-width="9" vector-effect="non-scaling-stroke" stroke-dasharray="9"/></g>',
    ),
    drawing('<path d="M0 0L300 200" stroke="red" stroke-width="9"/>'),
  ],
  [
    'a picture by what it is, whatever it is called',
    drawing(
      '<image width="150" height="200" preserveAspectRatio="none" href="data:img/png;charset=utf-8;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"/>',
    ),
    drawing('<rect width="150" height="200" fill="#f00"/>'),
  ],
  [
    'what is drawn in place of a web page',
    drawing(
      '<switch><foreignObject width="300" height="200" requiredExtensions="no"/><rect width="200" height="100" fill="red"/></switch>',
    ),
    drawing('<rect width="200" height="100" fill="red"/>'),
  ],
])) {
  test(`${name}: drawn as the browser draws the file`, options, async () => {
    const seen = await page.evaluate(async ([model, text, same]) => {
      const [file, other] = /** @type {[Blob, Blob]} */ (
        [text, same].map(
          (text) => new Blob([Uint8Array.from(text, (letter) => letter.charCodeAt(0))], { type: 'image/svg+xml' }),
        )
      );
      const image = new Image();
      image.src = URL.createObjectURL(other);
      await image.decode();
      const pixels = (/** @type {CanvasImageSource} */ source) => {
        const context = /** @type {CanvasRenderingContext2D} */ (
          Object.assign(document.createElement('canvas'), { width: 300, height: 200 }).getContext('2d', {
            willReadFrequently: true,
          })
        );
        context.fillStyle = 'white';
        context.fillRect(0, 0, 300, 200);
        context.drawImage(source, 0, 0);
        return context.getImageData(0, 0, 300, 200).data;
      };
      const { view, image: size } = await (await whylens.load(model)).classify(file, { view: 300 });
      if (!view) return null;
      const [expected, actual] = [pixels(image), pixels(view)];
      return {
        size,
        worst: expected.reduce((worst, value, at) => Math.max(worst, Math.abs(value - (actual[at] ?? 0))), 0),
        drawn: new Set(expected).size,
      };
    }, /** @type {[string, string, string]} */ ([SMALL, text, same]));
    assert.deepEqual(seen?.size, { width: 300, height: 200 });
    assert.ok(seen.drawn > 1, 'there is something to see');
    assert.ok(seen.worst <= 2, `differs by ${seen.worst}`);
  });
}

test('nothing that was not expected was thrown on the page', () => assert.deepEqual(stage.errors, []));
