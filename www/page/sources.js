// drops and pastes anywhere on the page, samples, addresses → files

import { PageError } from './trouble.js';

/** Most files of a folder that is dropped. */
const MOST_FILES = 20_000;

/** @type {WeakMap<File, string>} where files are in their folder */
const paths = new WeakMap();

/** A file's name, behind the folders that it came in. @param {File} file */
export const pathOf = (file) => paths.get(file) ?? file.name;

/** A file at a path in a folder. @param {Blob} blob @param {string} path */
export function placed(blob, path) {
  const file = new File([blob], path.split('/').pop() ?? path, { type: blob.type });
  if (path.includes('/')) paths.set(file, path);
  return file;
}

/**
 * Photos, or the files of a model if an ONNX file or a zip is among them: its weights may have any name, and pictures
 * in its folder are not classified.
 * @param {File[]} files
 */
export function sorted(files) {
  const isModel = files.some((file) => /\.(onnx|zip)$/i.test(file.name));
  const model = files.filter((file) => isModel && (paths.has(file) || !file.type.startsWith('image/')));
  return { photos: files.filter((file) => !model.includes(file)), model };
}

/**
 * Listens on the whole page.
 * @param {object} callbacks
 * @param {(files: File[]) => void} callbacks.files
 * @param {(over: boolean) => void} callbacks.over a drag with files is over the page
 * @param {(error: unknown) => void} callbacks.failed a folder cannot be read
 */
export function watchDropsAndPastes({ files, over, failed }) {
  let depth = 0;
  /** @param {DragEvent} event */
  const carriesFiles = (event) => event.dataTransfer?.types.includes('Files') ?? false;
  addEventListener('dragenter', (event) => {
    if (carriesFiles(event)) over(++depth > 0);
  });
  addEventListener('dragleave', (event) => {
    if (carriesFiles(event)) over((depth = Math.max(0, depth - 1)) > 0);
  });
  addEventListener('dragover', (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  addEventListener('drop', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    over((depth = 0) > 0);
    const { items, files: dropped } = event.dataTransfer ?? {};
    const entries = [...(items ?? [])].flatMap((item) => item.webkitGetAsEntry() ?? []);
    if (entries.some((entry) => entry.isDirectory)) void allOf(entries).then(files, failed);
    else files([...(dropped ?? [])]);
  });
  addEventListener('paste', (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])];
    if (!pasted.length) return;
    event.preventDefault();
    files(pasted);
  });
}

/** Files, and those of folders and of the folders below, but for hidden ones. @param {FileSystemEntry[]} entries */
async function allOf(entries) {
  /** @type {File[]} */
  const files = [];
  const pending = [...entries];
  for (let entry = pending.pop(); entry; entry = pending.pop()) {
    if (entry.name.startsWith('.')) continue;
    if (entry.isDirectory) pending.push(...(await inside(/** @type {FileSystemDirectoryEntry} */ (entry))));
    else files.push(await fileOf(/** @type {FileSystemFileEntry} */ (entry)));
    if (files.length + pending.length > MOST_FILES)
      throw new PageError('too-many-files', `at most ${MOST_FILES} files are read`);
  }
  return files;
}

/** @param {FileSystemDirectoryEntry} folder */
async function inside(folder) {
  const reader = folder.createReader();
  /** @type {FileSystemEntry[]} */
  const entries = [];
  // A reader gives a hundred at a time, and none at the end.
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const more = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!more.length || entries.length > MOST_FILES) return entries;
    entries.push(...more);
  }
}

/** @param {FileSystemFileEntry} entry @returns {Promise<File>} */
const fileOf = (entry) =>
  new Promise((resolve, reject) =>
    entry.file((file) => {
      const path = entry.fullPath.replace(/^\//, '');
      if (path.includes('/')) paths.set(file, path);
      resolve(file);
    }, reject),
  );

/** @returns {Promise<File[]>} pictures on the clipboard, after the browser has asked */
export async function readClipboard() {
  const items = await navigator.clipboard.read().catch((cause) => {
    throw new PageError('no-clipboard', cause);
  });
  const pictures = items.flatMap((item) =>
    item.types
      .filter((type) => type.startsWith('image/'))
      .slice(0, 1)
      .map((type) => item.getType(type)),
  );
  if (!pictures.length)
    throw new PageError('nothing-to-paste', items.flatMap((item) => item.types).join() || 'the clipboard is empty');
  return (await Promise.all(pictures)).map(
    (blob) => new File([blob], `pasted.${blob.type.slice(6)}`, { type: blob.type }),
  );
}

/** @param {string} address @param {AbortSignal} [signal] @returns {Promise<File>} */
export async function fetchPhoto(address, signal) {
  const response = await fetch(address, { signal });
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`.trim());
  const name = decodeURIComponent(new URL(response.url || address, location.href).pathname.split('/').pop() || 'photo');
  const blob = await response.blob();
  return new File([blob], name, { type: blob.type });
}

/** The bytes of photos, fetched when they are first asked for. @param {string[]} addresses */
export function fetchedOnce(addresses) {
  /** @type {Promise<ArrayBuffer[]> | null} */
  let all = null;
  return () => {
    all ??= Promise.all(addresses.map(async (address) => (await fetchPhoto(address)).arrayBuffer()));
    all.catch(() => (all = null));
    return all;
  };
}
