//! graph → the same graph with the gradient of the scores appended.
//!
//! Reverse-mode differentiation: for each node from the scores back to the layers, a rule appends the
//! vector-Jacobian product, built from tract's own operators, so that tract optimises it like the rest.
//!
//! A gradient may have length 1 where its tensor is longer: the value is the same along that axis.
//! Rules that cannot work with this use [`Tape::full`].

mod elementwise;
mod linear;
mod norm;
mod shape;
mod window;

use std::collections::HashMap;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::barrier::Barrier;
use super::quantised::Spread;
use crate::error::{Error, Result};
use crate::model::compile::ops::Fill;

/// What differentiation appended to a graph.
pub struct Gradients {
    /// Nodes from here on are new.
    pub first: usize,
    /// The new input: the weight of each score, in the scores' shape.
    pub cotangent: OutletId,
    /// The gradient at each layer.
    pub layers: Vec<OutletId>,
}

/// Appends the gradient of Σ cotangent × scores with respect to each layer, an outlet of a barrier.
///
/// # Errors
/// [`Error::UnsupportedOperator`] names the operator and node that has no derivative here or that passes
/// no gradient on; [`Error::UnsupportedModel`] if the scores do not depend on a layer.
pub fn differentiate(
    graph: &mut TypedModel,
    scores: OutletId,
    layers: &[OutletId],
) -> Result<Gradients> {
    let failed = |error: TractError| {
        Error::UnsupportedModel(format!("the graph cannot be differentiated: {error:#}"))
    };
    let order = graph.eval_order().map_err(failed)?;
    let mut active = vec![false; graph.nodes().len()];
    for &id in &order {
        let node = graph.node(id);
        active[id] = layers.contains(&id.into())
            || !node.op_is::<Spread>() && node.inputs.iter().any(|input| active[input.node]);
    }
    let first = graph.nodes().len();
    let fact = graph.outlet_fact(scores).map_err(failed)?.without_value();
    let cotangent = graph.add_source("cotangent", fact).map_err(failed)?;
    graph.inputs.retain(|&input| input != cotangent);
    let mut tape = Tape {
        graph,
        gradients: HashMap::from([(scores, cotangent)]),
    };
    for &id in order.iter().rev() {
        if !active[id] || elementwise::is_flat(tape.graph.node(id)) {
            continue;
        }
        let node = tape.graph.node(id).clone();
        if tape.of(id.into()).is_none() && node.outputs.len() == 1 {
            continue;
        }
        for (slot, &input) in node.inputs.iter().enumerate() {
            let fact = tape.graph.outlet_fact(input).map_err(failed)?;
            // Truth values and indices do not change with a small step.
            if !active[input.node] || !fact.datum_type.is_float() {
                continue;
            }
            let gradient = tape.pull(&node, slot).map_err(|error| {
                Error::UnsupportedOperator(format!(
                    "operator {} at `{}` has no derivative here ({error:#})",
                    node.op.name(),
                    node.name
                ))
            })?;
            tape.add_to(input, gradient).map_err(failed)?;
        }
    }
    let layers = layers
        .iter()
        .map(|&layer| {
            tape.of(layer)
                .ok_or_else(|| unreached(&*tape.graph, &order, layer))
        })
        .collect::<Result<_>>()?;
    Ok(Gradients {
        first,
        cotangent,
        layers,
    })
}

/// Why no gradient reaches a layer: the first operator after it whose result does not change with a
/// small step.
fn unreached(graph: &TypedModel, order: &[usize], layer: OutletId) -> Error {
    let mut behind = vec![false; graph.nodes().len()];
    behind[layer.node] = true;
    let is_float = |fact: &TypedFact| fact.datum_type.is_float();
    for node in order.iter().map(|&id| graph.node(id)) {
        if !node.inputs.iter().any(|input| behind[input.node]) {
            continue;
        }
        behind[node.id] = true;
        if elementwise::is_flat(node) || !node.outputs.iter().any(|o| is_float(&o.fact)) {
            return Error::UnsupportedOperator(format!(
                "no gradient comes through operator {} at `{}`: its result does not change with a small step",
                node.op.name(),
                node.name
            ));
        }
    }
    Error::UnsupportedModel("the scores do not depend on the layer; name another one".into())
}

