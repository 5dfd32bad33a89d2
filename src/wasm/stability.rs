//! heatmap of a photo → whether small changes leave it as it is, for JavaScript.

use js_sys::{Float32Array, Function};
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

use super::classify::run;
use super::pace::paced;
use super::{loaded, parse, plain, thrown};
use crate::classifier::Made;
use crate::heatmap::{Map, Method, Sign};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StabilityOptions {
    class_index: usize,
    /// Classes that it was compared with.
    contrast: Vec<usize>,
    sign: Sign,
    method: Method,
    layers: Vec<String>,
    width: usize,
    height: usize,
    max: f32,
}

/// Makes a heatmap of the result `id`, whose `input` [`classify`](super::classify::classify) returned, again with
/// small changes of the photo; calls `progress(done, total)`.
#[wasm_bindgen]
pub async fn stability(
    url: String,
    id: String,
    input: JsValue,
    values: Float32Array,
    options: JsValue,
    progress: Function,
    signal: AbortSignal,
) -> std::result::Result<JsValue, JsValue> {
    let options: StabilityOptions = parse(options).map_err(thrown)?;
    let explained = Made {
        class_index: options.class_index,
        others: options.contrast,
        sign: options.sign,
        method: options.method,
        layers: options.layers,
        map: Map {
            width: options.width,
            height: options.height,
            values: values.to_vec(),
            max: options.max,
            signed: options.sign == Sign::Both,
        },
    };
    let loaded = loaded(&url).map_err(thrown)?;
    let run = run(&loaded, id, input).map_err(thrown)?;
    let begun = loaded.classifier.borrow().stability_of(&run, explained);
    let mut steadying = begun.map_err(thrown)?;
    let step = || {
        let classifier = loaded.classifier.borrow();
        let is_done = classifier.stability_step(&run, &mut steadying)?;
        Ok((!is_done).then(|| steadying.progress()))
    };
    paced(step, &progress, &signal).await.map_err(thrown)?;
    Ok(plain(&steadying.finish().map_err(thrown)?))
}
