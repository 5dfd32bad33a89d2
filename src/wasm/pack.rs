//! the reader's own ONNX file or zip → its description; its model folder, checked as by `whylens pack`.
//! Also the name of a model on the Hub → its files.

use js_sys::{Function, Object, Uint8Array};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use super::{parse, plain, set, thrown};
use crate::Manifest;
use crate::error::{Error, Result};
use crate::manifest::MOST_TEXT;
use crate::model::compile::shrink::{self, Outline};
use crate::pack::presets::{self, Preset};
use crate::pack::sources::archive::{self, Archive};
use crate::pack::sources::hub::{self, Repository};
use crate::pack::sources::{self, Choice, Files, Found};
use crate::pack::{self, Inspection, Options, Original, Packed, Report, Stage};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wanted {
    /// Bytes that may be used, not counting those of other workers.
    pub memory_limit: f64,
    /// The `model.json` that came with the file, in place of options.
    manifest: Option<String>,
    #[serde(default)]
    pub options: Options,
}

#[derive(Serialize)]
struct Seen<'a> {
    outline: &'a Outline,
    found: &'a Found,
    presets: &'a [Preset],
    #[serde(flatten)]
    inspection: &'a Inspection,
}

#[derive(Serialize)]
struct Folder<'a> {
    manifest: &'a Manifest,
    labels: &'a str,
    report: &'a Report,
}

/// Chooses a model among files by their names: `{ onnx, texts, weights }`, see [`Choice`].
#[wasm_bindgen(js_name = chooseModel)]
pub fn choose_model(names: Vec<String>) -> std::result::Result<JsValue, JsValue> {
    sources::choose(&names)
        .map(|choice| plain(&choice))
        .map_err(thrown)
}

/// The address at which the Hub lists the files of a model, by the model's name or an address on the Hub; undefined:
/// it is neither. `endpoint` is the Hub's own address if it is not the usual one.
#[wasm_bindgen(js_name = hubListing)]
pub fn hub_listing(
    name: &str,
    endpoint: Option<String>,
) -> std::result::Result<Option<String>, JsValue> {
    let endpoint = endpoint.as_deref().unwrap_or(hub::ENDPOINT);
    let found = Repository::parse(name, endpoint).map_err(thrown)?;
    Ok(found.map(|repository| repository.listing(endpoint)))
}

/// Chooses among the files that the Hub lists: `{ name, sha, choice, files }`, see [`hub::Version`].
#[wasm_bindgen(js_name = hubVersion)]
pub fn hub_version(
    name: &str,
    endpoint: Option<String>,
    listing: &[u8],
) -> std::result::Result<JsValue, JsValue> {
    let endpoint = endpoint.as_deref().unwrap_or(hub::ENDPOINT);
    let version = || {
        let repository = Repository::parse(name, endpoint)?
            .ok_or_else(|| Error::BadOption(format!("`{name}` is not on {endpoint}")))?;
        repository.version(listing, endpoint)
    };
    version().map(|version| plain(&version)).map_err(thrown)
}

/// The names of the files beside an ONNX file in which it keeps its weights; `onnx` gives its bytes.
#[wasm_bindgen(js_name = outsideWeights)]
pub fn outside_weights(onnx: Function) -> std::result::Result<Vec<String>, JsValue> {
    let names = read(&onnx).and_then(|bytes| shrink::outside(&bytes));
    names
        .map(|names| names.into_iter().collect())
        .map_err(thrown)
}

/// Describes a graph: `{ outline, found, manifest, classes, layers, … }`, see [`Found`] and [`Inspection`].
/// `onnx` gives the bytes of the file or of a zip that holds it; `beside` holds what gives those of the files that it
/// may keep its weights in, and of the texts that may say something of it, by name.
#[wasm_bindgen(js_name = inspectModel)]
pub fn inspect_model(
    onnx: Function,
    beside: Object,
    options: JsValue,
) -> std::result::Result<JsValue, JsValue> {
    let wanted: Wanted = parse(options).map_err(thrown)?;
    let inspect = || {
        let (first, texts) = whole(&onnx, &beside, wanted.memory_limit)?;
        let outline = described(&first, wanted.memory_limit)?;
        let found = sources::find(&texts, &outline)?;
        let mut read = || Ok(whole(&onnx, &beside, wanted.memory_limit)?.0);
        let onnx = Original::again(&mut read).begun(first);
        let inspection = pack::inspect(onnx, &found.fill(&wanted.options))?;
        Ok((outline, found, inspection))
    };
    let (outline, found, inspection) = inspect().map_err(thrown)?;
    Ok(plain(&Seen {
        outline: &outline,
        found: &found,
        presets: &presets::fitting(inspection.manifest.input.channels),
        inspection: &inspection,
    }))
}

