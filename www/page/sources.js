// files, the clipboard, addresses → photos, and the files of a model
import { addressOf } from './dropped.js';
import { isInFolder } from './folders.js';
import { PageError } from './trouble.js';

/** What photos are called; browsers tell the type of few of them. */
const PICTURE =
  /\.(jpe?g|jpe|jfif|a?png|gif|webp|bmp|dib|ico|cur|tiff?|svg|qoi|p[abgnp]m|tga|dds|hdr|exr|ff|avif|hei[cf]|jxl|dcm)$/i;

/** @param {{name: string, type: string}} file */
export const isPicture = ({ name, type }) => type.startsWith('image/') || PICTURE.test(name);

/**
 * Photos, or the files of a model if an ONNX file or a zip is among them: its weights may have any name, and pictures
 * in its folder are not classified. What else lies in a folder of photos is left out.
 * @param {File[]} files
 */
export function sorted(files) {
  const isModel = files.some((file) => /\.(onnx|zip)$/i.test(file.name));
  const model = files.filter((file) => isModel && (isInFolder(file) || !file.type.startsWith('image/')));
  const photos = files.filter((file) => !model.includes(file) && (isPicture(file) || !isInFolder(file)));
  if (files.length && !photos.length && !model.length)
    throw new PageError('no-photos', `there are ${files.length} other files`);
  return { photos, model };
}

/** Zips of photos are unpacked; those of models stay what they are. @param {File[]} files */
export async function unpacked(files) {
  if (!files.some(isZip) || files.some(({ name }) => /\.onnx$/i.test(name))) return files;
  const { photosIn } = await import('./archive.js');
  const opened = [];
  for (const file of files) opened.push((isZip(file) && (await photosIn(file))) || [file]);
  return opened.flat();
}

/** @param {File} file */
export const isZip = ({ name }) => /\.zip$/i.test(name);

/** @returns {Promise<File[] | string>} pictures on the clipboard or an address, after the browser has asked */
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
  if (!pictures.length) {
    const text = items.find(({ types }) => types.includes('text/plain'));
    const address = text && addressOf(await (await text.getType('text/plain')).text());
    if (address) return address;
    throw new PageError('nothing-to-paste', items.flatMap((item) => item.types).join() || 'the clipboard is empty');
  }
  return (await Promise.all(pictures)).map(
    (blob) => new File([blob], `pasted.${blob.type.slice(6)}`, { type: blob.type }),
  );
}

/** @param {string} address @param {AbortSignal} [signal] @returns {Promise<File>} */
export async function fetchPhoto(address, signal) {
  const shut = (/** @type {unknown} */ cause) => {
    throw signal?.aborted ? cause : new PageError('address-shut', cause);
  };
  const response = await fetch(address, { signal }).catch(shut);
  if (!response.ok) throw new PageError('address-empty', `${response.status} ${response.statusText}`.trim());
  const type = response.headers.get('content-type') ?? '';
  if (/^text\/html\b/i.test(type)) throw new PageError('address-empty', `the server sends ${type}`);
  const blob = await response.blob().catch(shut);
  return new File([blob], nameIn(response.url || address), { type: blob.type });
}

/** @param {string} address */
function nameIn(address) {
  const { protocol, pathname } = new URL(address, location.href);
  const name = protocol === 'data:' ? '' : (pathname.split('/').pop() ?? '');
  try {
    return decodeURIComponent(name) || 'photo';
  } catch {
    return name;
  }
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
