//! The operators of a lowered graph, as they are listed before they are arranged as steps.

use super::blocks::Matrix;
use crate::model::run::kernel::{Activation, Patches, Window};
use crate::model::run::record::Numbers;
use crate::model::run::steps::functions::{Binary, Unary};

/// An operator with one output.
#[derive(Debug, Clone)]
pub enum Step {
    Source(Vec<usize>),
    Constant {
        shape: Vec<usize>,
        values: Numbers,
    },
    Product {
        weights: Weights,
        patches: Patches,
        padding: Option<(usize, Window)>,
        activation: Activation,
        output: Vec<usize>,
    },
    Filter {
        weights: Weights,
        window: Window,
        activation: Activation,
        output: Vec<usize>,
    },
    Largest {
        channels: usize,
        window: Window,
        output: Vec<usize>,
    },
    /// Positions of each axis in the two inputs and in the output.
    Contract(Vec<[Option<usize>; 3]>),
    AddAxis(usize),
    RemoveAxis(usize),
    MoveAxis(usize, usize),
    Reshape,
    Sum(Vec<usize>),
    Max(Vec<usize>),
    MeanOfSquares(Vec<usize>),
    /// A function and its parameter.
    Unary(Unary, f32),
    SlopeOf(Unary, f32),
    /// 1, 0 or -1
    Sign,
    RmsNorm {
        axis: usize,
        epsilon: f32,
    },
    Pad {
        pads: Vec<(usize, usize)>,
        value: f32,
    },
    Binary(Binary),
    Choose,
    /// The same numbers: of truth values, or whole.
    Same,
    /// The whole part of a number.
    Truncate,
    Fill(Vec<usize>),
    Fold(Window),
    Unpool(Window),
    Concat(usize),
    Slice(usize, usize, usize),
    Downsample(usize, usize, usize),
    Softmax(Vec<usize>),
    SumPool {
        window: PoolRecord,
        count_padding: bool,
        mean: bool,
    },
}

/// Weights by the name of the file's tensor, and how they lie in it; `scale` and `bias` as in
/// [`Arrangement`](crate::model::run::weights::Arrangement).
#[derive(Debug, Clone)]
pub struct Weights {
    pub tensor: String,
    /// Where its steps are, if its numbers share them.
    pub blocks: Option<Matrix>,
    /// Where the first weight is in the tensor.
    pub start: usize,
    pub groups: usize,
    pub inputs: usize,
    pub taps: usize,
    pub strides: [usize; 3],
    pub scale: Numbers,
    pub bias: Numbers,
}

/// A pooling over axes kept channels-last, or first.
#[derive(Debug, Clone)]
pub struct PoolRecord {
    pub batch: bool,
    pub last: bool,
    pub kernel: Vec<usize>,
    pub before: Vec<usize>,
    pub strides: Option<Vec<usize>>,
    pub dilations: Option<Vec<usize>>,
}
