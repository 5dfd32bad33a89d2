//! operator of a lowered graph ⇄ its record in a plan.

use serde::{Deserialize, Serialize};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, Slice, TypedConcat};
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::{PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_onnx::tract_core::ops::logic::{Iff, comp_eq, comp_gt, comp_gte, comp_lt, comp_lte};
use tract_onnx::tract_core::ops::nn::{
    DataFormat, GeluExact, HardSwish, LeakyRelu, Reduce, Reducer, RmsNorm, Sigmoid, Silu, Softmax,
    SoftmaxKind,
};
use tract_onnx::tract_core::ops::{Downsample, change_axes::AxisOp, math};

use super::super::gradient::{self, Fill, Fold, Slope, Unpool};
use super::super::kernel::{Activation, Patches, Window};
use super::super::lower::{Arrangement, Contract, Largest};

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

/// Values of a tensor: written out, or by the name of the file's tensor that has the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Numbers {
    Of(String),
    These(Vec<f32>),
}

/// Weights by the name of the file's tensor, and how they lie in it; `scale` and `bias` as in
/// [`Arrangement`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    pub tensor: String,
    /// Where the first weight is in the tensor.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start: usize,
    pub groups: usize,
    pub inputs: usize,
    pub taps: usize,
    pub strides: [usize; 3],
    pub scale: Numbers,
    pub bias: Numbers,
}

