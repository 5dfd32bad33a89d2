// requests → files of one version of the site, with or without a network. `whylens dist` writes `self.site` before
// this line. A page gets all of its files from one version, because nearly every file has the version in its address.

/**
 * @typedef {{ version: string, offline: boolean, share: boolean, files: Record<string, string>, headers:
 *   Record<string, string>, workerPolicy: string }} Site
 */
/** @typedef {Event & { waitUntil: (work: Promise<unknown>) => void }} ExtendableEvent */
/** @typedef {ExtendableEvent & { request: Request, respondWith: (response: Promise<Response>) => void }} FetchEvent */
/** @typedef {object} Scope what TypeScript calls a ServiceWorkerGlobalScope, of its own library
 * @property {Site} site
 * @property {ServiceWorkerRegistration} registration
 * @property {{ claim: () => Promise<void> }} clients
 * @property {() => Promise<void>} skipWaiting
 * @property {(type: 'install' | 'activate', listener: (event: ExtendableEvent) => void) => void} addEventListener
 */

const worker =
  /** @type {Scope & { addEventListener: (type: 'fetch', listener: (event: FetchEvent) => void) => void }} */ (
    /** @type {unknown} */ (self)
  );
const { site } = worker;
const scope = new URL(worker.registration.scope);

// Sites in other folders of the same origin have caches too.
const OURS = `whylens site ${scope.pathname} `;
const CACHE = OURS + site.version;
const SHARED = `whylens shared ${scope.pathname}`;

/** A header of kept files. */
const SHA256 = 'x-whylens-sha256';

/** Part of a name that follows the content. */
const HASHED = /\.[0-9a-f]{16}[./]/;

/** Files that an isolated page takes only with headers of their own. */
const ISOLATED = /\.(html|js)$/;

/** @type {Record<string, string>} servers may not know some of these */
const TYPES = {
  css: 'text/css; charset=utf-8',
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json',
  svg: 'image/svg+xml',
  txt: 'text/plain; charset=utf-8',
  wasm: 'application/wasm',
  webmanifest: 'application/manifest+json',
};

worker.addEventListener('install', (event) => {
  event.waitUntil((site.offline ? keepAll() : Promise.resolve()).then(() => worker.skipWaiting()));
});

worker.addEventListener('activate', (event) => {
  event.waitUntil(site.offline ? takeOver() : leave());
});

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (!site.offline || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) return;
  const file = decodeURIComponent(url.pathname.slice(scope.pathname.length)) || 'index.html';
  if (request.method === 'POST' && file === 'index.html' && url.searchParams.has('share')) {
    event.respondWith(
      site.share && !isForeign(request) ? receive(request) : Promise.resolve(Response.redirect(scope.href, 303)),
    );
    return;
  }
  if (request.method !== 'GET' || request.headers.has('range')) return;
  const older = HASHED.test(file) && !file.startsWith('models/');
  if (file in site.files || older) event.respondWith(respond(event, file));
});

/**
 * Keeps all files of this version, each checked; if one is missing or wrong, none of them.
 */
async function keepAll() {
  const before = await caches.has(CACHE);
  try {
    const cache = await caches.open(CACHE);
    // The library keeps the module that it runs, and there may be others.
    const wanted = Object.keys(site.files).filter((file) => !file.endsWith('.wasm'));
    const keepNext = async () => {
      for (let file = wanted.pop(); file !== undefined; file = wanted.pop())
        await cache.put(address(file), await checked(file));
    };
    await Promise.all(Array.from({ length: 6 }, keepNext));
  } catch (error) {
    if (!before) await caches.delete(CACHE);
    throw error;
  }
}

/**
 * @param {string} file
 */
function address(file) {
  return new URL(file.split('/').map(encodeURIComponent).join('/'), scope).href;
}

/**
 * The right bytes of a file: those that a page or an earlier version has already fetched, if the name follows
 * the content.
 * @param {string} file
 */
async function checked(file) {
  const hashed = HASHED.test(file);
  const kept = hashed ? await caches.match(address(file)) : undefined;
  /** @type {RequestCache[]} */
  const modes = hashed ? ['force-cache', 'reload'] : ['reload'];
  for (const get of [() => kept, ...modes.map((cache) => () => fetch(address(file), { cache }))]) {
    const response = await get();
    if (!response?.ok) continue;
    const bytes = await response.arrayBuffer();
    if ((await sha256(bytes)) === site.files[file]) return withHeaders(file, bytes);
  }
  throw new Error(`${file} is not the one of this version of the site`);
}

/**
 * @param {ArrayBuffer} bytes
 */
async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * @param {string} file
 * @param {ArrayBuffer} bytes
 */
function withHeaders(file, bytes) {
  const extension = file.split('.').pop() ?? '';
  const headers = new Headers(site.headers);
  headers.set('content-type', TYPES[extension] ?? 'application/octet-stream');
  headers.set('content-length', String(bytes.byteLength));
  headers.set(SHA256, site.files[file] ?? '');
  if (extension === 'js') headers.set('content-security-policy', site.workerPolicy);
  return new Response(bytes, { headers });
}

