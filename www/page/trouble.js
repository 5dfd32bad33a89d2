// failure of the page itself → an error with a code that the words know

export class PageError extends Error {
  /** @param {string} code one of `errors.page` @param {unknown} cause */
  constructor(code, cause) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.code = code;
  }
}
