// many photos → a contact sheet: progress, sort, filter, export
import { checkOf } from '../checked.js';
import { element } from './element.js';
import { thumbnails } from './thumbnails.js';
import { told } from '../trouble.js';
import { verdict } from '../verdict.js';

/** @typedef {import('../photos.js').Photo} Photo */
/** @typedef {'added' | 'sure' | 'unsure' | 'label' | 'name'} Order */

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {import('../numbers.js').Numbers} options.numbers
 * @param {(photo: Blob) => Promise<ImageBitmap>} options.decode a photo that the browser cannot show
 * @param {(photo: Photo) => void} options.onShow
 * @param {() => void} options.onCancel
 * @param {() => void} options.onResume
 * @param {() => void} options.onClear
 * @param {(photos: Photo[]) => void} options.onCsv those listed, in their order
 * @param {(photos: Photo[]) => void} options.onJson
 * @param {() => void} options.onCheck of all photos
 * @param {() => void} options.onCheckCancel
 * @param {(photos: Photo[]) => void} options.onReport
 * @param {() => void} options.onReportCancel
 */
export function sheetView(options) {
  const { words, numbers, decode, onShow, onCancel, onResume, onClear, onCsv, onJson, onReport } = options;
  const said = words.sheet;
  /** @type {Photo[]} */
  let photos = [];
  /** @type {Photo | null} */
  let shown = null;
  /** @type {Map<number, ReturnType<typeof tile>>} */
  const tiles = new Map();
  const draw = thumbnails();
  const button = (/** @type {string} */ label, /** @type {() => void} */ onclick) =>
    element('button', { type: 'button', className: 'action', onclick }, label);
  const progress = element('progress', { className: 'sheet-bar', 'aria-label': said.title });
  const count = element('p', { className: 'soft', role: 'status' });
  const sort = element(
    'select',
    { onchange: () => list() },
    ...Object.entries(said.sorts).map(([value, text]) => new Option(text, value)),
  );
  const filter = element('select', { onchange: () => list() });
  const cancel = button(words.cancel, onCancel),
    resume = button(said.resume, onResume);
  let checking = false;
  const check = button(said.checkAll, () => (checking ? options.onCheckCancel() : options.onCheck()));
  const report = button(said.report, () => onReport(listed()));
  const reported = element('p', { className: 'soft', role: 'status' });
  const reportBar = element('progress', { className: 'sheet-bar', 'aria-label': said.report });
  const reporting = element(
    'div',
    { className: 'sheet-head reporting' },
    reported,
    reportBar,
    button(words.cancel, options.onReportCancel),
  );
  const roll = element('ol', { className: 'roll' });
  const root = element(
    'div',
    { className: 'sheet-view' },
    element('div', { className: 'sheet-head' }, element('h2', {}, said.title), count, progress, cancel, resume),
    element(
      'div',
      { className: 'sheet-tools' },
      element('label', { className: 'field' }, said.sort, sort),
      element('label', { className: 'field' }, said.filter, filter),
      button(said.csv, () => onCsv(listed())),
      button(said.json, () => onJson(listed())),
      check,
      report,
      button(said.clear, onClear),
    ),
    reporting,
    roll,
  );
  return {
    root,
    /**
     * @param {object} data
     * @param {Photo[]} data.photos
     * @param {Photo | null} data.shown
     * @param {{loaded: number, total: number} | null} data.reporting
     * @param {boolean} data.checking whether the maps of all photos are being checked
     */
    update(data) {
      ({ photos, shown } = data);
      report.disabled = !!data.reporting || !photos.some(({ result }) => result);
      reporting.hidden = !data.reporting;
      if (data.reporting) {
        reported.textContent = said.reporting(data.reporting.loaded, data.reporting.total);
        reportBar.max = data.reporting.total;
        reportBar.value = data.reporting.loaded;
      }
      const settled = photos.filter(({ status }) => status === 'done' || status === 'failed').length;
      const left = photos.filter(({ status }) => status === 'waiting' || status === 'working').length;
      checking = data.checking;
      const classified = photos.filter(({ result }) => result);
      const checked = classified.filter((photo) => checkOf(photo, photo.result?.heatmap)).length;
      check.textContent = checking ? said.stopChecking : said.checkAll;
      check.hidden = !checking && !classified.length;
      count.textContent = left
        ? said.progress(settled, photos.length)
        : checking
          ? said.checked(checked, classified.length)
          : said.photos(photos.length);
      progress.max = left ? photos.length : Math.max(1, classified.length);
      progress.value = left ? settled : checked;
      progress.hidden = !left && !checking;
      cancel.hidden = !left;
      resume.hidden = !photos.some(({ status }) => status === 'cancelled');
      offer();
      list();
    },
  };

  /** @param {Photo} photo */
  function label({ result }) {
    return result ? verdict(result, words) : '';
  }

  /** Photos that pass the filter, in the chosen order. */
  function listed() {
    const wanted = filter.value;
    const kept = photos.filter(
      (photo) => !wanted || (wanted === '!' ? photo.status === 'failed' : label(photo) === wanted.slice(1)),
    );
    const sure = (/** @type {Photo} */ photo) => photo.result?.predictions[0]?.probability ?? -1;
    /** @type {Record<Order, (a: Photo, b: Photo) => number>} */
    const orders = {
      added: () => 0,
      sure: (a, b) => sure(b) - sure(a),
      unsure: (a, b) => (sure(a) < 0 ? 2 : sure(a)) - (sure(b) < 0 ? 2 : sure(b)),
      label: (a, b) => label(a).localeCompare(label(b), words.code) || sure(b) - sure(a),
      name: (a, b) => a.name.localeCompare(b.name, words.code, { numeric: true }),
    };
    return kept.sort(orders[/** @type {Order} */ (sort.value)]);
  }

  /** Keeps the filter's choices in step with the classes found. */
  function offer() {
    const found = new Map();
    for (const photo of photos) if (photo.result) found.set(label(photo), (found.get(label(photo)) ?? 0) + 1);
    const classes = [...found].sort(([a], [b]) => a.localeCompare(b, words.code));
    const wanted = [
      [said.all, ''],
      ...classes.map(([name, n]) => [`${name} (${n})`, `=${name}`]),
      ...(photos.some(({ status }) => status === 'failed') ? [[said.failedOnly, '!']] : []),
    ];
    if (wanted.length === filter.options.length && wanted.every(([text], at) => filter.options[at]?.text === text))
      return;
    const before = filter.value;
    filter.replaceChildren(...wanted.map(([text, value]) => new Option(text, value)));
    filter.value = wanted.some(([, value]) => value === before) ? before : '';
  }

  function list() {
    const wanted = listed().map((photo) => {
      const made = tiles.get(photo.id) ?? tile(photo);
      tiles.set(photo.id, made);
      made.update(photo === shown, photos.indexOf(photo) + 1);
      return made.root;
    });
    for (const id of tiles.keys()) if (!photos.some((photo) => photo.id === id)) tiles.delete(id);
    const now = [...roll.children];
    if (wanted.length !== now.length || wanted.some((each, at) => each !== now[at])) roll.replaceChildren(...wanted);
  }

  /** @param {Photo} photo */
  function tile(photo) {
    const canvas = element('canvas', { width: 144, height: 144, role: 'img', 'aria-label': photo.name });
    const number = element('b', { 'aria-hidden': 'true' });
    const title = element('span', { className: 'tile-label' });
    const value = element('span', { className: 'tile-value' });
    const evidence = element('span', { className: 'tile-check' });
    const show = element(
      'button',
      { type: 'button', className: 'tile', title: photo.name, onclick: () => onShow(photo) },
      canvas,
      ' ',
      number,
      title,
      ' ',
      value,
      ' ',
      evidence,
    );
    /** @type {Blob | ImageBitmap | null} */
    let drawn = null,
      decoded = false;
    return {
      root: element('li', {}, show),
      /** @param {boolean} current @param {number} at */
      update(current, at) {
        const picture = photo.small ?? photo.file;
        // Others are drawn from what was classified, or cannot be.
        const skipped = photo.status === 'cancelled' && !photo.small;
        if (picture && (picture !== drawn || skipped !== decoded))
          draw((drawn = picture), canvas, (decoded = skipped) ? decode : null);
        const best = photo.result?.predictions[0];
        number.textContent = String(at);
        title.textContent = best ? label(photo) : photo.name;
        const reason = photo.status === 'failed' ? told(photo.error, words)[0] : said[photo.status];
        value.textContent = photo.result && best ? numbers.given(best, photo.result.model) : reason;
        const check = checkOf(photo, photo.result?.heatmap)?.checked;
        evidence.hidden = !check;
        evidence.textContent = check ? `${said.checks[check.verdict]} (${numbers.score(check.advantage)})` : '';
        if (check) evidence.dataset.verdict = check.verdict;
        show.title = photo.status === 'failed' ? `${photo.name}: ${reason}` : photo.name;
        show.setAttribute('aria-current', String(current));
        show.dataset.status = photo.status;
      },
    };
  }
}
