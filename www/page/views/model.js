// model → a dialog with what it is, and others to use instead
import { dialogView } from './dialog.js';
import { element } from './element.js';
import { ownModelWords } from '../words/parts/ownmodel.js';
import { dialogWords } from '../words/parts/dialogs.js';

/** @typedef {import('../../library/protocol.js').ModelInfo} ModelInfo */
/** @typedef {import('../ownmodel.js').OwnModel} OwnModel */
/** @typedef {{url: string, name: string}} Choice */
/** @typedef {{info: ModelInfo | null, url: string, models: Choice[], kept: boolean, own: OwnModel | null}} ModelData */

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {import('../numbers.js').Numbers} options.numbers
 * @param {(url: string) => void} options.onModel
 * @param {(files: File[]) => void} options.onFiles
 * @param {() => void} options.onForget the model that was kept
 */
export function modelView({ words, numbers, onModel, onFiles, onForget }) {
  const said = dialogWords(words.code).model;
  const facts = element('dl', { className: 'facts' });
  const models = element('select', { onchange: () => use(models.value) });
  const modelsField = element('label', { className: 'field' }, said.models, models);
  const address = element('input', { type: 'text', required: true, placeholder: said.otherHint, spellcheck: false });
  const elsewhere = element(
    'form',
    { className: 'inline', onsubmit: submit },
    element('label', { className: 'field' }, said.other, address),
    element('button', { className: 'way' }, said.use),
  );
  const chooser = element('input', {
    type: 'file',
    id: 'model-chooser',
    className: 'unseen',
    tabIndex: -1,
    multiple: true,
    accept: '.onnx,.zip,.json,.txt,.csv,.tsv,.data,.bin,.onnx_data',
    'aria-label': said.own,
    onchange: chosen,
  });
  const forget = element('button', { type: 'button', className: 'link', onclick: onForget }, said.forget);
  const dialog = dialogView(
    { title: words.model, close: words.close },
    element(
      'div',
      { className: 'stack' },
      facts,
      modelsField,
      elsewhere,
      element(
        'div',
        { className: 'own' },
        element('h3', {}, said.own),
        element('p', { className: 'soft' }, said.ownNote),
        chooser,
        element('button', { type: 'button', className: 'way', onclick: () => chooser.click() }, said.ownChoose),
        forget,
      ),
    ),
  );
  return {
    ...dialog,
    /** @param {ModelData} data */
    update({ info, url, models: choices, kept, own }) {
      modelsField.hidden = choices.length < 2;
      forget.hidden = !kept;
      if (
        models.options.length !== choices.length ||
        choices.some((choice, at) => models.options[at]?.value !== choice.url)
      )
        models.replaceChildren(...choices.map((choice) => new Option(choice.name, choice.url)));
      models.value = url;
      const rows = factsOf(info, own, url);
      if (facts.dataset.of === JSON.stringify(rows)) return;
      facts.dataset.of = JSON.stringify(rows);
      facts.replaceChildren(
        ...rows.map(([term, text]) => element('div', {}, element('dt', {}, term), element('dd', {}, text))),
      );
    },
  };

  /** @param {ModelInfo | null} info @param {OwnModel | null} own @param {string} url @returns {[string, string][]} */
  function factsOf(info, own, url) {
    const known = info ?? (own && ofManifest(own));
    if (!known) return [[said.address, url]];
    /** @type {[string, string][]} */
    const rows = [
      [said.name, `${known.name} ${known.version}`],
      [said.size, `${numbers.bytes(known.bytes)} · ${known.precision.toUpperCase()}`],
      [said.input, `${known.width} × ${known.height}`],
      [said.classes, String(info?.labels.length ?? own?.report.classes)],
      [said.license, known.license],
      [said.source, known.source],
    ];
    if (own) {
      const { probability, sameFirst } = own.report.difference;
      const { packed } = ownModelWords(words.code);
      rows.push([packed.agreement, packed.agreementText(numbers.small(probability), sameFirst)]);
    }
    const disclaimer = words.site.disclaimer ?? known.disclaimer;
    if (disclaimer) rows.push([said.disclaimer, disclaimer]);
    return rows;
  }

  /** @param {string} url */
  function use(url) {
    dialog.close();
    onModel(url);
  }

  /** @param {Event} event */
  function submit(event) {
    event.preventDefault();
    use(address.value.trim());
  }

  function chosen() {
    const files = [...(chooser.files ?? [])];
    chooser.value = '';
    dialog.close();
    onFiles(files);
  }
}

/** What is known of a model before it is loaded. @param {OwnModel} own */
function ofManifest({ manifest }) {
  const { name, version, license, source, disclaimer, weights, input } = manifest;
  return {
    name,
    version,
    license,
    source,
    disclaimer,
    bytes: weights.bytes,
    precision: weights.precision,
    width: input.width,
    height: input.height,
  };
}
