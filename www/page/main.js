// the page: owns all state, updates the views, and acts on what they report
import { keepForOffline, takeShared } from './offline.js';
import { words as english } from './words/en.js';
import { languages, otherThan, wordsFor } from './language.js';
import { later } from './later.js';
import { watchDropsAndPastes } from './dropped.js';
import { chosenFolder } from './folders.js';
import { MODELS } from './models.js';
import { numbers as numbersFor } from './numbers.js';
import { actions } from './actions.js';
import { isExported } from '../library/packing.js';
import { WhylensError } from '../library/errors.js';
import { foreign, isClosed, modelActions } from './opening.js';
import { savers } from './saving.js';
import { openSession } from './session.js';
import { site } from './site.js';
import { keepSettings, readSettings } from './settings.js';
import { USUAL_THRESHOLD, blank } from './state.js';
import { fetchPhoto, fetchedOnce, isZip, readClipboard, sorted, unpacked } from './sources.js';
import { SIDES } from './photos.js';
import { trier } from './trying.js';
import { verdict } from './verdict.js';
import { checkData, controlsData, current, modelChoices, resultData, stageData } from './viewdata.js';
import { alertView } from './views/alert.js';
import { controlsView } from './views/controls.js';
import { element } from './views/element.js';
import { healthView } from './views/health.js';
import { intakeView } from './views/intake.js';
import { resultView } from './views/result.js';
import { stageView } from './views/stage.js';
import { statusView } from './views/status.js';
import { toolsView } from './views/tools.js';

/** @typedef {import('./photos.js').Photo} Photo */

const query = new URLSearchParams(location.search);
const SAMPLES = site.samples.map(({ name, file, tile }) => ({
  name,
  url: new URL(`../samples/${file}`, import.meta.url).href,
  tile: new URL(`../samples/${tile ?? file}`, import.meta.url).href,
}));
/** Those that the answers about a model of the reader's own are tried with. */
const TRIED = SAMPLES.slice(0, 3);
const settings = readSettings();
let words = await wordsFor(settings.language).catch(() => english);
let numbers = numbersFor(words.code);

const asked = query.get('model');
const elsewhere = foreign(asked);

const state = blank((elsewhere || isExported(asked ?? '') ? null : asked) ?? MODELS[0] ?? '');

/** @type {Awaited<ReturnType<typeof mount>>} */
let views;

/** @typedef {{[Name in keyof typeof parts]?: ReturnType<Awaited<ReturnType<(typeof parts)[Name]>>>}} Parts */
/** Views that were fetched, in the language of now. @type {Parts} */
let fetched = {};

const session = openSession((loading) => {
  change({ loading });
  if (loading.phase === 'failed' && !models.dropDamaged(loading.error))
    trouble(
      loading.error,
      null,
      models.anyway(loading.error, () => void models.open()),
    );
  if (loading.phase === 'ready') {
    change({ threshold: session.info?.threshold ?? USUAL_THRESHOLD });
    void tellFacts();
  }
});

const reader = actions({
  state,
  change,
  session,
  settings,
  trouble,
  dismiss,
  openModel: () => void models.open(),
  onResult: ({ name, result }) => {
    const best = result?.predictions[0];
    at('spoken').textContent = [
      name,
      ...(result && best ? [verdict(result, words), numbers.given(best, result.model)] : []),
    ].join(', ');
  },
});

const models = modelActions({
  state,
  change,
  session,
  settings,
  trouble,
  said,
  dismiss,
  photos: fetchedOnce(TRIED.map(({ url }) => url)),
  dialog: () => part('ownModel'),
  forgetResults() {
    saved.cancelReport();
    reader.forgetResults();
  },
  work: reader.work,
});

/** The words and numbers of now. */
const language = () => ({ words, numbers });
const saved = savers({ state, change, session, settings, trouble, language });
const tryOut = trier({ state, change, session, said, dismiss, language });

/** Says what went wrong until the reader tries again. @param {unknown} error @param {string | null} about @param {() => void} again */
function said(error, about, again) {
  trouble(error, about, () => {
    dismiss();
    again();
  });
}

/** Says what did not arrive. @param {Promise<unknown>} arriving @param {string | null} about @param {() => void} again */
function needed(arriving, about, again) {
  void arriving.catch((error) => said(error, about, again));
}

/** @param {File[]} files */
function addFiles(files) {
  const zip = files.find(isZip);
  void addFrom(() => (zip ? unpacked(files) : files), zip?.name ?? null);
}