/// A graph and the gradients known so far.
pub struct Tape<'a> {
    graph: &'a mut TypedModel,
    gradients: HashMap<OutletId, OutletId>,
}

impl Tape<'_> {
    /// Vector-Jacobian product of one node with respect to one of its inputs.
    fn pull(&mut self, node: &TypedNode, slot: usize) -> TractResult<OutletId> {
        let Some(gradient) = self.of(node.id.into()).filter(|_| node.outputs.len() == 1) else {
            bail!("it has {} outputs", node.outputs.len());
        };
        if node.op_is::<Barrier>() {
            return Ok(gradient);
        }
        for rule in [
            linear::pull,
            elementwise::pull,
            shape::pull,
            norm::pull,
            window::pull,
        ] {
            if let Some(pulled) = rule(self, node, slot, gradient)? {
                return Ok(pulled);
            }
        }
        bail!("there is no rule")
    }

    fn of(&self, outlet: OutletId) -> Option<OutletId> {
        self.gradients.get(&outlet).copied()
    }

    fn add_to(&mut self, outlet: OutletId, gradient: OutletId) -> TractResult<()> {
        let sum = match self.of(outlet) {
            Some(known) => self.wire(math::add(), &[known, gradient])?,
            None => gradient,
        };
        self.gradients.insert(outlet, sum);
        Ok(())
    }

    /// Appends a node with one output.
    fn wire(
        &mut self,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        let name = format!("gradient.{}", self.graph.nodes().len());
        Ok(self.graph.wire_node(name, op, inputs)?[0])
    }

    /// A constant of one element and as many axes as `like`.
    fn scalar(&mut self, value: f32, like: OutletId) -> TractResult<OutletId> {
        let rank = self.graph.outlet_fact(like)?.rank();
        let tensor = tensor0(value).broadcast_into_rank(rank)?;
        let name = format!("gradient.{}", self.graph.nodes().len());
        self.graph.add_const(name, tensor)
    }

    /// The concrete shape of an outlet.
    fn shape(&self, outlet: OutletId) -> TractResult<TVec<usize>> {
        let shape = &self.graph.outlet_fact(outlet)?.shape;
        let concrete = shape.as_concrete().context("a shape is not known")?;
        Ok(concrete.into())
    }

    /// The gradient in the shape of its tensor.
    fn full(&mut self, gradient: OutletId, of: OutletId) -> TractResult<OutletId> {
        let shape = self.shape(of)?;
        if self.shape(gradient)? == shape {
            return Ok(gradient);
        }
        self.wire(Fill(shape), &[gradient])
    }

    /// Undoes the broadcast of `input` in `output`: sums `gradient`, which belongs to `output`, along
    /// the axes where `input` has length 1, and drops leading axes that it does not have.
    fn narrow(
        &mut self,
        gradient: OutletId,
        input: OutletId,
        output: OutletId,
    ) -> TractResult<OutletId> {
        let (from, mut to) = (self.shape(output)?, self.shape(input)?);
        let lead = from.len() - to.len();
        to.insert_many(0, std::iter::repeat_n(1, lead));
        let given = self.shape(gradient)?;
        let axes: TVec<usize> = (0..to.len()).filter(|&a| to[a] < from[a]).collect();
        let repeats: usize = axes
            .iter()
            .filter(|&&a| given[a] == 1)
            .map(|&a| from[a])
            .product();
        let axes: TVec<usize> = axes.into_iter().filter(|&a| given[a] > 1).collect();
        let mut gradient = gradient;
        if !axes.is_empty() {
            let reducer = Reducer::Sum;
            gradient = self.wire(Reduce { axes, reducer }, &[gradient])?;
        }
        if repeats > 1 {
            let repeats = self.scalar(repeats as f32, gradient)?;
            gradient = self.wire(math::mul(), &[gradient, repeats])?;
        }
        for _ in 0..lead {
            gradient = self.wire(AxisOp::Rm(0), &[gradient])?;
        }
        Ok(gradient)
    }
}

#[cfg(test)]
mod tests;
