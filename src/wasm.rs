//! The JavaScript surface: what `www/worker/worker.js` calls. Bulk data are typed arrays, records plain
//! objects.

mod check;
mod classify;
mod pace;
#[cfg(feature = "compile")]
mod pack;
#[cfg(feature = "compile")]
mod preview;
#[cfg(feature = "profile")]
mod profile;
mod stability;
#[cfg(target_feature = "atomics")]
mod threads;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::{Either, select, try_join};
use futures_util::lock::Mutex;
use js_sys::{Function, Promise, Reflect};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortSignal;
use web_time::Instant;

use crate::classifier::Classifier;
use crate::error::{Error, Result};
use crate::estimate;
use crate::fetch::{self, Log, Patience, Source};
use crate::heatmap::Method;
use crate::manifest::{MOST_TEXT, Manifest};
use crate::memory;
use crate::model::{Layer, Options, PLAN, threads};
use crate::preload::Preload;
use crate::result::Run;

thread_local! {
    /// Address of `model.json` → its guard, which is kept when the model is disposed of.
    static MODELS: RefCell<BTreeMap<String, Preload<Loaded>>> = const { RefCell::new(BTreeMap::new()) };
    /// Different models load one after the other, so that their peaks of memory do not add up.
    static TURN: Rc<Mutex<()>> = Rc::default();
}

struct Loaded {
    classifier: RefCell<Classifier>,
    info: RefCell<Info>,
    report: RefCell<Report>,
    /// The newest run, and the id of its result: other classes of the same photo need no other run.
    newest: RefCell<Option<(String, Arc<Run>)>>,
    options: LoadOptions,
    weights: String,
}

/// `classifier.model` in JavaScript.
#[derive(Clone, Serialize)]
struct Info {
    url: String,
    name: String,
    version: String,
    license: String,
    source: String,
    disclaimer: Option<String>,
    threshold: Option<f64>,
    bytes: u64,
    sha256: String,
    precision: crate::manifest::Precision,
    activation: crate::manifest::Activation,
    width: u32,
    height: u32,
    input: crate::manifest::Input,
    /// Version of this crate.
    library: &'static str,
    language: String,
    labels: Vec<String>,
    layers: Vec<Layer>,
    candidates: Vec<Layer>,
    methods: Vec<Method>,
    layerless: Vec<Method>,
    #[serde(rename = "oneSided")]
    one_sided: Vec<Method>,
    costs: BTreeMap<Method, usize>,
}

#[derive(Serialize)]
struct Loading<'a> {
    model: &'a Info,
    report: &'a Report,
}

/// What a load did, for `health()`.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    log: Log,
    warnings: Vec<String>,
    parsed: u32,
    optimised: u32,
    /// Bytes that were estimated before the download, and those that were in use after it.
    estimated: u64,
    needed: u64,
    peak: u64,
    timing: LoadTiming,
}

/// Milliseconds.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct LoadTiming {
    manifest: f64,
    download: f64,
    prepare: f64,
    warm_up: f64,
    total: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoadOptions {
    heatmap: bool,
    memory_limit: f64,
    languages: Vec<String>,
    cache: Option<String>,
    #[serde(flatten)]
    patience: Patience,
    /// Whether a model without a plan runs once, so that the first photo is fast; not if one is waiting.
    #[serde(default = "yes")]
    warm_up: bool,
    /// Threads that may run the plan.
    #[serde(default = "one")]
    threads: usize,
    /// Bytes that other modules in this worker take up.
    #[serde(default)]
    memory_elsewhere: f64,
    /// What the module that hands over the model did, and the `model.json` that it has read.
    #[serde(default)]
    earlier: Earlier,
    manifest: Option<String>,
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

#[derive(Default, Deserialize)]
struct Earlier {
    requests: u32,
    parsed: u32,
    optimised: u32,
}

/// Runs when the module is instantiated.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| {
        console_error_panic_hook::hook(panic);
        // The worker reads it when the trap that follows reaches it.
        let text = JsValue::from(panic.to_string());
        let _ = Reflect::set(&js_sys::global(), &"whylensPanic".into(), &text);
    }));
}