/** What is on the clipboard. */
async function paste() {
  try {
    const found = await readClipboard();
    if (typeof found === 'string') takeAddress(found);
    else addFiles(found);
  } catch (error) {
    trouble(error, null, null);
  }
}

/** A model, or a picture of another tab or site. @param {string} address */
function takeAddress(address) {
  if (isExported(address)) models.useAddress(address);
  else void addFrom(async () => [await fetchPhoto(address)], address.startsWith('data:') ? null : address);
}

async function tellFacts() {
  const { memory, build } = await session.health(false);
  // On an owner's own page they mean nothing to visitors.
  if (!words.site.title) change({ facts: [memory ? numbers.bytes(memory.wasm) : '', build ?? ''].filter(Boolean) });
  if (query.get('health') === 'verbose') change({ report: await session.health(true) });
}

/** @param {() => File[] | Promise<File[]>} get @param {string | null} about what is fetched or unpacked */
async function addFrom(get, about) {
  try {
    const got = get();
    if (got instanceof Promise) change({ arriving: about });
    const { photos, model } = sorted(got instanceof Promise ? await got : got);
    if (model.length) models.addFiles(model);
    reader.addFiles(photos);
  } catch (error) {
    trouble(error, about, null);
  }
  if (state.arriving) change({ arriving: null });
}

/** @param {string} question @param {string[]} names @param {() => void} take */
function ask(question, names, take) {
  change({ offers: [...state.offers, { question, names, take }] });
}

/** Shared files, or files from a page that imitates a share, are not used until the reader agrees. */
async function offerShared() {
  const files = await takeShared();
  const { photos, model } = sorted(files);
  if (model.length)
    ask(
      words.offer.model,
      model.map(({ name }) => name),
      () => models.addFiles(model),
    );
  if (photos.length)
    ask(
      words.offer.photos(photos.length),
      photos.map(({ name }) => name),
      () => reader.addFiles(photos),
    );
}

/** @param {unknown} error @param {string | null} about @param {(() => void) | null} retry */
function trouble(error, about, retry) {
  change({ trouble: { error, about, retry } });
}

function dismiss() {
  if (state.trouble.error) trouble(null, null, null);
}

/** @param {Partial<import('./settings.js').Settings>} choice */
function choose(choice) {
  Object.assign(settings, choice);
  keepSettings(settings);
  change();
}

/** @param {Partial<import('./state.js').State>} [news] */
function change(news = {}) {
  Object.assign(state, news);
  if (state.trial && !state.trying) {
    state.trial.close();
    state.trial = null;
  }
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    draw();
  });
}
let frame = 0;

function draw() {
  const { photos, shown, explanations } = state;
  const { info } = session;
  fetchWanted();
  setDocument();
  drawFrame();
  checks?.follow();
  at('photo').hidden = !shown;
  at('controls').hidden = !explanations.length;
  at('result').hidden = !shown?.result;
  at('sheet').hidden = photos.length < 2;
  if (photos.length > 1)
    fetched.sheet?.update({ photos, shown, reporting: state.reporting, checking: state.checkingAll });
  if (!shown) return;
  views.stage.update(stageData(state, shown, info, settings, words), fetched.part ?? null);
  state.trial?.update({ heatmap: current(state)[0]?.heatmap ?? null, chosen: state.chosen });
  if (!shown.result || !info) return;
  views.result.update(resultData(state, shown.result, info, words, numbers));
  const heatmap = explanations[0]?.heatmap;
  if (heatmap) views.controls.update(controlsData(state, heatmap, info, settings));
  const checked = checkData(state, info);
  if (checked) fetched.check?.update(checked);
}

function setDocument() {
  const { shown } = state;
  document.documentElement.lang = words.code;
  if (words.site.title) document.title = words.site.title;
  document.documentElement.dataset.theme = settings.theme ?? 'system';
  document.body.dataset.letGo = words.letGo;
  document.body.dataset.state = !shown ? 'empty' : shown.result ? 'result' : 'waiting';
}

/** The views that are there with or without a photo. */
function drawFrame() {
  const { info } = session;
  const own = state.own?.url === state.model ? state.own.model : null;
  views.intake.update({ arriving: state.arriving });
  views.status.update({ loading: state.loading, facts: state.facts });
  views.tools.update({ name: info?.name ?? own?.manifest.name ?? null });
  views.alert.update(state.trouble);
  views.health.update(state);
  fetched.settings?.update(settings);
  fetched.model?.update({ info, url: state.model, models: modelChoices(MODELS, state.own), kept: state.kept, own });
  fetched.ownModel?.update(state.adding);
  fetched.offer?.update(state.offers[0] ?? null);
  fetched.camera?.update({ camera: state.shown?.camera ?? null, live: state.live });
}

