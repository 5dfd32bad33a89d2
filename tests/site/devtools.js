// Chromium by its own protocol: Playwright keeps every tab visible, so none can be hidden or frozen there.

import { spawn } from 'node:child_process';
import { FLAGS } from '../web/flags.js';
import { hold, temporary } from '../web/held.js';

const OWN = ['--headless', ...FLAGS, '--remote-debugging-pipe'];

/** @typedef {(method: string, params?: object, sessionId?: string) => Promise<any>} Send */

/** Starts a browser with an empty profile. */
export async function devtools() {
  const { path } = await temporary();
  const child = spawn(process.env['CHROMIUM'] ?? '/usr/bin/chromium', [...OWN, `--user-data-dir=${path}`], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  const close = hold(() => (child.kill(), gone));
  const [, , , input, output] =
    /** @type {[null, null, null, import('node:stream').Writable, import('node:stream').Readable]} */ (
      /** @type {unknown} */ (child.stdio)
    );
  /** @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>} */
  const waiting = new Map();
  let [last, rest] = [0, ''];
  output.setEncoding('utf8').on('data', (/** @type {string} */ part) => {
    const messages = (rest + part).split('\0');
    rest = messages.pop() ?? '';
    for (const { id, result, error } of messages.map((message) => JSON.parse(message))) {
      if (error) waiting.get(id)?.reject(new Error(error.message));
      else waiting.get(id)?.resolve(result);
      waiting.delete(id);
    }
  });
  /** @type {Send} */
  const send = (method, params = {}, sessionId) =>
    new Promise((resolve, reject) => {
      const id = (last += 1);
      waiting.set(id, { resolve, reject });
      input.write(`${JSON.stringify({ id, method, params, ...(sessionId ? { sessionId } : {}) })}\0`);
    });
  return {
    send,
    /** A tab, in front. @param {string} url */
    async tab(url) {
      const { targetId } = await send('Target.createTarget', { url });
      const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
      for (let there = false; !there;) {
        const { result } = await send(
          'Runtime.evaluate',
          { expression: `document.readyState === 'complete' && location.href === ${JSON.stringify(url)}` },
          sessionId,
        );
        there = result.value === true;
      }
      return {
        /** @param {string} method @param {object} [params] */
        send: (method, params) => send(method, params, sessionId),
        /** The value of an expression, awaited. @param {string} expression */
        async evaluate(expression) {
          const { result, exceptionDetails } = await send(
            'Runtime.evaluate',
            { expression, awaitPromise: true, returnByValue: true },
            sessionId,
          );
          if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
          return result.value;
        },
        front: () => send('Target.activateTarget', { targetId }),
      };
    },
    close,
  };
}
