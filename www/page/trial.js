// photo + what the reader brushes → what the model makes of it, while it is brushed
import { brush } from './brush.js';
import { canvas } from './canvas.js';
import { hidden } from './hidden.js';
import { predictionOf } from './prediction.js';
import { styled } from './styles.js';
import { trialWords } from './words/parts/trial.js';

/** @typedef {import('./brush.js').Stroke} Stroke */
/** @typedef {import('./photos.js').Photo} Photo */
/** @typedef {import('../library/protocol.js').Heatmap} Heatmap */
/** @typedef {import('../library/protocol.js').Region} Region */
/** @typedef {import('../library/protocol.js').Result} Result */
/** @typedef {Awaited<ReturnType<typeof openTrial>>} Trial */

/** How many of the first classes are watched. */
const WATCHED = 3;

/** Share of the map's cells that one button brushes: those that it marks most. */
const MOST = 0.1;

/**
 * Longest side of the picture that is brushed: four times what the network sees of it, so that resizing twice changes
 * next to nothing, within these.
 */
const SIDES = { times: 4, least: 1024, most: 2048 };

/**
 * What the reader has done and what the model says, as the view shows it.
 * @typedef {object} Tried
 * @property {import('./brush.js').Mode} mode
 * @property {import('./brush.js').Fill} fill
 * @property {number} size of the brush, as a share of the picture's shorter side
 * @property {boolean} map whether the heatmap is shown
 * @property {boolean} undo whether there is something to undo
 * @property {boolean} redo
 * @property {boolean} reset whether there are strokes
 * @property {boolean} touched whether the picture is another than the photo
 * @property {Result} before of the untouched picture
 * @property {Result | null} now of the newest picture that was classified; null where it is not touched, or failed
 * @property {boolean} resting whether `now` is of what is shown, and nothing is being drawn
 */

/**
 * @param {object} page
 * @param {Photo} page.photo
 * @param {import('../library/protocol.js').ModelInfo} page.info
 * @param {Pick<ReturnType<typeof import('./session.js').openSession>, 'classify' | 'decode'>} page.session
 * @param {import('./words/en.js').Words} page.words
 * @param {import('./numbers.js').Numbers} page.numbers
 * @param {typeof import('./views/trial.js').trialView} page.view shows it
 * @param {() => void} page.onChange
 * @param {(error: unknown, again: () => void) => void} page.onTrouble
 * @param {() => void} page.onWell after trouble
 */
export async function openTrial({ photo, info, session, words, numbers, view: show, onChange, onTrouble, onWell }) {
  const { region } = photo;
  const ended = new AbortController();
  const [picture] = await Promise.all([
    pictureOf(photo, info, session.decode),
    styled(new URL('./trial.css', import.meta.url).href),
  ]);
  const [cover, before] = await Promise.all([hidden(picture), classified(picture)]);
  const paper = brush(picture, cover);
  const whole = canvas(picture.width, picture.height);

  /** What was brushed, state by state, and which of them holds. @type {Stroke[][]} */
  let history = [[]];
  let at = 0;
  /** @type {Stroke | null} */
  let current = null;
  /** @type {Tried} */
  let tried = {
    mode: 'hide',
    fill: 'cover',
    size: 0.2,
    map: true,
    undo: false,
    redo: false,
    reset: false,
    touched: false,
    before,
    now: null,
    resting: true,
  };
  let painting = 0;
  /** Whether a picture is being classified, and whether it is an older one by now. */
  let looking = false,
    older = false;
  let failed = false;

  const view = show({
    words: trialWords(words.code),
    numbers,
    size: picture,
    ink: paper.ink,
    onDraw: (stroke) => touch(() => (current = stroke)),
    onStroke: (stroke) => put([...strokes(), stroke]),
    onMode: (mode) => touch(() => tell({ mode })),
    onFill: (fill) => touch(() => tell({ fill })),
    onSize: (size) => tell({ size }),
    onMap: (map) => tell({ map }),
    onUndo: () => move(-1),
    onRedo: () => move(1),
    onReset: () => strokes().length && put([]),
    onMost: () => shown && put([...strokes(), most(shown, picture, photo)]),
  });
  /** The heatmap that lies over the photo. @type {Heatmap | null} */
  let shown = null;
  let opened = false;

  return {
    photo,
    region,
    root: view.root,
    area: view.area,
    get map() {
      return tried.map;
    },
    /** @param {{heatmap: Heatmap | null, chosen: number[]}} data the heatmap shown, and what is explained, as `choiceOf` has it */
    update({ heatmap, chosen }) {
      shown = heatmap && heatmap.max > 0 ? heatmap : null;
      if (!photo.result) return;
      const { labels } = info;
      const { image, predictions } = photo.result;
      const explained = chosen.map((choice) => (choice < 0 ? ~choice : choice));
      const watched = [...new Set([...predictions.slice(0, WATCHED).map(({ index }) => index), ...explained])];
      const rows = watched.map((index) => ({
        before: predictionOf(before, labels, index),
        now: tried.now && predictionOf(tried.now, labels, index),
        explained: explained.includes(index),
      }));
      const best = tried.now?.predictions[0];
      view.update({
        ...tried,
        model: before.model,
        place: region ?? { x: 0, y: 0, ...image },
        image,
        rows,
        first: best && !watched.includes(best.index) ? best : null,
        most: shown ? MOST : null,
      });
      if (!opened) view.focus();
      opened = true;
    },
    close() {
      ended.abort();
      cancelAnimationFrame(painting);
      picture.close();
    },
  };

  function strokes() {
    return history[at] ?? [];
  }

  /** @param {Partial<Tried>} news */
  function tell(news = {}) {
    const drawn = strokes().length > 0 || current !== null;
    tried = {
      ...tried,
      ...news,
      undo: at > 0,
      redo: at < history.length - 1,
      reset: strokes().length > 0,
      touched: drawn || (news.mode ?? tried.mode) === 'keep',
    };
    onChange();
  }

  /** @param {Stroke[]} next */
  function put(next) {
    touch(() => {
      current = null;
      history = [...history.slice(0, at + 1), next];
      at += 1;
    });
  }

  /** @param {-1 | 1} by */
  function move(by) {
    if (history[at + by]) touch(() => (at += by));
  }

  /** Does something that changes the picture; what it looks like is painted and classified once a frame. @param {() => void} act */
  function touch(act) {
    act();
    tell({ resting: false });
    painting ||= requestAnimationFrame(() => {
      painting = 0;
      paper.paint(strokes(), current, tried.mode, tried.fill);
      void look();
    });
  }

  /** Classifies what is painted; one at a time, and then the newest only. */
  async function look() {
    if (looking) {
      older = true;
      return;
    }
    looking = true;
    try {
      do {
        older = false;
        if (!tried.touched) {
          tell({ now: null });
          continue;
        }
        whole.drawImage(picture, 0, 0);
        whole.drawImage(paper.ink, 0, 0);
        const copy = await createImageBitmap(whole.canvas);
        const now = await classified(copy).finally(() => copy.close());
        if (failed) onWell();
        failed = false;
        if (tried.touched) tell({ now });
      } while (older);
      tell({ resting: current === null && !painting });
    } catch (error) {
      if (ended.signal.aborted) return;
      failed = true;
      tell({ now: null, resting: true });
      onTrouble(error, () => touch(() => {}));
    } finally {
      looking = false;
    }
  }

  /** @param {ImageBitmap} picture */
  function classified(picture) {
    return session.classify(picture, {
      topK: WATCHED,
      scores: true,
      threshold: 0,
      heatmap: false,
      signal: ended.signal,
    });
  }
}

