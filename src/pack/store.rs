//! classifier as given, its scores → the file to store, in the precision that keeps its answers.

use std::collections::BTreeSet;

use super::compare::{Difference, compare, span};
use super::{Original, precise};
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::manifest::{Manifest, Precision, Weights};
use crate::model::Model;
use crate::model::compile::rounded::Rounding;
use crate::model::compile::shrink;
use crate::preprocess::Tensor;
use crate::rank::Reading;

/// Largest difference of a probability that storing in FP16 may make.
pub(super) const MOST_DIFFERENCE: f32 = 0.01;
/// Largest difference of a score that storing in FP16 may make, as a share of the scores' span.
const MOST_ROUNDED: f32 = 0.05;
/// The same for what simplifying the graph may make: sums in another order.
const MOST_SIMPLIFIED: f32 = 1e-3;
/// The same if values are quantised, since a sum in another order may move one to the next step. ONNX
/// Runtime's own levels of optimisation differ by 0.02 for a DeiT-Tiny in int8.
const MOST_REQUANTISED: f32 = 0.1;

/// Share of the difference allowed that rounding some of the weights may make, since it is chosen by one image.
const MARGIN: f32 = 0.25;

/// A mixture of both precisions must store at least one byte of weights in so many in FP16.
const LEAST_ROUNDED: usize = 8;

/// How weights are stored.
pub(super) enum Storage {
    /// All that FP16 can hold in FP16.
    Half,
    /// The same, except for these.
    But(BTreeSet<String>),
    Single,
}

impl Storage {
    pub fn precision(&self) -> Precision {
        match self {
            Storage::Half | Storage::But(_) => Precision::Fp16,
            Storage::Single => Precision::Fp32,
        }
    }

    /// The file to store.
    ///
    /// # Errors
    /// Those of [`shrink::shrink`].
    pub fn file(&self, onnx: &mut Original, manifest: &Manifest) -> Result<Vec<u8>> {
        match self {
            Storage::But(single) => shrink::shrink_but(onnx.take()?, manifest, single),
            _ => shrink::shrink(onnx.take()?, manifest, self.precision()),
        }
    }
}

/// A file to store.
pub(super) struct Stored {
    pub onnx: Vec<u8>,
    /// Share of the scores' span that simplifying its graph may change.
    pub most: f32,
    /// The scores that it gives operator by operator.
    pub scores: Vec<f32>,
    /// The difference that this makes.
    pub difference: Difference,
}

/// Makes the file, describes it in the manifest, and runs it operator by operator.
///
/// # Errors
/// Those of [`shrink::shrink`] and of [`Model::as_given`].
pub(super) fn store(
    onnx: &mut Original,
    manifest: &mut Manifest,
    storage: &Storage,
    (image, before): (&Tensor, &[f32]),
) -> Result<Stored> {
    let onnx = storage.file(onnx, manifest)?;
    let outline = shrink::outline(&onnx)?;
    let mixed = matches!(storage, Storage::But(_));
    manifest.weights = Weights {
        file: "model.onnx".into(),
        bytes: onnx.len() as u64,
        sha256: sha256(&onnx),
        precision: storage.precision(),
        parameters: (outline.quantised || mixed).then_some(outline.parameters as u64),
        plan: None,
        unplanned: None,
        memory: None,
        parts: Vec::new(),
        planes: None,
    };
    let model = Model::as_given(&onnx, manifest)?;
    let scores = model.forward(image)?.scores;
    Ok(Stored {
        difference: differ(before, &scores, &model, manifest),
        most: match outline.quantised {
            true => MOST_REQUANTISED,
            false => MOST_SIMPLIFIED,
        },
        onnx,
        scores,
    })
}

/// How much scores differ; NaN and infinity are as wrong as can be.
pub(super) fn differ(
    before: &[f32],
    after: &[f32],
    model: &Model,
    manifest: &Manifest,
) -> Difference {
    let reading = Reading::of(&manifest.output, model.activation(), model.classes());
    let mut difference = compare(before, after, reading.apply);
    if !after.iter().all(|score| score.is_finite()) {
        difference.probability = 1.0;
    }
    difference
}

/// Whether the scores of the file to store can be accepted; `most` is the share of their span that simplifying the
/// graph may change.
///
/// # Errors
/// [`Error::UnsupportedModel`] if those in FP32 cannot.
pub(super) fn accept(
    storage: &Storage,
    (before, after): (&[f32], &[f32]),
    difference: &Difference,
    most: f32,
) -> Result<bool> {
    let share = difference.score / span(before);
    let finite = after.iter().all(|score| score.is_finite());
    match storage {
        Storage::Half | Storage::But(_) => Ok(finite && is_near(difference, before, most, 1.0)),
        Storage::Single if !finite => Err(Error::UnsupportedModel(
            "the scores of a made-up image are not finite".into(),
        )),
        // If scores are very large, sums in another order may change a probability; the report says so.
        Storage::Single if share <= most => Ok(true),
        Storage::Single => Err(Error::UnsupportedModel(format!(
            "simplified, the graph gives scores that differ by {:.1} % of their span from those of the graph as \
             given, so its answers would be wrong here; export it in FP32 without quantisation, or with \
             another exporter",
            share * 100.0
        ))),
    }
}

/// Whether rounding may make such a difference, or the share `part` of it.
fn is_near(difference: &Difference, before: &[f32], most: f32, part: f32) -> bool {
    let share = difference.score / span(before);
    difference.probability <= part * MOST_DIFFERENCE && share <= part * most.max(MOST_ROUNDED)
}

/// Where FP16 changes the answers: FP32 for the weights that cause it, or for all.
///
/// # Errors
/// Those of [`store`].
pub(super) fn mend(
    onnx: &mut Original,
    manifest: &Manifest,
    (image, before): (&Tensor, &[f32]),
    most: f32,
) -> Result<(Storage, usize)> {
    let file = Storage::Single.file(onnx, manifest)?;
    let rounding = Rounding::new(file.into(), manifest)?;
    let weights = &rounding.weights;
    let rounded = precise::roundable(weights.len(), |rounded| {
        let model = rounding.rounded(rounded)?;
        let scores = model.forward(image)?.scores;
        let difference = differ(before, &scores, &model, manifest);
        Ok(is_near(&difference, before, most, MARGIN))
    })?;
    let all: usize = weights.iter().map(|weight| weight.bytes).sum();
    let saved: usize = rounded.iter().map(|&at| weights[at].bytes).sum();
    if saved == 0 || saved < all / LEAST_ROUNDED {
        return Ok((Storage::Single, weights.len()));
    }
    let single = (0..weights.len()).filter(|at| !rounded.contains(at));
    let single = single.map(|at| weights[at].name.clone()).collect();
    Ok((Storage::But(single), weights.len()))
}
