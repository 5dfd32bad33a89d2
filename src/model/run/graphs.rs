//! The plan of version 1 in an ONNX file → graphs that tract runs. [`super::steps`] takes its place.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tract_onnx::tract_core::internal::*;

use super::read::{Sketch, Unread};
use super::step::Step;
use super::{File, KEY, LONGEST, MOST_STEPS, record};
use crate::manifest::{Activation, Layout};
use crate::model::layer::Place;

/// Raised with every change of what a plan means.
pub const VERSION: u32 = 1;

/// A model as it is run.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    pub version: u32,
    /// What the plan was made for.
    pub input: Vec<usize>,
    /// Axis order of the input.
    pub layout: Layout,
    /// Name of the output.
    pub output: String,
    /// Shape of the scores' tensor.
    pub scores: Vec<usize>,
    /// The softmax or sigmoid that is stepped over.
    pub activation: Option<Activation>,
    /// The layers that follow the scores in the outputs of `forward`.
    pub places: Vec<Place>,
    pub forward: Listing,
    pub backward: Option<Listing>,
}

/// Operators in order of computation, each with the numbers of those it reads.
#[derive(Serialize, Deserialize)]
pub struct Listing {
    #[serde(deserialize_with = "record::few::<MOST_STEPS, _, _>")]
    pub steps: Vec<(Step, Vec<usize>)>,
    #[serde(deserialize_with = "record::few::<MOST_STEPS, _, _>")]
    pub outputs: Vec<usize>,
}

impl Plan {
    /// The plan of a file; none if there is none that can be read.
    pub fn find(file: &File) -> Option<Plan> {
        let text = file.notes.get(KEY).filter(|text| text.len() <= LONGEST)?;
        let plan: Plan = serde_json::from_str(text).ok()?;
        (plan.version == VERSION).then_some(plan)
    }

    /// Both graphs except the weights; without the layers and what the gradient needs unless `heatmap`.
    ///
    /// # Errors
    /// For a plan that does not fit the file, or whose graphs do not fit each other.
    pub fn sketch(&self, file: &File, heatmap: bool) -> TractResult<Halves> {
        let outputs = match heatmap {
            true => &self.forward.outputs[..],
            false => self.forward.outputs.get(..1).unwrap_or_default(),
        };
        let maps = if heatmap { self.places.len() } else { 0 };
        ensure!(outputs.len() > maps, "outputs are missing");
        let forward = self.forward.sketch(file, outputs)?;
        let sources = shapes(&forward.graph, &forward.graph.inputs)?;
        ensure!(
            sources.len() == 1 && sources[0][..] == self.input[..],
            "another input"
        );
        let made = shapes(&forward.graph, &forward.graph.outputs)?;
        ensure!(made[0][..] == self.scores[..], "other scores");
        if !heatmap {
            return Ok(Halves::new(forward, None));
        }
        let listing = self.backward.as_ref().context("there is no gradient")?;
        ensure!(listing.outputs.len() == maps, "gradients are missing");
        let backward = listing.sketch(file, &listing.outputs)?;
        let handed = shapes(&backward.graph, &backward.graph.inputs)?;
        let scores = made[..1].iter();
        ensure!(
            handed.iter().eq(scores.chain(&made[1 + maps..])),
            "the gradient is of another graph"
        );
        Ok(Halves::new(forward, Some(backward)))
    }
}

fn shapes(graph: &TypedModel, outlets: &[OutletId]) -> TractResult<Vec<TVec<usize>>> {
    let shape = |&outlet: &OutletId| -> TractResult<TVec<usize>> {
        let fact = graph.outlet_fact(outlet)?;
        Ok(fact.shape.as_concrete().context("of open shape")?.into())
    };
    outlets.iter().map(shape).collect()
}

/// The graphs of a plan, their weights still in the file.
pub struct Halves {
    /// Image → scores, then the layers, then what the gradient needs.
    pub forward: Sketch,
    /// The gradients.
    pub backward: Option<Sketch>,
    /// The weights to be read, and whether they are for the gradients; those that end last in the file come
    /// first.
    unread: Vec<(bool, Unread)>,
}

/// Bytes that weights take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needed {
    /// Permanently.
    pub kept: u64,
    /// At most, while they are read, with what is left of the file.
    pub most: u64,
}

/// The graphs of a plan, ready to be run.
type Ready = (Arc<TypedSimplePlan>, Option<Arc<TypedSimplePlan>>);

impl Halves {
    fn new(mut forward: Sketch, mut backward: Option<Sketch>) -> Halves {
        let first = std::mem::take(&mut forward.unread).into_iter();
        let second = backward
            .as_mut()
            .map(|half| std::mem::take(&mut half.unread));
        let second = second.into_iter().flatten().map(|unread| (true, unread));
        let mut unread: Vec<_> = first.map(|unread| (false, unread)).chain(second).collect();
        unread.sort_by_key(|(_, unread)| Reverse(unread.end));
        Halves {
            forward,
            backward,
            unread,
        }
    }

    /// What the weights take, from a file of this many bytes that is freed as it is read.
    pub fn needed(&self, file: usize) -> Needed {
        let sum = u64::saturating_add;
        let unread = || self.unread.iter().map(|(_, unread)| unread);
        let mut kept = unread().fold(0, |all, unread| sum(all, unread.told));
        let mut most = sum(kept, file as u64);
        for unread in unread() {
            let [packed, moment] = unread.bytes;
            kept = sum(kept, packed);
            let left = unread.end.min(file) as u64;
            most = most.max(sum(sum(left, kept), moment));
            kept -= unread.told;
        }
        Needed { kept, most }
    }

    /// Reads the weights, from the end of the file backwards; an owned file is freed as it is read.
    ///
    /// # Errors
    /// Those of [`Sketch::ready`].
    pub fn read(mut self, onnx: &mut Cow<[u8]>) -> TractResult<Ready> {
        for (second, unread) in self.unread {
            if let Cow::Owned(bytes) = onnx {
                bytes.truncate(unread.end);
                bytes.shrink_to_fit();
            }
            match &mut self.backward {
                Some(backward) if second => backward.read(unread, onnx)?,
                _ => self.forward.read(unread, onnx)?,
            }
        }
        let backward = self.backward.map(Sketch::ready).transpose()?;
        Ok((self.forward.ready()?, backward))
    }
}
