// picture → the clipboard

/** @param {Promise<Blob>} png @returns {Promise<boolean>} false where the browser does not allow it */
export async function copyPicture(png) {
  try {
    // The promise is handed over unresolved: Safari forgets the click while it is awaited.
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': png })]);
    return true;
  } catch {
    return false;
  }
}
