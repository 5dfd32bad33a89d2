// WebKit, Safari's engine, as Debian's MiniBrowser has it → the part of Playwright's interface that the tests use.
// Playwright drives only a WebKit that it patched; this one is driven by W3C WebDriver.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

const DRIVER = process.env['WEBKIT_DRIVER'] ?? '/usr/bin/WebKitWebDriver';
const MINI_BROWSER = process.env['WEBKIT'] ?? '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser';

/** ms between two looks at what runs in a page. */
const POLL = 20;

/** Whether it is installed. */
export const isInstalled = () => [DRIVER, MINI_BROWSER, '/usr/bin/Xvfb'].every((path) => existsSync(path));

/**
 * A program in a process group of its own, so that all that it starts ends with it.
 * @param {string} program
 * @param {string[]} given
 * @param {Record<string, string>} [environment]
 */
function start(program, given, environment) {
  const options = { detached: true, env: { ...process.env, ...environment } };
  const started = spawn(program, given, { ...options, stdio: ['ignore', 'pipe', 'ignore'] });
  const stop = () => {
    try {
      process.kill(-(/** @type {number} */ (started.pid)), 'SIGKILL');
    } catch {
      // It is gone.
    }
  };
  return { stop, output: started.stdout };
}

/** WebKit needs a display. */
export async function browse() {
  const display = start('/usr/bin/Xvfb', ['-displayfd', '1', '-screen', '0', '1280x1024x24', '-nolisten', 'tcp']);
  const number = await new Promise((resolve) => display.output.once('data', (text) => resolve(String(text).trim())));
  /** @type {Set<Context>} */
  const contexts = new Set();
  return {
    async newContext() {
      const context = await Context.open(`:${number}`);
      contexts.add(context);
      return context;
    },
    async close() {
      for (const context of contexts) context.stop();
      display.stop();
    },
  };
}

/** @returns {Promise<number>} */
const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });

/** A profile of its own, which is gone when it is closed: one driver and one browser. */
class Context {
  #stop;
  #session;
  /** Commands run one after the other, each in the window that it is meant for. */
  #last = Promise.resolve();
  #current = '';
  /** A browser without windows ends, so the last one stays. @type {string | null} */
  #spare = null;
  #open = 0;

  /** @param {() => void} stop @param {string} session its address */
  constructor(stop, session) {
    this.#stop = stop;
    this.#session = session;
  }

  /** @param {string} display */
  static async open(display) {
    const port = await freePort();
    const address = `http://127.0.0.1:${port}`;
    const environment = {
      DISPLAY: display,
      WEBKIT_DISABLE_COMPOSITING_MODE: '1',
      GDK_BACKEND: 'x11',
      LANG: 'en_GB.UTF-8',
    };
    const { stop } = start(DRIVER, [`--port=${port}`, '--host=127.0.0.1'], environment);
    const options = { binary: MINI_BROWSER, args: ['--automation'] };
    for (let tried = 0; ; tried += 1) {
      try {
        const { sessionId } = await command('POST', `${address}/session`, {
          capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': options } },
        });
        return new Context(stop, `${address}/session/${sessionId}`);
      } catch (error) {
        if (tried < 50 && error instanceof TypeError) await wait(100);
        else throw error;
      }
    }
  }

  newPage() {
    const open = async () => {
      const first = this.#current === '';
      const handle =
        this.#spare ??
        (first
          ? await command('GET', `${this.#session}/window`)
          : (await command('POST', `${this.#session}/window/new`, { type: 'window' })).handle);
      if (first) this.#current = handle;
      this.#spare = null;
      this.#open += 1;
      return new Page(this, handle);
    };
    return this.#next(open);
  }

