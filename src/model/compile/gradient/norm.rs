//! Softmax and RMS normalisation: each output depends on all inputs along some axes.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, RmsNorm, Softmax, SoftmaxKind};

use super::Tape;

pub fn pull(
    tape: &mut Tape,
    node: &TypedNode,
    slot: usize,
    gradient: OutletId,
) -> TractResult<Option<OutletId>> {
    let (input, output) = (node.inputs[slot], OutletId::from(node.id));
    if let Some(op) = node.op_as::<Softmax>() {
        let gradient = tape.full(gradient, output)?;
        let softmax = match op.kind {
            SoftmaxKind::Softmax => output,
            SoftmaxKind::LogSoftmax => tape.wire(math::exp(), &[output])?,
        };
        let weighted = match op.kind {
            SoftmaxKind::Softmax => tape.wire(math::mul(), &[gradient, output])?,
            SoftmaxKind::LogSoftmax => gradient,
        };
        let (axes, reducer) = (op.axes.clone(), Reducer::Sum);
        let total = tape.wire(Reduce { axes, reducer }, &[weighted])?;
        let rest = tape.wire(math::mul(), &[softmax, total])?;
        return tape.wire(math::sub(), &[weighted, rest]).map(Some);
    }
    if let Some(op) = node.op_as::<RmsNorm>() {
        let gradient = tape.full(gradient, output)?;
        let length = tape.shape(input)?[op.axis] as f32;
        let sum = |tape: &mut Tape, of, reducer| {
            let axes = tvec!(op.axis);
            tape.wire(Reduce { axes, reducer }, &[of])
        };
        let squares = sum(tape, input, Reducer::MeanOfSquares)?;
        let eps = tape.scalar(op.eps.cast_to_scalar::<f32>()?, input)?;
        let squares = tape.wire(math::add(), &[squares, eps])?;
        let scale = tape.wire(math::rsqrt(), &[squares])?;
        let projected = tape.wire(math::mul(), &[gradient, output])?;
        let total = sum(tape, projected, Reducer::Sum)?;
        let share = tape.scalar(1.0 / length, total)?;
        let mean = tape.wire(math::mul(), &[total, share])?;
        let along = tape.wire(math::mul(), &[output, mean])?;
        let across = tape.wire(math::sub(), &[gradient, along])?;
        return tape.wire(math::mul(), &[across, scale]).map(Some);
    }
    Ok(None)
}