fn is_zero(start: &usize) -> bool {
    *start == 0
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PatchesRecord {
    output: [usize; 2],
    row: usize,
    column: usize,
    runs: Vec<usize>,
    length: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WindowRecord {
    input: [usize; 2],
    output: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    before: [usize; 2],
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActivationRecord {
    Clamp(Option<f32>, Option<f32>),
    HardSwish,
}

/// A pooling over axes kept channels-last, or first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PoolRecord {
    batch: bool,
    last: bool,
    kernel: Vec<usize>,
    before: Vec<usize>,
    after: Vec<usize>,
    strides: Option<Vec<usize>>,
    dilations: Option<Vec<usize>>,
    channels: usize,
}

/// Longest side of an image, and largest window or step: what no arithmetic on them overflows.
const MOST_SIDE: usize = 1 << 14;

/// Most taps times places of a window: ten times those of AlexNet's first.
const MOST_NUMBERS: usize = 1 << 22;

impl From<&Patches> for PatchesRecord {
    fn from(patches: &Patches) -> Self {
        let Patches {
            output,
            row,
            column,
            ref runs,
            length,
        } = *patches;
        let runs = runs.clone();
        PatchesRecord {
            output,
            row,
            column,
            runs,
            length,
        }
    }
}

impl From<&PatchesRecord> for Patches {
    fn from(record: &PatchesRecord) -> Self {
        let PatchesRecord {
            output,
            row,
            column,
            ref runs,
            length,
        } = *record;
        let runs = runs.clone();
        Patches {
            output,
            row,
            column,
            runs,
            length,
        }
    }
}

impl From<&Window> for WindowRecord {
    fn from(window: &Window) -> Self {
        let Window {
            input,
            output,
            kernel,
            stride,
            dilation,
            before,
        } = *window;
        WindowRecord {
            input,
            output,
            kernel,
            stride,
            dilation,
            before,
        }
    }
}

impl TryFrom<&gradient::Window> for WindowRecord {
    type Error = TractError;

    fn try_from(window: &gradient::Window) -> TractResult<Self> {
        let pair = |sizes: &[usize]| match *sizes {
            [rows, columns] => Ok([rows, columns]),
            _ => bail!("there is no record of a window over {} axes", sizes.len()),
        };
        Ok(WindowRecord {
            input: pair(&window.input)?,
            output: pair(&window.output)?,
            kernel: pair(&window.kernel)?,
            stride: pair(&window.strides)?,
            dilation: pair(&window.dilations)?,
            before: pair(&window.before)?,
        })
    }
}

impl WindowRecord {
    /// For operators that keep a number for each tap of each place.
    fn scatter(&self) -> TractResult<gradient::Window> {
        let window = self.window()?;
        let sizes = [window.output, window.kernel].into_iter().flatten();
        let numbers = sizes
            .into_iter()
            .try_fold(1usize, |n, size| n.checked_mul(size));
        ensure!(
            numbers.is_some_and(|n| n <= MOST_NUMBERS),
            "a window of absurd size"
        );
        Ok(gradient::Window {
            input: window.input[..].into(),
            output: window.output[..].into(),
            kernel: window.kernel[..].into(),
            strides: window.stride[..].into(),
            dilations: window.dilation[..].into(),
            before: window.before[..].into(),
        })
    }

    fn window(&self) -> TractResult<Window> {
        let WindowRecord {
            input,
            output,
            kernel,
            stride,
            dilation,
            before,
        } = *self;
        let sizes = [input, output, kernel, stride, dilation];
        let sound = sizes
            .into_iter()
            .flatten()
            .all(|n| (1..=MOST_SIDE).contains(&n));
        ensure!(
            sound && before.iter().all(|&n| n <= MOST_SIDE),
            "a window of no sound size"
        );
        Ok(Window {
            input,
            output,
            kernel,
            stride,
            dilation,
            before,
        })
    }
}

impl From<Activation> for ActivationRecord {
    fn from(activation: Activation) -> Self {
        let finite = |limit: f32| limit.is_finite().then_some(limit);
        match activation {
            Activation::Clamp(low, high) => ActivationRecord::Clamp(finite(low), finite(high)),
            Activation::HardSwish => ActivationRecord::HardSwish,
        }
    }
}

impl From<&ActivationRecord> for Activation {
    fn from(record: &ActivationRecord) -> Self {
        match *record {
            ActivationRecord::Clamp(low, high) => Activation::Clamp(
                low.unwrap_or(f32::NEG_INFINITY),
                high.unwrap_or(f32::INFINITY),
            ),
            ActivationRecord::HardSwish => Activation::HardSwish,
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
                let there = inputs
                    .first()
                    .and_then(|shape| shape.get(*at..*at + from.len()));
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

impl PoolRecord {
    fn of(spec: &PoolSpec) -> TractResult<PoolRecord> {
        let (before, after) = match &spec.padding {
            PaddingSpec::Explicit(before, after) => (before.to_vec(), after.to_vec()),
            PaddingSpec::Valid => (
                vec![0; spec.kernel_shape.len()],
                vec![0; spec.kernel_shape.len()],
            ),
            other => bail!("there is no record of {other:?}"),
        };
        Ok(PoolRecord {
            batch: spec.data_format.has_n(),
            last: spec.data_format.c_is_last(),
            kernel: spec.kernel_shape.to_vec(),
            before,
            after,
            strides: spec.strides.as_ref().map(|sizes| sizes.to_vec()),
            dilations: spec.dilations.as_ref().map(|sizes| sizes.to_vec()),
            channels: spec.input_channels,
        })
    }

    fn spec(&self, rank: usize) -> TractResult<PoolSpec> {
        let count = self.kernel.len();
        ensure!(
            count + 1 + usize::from(self.batch) == rank,
            "a pooling over {count} axes of {rank}"
        );
        let sound = |sizes: &[usize], least: usize| {
            sizes.len() == count && sizes.iter().all(|size| (least..=MOST_SIDE).contains(size))
        };
        let steps = |sizes: &Option<Vec<usize>>| sizes.as_ref().is_none_or(|sizes| sound(sizes, 1));
        ensure!(
            sound(&self.kernel, 1)
                && sound(&self.before, 0)
                && sound(&self.after, 0)
                && steps(&self.strides)
                && steps(&self.dilations),
            "a pooling of no sound size"
        );
        Ok(PoolSpec {
            data_format: match (self.batch, self.last) {
                (true, true) => DataFormat::NHWC,
                (true, false) => DataFormat::NCHW,
                (false, true) => DataFormat::HWC,
                (false, false) => DataFormat::CHW,
            },
            kernel_shape: self.kernel[..].into(),
            padding: PaddingSpec::Explicit(self.before[..].into(), self.after[..].into()),
            dilations: self.dilations.as_ref().map(|sizes| sizes[..].into()),
            strides: self.strides.as_ref().map(|sizes| sizes[..].into()),
            input_channels: self.channels,
            output_channels: self.channels,
        })
    }
}

/// A product over an image of this volume.
///
/// # Errors
/// For patches that reach outside.
pub fn product(
    arrangement: &Arrangement,
    record: (&PatchesRecord, &Option<(usize, WindowRecord)>),
    output: &[usize],
    volume: usize,
) -> TractResult<(Patches, Option<(usize, Window)>)> {
    let patches = Patches::from(record.0);
    let mut volume = volume;
    let mut padding = None;
    if let Some((channels, window)) = record.1 {
        let window = window.window()?;
        ensure!((1..=MOST_SIDE).contains(channels), "{channels} channels");
        let area = |[rows, columns]: [usize; 2]| rows.checked_mul(columns)?.checked_mul(*channels);
        ensure!(
            area(window.input) == Some(volume)
                && window.output == patches.output
                && window.kernel[0] * window.kernel[1] == arrangement.taps
                && arrangement.inputs.checked_mul(arrangement.groups) == Some(*channels),
            "a window that does not fit"
        );
        volume = area(window.padded()).context("a window of no sound size")?;
        padding = Some((*channels, window));
    }
    let sums = arrangement.bias.len();
    let inputs = arrangement.inputs.checked_mul(arrangement.taps);
    ensure!(
        patches.runs.len().checked_mul(patches.length) == inputs,
        "patches of another size"
    );
    let pixels = patches.output[0].checked_mul(patches.output[1]);
    let product: usize = output.iter().product();
    ensure!(
        pixels.and_then(|n| n.checked_mul(sums)) == Some(product),
        "an output of another size"
    );
    let last = (arrangement.groups - 1).checked_mul(patches.length);
    let reach = patches
        .reach()
        .zip(last)
        .and_then(|(reach, last)| reach.checked_add(last));
    ensure!(
        reach.is_some_and(|reach| reach <= volume),
        "patches that reach outside"
    );
    Ok((patches, padding))
}

/// A filter over an image of this volume.
///
/// # Errors
/// For a window that does not fit.
pub fn filter(
    arrangement: &Arrangement,
    window: &WindowRecord,
    output: &[usize],
    volume: usize,
) -> TractResult<Window> {
    let window = window.window()?;
    let channels = arrangement.bias.len();
    let area = |[rows, columns]: [usize; 2]| rows.checked_mul(columns)?.checked_mul(channels);
    ensure!(
        area(window.input) == Some(volume)
            && area(window.output) == Some(output.iter().product())
            && window.kernel[0] * window.kernel[1] == arrangement.taps,
        "a window that does not fit"
    );
    Ok(window)
}
