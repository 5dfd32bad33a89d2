//! Loops of known length, such as LSTM, GRU and RNN, step by step.

use std::collections::HashMap;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Slice, TypedConcat};
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::scan::{InputMapping, Scan, iteration_count};

use super::Target;
use super::cells::cell;

/// The most nodes that a loop becomes.
pub const MOST_NODES: usize = 2000;

pub fn rewrite(
    to: &mut Target,
    node: &TypedNode,
    inputs: &[OutletId],
) -> TractResult<Option<TVec<OutletId>>> {
    let Some(op) = node.op_as::<Scan>() else {
        return Ok(None);
    };
    let facts = to.graph.node_input_facts(node.id)?;
    let turns = iteration_count(&op.input_mapping, &facts).context("no length")?;
    let turns = turns.to_usize()?;
    let size = op.body.nodes().len();
    ensure!(
        op.skip == 0 && turns.saturating_mul(size) <= MOST_NODES,
        "too long"
    );
    let order = op.body.eval_order()?;
    let mut state: TVec<OutletId> = tvec!();
    for (slot, mapping) in op.input_mapping.iter().enumerate() {
        if mapping.is_state() {
            state.push(inputs[slot]);
        }
    }
    let mut made: Vec<Vec<OutletId>> = Vec::new();
    for turn in 0..turns {
        let mut wires = HashMap::new();
        let mut held = state.iter();
        for (slot, mapping) in op.input_mapping.iter().enumerate() {
            let outlet = match mapping {
                InputMapping::Full => inputs[slot],
                InputMapping::State => *held.next().context("a state is missing")?,
                InputMapping::Scan(info) => {
                    let length = to.shape(inputs[slot])?[info.axis];
                    let chunk = info.chunk.unsigned_abs();
                    // A chunk that is read backwards would have to be reversed too.
                    ensure!(
                        length == turns * chunk && info.chunk >= -1,
                        "a chunk is cut"
                    );
                    let at = if info.chunk < 0 {
                        turns - 1 - turn
                    } else {
                        turn
                    };
                    let slice = Slice::new(info.axis, at * chunk, (at + 1) * chunk);
                    to.wire(slice, &[inputs[slot]])?
                }
            };
            wires.insert(op.body.inputs[slot], outlet);
        }
        for &id in &order {
            if op.body.inputs.contains(&id.into()) {
                continue;
            }
            let inner = op.body.node(id);
            let given: TVec<OutletId> = inner.inputs.iter().map(|input| wires[input]).collect();
            let outlets = if let Some(constant) = inner.op_as::<Const>() {
                let value = constant.val().clone().into_tensor();
                tvec!(to.add_const(value)?)
            } else if let Some(made) = cell(to, inner, &given)? {
                made
            } else {
                let name = format!("expressed.{}", to.made.nodes().len());
                to.made.wire_node(name, inner.op.clone(), &given)?
            };
            for (slot, outlet) in outlets.into_iter().enumerate() {
                wires.insert(OutletId::new(id, slot), outlet);
            }
        }
        let outputs: Vec<OutletId> = op.body.outputs.iter().map(|o| wires[o]).collect();
        let kept = outputs.iter().zip(&op.output_mapping);
        state = kept
            .filter(|(_, mapping)| mapping.state)
            .map(|(&outlet, _)| outlet)
            .collect();
        made.push(outputs);
    }
    let last = made.last().context("no turn")?.clone();
    let mut outlets = vec![None; node.outputs.len()];
    for (index, mapping) in op.output_mapping.iter().enumerate() {
        if let Some(slot) = mapping.last_value_slot {
            outlets[slot] = Some(last[index]);
        }
        if let Some((slot, info)) = mapping.scan {
            let mut parts: Vec<OutletId> = made.iter().map(|outputs| outputs[index]).collect();
            if info.chunk < 0 {
                parts.reverse();
            }
            outlets[slot] = Some(match *parts {
                [only] => only,
                _ => to.wire(TypedConcat::new(info.axis), &parts)?,
            });
        }
    }
    Ok(outlets.into_iter().collect())
}
