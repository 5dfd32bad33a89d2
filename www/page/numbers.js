// numbers → text in the reader's language

/** @typedef {ReturnType<typeof numbers>} Numbers */

/** @param {string} language */
export function numbers(language) {
  const percent = new Intl.NumberFormat(language, { style: 'percent' });
  const fine = new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: 1 });
  const megabytes = new Intl.NumberFormat(language, { style: 'unit', unit: 'megabyte', maximumFractionDigits: 1 });
  const seconds = new Intl.NumberFormat(language, { style: 'unit', unit: 'second', maximumFractionDigits: 0 });
  const score = new Intl.NumberFormat(language, { maximumFractionDigits: 2, minimumFractionDigits: 2 });
  const mark = new Intl.NumberFormat(language, { maximumSignificantDigits: 3 });
  const small = new Intl.NumberFormat(language, {
    maximumSignificantDigits: 1,
    minimumFractionDigits: 0,
    maximumFractionDigits: 20,
  });
  const time = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
  const share = (/** @type {number} */ part) =>
    part > 0 && part < 0.01
      ? `< ${percent.format(0.01)}`
      : part > 0.995 && part < 1
        ? fine.format(Math.min(part, 0.999))
        : percent.format(part);
  return {
    percent: share,
    /** @param {number} bytes */
    bytes: (bytes) => megabytes.format(bytes / 1e6),
    /** @param {number} milliseconds */
    seconds: (milliseconds) => seconds.format(milliseconds / 1000),
    score: score.format,
    /**
     * What a class is given.
     * @param {{probability: number, score: number}} prediction
     * @param {Pick<import('../library/protocol.js').Result['model'], 'activation' | 'unit'>} model
     */
    given: ({ probability, score: raw }, { activation, unit }) =>
      activation === 'none' ? [score.format(raw), unit].filter(Boolean).join(' ') : share(probability),
    /** A mark of an axis. @param {number} value @param {boolean} isShare */
    mark: (value, isShare) => (isShare ? fine : mark).format(value),
    time: time.format,
    /** A difference that should be near nothing. @param {number} value */
    small: (value) => (value < 1e-5 ? `< ${small.format(1e-5)}` : small.format(value)),
  };
}
