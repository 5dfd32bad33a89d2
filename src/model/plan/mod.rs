//! lowered graphs ⇄ a plan in the ONNX file, so that loading does not prepare the model anew.
//!
//! A plan lists the operators of the forward and the backward graph; weights are named, not repeated.
//! It is JSON in the file's `metadata_props`, so that the file stays an ordinary ONNX model. A plan of
//! another version, for other inputs or layers, or with anything unsound in it is not used: the
//! graph of the file itself is then prepared.

mod file;
mod read;
mod record;
mod step;
mod write;

use serde::{Deserialize, Serialize};
use tract_onnx::tract_core::internal::*;

use super::layer::Place;
use super::lower::Constants;
use crate::manifest::{Activation, Layout};

pub use file::File;
use step::Step;
use write::Writer;

/// Key of the plan in `metadata_props`.
pub const KEY: &str = "whylens.plan";

/// Raised with every change of what a plan means.
pub const VERSION: u32 = 1;

/// A model as it is run.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    version: u32,
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
    forward: Listing,
    backward: Option<Listing>,
}

/// Operators in order of computation, each with the numbers of those it reads.
#[derive(Serialize, Deserialize)]
struct Listing {
    steps: Vec<(Step, Vec<usize>)>,
    outputs: Vec<usize>,
}

/// A lowered graph and the constants that its kernels were packed of, by the names of the nodes.
pub struct Lowered {
    pub graph: TypedModel,
    pub constants: Constants,
}

impl Plan {
    /// Lists two lowered graphs; `file` is the ONNX file that they were made of, or one with the same
    /// weights.
    ///
    /// # Errors
    /// For operators and weights that cannot be listed.
    pub fn new(
        head: (Vec<usize>, Layout, String),
        (scores, activation, places): (Vec<usize>, Option<Activation>, Vec<Place>),
        forward: &Lowered,
        backward: Option<&Lowered>,
        file: &File,
    ) -> TractResult<Plan> {
        let (input, layout, output) = head;
        let writer = Writer::new(file);
        Ok(Plan {
            version: VERSION,
            input,
            layout,
            output,
            scores,
            activation,
            places,
            forward: writer.list(forward)?,
            backward: backward.map(|graph| writer.list(graph)).transpose()?,
        })
    }

    /// The plan of a file; none where there is none that can be read.
    pub fn find(file: &File) -> Option<Plan> {
        let plan: Plan = serde_json::from_str(file.notes.get(KEY)?).ok()?;
        (plan.version == VERSION).then_some(plan)
    }

    /// The text that is kept in the file.
    ///
    /// # Errors
    /// None that a plan can cause.
    pub fn text(&self) -> TractResult<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// The forward graph; without the layers and what the gradient needs unless `heatmap`.
    ///
    /// # Errors
    /// For a plan that does not fit the file.
    pub fn forward(&self, file: &File, heatmap: bool) -> TractResult<TypedModel> {
        let outputs = match heatmap {
            true => &self.forward.outputs[..],
            false => self.forward.outputs.get(..1).unwrap_or_default(),
        };
        let least = if heatmap { 1 + self.places.len() } else { 1 };
        ensure!(outputs.len() >= least, "outputs are missing");
        self.forward.graph(file, outputs)
    }

    /// The backward graph, if there is one.
    ///
    /// # Errors
    /// For a plan that does not fit the file.
    pub fn backward(&self, file: &File) -> TractResult<Option<TypedModel>> {
        let Some(listing) = &self.backward else {
            return Ok(None);
        };
        ensure!(
            listing.outputs.len() == self.places.len(),
            "gradients are missing"
        );
        listing.graph(file, &listing.outputs).map(Some)
    }
}

#[cfg(test)]
mod tests;
