// photo + heatmaps + caption → PNG
import { called, isNumber } from './describe.js';
import { predictionOf } from './prediction.js';
import { verdict } from './verdict.js';

/** @typedef {import('./explain.js').Explanation} Explanation */
/**
 * @typedef {object} Caption
 * @property {string[]} titles one a heatmap, or the verdict alone
 * @property {string} note model, method, date
 * @property {string | null} disclaimer
 * @property {string[]} scale marks of the legend: its ends, and what lies between
 */

/** Longest side of a photo in the picture. */
const LONGEST = 1400;
const MARGIN = 32,
  LINE = 30;
const PAPER = '#ffffff',
  INK = '#241b2c',
  SOFT = '#5b5263';
const FACE = '"Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif';

/**
 * What is shown of a photo, with its caption.
 * @param {import('./photos.js').Photo} photo
 * @param {{explanations: Explanation[], legend: ImageData | null, opacity: number}} shown
 * @param {import('../library/protocol.js').ModelInfo} model
 * @param {import('./words/en.js').Words} words
 * @param {import('./numbers.js').Numbers} numbers
 */
export async function pictureOf(
  { view: large, small, result },
  { explanations, legend, opacity },
  model,
  words,
  numbers,
) {
  const view = large ?? small;
  if (!view || !result) throw new Error('there is nothing to draw');
  const classes = explanations.length
    ? explanations.map(({ heatmap }) => heatmap.classIndex)
    : result.predictions.slice(0, 1).map(({ index }) => index);
  const titles = classes.map((index, at) => {
    const heatmap = explanations[at]?.heatmap;
    const number = isNumber(model) && result.predictions[0];
    if (number)
      return [heatmap && called(heatmap, model, words), numbers.given(number, result.model)].filter(Boolean).join('  ');
    const found = predictionOf(result, model.labels, index);
    const title = heatmap ? called(heatmap, model, words) : found.label;
    return `${title}  ${numbers.given(found, result.model)}`;
  });
  const note = [words.site.title ?? 'Whylens', `${model.name} ${model.version}`, explanations[0]?.heatmap.method]
    .filter(Boolean)
    .join(' · ');
  return picture(view, result, explanations, legend, opacity, {
    titles,
    note,
    disclaimer:
      [result.recognised ? '' : verdict(result, words), words.site.disclaimer ?? model.disclaimer]
        .filter(Boolean)
        .join(' ') || null,
    scale: scaleOf(explanations[0]?.heatmap.sign, isNumber(model) ? words.moving : words.speaking, words),
  });
}

/**
 * @param {import('../library/protocol.js').Heatmap['sign'] | undefined} sign
 * @param {{for: string, against: string}} sides
 * @param {import('./words/en.js').Words} words
 */
const scaleOf = (sign, sides, words) => (sign === 'both' ? [sides.against, '0', sides.for] : [words.less, words.more]);

/**
 * @param {ImageBitmap} photo
 * @param {Pick<import('../library/protocol.js').Result, 'image' | 'region'>} result
 * @param {Explanation[]} explanations
 * @param {ImageData | null} legend
 * @param {number} opacity
 * @param {Caption} caption
 * @returns {Promise<Blob>}
 */
async function picture(photo, { image, region }, explanations, legend, opacity, caption) {
  const panes = Math.max(1, explanations.length);
  const scale = Math.min(1, LONGEST / panes / Math.max(image.width, image.height));
  const width = Math.max(320, Math.round(image.width * scale)),
    height = Math.round((image.height * width) / image.width);
  const bitmap = await createImageBitmap(photo, { resizeWidth: width, resizeHeight: height, resizeQuality: 'high' });
  const whole = width * panes + MARGIN * (panes + 1);
  const canvas = document.createElement('canvas');
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const small = `15px ${FACE}`,
    large = `600 22px ${FACE}`;
  pen.font = small;
  const notes = [caption.note, ...(caption.disclaimer ? wrapped(pen, caption.disclaimer, whole - 2 * MARGIN) : [])];
  canvas.width = whole;
  canvas.height = MARGIN + height + MARGIN + LINE + (legend ? LINE + 14 : 0) + notes.length * 22 + MARGIN / 2;
  pen.fillStyle = PAPER;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  let y = MARGIN + height + MARGIN;
  for (let at = 0; at < panes; at++) {
    const x = MARGIN + at * (width + MARGIN);
    pen.drawImage(bitmap, x, MARGIN, width, height);
    const overlay = explanations[at]?.overlay;
    if (overlay) {
      pen.globalAlpha = opacity;
      pen.drawImage(await createImageBitmap(overlay), x, MARGIN, width, height);
      pen.globalAlpha = 1;
    }
    if (region) {
      const [across, down] = [width / image.width, height / image.height];
      const outline = /** @type {const} */ ([
        x + region.x * across,
        MARGIN + region.y * down,
        region.width * across,
        region.height * down,
      ]);
      for (const [style, size] of /** @type {[string, number][]} */ ([
        [INK, 5],
        [PAPER, 2],
      ])) {
        Object.assign(pen, { strokeStyle: style, lineWidth: size });
        pen.strokeRect(...outline);
      }
    }
    pen.fillStyle = INK;
    pen.font = large;
    pen.fillText(caption.titles[at] ?? '', x, y, width);
  }
  bitmap.close();
  y += LINE;
  pen.fillStyle = SOFT;
  pen.font = small;
  if (legend) {
    const ramp = Math.min(260, width);
    pen.fillStyle = '#8a8a8a';
    pen.fillRect(MARGIN, y - 12, ramp, 10);
    pen.drawImage(await createImageBitmap(legend), MARGIN, y - 12, ramp, 10);
    pen.fillStyle = SOFT;
    caption.scale.forEach((mark, at, { length }) => {
      pen.textAlign = at === 0 ? 'left' : at === length - 1 ? 'right' : 'center';
      pen.fillText(mark, MARGIN + (ramp * at) / (length - 1), y + 16);
    });
    pen.textAlign = 'left';
    y += LINE + 14;
  }
  notes.forEach((note, at) => pen.fillText(note, MARGIN, y + at * 22, whole - 2 * MARGIN));
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('the picture cannot be encoded'))), 'image/png'),
  );
}

/** @param {CanvasRenderingContext2D} pen @param {string} text @param {number} width */
function wrapped(pen, text, width) {
  const lines = [''];
  for (const word of text.split(/\s+/)) {
    const longer = `${lines[lines.length - 1]} ${word}`.trim();
    if (pen.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
