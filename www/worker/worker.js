// message → a WebAssembly module → answer

import * as handed from './handed.js';
import * as helpers from './helpers.js';
import * as modules from './modules.js';
import { coded } from './instance.js';
import { AS_STORED, readPixels } from '../library/photo.js';

/** @typedef {import('../library/protocol.js').Answer} Answer */
/** @typedef {import('../library/protocol.js').ErrorCode} ErrorCode */
/** @typedef {import('../library/protocol.js').Request} Request */
/** @typedef {import('../library/protocol.js').WireError} WireError */
/** @typedef {import('../library/protocol.js').Module} Module */

/** @typedef {Pick<Worker, 'postMessage' | 'onmessage'> & Pick<Window, 'name' | 'addEventListener' | 'close'>
 *   & { whylensPanic?: string, FileReaderSync: new () => { readAsArrayBuffer(blob: Blob): ArrayBuffer } }} Scope what TypeScript calls a DedicatedWorkerGlobalScope, of its own library */

const scope = /** @type {Scope} */ (/** @type {unknown} */ (globalThis));

/** @type {Map<number, AbortController>} calls that are not answered yet */
const open = new Map();
/** @type {number | null} the call that the module is busy with */
let busy = null;
/** @type {number | null} the load whose progress was told last: the module does one at a time */
let loading = null;
let dead = false;

if (['blob:', 'data:'].includes(location.protocol)) modules.importedFrom(import.meta.url);

// Connection#watchOver waits for this lock, once it is held: a browser may take longer to give it than a first answer.
if (!helpers.helps())
  navigator.locks
    ?.request(scope.name, () => {
      post({ holding: true });
      return new Promise(() => {});
    })
    .catch(() => {});

/**
 * @param {unknown} error
 * @returns {WireError | null} null: the failure is none of ours, so the module is dead
 */
function wire(error) {
  const { code, message, cause, limit, percent } =
    /** @type {{ code?: unknown, message?: string, cause?: unknown, limit?: number, percent?: number | null }} */ (
      error ?? {}
    );
  if (typeof code !== 'string' || error instanceof DOMException) return null;
  return {
    code: /** @type {ErrorCode} */ (code),
    message: String(message),
    ...(cause ? { cause: String(cause) } : {}),
    ...(limit ? { limit } : {}),
    ...(percent === undefined ? {} : { percent }),
  };
}

/**
 * @param {Answer} answer
 * @param {Transferable[]} [transfer]
 */
function post(answer, transfer = []) {
  scope.postMessage(answer, transfer);
}

/**
 * Says that the module cannot be used any more. Nothing is answered after that.
 * @param {unknown} error
 * @param {number | null} id the call that it was busy with
 */
function crash(error, id = busy ?? loading) {
  if (dead) return;
  dead = true;
  let refused = 0;
  try {
    refused = modules.refused();
  } catch {
    // The module is dead, as expected.
  }
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const panic = scope.whylensPanic?.replace(/^panicked at .*:\n/, '');
  const exhausted = refused > 0 || (error instanceof RangeError && /alloc/i.test(error.message));
  post({
    crashed: exhausted
      ? {
          code: 'out-of-memory',
          message:
            `the browser has no more memory for this (${refused} bytes were asked for); ` +
            'try a smaller photo or model',
          cause: text,
        }
      : {
          code: 'worker-crashed',
          message: `the worker ended: ${panic ?? text}; try again, or another photo`,
          cause: scope.whylensPanic ?? text,
        },
    id,
  });
}

scope.addEventListener('error', (event) => {
  event.preventDefault();
  crash(event.error ?? event.message);
});
scope.addEventListener('unhandledrejection', (event) => {
  event.preventDefault();
  crash(event.reason);
});

/**
 * @param {Request} request
 * @param {AbortSignal} signal
 * @returns {Promise<{ result: unknown, transfer?: Transferable[] }>}
 */
