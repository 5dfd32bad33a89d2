// A page with the library, for tests.

import { COMPILE } from '../../www/library/features.js';
import { WEBKIT, browse } from './browser.js';
import { Server } from './server.js';
import { folder } from './onnx.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('../../www/library/protocol.js').LoadOptions} LoadOptions */
/**
 * @typedef {{ ok: boolean, code?: string, message?: string, limit?: number, ms: number, progress:
 *   import('../../www/library/protocol.js').Progress[] }} Outcome
 */

/** What pages find as `whylens`. @typedef {typeof import('../../www/whylens.js')} Library */

/** Address of the small model. */
export const SMALL = '/models/small/';

/** Address of the module that it takes, having no plan. */
export const MODULE = `/www/pkg/${COMPILE.folder}/whylens_bg.wasm`;

/** Retries without the waiting; a busy machine may need seconds to start a worker. */
export const HASTY = { retryDelay: 20, stallTimeout: 10_000 };

/** A browser and a server, and pages in profiles of their own. */
export class Stage {
  /** @type {import('playwright-core').Browser} */
  browser = /** @type {any} */ (null);
  server = new Server();
  /** @type {string[]} */
  errors = [];

  async start() {
    this.browser = await browse();
    await this.server.start();
    this.server.put(SMALL, folder());
    return this;
  }

  async stop() {
    await this.browser?.close();
    await this.server.stop();
  }

  /**
   * A page that has seen nothing yet. The library is `whylens` there.
   * @param {{ query?: string, origin?: string, before?: () => void, context?:
   *   import('playwright-core').BrowserContext, script?: string }} [options]
   * @returns {Promise<Page>}
   */
  async page({ query = '', origin = this.server.url, before, context, script } = {}) {
    const page = await (context ?? (await this.browser.newContext())).newPage();
    page.on('pageerror', (error) => this.errors.push(String(error)));
    if (before) await page.addInitScript(before);
    await page.goto(`${origin}/blank.html${query}`);
    if (WEBKIT) await page.evaluate(countWorkers);
    if (script) await page.evaluate((html) => document.head.insertAdjacentHTML('beforeend', html), script);
    await page.evaluate(async () => {
      const path = '/www/whylens.js';
      Object.assign(globalThis, { whylens: await import(path) });
    });
    return page;
  }
}

/** In pages of WebKit, whose driver does not tell of workers. */
function countWorkers() {
  const living = new Set();
  class Counted extends Worker {
    /** @param {[string, WorkerOptions]} given */
    constructor(...given) {
      super(...given);
      living.add(this);
    }

    /** @override */
    terminate() {
      living.delete(this);
      super.terminate();
    }
  }
  Object.assign(globalThis, { Worker: Counted, living });
}

/**
 * How many workers a page has.
 * @param {Page} page
 * @returns {Promise<number>}
 */
export const workers = async (page) =>
  WEBKIT ? page.evaluate(() => /** @type {any} */ (globalThis).living.size) : page.workers().length;

/**
 * Loads a model and says how it went.
 * @param {Page} page
 * @param {string} [model]
 * @param {LoadOptions} [options]
 * @returns {Promise<Outcome>}
 */
export function attempt(page, model = SMALL, options = {}) {
  return page.evaluate(
    async ([model, options]) => {
      const { load } = /** @type {{ whylens: typeof import('../../www/whylens.js') }} */ (
        /** @type {any} */ (globalThis)
      ).whylens;
      /** @type {import('../../www/library/protocol.js').Progress[]} */
      const progress = [];
      const start = performance.now();
      try {
        await load(model, { onProgress: (news) => progress.push(news), ...options });
        return { ok: true, ms: performance.now() - start, progress };
      } catch (error) {
        const { code, message, limit } = /** @type {{ code: string, message: string, limit?: number }} */ (error);
        return { ok: false, code, message, limit, ms: performance.now() - start, progress };
      }
    },
    /** @type {[string, LoadOptions]} */ ([model, { ...HASTY, ...options }]),
  );
}

/**
 * Classifies a small picture; gives the error's code if that fails.
 * @param {Page} page
 * @param {string} [model]
 * @returns {Promise<string>} 'ok' or a code
 */
export function look(page, model = SMALL) {
  return page.evaluate(async ([model, options]) => {
    const { load } = /** @type {any} */ (globalThis).whylens;
    try {
      const classifier = await load(model, options);
      const { predictions } = await classifier.classify(new ImageData(40, 30), { heatmap: false });
      return predictions.length === 5 ? 'ok' : `${predictions.length} predictions`;
    } catch (error) {
      return /** @type {any} */ (error).code ?? String(error);
    }
  }, /** @type {[string, LoadOptions]} */ ([model, HASTY]));
}

/**
 * @param {Page} page
 * @param {string} [model]
 * @returns {Promise<import('../../www/library/protocol.js').Health>}
 */
export function health(page, model = SMALL) {
  return page.evaluate(
    async (model) => (await /** @type {any} */ (globalThis).whylens.load(model)).health({ verbose: true }),
    model,
  );
}
