//! operator of a lowered graph ⇄ its record in a plan.

use serde::{Deserialize, Serialize};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, Slice, TypedConcat};
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::SumPool;
use tract_onnx::tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_onnx::tract_core::ops::logic::{Iff, comp_eq, comp_gt, comp_gte, comp_lt, comp_lte};
use tract_onnx::tract_core::ops::nn::{
    GeluExact, HardSwish, LeakyRelu, Reduce, Reducer, RmsNorm, Sigmoid, Silu, Softmax,
};
use tract_onnx::tract_core::ops::{Downsample, change_axes::AxisOp, math};

use super::listed::{ActivationRecord, PatchesRecord, PoolRecord, Weights, WindowRecord};
use super::ops::{Contract, Fill, Fold, Largest, Slope, Unpool};
use super::record::{MOST_SIDE, Numbers};
/// An operator with one output.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    Reshape(usize, Vec<usize>, Vec<usize>),
    Sum(Vec<usize>),
    Max(Vec<usize>),
    MeanOfSquares(Vec<usize>),
    Unary(String),
    SlopeOf(String),
    LeakyRelu(f32),
    RmsNorm {
        axis: usize,
        epsilon: f32,
    },
    Pad {
        pads: Vec<(usize, usize)>,
        value: f32,
    },
    Binary(String),
    Choose,
    TruthToNumber,
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

impl Step {
    /// Names of the file's tensors that it reads.
    pub fn tensors(&self) -> Vec<&str> {
        fn numbers(numbers: &Numbers) -> Option<&str> {
            match numbers {
                Numbers::Of(name) => Some(name),
                Numbers::These(_) => None,
            }
        }
        match self {
            Step::Constant { values, .. } => numbers(values).into_iter().collect(),
            Step::Product { weights, .. } | Step::Filter { weights, .. } => {
                let others = [&weights.scale, &weights.bias].map(numbers);
                let names = [Some(weights.tensor.as_str())].into_iter().chain(others);
                names.flatten().collect()
            }
            _ => Vec::new(),
        }
    }
}

fn dims(sizes: &[usize]) -> TVec<TDim> {
    sizes.iter().map(|size| size.to_dim()).collect()
}

pub fn unary(name: &str) -> Option<Box<dyn ElementWiseMiniOp>> {
    Some(match name {
        "Abs" => Box::new(math::Abs {}),
        "Neg" => Box::new(math::Neg {}),
        "Exp" => Box::new(math::Exp {}),
        "Ln" => Box::new(math::Ln {}),
        "Square" => Box::new(math::Square {}),
        "Sqrt" => Box::new(math::Sqrt {}),
        "Rsqrt" => Box::new(math::Rsqrt {}),
        "Recip" => Box::new(math::Recip {}),
        "Tanh" => Box::new(math::Tanh {}),
        "Erf" => Box::new(math::Erf {}),
        "Sigmoid" => Box::new(Sigmoid {}),
        "Silu" => Box::new(Silu {}),
        "HardSwish" => Box::new(HardSwish {}),
        "GeluExact" => Box::new(GeluExact {}),
        _ => return None,
    })
}

pub fn binary(name: &str) -> Option<Box<dyn BinMiniOp>> {
    Some(match name {
        "Add" => Box::new(math::Add),
        "Sub" => Box::new(math::Sub),
        "SubF" => Box::new(math::SubF),
        "Mul" => Box::new(math::Mul),
        "Div" => Box::new(math::Div),
        "Min" => Box::new(math::Min),
        "Max" => Box::new(math::Max),
        "Pow" => Box::new(math::Pow),
        _ => return comparison(name),
    })
}

fn comparison(name: &str) -> Option<Box<dyn BinMiniOp>> {
    let all = [comp_eq(), comp_gt(), comp_gte(), comp_lt(), comp_lte()];
    all.into_iter().find(|op| op.name() == name)
}

