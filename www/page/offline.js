// a site made by `whylens dist` → one that works without a network

import { scriptUrl } from '../library/trusted.js';

/** @typedef {'off' | 'unsupported' | 'on' | 'failed'} Offline */

/**
 * Keeps the site for later visits once nothing more urgent is under way. A script tag says where the
 * service worker is (`data-offline="sw.js"`, written by `whylens dist`); without one, nothing is done.
 * `data-offline="off"`, or `?offline=off` in the page's address, forgets what was kept.
 * @param {Promise<unknown>} ready settles when the model is loaded or cannot be, and photos that came meanwhile are done
 * @returns {Promise<Offline>}
 */
export async function keepForOffline(ready) {
  const script = document.querySelector('script[data-offline]')?.getAttribute('data-offline');
  const switched = new URLSearchParams(location.search).get('offline');
  if (!script || !globalThis.caches || !navigator.serviceWorker) return script ? 'unsupported' : 'off';
  if (script === 'off' || switched === 'off') {
    await forget();
    return 'off';
  }
  await ready.catch(() => {});
  try {
    const url = new URL(script, document.baseURI);
    // The browser's HTTP cache must not delay a new version.
    const registration = await navigator.serviceWorker.register(scriptUrl(url), { updateViaCache: 'none' });
    await activated(registration);
    return 'on';
  } catch (error) {
    console.warn(`whylens: the site is not kept for offline use: ${error}`);
    return 'failed';
  }
}

/**
 * @param {ServiceWorkerRegistration} registration
 * @returns {Promise<void>}
 */
function activated(registration) {
  const worker = registration.installing ?? registration.waiting;
  if (!worker) return Promise.resolve();
  return new Promise((resolve, reject) => {
    worker.addEventListener('statechange', () => {
      if (worker.state === 'activated') resolve();
      if (worker.state === 'redundant')
        reject(new Error('a file of this version is missing or wrong; the earlier one stays'));
    });
  });
}

async function forget() {
  const here = new URL('../', document.baseURI);
  const registration = await navigator.serviceWorker.getRegistration(here.href);
  if (registration && new URL(registration.scope).pathname === here.pathname) await registration.unregister();
  const names = await caches.keys();
  const ours = names.filter(
    (name) => name.startsWith(`whylens site ${here.pathname} `) || name === `whylens shared ${here.pathname}`,
  );
  await Promise.all(ours.map((name) => caches.delete(name)));
}

/**
 * The photos that another app, or a page that hid its origin, shared with this one; each is given once.
 * @returns {Promise<File[]>}
 */
export async function takeShared() {
  if (!globalThis.caches || !new URLSearchParams(location.search).has('shared')) return [];
  const name = `whylens shared ${new URL('../', document.baseURI).pathname}`;
  const cache = await caches.open(name);
  const photos = [];
  for (const request of await cache.keys()) {
    const response = await cache.match(request);
    if (!response) continue;
    const photo = await response.blob();
    photos.push(new File([photo], decodeURIComponent(response.headers.get('x-name') ?? 'photo'), { type: photo.type }));
  }
  await caches.delete(name);
  return photos;
}