/**
 * What was classified of a photo: all of it, or the part that the reader chose, from the pixels that the model's decoder
 * gave.
 * @param {Photo} photo
 * @param {{width: number, height: number}} input of the network
 * @param {(file: Blob, longest: number) => Promise<ImageBitmap>} decode
 * @returns {Promise<ImageBitmap>}
 */
async function pictureOf({ file, view, result, region }, input, decode) {
  if (!view || !result || !file) throw new Error('the photo is not there yet');
  const { image } = result;
  const { times, least, most } = SIDES;
  const longest = Math.min(Math.max(times * Math.max(input.width, input.height), least), most);
  const part = region ?? { x: 0, y: 0, ...image };
  // A small part of a large photo has too few pixels in the view of all of it.
  const source = region && view.width < image.width ? await decode(file, image.width + image.height) : view;
  const scale = source.width / image.width;
  const [x, y, right, bottom] = [part.x, part.y, part.x + part.width, part.y + part.height].map((edge) =>
    Math.round(edge * scale),
  );
  const [left = 0, top = 0, width = 1, height = 1] = [x, y, (right ?? 0) - (x ?? 0), (bottom ?? 0) - (y ?? 0)];
  const shrunk = longest / Math.max(width, height);
  const picture = await createImageBitmap(source, left, top, Math.max(1, width), Math.max(1, height), {
    ...(shrunk < 1 && {
      resizeWidth: Math.max(1, Math.round(width * shrunk)),
      resizeHeight: Math.max(1, Math.round(height * shrunk)),
      resizeQuality: 'high',
    }),
  });
  if (source !== view) source.close();
  return picture;
}

/**
 * The cells that a map marks most, in pixels of the picture.
 * @param {Heatmap} heatmap
 * @param {{width: number, height: number}} picture
 * @param {Photo} photo
 * @returns {import('./brush.js').Boxes}
 */
function most({ values, width, height, region }, picture, { result, region: part }) {
  const marked = [...values.keys()].filter((cell) => (values[cell] ?? 0) > 0);
  const cells = marked
    .sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0))
    .slice(0, Math.max(1, Math.round(MOST * values.length)));
  const of = part ?? { x: 0, y: 0, ...(result?.image ?? picture) };
  const scale = picture.width / of.width;
  const across = (/** @type {number} */ column) =>
    Math.round((region.x + (column / width) * region.width - of.x) * scale);
  const down = (/** @type {number} */ row) => Math.round((region.y + (row / height) * region.height - of.y) * scale);
  return {
    boxes: cells.map((cell) => {
      const [column, row] = [cell % width, Math.floor(cell / width)];
      const [x, y] = [across(column), down(row)];
      return [x, y, across(column + 1) - x, down(row + 1) - y];
    }),
  };
}
