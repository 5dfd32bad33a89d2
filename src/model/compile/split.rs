//! differentiated graph → forward graph + backward graph.

use std::collections::{BTreeSet, HashMap};

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::model::order::eval_order_for_nodes;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::logic::comp_gt;

use super::barrier::Barrier;
use super::gradient::Gradients;

/// The two halves of a differentiated graph.
pub struct Halves {
    /// Image → scores, then the layers, then the residuals.
    pub forward: TypedModel,
    /// Cotangent, then the residuals → the gradient at each layer; an axis of length 1 may stand for
    /// a value that is the same along the whole axis.
    pub backward: Option<TypedModel>,
}

/// Cuts the graph between the original and what [`super::gradient::differentiate`] appended. What
/// crosses the cut, the residuals, is kept by the forward pass.
pub fn split(
    graph: &TypedModel,
    scores: OutletId,
    layers: &[OutletId],
    gradients: Option<&Gradients>,
) -> TractResult<Halves> {
    let mut outputs = vec![scores];
    outputs.extend(layers);
    let Some(gradients) = gradients else {
        return Ok(Halves {
            forward: extract(graph, &graph.inputs, &outputs)?,
            backward: None,
        });
    };
    let mut residuals = BTreeSet::new();
    let mut pending: Vec<OutletId> = gradients.layers.clone();
    let mut seen = BTreeSet::new();
    while let Some(outlet) = pending.pop() {
        if outlet.node >= gradients.first {
            if seen.insert(outlet.node) {
                pending.extend(&graph.node(outlet.node).inputs);
            }
        } else if !graph.node(outlet.node).op_is::<Const>() {
            residuals.insert(unbarred(graph, outlet));
        }
    }
    let mut graph = graph.clone();
    let residuals = numbers(&mut graph, gradients.first, residuals)?;
    let graph = &graph;
    let mut inputs = vec![gradients.cotangent];
    inputs.extend(&residuals);
    outputs.extend(&residuals);
    Ok(Halves {
        forward: extract(graph, &graph.inputs, &outputs)?,
        backward: Some(extract(graph, &inputs, &gradients.layers)?),
    })
}

/// What is computed from a layer on: the image, which some of it may read too, and the layer → the scores.
pub fn tail(
    graph: &TypedModel,
    image: OutletId,
    layer: OutletId,
    scores: OutletId,
) -> TractResult<TypedModel> {
    extract(graph, &[image, layer], &[scores])
}

/// Residuals, with truth values as numbers: plans pass only numbers between the graphs.
fn numbers(
    graph: &mut TypedModel,
    first: usize,
    residuals: BTreeSet<OutletId>,
) -> TractResult<Vec<OutletId>> {
    let mut all = Vec::new();
    for residual in residuals {
        let fact = graph.outlet_fact(residual)?;
        if fact.datum_type != bool::datum_type() {
            all.push(residual);
            continue;
        }
        let rank = fact.rank();
        let readers = graph.outlet_successors(residual).to_vec();
        let name = |what: &str| format!("truth.{}.{}.{what}", residual.node, residual.slot);
        let to = f32::datum_type();
        let number = graph.wire_node(name("number"), Cast { to }, &[residual])?[0];
        let half = tensor0(0.5f32).broadcast_into_rank(rank)?;
        let half = graph.add_const(name("half"), half)?;
        let compare = TypedBinOp(comp_gt(), None);
        let truth = graph.wire_node(name("truth"), compare, &[number, half])?[0];
        for reader in readers.into_iter().filter(|reader| reader.node >= first) {
            graph.add_edge(truth, reader)?;
        }
        all.push(number);
    }
    Ok(all)
}

/// The outlet before any barriers.
fn unbarred(graph: &TypedModel, mut outlet: OutletId) -> OutletId {
    while graph.node(outlet.node).op_is::<Barrier>() {
        outlet = graph.node(outlet.node).inputs[0];
    }
    outlet
}

/// The part of a graph between two sets of outlets, without barriers.
fn extract(
    graph: &TypedModel,
    inputs: &[OutletId],
    outputs: &[OutletId],
) -> TractResult<TypedModel> {
    let mut part = TypedModel {
        symbols: graph.symbols.clone(),
        ..TypedModel::default()
    };
    let mut mapping = HashMap::new();
    for &input in inputs {
        let fact = graph.outlet_fact(input)?.without_value();
        let name = format!("{}.{}", graph.node(input.node).name, input.slot);
        mapping.insert(input, part.add_source(name, fact)?);
    }
    let nodes = |outlets: &[OutletId]| outlets.iter().map(|o| o.node).collect::<Vec<_>>();
    for id in eval_order_for_nodes(graph.nodes(), &nodes(inputs), &nodes(outputs), &[])? {
        let node = graph.node(id);
        if mapping.contains_key(&OutletId::from(id)) {
            continue;
        }
        let sources: Vec<OutletId> = node
            .inputs
            .iter()
            .map(|input| mapping.get(input).copied())
            .collect::<Option<_>>()
            .with_context(|| format!("{node} reads what does not exist"))?;
        if node.op_is::<Barrier>() {
            mapping.insert(id.into(), sources[0]);
            continue;
        }
        let facts = node.outputs.iter().map(|o| o.fact.clone()).collect();
        let copy = part.add_node(node.name.clone(), node.op.clone(), facts)?;
        for (slot, &source) in sources.iter().enumerate() {
            part.add_edge(source, InletId::new(copy, slot))?;
        }
        for slot in 0..node.outputs.len() {
            mapping.insert(OutletId::new(id, slot), OutletId::new(copy, slot));
        }
    }
    let outputs: Vec<OutletId> = outputs.iter().map(|outlet| mapping[outlet]).collect();
    part.select_output_outlets(&outputs)?;
    Ok(part)
}
