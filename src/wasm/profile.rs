//! A model's files → how long the steps of its plan take. Only with the feature `profile`.

use wasm_bindgen::prelude::*;

use crate::manifest::Manifest;
use crate::model::{Model, Options};
use crate::preprocess::Tensor;

/// A table for people; `manifest` holds the bytes of `model.json`. Without heatmaps, on an input of the same value
/// everywhere.
///
/// # Errors
/// Those of [`Model::load`], and for a model without a plan.
#[wasm_bindgen]
pub fn profile(manifest: &[u8], onnx: Vec<u8>, rounds: usize) -> Result<String, JsError> {
    crate::model::tune(false);
    let (manifest, _) = Manifest::parse(manifest)?;
    let model = Model::planned(onnx, &manifest, &Options::default())?;
    let model = model.ok_or_else(|| JsError::new("no plan"))?;
    let shape = manifest.input.shape().to_vec();
    let values = vec![0.5; shape.iter().product()];
    let table = model.profile(&Tensor { shape, values }, rounds);
    table.ok_or_else(|| JsError::new("no plan"))
}
