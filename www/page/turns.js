// several callers → one after the other, so that none works on another's photo

export function turns() {
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();
  /**
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  return function inTurn(work) {
    const mine = last.then(work, work);
    last = mine.catch(() => {});
    return mine;
  };
}
