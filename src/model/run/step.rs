//! An operator of a lowered graph, as it is listed before it is arranged as steps.

use super::listed::{ActivationRecord, PatchesRecord, PoolRecord, Weights, WindowRecord};
use super::record::Numbers;
use super::steps::functions::{Binary, Unary};

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
        patches: PatchesRecord,
        padding: Option<(usize, WindowRecord)>,
        activation: ActivationRecord,
        output: Vec<usize>,
    },
    Filter {
        weights: Weights,
        window: WindowRecord,
        activation: ActivationRecord,
        output: Vec<usize>,
    },
    Largest {
        channels: usize,
        window: WindowRecord,
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
    Fold(WindowRecord),
    Unpool(WindowRecord),
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