  /**
   * @template T
   * @param {() => Promise<T>} run
   * @returns {Promise<T>}
   */
  #next(run) {
    const result = this.#last.then(run);
    this.#last = result.then(
      () => {},
      () => {},
    );
    return result;
  }

  /** @param {string} handle of the window */
  async closePage(handle) {
    this.#open -= 1;
    if (this.#open > 0) return this.command(handle, 'DELETE', '/window');
    await this.command(handle, 'POST', '/url', { url: 'about:blank' });
    this.#spare = handle;
  }

  /**
   * @param {string} handle of the window
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  command(handle, method, path, body) {
    const run = async () => {
      if (this.#current !== handle) await command('POST', `${this.#session}/window`, { handle });
      this.#current = handle;
      return command(method, this.#session + path, body);
    };
    return this.#next(run);
  }

  stop() {
    this.#stop();
  }

  async close() {
    this.#stop();
  }
}

/**
 * @param {string} method
 * @param {string} url
 * @param {object} [body]
 * @returns {Promise<any>}
 */
async function command(method, url, body) {
  const response = await fetch(url, { method, ...(body ? { body: JSON.stringify(body) } : {}) });
  const { value } = await response.json();
  if (!response.ok) throw new Error(`WebDriver: ${value.error}: ${value.message}`);
  return value;
}

/**
 * In the page: runs a function, whose result is fetched by `TAKE`, so that several may run at once. It is part of the
 * script, since pages may forbid `eval`.
 */
const run = (/** @type {string} */ source) => `
  const [id, given] = arguments;
  const running = (globalThis.__running ??= new Map());
  const shown = (_, value) =>
    value === undefined ? { $undefined: true } : Number.isNaN(value) || Math.abs(value) === Infinity
      ? { $number: String(value) } : value;
  const { $absent, value } = JSON.parse(given);
  running.set(id, null);
  (async () => (${source})(...($absent ? [] : [value])))().then(
    (result) => running.set(id, { result: JSON.stringify(result, shown) ?? '{"$undefined":true}' }),
    (error) => running.set(id, { error: error?.stack ? error.name + ': ' + error.message : String(error) }),
  );`;
const TAKE = `
  const found = globalThis.__running?.get(arguments[0]);
  if (found) globalThis.__running.delete(arguments[0]);
  return found === undefined ? { error: 'the page has gone to another address' } : found;`;

/** @param {unknown} value */
const read = (value) =>
  JSON.parse(String(value), (_, part) =>
    part?.$undefined ? undefined : part?.$number !== undefined ? Number(part.$number) : part,
  );

class Page {
  #context;
  #handle;
  #last = 0;
  /** @type {[Function | string, unknown][]} */
  #before = [];

  /** @param {Context} context @param {string} handle */
  constructor(context, handle) {
    this.#context = context;
    this.#handle = handle;
  }

  context() {
    return this.#context;
  }

  /** Nothing tells of a page's errors. */
  on() {}

  /** Runs when the page has been loaded, not before its own scripts. @param {Function} script @param {unknown} [given] */
  async addInitScript(script, given) {
    this.#before.push([script, given]);
  }

  /** @param {string} method @param {string} path @param {object} [body] */
  #command(method, path, body) {
    return this.#context.command(this.#handle, method, path, body);
  }

  /** @param {string} url */
  async goto(url) {
    await this.#command('POST', '/url', { url });
    await this.#prepare();
  }

  async reload() {
    await this.#command('POST', '/refresh', {});
    await this.#prepare();
  }

  async #prepare() {
    for (const [script, given] of this.#before) await this.evaluate(script, given);
  }

  async close() {
    await this.#context.closePage(this.#handle);
  }

  title() {
    return this.#command('GET', '/title');
  }

  /** @returns {Promise<Buffer>} PNG */
  async screenshot() {
    return Buffer.from(await this.#command('GET', '/screenshot'), 'base64');
  }

  /** @param {Function | string} script @param {unknown} [given] @returns {Promise<any>} */
  async evaluate(script, given) {
    const id = (this.#last += 1);
    const source = typeof script === 'function' ? String(script) : `() => (${script})`;
    const argument = JSON.stringify(given === undefined ? { $absent: true } : { value: given });
    await this.#command('POST', '/execute/sync', { script: run(source), args: [id, argument] });
    for (;;) {
      const found = await this.#command('POST', '/execute/sync', { script: TAKE, args: [id] });
      if (found?.error !== undefined) throw new Error(found.error);
      if (found) return read(found.result);
      await wait(POLL);
    }
  }

  /**
   * @param {Function} condition
   * @param {unknown} [given]
   * @param {{ timeout?: number }} [options]
   */
  async waitForFunction(condition, given, { timeout = 30_000 } = {}) {
    for (const end = performance.now() + timeout; ; await wait(100)) {
      const value = await this.evaluate(condition, given);
      if (value) return value;
      if (performance.now() > end) throw new Error(`not within ${timeout} ms: ${condition}`);
    }
  }

  /** @param {string} selector @param {{ timeout?: number }} [options] */
  waitForSelector(selector, options) {
    const is = (/** @type {string} */ selector) => {
      const found = document.querySelector(selector);
      return found !== null && found.getClientRects().length > 0;
    };
    return this.waitForFunction(is, selector, options);
  }

  /** @param {string} selector */
  async click(selector) {
    await this.waitForSelector(selector);
    await this.evaluate((/** @type {string} */ selector) => {
      /** @type {HTMLElement} */ (document.querySelector(selector)).click();
    }, selector);
  }
}
