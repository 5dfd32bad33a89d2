// The only address that the page's thread knows of the worker's. The npm package has one of its own, in which the
// addresses of the modules are spelled out too, for bundlers to find (src/release/npm.js).

/** The worker's script. */
export const worker = () => new URL('../worker/worker.js', import.meta.url);
