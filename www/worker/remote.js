// address of a model, or its name on the Hub → its files

import { sha256 as digestOf } from '../library/digest.js';
import { insecure, isInsecure } from '../library/insecure.js';
import { coded } from './instance.js';

/** @typedef {import('../library/protocol.js').Module} Module */
/** @typedef {{ url: string, bytes: number | null, sha256: string | null }} Remote a file, as far as it is known */
/**
 * @typedef {object} Ways
 * @property {(loaded: number, total: number) => void} tell
 * @property {(bytes: number) => void} fits throws if so many are too many
 */

/** No cookie goes along, and no address of the page. */
const ANONYMOUS = /** @type {const} */ ({ credentials: 'omit', referrerPolicy: 'no-referrer' });

/** Bytes after which what has arrived is handed to the browser, which may put it on the disk. */
const PART = 2 ** 24;

/**
 * @param {string} address absolute, or `hf:ORG/NAME`
 * @param {string | undefined} endpoint the Hub's address, if it is another one
 * @param {Module} module
 * @param {Ways} ways
 * @returns {Promise<Blob | Record<string, Blob>>} a zip, or files by their paths
 */
export async function fetchModel(address, endpoint, module, ways) {
  const listing = module.hubListing(address, endpoint);
  return listing === undefined
    ? fromAnywhere(address, module, ways)
    : fromHub(address, endpoint, listing, module, ways);
}

/**
 * @param {string} address
 * @param {string | undefined} endpoint
 * @param {string} listing
 * @param {Module} module
 * @param {Ways} ways
 */
async function fromHub(address, endpoint, listing, module, ways) {
  const get = downloads(ways, (url, status) =>
    status === 401 || status === 403
      ? coded(
          'forbidden',
          `${url} answered with status ${status}: there is no such model on the Hub, or it is private or gated. ` +
            'No token is sent from here: download its files, or use `whylens pack` with HF_TOKEN',
        )
      : null,
  );
  const list = await (await get([{ url: listing, bytes: null, sha256: null }]))[0]?.arrayBuffer();
  const { name, choice, files } = module.hubVersion(address, endpoint, new Uint8Array(list ?? new ArrayBuffer(0)));
  const { onnx } = choice;
  const paths = [...choice.texts, onnx];
  const blobs = await get(paths.map((path) => /** @type {Remote} */ (files[path])));
  const folder = onnx.slice(0, onnx.lastIndexOf('/') + 1);
  const outside = (await weightsOf(/** @type {Blob} */ (blobs.at(-1)), module)).map((weights) => folder + weights);
  const remote = outside.map((path) => files[path] ?? lacking(onnx, path));
  const all = [...blobs, ...(await get(remote))];
  return Object.fromEntries(
    [...paths, ...outside].map((path, at) => [`${name}/${path}`, /** @type {Blob} */ (all[at])]),
  );
}

/**
 * A file at any address, with its weights if they are beside it.
 * @param {string} address
 * @param {Module} module
 * @param {Ways} ways
 */
async function fromAnywhere(address, module, ways) {
  const get = downloads(ways, () => null);
  const name = nameOf(address);
  const [file = new Blob()] = await get([{ url: address, bytes: null, sha256: null }]);
  if (/\.zip$/i.test(name)) return new File([file], name);
  const names = await weightsOf(file, module);
  const folder = new URL('.', address).href;
  const remote = names.map((weights) => {
    const url = new URL(weights.split('/').map(encodeURIComponent).join('/'), folder).href;
    return url.startsWith(folder) ? { url, bytes: null, sha256: null } : lacking(name, weights);
  });
  const blobs = [file, ...(await get(remote))];
  return Object.fromEntries([name, ...names].map((path, at) => [path, /** @type {Blob} */ (blobs[at])]));
}