/// Makes a model folder: `{ manifest, report, weights }`. What `options` leave open is as the files say.
/// `progress(done, total)` counts the stages.
#[wasm_bindgen(js_name = packModel)]
pub fn pack_model(
    onnx: Function,
    beside: Object,
    labels: &str,
    options: JsValue,
    progress: &Function,
) -> std::result::Result<JsValue, JsValue> {
    let wanted: Wanted = parse(options).map_err(thrown)?;
    let mut tell = |stage: Stage| {
        let done = stage as u32;
        let _ = progress.call2(&JsValue::UNDEFINED, &done.into(), &3.into());
    };
    let mut pack = || {
        let (first, texts) = whole(&onnx, &beside, wanted.memory_limit)?;
        let outline = described(&first, wanted.memory_limit)?;
        let mut read = || Ok(whole(&onnx, &beside, wanted.memory_limit)?.0);
        let onnx = Original::again(&mut read).begun(first);
        match &wanted.manifest {
            None => {
                let found = sources::find(&texts, &outline)?;
                pack::pack(onnx, labels, &found.fill(&wanted.options), &mut tell)
            }
            Some(json) => {
                let (manifest, _) = Manifest::parse(json.as_bytes())?;
                pack::repack(onnx, labels, manifest, &mut tell)
            }
        }
    };
    let Packed {
        manifest,
        onnx,
        labels,
        report,
    } = pack().map_err(thrown)?;
    let object = plain(&Folder {
        manifest: &manifest,
        labels: &labels,
        report: &report,
    });
    set(&object, "weights", &Uint8Array::from(&onnx[..]));
    Ok(object)
}

/// The description of a model, once it is clear that there is enough memory to pack it.
pub(super) fn described(onnx: &[u8], limit: f64) -> Result<Outline> {
    let outline = shrink::outline(onnx)?;
    spare(pack::need(&outline, onnx.len()), limit)?;
    Ok(outline)
}

/// The bytes of a model with the weights that are beside it, and the texts that came with it.
pub(super) fn whole(onnx: &Function, beside: &Object, limit: f64) -> Result<(Vec<u8>, Files)> {
    let keys = Object::keys(beside);
    let names: Vec<String> = keys.iter().filter_map(|name| name.as_string()).collect();
    let given = read(onnx)?;
    let mut get = |name: &str| {
        let file = js_sys::Reflect::get(beside, &name.into()).unwrap_or_default();
        let file = file.dyn_into::<Function>().map_err(|_| {
            Error::ExternalData(format!(
                "the model keeps its weights in `{name}`; add that file too"
            ))
        })?;
        read(&file)
    };
    let mut texts = Files::new();
    let merged = if archive::is_zip(&given) {
        let mut zip = Archive::open(&given)?;
        let Choice {
            onnx, texts: named, ..
        } = sources::choose(zip.names())?;
        for name in named {
            let text = zip.read(&name, MOST_TEXT)?;
            texts.insert(name, text);
        }
        spare(
            (given.len() as u64).saturating_add(zip.size(&onnx)?.saturating_mul(2)),
            limit,
        )?;
        let model = zip.read(&onnx, limit as u64)?;
        let folder = onnx.rsplit_once('/').map(|(folder, _)| folder);
        let mut inside = |name: &str| {
            let path = folder.map_or(name.into(), |folder| format!("{folder}/{name}"));
            zip.read(&path, limit as u64)
        };
        Some(shrink::merge(&model, &mut inside)?.unwrap_or(model))
    } else {
        for name in names.into_iter().filter(|name| sources::is_text(name)) {
            let text = get(&name)?;
            texts.insert(name, text);
        }
        shrink::merge(&given, &mut get)?
    };
    Ok((merged.unwrap_or(given), texts))
}

fn read(file: &Function) -> Result<Vec<u8>> {
    let bytes = file.call0(&JsValue::UNDEFINED).map_err(|thrown| {
        let message = thrown
            .dyn_ref::<js_sys::Error>()
            .map(js_sys::Error::message);
        Error::NotAModel(message.map_or_else(String::new, String::from))
    })?;
    Ok(bytes.unchecked_into::<Uint8Array>().to_vec())
}

fn spare(needed: u64, limit: f64) -> Result<()> {
    if needed as f64 <= limit {
        return Ok(());
    }
    let (megabytes, left) = (needed as f64 / 1e6, limit / 1e6);
    Err(Error::NeedsMemory {
        message: format!(
            "checking and packing this model needs about {megabytes:.0} MB of memory, and {left:.0} MB of the \
            limit are left; raise `memoryLimit`, or use `whylens pack`"
        ),
        limit: needed,
    })
}
