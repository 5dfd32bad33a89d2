// the even and the odd bytes of weights apart, as `whylens dist` stores them (src/cli/dist/planes.rs) → the weights

/** Bytes of a piece, whose even and odd ones are apart. */
const PIECE = 16384;

/**
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} planes
 * @returns {ReadableStream<Uint8Array<ArrayBuffer>>}
 */
export const joined = (planes) => planes.pipeThrough(new DecompressionStream('deflate')).pipeThrough(joining());

function joining() {
  /** What there is of a piece. */
  const piece = new Uint8Array(PIECE);
  let filled = 0;
  /** @param {TransformStreamDefaultController<Uint8Array<ArrayBuffer>>} controller */
  const put = (controller) => {
    const half = Math.ceil(filled / 2);
    const bytes = new Uint8Array(filled);
    for (let at = 0; at < filled; at += 1) bytes[at] = piece[(at >> 1) + (at & 1) * half] ?? 0;
    controller.enqueue(bytes);
    filled = 0;
  };
  return new TransformStream({
    /** @param {Uint8Array} part */
    transform(part, controller) {
      for (let at = 0; at < part.length;) {
        const more = part.subarray(at, at + PIECE - filled);
        piece.set(more, filled);
        filled += more.length;
        at += more.length;
        if (filled === PIECE) put(controller);
      }
    },
    flush: (controller) => (filled ? put(controller) : undefined),
  });
}
