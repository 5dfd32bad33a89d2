//! ONNX file to store → the same with its plan, and the model that a page makes of it.

use super::compare::{compare, made_up_image};
use super::store::Stored;
use crate::error::{Error, Result};
use crate::manifest::{Activation, Manifest};
use crate::model::compile::shrink;
use crate::model::{Forward, Model, Options};
use crate::preprocess::Tensor;

/// Largest difference of a score, as a share of the largest one, that the plan may make.
const MOST_PLAN_DIFFERENCE: f32 = 1e-3;

/// A stored file as a page runs it.
pub(super) struct Compiled {
    pub model: Model,
    pub forward: Forward,
    /// Why the file has no plan.
    pub unplanned: Option<Error>,
}

fn options() -> Options {
    Options {
        heatmap: true,
        ..Options::default()
    }
}

/// Adds a plan to an ONNX file (see [`shrink::with_plan`]) and checks that it gives the same scores.
///
/// # Errors
/// Those of [`shrink::with_plan`]; [`Error::UnsupportedModel`] when the plan gives different scores.
pub fn plan(onnx: &[u8], manifest: &Manifest) -> Result<Vec<u8>> {
    let image = made_up_image(&manifest.input);
    let scores = Model::as_given(onnx, manifest)?.forward(&image)?.scores;
    let planned = shrink::with_plan(onnx, manifest)?;
    let unplanned = || Model::in_a_page(onnx, manifest, &options());
    by_plan(&planned, manifest, &image, &scores, unplanned)?;
    Ok(planned)
}

/// Adds a plan, if there can be one, and returns the file with it. Without one, the file is freed before it is compiled,
/// and has to be made anew.
///
/// # Errors
/// Those of [`Model::in_a_page`] for a model without a plan.
pub(super) fn compile(
    stored: Stored,
    manifest: &Manifest,
    image: &Tensor,
) -> Result<(Option<Vec<u8>>, Compiled)> {
    let Stored {
        mut onnx, scores, ..
    } = stored;
    let bare = onnx.len();
    let planned = shrink::plan_of(&onnx, manifest).and_then(|plan| {
        onnx.reserve_exact(plan.len());
        onnx.extend(plan);
        let unplanned = || Model::in_a_page(&onnx[..bare], manifest, &options());
        by_plan(&onnx, manifest, image, &scores, unplanned)
    });
    let unplanned = match planned {
        Ok((model, forward)) => {
            let compiled = Compiled {
                model,
                forward,
                unplanned: None,
            };
            return Ok((Some(onnx), compiled));
        }
        Err(error) => Some(error),
    };
    onnx.truncate(bare);
    let model = Model::in_a_page_of(onnx.into(), manifest, &options())?;
    let forward = model.forward(image)?;
    let compiled = Compiled {
        model,
        forward,
        unplanned,
    };
    Ok((None, compiled))
}

/// The model by its plan. Its scores must be `given`, or those that it has unplanned: if summing in another order
/// changes what is quantised, they differ from both alike.
fn by_plan(
    planned: &[u8],
    manifest: &Manifest,
    image: &Tensor,
    given: &[f32],
    unplanned: impl FnOnce() -> Result<Model>,
) -> Result<(Model, Forward)> {
    let load = || {
        let model = Model::planned(planned, manifest, &options())?;
        model.ok_or_else(|| {
            let unread = shrink::read_back(planned).err();
            unread.unwrap_or_else(|| Error::UnsupportedModel("the plan is not used".into()))
        })
    };
    let model = load()?;
    let forward = model.forward(image)?;
    if apart(given, &forward.scores) <= MOST_PLAN_DIFFERENCE {
        return Ok((model, forward));
    }
    drop(model);
    let scores = unplanned()?.forward(image)?.scores;
    let share = apart(&scores, &forward.scores);
    if share <= MOST_PLAN_DIFFERENCE {
        return Ok((load()?, forward));
    }
    Err(Error::UnsupportedModel(format!(
        "with its plan, a score differs by {:.2} % of the largest",
        share * 100.0
    )))
}

fn apart(before: &[f32], after: &[f32]) -> f32 {
    let largest = before
        .iter()
        .fold(1f32, |most, score| most.max(score.abs()));
    compare(before, after, Activation::None).score / largest
}
