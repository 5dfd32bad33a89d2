// drawing → the number of its parts, counted again for each reference to them
import { DEEPEST, LETTERS, tooMuch } from './limits.js';
import { dashOf, lengthOf, numbersOf, sumOf } from './lengths.js';
import { URLS, idOf } from './names.js';

/** @typedef {import('./names.js').Named} Named */
/** @typedef {[name: string, value: string]} Setting of an attribute or a property */

/** Colours of a gradient, and dashes of a line, that count as one part. */
const STOPS = 10,
  DASHES = 10;

/** Numbers of a path that count as one part, twice as many as four: its lines may all cross one another. */
const CROSSINGS = 250;

/** Parts that a step of a filter counts for, and each unit of its reach. */
const FILTER = 500,
  REACH = 10;

/** Attributes and properties whose numbers are lengths on the drawing. */
const GEOMETRY = new Set('cx cy d height points r rx ry width x x1 x2 y y1 y2'.split(' '));

/** Passed on to what is inside. */
const INHERITED = new Set(['fill', 'marker', 'marker-end', 'marker-mid', 'marker-start', 'stroke']);

/**
 * What an element costs with all that it holds and refers to.
 * @typedef {object} Cost
 * @property {number} parts
 * @property {number} points
 * @property {number} length of lines, in units
 * @property {number} depth
 */

/**
 * @typedef {object} Lines
 * @property {boolean} areDashed
 * @property {number} largest length that relative units may refer to
 */

/**
 * As many parts as the browser draws, or more.
 * @param {Element} root
 * @param {Map<Element, Setting[]>} settings
 * @param {Named} named
 */
export function count(root, settings, named) {
  /** @type {Map<Element, Cost | null>} null: it is being counted, and browsers do not follow circles */
  const known = new Map();
  const lines = linesOf([...settings.values()].flat());

  /** @param {Element} element @param {number} depth @returns {Cost} */
  function cost(element, depth) {
    const before = known.get(element);
    if (before !== undefined) return before ?? { parts: 0, points: 0, length: 0, depth: 0 };
    if (depth > DEEPEST) throw tooDeep();
    known.set(element, null);
    const own = settings.get(element) ?? [];
    const sum = alone(element, own, lines);
    const used = own.flatMap(([name, value]) => (name === 'href' ? targets(value, named) : []));
    for (const inside of [...element.children, ...used]) add(sum, cost(inside, depth + 1));

    let times = 1;
    let more = 0;
    for (const [name, value] of own) {
      if (name === 'stroke-dasharray' && numbersOf(value).length) more += sum.length / dashOf(value) / DASHES;
      for (const target of painted(value, named)) {
        const there = cost(target, depth + 1);
        sum.depth = Math.max(sum.depth, there.depth);
        if (/Gradient$/.test(target.localName)) times += Math.floor(there.parts / STOPS);
        else if (name === 'marker' || name === 'marker-mid') more += there.parts * sum.points;
        else if (INHERITED.has(name)) times += there.parts;
        else more += there.parts;
      }
    }
    const total = { parts: sum.parts * times + more, points: sum.points, length: sum.length, depth: sum.depth + 1 };
    if (total.depth > DEEPEST) throw tooDeep();
    known.set(element, total);
    return total;
  }
  return cost(root, 0).parts;
}

const tooDeep = () => tooMuch(`more than ${DEEPEST} levels`, DEEPEST);

/** @param {Setting[]} all of the drawing @returns {Lines} */
function linesOf(all) {
  return {
    areDashed: all.some(([name, value]) => name === 'stroke-dasharray' && numbersOf(value).length),
    largest: all
      .filter(([name]) => /^(?:viewBox|width|height)$/.test(name))
      .flatMap(([, value]) => numbersOf(value))
      .reduce((most, number) => Math.max(most, number), 100),
  };
}

/**
 * The cost of an element without what it holds and refers to.
 * @param {Element} element
 * @param {Setting[]} own
 * @param {Lines} lines
 * @returns {Cost}
 */
function alone(element, own, { areDashed, largest }) {
  const sum = { parts: 1, points: 0, length: 0, depth: 0 };
  let letters = 0;
  if (/^fe(?!MergeNode|Func|\w+Light$)/.test(element.localName)) sum.parts += FILTER;
  for (const [name, value] of own) {
    if (name !== 'href') letters += value.length;
    if (name === 'filter' && value.replace(URLS, '').includes('('))
      sum.parts += FILTER + REACH * sumOf(numbersOf(value));
    if (name === 'radius' || name === 'stdDeviation') sum.parts += REACH * sumOf(numbersOf(value));
    if (name === 'order') sum.parts += sumOf(numbersOf(value)) ** 2;
    if (areDashed && name === 'pathLength') sum.length += sumOf(numbersOf(value));
    if (!GEOMETRY.has(name) && !/(?:path|polygon|shape)\(/i.test(value)) continue;
    const numbers = numbersOf(value);
    sum.points += numbers.length;
    sum.parts += (numbers.length / CROSSINGS) ** 2;
    if (areDashed) sum.length += lengthOf(name, value, largest);
  }
  if (element.localName !== 'style')
    for (const node of element.childNodes) if (node instanceof Text) letters += node.length;
  sum.parts += letters / LETTERS;
  return sum;
}

/** @param {Cost} sum @param {Cost} cost */
function add(sum, { parts, points, length, depth }) {
  sum.parts += parts;
  sum.points += points;
  sum.length += length;
  sum.depth = Math.max(sum.depth, depth);
}

/** What a reference leads to. @param {string} reference @param {Named} named */
function targets(reference, named) {
  const id = idOf(reference, named);
  const target = id === null ? undefined : named.get(id);
  return target ? [target] : [];
}

/** What the references in a value lead to. @param {string} value @param {Named} named */
function painted(value, named) {
  return [...value.matchAll(URLS)].flatMap((found) => targets(found[1] ?? found[2] ?? found[3] ?? '', named));
}
