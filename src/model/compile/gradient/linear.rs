//! EinSum, which covers every matrix product, and reductions.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::Tape;
use crate::model::compile::ops::Fill;

pub fn pull(
    tape: &mut Tape,
    node: &TypedNode,
    slot: usize,
    gradient: OutletId,
) -> TractResult<Option<OutletId>> {
    if let Some(op) = node.op_as::<EinSum>() {
        return einsum(tape, node, slot, gradient, op).map(Some);
    }
    if let Some(op) = node.op_as::<Reduce>() {
        return reduce(tape, node, gradient, op).map(Some);
    }
    Ok(None)
}

/// Σ is its own transpose: the gradient of one operand is the sum over the others and the gradient.
fn einsum(
    tape: &mut Tape,
    node: &TypedNode,
    slot: usize,
    gradient: OutletId,
    op: &EinSum,
) -> TractResult<OutletId> {
    ensure!(op.q_params.is_none(), "it is quantised");
    let (inputs, outputs) = op.axes.to_strs();
    let wanted: Vec<char> = inputs[slot].chars().collect();
    ensure!(
        (1..wanted.len()).all(|i| !wanted[..i].contains(&wanted[i])),
        "it takes a diagonal"
    );
    let output = OutletId::from(node.id);
    let mut operands = Vec::new();
    let mut known = HashMap::new();
    for (other, &input) in node.inputs.iter().enumerate() {
        if other != slot {
            for (axis, length) in inputs[other].chars().zip(tape.shape(input)?) {
                let longest = known.entry(axis).or_insert(length);
                *longest = length.max(*longest);
            }
            operands.push((input, inputs[other].clone()));
        }
    }
    let mut lengths = tape.shape(gradient)?;
    for ((length, full), axis) in lengths
        .iter_mut()
        .zip(tape.shape(output)?)
        .zip(outputs[0].chars())
    {
        if *length < full && known.get(&axis).is_some_and(|&other| other == full) {
            *length = full;
        }
        known.insert(axis, *length);
    }
    let gradient = match tape.shape(gradient)? == lengths {
        true => gradient,
        false => tape.wire(Fill(lengths), &[gradient])?,
    };
    operands.insert(0, (gradient, outputs[0].clone()));
    let shape = tape.shape(node.inputs[slot])?;
    let present = |index: usize| {
        let length = known.get(&wanted[index]);
        length.is_some_and(|&length| length == 1 || length == shape[index])
    };
    let kept: String = (0..wanted.len())
        .filter(|&i| present(i))
        .map(|i| wanted[i])
        .collect();
    let (outlets, axes): (Vec<OutletId>, Vec<String>) = operands.into_iter().unzip();
    let axes = AxesMapping::from_strs(&axes, &[kept])?;
    let mut pulled = tape.wire(EinSum::new(axes, op.operating_dt), &outlets)?;
    for index in (0..wanted.len()).filter(|&i| !present(i)) {
        pulled = tape.wire(AxisOp::Add(index), &[pulled])?;
    }
    Ok(pulled)
}

fn reduce(
    tape: &mut Tape,
    node: &TypedNode,
    gradient: OutletId,
    op: &Reduce,
) -> TractResult<OutletId> {
    let input = node.inputs[0];
    match op.reducer {
        Reducer::Sum => Ok(gradient),
        Reducer::MeanOfSquares => {
            let shape = tape.shape(input)?;
            let count: usize = op.axes.iter().map(|&axis| shape[axis]).product();
            let factor = tape.scalar(2.0 / count as f32, gradient)?;
            let gradient = tape.wire(math::mul(), &[gradient, factor])?;
            tape.wire(math::mul(), &[gradient, input])
        }
        // Tied extremes share the gradient, as in PyTorch's amax and amin.
        Reducer::Max | Reducer::Min => {
            let extreme = tape.equal(input, node.id.into())?;
            let (axes, reducer) = (op.axes.clone(), Reducer::Sum);
            let count = tape.wire(Reduce { axes, reducer }, &[extreme])?;
            let share = tape.wire(math::div(), &[gradient, count])?;
            tape.wire(math::mul(), &[extreme, share])
        }
        _ => bail!("{:?} has no rule", op.reducer),
    }
}
