// model that is being added → a dialog: a form for what its file does not say, then what the check found
import { dialogView } from './dialog.js';
import { element } from './element.js';
import { facts } from './packed.js';
import { previewView } from './preview.js';
import { field, readingView, select } from './reading.js';
import { dialogWords } from '../words/parts/dialogs.js';
import { ownModelWords } from '../words/parts/ownmodel.js';

/**
 * What a guess is about, where the form can ask it.
 * @type {Partial<Record<import('../../library/protocol.js').Guess, import('../../library/protocol.js').What>>}
 */
const ASKS = {
  activation: 'activation',
  single: 'activation',
  output: 'activation',
  channels: 'colours',
  colours: 'colours',
  pixels: 'pixels',
  resize: 'resize',
  size: 'size',
};

/** @typedef {import('../adding.js').Adding} Adding */
/** @typedef {import('../ownmodel.js').Answers} Answers */

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {import('../numbers.js').Numbers} options.numbers
 * @param {Parameters<typeof previewView>[0]['photos']} options.photos that answers are tried with
 * @param {(answers: Answers) => void} options.onDraft answers that may still change
 * @param {(answers: Answers, keep: boolean) => void} options.onAnswers
 * @param {(name: string) => void} options.onOutput another output is to be looked at
 * @param {() => void} options.onBack to the form
 * @param {() => void} options.onClose
 * @param {() => void} options.onKeep for the next visit
 * @param {() => void} options.onSave its folder
 */
