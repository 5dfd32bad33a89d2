// folders that are dropped or chosen → their files, each with its path
import { PageError } from './trouble.js';

/** Most files of a folder or an archive. */
export const MOST_FILES = 20_000;

/** @type {WeakMap<File, string>} where files are in their folder */
const paths = new WeakMap();

/** A file's name, behind the folders that it came in. @param {File} file */
export const pathOf = (file) => paths.get(file) ?? file.name;

/** Whether it came in a folder. @param {File} file */
export const isInFolder = (file) => paths.has(file);

/** A file at a path in a folder. @param {Blob} blob @param {string} path */
export function placed(blob, path) {
  const file = new File([blob], path.split('/').pop() ?? path, { type: blob.type });
  if (path.includes('/')) paths.set(file, path);
  return file;
}

/** A folder that was chosen. @param {File[]} files */
export function chosenFolder(files) {
  if (files.length > MOST_FILES) throw tooMany();
  const seen = files.filter((file) => !isHidden(file.webkitRelativePath));
  for (const file of seen) paths.set(file, file.webkitRelativePath);
  return inOrder(seen);
}

/** Files, and those of folders and of the folders below, but for hidden ones. @param {FileSystemEntry[]} entries */
export async function filesOf(entries) {
  /** @type {File[]} */
  const files = [];
  const pending = [...entries];
  for (let entry = pending.pop(); entry; entry = pending.pop()) {
    if (isHidden(entry.name)) continue;
    if (entry.isDirectory) pending.push(...(await inside(/** @type {FileSystemDirectoryEntry} */ (entry))));
    else files.push(await fileOf(/** @type {FileSystemFileEntry} */ (entry)));
    if (files.length + pending.length > MOST_FILES) throw tooMany();
  }
  return inOrder(files);
}

/** Files that no person put there are hidden, as are those in folders of that kind. @param {string} path */
export const isHidden = (path) => path.split('/').some((name) => name.startsWith('.') || name === '__MACOSX');

export const tooMany = () => new PageError('too-many-files', `at most ${MOST_FILES} files are read`);

/** By path, numbers in names by their value. @param {File[]} files */
export function inOrder(files) {
  const { compare } = new Intl.Collator(undefined, { numeric: true });
  return files.sort((a, b) => compare(pathOf(a), pathOf(b)));
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
