// model that is being added → a dialog: a form for what its file does not say, then what the check found
import { dialogView } from './dialog.js';
import { element } from './element.js';
import { facts } from './packed.js';

/** @typedef {import('../adding.js').Adding} Adding */
/** @typedef {import('../ownmodel.js').Answers} Answers */

/**
 * @param {object} options
 * @param {import('../words/en.js').Words} options.words
 * @param {import('../numbers.js').Numbers} options.numbers
 * @param {(answers: Answers, keep: boolean) => void} options.onAnswers
 * @param {(name: string) => void} options.onOutput another output is to be looked at
 * @param {() => void} options.onBack to the form
 * @param {() => void} options.onClose
 * @param {() => void} options.onSave its folder
 */
export function ownModelView({ words, numbers, onAnswers, onOutput, onBack, onClose, onSave }) {
  const said = words.ownModel;
  const about = element('p', { className: 'soft' });
  const name = element('input', { type: 'text', required: true, autofocus: true });
  const pixels = select(said.pixels);
  const resize = select(said.resizes, () => {
    sideField.hidden = resize.value !== 'crop';
    filterField.hidden = resize.value === 'files';
  });
  const output = element('select', { onchange: () => onOutput(output.value) }),
    unit = element('input', { type: 'text' });
  const activation = select(said.activations, showUnit),
    filter = select(said.filters),
    precision = select(said.precisions);
  const side = element('input', { type: 'number', min: '8', max: '8192', required: true });
  const size = element('input', { type: 'number', min: '8', max: '2048', required: true });
  const layer = element('select');
  const license = element('input', { type: 'text', placeholder: 'MIT' }),
    disclaimer = element('input', { type: 'text' });
  const labels = element('textarea', { rows: 4, spellcheck: false, placeholder: said.labelsHint, oninput: count });
  const counted = element('small', { role: 'status' });
  const keep = element('input', { type: 'checkbox' });
  const [outputField, unitField] = [field(said.output, output), field(said.unit, unit)];
  const [sizeField, sideField, filterField, activationField] = [
    field(said.size, size),
    field(said.side, side),
    field(said.filter, filter),
    field(said.activation, activation),
  ];
  const failed = element('div', { className: 'failed', role: 'alert', hidden: true });
  const form = element(
    'form',
    { className: 'stack', onsubmit: submit },
    about,
    outputField,
    field(said.name, name),
    field(said.pixel, pixels),
    field(said.resize, resize),
    sizeField,
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
        sideField,
        filterField,
        field(said.layer, layer),
        field(said.precision, precision),
        field(words.modelView.license, license),
        field(said.disclaimer, disclaimer),
      ),
    ),
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
  const report = element(
    'div',
    { className: 'stack' },
    verdict,
    found,
    element(
      'div',
      { className: 'row-of' },
      element('button', { type: 'button', className: 'way primary', onclick: onClose }, said.done),
      element('button', { type: 'button', className: 'link', onclick: onBack }, said.change),
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
      const { stage, parts, seen, likely, failure, steps, own } = data;
      form.hidden = stage !== 'form';
      work.hidden = stage !== 'reading' && stage !== 'checking';
      report.hidden = stage !== 'report';
      doing.textContent =
        stage === 'reading' ? said.reading(parts.name) : (said.checkingStep[steps?.loaded ?? 0] ?? said.checking);
      if (steps) bar.value = (steps.loaded + 0.5) / steps.total;
      else bar.removeAttribute('value');
      if (seen && likely && seen !== asked) fill(data, (asked = seen), likely);
      explain(failure);
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
    about.textContent = [
      said.about(parts.name, numbers.bytes(parts.bytes), open ? said.open : `${width} × ${height}`, seen.classes),
      seen.activation ? said.endsIn(seen.activation) : '',
      seen.noGradients ? said.noGradients : '',
      seen.layers.length && !seen.whole ? said.partial : '',
      seen.found.facts.length ? said.read(sources(seen)) : '',
      ...seen.found.conflicts.map(({ what, said: both }) => said.conflict(said.what[what], both.flat())),
      ...seen.found.limits.map((limit) => said.limit(limit)),
      said.rest,
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
    const { scale, resize: found } = seen.found.options;
    offer(pixels, scale != null);
    offer(resize, found != null);
    name.value = likely.name;
    pixels.value = likely.pixels;
    resize.value = likely.resize;
    // With one class, a softmax would be 1 for every photo.
    for (const option of activation.options) option.disabled = option.value === 'softmax' && seen.classes === 1;
    activation.value = likely.activation ?? 'softmax';
    outputField.hidden = seen.heads.length < 2;
    output.replaceChildren(...seen.heads.map(({ name, classes }) => new Option(said.outputOf(name, classes), name)));
    output.value = likely.output;
    unit.value = likely.unit;
    showUnit();
    filter.value = likely.filter;
    precision.value = likely.precision;
    side.value = String(likely.side);
    size.value = String(likely.size);
    labels.value = likely.labels;
    license.value = likely.license;
    disclaimer.value = '';
    sideField.hidden = likely.resize !== 'crop';
    filterField.hidden = likely.resize === 'files';
    count();
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
    count();
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
    onAnswers(
      {
        name: name.value.trim(),
        pixels: /** @type {Answers['pixels']} */ (pixels.value),
        resize: /** @type {Answers['resize']} */ (resize.value),
        side: side.valueAsNumber,
        filter: /** @type {Answers['filter']} */ (filter.value),
        activation: activationField.hidden ? null : /** @type {Answers['activation']} */ (activation.value),
        output: output.value,
        unit: isNumber() ? unit.value.trim() : '',
        size: size.valueAsNumber,
        layer: layer.value,
        precision: /** @type {Answers['precision']} */ (precision.value),
        license: license.value.trim(),
        disclaimer: disclaimer.value.trim(),
        labels: labels.value,
      },
      keep.checked,
    );
  }
}

/** @param {Record<string, string>} options @param {() => void} [onchange] */
function select(options, onchange) {
  return element('select', { onchange }, ...Object.entries(options).map(([value, text]) => new Option(text, value)));
}

/** Shows the choice of what the files say only where they say it. @param {HTMLSelectElement} select @param {boolean} has */
function offer(select, has) {
  for (const option of select.options) if (option.value === 'files') option.hidden = option.disabled = !has;
}

/** @param {string} label @param {HTMLElement} control @param {HTMLElement} [note] */
function field(label, control, note) {
  return element('label', { className: 'field' }, label, control, note);
}
