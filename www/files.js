// build of the module → the addresses of its files. The npm package has one of its own, in which the
// addresses are spelled out for bundlers to find (tests/package/npm.js).

/** The worker's script. */
export const worker = () => new URL('./worker.js', import.meta.url);

/** @param {string} folder of a build, such as `pkg` */
export const script = (folder) => new URL(`./${folder}/whylens.js`, import.meta.url);

/** @param {string} folder */
export const wasm = (folder) => new URL(`./${folder}/whylens_bg.wasm`, import.meta.url);

/**
 * SHA-256 of the WebAssembly file; none where the build does not say.
 * @param {string} folder
 * @returns {Promise<string | null>}
 */
export const sha256 = (folder) => import(new URL(`./${folder}/version.js`, import.meta.url).href).then((version) => version.default, () => null);
