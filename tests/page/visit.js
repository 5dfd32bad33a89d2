// The page as a visitor has it, under its own strict policy; every request and every complaint is noted.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { browse } from '../web/browser.js';
import { Server, TOP } from '../web/server.js';

const CAMERA = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];

/** A browser and a server for the tests of one file. @param {string[]} [flags] further ones of Chromium */
export async function place(flags = []) {
  const browser = await browse([...CAMERA, ...flags]);
  const server = await new Server().start();
  return {
    browser,
    server,
    /**
     * @param {import('playwright-core').BrowserContextOptions & {query?: string, before?: (page:
     *   import('playwright-core').Page) => Promise<unknown>}} [options]
     */
    async visit({ query = '', before, ...options } = {}) {
      const context = await browser.newContext({
        locale: 'en-GB',
        reducedMotion: 'reduce',
        acceptDownloads: true,
        ...options,
      });
      const page = await context.newPage();
      /** @type {string[]} */
      const complaints = [];
      /** @type {import('playwright-core').Request[]} */
      const requests = [];
      page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
      page.on('pageerror', (error) => complaints.push(error.message));
      context.on('request', (request) => requests.push(request));
      await before?.(page);
      await page.goto(`${server.url}/index.html${query}`);
      return { page, context, requests, complaints };
    },
    async close() {
      await browser.close();
      await server.stop();
    },
  };
}

/** @typedef {import('playwright-core').Page} Page */

/** @param {Page} page */
export const ready = (page) => page.waitForSelector('[data-phase="ready"]', { timeout: 60_000 });

/** The verdict, once it is there. @param {Page} page @param {string | RegExp} [wanted] */
export async function verdict(page, wanted = /./) {
  await page.locator('.verdict', { hasText: wanted }).waitFor({ timeout: 60_000 });
  await page.waitForSelector('.overlay:not([hidden])');
  return page.locator('.verdict').innerText();
}

/** @param {Page} page @param {number} at */
export const sample = (page, at) => page.locator('.sample').nth(at).click();

/** @param {string} name */
export const photo = (name) => join(TOP, 'tests/photos', name);

/** @param {string} name */
export const photoBytes = (name) => readFile(photo(name));
