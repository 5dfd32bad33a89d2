//! heatmap of a photo → whether it is better than chance, for JavaScript.

use js_sys::{Array, Float32Array, Function};
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

use super::classify::run;
use super::pace::paced;
use super::{loaded, parse, plain, set, thrown};
use crate::heatmap::{CheckQuery, Fill, Sign};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CheckOptions {
    class_index: usize,
    sign: Sign,
    width: usize,
    height: usize,
    steps: usize,
    orders: usize,
    fill: Fill,
    seed: u32,
}

/// Checks a heatmap of the result `id`, whose `input` [`classify`](super::classify::classify) returned, by hiding parts
/// of the photo; calls `progress(done, total)`.
#[wasm_bindgen]
pub async fn check(
    url: String,
    id: String,
    input: JsValue,
    values: Float32Array,
    options: JsValue,
    progress: Function,
    signal: AbortSignal,
) -> std::result::Result<JsValue, JsValue> {
    let options: CheckOptions = parse(options).map_err(thrown)?;
    let query = CheckQuery {
        steps: options.steps,
        orders: options.orders,
        fill: options.fill,
        seed: options.seed.into(),
    };
    let size = (options.height, options.width);
    let loaded = loaded(&url).map_err(thrown)?;
    let run = run(&loaded, id, input).map_err(thrown)?;
    let (class, sign, values) = (options.class_index, options.sign, values.to_vec());
    let begun = loaded
        .classifier
        .borrow()
        .check_values(&run, class, sign, &values, size, &query);
    let mut checking = begun.map_err(thrown)?;
    let step = || {
        let is_done = loaded.classifier.borrow().check_step(&mut checking)?;
        Ok((!is_done).then(|| checking.progress()))
    };
    paced(step, &progress, &signal).await.map_err(thrown)?;
    let checked = checking.finish().map_err(thrown)?;
    let object = plain(&checked);
    let typed = |values: &[f32]| Float32Array::from(values);
    set(&object, "shares", &typed(&checked.shares));
    set(&object, "deletion", &typed(&checked.deletion));
    set(&object, "insertion", &typed(&checked.insertion));
    set(&object, "randomAreas", &typed(&checked.random_areas));
    let random = checked.random.iter().map(|curve| typed(curve));
    set(&object, "random", &random.collect::<Array>());
    Ok(object)
}
