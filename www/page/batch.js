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
      // Changed where the photo is to be classified anew meanwhile.
      const { abort } = photo;
      onChange(photo);
      try {
        const result = await classify(photo);
        if (photo.abort === abort) Object.assign(photo, { result, status: 'done' });
      } catch (error) {
        const status = abort.signal.aborted ? 'cancelled' : 'failed';
        if (photo.abort === abort) Object.assign(photo, { result: null, error, status });
      }
      onChange(photo);
    }
    working = false;
  };
}
