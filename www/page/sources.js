// drops and pastes anywhere on the page, samples, addresses → files

import { PageError } from './trouble.js';

/**
 * Photos, or the files of a model if an ONNX file is among them: its weights may have any name.
 * @param {File[]} files
 */
export function sorted(files) {
  const isModel = files.some((file) => /\.onnx$/i.test(file.name));
  const model = files.filter((file) => isModel && !file.type.startsWith('image/'));
  return { photos: files.filter((file) => !model.includes(file)), model };
}

/**
 * Listens on the whole page.
 * @param {object} callbacks
 * @param {(files: File[]) => void} callbacks.files
 * @param {(over: boolean) => void} callbacks.over a drag with files is over the page
 */
export function watchDropsAndPastes({ files, over }) {
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
    files([...(event.dataTransfer?.files ?? [])]);
  });
  addEventListener('paste', (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])];
    if (!pasted.length) return;
    event.preventDefault();
    files(pasted);
  });
}

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

/** @param {string} address @returns {Promise<File>} */
export async function fetchPhoto(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`.trim());
  const name = decodeURIComponent(new URL(response.url || address, location.href).pathname.split('/').pop() || 'photo');
  const blob = await response.blob();
  return new File([blob], name, { type: blob.type });
}
