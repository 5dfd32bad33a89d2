//! Operators that move values to known places: those that gather or scatter values, and masks.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{
    GatherElements, GatherNd, ScatterElements, ScatterNd, ScatterReduction, Trilu, TypedConcat,
};
use tract_onnx::tract_core::ops::math;

use super::Target;
use super::axis::{joined, picked, pieces};
use crate::model::compile::ops::floats;

/// The most pieces that are cut out one by one.
const MOST_PIECES: usize = 128;
/// The most values that are followed; whole numbers up to 2²⁴ are exact in FP32.
const MOST_PLACES: usize = 1 << 22;

pub fn rewrite(
    to: &mut Target,
    node: &TypedNode,
    inputs: &[OutletId],
) -> TractResult<Option<TVec<OutletId>>> {
    if node.op_is::<Trilu>() {
        return masked(to, node, inputs).map(Some);
    }
    let plain = |reduction| reduction == ScatterReduction::None;
    let gathers = node.op_is::<GatherElements>() || node.op_is::<GatherNd>();
    let scatters = node
        .op_as::<ScatterElements>()
        .is_some_and(|op| plain(op.reduction))
        || node
            .op_as::<ScatterNd>()
            .is_some_and(|op| plain(op.reduction));
    if !gathers && !scatters {
        return Ok(None);
    }
    // Finds where each value comes from: the operator gets the places as its values.
    let moved: &[usize] = if gathers { &[0] } else { &[0, 2] };
    let mut numbered = tvec!();
    let mut count = 0;
    for (slot, &input) in inputs.iter().enumerate() {
        if !moved.contains(&slot) {
            numbered.push(to.constant(node, slot)?.into_tvalue());
            continue;
        }
        let fact = to.made.outlet_fact(input)?;
        ensure!(fact.datum_type == f32::datum_type(), "no numbers");
        let shape = to.shape(input)?;
        let volume: usize = shape.iter().product();
        let places: Vec<f32> = (count..count + volume).map(|place| place as f32).collect();
        numbered.push(Tensor::from_shape(&shape, &places)?.into_tvalue());
        count += volume;
        ensure!(count <= MOST_PLACES, "too many values");
    }
    let made = node.op.eval(&EvalContext::out_of_plan(), numbered)?;
    let places: Vec<usize> = floats(&made[0])?
        .iter()
        .map(|&place| place as usize)
        .collect();

    // Whole rows move where neighbours stay together.
    let ranges = pieces(&places);
    let bounds = ranges.iter().flat_map(|range| [range.start, range.end]);
    let volumes = moved.iter().map(|&slot| to.shape(inputs[slot]));
    let volumes: Vec<usize> = volumes
        .map(|shape| Ok(shape?.iter().product()))
        .collect::<TractResult<_>>()?;
    let row = bounds
        .chain(volumes.iter().copied())
        .fold(0, divisor)
        .max(1);
    let places: Vec<usize> = places.chunks(row).map(|places| places[0] / row).collect();

    let mut rows = tvec!();
    for (&slot, volume) in moved.iter().zip(volumes) {
        rows.push(to.reshape(inputs[slot], &[volume / row, row])?);
    }
    let all = match *rows {
        [only] => only,
        _ => to.wire(TypedConcat::new(0), &rows)?,
    };
    let ranges = pieces(&places);
    let outlet = match ranges.len() <= MOST_PIECES {
        true => joined(to, all, 0, &ranges)?,
        false => picked(to, all, 0, places)?,
    };
    Ok(Some(tvec!(to.reshape(outlet, made[0].shape())?)))
}

/// The greatest common one; of nothing and a number, the number.
fn divisor(a: usize, b: usize) -> usize {
    match b {
        0 => a,
        _ => divisor(b, a % b),
    }
}

/// Writes an operator that sets values to zero as a product with its result for ones.
fn masked(to: &mut Target, node: &TypedNode, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let fact = to.made.outlet_fact(inputs[0])?;
    ensure!(fact.datum_type == f32::datum_type(), "no numbers");
    let shape = to.shape(inputs[0])?;
    let lead = shape.len() - 2;
    let mut alone: TVec<usize> = tvec!(1; lead);
    alone.extend_from_slice(&shape[lead..]);
    let ones = vec![1.0f32; alone.iter().product()];
    let ones = Tensor::from_shape(&alone, &ones)?.into_tvalue();
    let diagonal = to.constant(node, 1)?.into_tvalue();
    let mut mask = node
        .op
        .eval(&EvalContext::out_of_plan(), tvec!(ones, diagonal))?;
    let mask = to.add_const(mask.remove(0).into_tensor())?;
    Ok(tvec!(to.wire(math::mul(), &[inputs[0], mask])?))
}