/// Downloads and loads the model whose `model.json` is at `url`, once however often it is called; returns
/// `{ model, report }`. `progress(phase, loaded, total)` is that of the call that started the load.
/// Aborting gives up waiting; the load stops when nobody waits any more. Without the feature `compile`,
/// models without a plan are refused with the code `unplanned`, before their weights are requested.
#[wasm_bindgen]
pub async fn load(
    url: String,
    options: JsValue,
    progress: Function,
    signal: AbortSignal,
) -> std::result::Result<JsValue, JsValue> {
    let options: LoadOptions = parse(options).map_err(thrown)?;
    let loading = MODELS.with_borrow_mut(|models| {
        let guard = models.entry(url.clone()).or_default();
        guard.get_or_load(move || read(url, options, progress))
    });
    let aborted = pin!(aborted(&signal));
    let loaded = match select(loading, aborted).await {
        Either::Left((loaded, _)) => loaded.map_err(thrown)?,
        Either::Right(_) => return Err(thrown(Error::Cancelled)),
    };
    let (model, report) = (&loaded.info.borrow(), &loaded.report.borrow());
    Ok(plain(&Loading { model, report }))
}

async fn aborted(signal: &AbortSignal) {
    let abort = Promise::new(&mut |resolve, _| {
        if signal.aborted() {
            let _ = resolve.call0(&JsValue::UNDEFINED);
        }
        let _ = signal.add_event_listener_with_callback("abort", &resolve);
    });
    let _ = JsFuture::from(abort).await;
}

