// tag + properties + children → element

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * Builds an element. Properties that the element has are set, `on…` functions become listeners, all
 * others attributes; text only ever enters as text.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [properties]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, ...children) {
  const built = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith('on')) built.addEventListener(name.slice(2), value);
    else if (name in built) Reflect.set(built, name, value);
    else built.setAttribute(name, String(value));
  }
  built.append(...present(children));
  return built;
}

/** @param {string} name one of the symbols in index.html */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.classList.add('icon');
  svg.setAttribute('aria-hidden', 'true');
  svg.append(use);
  return svg;
}

/** @param {Child[]} children @returns {(Node | string)[]} */
export function present(children) {
  return children.flatMap((child) => (child || child === '' ? [child] : []));
}
