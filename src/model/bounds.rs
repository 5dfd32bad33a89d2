//! graph as ONNX has it → the same with its shapes known, none of them absurd.
//!
//! tract computes what is constant while it looks for shapes, and asks how large it was only
//! afterwards. Here every shape is looked at before anything of it is computed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;
use tract_onnx::tract_core::runtime::RunOptions;
use tract_onnx::tract_hir::infer::{Factoid, InferenceFact};
use tract_onnx::tract_hir::prelude::InferenceModel;

use super::cost::{bytes, cost};
use super::proto::{MOST_AXES, MOST_ELEMENTS};
use crate::error::{Error, Result};

/// Most elements that are computed before the image is known, over four times those in the file:
/// 128 MiB of FP32.
const MOST_COMPUTED: usize = 1 << 25;

/// Most bytes of values that are alive at once in a run, whatever memory there is.
const MOST_WORK: u64 = 8 << 30;

/// Most operations of a run: twice those of EfficientNet-L2 at 800 pixels, seventeen times those of ViT-L.
const MOST_OPERATIONS: u64 = 1 << 40;

/// Bytes that tract keeps for a node in a run.
const NODE: u64 = 1024;

/// From here on tract's analysis takes lengths for others: it keeps 32 bits of some.
const ABSURD: u64 = 1 << 31;

/// How the names of operators begin that pass numbers on, compute with them, or take them for
/// positions, where the largest number means the end.
const HARMLESS: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "Cast",
    "Clip",
    "Concat",
    "Div",
    "Eq",
    "Gather",
    "Greater",
    "Gt",
    "Identity",
    "If",
    "InferenceConcat",
    "Less",
    "Lt",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Ne",
    "Not",
    "Or",
    "Pow",
    "Rem",
    "RmDims",
    "Shape",
    "Sign",
    "Size",
    "Slice",
    "Squeeze",
    "StridedSlice",
    "Sub",
    "Unsqueeze",
    "Where",
    "Xor",
    "onnx.Cast",
];

/// Finds all shapes, in the order and with the rules of tract's own analysis. `axes` are those of
/// [`proto::axes`](super::proto::axes).
pub fn analyse(graph: &mut InferenceModel, axes: &HashMap<String, i64>) -> Result<()> {
    let unusable = |error: TractError| {
        Error::UnsupportedModel(format!("the graph cannot be prepared: {error:#}"))
    };
    let held: usize = graph
        .nodes()
        .iter()
        .filter_map(|node| Some(node.op_as::<Const>()?.val().volume()))
        .sum();
    let most = held.saturating_mul(4).saturating_add(MOST_COMPUTED);
    let mut computed = HashMap::new();
    let mut pending: BTreeSet<usize> = (0..graph.nodes().len()).collect();
    while let Some(id) = pending.pop_first() {
        check_numbers(graph, id)?;
        check_axis(graph, id, axes)?;
        if let Some(elements) = constant(graph, id).map_err(unusable)? {
            computed.insert(id, elements?);
            let sum = computed.values().fold(0usize, |a, &b| a.saturating_add(b));
            if sum > most {
                return Err(Error::UnsupportedModel(format!(
                    "node `{}` is the last straw: the graph computes constants of {sum} numbers, at most {most} are allowed",
                    graph.node(id).name
                )));
            }
        }
        let changed = infer(graph, id)
            .with_context(|| format!("at `{}`", graph.node(id).name))
            .map_err(unusable)?;
        for (outlet, fact) in changed {
            let node = graph.node(outlet.node);
            elements(&fact, &node.name)?;
            pending.extend(node.outputs[outlet.slot].successors.iter().map(|s| s.node));
            if outlet.node != id {
                pending.insert(outlet.node);
            }
        }
    }
    Ok(())
}

/// Refuses an axis that the input does not have: tract counts from it without end.
fn check_axis(graph: &InferenceModel, id: usize, axes: &HashMap<String, i64>) -> Result<()> {
    let node = graph.node(id);
    let inputs = graph.node_input_facts(id).map_err(super::failed)?;
    let rank = inputs
        .first()
        .and_then(|fact| fact.shape.rank().concretize());
    match axes.get(&node.name).zip(rank) {
        Some((&axis, rank)) if !(-rank..rank).contains(&axis) => Err(Error::UnsupportedModel(
            format!("node `{}` names the axis {axis} of {rank}", node.name),
        )),
        _ => Ok(()),
    }
}

/// Refuses sizes that no tensor has.
fn check_numbers(graph: &InferenceModel, id: usize) -> Result<()> {
    let node = graph.node(id);
    let name = node.op.name();
    if HARMLESS.iter().any(|start| name.starts_with(start)) {
        return Ok(());
    }
    for input in graph.node_input_facts(id).map_err(super::failed)? {
        let Some(value) = input.value.concretize() else {
            continue;
        };
        let whole = value.datum_type().is_integer() || value.datum_type().is_tdim();
        if !whole || value.volume() > 1024 {
            continue;
        }
        let Ok(numbers) = value.cast_to::<i64>() else {
            continue;
        };
        let plain = numbers.try_as_plain_ram().map_err(super::failed)?;
        let numbers = plain.as_slice::<i64>().map_err(super::failed)?;
        if let Some(number) = numbers.iter().find(|n| n.unsigned_abs() >= ABSURD) {
            return Err(Error::UnsupportedModel(format!(
                "node `{}` is given the absurd number {number}",
                node.name
            )));
        }
    }
    Ok(())
}

