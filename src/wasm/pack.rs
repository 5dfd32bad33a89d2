//! the reader's own ONNX file → what it is; its model folder, checked as by `whylens pack`.

use js_sys::{Function, Object, Uint8Array};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use super::{parse, plain, set, thrown};
use crate::Manifest;
use crate::error::{Error, Result};
use crate::model::compile::shrink::{self, Outline};
use crate::pack::{self, Inspection, Options, Original, Packed, Report, Stage};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    /// Bytes that may be used, those of other workers aside.
    memory_limit: f64,
    /// The `model.json` that came with the file, in place of options.
    manifest: Option<String>,
    #[serde(default)]
    options: Options,
}

#[derive(Serialize)]
struct Found<'a> {
    outline: &'a Outline,
    #[serde(flatten)]
    inspection: &'a Inspection,
}

#[derive(Serialize)]
struct Folder<'a> {
    manifest: &'a Manifest,
    labels: &'a str,
    report: &'a Report,
}

/// Tells what a graph is: `{ outline, manifest, classes, layers, … }`, see [`Inspection`]. `onnx` gives its bytes,
/// and `beside` holds what gives those of the files that it may keep its weights in, by name.
#[wasm_bindgen(js_name = inspectModel)]
pub fn inspect_model(
    onnx: Function,
    beside: Object,
    options: JsValue,
) -> std::result::Result<JsValue, JsValue> {
    let wanted: Wanted = parse(options).map_err(thrown)?;
    let inspect = || {
        let (_, outline) = whole(&onnx, &beside, wanted.memory_limit)?;
        let mut read = || Ok(whole(&onnx, &beside, wanted.memory_limit)?.0);
        let inspection = pack::inspect(Original::again(&mut read), &wanted.options)?;
        Ok((outline, inspection))
    };
    let (outline, inspection) = inspect().map_err(thrown)?;
    Ok(plain(&Found {
        outline: &outline,
        inspection: &inspection,
    }))
}

/// Makes a model folder: `{ manifest, report, weights }`. `progress(done, total)` is told the stages.
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
        let mut read = || Ok(whole(&onnx, &beside, wanted.memory_limit)?.0);
        let onnx = Original::again(&mut read);
        match &wanted.manifest {
            None => pack::pack(onnx, labels, &wanted.options, &mut tell),
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

/// The bytes of a file with the weights that are beside it, once it is clear that there is memory.
fn whole(onnx: &Function, beside: &Object, limit: f64) -> Result<(Vec<u8>, Outline)> {
    let mut given = read(onnx)?;
    let mut beside = |name: &str| {
        let file = js_sys::Reflect::get(beside, &name.into()).unwrap_or_default();
        let file = file.dyn_into::<Function>().map_err(|_| {
            Error::ExternalData(format!(
                "the model keeps its weights in `{name}`; add that file too"
            ))
        })?;
        read(&file)
    };
    if let Some(merged) = shrink::merge(&given, &mut beside)? {
        given = merged;
    }
    let outline = shrink::outline(&given)?;
    spare(pack::need(&outline, given.len()), limit)?;
    Ok((given, outline))
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
            "to check and pack this model about {megabytes:.0} MB of memory are needed, and {left:.0} MB are left of the limit; raise `memoryLimit`, or use `whylens pack`"
        ),
        limit: needed,
    })
}
