// build of the module → the addresses of its files; src/release/npm.js puts another script in this one's place

/** @param {string} folder of a build, such as `run` */
export const glue = (folder) => new URL(`../pkg/${folder}/whylens.js`, import.meta.url);

/** @param {string} folder */
export const wasm = (folder) => new URL(`../pkg/${folder}/whylens_bg.wasm`, import.meta.url);

/**
 * The script that tells the SHA-256 of the WebAssembly file, or that itself.
 * @param {string} folder
 * @returns {URL | string}
 */
export const version = (folder) => new URL(`../pkg/${folder}/version.js`, import.meta.url);
