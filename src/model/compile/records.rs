//! operator of a lowered graph → its record in a plan.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, Slice, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::{PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::math::{PowConst, Sign};
use tract_onnx::tract_core::ops::nn::{
    GeluApproximate, LeakyRelu, Reduce, Reducer, RmsNorm, Softmax, SoftmaxKind,
};
use tract_onnx::tract_core::ops::{Downsample, change_axes::AxisOp};

use super::listed::{PoolRecord, Step};
use crate::model::compile::ops::{Contract, Fill, Fold, Largest, ScatterWindow, Slope, Unpool};
use crate::model::run::kernel::Window;
use crate::model::run::steps::functions::{Binary, Unary};

/// A function by the name of tract's operator.
fn unary(name: &str) -> TractResult<Unary> {
    Ok(match name {
        "Abs" => Unary::Abs,
        "Neg" => Unary::Neg,
        "Exp" => Unary::Exp,
        "Ln" => Unary::Ln,
        "Square" => Unary::Square,
        "Sqrt" => Unary::Sqrt,
        "Rsqrt" => Unary::Rsqrt,
        "Recip" => Unary::Recip,
        "Sin" => Unary::Sin,
        "Cos" => Unary::Cos,
        "Atan" => Unary::Atan,
        "Tanh" => Unary::Tanh,
        "Sinh" => Unary::Sinh,
        "Cosh" => Unary::Cosh,
        "Erf" => Unary::Erf,
        "Sigmoid" => Unary::Sigmoid,
        "Silu" => Unary::Silu,
        "HardSwish" => Unary::HardSwish,
        "GeluExact" => Unary::Gelu,
        "GeluApproximate" => Unary::GeluTanh,
        "LeakyRelu" => Unary::LeakyRelu,
        "PowConst" => Unary::Power,
        "RoundHalfToEven" => Unary::Round,
        "Floor" => Unary::Floor,
        "Ceil" => Unary::Ceil,
        _ => bail!("there is no record of {name}"),
    })
}

/// The number that a function has besides; 0 for most.
fn parameter(op: &dyn ElementWiseMiniOp) -> f32 {
    if let Some(LeakyRelu { alpha }) = op.downcast_ref::<LeakyRelu>() {
        *alpha
    } else if let Some(PowConst { exponent }) = op.downcast_ref::<PowConst>() {
        *exponent
    } else if let Some(GeluApproximate { fast_impl }) = op.downcast_ref::<GeluApproximate>() {
        if *fast_impl { 2.0 } else { 3.0 }
    } else {
        0.0
    }
}

fn binary(name: &str) -> TractResult<Binary> {
    Ok(match name {
        "Add" => Binary::Add,
        "Sub" => Binary::Sub,
        "SubF" => Binary::SubFrom,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Min" => Binary::Min,
        "Max" => Binary::Max,
        "Pow" => Binary::Pow,
        "Eq" => Binary::Equal,
        "GT" => Binary::Greater,
        "GTE" => Binary::GreaterEqual,
        "LT" => Binary::Less,
        "LTE" => Binary::LessEqual,
        _ => bail!("there is no record of {name}"),
    })
}

impl Step {
    /// The record of an operator without weights or constants; `from` is the type of its first input.
    ///
    /// # Errors
    /// If the operator has none.
    pub fn of(op: &dyn TypedOp, from: DatumType) -> TractResult<Step> {
        let step = if let Some(op) = op.downcast_ref::<Largest>() {
            Step::Largest {
                channels: op.channels,
                window: op.window,
                output: op.output.to_vec(),
            }
        } else if let Some(op) = op.downcast_ref::<Contract>() {
            Step::Contract(op.axes.clone())
        } else if let Some(op) = op.downcast_ref::<AxisOp>() {
            match op {
                AxisOp::Add(axis) => Step::AddAxis(*axis),
                AxisOp::Rm(axis) => Step::RemoveAxis(*axis),
                AxisOp::Move(from, to) => Step::MoveAxis(*from, *to),
                AxisOp::Reshape(..) => Step::Reshape,
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
        } else if let Some(op) = op.downcast_ref::<ElementWiseOp>() {
            let op = op.0.as_ref();
            match op.downcast_ref::<Slope>() {
                Some(slope) => Step::SlopeOf(unary(&slope.of)?, slope.parameter),
                None if op.is::<Sign>() => Step::Sign,
                None => Step::Unary(unary(&op.name())?, parameter(op)),
            }
        } else if let Some(op) = op.downcast_ref::<TypedBinOp>() {
            let whole = !from.is_float() && ["Div", "Pow"].contains(&op.0.name());
            ensure!(op.1.is_none() && !whole, "there is no record of its type");
            Step::Binary(binary(op.0.name())?)
        } else if op.is::<Iff>() {
            Step::Choose
        } else if let Some(op) = op.downcast_ref::<Cast>() {
            match op.to {
                to if to == f32::datum_type() => Step::Same,
                to if to.is_integer() && !from.is_float() => Step::Same,
                to if to.is_integer() && to.is_signed() => Step::Truncate,
                _ => bail!("there is no record of its type"),
            }
        } else if let Some(Fill(shape)) = op.downcast_ref::<Fill>() {
            Step::Fill(shape.to_vec())
        } else if let Some(Fold(window)) = op.downcast_ref::<Fold>() {
            Step::Fold(flat(window)?)
        } else if let Some(Unpool(window)) = op.downcast_ref::<Unpool>() {
            Step::Unpool(flat(window)?)
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
        Ok(step)
    }
}

fn flat(window: &ScatterWindow) -> TractResult<Window> {
    let pair = |sizes: &[usize]| match *sizes {
        [rows, columns] => Ok([rows, columns]),
        _ => bail!("there is no record of a window over {} axes", sizes.len()),
    };
    Ok(Window {
        input: pair(&window.input)?,
        output: pair(&window.output)?,
        kernel: pair(&window.kernel)?,
        stride: pair(&window.strides)?,
        dilation: pair(&window.dilations)?,
        before: pair(&window.before)?,
    })
}

impl PoolRecord {
    pub fn of(spec: &PoolSpec) -> TractResult<PoolRecord> {
        let before = match &spec.padding {
            PaddingSpec::Explicit(before, _) => before.to_vec(),
            PaddingSpec::Valid => vec![0; spec.kernel_shape.len()],
            other => bail!("there is no record of {other:?}"),
        };
        Ok(PoolRecord {
            batch: spec.data_format.has_n(),
            last: spec.data_format.c_is_last(),
            kernel: spec.kernel_shape.to_vec(),
            before,
            strides: spec.strides.as_ref().map(|sizes| sizes.to_vec()),
            dilations: spec.dilations.as_ref().map(|sizes| sizes.to_vec()),
        })
    }
}
