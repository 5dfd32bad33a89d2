// photos that wait → their results, the shown one first

/** @typedef {import('./photos.js').Photo} Photo */
/** @typedef {import('../library/protocol.js').Result} Result */

/**
 * Works on one photo at a time until none waits.
 * @param {() => Photo | undefined} next the photo to work on now
 * @param {(photo: Photo) => Promise<Result>} classify
 * @param {(photo: Photo) => void} onChange
 */
export function batch(next, classify, onChange) {
  let working = false;
  return async function work() {
    if (working) return;
    working = true;
    for (let photo = next(); photo; photo = next()) {
      photo.status = 'working';
      onChange(photo);
      try {
        photo.result = await classify(photo);
        photo.status = 'done';
      } catch (error) {
        photo.error = error;
        photo.status = photo.abort.signal.aborted ? 'cancelled' : 'failed';
      }
      onChange(photo);
    }
    working = false;
  };
}
