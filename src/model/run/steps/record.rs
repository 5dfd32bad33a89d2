//! A plan as a file holds it; `docs/plan.md` says what each number means.

use serde::{Deserialize, Serialize};

use super::super::record::{Numbers, few};
use super::super::{File, KEY, LONGEST, MOST_STEPS};
use crate::error::{Error, Result};
use crate::manifest::{Activation, Layout};
use crate::model::layer::Place;

/// Raised with every change of what a plan means.
pub const VERSION: u32 = 2;

/// Most layers, and most tensors and lists of numbers that are named.
const MOST_NAMED: usize = 1 << 14;

/// Most tensors whose numbers share steps.
const MOST_BLOCKS: usize = 1 << 10;

/// A tensor, the bits of a number, numbers of a block, blocks of a row, the tensor of the steps, and that of the zero
/// points plus one, or 0.
pub type Blocks = [u32; 6];

/// A model as it is run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    pub version: u32,
    /// Shape of the input that it was made for.
    pub input: Vec<usize>,
    /// Axis order of the input.
    pub layout: Layout,
    /// Name of the output.
    pub output: String,
    /// Shape of the scores' tensor.
    pub scores: Vec<usize>,
    /// The softmax or sigmoid that is stepped over.
    pub activation: Option<Activation>,
    /// The layers at which heatmaps are taken.
    pub places: Vec<Place>,
    /// Names of the file's tensors that hold weights.
    #[serde(deserialize_with = "few::<MOST_NAMED, _, _>")]
    pub tensors: Vec<String>,
    /// Those of them whose numbers have a few bits and share steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "few::<MOST_BLOCKS, _, _>")]
    pub blocks: Vec<Blocks>,
    /// Lists of values.
    #[serde(deserialize_with = "few::<MOST_NAMED, _, _>")]
    pub numbers: Vec<Numbers>,
    /// Values of each space: constants, kept, work.
    pub spaces: [u32; 3],
    /// Place of each constant, and its values in `numbers`.
    #[serde(deserialize_with = "few::<MOST_NAMED, _, _>")]
    pub constants: Vec<[u32; 2]>,
    pub forward: Half,
    pub backward: Option<Half>,
    /// Where there is no gradient, the code of the error that says why, and its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unexplained: Option<(String, String)>,
}

impl Plan {
    /// Whether there is a gradient, and why not.
    ///
    /// # Errors
    /// The one for which it was left out.
    pub fn explains(&self) -> Result<()> {
        match &self.unexplained {
            None => Ok(()),
            Some((code, text)) => {
                let error = Error::UnsupportedOperator(text.clone());
                match error.code() == code {
                    true => Err(error),
                    false => Err(Error::UnsupportedModel(text.clone())),
                }
            }
        }
    }

    /// The plan of a file; none if there is none that can be read.
    pub fn find(file: &File) -> Option<Plan> {
        let text = file.notes.get(KEY).filter(|text| text.len() <= LONGEST)?;
        let plan: Plan = serde_json::from_str(text).ok()?;
        (plan.version == VERSION).then_some(plan)
    }
}

/// One of the two passes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Half {
    /// Place of what it is given: the input, or the weight of each score.
    pub given: u32,
    /// What it makes, each as a place and loops over its shape: scores and layers, or the gradient at each layer.
    pub made: Vec<Vec<u32>>,
    #[serde(deserialize_with = "few::<MOST_STEPS, _, _>")]
    pub steps: Vec<(Kind, Vec<u32>)>,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Set,
    Copy,
    Map,
    Slope,
    Pair,
    Choose,
    Reduce,
    Softmax,
    Normalise,
    Product,
    Tiles,
    Filter,
    Pack,
    Multiply,
    Largest,
    Pool,
    Fold,
    Unpool,
}