/// Elements of what a node computes from constants alone; none: it depends on the image.
fn constant(graph: &InferenceModel, id: usize) -> TractResult<Option<Result<usize>>> {
    let node = graph.node(id);
    let (inputs, outputs) = graph.node_facts(id)?;
    if inputs.is_empty() || inputs.iter().any(|fact| fact.value.concretize().is_none()) {
        return Ok(None);
    }
    let mut op = node.op.clone();
    let (_, found, _) = op.infer_facts(inputs, outputs, tvec![])?;
    Ok(Some(found.iter().try_fold(0usize, |sum, fact| {
        Ok(sum.saturating_add(elements(fact, &node.name)?.unwrap_or(0)))
    })))
}

/// Learns what one node tells of the tensors around it; gives those of which more is known now.
fn infer(graph: &mut InferenceModel, id: usize) -> TractResult<Vec<(OutletId, InferenceFact)>> {
    let mut op = graph.node(id).op.clone();
    let node = graph.node(id);
    let (inputs, outputs) = graph.node_facts(id)?;
    ensure!(
        op.nboutputs()? == outputs.len(),
        "it has {} outputs, expected {}",
        outputs.len(),
        op.nboutputs()?
    );
    let observed = op.observe_outlets(graph, node)?;
    let observed_facts = observed.iter().map(|&outlet| graph.outlet_fact(outlet));
    let observed_facts: TVec<_> = observed_facts.collect::<TractResult<_>>()?;
    let found = op.infer(inputs, outputs, observed_facts)?;
    let own = (0..node.outputs.len()).map(|slot| OutletId::new(id, slot));
    let outlets = node.inputs.iter().copied().chain(own).chain(observed);
    let facts = found.0.into_iter().chain(found.1).chain(found.2);
    let outlets: Vec<OutletId> = outlets.collect();
    let mut changed = Vec::new();
    for (outlet, fact) in outlets.into_iter().zip(facts) {
        let old = graph.outlet_fact(outlet)?;
        let new = old.unify(&fact)?;
        if new != *old {
            graph.set_outlet_fact(outlet, new.clone())?;
            changed.push((outlet, new));
        }
    }
    graph.node_mut(id).op = op;
    Ok(changed)
}

/// Number of elements of a tensor, as far as its shape is known.
fn elements(fact: &InferenceFact, name: &str) -> Result<Option<usize>> {
    let absurd = |shape: &dyn std::fmt::Debug| {
        Err(Error::UnsupportedModel(format!(
            "node `{name}` makes a tensor of the absurd shape {shape:?}"
        )))
    };
    let rank = fact.shape.dims().count();
    if rank > MOST_AXES {
        return absurd(&format_args!("of {rank} axes"));
    }
    let known = fact.shape.dims().filter_map(|dim| dim.concretize());
    let lengths: Vec<i64> = known.filter_map(|dim| dim.to_i64().ok()).collect();
    // An unknown axis may be empty.
    let whole = fact.shape.is_concrete() && lengths.len() == rank;
    let product = lengths.iter().try_fold(1usize, |product, &length| {
        product.checked_mul(usize::try_from(length).ok()?)
    });
    match product.filter(|&product| product <= MOST_ELEMENTS) {
        Some(product) => Ok(whole.then_some(product)),
        None if lengths.contains(&0) && lengths.iter().all(|&length| length >= 0) => Ok(Some(0)),
        None => absurd(&lengths),
    }
}

/// What a run of a graph takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Run {
    /// Bytes that are in use at once, at the most, without weights and constants.
    pub most: u64,
    /// Bytes of the outputs, which are left.
    pub outputs: u64,
}

/// Whose the inputs of a run are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Inputs {
    /// The run's: they go when nothing needs them any more.
    Given,
    /// The caller's, who has counted them.
    Lent,
}

/// Follows a run of a graph whose nodes are computed in this order, as [`runnable`] does.
///
/// # Errors
/// [`Error::UnsupportedModel`] for one that takes more than [`MOST_OPERATIONS`], [`Error::OverMemoryLimit`]
/// for one that no machine has the memory for.
pub fn run(graph: &TypedModel, order: &[usize], whose: Inputs) -> Result<Run> {
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
        let cost = cost(graph, node).map_err(super::failed)?;
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
            "a run of the graph needs {} MB for values between its nodes, at most {} MB are allowed; take a smaller model",
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

/// Refuses a graph that takes without end to run.
///
/// # Errors
/// [`Error::UnsupportedModel`] for one that takes more than [`MOST_OPERATIONS`].
pub fn check_work(graph: &TypedModel) -> Result<()> {
    let order = graph.eval_order().map_err(super::failed)?;
    let mut operations = 0u64;
    for id in order {
        let cost = cost(graph, graph.node(id)).map_err(super::failed)?;
        operations = operations.saturating_add(cost.operations);
    }
    check_operations(operations)
}

fn check_operations(operations: u64) -> Result<()> {
    match operations <= MOST_OPERATIONS {
        true => Ok(()),
        false => Err(Error::UnsupportedModel(format!(
            "a run of the graph takes {} billion operations, at most {} billion are allowed; take a smaller model",
            operations / 1_000_000_000,
            MOST_OPERATIONS / 1_000_000_000
        ))),
    }
}

/// Bytes of all that a node makes.
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