async function run(request, signal) {
  /** @param {import('../library/protocol.js').Progress['phase']} phase @param {number} loaded @param {number} total */
  const progress = (phase, loaded, total) => post({ id: request.id, progress: { phase, loaded, total } });
  switch (request.type) {
    case 'load': {
      /** @type {typeof progress} */
      const tell = (...news) => {
        loading = request.id;
        progress(...news);
      };
      const forget = handed.listen(request.early);
      try {
        const result = await modules.load(request.url, request.options, tell, signal);
        const module = await modules.home(request.url);
        if (request.options.warmUp) void warmUp(module, result.model);
        tuneSoon(module);
        return { result };
      } finally {
        forget();
      }
    }
    case 'classify':
      photos += 1;
      return answer(await classify(request, progress.bind(null, 'heatmap'), signal));
    case 'ahead':
      return answer(await ahead(request));
    case 'share':
      return { result: await modules.share(request.url) };
    case 'heatmap': {
      const { url, result, input, options } = request;
      const module = await modules.explaining(url, options.layers, options.method);
      return { result: await module.heatmap(url, result, input, options, progress.bind(null, 'heatmap'), signal) };
    }
    case 'features': {
      const { url, result, input, layer, pooled } = request;
      const module = await modules.explaining(url, layer === undefined ? [] : [layer]);
      const features = module.features(url, result, input, layer, pooled);
      return { result: features, transfer: [features.values.buffer] };
    }
    case 'check': {
      const { url, result, input, values, options } = request;
      const module = await modules.explaining(url, []);
      return { result: await module.check(url, result, input, values, options, progress.bind(null, 'check'), signal) };
    }
    case 'stability': {
      const { url, result, input, values, options } = request;
      const module = await modules.explaining(url, options.layers);
      const tell = progress.bind(null, 'stability');
      return { result: await module.stability(url, result, input, values, options, tell, signal) };
    }
    case 'decode': {
      const bytes = request.photo instanceof Blob ? await readBlob(request.photo) : request.photo;
      const bitmap = await bitmapOf(
        (await modules.first()).decodePhoto(new Uint8Array(bytes), request.maxPixels, request.longest),
      );
      return { result: bitmap, transfer: [bitmap] };
    }
    case 'fetch': {
      const { fetchModel } = await import('./remote.js').catch((error) => {
        throw coded('network', `a script of the worker cannot be loaded: ${error.message}; try again`);
      });
      const { address, endpoint, memoryLimit } = request;
      const fits = (/** @type {number} */ bytes) => checkRoom(bytes, memoryLimit);
      const ways = { tell: progress.bind(null, 'download'), fits };
      return { result: await fetchModel(address, endpoint, await modules.whole(), ways) };
    }
    case 'inspect': {
      const module = await modules.whole();
      const { model, beside } = readModel(request, module);
      return { result: module.inspectModel(model, beside, request.options) };
    }
    case 'pack': {
      const module = await modules.whole();
      const { model, beside } = readModel(request, module);
      const result = module.packModel(model, beside, request.labels, request.options, progress.bind(null, 'pack'));
      return { result, transfer: [result.weights.buffer] };
    }
    case 'preview': {
      const module = await modules.whole();
      const { model, beside } = readModel(request, module);
      return { result: module.previewModel(model, beside, new Uint8Array(request.photo), request.options) };
    }
    case 'render': {
      const { values, ...shape } = request.heatmap;
      const rgba = (await modules.first()).render(values, shape, request.options);
      return { result: rgba, transfer: [rgba.buffer] };
    }
    case 'dispose':
      return { result: await modules.dispose(request.url) };
    case 'state':
      return {
        result: {
          memory: modules.memory(),
          report: (await modules.home(request.url)).report(request.url) ?? null,
          build: modules.build(request.url),
        },
      };
  }
}

/**
 * ms after the first model is ready. The first measurement is of code that the browser has not compiled well, and has it
 * do so; each later one replaces the choice, the last in case the browser was busy.
 */
const TUNE_AFTER = [250, 500, 1500];
/** @type {WeakSet<Module>} */
const tuned = new WeakSet();

/**
 * Made-up photos before the first one: how many at most, and ms: after the model is ready, in which a page whose photo
 * waits asks for its result; after which no further one begins; between two, in which a photo can come.
 */
const WARM = { most: 4, after: 50, enough: 500, pause: 20 };
/** Photos that were to be classified. */
let photos = 0;

/**
 * Once the page knows that the model is ready, and until a photo comes.
 * @param {Module} module
 * @param {import('../library/protocol.js').ModelInfo} model
 */
