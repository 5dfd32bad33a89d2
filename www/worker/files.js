// build of the module → the addresses of its files

/** @param {string} folder of a build, such as `run` */
export const script = (folder) => new URL(`../pkg/${folder}/whylens.js`, import.meta.url);

/** @param {string} folder */
export const wasm = (folder) => new URL(`../pkg/${folder}/whylens_bg.wasm`, import.meta.url);

/**
 * SHA-256 of the WebAssembly file; none where the build does not say.
 * @param {string} folder
 * @returns {Promise<string | null>}
 */
export const sha256 = (folder) =>
  import(new URL(`../pkg/${folder}/version.js`, import.meta.url).href).then(
    (version) => version.default,
    () => null,
  );
