//! Operators on truth values, choices that are known, and places of the largest value, as functions of numbers: 1 is
//! true, 0 is false.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::OneHot;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::logic::{Iff, Not, comp_eq, comp_gt, comp_lt};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::Target;
use crate::model::compile::ops::Fill;

pub fn rewrite(
    to: &mut Target,
    node: &TypedNode,
    inputs: &[OutletId],
) -> TractResult<Option<TVec<OutletId>>> {
    let outlet = if let Some(op) = node.op_as::<ElementWiseOp>() {
        if op.0.is::<Not>() {
            let value = number(to, inputs[0])?;
            compared(to, comp_eq(), value, 0.0)?
        } else if let Some(&math::IsInf {
            detect_positive,
            detect_negative,
        }) = op.0.downcast_ref::<math::IsInf>()
        {
            match (detect_positive, detect_negative) {
                (true, true) => {
                    let size = to.wire(math::abs(), &[inputs[0]])?;
                    compared(to, comp_gt(), size, f32::MAX)?
                }
                (true, false) => compared(to, comp_gt(), inputs[0], f32::MAX)?,
                (false, true) => compared(to, comp_lt(), inputs[0], f32::MIN)?,
                _ => return Ok(None),
            }
        } else if op.0.is::<math::IsNan>() {
            // Only NaN differs from itself.
            let is_number = to.wire(TypedBinOp(comp_eq(), None), &[inputs[0], inputs[0]])?;
            let is_number = number(to, is_number)?;
            compared(to, comp_eq(), is_number, 0.0)?
        } else {
            return Ok(None);
        }
    } else if let Some(op) = node.op_as::<TypedBinOp>() {
        let name = op.0.name();
        if !["And", "Or", "Xor", "NE"].contains(&name) {
            return Ok(None);
        }
        let both = [number(to, inputs[0])?, number(to, inputs[1])?];
        match name {
            "And" => {
                let both = to.wire(math::mul(), &both)?;
                compared(to, comp_gt(), both, 0.0)?
            }
            "Or" => {
                let either = to.wire(math::add(), &both)?;
                compared(to, comp_gt(), either, 0.0)?
            }
            _ => {
                let same = to.wire(TypedBinOp(comp_eq(), None), &both)?;
                let same = number(to, same)?;
                compared(to, comp_eq(), same, 0.0)?
            }
        }
    } else if node.op_is::<Iff>() {
        return chosen(to, node, inputs);
    } else if let Some(Reduce { axes, reducer }) = node.op_as::<Reduce>() {
        let (least, last) = match *reducer {
            Reducer::ArgMax(last) => (false, last),
            Reducer::ArgMin(last) => (true, last),
            _ => return Ok(None),
        };
        let [axis] = axes[..] else { return Ok(None) };
        place(to, inputs[0], axis, least, last)?
    } else if let Some(op) = node.op_as::<OneHot>() {
        one_hot(to, inputs[0], op)?
    } else {
        return Ok(None);
    };
    Ok(Some(tvec!(outlet)))
}

/// A truth value or a whole number as a floating-point number.
fn number(to: &mut Target, outlet: OutletId) -> TractResult<OutletId> {
    match to.made.outlet_fact(outlet)?.datum_type {
        kind if kind == f32::datum_type() => Ok(outlet),
        _ => to.wire(cast(f32::datum_type()), &[outlet]),
    }
}

fn compared(
    to: &mut Target,
    by: Box<dyn BinMiniOp>,
    outlet: OutletId,
    with: f32,
) -> TractResult<OutletId> {
    let with = to.scalar(with, outlet)?;
    to.wire(TypedBinOp(by, None), &[outlet, with])
}

