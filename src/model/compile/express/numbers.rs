//! Functions of one number, choices between two, and the minimum of several.

use std::f32::consts::PI;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::logic::{Iff, comp_eq};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{GeluApproximate, Reduce, Reducer, sigmoid};

use super::Target;

pub fn rewrite(
    to: &mut Target,
    node: &TypedNode,
    inputs: &[OutletId],
) -> TractResult<Option<TVec<OutletId>>> {
    if node.op_is::<Iff>() {
        let condition = to.graph.node(node.inputs[0].node);
        let asks = condition.op_as::<ElementWiseOp>();
        if !asks.is_some_and(|op| op.0.is::<math::IsNan>()) {
            return Ok(None);
        }
        // Only NaN differs from itself.
        let value = to.wires[&condition.inputs[0]];
        let is_number = to.wire(TypedBinOp(comp_eq(), None), &[value, value])?;
        let chosen = to.wire(Iff, &[is_number, inputs[2], inputs[1]])?;
        return Ok(Some(tvec!(chosen)));
    }
    if let Some(Reduce { axes, reducer }) = node.op_as::<Reduce>() {
        if *reducer != Reducer::Min {
            return Ok(None);
        }
        let minus = to.wire(math::neg(), &inputs[..1])?;
        let largest = to.wire(Reduce::new(axes.clone(), Reducer::Max), &[minus])?;
        return Ok(Some(tvec!(to.wire(math::neg(), &[largest])?)));
    }
    let Some(op) = node.op_as::<ElementWiseOp>() else {
        return Ok(None);
    };
    if let Some(power) = op.0.downcast_ref::<math::PowConst>() {
        return powered(to, inputs[0], power.exponent);
    }
    let Some(gelu) = op.0.downcast_ref::<GeluApproximate>() else {
        return Ok(None);
    };
    ensure!(!gelu.fast_impl, "not ONNX's");
    // (1 + tanh z) / 2 is the sigmoid of 2 z; Hendrycks and Gimpel, 2016, arXiv:1606.08415.
    let x = inputs[0];
    let scale = (8.0 / PI).sqrt();
    let linear = to.scalar(scale, x)?;
    let cubic = to.scalar(scale * 0.044715, x)?;
    let square = to.wire(math::mul(), &[x, x])?;
    let inner = to.wire(math::mul(), &[square, cubic])?;
    let inner = to.wire(math::add(), &[inner, linear])?;
    let inner = to.wire(math::mul(), &[inner, x])?;
    let gate = to.wire(sigmoid(), &[inner])?;
    Ok(Some(tvec!(to.wire(math::mul(), &[x, gate])?)))
}

/// A small whole power.
fn powered(to: &mut Target, x: OutletId, exponent: f32) -> TractResult<Option<TVec<OutletId>>> {
    let square = match exponent {
        3.0 | 4.0 => to.wire(math::mul(), &[x, x])?,
        _ => return Ok(None),
    };
    let rest = if exponent == 3.0 { x } else { square };
    Ok(Some(tvec!(to.wire(math::mul(), &[square, rest])?)))
}
