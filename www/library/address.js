// The only addresses that the page's thread knows of the worker's. The npm package has a file of its own here, in which
// those of the modules are spelled out, for bundlers to find (src/release/npm.js).

/** The worker's script. */
export const worker = () => new URL('../worker/worker.js', import.meta.url);

export { wasm } from '../worker/files.js';