/** @param {string} id */
function at(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element #${id}`);
  return found;
}

/** Several threads: now if the page is not used yet, or else from the next visit on. @param {string} offline */
async function isolateNow(offline) {
  if (offline !== 'on' || crossOriginIsolated) return;
  const isolation = await import('./isolation.js').catch(() => null);
  await isolation?.isolate(() => session.health(true)).catch(() => {});
}

/** @param {string | null} chosen */
async function speak(chosen) {
  try {
    words = await wordsFor(chosen);
  } catch (error) {
    const missing = new WhylensError('network', `the words of ${chosen} cannot be loaded`, error);
    return said(missing, null, () => void speak(chosen));
  }
  choose({ language: chosen });
  change({ trying: false });
  numbers = numbersFor(words.code);
  views = await mount();
  change();
}

/** Lets the browser handle input between two pieces of work that together might take longer than 50 ms. */
function pause() {
  return new Promise((resolve) => setTimeout(resolve));
}

/** Builds the views that are always there, in the chosen language. */
async function mount() {
  await pause();
  const frame = frameViews();
  await pause();
  const results = resultViews();
  await pause();
  const made = { ...frame, ...results };
  fetched = {};
  place(made);
  return made;
}

function frameViews() {
  const other = otherThan(words);
  return {
    status: statusView({
      words,
      numbers,
      onCancel: session.cancel,
      onLoad: () => (state.loading.phase === 'idle' ? void session.start() : void models.open()),
    }),
    tools: toolsView({
      words,
      other,
      onModel: () => open('model'),
      onSettings: () => open('settings'),
      onLanguage: () => other && void speak(other.code),
      onTheme: () => choose({ theme: isDark() ? 'light' : 'dark' }),
    }),
    intake: intakeView({
      words,
      samples: SAMPLES,
      onFiles: addFiles,
      onCamera: () => void reader.startCamera(words.camera),
      onAddress: () => open('address'),
      onFolder: (files) => void addFrom(() => chosenFolder(files), null),
      onPaste: () => void paste(),
      onSample: ({ url, name }) => void addFrom(async () => [await fetchPhoto(url)], words.sampleNames[name] ?? name),
    }),
    alert: alertView({ words, numbers, onDismiss: dismiss }),
    health: healthView(),
  };
}

function resultViews() {
  return {
    stage: stageView({
      words,
      onCancel: reader.cancelExplaining,
      onChoosing: (choosing) => change({ choosing, trying: false }),
      onTrying: (trying) => void tryOut(trying),
      onAll: () => reader.choosePart(null),
    }),
    controls: controlsView({
      words,
      onOpacity: (opacity) => choose({ opacity }),
      onHold: (bare) => change({ bare }),
      onColormap: (colormap) => {
        choose({ colormap });
        void reader.explainChosen();
      },
      onMethod: (method) => void reader.explainChosen({ method }),
      onSign: (sign) => void reader.explainChosen({ sign }),
      onContrast: (contrast) => void reader.explainChosen({ contrast }),
      onCheck: () => checkBy(({ start }) => start()),
      onCheckCancel: () => checkBy(({ cancel }) => cancel()),
      // Layers that are not in the plan need another module.
      onLayers: (layers) => void reader.explainChosen({ layers }).then(tellFacts),
    }),
    result: resultView({
      words,
      numbers,
      onThreshold: (threshold) => change({ threshold }),
      onClass: (index) =>
        void reader.explainChosen({
          pinned: true,
          chosen: [index, ...state.chosen.slice(1).filter((second) => second !== index)],
        }),
      onCompare: (index) =>
        void reader.explainChosen({
          pinned: true,
          chosen: [...state.chosen.slice(0, 1), ...(index === null ? [] : [index])],
        }),
      actions: saved.shown,
    }),
  };
}