async function warmUp(module, model) {
  const before = photos;
  const isWanted = () => !dead && open.size === 0 && photos === before;
  const pause = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));
  // Not needed before the model is ready; without it, the first photo takes a little longer. It is asked for before a
  // service worker keeps all files, since that takes what the browser has already, and this would not.
  const arriving = import('./warm.js').catch(() => ({ rehearsal: null }));
  try {
    await pause(WARM.after);
    const began = performance.now();
    const { rehearsal } = await arriving;
    const classify = isWanted() ? await rehearsal?.(module, model) : null;
    for (let photo = 0; classify && photo < WARM.most && isWanted(); photo += 1) {
      await classify();
      if (performance.now() - began > WARM.enough) return;
      await pause(WARM.pause);
    }
  } catch (error) {
    // The first photo tells what is wrong with the model.
    if (!wire(error)) crash(error);
  }
}

/**
 * @param {Module} module
 */
function tuneSoon(module) {
  if (tuned.has(module)) return;
  tuned.add(module);
  for (const delay of TUNE_AFTER) setTimeout(() => dead || modules.tune(module), delay);
}

/**
 * @param {Extract<Request, { type: 'classify' }>} request
 * @param {import('../library/protocol.js').Steps} progress
 * @param {AbortSignal} signal
 */
async function classify({ url, result, photo, options }, progress, signal) {
  const module = await modules.explaining(url, options.heatmap?.layers ?? [], options.heatmap?.method);
  if ('input' in photo) return module.classifyWaiting(url, result, photo, options, progress, signal);
  return read(photo, options, {
    encoded: (bytes) => module.classify(url, result, bytes, options, progress, signal),
    pixels: ({ rgba, width, height }, decode) =>
      module.classifyPixels(url, result, rgba, width, height, decode, options, progress, signal),
  });
}

/**
 * Decodes and resizes a photo for the worker that has the model.
 * @param {Extract<Request, { type: 'ahead' }>} request
 */
async function ahead({ photo, shared, options }) {
  const module = await modules.join(shared);
  return read(photo, options, {
    encoded: async (bytes) => module.readAhead(bytes, shared.input, options),
    pixels: async ({ rgba, width, height }, decode) =>
      module.readPixelsAhead(rgba, width, height, decode, shared.input, options),
  });
}

/**
 * @template {{ input?: import('../library/protocol.js').Input, view?: import('../library/protocol.js').Picture }} T
 * @param {T} found
 */
async function answer({ view, ...result }) {
  const transfer = result.input ? [result.input.values.buffer] : [];
  if (!view) return { result, transfer };
  const bitmap = await bitmapOf(view);
  return { result: { ...result, view: bitmap }, transfer: [bitmap, ...transfer] };
}

/**
 * Gives a photo to what reads encoded ones, or pixels.
 * @template {{ decoder?: 'browser', damaged?: string }} T
 * @param {import('../library/protocol.js').WirePhoto} photo
 * @param {import('../library/protocol.js').WireClassifyOptions} options
 * @param {{ encoded: (bytes: Uint8Array) => Promise<T>, pixels: (pixels: import('../library/protocol.js').Pixels, decode:
 *   number) => Promise<T> }} by `decode`: ms that decoding took
 * @returns {Promise<T>}
 */
async function read(photo, options, { encoded, pixels }) {
  const start = performance.now();
  /** @param {ImageBitmap} bitmap */
  const fromBitmap = (bitmap) => {
    if (bitmap.width * bitmap.height > options.maxPixels) {
      const size = `${bitmap.width} × ${bitmap.height} pixels, at most ${options.maxPixels / 1e6} megapixels are read`;
      bitmap.close();
      throw coded('image-too-large', `the picture has ${size}; make it smaller first, or raise \`maxPixels\``);
    }
    return pixels(readPixels(bitmap, new OffscreenCanvas(1, 1)), performance.now() - start);
  };
  if (photo instanceof ImageBitmap) return fromBitmap(photo);
  if ('rgba' in photo) return pixels(photo, 0);
  const bytes = photo instanceof Blob ? await readBlob(photo) : photo;
  try {
    return await encoded(new Uint8Array(bytes));
  } catch (error) {
    const failed = wire(error);
    const isDamaged = failed?.code === 'image-corrupt';
    // Browsers show what is there of a photo that is cut short without a word.
    const isCut = failed?.percent !== undefined && !options.partial;
    if (!(isDamaged ? !isCut : failed?.code === 'image-format') || bytes.byteLength === 0) throw error;
    // The browser may know formats that the module does not, such as AVIF, or read on where the module gives up.
    const bitmap = await createImageBitmap(new Blob([bytes]), AS_STORED).catch(() => null);
    if (!bitmap) throw error;
    const result = await fromBitmap(bitmap);
    return { ...result, decoder: /** @type {const} */ ('browser'), ...(isDamaged && { damaged: failed.message }) };
  }
}

