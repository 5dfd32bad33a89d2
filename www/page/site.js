// what its owner says of a site, which `whylens build` writes here from site.toml; now that of the page's own samples

/**
 * Texts in one language, in place of the page's own.
 * @typedef {object} Said
 * @property {string} code
 * @property {string} [title] the site's name
 * @property {string} [disclaimer] shown beside every result, in place of the model's
 * @property {string} [headline]
 * @property {string} [lead]
 * @property {string} [footer]
 */

/**
 * `file`: what saved files are named after; `said`: by language, the usual one first; `samples`: their names and files
 * below `samples/`; `tile`: a small one.
 * @type {{file: string, said: Said[], samples: {name: string, file: string, tile?: string}[]}}
 */
export const site = {
  file: 'whylens',
  said: [{ code: 'en' }, { code: 'vi' }],
  samples: ['chelsea', 'coffee', 'rocket', 'astronaut'].map((name) => ({
    name,
    file: `${name}.jpg`,
    tile: `${name}-tile.jpg`,
  })),
};
