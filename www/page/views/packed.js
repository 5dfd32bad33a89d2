// packed model → what its check found, term by term
import { element } from './element.js';
import { methodName } from './controls.js';
import { dialogWords } from '../words/parts/dialogs.js';
import { ownModelWords } from '../words/parts/ownmodel.js';

/**
 * @param {import('../ownmodel.js').OwnModel} own
 * @param {import('../words/en.js').Words} words
 * @param {import('../numbers.js').Numbers} numbers
 */
export function facts({ report }, words, numbers) {
  const said = ownModelWords(words.code).packed;
  const { difference, bytesGiven, bytesKept, precision, guesses, methods, layer, noGradients, refused } = report;
  const { length: single } = report.single;
  const precise = (/** @type {string} */ differs) =>
    single ? said.partlyText(differs, single, report.weights) : said.refusedText(differs);
  const rows = /** @type {[string, string][]} */ ([
    [said.weights, said.weightsText(numbers.bytes(bytesKept), precision.toUpperCase(), numbers.bytes(bytesGiven))],
    [
      said.agreement,
      [
        said.agreementText(numbers.small(difference.probability), difference.sameFirst),
        refused ? precise(numbers.small(refused.probability)) : '',
      ].join(' '),
    ],
    [said.memory, said.memoryText(numbers.bytes(report.memory))],
    [said.start, said.startText(report.unplanned)],
    [dialogWords(words.code).model.classes, String(report.classes)],
    [said.heatmaps, methods.map((method) => methodName(method, words)).join(', ')],
    ...(layer ? [[words.layer, layer]] : []),
    ...(noGradients ? [[said.noGradients, noGradients]] : []),
    ...(guesses.length ? [[said.assumed, guesses.map((guess) => said.guesses[guess]).join(' ')]] : []),
  ]);
  return rows.map(([term, text]) => element('div', {}, element('dt', {}, term), element('dd', {}, text)));
}