export function ownModelView({
  words,
  numbers,
  photos,
  onDraft,
  onAnswers,
  onOutput,
  onBack,
  onClose,
  onKeep,
  onSave,
}) {
  const said = ownModelWords(words.code).ownModel;
  const about = element('p', { className: 'soft' });
  const name = element('input', { type: 'text', required: true, autofocus: true });
  const reading = readingView({ words });
  const preview = previewView({ words, numbers, photos });
  const output = element('select', { onchange: () => onOutput(output.value) }),
    unit = element('input', { type: 'text' });
  const activation = select(said.activations, showUnit),
    precision = select(said.precisions);
  const size = element('input', { type: 'number', min: '8', max: '2048', required: true });
  const layer = element('select');
  const license = element('input', { type: 'text', placeholder: 'MIT' }),
    disclaimer = element('input', { type: 'text' });
  const threshold = element('input', { type: 'number', min: '0', max: '100', step: 'any', oninput: showSentence }),
    notRecognised = element('input', { type: 'text' });
  const labels = element('textarea', { rows: 4, spellcheck: false, placeholder: said.labelsHint, oninput: count });
  const counted = element('small', { role: 'status' });
  const keep = element('input', { type: 'checkbox' });
  const [outputField, unitField] = [field(said.output, output), field(said.unit, unit)];
  const [sizeField, activationField] = [field(said.size, size), field(said.activation, activation)];
  const [thresholdField, sentenceField] = [field(said.threshold, threshold), field(said.notRecognised, notRecognised)];
  const failed = element('div', { className: 'failed', role: 'alert', hidden: true });
  const form = element(
    'form',
    { className: 'stack', onsubmit: submit, oninput: draft, onchange: draft },
    about,
    outputField,
    field(said.name, name),
    sizeField,
    reading.root,
    activationField,
    unitField,
    field(said.labels, labels, counted),
    element(
      'details',
      {},
      element('summary', {}, said.more),
      element(
        'div',
        { className: 'stack-inner' },
        thresholdField,
        sentenceField,
        field(said.layer, layer),
        field(said.precision, precision),
        field(dialogWords(words.code).model.license, license),
        field(said.disclaimer, disclaimer),
      ),
    ),
    preview.root,
    element('label', { className: 'check' }, keep, said.keep),
    failed,
    element('button', { className: 'way primary' }, said.use),
  );

  const doing = element('p', { role: 'status' });
  const bar = element('progress', { className: 'bar-line', 'aria-label': said.checking });
  const work = element(
    'div',
    { className: 'stack working' },
    doing,
    bar,
    element(
      'button',
      {
        type: 'button',
        className: 'way',
        onclick: () => (adding?.stage === 'checking' && adding.seen ? onBack() : onClose()),
      },
      words.cancel,
    ),
  );

  const verdict = element('p', { className: 'lead-line', tabIndex: -1 });
  const found = element('dl', { className: 'facts' });
  const keepIt = element('button', { type: 'button', className: 'link', onclick: onKeep }, said.keepIt);
  const promise = element('p', { className: 'soft', role: 'status' });
  const report = element(
    'div',
    { className: 'stack' },
    verdict,
    found,
    promise,
    element(
      'div',
      { className: 'row-of' },
      element('button', { type: 'button', className: 'way primary', onclick: onClose }, said.done),
      element('button', { type: 'button', className: 'link', onclick: onBack }, said.change),
      keepIt,
      element('button', { type: 'button', className: 'link', onclick: onSave }, said.save),
    ),
  );

  const dialog = dialogView({ title: said.title, close: words.close }, form, work, report);
  dialog.root.classList.add('own-model');
  dialog.root.addEventListener('close', () => adding && onClose());
  /** @type {Adding | null} */
  let adding = null;
  let asked = /** @type {Adding['seen']} */ (null);
  return {
    root: dialog.root,
    /** @param {Adding | null} data */
    update(data) {
      const before = adding?.stage;
      adding = data;
      if (!data) return dialog.close();
      const { stage, parts, seen, likely, failure, steps, own, trial } = data;
      form.hidden = stage !== 'form';
      work.hidden = !['fetching', 'reading', 'checking'].includes(stage);
      report.hidden = stage !== 'report';
      keepIt.hidden = data.kept;
      promise.textContent = data.persisted === null ? '' : said.persisted[data.persisted ? 'yes' : 'no'];
      doing.textContent =
        stage === 'fetching'
          ? said.fetching(parts.name, steps && numbers.bytes(steps.loaded), steps && numbers.bytes(steps.total))
          : stage === 'reading'
            ? said.reading(parts.name)
            : (said.checkingStep[steps?.loaded ?? 0] ?? said.checking);
      if (steps) bar.value = stage === 'fetching' ? steps.loaded / steps.total : (steps.loaded + 0.5) / steps.total;
      else bar.removeAttribute('value');
      if (seen && likely && seen !== asked) fill(data, (asked = seen), likely);
      explain(failure);
      const done = trial && !trial.busy && trial.answers[0];
      if (done) reading.resolve(done);
      showTrial();
      if (stage === 'form' && before !== 'form') draft();
      if (own && stage === 'report' && before !== 'report') {
        verdict.textContent = said.ready(own.manifest.name);
        found.replaceChildren(...(seen ? read(seen) : []), ...facts(own, words, numbers));
      }
      dialog.open();
      if (stage !== before)
        (stage === 'form'
          ? failure
            ? failed
            : name
          : stage === 'report'
            ? verdict
            : work.querySelector('button')
        )?.focus();
    },
  };

  /** @param {Adding} data @param {NonNullable<Adding['seen']>} seen @param {Answers} likely */
  function fill({ parts }, seen, likely) {
    const open = seen.guesses.includes('size');
    const { width, height } = seen.manifest.input;
    const ending = seen.activation ?? seen.manifest.output.applied;
    about.textContent = [
      said.about(parts.name, numbers.bytes(parts.bytes), open ? said.open : `${width} × ${height}`, seen.classes),
      ending ? said.endsIn(ending) : '',
      seen.noGradients ? said.noGradients : '',
      seen.layers.length && !seen.whole ? said.partial : '',
      seen.found.facts.length ? said.read(sources(seen)) : '',
      ...seen.found.conflicts.map(({ what, said: both }) => said.conflict(said.what[what], both.flat())),
      ...seen.found.limits.map((limit) => said.limit(limit)),
      asks(seen),
    ]
      .filter(Boolean)
      .join(' ');
    sizeField.hidden = size.disabled = !open;
    activationField.hidden = !likely.activation;
    layer.replaceChildren(
      new Option(said.lastLayer, ''),
      ...seen.layers.map(
        ({ name, width, height, channels }) => new Option(words.layerSize(width, height, channels), name),
      ),
    );
    reading.fill(seen, likely);
    name.value = likely.name;
    // With one class, a softmax would be 1 for every photo.
    for (const option of activation.options) option.disabled = option.value === 'softmax' && seen.classes === 1;
    activation.value = likely.activation ?? 'softmax';
    outputField.hidden = seen.heads.length < 2;
    output.replaceChildren(...seen.heads.map(({ name, classes }) => new Option(said.outputOf(name, classes), name)));
    output.value = likely.output;
    unit.value = likely.unit;
    showUnit();
    precision.value = likely.precision;
    size.value = String(likely.size);
    labels.value = likely.labels;
    license.value = likely.license;
    disclaimer.value = notRecognised.value = threshold.value = '';
    showSentence();
    count();
  }

  /** What no file says. @param {NonNullable<Adding['seen']>} seen */
  function asks({ guesses, found, labels, classes }) {
    const open = new Set(guesses.flatMap((guess) => ASKS[guess] ?? []));
    if ((found.labels ?? labels)?.length !== classes) open.add('labels');
    return open.size ? said.rest([...open].map((what) => said.what[what]).join(', ')) : '';
  }

  /** What the files say, each fact with the file. @param {NonNullable<Adding['seen']>} seen */
  function sources({ found }) {
    /** @type {Map<string, string[]>} */
    const files = new Map();
    for (const { what, from } of found.facts) files.set(from, [...(files.get(from) ?? []), said.what[what]]);
    return [...files].map(([from, facts]) => said.from(facts.join(', '), said.inside[from] ?? from)).join('; ');
  }

  /** @param {NonNullable<Adding['seen']>} seen */
  function read(seen) {
    const text = sources(seen);
    return text ? [element('div', {}, element('dt', {}, said.readTerm), element('dd', {}, text))] : [];
  }

  function count() {
    const classes = asked?.classes ?? 0;
    const n = labels.value.trim() ? labels.value.trim().split('\n').length : 0;
    // One score is that of the second of two classes, or of one and its negative.
    const fits = n === classes || (n === 2 && classes === 1 && !isNumber());
    const text = n ? said.labelsCount(n, fits ? n : classes) : '';
    counted.textContent = text;
    labels.setCustomValidity(fits ? '' : text);
  }

  function isNumber() {
    return asked?.classes === 1 && !activationField.hidden && activation.value === 'none';
  }

  function showUnit() {
    unitField.hidden = unit.disabled = !isNumber();
    thresholdField.hidden = threshold.disabled = !activationField.hidden && activation.value === 'none';
    showSentence();
    count();
  }

  function showSentence() {
    sentenceField.hidden = notRecognised.disabled = part() === null;
  }

  /** The threshold, 0..1. */
  function part() {
    return threshold.disabled || !threshold.value ? null : threshold.valueAsNumber / 100;
  }

  /** As it is called once the model is packed. @param {number} index */
  function labelOf(index) {
    const given = labels.value.trim().split('\n');
    const one = given[0] || 'class 0';
    if (asked?.classes === 1 && given.length === 1 && !isNumber()) return index ? one : said.preview.not(one);
    return given[index]?.trim() || `class ${index}`;
  }

  function showTrial() {
    preview.update(adding?.trial ?? null, { label: labelOf, threshold: part(), unit: unit.value });
  }

  /** Tells what is answered so far, if it can be tried. */
  function draft() {
    showTrial();
    if (adding?.stage === 'form' && reading.root.querySelector(':invalid') === null && size.validity.valid)
      onDraft(answers());
  }

  /** @param {unknown} error */
  function explain(error) {
    failed.hidden = !error;
    if (!error) return failed.replaceChildren();
    const { code, message } = /** @type {{code?: string, message?: string}} */ (error);
    const [what, next] = words.errors.known[code ?? ''] ?? words.errors.unknown;
    failed.replaceChildren(
      element('p', {}, element('strong', {}, what), ` ${next}`),
      element('code', {}, `${code ? `${code}: ` : ''}${message ?? String(error)}`),
    );
    failed.tabIndex = -1;
  }

  /** @param {Event} event */
  function submit(event) {
    event.preventDefault();
    onAnswers(answers(), keep.checked);
  }

  /** @returns {Answers} */
  function answers() {
    return {
      ...reading.read(),
      name: name.value.trim(),
      activation: activationField.hidden ? null : /** @type {Answers['activation']} */ (activation.value),
      output: output.value,
      unit: isNumber() ? unit.value.trim() : '',
      size: size.valueAsNumber,
      layer: layer.value,
      precision: /** @type {Answers['precision']} */ (precision.value),
      license: license.value.trim(),
      disclaimer: disclaimer.value.trim(),
      threshold: part(),
      notRecognised: notRecognised.value.trim(),
      labels: labels.value,
    };
  }
}