/** @param {string} address */
function nameOf(address) {
  const name = new URL(address).pathname.split('/').pop() ?? '';
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/**
 * @param {string} onnx
 * @param {string} weights
 * @returns {never}
 */
function lacking(onnx, weights) {
  throw coded('external-data', `${onnx} keeps its weights in ${weights}, which is not there`);
}

/** @param {Blob} onnx @param {Module} module */
async function weightsOf(onnx, module) {
  const bytes = new Uint8Array(await onnx.arrayBuffer());
  return module.outsideWeights(() => bytes);
}

/**
 * What downloads files one after the other, and counts the bytes of all.
 * @param {Ways} ways
 * @param {(url: string, status: number) => Error | null} refusal what a status means here, if it is special
 */
function downloads({ tell, fits }, refusal) {
  let [loaded, total] = [0, 0];
  return async (/** @type {Remote[]} */ files) => {
    total += files.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
    fits(total);
    if (total) tell(loaded, Math.max(loaded, total));
    /** @type {Blob[]} */
    const blobs = [];
    for (const { url, bytes, sha256 } of files) {
      const response = await fetch(url, ANONYMOUS).catch(async (cause) => {
        throw await unreachable(url, cause);
      });
      if (!response.ok)
        throw (
          refusal(url, response.status) ??
          coded('http-status', `${url} answered with status ${response.status}; check the name or the address`)
        );
      if (bytes === null) fits((total += Number(response.headers.get('content-length') ?? 0)));
      const blob = await whole(url, response, (more) => {
        loaded += more;
        fits(loaded);
        tell(loaded, Math.max(loaded, total));
      });
      await check(url, blob, bytes, sha256);
      blobs.push(blob);
    }
    return blobs;
  };
}

/**
 * @param {string} url
 * @param {Response} response
 * @param {(bytes: number) => void} arrived
 */
async function whole(url, response, arrived) {
  const reader = response.body?.getReader();
  /** @type {Blob[]} */
  const kept = [];
  /** @type {Uint8Array<ArrayBuffer>[]} */
  let parts = [];
  let size = 0;
  for (;;) {
    const { done = true, value } =
      (await reader?.read().catch((cause) => {
        throw coded('network', `${url} broke off: ${reason(cause)}; try again`);
      })) ?? {};
    if (done || !value) return new Blob([...kept, ...parts]);
    arrived(value.length);
    parts.push(value);
    size += value.length;
    if (size < PART) continue;
    kept.push(new Blob(parts));
    [parts, size] = [[], 0];
  }
}

/**
 * @param {string} url
 * @param {Blob} file
 * @param {number | null} bytes
 * @param {string | null} sha256
 */
async function check(url, file, bytes, sha256) {
  if (bytes !== null && file.size !== bytes)
    throw coded('truncated', `${url} arrived with ${file.size} bytes, and the Hub says ${bytes}; try again`);
  // Pages that are not served securely have no digests.
  if (sha256 === null || !globalThis.crypto?.subtle) return;
  const actual = await digestOf(await file.arrayBuffer());
  if (actual !== sha256)
    throw coded('integrity', `${url} arrived with the SHA-256 ${actual}, and the Hub says ${sha256}; try again`);
}

/**
 * Tells a server that is not there from one that lets no other page read its files and from an address that the browser
 * refuses, which look the same.
 * @param {string} url
 * @param {unknown} cause
 */
async function unreachable(url, cause) {
  if (isInsecure(url)) return insecure(url, cause);
  const stop = new AbortController();
  const answers = await fetch(url, { ...ANONYMOUS, mode: 'no-cors', signal: stop.signal }).then(
    () => true,
    () => false,
  );
  stop.abort();
  return answers
    ? coded('forbidden', `${new URL(url).host} does not let other pages read ${url} (CORS); download it yourself`)
    : coded('network', `${url} cannot be reached: ${reason(cause)}; check the connection and the address`);
}

/** @param {unknown} error */
const reason = (error) => (error instanceof Error ? error.message : String(error));
