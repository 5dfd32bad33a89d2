// picture in a drawing → its width and height, by its header

/**
 * @param {string} base64
 */
export function sizeOf(base64) {
  let data;
  try {
    data = Uint8Array.from(atob(decodeURIComponent(base64)), (letter) => letter.charCodeAt(0));
  } catch {
    return null;
  }
  if (data.length < 30) return null;
  const view = new DataView(data.buffer);
  const tag = (/** @type {number} */ at) => String.fromCharCode(...data.subarray(at, at + 4));
  if (tag(0) === '\x89PNG') return [view.getUint32(16), view.getUint32(20)];
  if (tag(0) === 'GIF8') return [view.getUint16(6, true), view.getUint16(8, true)];
  if (tag(0) === 'RIFF' && tag(8) === 'WEBP') {
    if (tag(12) === 'VP8X')
      return [1 + (view.getUint32(24, true) & 0xffffff), 1 + (view.getUint32(27, true) & 0xffffff)];
    if (tag(12) === 'VP8L')
      return [1 + (view.getUint32(21, true) & 0x3fff), 1 + ((view.getUint32(21, true) >> 14) & 0x3fff)];
    return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
  }
  if (view.getUint16(0) !== 0xffd8) return null;
  for (let at = 2; at + 9 < data.length; at += 2 + view.getUint16(at + 2)) {
    while (data[at + 1] === 0xff && at + 10 < data.length) at += 1;
    const marker = data[at + 1] ?? 0;
    if (data[at] !== 0xff) return null;
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker))
      return [view.getUint16(at + 7), view.getUint16(at + 5)];
  }
  return null;
}
