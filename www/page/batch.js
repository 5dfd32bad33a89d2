// photos that wait → their results, the shown one first

/** @typedef {import('./photos.js').Photo} Photo */
/** @typedef {import('../library/protocol.js').Result} Result */

/**
 * Works on a few photos at once, so that some are decoded while another is classified, until none waits.
 * @param {() => Photo | undefined} next the photo to work on now
 * @param {(photo: Photo) => Promise<Result>} classify
 * @param {(photo: Photo) => void} onChange
 * @param {number} atOnce
 */
export function batch(next, classify, onChange, atOnce) {
  let working = 0;
  /** Who waits until nothing is worked on. @type {(() => void)[]} */
  let waiting = [];

  /** @param {Photo} photo */
  async function one(photo) {
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

  function work() {
    for (let photo; working < atOnce && (photo = next());) {
      working += 1;
      void one(photo).finally(() => {
        working -= 1;
        work();
      });
    }
    if (working) return;
    for (const resolve of waiting) resolve();
    waiting = [];
  }

  /** Resolves when no photo is worked on. @returns {Promise<void>} */
  const idle = () => (working ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve());

  return { work, idle };
}