async fn read(url: String, mut options: LoadOptions, progress: Function) -> Result<Loaded> {
    let turn = TURN.with(Rc::clone);
    let _turn = turn.lock().await;
    let start = Instant::now();
    let mut report = Report::default();
    let tell = |phase: &str, loaded: u64, total: u64| {
        let (loaded, total) = (loaded as f64, total as f64);
        let _ = progress.call3(
            &JsValue::UNDEFINED,
            &phase.into(),
            &loaded.into(),
            &total.into(),
        );
    };

    let json = match options.manifest.take() {
        Some(text) => text.into_bytes(),
        None => fetch::get(&url, MOST_TEXT, options.patience).await?,
    };
    let (mut manifest, warnings) = Manifest::parse(&json)?;
    manifest.speak(&options.languages);
    report.warnings = warnings;
    report.timing.manifest = milliseconds(start);

    if !cfg!(feature = "compile") && manifest.weights.plan != Some(PLAN) {
        return Err(Error::Unplanned(String::from_utf8(json).ok()));
    }

    let elsewhere = options.memory_elsewhere as u64;
    let (used, limit) = (wasm_memory() as u64 + elsewhere, options.memory_limit);
    let threads = threads(Some(options.threads));
    report.estimated = estimate::check(&manifest, (options.heatmap, threads), used, limit)?;

    let downloading = Instant::now();
    let total = manifest.weights.bytes;
    tell("download", 0, total);
    let weights = fetch::beside(&manifest.weights.file, &url)?;
    let source = Source {
        url: &weights,
        weights: &manifest.weights,
        cache: options.cache.as_deref(),
        patience: options.patience,
    };
    let log = RefCell::new(Log::default());
    let (language, file) = manifest.label_file(&options.languages);
    let (language, labels) = (language.to_string(), fetch::beside(file, &url)?);
    let downloaded = |loaded| tell("download", loaded, total);
    let (labels, onnx) = try_join(
        fetch::get(&labels, MOST_TEXT, options.patience),
        fetch::weights(&source, &log, &downloaded),
    )
    .await?;
    report.log = log.into_inner();
    report.log.requests += options.earlier.requests;
    report.timing.download = milliseconds(downloading);

    tell("prepare", 0, 1);
    // Lets an abort that came meanwhile be heard before this thread is busy.
    fetch::sleep(0.0).await;
    let compiling = Instant::now();
    memory::forget_peak();
    let wanted = Options {
        heatmap: options.heatmap,
        memory: Some((limit - options.memory_elsewhere).max(0.0) as u64),
        threads: Some(options.threads),
        ..Options::default()
    };
    let mut classifier = Classifier::new(manifest, &labels, onnx, &wanted)?;
    report.parsed = options.earlier.parsed + 1;
    report.optimised = options.earlier.optimised + 1;
    report.timing.prepare = milliseconds(compiling);
    let warming = Instant::now();
    // What a plan holds can be run; the worker does that once the page knows that the model is ready.
    if options.warm_up && classifier.unplanned().is_some() {
        classifier.warm_up()?;
    }
    report.warnings.extend(classifier.warnings());
    report.warnings.extend(classifier.unplanned());
    if let (true, Err(error)) = (options.heatmap, classifier.explainable()) {
        report.warnings.push(error.to_string());
    }
    report.timing.warm_up = milliseconds(warming);
    report.timing.total = milliseconds(start);
    (report.needed, report.peak) = (memory::live() as u64, memory::peak() as u64);
    tell("prepare", 1, 1);

    let manifest = classifier.manifest();
    let those = |are: fn(&Method) -> bool| classifier.methods().into_iter().filter(are).collect();
    let info = Info {
        url,
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        license: manifest.license.clone(),
        source: manifest.source.clone(),
        disclaimer: manifest.disclaimer.clone(),
        threshold: manifest.output.threshold,
        bytes: manifest.weights.bytes,
        sha256: manifest.weights.sha256.clone(),
        precision: manifest.weights.precision,
        activation: classifier.activation(),
        width: manifest.input.width,
        height: manifest.input.height,
        input: manifest.input.clone(),
        library: env!("CARGO_PKG_VERSION"),
        language,
        labels: classifier.labels().to_vec(),
        layers: classifier.layers().to_vec(),
        candidates: match options.heatmap {
            true => manifest.heatmap.layers.clone(),
            false => Vec::new(),
        },
        methods: classifier.methods(),
        layerless: those(|method| !method.needs_layer()),
        one_sided: those(|method| !method.has_sign()),
        costs: classifier.costs().into_iter().collect(),
    };
    Ok(Loaded {
        classifier: RefCell::new(classifier),
        info: RefCell::new(info),
        report: RefCell::new(report),
        newest: RefCell::default(),
        options,
        weights,
    })
}

/// Makes sure that heatmaps of these layers, or by a method whose layer is the input, can be made: compiles the model
/// again if it was loaded without one of them, from the cache if there is one. Returns `{ model, report }` if so.
/// Without the feature `compile`, layers outside the plan are refused with the code `unplanned`.
#[wasm_bindgen(js_name = addLayers)]
pub async fn add_layers(
    url: String,
    layers: Vec<String>,
    method: JsValue,
) -> std::result::Result<JsValue, JsValue> {
    let method: Option<Method> = parse(method).map_err(thrown)?;
    let first = loaded(&url).map_err(thrown)?;
    let layers = match method {
        Some(Method::IntegratedGradients) => {
            vec![first.classifier.borrow().manifest().input.name.clone()]
        }
        _ => layers,
    };
    let missing = |loaded: &Loaded| {
        let classifier = loaded.classifier.borrow();
        let own = classifier.layers();
        let there = |layer: &String| own.iter().any(|own| own.name == *layer);
        loaded.options.heatmap && !layers.iter().all(there)
    };
    if !missing(&first) {
        return Ok(JsValue::UNDEFINED);
    }
    drop(first);
    let turn = TURN.with(Rc::clone);
    let _turn = turn.lock().await;
    let loaded = loaded(&url).map_err(thrown)?;
    if !missing(&loaded) {
        return Ok(JsValue::UNDEFINED);
    }
    let weights = {
        let classifier = loaded.classifier.borrow();
        if !cfg!(feature = "compile") {
            return Err(thrown(Error::Unplanned(None)));
        }
        let (manifest, options) = (classifier.manifest(), &loaded.options);
        let used = memory::live() as u64 + options.memory_elsewhere as u64;
        let threads = threads(Some(options.threads));
        estimate::check(manifest, (true, threads), used, options.memory_limit).map_err(thrown)?;
        manifest.weights.clone()
    };
    let source = Source {
        url: &loaded.weights,
        weights: &weights,
        cache: loaded.options.cache.as_deref(),
        patience: loaded.options.patience,
    };
    let log = RefCell::new(Log::default());
    let onnx = fetch::weights(&source, &log, &|_| ())
        .await
        .map_err(thrown)?;
    let mut classifier = loaded.classifier.borrow_mut();
    loaded.newest.take();
    classifier.add_layers(&onnx, &layers).map_err(thrown)?;
    let mut report = loaded.report.borrow_mut();
    report.log.requests += log.into_inner().requests;
    report.parsed += 1;
    report.optimised += 1;
    loaded.info.borrow_mut().layers = classifier.layers().to_vec();
    let (model, report) = (&*loaded.info.borrow(), &*report);
    Ok(plain(&Loading { model, report }))
}