/**
 * @param {import('../library/protocol.js').Picture} picture
 */
const bitmapOf = ({ rgba, width, height }) => createImageBitmap(new ImageData(rgba, width, height));

/**
 * The files of a folder that matter, chosen by their names.
 * @param {Record<string, Blob>} folder
 * @param {import('../library/protocol.js').Module} module
 */
function filesOf(folder, module) {
  const { onnx, texts, weights } = module.chooseModel(Object.keys(folder));
  const root = onnx.slice(0, onnx.lastIndexOf('/') + 1).length;
  const named = [...texts.map((name) => [name, name]), ...weights.map((name) => [name.slice(root), name])];
  return {
    model: /** @type {Blob} */ (folder[onnx]),
    beside: Object.fromEntries(named.map(([as, name]) => [as, /** @type {Blob} */ (folder[name])])),
  };
}

/**
 * Refuses a model that cannot be checked in the memory that is left.
 * @param {number} size
 * @param {number} memoryLimit
 */
function checkRoom(size, memoryLimit) {
  const needed = 2.5 * size;
  if (needed <= memoryLimit) return;
  const [has, left] = [Math.ceil(size / 1e6), Math.floor(memoryLimit / 1e6)];
  const refused = coded(
    'over-memory-limit',
    `the model has ${has} MB, and ${left} MB of memory are left to check it in; ` +
      'raise `memoryLimit`, or use `whylens pack`',
  );
  throw Object.assign(refused, { limit: needed });
}

/**
 * @param {Extract<Request, { type: 'inspect' | 'preview' | 'pack' }>} request
 * @param {import('../library/protocol.js').Module} module
 */
function readModel(request, module) {
  const { memoryLimit } = request.options;
  const { model, beside } =
    request.model instanceof Blob || request.model instanceof ArrayBuffer
      ? { model: request.model, beside: request.beside }
      : filesOf(request.model, module);
  const files = Object.entries(beside);
  const size = files.reduce((sum, [, file]) => sum + file.size, model instanceof Blob ? model.size : model.byteLength);
  checkRoom(size, memoryLimit);
  // Read each time that they are needed, so that they take memory only then.
  const bytes = (/** @type {Blob | ArrayBuffer} */ file) => () => {
    try {
      return new Uint8Array(file instanceof Blob ? new scope.FileReaderSync().readAsArrayBuffer(file) : file);
    } catch (error) {
      throw coded('not-a-model', `the file cannot be read: ${error instanceof Error ? error.message : error}`);
    }
  };
  return {
    model: bytes(model),
    beside: Object.fromEntries(files.map(([name, file]) => [name, bytes(file)])),
  };
}

/**
 * @param {Blob} blob
 */
async function readBlob(blob) {
  try {
    return await blob.arrayBuffer();
  } catch (error) {
    throw coded('image-corrupt', `the file cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * @param {Request} request
 */
async function handle(request) {
  const { id, type } = request;
  const controller = new AbortController();
  open.set(id, controller);
  if (['ahead', 'check', 'classify', 'features', 'heatmap', 'stability'].includes(type)) busy = id;
  try {
    const { result, transfer } = await run(request, controller.signal);
    if (!dead) post({ id, result, memory: modules.memory() }, transfer);
  } catch (error) {
    const known = wire(error);
    if (!known) crash(error, id);
    else if (!dead) post({ id, error: known, memory: modules.memory() });
  }
  open.delete(id);
  if (busy === id) busy = null;
  if (loading === id) loading = null;
}

if (helpers.helps()) helpers.help();
else {
  scope.onmessage = ({ data }) => {
    if (data.type === 'cancel') {
      open.get(data.target)?.abort();
      post({ heard: data.target });
    } else if (!dead) handle(data);
  };
  post({ started: true });
}
