// strokes → ink: a picture to lie over the photo, which hides what is brushed, or all else
import { canvas } from './canvas.js';

/** @typedef {{radius: number, points: number[]}} Line x, y, x, y …, in pixels of the picture */
/** @typedef {{boxes: [number, number, number, number][]}} Boxes x, y, width, height of each, in whole pixels */
/** @typedef {Line | Boxes} Stroke */
/** @typedef {'hide' | 'keep'} Mode whether what is brushed is hidden, or nothing else is seen */
/** @typedef {'cover' | 'blur'} Fill */

/**
 * @param {{width: number, height: number}} size
 * @param {{mean: string, blurred: HTMLCanvasElement}} hidden
 */
export function brush({ width, height }, { mean, blurred }) {
  const ink = canvas(width, height),
    laid = canvas(width, height);
  /** What is laid down. @type {{strokes: Stroke[], mode: Mode, fill: Fill}} */
  let known = { strokes: [], mode: 'hide', fill: 'cover' };

  return {
    /** Transparent where the photo is seen. */
    ink: ink.canvas,
    /**
     * @param {Stroke[]} strokes
     * @param {Stroke | null} current that is being drawn
     * @param {Mode} mode
     * @param {Fill} fill
     */
    paint(strokes, current, mode, fill) {
      if (strokes !== known.strokes || mode !== known.mode || fill !== known.fill) lay(strokes, mode, fill);
      known = { strokes, mode, fill };
      ink.clearRect(0, 0, width, height);
      ink.drawImage(laid.canvas, 0, 0);
      if (current) draw(ink, current, mode, fill);
    },
  };

  /** @param {Stroke[]} strokes @param {Mode} mode @param {Fill} fill */
  function lay(strokes, mode, fill) {
    laid.clearRect(0, 0, width, height);
    if (mode === 'keep') draw(laid, { boxes: [[0, 0, width, height]] }, 'hide', fill);
    for (const stroke of strokes) draw(laid, stroke, mode, fill);
  }

  /** @param {CanvasRenderingContext2D} pen @param {Stroke} stroke @param {Mode} mode @param {Fill} fill */
  function draw(pen, stroke, mode, fill) {
    pen.globalCompositeOperation = mode === 'keep' ? 'destination-out' : 'source-over';
    // Safari has no filters in a canvas: the blurred picture is the brush's colour.
    const colour = (fill === 'blur' && pen.createPattern(blurred, 'no-repeat')) || mean;
    Object.assign(pen, { fillStyle: colour, strokeStyle: colour });
    if ('boxes' in stroke) for (const box of stroke.boxes) pen.fillRect(...box);
    else line(pen, stroke);
    pen.globalCompositeOperation = 'source-over';
  }
}

/** @param {CanvasRenderingContext2D} pen @param {Line} line */
function line(pen, { radius, points }) {
  const [x = 0, y = 0, ...rest] = points;
  pen.beginPath();
  if (!rest.length) {
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    return pen.fill();
  }
  Object.assign(pen, { lineWidth: 2 * radius, lineCap: 'round', lineJoin: 'round' });
  pen.moveTo(x, y);
  for (let at = 0; at < rest.length; at += 2) pen.lineTo(rest[at] ?? 0, rest[at + 1] ?? 0);
  pen.stroke();
}
