//! What a run takes, found without running: memory and operations.

use std::collections::BTreeSet;
use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;
use tract_onnx::tract_core::runtime::RunOptions;

use super::cost::{bytes, cost};
use crate::error::{Error, Result};
use crate::model::error::failed;
use crate::model::run::{MOST_OPERATIONS, MOST_WORK};

/// Bytes that tract keeps for a node in a run.
const NODE: u64 = 1024;

/// What a run of a graph takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Run {
    /// Most bytes in use at once, without weights and constants.
    pub most: u64,
    /// Bytes of the outputs, which remain.
    pub outputs: u64,
}

/// Whose the inputs of a run are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Inputs {
    /// The run's: they are freed when nothing needs them any more.
    Given,
    /// The caller's, who has counted them.
    Lent,
}

/// Follows a run of a graph whose nodes are computed in this order, as [`runnable`] does.
///
/// # Errors
/// [`Error::UnsupportedModel`] for one that takes more than [`MOST_OPERATIONS`], [`Error::OverMemoryLimit`]
/// for one that no machine has the memory for.
pub fn follow(graph: &TypedModel, order: &[usize], whose: Inputs) -> Result<Run> {
    let mut last = vec![0; graph.nodes().len()];
    for (step, &id) in order.iter().enumerate() {
        for input in &graph.node(id).inputs {
            last[input.node] = step;
        }
    }
    for output in &graph.outputs {
        last[output.node] = order.len();
    }
    let bytes: Vec<u64> = graph.nodes().iter().map(size).collect();
    let lent = |id: usize| graph.node(id).op_is::<TypedSource>() && whose == Inputs::Lent;
    let held = |id: usize| match lent(id) || graph.node(id).op_is::<Const>() {
        true => 0,
        false => bytes[id],
    };
    let sum = |ids: &mut dyn Iterator<Item = usize>| ids.map(held).fold(0, u64::saturating_add);
    let inputs = sum(&mut graph.inputs.iter().map(|input| input.node));
    let mut fresh = vec![whose == Inputs::Given; graph.nodes().len()];
    let (mut live, mut most, mut operations) = (inputs, inputs, 0u64);
    for (step, &id) in order.iter().enumerate() {
        let node = graph.node(id);
        let cost = cost(graph, node).map_err(failed)?;
        operations = operations.saturating_add(cost.operations);
        let done: BTreeSet<usize> = node.inputs.iter().map(|input| input.node).collect();
        let done = done.into_iter().filter(|&id| last[id] == step);
        let made = match node.op_is::<TypedSource>() {
            true => 0,
            false => bytes[id],
        };
        if !node.op_is::<TypedSource>() {
            fresh[id] = cost.fresh;
        }
        let alone = node.inputs.first().is_some_and(|input| {
            let readers = &graph.node(input.node).outputs[input.slot].successors;
            let kept = graph.outputs.contains(input) || held(input.node) == 0;
            fresh[input.node] && readers.len() == 1 && !kept
        });
        let taken = match cost.in_place && alone {
            true => cost.scratch,
            false => made.saturating_add(cost.scratch),
        };
        most = most.max(live.saturating_add(taken));
        live = live.saturating_add(made);
        live = live.saturating_sub(sum(&mut { done }));
    }
    check_operations(operations)?;
    let records = NODE.saturating_mul(graph.nodes().len() as u64);
    let most = most.max(live).saturating_add(records);
    if most > MOST_WORK {
        return Err(Error::OverMemoryLimit(format!(
            "a run of the graph needs {} MB for values between its nodes, at most {} MB are allowed; take a \
            smaller model",
            most / 1_000_000,
            MOST_WORK / 1_000_000
        )));
    }
    let outputs: BTreeSet<usize> = graph.outputs.iter().map(|output| output.node).collect();
    Ok(Run {
        most,
        outputs: sum(&mut outputs.into_iter()),
    })
}

/// Refuses what would run practically without end.
///
/// # Errors
/// [`Error::UnsupportedModel`] for more than [`MOST_OPERATIONS`].
pub fn check_operations(operations: u64) -> Result<()> {
    match operations <= MOST_OPERATIONS {
        true => Ok(()),
        false => Err(Error::UnsupportedModel(format!(
            "a run of the graph takes {} billion operations, at most {} billion are allowed; take a smaller model",
            operations / 1_000_000_000,
            MOST_OPERATIONS / 1_000_000_000
        ))),
    }
}

/// Bytes of all outputs of a node.
fn size(node: &TypedNode) -> u64 {
    let sizes = node.outputs.iter().map(|output| bytes(&output.fact));
    sizes.fold(0, u64::saturating_add)
}

/// A graph that is run in the order of [`TypedModel::eval_order`], which takes time in proportion to it.
///
/// # Errors
/// Those of tract.
pub fn runnable(graph: TypedModel) -> TractResult<Arc<TypedSimplePlan>> {
    let options = RunOptions {
        skip_order_opt_ram: true,
        ..RunOptions::default()
    };
    graph.into_runnable_with_options(&options)
}
