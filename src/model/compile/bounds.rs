//! graph as ONNX has it → the same graph with known shapes, none of them absurd.
//!
//! While tract looks for shapes, it computes constants, and checks their size only afterwards. Here
//! every shape is checked before anything is computed.

use std::collections::{BTreeSet, HashMap};

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_hir::infer::InferenceNode;
use tract_onnx::tract_hir::infer::{Factoid, InferenceFact};
use tract_onnx::tract_hir::prelude::InferenceModel;

use super::limits;
use crate::error::{Error, Result};
use crate::model::compile::cost::cost;
use crate::model::compile::work;
use crate::model::error::failed;
use crate::model::run::{MOST_AXES, MOST_ELEMENTS};

/// The most elements that may be computed before the image is known, besides four times those in the file:
/// 128 MiB of FP32.
const MOST_COMPUTED: usize = 1 << 25;

/// From here on, tract's analysis confuses lengths: it keeps only 32 bits of some.
const ABSURD: u64 = 1 << 31;

/// How the names of operators begin that pass numbers on, compute with them, or use them as
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
        Error::UnsupportedModel(format!("the graph cannot be compiled: {error:#}"))
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
                    "with node `{}` the graph computes constants of {sum} numbers, at most {most} are allowed",
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
    let unknown = |node: &InferenceNode| {
        let mut facts = node.outputs.iter().map(|output| &output.fact);
        facts.any(|fact| fact.value.concretize().is_none())
    };
    let nodes = graph.nodes().iter().filter(|node| unknown(node)).count();
    if nodes > limits::MOST_COMPUTED {
        return Err(Error::UnsupportedModel(format!(
            "the graph has {nodes} nodes that depend on the image, at most {} are allowed; simplify it, for example \
             with onnxsim",
            limits::MOST_COMPUTED
        )));
    }
    Ok(())
}

/// Refuses an axis that the input does not have: tract counts from it without end.
fn check_axis(graph: &InferenceModel, id: usize, axes: &HashMap<String, i64>) -> Result<()> {
    let node = graph.node(id);
    let inputs = graph.node_input_facts(id).map_err(failed)?;
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
    for input in graph.node_input_facts(id).map_err(failed)? {
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
        let plain = numbers.try_as_plain_ram().map_err(failed)?;
        let numbers = plain.as_slice::<i64>().map_err(failed)?;
        if let Some(number) = numbers.iter().find(|n| n.unsigned_abs() >= ABSURD) {
            return Err(Error::UnsupportedModel(format!(
                "node `{}` gets the absurd number {number}",
                node.name
            )));
        }
    }
    Ok(())
}

/// The number of elements that a node computes from constants alone; none: it depends on the image.
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

/// Infers what one node says about the tensors around it; returns those about which more is known now.
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
            "node `{name}` makes a tensor with the absurd shape {shape:?}"
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

/// Refuses a graph that would run without end.
///
/// # Errors
/// [`Error::UnsupportedModel`] for one that takes more than
/// [`run::MOST_OPERATIONS`](crate::model::run::MOST_OPERATIONS).
pub fn check_work(graph: &TypedModel) -> Result<()> {
    let order = graph.eval_order().map_err(failed)?;
    let mut operations = 0u64;
    for id in order {
        let cost = cost(graph, graph.node(id)).map_err(failed)?;
        operations = operations.saturating_add(cost.operations);
    }
    work::check_operations(operations)
}