/** Builds each view that is fetched with its first use, in the language of then. */
const parts = {
  address: later(async (again) => {
    /** @type {typeof import('./views/address.js')} */
    const { addressView } = await import(`./views/address.js${again}`);
    return () =>
      addressView({ words, onAddress: async (address, signal) => addFiles([await fetchPhoto(address, signal)]) });
  }),
  check: later(async (again) => {
    const [{ checkView }, { checkWords }] = await Promise.all([
      /** @type {Promise<typeof import('./views/check.js')>} */ (import(`./views/check.js${again}`)),
      /** @type {Promise<typeof import('./words/parts/check.js')>} */ (import(`./words/parts/check.js${again}`)),
      import('./styles.js').then(({ styled }) => styled(new URL('./check.css', import.meta.url).href)),
    ]);
    return () => checkView({ words, said: checkWords(words.code), numbers });
  }),
  camera: later(async (again) => {
    /** @type {typeof import('./views/camera.js')} */
    const { cameraView } = await import(`./views/camera.js${again}`);
    return () =>
      cameraView({
        words,
        onTake: () => void reader.takePhoto(words.camera),
        onDevice: (camera) => {
          choose({ camera });
          void state.shown?.camera?.choose(camera).catch((error) => trouble(error, camera.label, null));
        },
        onFlip: (flip) => {
          if (state.shown?.camera) state.shown.camera.flip = flip;
          choose({ flip });
        },
        onStop: () => reader.show(state.photos[0] ?? null),
        onLive: (on) => (on && state.shown ? void reader.watch(state.shown) : change({ live: false })),
      });
  }),
  model: later(async (again) => {
    /** @type {typeof import('./views/model.js')} */
    const { modelView } = await import(`./views/model.js${again}`);
    return () =>
      modelView({
        words,
        numbers,
        onModel: models.useAddress,
        onFiles: models.addFiles,
        onForget: () => void models.forgetKept(),
      });
  }),
  offer: later(async (again) => {
    /** @type {typeof import('./views/offer.js')} */
    const { offerView } = await import(`./views/offer.js${again}`);
    return () =>
      offerView({
        words,
        onDecided: (offer) => change({ offers: state.offers.filter((other) => other !== offer) }),
      });
  }),
  ownModel: later(async (again) => {
    /** @type {typeof import('./views/ownmodel.js')} */
    const { ownModelView } = await import(`./views/ownmodel.js${again}`);
    const added = await models.adding();
    return () =>
      ownModelView({
        words,
        numbers,
        photos: TRIED,
        onDraft: added.draft,
        onAnswers: (answers, keeping) => void added.answer(answers, keeping),
        onOutput: (name) => void added.look(name),
        onBack: added.back,
        onClose: added.close,
        onKeep: () => void added.keep(),
        onSave: () =>
          void saved.save(async ({ download }) =>
            (await models.folder()).forEach(([name, file]) => download(file, name)),
          ),
      });
  }),
  part: later(async (again) => {
    /** @type {typeof import('./views/part.js')} */
    const { partFrame } = await import(`./views/part.js${again}`);
    return () => partFrame({ words, onPart: reader.choosePart });
  }),
  settings: later(async (again) => {
    /** @type {typeof import('./views/settings.js')} */
    const { settingsView } = await import(`./views/settings.js${again}`);
    return () =>
      settingsView({
        words,
        languages,
        onReload: (choice) => {
          models.forgetLimit();
          choose(choice);
          void models.open();
        },
        onChoice: (choice) => (choice.language === undefined ? choose(choice) : void speak(choice.language)),
      });
  }),
  sheet: later(async (again) => {
    /** @type {typeof import('./views/sheet.js')} */
    const { sheetView } = await import(`./views/sheet.js${again}`);
    return () =>
      sheetView({
        words,
        numbers,
        decode: (photo) => session.decode(photo, SIDES.tile),
        onShow: reader.show,
        onCancel: reader.cancelBatch,
        onClear: () => {
          saved.cancelReport();
          reader.clear();
        },
        onResume: () => reader.again(state.photos.filter(({ status }) => status === 'cancelled')),
        onCsv: (photos) => saved.save(({ csv, download }) => download(csv(photos), `${site.file}.csv`)),
        onJson: (photos) =>
          saved.save(({ download, json, record }) =>
            download(json(photos.map((photo) => record(photo))), `${site.file}.json`),
          ),
        onCheck: () => checkBy(({ all }) => all()),
        onCheckCancel: () => checkBy(({ cancelAll }) => cancelAll()),
        onReport: (photos) => void saved.reportAll(photos),
        onReportCancel: saved.cancelReport,
      });
  }),
};

/** Where the views that are fetched go; the frame of a part lies on the photo. @type {Record<keyof Parts, string | null>} */
const HOMES = {
  address: 'dialogs',
  camera: 'photo',
  check: 'controls',
  model: 'dialogs',
  offer: 'dialogs',
  ownModel: 'dialogs',
  part: null,
  settings: 'dialogs',
  sheet: 'sheet',
};