/// What loading a model did so far; none when it is not loaded.
#[wasm_bindgen]
pub fn report(url: &str) -> JsValue {
    loaded(url).map_or(JsValue::UNDEFINED, |loaded| plain(&*loaded.report.borrow()))
}

/// Drops a model; a load of it under way is stopped, and its waiters get `disposed`.
#[wasm_bindgen]
pub fn dispose(url: &str) {
    MODELS.with_borrow(|models| {
        if let Some(guard) = models.get(url) {
            guard.dispose();
        }
    });
}

/// Chooses the kernels that suit this machine; see [`crate::model::tune`].
#[wasm_bindgen]
pub fn tune(threads: bool) -> bool {
    crate::model::tune(threads)
}

/// Bytes: `{ wasm, live, peak, refused }`, see [`memory`]. Safe to call after a trap.
#[wasm_bindgen(js_name = memoryUse)]
pub fn memory_use() -> Vec<f64> {
    [
        wasm_memory(),
        memory::live(),
        memory::peak(),
        memory::refused(),
    ]
    .map(|bytes| bytes as f64)
    .to_vec()
}

fn wasm_memory() -> usize {
    core::arch::wasm32::memory_size(0) * 65536
}

fn loaded(url: &str) -> Result<Rc<Loaded>> {
    MODELS
        .with_borrow(|models| models.get(url).and_then(Preload::get))
        .ok_or(Error::Disposed)
}

fn parse<T: serde::de::DeserializeOwned>(value: JsValue) -> Result<T> {
    serde_wasm_bindgen::from_value(value).map_err(|error| Error::BadOption(error.to_string()))
}

fn plain<T: Serialize>(value: &T) -> JsValue {
    value
        .serialize(&serde_wasm_bindgen::Serializer::json_compatible())
        .unwrap_or(JsValue::NULL)
}

fn set(object: &JsValue, name: &str, value: &JsValue) {
    let _ = Reflect::set(object, &name.into(), value);
}

/// Most bytes of a message: file names and names in a graph may be of any length.
const LONGEST_MESSAGE: usize = 2000;

fn thrown(error: Error) -> JsValue {
    let text = error.to_string();
    let object = js_sys::Error::new(&text[..text.floor_char_boundary(LONGEST_MESSAGE)]);
    set(&object, "code", &error.code().into());
    if let Error::Unplanned(Some(manifest)) = error {
        set(&object, "manifest", &manifest.into());
    } else if let Error::NeedsMemory { limit, .. } = error {
        set(&object, "limit", &(limit as f64).into());
    } else if let Error::ImageCut { percent, .. } = error {
        set(
            &object,
            "percent",
            &percent.map_or(JsValue::NULL, JsValue::from),
        );
    }
    object.into()
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}
