//! The cells of LSTM and GRU, each one operator in tract, gate by gate.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Slice, TypedConcat};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::gru_cell::GruEpilogue;
use tract_onnx::tract_core::ops::gru_seq::GruSeq;
use tract_onnx::tract_core::ops::lstm_cell::LstmEpilogue;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::sigmoid;

use super::Target;
use super::unroll::MOST_NODES;

/// Nodes of one step of a GRU.
const TURN: usize = 20;

pub fn rewrite(
    to: &mut Target,
    node: &TypedNode,
    inputs: &[OutletId],
) -> TractResult<Option<TVec<OutletId>>> {
    match node.op_as::<GruSeq>() {
        Some(op) => sequence(to, inputs, op).map(Some),
        None => cell(to, node, inputs),
    }
}

/// One step, if the operator is one.
pub fn cell(
    to: &mut Target,
    node: &TypedNode,
    inputs: &[OutletId],
) -> TractResult<Option<TVec<OutletId>>> {
    if let Some(op) = node.op_as::<LstmEpilogue>() {
        return lstm(to, inputs, op.hidden).map(Some);
    }
    if let Some(op) = node.op_as::<GruEpilogue>() {
        return Ok(Some(tvec!(gru(to, inputs, op.hidden)?)));
    }
    Ok(None)
}

/// One of the gates, which lie side by side along the last axis.
fn gate(to: &mut Target, all: OutletId, at: usize, hidden: usize) -> TractResult<OutletId> {
    let last = to.shape(all)?.len() - 1;
    to.wire(Slice::new(last, at * hidden, (at + 1) * hidden), &[all])
}

/// Gates in the order input, output, forget, cell; Hochreiter and Schmidhuber, 1997.
fn lstm(to: &mut Target, inputs: &[OutletId], hidden: usize) -> TractResult<TVec<OutletId>> {
    let mut open = tvec!();
    for at in 0..3 {
        let gate = gate(to, inputs[0], at, hidden)?;
        open.push(to.wire(sigmoid(), &[gate])?);
    }
    let new = gate(to, inputs[0], 3, hidden)?;
    let new = to.wire(math::tanh(), &[new])?;
    let new = to.wire(math::mul(), &[open[0], new])?;
    let kept = to.wire(math::mul(), &[open[2], inputs[1]])?;
    let cell = to.wire(math::add(), &[kept, new])?;
    let shown = to.wire(math::tanh(), &[cell])?;
    let shown = to.wire(math::mul(), &[open[1], shown])?;
    Ok(tvec!(shown, cell))
}

/// Gates in the order update, reset, new: of the input, of the state; Cho et al., 2014, arXiv:1406.1078.
fn gru(to: &mut Target, inputs: &[OutletId], hidden: usize) -> TractResult<OutletId> {
    let mut open = tvec!();
    for at in 0..2 {
        let given = gate(to, inputs[0], at, hidden)?;
        let held = gate(to, inputs[1], at, hidden)?;
        let sum = to.wire(math::add(), &[given, held])?;
        open.push(to.wire(sigmoid(), &[sum])?);
    }
    let given = gate(to, inputs[0], 2, hidden)?;
    let held = gate(to, inputs[1], 2, hidden)?;
    let held = to.wire(math::mul(), &[open[1], held])?;
    let new = to.wire(math::add(), &[given, held])?;
    let new = to.wire(math::tanh(), &[new])?;
    let change = to.wire(math::sub(), &[inputs[2], new])?;
    let change = to.wire(math::mul(), &[open[0], change])?;
    to.wire(math::add(), &[new, change])
}

/// A whole GRU: batch, step, value.
fn sequence(to: &mut Target, inputs: &[OutletId], op: &GruSeq) -> TractResult<TVec<OutletId>> {
    let hidden = op.hidden;
    let shape = to.shape(inputs[0])?;
    let (batch, turns) = (shape[0], shape[1]);
    ensure!(turns.saturating_mul(TURN) <= MOST_NODES, "too long");
    let product = |to: &mut Target, values, weights| {
        let axes = AxesMapping::from_strs(&["btk", "gk"], &["btg"])?;
        to.wire(EinSum::new(axes, f32::datum_type()), &[values, weights])
    };
    let (mut given, mut rest) = (inputs[0], &inputs[1..]);
    if !op.projected {
        given = product(to, given, rest[0])?;
        rest = &rest[1..];
    }
    let mut bias = None;
    if op.has_bias {
        let flat = to.reshape(rest[1], &[1, 1, 6 * hidden])?;
        if !op.projected {
            let own = to.wire(Slice::new(2, 0, 3 * hidden), &[flat])?;
            given = to.wire(math::add(), &[given, own])?;
        }
        bias = Some(to.wire(Slice::new(2, 3 * hidden, 6 * hidden), &[flat])?);
    }
    let last = *inputs.last().context("no state")?;
    let mut state = to.reshape(last, &[batch, 1, hidden])?;
    let mut all = Vec::new();
    for turn in 0..turns {
        let at = if op.chunk < 0 { turns - 1 - turn } else { turn };
        let step = to.wire(Slice::new(1, at, at + 1), &[given])?;
        let mut held = product(to, state, rest[0])?;
        if let Some(bias) = bias {
            held = to.wire(math::add(), &[held, bias])?;
        }
        state = gru(to, &[step, held, state], hidden)?;
        all.push(state);
    }
    if op.chunk < 0 {
        all.reverse();
    }
    let all = match op.emit_y {
        true => to.wire(TypedConcat::new(1), &all)?,
        false => to.wire(Slice::new(1, 0, 0), &[state])?,
    };
    Ok(tvec!(all, state))
}