/**
 * A kept file, checked again before it is given out: a damaged one is dropped and fetched again.
 * @param {FetchEvent} event
 * @param {string} file
 */
async function respond(event, file) {
  const own = await caches.open(CACHE);
  const others =
    file in site.files ? [] : (await caches.keys()).filter((name) => name.startsWith(OURS) && name !== CACHE);
  for (const cache of [own, ...(await Promise.all(others.map((name) => caches.open(name))))]) {
    const kept = await sound(cache, file);
    if (kept) return kept;
  }
  const response = await fetch(event.request).catch((error) => unreachable(event.request, error));
  if (response.ok && file in site.files) {
    const copy = response.clone();
    event.waitUntil(keep(own, file, copy).catch(() => {}));
    if (ISOLATED.test(file) && response.type === 'basic') return alike(response);
  }
  return response;
}

/**
 * A response of the server, with the headers of the files that are kept.
 * @param {Response} response
 */
function alike({ body, status, statusText, headers: own }) {
  const headers = new Headers(own);
  for (const [name, value] of Object.entries(site.headers)) headers.set(name, value);
  return new Response(body, { status, statusText, headers });
}

/**
 * @param {Cache} cache
 * @param {string} file
 */
async function sound(cache, file) {
  const kept = await cache.match(address(file));
  const bytes = await kept
    ?.clone()
    .arrayBuffer()
    .catch(() => null);
  // A page of an earlier version asks for files that are not on this version's list.
  if (bytes && (await sha256(bytes)) === (site.files[file] ?? kept?.headers.get(SHA256))) return kept;
  if (kept) await cache.delete(address(file));
  return undefined;
}

/**
 * @param {Request} request
 * @param {unknown} error
 */
function unreachable({ mode }, error) {
  // Other requests fail as they do without a network, and the page says so.
  if (mode !== 'navigate') throw error;
  const text = `<!doctype html>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <title>Whylens</title>
    <p>
      The copy of this page on this device is damaged, and ${scope.host} cannot be reached.
      Connect to the network, then open <a href="${scope.href}">${scope.href}</a> again.`;
  return new Response(text, { status: 503, headers: { ...site.headers, 'content-type': TYPES['html'] ?? '' } });
}

/**
 * @param {Cache} cache
 * @param {string} file
 * @param {Response} response
 */
async function keep(cache, file, response) {
  const bytes = await response.arrayBuffer();
  if ((await sha256(bytes)) === site.files[file]) await cache.put(address(file), withHeaders(file, bytes));
}

/** Open pages go on with the version before this one, so it stays until the next. */
async function takeOver() {
  const others = (await caches.keys()).filter((name) => name.startsWith(OURS) && name !== CACHE);
  await Promise.all(others.slice(0, -1).map((name) => caches.delete(name)));
  await forgetModules();
  // Not waited for: Firefox tells each worker of a page too, and helpers hear nothing while they sleep. All requests
  // of the page would wait with it.
  worker.clients.claim().catch(() => {});
}

/** The library cannot know that the modules of earlier versions, at other addresses, are no longer of use. */
async function forgetModules() {
  const cache = await caches.open('whylens');
  for (const { url } of await cache.keys()) {
    const { origin, pathname } = new URL(url);
    const file =
      origin === scope.origin && pathname.startsWith(scope.pathname) ? pathname.slice(scope.pathname.length) : '';
    if (file.startsWith('www.') && !(file in site.files)) await cache.delete(url);
  }
}

async function leave() {
  const names = (await caches.keys()).filter((name) => name.startsWith(OURS) || name === SHARED);
  await Promise.all(names.map((name) => caches.delete(name)));
  await worker.registration.unregister();
}

/**
 * Whether another site's page is known to have sent this form. That cannot always be known: a service worker does not
 * see `Sec-Fetch-Site`, and a page may hide its origin, which makes it look like the system's share sheet.
 * @param {Request} request
 */
function isForeign({ headers, referrer }) {
  return [headers.get('origin'), referrer].some(
    (from) => from && /^https?:/.test(from) && new URL(from).origin !== scope.origin,
  );
}

/**
 * Photos that another app shares with the installed page: kept until the page has asked the reader about them.
 * @param {Request} request
 */
async function receive(request) {
  const photos = (await request.formData()).getAll('photos');
  await caches.delete(SHARED);
  const cache = await caches.open(SHARED);
  await Promise.all(
    photos.map((photo, index) => {
      if (typeof photo === 'string') return undefined;
      const headers = { 'content-type': photo.type, 'x-name': encodeURIComponent(photo.name) };
      return cache.put(new URL(`shared/${index}`, scope).href, new Response(photo, { headers }));
    }),
  );
  return Response.redirect(new URL('?shared', scope).href, 303);
}
