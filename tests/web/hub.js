// A server with the layout of the Hugging Face Hub, and of the host that it redirects large files to.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createServer as createPlainServer } from 'node:http';
import { createServer } from 'node:https';
import { hold } from './held.js';

/** The commit that `main` names. */
export const SHA = '0123456789abcdef0123456789abcdef01234567';

/** @typedef {{ host: string, path: string, headers: import('node:http').IncomingHttpHeaders }} Asked */

/**
 * - `model`: ORG/NAME
 * - `files`: by their names
 * - `cdn`: the origin that serves files of more than 1000 bytes
 * - `refuses`: the status for files, as of a gated model
 * - `damaged`: large files arrive changed
 * - `silent`: other pages may not read the files of the other host
 * - `pace`: ms between parts of 64 kB of large files
 * @typedef {object} Repository
 * @property {string} model
 * @property {Record<string, Buffer>} files
 * @property {string} [cdn]
 * @property {number} [refuses]
 * @property {boolean} [damaged]
 * @property {boolean} [silent]
 * @property {number} [pace]
 */

export class Hub {
  /** @type {Asked[]} every request so far */
  asked = [];
  /** @type {Repository} */
  repository;
  #server;

  /**
   * @param {Repository} repository
   * @param {{ tls?: boolean }} [options] `tls`: a certificate that nobody knows
   */
  constructor(repository, { tls = false } = {}) {
    this.repository = repository;
    /** @type {import('node:http').RequestListener} */
    const answer = (request, response) => {
      this.#answer(request, response).catch((error) => response.destroy(error));
    };
    this.#server = tls ? createServer(certificate(), answer) : createPlainServer(answer);
  }

  async start() {
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', () => resolve(undefined)));
    hold(() => this.stop());
    return this;
  }

  get port() {
    return /** @type {import('node:net').AddressInfo} */ (this.#server.address()).port;
  }

  stop() {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  /** The paths that were asked for, since the last call. */
  paths() {
    return this.asked.splice(0).map(({ path }) => path);
  }

  /**
   * @param {import('node:http').IncomingMessage} request
   * @param {import('node:http').ServerResponse} response
   */
  async #answer({ url = '', headers }, response) {
    const host = headers.host ?? '';
    this.asked.push({ host, path: url, headers });
    const { model, files, cdn, refuses, damaged, silent, pace } = this.repository;
    /** @type {Record<string, string>} */
    const open = { 'access-control-allow-origin': headers.origin ?? '*' };
    const send = (/** @type {number} */ status, /** @type {Buffer | string} */ body, more = open) =>
      response.writeHead(status, { ...more, 'content-length': Buffer.byteLength(body) }).end(body);
    const [path = ''] = url.split('?');
    if (path.startsWith('/api/models/')) {
      if (path !== `/api/models/${model}/revision/main`) return void send(401, '{"error":"Invalid username"}');
      return void send(200, JSON.stringify(listing(model, files)));
    }
    const [, place, name = ''] = /^(\/cdn\/|\/.*\/resolve\/[0-9a-f]{40}\/)(.*)$/.exec(decodeURIComponent(path)) ?? [];
    const file = files[name];
    if (!place || !file) return void send(404, 'Entry not found');
    if (place !== '/cdn/') {
      if (refuses) return void send(refuses, 'Access to this model is restricted');
      if (file.length <= 1000) return void send(200, file);
      const location = `${cdn ?? ''}/cdn/${encodeURIComponent(name)}?signature=1`;
      return void response.writeHead(302, { ...open, location }).end();
    }
    const bytes = damaged ? Buffer.from(file.map((byte, at) => (at === 500 ? byte ^ 1 : byte))) : file;
    /** @type {Record<string, string>} */
    const shared = silent ? {} : { 'access-control-allow-origin': '*' };
    if (!pace) return void send(200, bytes, { ...shared });
    response.writeHead(200, { ...shared, 'content-length': bytes.length });
    for (let at = 0; at < bytes.length && !response.destroyed; at += 65536) {
      response.write(bytes.subarray(at, at + 65536));
      await new Promise((resolve) => setTimeout(resolve, pace));
    }
    response.end();
  }
}

/**
 * As `/api/models/ORG/NAME/revision/REVISION?blobs=true` tells it.
 * @param {string} id
 * @param {Record<string, Buffer>} files
 */
function listing(id, files) {
  const siblings = Object.entries(files).map(([rfilename, bytes]) => {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const lfs = bytes.length > 1000 ? { sha256, size: bytes.length, pointerSize: 132 } : undefined;
    return { rfilename, size: bytes.length, blobId: SHA, lfs };
  });
  return { id, sha: SHA, private: false, gated: false, siblings };
}

/** A key and its own certificate. */
function certificate() {
  const named = ['-subj', '/CN=huggingface.co', '-days', '2', '-nodes', '-keyout', '-', '-out', '-'];
  const made = execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', ...named],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  return { key: made, cert: made };
}
