//! Plan → bytes of memory that it needs in a page.

use super::layer::Place;
#[cfg(feature = "compile")]
use super::run::File;
use super::run::steps::read::Draft;
use super::run::steps::record::Plan;
#[cfg(feature = "compile")]
use crate::manifest::Memory;

/// Bytes that a model needs.
pub(super) struct Needed {
    /// Most values that one run holds at once.
    pub work: u64,
    /// The most at any time: with the weights, or while they are read.
    pub most: u64,
}

/// What a plan needs that is read from a file of this many bytes, which is freed as it is read.
pub(super) fn needed(plan: &Plan, draft: &Draft, file: usize, heatmap: bool) -> Needed {
    let needed = draft.needed(file);
    let classes = plan.scores.iter().product::<usize>() as u64;
    let places = plan.places.iter().filter(|_| heatmap);
    let made = places
        .map(Place::bytes)
        .fold(4 * classes, u64::saturating_add);
    let input = 4 * plan.input.iter().product::<usize>() as u64;
    // Of this photo, of the previous one and, where a gradient explains nothing, of a blank one: the input, what is
    // kept, and what is made, before and after it is brought into the order of a map.
    let run = needed.kept.saturating_add(2 * made);
    let runs = run.saturating_mul(2 + u64::from(heatmap));
    let work = needed.work.saturating_add(runs).saturating_add(3 * input);
    Needed {
        work,
        most: needed.weights.saturating_add(work).max(needed.reading),
    }
}

/// What the plan in a file needs; none without a plan.
#[cfg(feature = "compile")]
pub fn memory(onnx: &[u8]) -> Option<Memory> {
    let file = File::read(onnx);
    let plan = Plan::find(&file)?;
    let most = |heatmap: bool| {
        let draft = plan.draft(&file, heatmap).ok()?;
        Some(needed(&plan, &draft, onnx.len(), heatmap).most)
    };
    let scratch = [true, false].map(|heatmap| Some(plan.draft(&file, heatmap).ok()?.scratch));
    let scratch = scratch.into_iter().flatten().max().unwrap_or(0);
    Some(Memory {
        classify: most(false)?,
        explain: most(true),
        thread: (scratch * size_of::<f32>()) as u64,
    })
}