/**
 * A view that is fetched with its first use.
 * @template {keyof typeof parts} Name
 * @param {Name} name
 * @returns {Promise<NonNullable<Parts[Name]>>}
 */
async function part(name) {
  const build = await parts[name]();
  if (!fetched[name]) {
    const view = build();
    fetched = { ...fetched, [name]: view };
    const home = HOMES[name];
    if (home) at(home).append(view.root);
    change();
  }
  return /** @type {NonNullable<Parts[Name]>} */ (fetched[name]);
}

/** Opens a dialog. @param {'address' | 'model' | 'settings'} name */
function open(name) {
  const opened = part(name).then((dialog) => {
    draw();
    dialog.open();
  });
  needed(opened, null, () => open(name));
}

/** Views under way, each with null, and those that did not arrive, with their error. @type {Map<keyof Parts, unknown>} */
const underWay = new Map();

/** Fetches the views that the state calls for. */
function fetchWanted() {
  const { photos, shown, offers, adding, choosing } = state;
  /** @type {{[Name in keyof Parts]?: boolean}} */
  const wanted = {
    camera: !!shown?.camera,
    check: !!state.check || !!shown?.checks.length,
    offer: offers.length > 0,
    ownModel: !!adding,
    part: choosing || !!shown?.region,
    sheet: photos.length > 1,
  };
  for (const name of /** @type {(keyof typeof wanted)[]} */ (Object.keys(wanted))) {
    const isSaid = underWay.get(name) === null || (underWay.has(name) && underWay.get(name) === state.trouble.error);
    // Tried again once its message is gone.
    if (!wanted[name] || fetched[name] || isSaid) continue;
    underWay.set(name, null);
    part(name).then(
      () => underWay.delete(name),
      (error) => {
        underWay.set(name, error);
        trouble(error, null, dismiss);
      },
    );
  }
}

function isDark() {
  return settings.theme ? settings.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

const checkScript = later(async (again) => {
  /** @type {typeof import('./check.js')} */
  const { checking } = await import(`./check.js${again}`);
  checks ??= checking({ state, change, session, settled: reader.settled, trouble });
  return checks;
});
/** @type {import('./check.js').Checking | null} */
let checks = null;

/** @param {(checks: import('./check.js').Checking) => void | Promise<void>} act */
function checkBy(act) {
  needed(checkScript().then(act), null, () => checkBy(act));
}

/** Puts the views into the page's sections. @param {Awaited<ReturnType<typeof mount>>} made */
function place(made) {
  const places = {
    status: [made.status],
    tools: [made.tools],
    intake: [made.intake],
    alert: [made.alert],
    photo: [made.stage],
    controls: [made.controls],
    result: [made.result],
    sheet: [],
    dialogs: [],
  };
  document.getElementById('unstarted')?.remove();
  for (const [id, inside] of Object.entries(places)) at(id).replaceChildren(...inside.map(({ root }) => root));
  const licences = element(
    'a',
    { className: 'link', href: new URL('../licenses.txt', import.meta.url).href },
    words.licences,
  );
  const brand = document.querySelector('.brand span');
  if (brand && words.site.title) brand.textContent = words.site.title;
  at('footer').replaceChildren(words.footer, ' ', licences, made.health.root);
  for (const skip of document.querySelectorAll('[data-words="skip"]')) skip.textContent = words.skip;
}

const mounted = mount();
// What is dropped on a page that is not there yet must not make the browser leave it.
watchDropsAndPastes({
  files: (files) => void mounted.then(() => addFiles(files)),
  address: (address) => void mounted.then(() => takeAddress(address)),
  over: (over) => document.body.toggleAttribute('data-over', over),
  failed: (error) => void mounted.then(() => trouble(error, null, null)),
});
views = await mounted;
void keepForOffline(models.open().then(reader.settled)).then(isolateNow);
if (asked && elsewhere && !isClosed())
  ask(
    words.offer.elsewhere(elsewhere.protocol === 'hf:' ? 'huggingface.co' : elsewhere.host || elsewhere.protocol),
    [elsewhere.href],
    () => models.useAddress(elsewhere.href),
  );
else if (asked && (elsewhere || isExported(asked))) models.useAddress(elsewhere?.href ?? asked);
void offerShared().catch((error) => trouble(error, null, null));
void models.findKept();
