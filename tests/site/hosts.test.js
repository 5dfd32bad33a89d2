// The site on servers that people have, none of them configured for it.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { browse } from '../web/browser.js';
import { Host, TOOL, dist, espresso, freePort, open, start, temporary } from './site.js';

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {{ path: string, remove: () => Promise<void> }} */
let place;
/** @type {string} */
let site;

before(async () => {
  place = await temporary();
  site = await dist(join(place.path, 'site'), ['--compress', 'fast']);
  browser = await browse();
});

after(async () => {
  await browser?.close();
  await place?.remove();
});

/** @param {string} url */
async function works(url) {
  const context = await browser.newContext();
  const { page, complaints } = await open(context, url);
  const started = performance.now();
  await espresso(page);
  console.log(`${url}: ${Math.round(performance.now() - started)} ms to a result`);
  assert.deepEqual(complaints, []);
  await context.close();
}

const plain = /** @type {const} */ ([
  ['at the top', {}],
  ['under a sub-path', { prefix: '/some/where/' }],
  ['with a wrong type for wasm', { types: { '.wasm': 'text/plain' } }],
  [
    'with a wrong type for wasm that must not be guessed',
    { types: { '.wasm': 'application/octet-stream' }, headers: { 'x-content-type-options': 'nosniff' } },
  ],
  [
    'isolated by headers that forbid files of other sites',
    { headers: { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' } },
  ],
]);

for (const [name, options] of plain) {
  test(`a plain server, ${name}`, { timeout: 120_000 }, async () => {
    const host = await new Host(site, options).start();
    await works(host.url);
    assert.equal(host.seen.filter((path) => /\.(onnx|planes)$/.test(path)).length, 1, 'one request for the weights');
    await host.stop();
  });
}

test('whylens serve', { timeout: 120_000 }, async () => {
  const port = await freePort();
  const server = await start(TOOL, ['serve', site, '--port', String(port)], `http://127.0.0.1:${port}/`);
  await works(server.url);
  await server.stop();
});

test('python3 -m http.server, under a sub-path', { timeout: 120_000 }, async () => {
  const port = await freePort();
  const outer = join(place.path, 'python');
  await mkdir(outer);
  await symlink(site, join(outer, 'whylens'));
  const server = await start(
    'python3',
    ['-m', 'http.server', String(port), '--bind', '127.0.0.1'],
    `http://127.0.0.1:${port}/whylens/`,
    outer,
  );
  await works(server.url);
  await server.stop();
});

/** @param {string[]} paths */
const found = (...paths) => paths.find((path) => existsSync(path));

const nginx = found('/usr/sbin/nginx', '/usr/bin/nginx');
test(
  'nginx, with a type for wasm and without one',
  { timeout: 180_000, skip: !nginx && 'nginx is not installed' },
  async () => {
    for (const wasm of ['', 'application/wasm wasm;']) {
      const port = await freePort();
      const folder = join(place.path, 'nginx');
      await mkdir(folder, { recursive: true });
      const config = join(folder, 'nginx.conf');
      await writeFile(
        config,
        `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; user root;
      events {} http { access_log off; types { text/html html; text/javascript js; text/css css; ${wasm} }
      default_type application/octet-stream; gzip_static on; client_body_temp_path ${folder}; proxy_temp_path ${folder};
      fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
      server { listen 127.0.0.1:${port}; root ${site}; } }`,
      );
      const server = await start(
        /** @type {string} */ (nginx),
        ['-c', config, '-e', join(folder, 'error.log')],
        `http://127.0.0.1:${port}/`,
      );
      await works(server.url);
      await server.stop();
    }
  },
);

const caddy = found('/usr/bin/caddy');
test('caddy file-server', { timeout: 120_000, skip: !caddy && 'caddy is not installed' }, async () => {
  const port = await freePort();
  const server = await start(
    /** @type {string} */ (caddy),
    ['file-server', '--root', site, '--listen', `127.0.0.1:${port}`],
    `http://127.0.0.1:${port}/`,
  );
  await works(server.url);
  await server.stop();
});

const lighttpd = found('/usr/sbin/lighttpd');
test('lighttpd', { timeout: 120_000, skip: !lighttpd && 'lighttpd is not installed' }, async () => {
  const port = await freePort();
  const config = join(place.path, 'lighttpd.conf');
  await writeFile(
    config,
    `server.document-root = "${site}"
server.bind = "127.0.0.1"
server.port = ${port}
index-file.names = ("index.html")
mimetype.assign = (".html" => "text/html", ".js" => "text/javascript", ".css" => "text/css", "" => "application/octet-stream")
`,
  );
  const server = await start(/** @type {string} */ (lighttpd), ['-D', '-f', config], `http://127.0.0.1:${port}/`);
  await works(server.url);
  await server.stop();
});
