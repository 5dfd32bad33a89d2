// A browser, started once a test file: Chromium, or another with `BROWSER=firefox` or `BROWSER=webkit`.

import { chromium, firefox } from 'playwright-core';
import { FLAGS } from './flags.js';
import { hold } from './held.js';
import * as webkit from './webkit.js';

const OWN = [
  ...FLAGS,
  '--enable-precise-memory-info',
  // A site that is not served securely: no Cache API, no Web Locks, no SubtleCrypto.
  '--host-resolver-rules=MAP insecure.test 127.0.0.1',
];

/** The same for Firefox, and what Playwright and `tests/page` ask of Chromium in other ways. */
const PREFERENCES = {
  'network.dns.localDomains': 'insecure.test',
  'ui.prefersReducedMotion': 1,
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
};

/** Signals are for `held.js`; at the exit of the process Playwright kills its browsers and removes their profiles. */
const LAUNCH = { headless: true, handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false };

/** Whether tests run in Firefox. */
export const FIREFOX = process.env['BROWSER'] === 'firefox';

/** Whether they run in WebKit, of which `webkit.js` can do less than Playwright does of the others. */
export const WEBKIT = process.env['BROWSER'] === 'webkit';

/**
 * A browser with its own empty profile; `CHROMIUM` and `FIREFOX` name another one than Debian's.
 * @param {string[]} flags further ones of Chromium
 * @param {Record<string, string | number | boolean>} preferences further ones of Firefox
 */
export async function browse(flags = [], preferences = {}) {
  const browser = await launch(flags, preferences);
  hold(() => browser.close());
  return browser;
}

/** @param {string[]} flags @param {Record<string, string | number | boolean>} preferences */
async function launch(flags, preferences) {
  if (WEBKIT) return /** @type {import('playwright-core').Browser} */ (/** @type {unknown} */ (await webkit.browse()));
  if (FIREFOX) {
    const executablePath = process.env['FIREFOX'] ?? '/usr/bin/firefox-esr';
    // An ordinary Firefox, by WebDriver BiDi, not one that Playwright patched.
    return firefox.launch({
      ...LAUNCH,
      channel: 'moz-firefox',
      executablePath,
      firefoxUserPrefs: { ...PREFERENCES, ...preferences },
    });
  }
  const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
  return chromium.launch({ ...LAUNCH, executablePath, args: [...OWN, ...flags] });
}
