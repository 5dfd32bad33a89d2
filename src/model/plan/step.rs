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
    GeluExact, HardSwish, LeakyRelu, Reduce, Reducer, RmsNorm, Sigmoid, Silu, Softmax, SoftmaxKind,
};
use tract_onnx::tract_core::ops::{Downsample, change_axes::AxisOp, math};

use super::super::gradient::{Fill, Fold, Slope, Unpool};
use super::super::lower::{Contract, Largest};
use super::record::{
    ActivationRecord, MOST_SIDE, Numbers, PatchesRecord, PoolRecord, Weights, WindowRecord,
};
/// An operator of one output.
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

fn sizes(dims: &[TDim]) -> TractResult<Vec<usize>> {
    dims.iter().map(|dim| Ok(dim.to_usize()?)).collect()
}

fn dims(sizes: &[usize]) -> TVec<TDim> {
    sizes.iter().map(|size| size.to_dim()).collect()
}

fn unary(name: &str) -> Option<Box<dyn ElementWiseMiniOp>> {
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

fn binary(name: &str) -> Option<Box<dyn BinMiniOp>> {
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
    /// The record of an operator without weights or constants.
    ///
    /// # Errors
    /// For an operator that has none.
    pub fn of(op: &dyn TypedOp) -> TractResult<Step> {
        let step = if let Some(op) = op.downcast_ref::<Largest>() {
            Step::Largest {
                channels: op.channels,
                window: (&op.window).into(),
                output: op.output.to_vec(),
            }
        } else if let Some(op) = op.downcast_ref::<Contract>() {
            Step::Contract(op.axes().to_vec())
        } else if let Some(op) = op.downcast_ref::<AxisOp>() {
            match op {
                AxisOp::Add(axis) => Step::AddAxis(*axis),
                AxisOp::Rm(axis) => Step::RemoveAxis(*axis),
                AxisOp::Move(from, to) => Step::MoveAxis(*from, *to),
                AxisOp::Reshape(at, from, to) => Step::Reshape(*at, sizes(from)?, sizes(to)?),
            }
        } else if let Some(Reduce { axes, reducer }) = op.downcast_ref::<Reduce>() {
            match reducer {
                Reducer::Sum => Step::Sum(axes.to_vec()),
                Reducer::Max => Step::Max(axes.to_vec()),
                Reducer::MeanOfSquares => Step::MeanOfSquares(axes.to_vec()),
                other => bail!("there is no record of {other:?}"),
            }
        } else if let Some(RmsNorm { axis, eps }) = op.downcast_ref::<RmsNorm>() {
            let (axis, epsilon) = (*axis, eps.cast_to_scalar::<f32>()?);
            Step::RmsNorm { axis, epsilon }
        } else if let Some(Pad { pads, mode }) = op.downcast_ref::<Pad>() {
            let PadMode::Constant(value) = mode else {
                bail!("there is no record of its mode");
            };
            let (pads, value) = (pads.clone(), value.cast_to_scalar::<f32>()?);
            ensure!(value.is_finite(), "it pads with {value}");
            Step::Pad { pads, value }
        } else if let Some(op) = op.downcast_ref::<ElementWiseOp>()
            && let Some(LeakyRelu { alpha }) = op.0.downcast_ref::<LeakyRelu>()
        {
            Step::LeakyRelu(*alpha)
        } else if let Some(op) = op.downcast_ref::<ElementWiseOp>() {
            match op.0.downcast_ref::<Slope>() {
                Some(slope) if slope.is_plain() => Step::SlopeOf(slope.of.clone()),
                _ => Step::Unary(op.0.name()),
            }
        } else if let Some(op) = op.downcast_ref::<TypedBinOp>() {
            ensure!(op.1.is_none(), "there is no record of its type");
            Step::Binary(op.0.name().into())
        } else if op.is::<Iff>() {
            Step::Choose
        } else if let Some(op) = op.downcast_ref::<Cast>() {
            ensure!(op.to == f32::datum_type(), "there is no record of its type");
            Step::TruthToNumber
        } else if let Some(Fill(shape)) = op.downcast_ref::<Fill>() {
            Step::Fill(shape.to_vec())
        } else if let Some(Fold(window)) = op.downcast_ref::<Fold>() {
            Step::Fold(window.try_into()?)
        } else if let Some(Unpool(window)) = op.downcast_ref::<Unpool>() {
            Step::Unpool(window.try_into()?)
        } else if let Some(op) = op.downcast_ref::<TypedConcat>() {
            Step::Concat(op.axis)
        } else if let Some(op) = op.downcast_ref::<Slice>() {
            Step::Slice(op.axis, op.start.to_usize()?, op.end.to_usize()?)
        } else if let Some(op) = op.downcast_ref::<Downsample>() {
            Step::Downsample(op.axis, usize::try_from(op.stride)?, op.modulo)
        } else if let Some(op) = op.downcast_ref::<Softmax>() {
            let plain = op.quant_output_dt.is_none() && matches!(op.kind, SoftmaxKind::Softmax);
            ensure!(plain, "there is no record of it");
            Step::Softmax(op.axes.to_vec())
        } else if let Some(op) = op.downcast_ref::<SumPool>() {
            Step::SumPool {
                window: PoolRecord::of(&op.pool_spec)?,
                count_padding: op.count_include_pad,
                mean: op.normalize,
            }
        } else {
            bail!("there is no record of {}", op.name())
        };
        // A name that cannot be read back is no record.
        let known = match &step {
            Step::Unary(name) => unary(name).is_some(),
            Step::Binary(name) => binary(name).is_some(),
            Step::SlopeOf(name) => unary(name).is_some(),
            _ => true,
        };
        ensure!(known, "there is no record of {}", op.name());
        Ok(step)
    }

    /// The operator; those with weights or constants are made by [`super::Reader`].
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
