// failure of the page itself → an error with a code that the words know

/**
 * What happened, and what to do.
 * @param {unknown} error
 * @param {import('./words/en.js').Words} words
 */
export function told(error, { errors: { known, page, unknown } }) {
  const { code = '' } = /** @type {{code?: string}} */ (error ?? {});
  return known[code] ?? page[code] ?? unknown;
}

export class PageError extends Error {
  /** @param {string} code one of `errors.page` @param {unknown} cause */
  constructor(code, cause) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.code = code;
  }
}
