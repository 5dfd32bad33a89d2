// address, ONNX file, zip or folder → its files, what it is, what it says of photos, and its model folder; in a worker of
// its own, whose memory is given back

import { Connection } from './connection.js';
import { WhylensError, badOption, cancelled, isA, shown } from './errors.js';
import { isDetached } from './photo.js';

/** @typedef {import('./protocol.js').Call} Call */
/** @typedef {import('./protocol.js').PackingOptions} PackingOptions */
/**
 * An ONNX file or a zip, or the files of a folder by their paths in it.
 * @typedef {Blob | ArrayBuffer | Uint8Array<ArrayBufferLike> | Record<string, Blob>} ModelFile
 */

/**
 * @param {ModelFile} model
 * @returns {Blob | ArrayBuffer | Record<string, Blob>}
 */
export function fileOf(model) {
  if (isA(model, Blob)) return model;
  const buffer = isA(model, Uint8Array) ? model.buffer : model;
  if (isA(buffer, ArrayBuffer) && isDetached(buffer))
    throw badOption('the model has a buffer that was given away (detached); give its bytes before that, or a copy');
  if (isA(model, ArrayBuffer)) return model.slice(0);
  if (isA(model, Uint8Array)) return new Uint8Array(model).buffer;
  if (isFolder(model)) return { ...model };
  throw badOption(`the model is ${shown(model)}, expected a Blob, an ArrayBuffer, a Uint8Array or Blobs by path`);
}

/** @param {unknown} model @returns {model is Record<string, Blob>} */
function isFolder(model) {
  try {
    const files = Array.isArray(model) ? [] : Object.values(/** @type {object} */ (model));
    return files.length > 0 && files.every((file) => isA(file, Blob));
  } catch {
    return false;
  }
}

/**
 * Whether an address names a model as it was exported: a file, or a model on the Hugging Face Hub. Any other may be
 * that of a model folder.
 * @param {string} address
 */
export const isExported = (address) =>
  /^hf:/i.test(address) ||
  /^[^?#]*\.(onnx|zip)([?#]|$)/i.test(address) ||
  /^https:\/\/(huggingface\.co|hf\.co)\/[^/?#]+\/[^/?#]+\/?([?#]|tree\/|$)/i.test(address);

/**
 * Runs one call in a new worker. Giving up ends the worker at once.
 * @param {Extract<Call, { type: 'fetch' | 'inspect' | 'pack' }>} call
 * @param {URL} script of the worker
 * @param {Pick<PackingOptions, 'onProgress' | 'signal'>} options
 * @returns {Promise<any>}
 */
export async function inWorker(call, script, { onProgress, signal }) {
  if (signal?.aborted) throw cancelled(signal);
  const connection = new Connection(script, () => {});
  const stop = () => connection.close(cancelled(/** @type {AbortSignal} */ (signal)));
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await connection.call(call, { onProgress });
  } finally {
    signal?.removeEventListener('abort', stop);
    connection.close(new WhylensError('worker-crashed', 'the worker has done its work'));
  }
}

/** A model that is not packed yet, loaded once in a worker of its own for any number of descriptions. */
export class Preview {
  #connection;
  #call;
  /** @type {WhylensError | null} */
  #closed = null;

  /**
   * @param {Pick<Extract<Call, { type: 'preview' }>, 'model' | 'beside'> & { memoryLimit: number }} call
   * @param {URL} script of the worker
   */
  constructor(call, script) {
    this.#call = call;
    this.#connection = new Connection(script, () => {});
  }

  /**
   * What the model would say of a photo.
   * @param {Blob | ArrayBuffer} photo
   * @param {Partial<import('./protocol.js').PackOptions>} description
   * @returns {Promise<import('./protocol.js').Previewed>}
   */
  async classify(photo, description) {
    if (!isA(photo, Blob) && !isA(photo, ArrayBuffer))
      throw badOption(`the photo is ${shown(photo)}, expected a Blob or an ArrayBuffer`);
    const { model, beside, memoryLimit } = this.#call;
    const bytes = isA(photo, Blob) ? await photo.arrayBuffer() : photo;
    if (this.#closed) throw this.#closed;
    const options = { memoryLimit, options: { name: 'model', ...description } };
    return this.#connection.call({ type: 'preview', model, beside, photo: bytes, options });
  }

  /** Gives its memory back; calls under way and later ones reject with `disposed`. */
  close() {
    this.#closed = new WhylensError('disposed', 'the preview was closed; make another one');
    this.#connection.close(this.#closed);
  }
}