/// A choice by a condition that is the same everywhere, and does not depend on the image.
fn chosen(
    to: &mut Target,
    node: &TypedNode,
    inputs: &[OutletId],
) -> TractResult<Option<TVec<OutletId>>> {
    let Some(condition) = to.graph.outlet_fact(node.inputs[0])?.konst.clone() else {
        return Ok(None);
    };
    let truth = condition.try_as_plain_ram()?.as_slice::<bool>()?;
    let taken = match truth.iter().all(|&truth| truth) {
        true => inputs[1],
        false if truth.iter().any(|&truth| truth) => return Ok(None),
        false => inputs[2],
    };
    let shape = &node.outputs[0].fact.shape;
    let shape: TVec<usize> = shape.as_concrete().context("of open shape")?.into();
    if to.shape(taken)? == shape {
        return Ok(Some(tvec!(taken)));
    }
    let float = to.made.outlet_fact(taken)?.datum_type == f32::datum_type();
    ensure!(float, "no numbers");
    Ok(Some(tvec!(to.wire(Fill(shape), &[taken])?)))
}

/// The numbers from `first` on along an axis, up or down.
fn counted(
    to: &mut Target,
    rank: usize,
    axis: usize,
    numbers: impl Iterator<Item = usize>,
) -> TractResult<OutletId> {
    let numbers: Vec<f32> = numbers.map(|number| number as f32).collect();
    let mut shape: TVec<usize> = tvec!(1; rank);
    shape[axis] = numbers.len();
    to.add_const(Tensor::from_shape(&shape, &numbers)?)
}

/// Where along an axis the largest value is, or the least: of equal ones the first, or the last.
fn place(
    to: &mut Target,
    input: OutletId,
    axis: usize,
    least: bool,
    last: bool,
) -> TractResult<OutletId> {
    let mut values = number(to, input)?;
    let shape = to.shape(values)?;
    if least {
        values = to.wire(math::neg(), &[values])?;
    }
    let most = to.wire(Reduce::new(tvec!(axis), Reducer::Max), &[values])?;
    let there = to.wire(TypedBinOp(comp_eq(), None), &[values, most])?;
    let there = number(to, there)?;
    // The largest of these numbers is at the place that is looked for.
    let length = shape[axis];
    let numbers = match last {
        true => counted(to, shape.len(), axis, 1..=length)?,
        false => counted(to, shape.len(), axis, (1..=length).rev())?,
    };
    let marked = to.wire(math::mul(), &[there, numbers])?;
    let found = to.wire(Reduce::new(tvec!(axis), Reducer::Max), &[marked])?;
    let found = match last {
        true => {
            let minus = to.scalar(-1.0, found)?;
            to.wire(math::add(), &[found, minus])?
        }
        false => {
            let length = to.scalar(length as f32, found)?;
            to.wire(math::sub(), &[length, found])?
        }
    };
    to.wire(cast(i64::datum_type()), &[found])
}

/// A number for each place along a new axis: one for the place that is named, another for the rest.
fn one_hot(to: &mut Target, input: OutletId, op: &OneHot) -> TractResult<OutletId> {
    let named = number(to, input)?;
    let named = to.wire(AxisOp::Add(op.axis), &[named])?;
    let mut shape = to.shape(named)?;
    shape[op.axis] = op.dim;
    // A negative place counts from the end.
    let length = to.scalar(op.dim as f32, named)?;
    let below = compared(to, comp_lt(), named, 0.0)?;
    let turned = to.wire(math::add(), &[named, length])?;
    let named = to.wire(Iff, &[below, turned, named])?;
    let places = counted(to, shape.len(), op.axis, 0..op.dim)?;
    let there = to.wire(TypedBinOp(comp_eq(), None), &[named, places])?;
    let mut number = |value: &Tensor| to.scalar(value.cast_to_scalar::<f32>()?, there);
    let (on, off) = (number(&op.on)?, number(&op.off)?);
    let chosen = to.wire(Iff, &[there, on, off])?;
    match op.on.datum_type() {
        kind if kind == f32::datum_type() => Ok(chosen),
        kind => to.wire(cast(kind), &[chosen]),
    }
}