impl Step {
    /// The operator; those with weights or constants are made when the plan is read.
    ///
    /// # Errors
    /// For a record that does not fit inputs of these shapes.
    pub fn op(&self, inputs: &[TVec<usize>]) -> TractResult<Box<dyn TypedOp>> {
        let rank = inputs.first().map_or(0, |shape| shape.len());
        let first = |axis: usize| -> TractResult<usize> {
            Ok(*inputs
                .first()
                .and_then(|shape| shape.get(axis))
                .context("no such axis")?)
        };
        let axis = |axis: usize| {
            ensure!(axis < rank, "axis {axis} of {rank}");
            Ok(axis)
        };
        let all = |axes: &[usize]| {
            axes.iter()
                .map(|&a| axis(a))
                .collect::<TractResult<TVec<usize>>>()
        };
        let reduce = |axes: &[usize], reducer| -> TractResult<Box<dyn TypedOp>> {
            Ok(Box::new(Reduce::new(all(axes)?, reducer)))
        };
        Ok(match self {
            Step::Contract(axes) => Box::new(Contract::new(axes)?),
            Step::AddAxis(at) => {
                ensure!(*at <= rank, "axis {at} of {rank}");
                Box::new(AxisOp::Add(*at))
            }
            Step::RemoveAxis(at) => {
                ensure!(first(axis(*at)?)? == 1, "axis {at} is not 1 long");
                Box::new(AxisOp::Rm(*at))
            }
            Step::MoveAxis(from, to) => Box::new(AxisOp::Move(axis(*from)?, axis(*to)?)),
            Step::Reshape(at, from, to) => {
                let end = at.checked_add(from.len());
                let there = inputs.first().zip(end);
                let there = there.and_then(|(shape, end)| shape.get(*at..end));
                let volume =
                    |shape: &[usize]| shape.iter().try_fold(1usize, |p, &n| p.checked_mul(n));
                ensure!(
                    there == Some(&from[..])
                        && volume(from).is_some()
                        && volume(from) == volume(to),
                    "a reshape that does not fit"
                );
                Box::new(AxisOp::Reshape(*at, dims(from), dims(to)))
            }
            Step::Sum(axes) => reduce(axes, Reducer::Sum)?,
            Step::Max(axes) => reduce(axes, Reducer::Max)?,
            Step::MeanOfSquares(axes) => reduce(axes, Reducer::MeanOfSquares)?,
            Step::Unary(name) => {
                let op = unary(name).with_context(|| format!("no operator {name}"))?;
                Box::new(ElementWiseOp(op, None))
            }
            Step::SlopeOf(name) => {
                let op = unary(name).and_then(|op| Slope::of(op.as_ref()));
                let op = op.with_context(|| format!("no derivative of {name}"))?;
                Box::new(ElementWiseOp(Box::new(op), None))
            }
            Step::LeakyRelu(alpha) => {
                Box::new(ElementWiseOp(Box::new(LeakyRelu { alpha: *alpha }), None))
            }
            Step::RmsNorm { axis: at, epsilon } => Box::new(RmsNorm {
                axis: axis(*at)?,
                eps: tensor0(*epsilon).into(),
            }),
            Step::Pad { pads, value } => {
                let small = |&(before, after): &(usize, usize)| before.max(after) <= MOST_SIDE;
                ensure!(
                    pads.len() == rank && pads.iter().all(small),
                    "a padding that does not fit"
                );
                let mode = PadMode::Constant(tensor0(*value).into());
                Box::new(Pad::new(pads.clone(), mode))
            }
            Step::Binary(name) => {
                let op = binary(name).with_context(|| format!("no operator {name}"))?;
                Box::new(TypedBinOp(op, None))
            }
            Step::Choose => Box::new(Iff),
            Step::TruthToNumber => Box::new(Cast {
                to: f32::datum_type(),
            }),
            Step::Fill(shape) => {
                let from = inputs.first().context("nothing to fill with")?;
                let fits = from.len() == shape.len()
                    && from.iter().zip(shape).all(|(&a, &b)| a == b || a == 1);
                ensure!(fits, "{from:?} does not fill {shape:?}");
                Box::new(Fill(shape[..].into()))
            }
            Step::Fold(window) => Box::new(Fold(window.scatter()?)),
            Step::Unpool(window) => Box::new(Unpool(window.scatter()?)),
            Step::Concat(at) => Box::new(TypedConcat::new(axis(*at)?)),
            Step::Slice(at, start, end) => {
                ensure!(
                    start <= end && *end <= first(axis(*at)?)?,
                    "a slice outside"
                );
                Box::new(Slice::new(*at, *start, *end))
            }
            Step::Downsample(at, stride, modulo) => {
                let sound = (1..=MOST_SIDE).contains(stride) && modulo < stride;
                ensure!(sound && *modulo < first(axis(*at)?)?, "a step outside");
                Box::new(Downsample::new(*at, *stride as isize, *modulo))
            }
            Step::Softmax(axes) => Box::new(Softmax {
                axes: all(axes)?,
                ..Softmax::default()
            }),
            Step::SumPool {
                window,
                count_padding,
                mean,
            } => Box::new(SumPool {
                pool_spec: window.spec(rank)?,
                count_include_pad: *count_padding,
                normalize: *mean,
            }),
            Step::Source(_)
            | Step::Constant { .. }
            | Step::Product { .. }
            | Step::Filter { .. }
            | Step::Largest { .. } => bail!("it has weights or a window"),
        })
    }

    /// The operator of a pooling by the largest value.
    ///
    /// # Errors
    /// For a window that does not fit an input of this volume.
    pub fn largest(
        channels: usize,
        window: &WindowRecord,
        output: &[usize],
        volume: usize,
    ) -> TractResult<Largest> {
        let window = window.window()?;
        ensure!((1..=MOST_SIDE).contains(&channels), "{channels} channels");
        let fits = |[rows, columns]: [usize; 2], volume: usize| {
            rows.checked_mul(columns)
                .and_then(|n| n.checked_mul(channels))
                == Some(volume)
        };
        ensure!(
            fits(window.input, volume) && fits(window.output, output.iter().product()),
            "a window that does not fit"
        );
        let output = output.into();
        Ok(Largest {
            channels,
            window,
            output,
        })
    }
}
