// requests → files of one version of the site, also without a network. `whylens dist` writes `self.site`
// before this line; a page gets all of its files from one version, because every file but a few that
// stand for themselves has the version in its address.

/** @typedef {{ version: string, offline: boolean, files: Record<string, string>, headers: Record<string, string>, workerPolicy: string }} Site */
/** @typedef {Event & { waitUntil: (work: Promise<unknown>) => void }} ExtendableEvent */
/** @typedef {ExtendableEvent & { request: Request, respondWith: (response: Promise<Response>) => void }} FetchEvent */
/** @typedef {object} Scope what TypeScript calls a ServiceWorkerGlobalScope, of its own library
 * @property {Site} site
 * @property {ServiceWorkerRegistration} registration
 * @property {{ claim: () => Promise<void> }} clients
 * @property {() => Promise<void>} skipWaiting
 * @property {(type: 'install' | 'activate', listener: (event: ExtendableEvent) => void) => void} addEventListener
 */

const worker = /** @type {Scope & { addEventListener: (type: 'fetch', listener: (event: FetchEvent) => void) => void }} */ (
  /** @type {unknown} */ (self)
);
const { site } = worker;
const scope = new URL(worker.registration.scope);

// Sites in other folders of the same origin have caches too.
const OURS = `whylens site ${scope.pathname} `;
const CACHE = OURS + site.version;
const SHARED = `whylens shared ${scope.pathname}`;

/** Part of a name that follows the content. */
const HASHED = /\.[0-9a-f]{16}[./]/;

/** @type {Record<string, string>} servers may not know some of these */
const TYPES = {
  css: 'text/css; charset=utf-8', html: 'text/html; charset=utf-8', js: 'text/javascript; charset=utf-8',
  json: 'application/json', svg: 'image/svg+xml', txt: 'text/plain; charset=utf-8', wasm: 'application/wasm',
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
    event.respondWith(receive(request));
    return;
  }
  if (request.method !== 'GET' || request.headers.has('range')) return;
  const older = HASHED.test(file) && !file.startsWith('models/');
  if (file in site.files || older) event.respondWith(answer(event, file));
});

/**
 * All files of this version, each checked; with one that is missing or wrong, no version at all.
 */
async function keepAll() {
  const before = await caches.has(CACHE);
  try {
    const cache = await caches.open(CACHE);
    // The library keeps the module that it runs, and there may be others.
    const wanted = Object.keys(site.files).filter((file) => !file.endsWith('.wasm'));
    const keepNext = async () => {
      for (let file = wanted.pop(); file !== undefined; file = wanted.pop()) await cache.put(address(file), await checked(file));
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
 * The right bytes of a file: those that a page or an earlier version has fetched already, where the name
 * follows the content.
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
  if (extension === 'js') headers.set('content-security-policy', site.workerPolicy);
  return new Response(bytes, { headers });
}

/**
 * @param {FetchEvent} event
 * @param {string} file
 */
async function answer(event, file) {
  const own = await caches.open(CACHE);
  const kept = (await own.match(address(file))) ?? (await caches.match(address(file)));
  if (kept) return kept;
  const response = await fetch(event.request);
  if (response.ok && file in site.files) {
    const copy = response.clone();
    event.waitUntil(keep(own, file, copy).catch(() => {}));
  }
  return response;
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

/** Pages that are open go on with the version before this one, so it stays until the next. */
async function takeOver() {
  const others = (await caches.keys()).filter((name) => name.startsWith(OURS) && name !== CACHE);
  await Promise.all(others.slice(0, -1).map((name) => caches.delete(name)));
  await forgetModules();
  await worker.clients.claim();
}

/** The library cannot know that the modules of earlier versions, at other addresses, are of no use. */
async function forgetModules() {
  const cache = await caches.open('whylens');
  for (const { url } of await cache.keys()) {
    const { origin, pathname } = new URL(url);
    const file = origin === scope.origin && pathname.startsWith(scope.pathname) ? pathname.slice(scope.pathname.length) : '';
    if (file.startsWith('www.') && !(file in site.files)) await cache.delete(url);
  }
}

async function leave() {
  const names = (await caches.keys()).filter((name) => name.startsWith(OURS) || name === SHARED);
  await Promise.all(names.map((name) => caches.delete(name)));
  await worker.registration.unregister();
}

/**
 * Photos that another app shares with the installed page: kept until the page takes them.
 * @param {Request} request
 */
async function receive(request) {
  const photos = (await request.formData()).getAll('photos');
  const cache = await caches.open(SHARED);
  await Promise.all(photos.map((photo, index) => {
    if (typeof photo === 'string') return undefined;
    const headers = { 'content-type': photo.type, 'x-name': encodeURIComponent(photo.name) };
    return cache.put(new URL(`shared/${index}`, scope).href, new Response(photo, { headers }));
  }));
  return Response.redirect(new URL('?shared', scope).href, 303);
}
