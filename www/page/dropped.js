// what is dropped or pasted anywhere on the page → files, or the address of a picture
import { filesOf } from './folders.js';

/**
 * Listens on the whole page: whatever is dropped, the browser does not open it in place of the page.
 * @param {object} callbacks
 * @param {(files: File[]) => void} callbacks.files
 * @param {(address: string) => void} callbacks.address of a picture in another tab or site
 * @param {(over: boolean) => void} callbacks.over a drag that can be used is over the page
 * @param {(error: unknown) => void} callbacks.failed a folder cannot be read
 */
export function watchDropsAndPastes({ files, address, over, failed }) {
  let depth = 0,
    ours = false;
  /** @param {DragEvent} event */
  const usable = ({ dataTransfer }) =>
    !!dataTransfer?.types.some((type) => type === 'Files' || type === (ours ? 'text/html' : 'text/uri-list'));
  /** Text that is dragged into a field. @param {DragEvent} event */
  const isForField = ({ target, dataTransfer }) =>
    isField(target) && !dataTransfer?.types.includes('Files') && !!dataTransfer?.types.includes('text/plain');
  // A picture of this page may be dropped on it; a link or a text of this page means nothing.
  addEventListener('dragstart', () => (ours = true));
  addEventListener('dragend', () => (ours = false));
  addEventListener('dragenter', (event) => {
    if (usable(event)) over(++depth > 0);
  });
  addEventListener('dragleave', (event) => {
    if (usable(event)) over((depth = Math.max(0, depth - 1)) > 0);
  });
  addEventListener('dragover', (event) => {
    if (isForField(event)) return;
    event.preventDefault();
    if (event.dataTransfer && !usable(event)) event.dataTransfer.dropEffect = 'none';
  });
  addEventListener('drop', (event) => {
    over((depth = 0) > 0);
    if (isForField(event)) return;
    event.preventDefault();
    const { dataTransfer } = event;
    if (!dataTransfer) return;
    const entries = [...dataTransfer.items].flatMap((item) => item.webkitGetAsEntry?.() ?? []);
    const dropped = [...dataTransfer.files];
    if (entries.some((entry) => entry.isDirectory)) return void filesOf(entries).then(files, failed);
    if (dropped.length) return files(dropped);
    const found = pictureIn(dataTransfer) ?? (ours ? null : linkIn(dataTransfer));
    if (found) address(found);
  });
  addEventListener('paste', (event) => {
    const { clipboardData } = event;
    const pasted = [...(clipboardData?.files ?? [])];
    if (!clipboardData || (isField(event.target) && !pasted.length)) return;
    const found = pasted.length ? null : (pictureIn(clipboardData) ?? linkIn(clipboardData));
    if (!pasted.length && !found) return;
    event.preventDefault();
    if (found) address(found);
    else files(pasted);
  });
}

/** @param {EventTarget | null} target */
const isField = (target) => target instanceof Element && !!target.closest('input, textarea, select');

/**
 * The picture in dragged or copied markup, which is not made into elements: the page's policy forbids that.
 * @param {DataTransfer} data
 */
export function pictureIn(data) {
  const [, double, single, bare] =
    data
      .getData('text/html')
      .match(/<img\b(?:[^>"']|"[^"]*"|'[^']*')*?\ssrc\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))/i) ?? [];
  return addressOf((double ?? single ?? bare ?? '').replace(ENTITY, (_, name) => entity(name)));
}

const ENTITY = /&(#\d+|#x[\da-f]+|amp|quot|apos|lt|gt);/gi;

/** @param {string} name */
function entity(name) {
  const named = /** @type {Record<string, string>} */ ({ amp: '&', quot: '"', apos: "'", lt: '<', gt: '>' });
  const code = /^#x/i.test(name) ? parseInt(name.slice(2), 16) : Number(name.slice(1));
  return named[name.toLowerCase()] ?? (code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : '');
}

/** @param {DataTransfer} data */
function linkIn(data) {
  const lines = data.getData('text/uri-list').split(/\r?\n/);
  return addressOf(lines.find((line) => line && !line.startsWith('#')) ?? '') ?? addressOf(data.getData('text/plain'));
}

/** A text that is an address, and nothing else. @param {string} text */
export function addressOf(text) {
  const trimmed = text.trim();
  if (/^data:image\//i.test(trimmed)) return trimmed;
  return /^(https?:\/\/|hf:)[^\s]+$/i.test(trimmed) ? trimmed : null;
}
