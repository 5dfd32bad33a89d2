// template + values → text: the part of Mustache (https://mustache.github.io/mustache.5.html) that the template uses

/**
 * `{{#name}}…{{/name}}` and `{{^name}}…{{/name}}`, `{{{name}}}`, `{{name}}`. A section holds none of its own name; there
 * are no comments, partials or other delimiters. The tool has the same (src/cli/classify/report/fill.rs).
 */
const TAG = /\{\{([#^])([\w.]+)\}\}([^]*?)\{\{\/\2\}\}|\{\{\{([\w.]+)\}\}\}|\{\{([\w.]+)\}\}/g;

/** @type {Record<string, string>} */
const ESCAPED = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/**
 * @param {string} template
 * @param {unknown[]} views what names are looked up in, the last one first
 * @returns {string}
 */
export function fill(template, ...views) {
  return template.replace(TAG, (_, kind, section, inside, raw, name) => {
    const value = found(section ?? raw ?? name, views);
    if (raw) return String(value ?? '');
    if (name) return String(value ?? '').replace(/[&<>"']/g, (letter) => ESCAPED[letter] ?? letter);
    const isThere = Array.isArray(value) ? value.length > 0 : Boolean(value);
    if (kind === '^') return isThere ? '' : fill(inside, ...views);
    if (!isThere) return '';
    const each = Array.isArray(value) ? value : [value];
    return each.map((view) => fill(inside, ...views, view)).join('');
  });
}

/** @param {string} name @param {unknown[]} views */
function found(name, views) {
  if (name === '.') return views.at(-1);
  const [first = '', ...rest] = name.split('.');
  const view = views.findLast((each) => typeof each === 'object' && each !== null && Object.hasOwn(each, first));
  return [first, ...rest].reduce(
    (value, key) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined,
    view,
  );
}
