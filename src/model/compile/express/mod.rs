//! Typed graph → the same graph, in which operators without a derivative or a record in a plan are
//! written with operators that have both.
//!
//! Operators that only move values, or sum them with known weights, become slices, repetitions and
//! matrix products; loops of known length are unrolled. If a rule does not fit, the operator stays as
//! it is and still runs.

mod axis;
mod cells;
mod moves;
mod numbers;
mod truth;
mod unroll;
mod window;

use std::collections::HashMap;

use tract_onnx::tract_core::internal::*;

/// Rewrites a decluttered graph; inputs and outputs stay in order.
///
/// # Errors
/// If the graph is inconsistent.
pub fn express(graph: &TypedModel) -> TractResult<TypedModel> {
    let mut target = Target {
        graph,
        made: TypedModel {
            symbols: graph.symbols.clone(),
            ..TypedModel::default()
        },
        wires: HashMap::new(),
    };
    for &input in &graph.inputs {
        let fact = graph.outlet_fact(input)?.clone();
        let source = target
            .made
            .add_source(&*graph.node(input.node).name, fact)?;
        target.wires.insert(input, source);
    }
    for id in graph.eval_order()? {
        if graph.inputs.contains(&id.into()) {
            continue;
        }
        let node = graph.node(id);
        let inputs: TVec<OutletId> = node
            .inputs
            .iter()
            .map(|input| target.wires[input])
            .collect();
        let made = match target.rewritten(node, &inputs) {
            Some(outlets) => outlets,
            None => target.copied(node, &inputs)?,
        };
        for (slot, outlet) in made.into_iter().enumerate() {
            target.wires.insert(OutletId::new(id, slot), outlet);
        }
    }
    let outputs: Vec<OutletId> = graph.outputs.iter().map(|o| target.wires[o]).collect();
    target.made.select_output_outlets(&outputs)?;
    target.made.compact()?;
    Ok(target.made)
}

struct Target<'a> {
    graph: &'a TypedModel,
    made: TypedModel,
    wires: HashMap<OutletId, OutletId>,
}

impl Target<'_> {
    fn rewritten(&mut self, node: &TypedNode, inputs: &[OutletId]) -> Option<TVec<OutletId>> {
        for rule in [
            axis::rewrite,
            cells::rewrite,
            moves::rewrite,
            numbers::rewrite,
            truth::rewrite,
            unroll::rewrite,
            window::rewrite,
        ] {
            let made = rule(self, node, inputs).ok().flatten();
            if let Some(made) = made.filter(|made| self.suits(node, made)) {
                return Some(made);
            }
        }
        None
    }

    /// Whether outlets can replace those of a node.
    fn suits(&self, node: &TypedNode, made: &[OutletId]) -> bool {
        let alike = |(outlet, output): (&OutletId, &Outlet<TypedFact>)| {
            let fact = self.made.outlet_fact(*outlet);
            fact.is_ok_and(|fact| {
                fact.shape == output.fact.shape && fact.datum_type == output.fact.datum_type
            })
        };
        made.len() == node.outputs.len() && made.iter().zip(&node.outputs).all(alike)
    }

    fn copied(&mut self, node: &TypedNode, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let facts = node.outputs.iter().map(|o| o.fact.clone()).collect();
        let copy = self
            .made
            .add_node(node.name.clone(), node.op.clone(), facts)?;
        for (slot, &input) in inputs.iter().enumerate() {
            self.made.add_edge(input, InletId::new(copy, slot))?;
        }
        let slots = 0..node.outputs.len();
        Ok(slots.map(|slot| OutletId::new(copy, slot)).collect())
    }

    /// Appends a node with one output.
    fn wire(
        &mut self,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        let name = format!("expressed.{}", self.made.nodes().len());
        Ok(self.made.wire_node(name, op, inputs)?[0])
    }

    fn add_const(&mut self, tensor: Tensor) -> TractResult<OutletId> {
        let name = format!("expressed.{}", self.made.nodes().len());
        self.made.add_const(name, tensor)
    }

    /// A constant of one element and as many axes as `like`.
    fn scalar(&mut self, value: f32, like: OutletId) -> TractResult<OutletId> {
        let rank = self.made.outlet_fact(like)?.rank();
        self.add_const(tensor0(value).broadcast_into_rank(rank)?)
    }

    fn shape(&self, outlet: OutletId) -> TractResult<TVec<usize>> {
        let shape = &self.made.outlet_fact(outlet)?.shape;
        Ok(shape.as_concrete().context("of open shape")?.into())
    }

    /// The value of an input of a node of the old graph.
    fn constant(&self, node: &TypedNode, slot: usize) -> TractResult<Arc<Tensor>> {
        let input = *node.inputs.get(slot).context("no such input")?;
        let konst = self.graph.outlet_fact(input)?.konst.clone();
        konst.context("not constant")
    }

    fn reshape(&mut self, outlet: OutletId, to: &[usize]) -> TractResult<OutletId> {
        let from = self.shape(outlet)?;
        if from[..] == *to {
            return Ok(outlet);
        }
        let dims = |shape: &[usize]| shape.iter().map(|n| n.to_dim()).collect();
        self.wire(AxisOp::Reshape(0, dims(&from), dims(to)), &[outlet])
    }
}
