// What a test file holds (browsers, servers, folders) → released when the file ends, however it ends.

import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

/** @type {Set<() => unknown>} */
const held = new Set();

/**
 * Keeps in mind how to release something. What `close` does before it first waits is done at the exit of the
 * process too, so a process is killed and a folder removed there.
 * @param {() => unknown} close
 * @returns {() => Promise<void>} closes it now, if nothing has yet
 */
export function hold(close) {
  held.add(close);
  return async () => {
    if (held.delete(close)) await close();
  };
}

/** A folder that is gone after the tests. */
export async function temporary() {
  const path = await mkdtemp(join(tmpdir(), 'whylens-'));
  // A browser that is on its way out may still write there.
  const remove = hold(() => rmSync(path, { recursive: true, force: true, maxRetries: 20 }));
  return { path, remove };
}

async function release() {
  for (const close of [...held].reverse()) {
    held.delete(close);
    // What cannot be released is no reason to hold the rest.
    await Promise.resolve()
      .then(close)
      .catch((error) => console.error(error));
  }
}

// The benchmarks use the same browser and server, and are no tests.
if (process.argv[1]?.endsWith('.test.js')) after(release);
process.on('exit', () => held.forEach((close) => close()));
// `node --test` ends a file that takes too long by SIGTERM.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));
