// nothing yet → ways to add photos; big while there is no photo, one row after
import { element, icon } from './element.js';

/** @typedef {{name: string, url: string, tile: string}} Sample */

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {readonly Sample[]} options.samples
 * @param {(files: File[]) => void} options.onFiles
 * @param {(files: File[]) => void} options.onFolder
 * @param {(sample: Sample) => void} options.onSample
 * @param {() => void} options.onCamera
 * @param {() => void} options.onPaste
 * @param {() => void} options.onAddress
 */
export function intakeView({ words, samples, onFiles, onFolder, onSample, onCamera, onPaste, onAddress }) {
  const chooser = element('input', {
    type: 'file',
    id: 'chooser',
    className: 'unseen',
    multiple: true,
    tabIndex: -1,
    accept: 'image/*,.onnx,.zip,.txt,.json,.csv,.tsv,.data,.bin,.onnx_data',
    'aria-label': words.choose,
    onchange: () => {
      onFiles([...(chooser.files ?? [])]);
      chooser.value = '';
    },
  });
  const folder = element('input', {
    type: 'file',
    className: 'unseen',
    webkitdirectory: true,
    multiple: true,
    tabIndex: -1,
    'aria-label': words.chooseFolder,
    onchange: () => {
      onFolder([...(folder.files ?? [])]);
      folder.value = '';
    },
  });
  const arrives = element('p', { className: 'soft', role: 'status', hidden: true });
  const button = (
    /** @type {string} */ name,
    /** @type {string} */ label,
    /** @type {() => void} */ onclick,
    kind = '',
  ) => element('button', { type: 'button', className: `way ${kind}`, onclick }, icon(name), element('span', {}, label));
  const root = element(
    'div',
    { className: 'intake-view' },
    element(
      'div',
      { className: 'welcome' },
      element('h1', {}, words.title),
      element('p', { className: 'lead' }, words.lead),
    ),
    element(
      'div',
      { className: 'ways' },
      chooser,
      folder,
      button('photos', words.choose, () => chooser.click(), 'primary'),
      'webkitdirectory' in folder && button('folder', words.chooseFolder, () => folder.click(), 'folder'),
      button('camera', words.camera, onCamera),
      button('paste', words.paste, onPaste),
      button('link', words.address, onAddress),
      element('span', { className: 'hint' }, words.dropHere),
      arrives,
    ),
    element(
      'div',
      { className: 'samples', hidden: !samples.length },
      element('h2', { id: 'samples-title' }, words.samples),
      element(
        'ul',
        { 'aria-labelledby': 'samples-title' },
        ...samples.map((sample, at) =>
          element(
            'li',
            {},
            element(
              'button',
              { type: 'button', className: 'sample', onclick: () => onSample(sample) },
              element('img', {
                src: sample.tile,
                alt: '',
                width: 192,
                height: 192,
                decoding: 'async',
                fetchPriority: 'low',
              }),
              element(
                'span',
                {},
                element('b', { 'aria-hidden': 'true' }, String(at + 1)),
                ' ',
                words.sampleNames[sample.name],
              ),
            ),
          ),
        ),
      ),
    ),
  );
  return {
    root,
    /** @param {{arriving: string | null}} data */
    update({ arriving }) {
      arrives.hidden = !arriving;
      arrives.textContent = arriving && words.arriving(arriving);
    },
  };
}
