// zip of photos → its photos
//
// A zip holds a list of its entries at its end (PKWARE, APPNOTE.TXT 4.3). The archive is read in parts: only what is
// inflated takes memory, and entries that are stored as they are stay where they are.
import { MOST_FILES, inOrder, isHidden, placed, tooMany } from './folders.js';
import { isPicture } from './sources.js';
import { PageError } from './trouble.js';

/** Bytes that all photos together may have, and how many times as large as the archive they may be. */
const MOST_BYTES = 2e9,
  MOST_GROWTH = 50;

/** An archive of this size may always be unpacked. */
const SMALL = 100e6;

/** Bytes of the record at the end, of one in the list, and of one before an entry, without their texts. */
const END = 22,
  LISTED = 46,
  LOCAL = 30;

/** @typedef {{name: string, at: number, packed: number, size: number, method: number, encrypted: boolean}} Entry */

/**
 * Null where the archive holds a model, or no photo, or is none.
 * @param {Blob} zip
 * @returns {Promise<File[] | null>} by name
 */
export async function photosIn(zip) {
  const entries = await list(zip);
  if (!entries || entries.some(({ name }) => /\.onnx$/i.test(name))) return null;
  const photos = entries.filter(({ name }) => isPicture({ name, type: '' }) && !isHidden(name));
  if (!photos.length) return null;
  if (photos.length > MOST_FILES) throw tooMany();
  const size = photos.reduce((sum, entry) => sum + entry.size, 0);
  if (size > Math.min(MOST_BYTES, Math.max(SMALL, MOST_GROWTH * zip.size)))
    throw new PageError('zip-too-large', `the photos in it have ${Math.round(size / 1e6)} MB`);
  const strange = photos.find(({ method, encrypted }) => encrypted || (method !== 0 && method !== 8));
  if (strange)
    throw new PageError(
      'zip-unread',
      strange.encrypted ? 'it is encrypted' : `it is packed by method ${strange.method}`,
    );
  const files = [];
  for (const entry of photos) files.push(placed(await contents(zip, entry), entry.name));
  return inOrder(files);
}

/** @param {Blob} zip @param {number} from @param {number} length */
const view = async (zip, from, length) => new DataView(await zip.slice(from, from + length).arrayBuffer());

/**
 * The entries of an archive; null where it has no list of them.
 * @param {Blob} zip
 * @returns {Promise<Entry[] | null>}
 */
async function list(zip) {
  const from = Math.max(0, zip.size - END - 0xffff);
  const tail = await view(zip, from, zip.size - from);
  let at = tail.byteLength - END;
  while (at >= 0 && tail.getUint32(at, true) !== 0x06054b50) at -= 1;
  if (at < 0) return null;
  const [count, length, start] = [
    tail.getUint16(at + 10, true),
    tail.getUint32(at + 12, true),
    tail.getUint32(at + 16, true),
  ];
  // Zip64 is for archives that are too large here.
  if (start === 0xffffffff || count === 0xffff) return null;
  // Something may stand before the archive.
  const before = from + at - length - start;
  if (before < 0) return null;
  const records = await view(zip, before + start, length);
  /** @type {Entry[]} */
  const entries = [];
  for (let record = 0; record + LISTED <= records.byteLength && records.getUint32(record, true) === 0x02014b50;) {
    const named = records.getUint16(record + 28, true);
    const texts = named + records.getUint16(record + 30, true) + records.getUint16(record + 32, true);
    if (record + LISTED + texts > records.byteLength) return null;
    entries.push({
      name: text(new Uint8Array(records.buffer, record + LISTED, named)),
      at: before + records.getUint32(record + 42, true),
      packed: records.getUint32(record + 20, true),
      size: records.getUint32(record + 24, true),
      method: records.getUint16(record + 10, true),
      encrypted: (records.getUint16(record + 8, true) & 1) === 1,
    });
    record += LISTED + texts;
  }
  return entries.length === count ? entries : null;
}

/** UTF-8, or what old programs write. @param {Uint8Array} bytes */
function text(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replaceAll('\\', '/');
  } catch {
    return new TextDecoder('windows-1252').decode(bytes).replaceAll('\\', '/');
  }
}

/** What can be read of an entry: the decoder tells whether it is all. @param {Blob} zip @param {Entry} entry */
async function contents(zip, { at, packed, size, method }) {
  const header = await view(zip, at, LOCAL);
  if (header.byteLength < LOCAL || header.getUint32(0, true) !== 0x04034b50) return new Blob([]);
  const start = at + LOCAL + header.getUint16(26, true) + header.getUint16(28, true);
  const stored = zip.slice(start, start + packed);
  return method === 0 ? stored : inflated(stored, size);
}

/** At most as many bytes as the list says. @param {Blob} packed @param {number} size */
async function inflated(packed, size) {
  const reader = packed.stream().pipeThrough(new DecompressionStream('deflate-raw')).getReader();
  /** @type {BlobPart[]} */
  const pieces = [];
  let length = 0;
  try {
    for (let read = await reader.read(); !read.done && length <= size; read = await reader.read()) {
      length += read.value.length;
      pieces.push(read.value);
    }
  } catch {
    // The pieces that came before the damage are told as a damaged photo.
  }
  await reader.cancel().catch(() => {});
  return new Blob(length > size ? [] : pieces);
}
