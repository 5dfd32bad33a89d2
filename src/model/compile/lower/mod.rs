//! Typed graph → the same graph with channels-last activations and our own kernels.
//!
//! tract stores the channels of an image outermost, so that neighbours in memory belong to one channel.
//! Convolutions are faster the other way round, so every outlet here says which of its axes is stored
//! last; an operator without a channels-last form gets its input in the original order.

mod contract;
mod convolution;
mod fused;
mod gather;
mod last;
mod product;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::MultiBroadcastTo;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::cnn::{Conv, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;

use self::fused::Fused;
use crate::model::compile::ops::{Arrangement, Fill, floats};

/// The constants from which the kernels of a lowered graph were packed, by the names of their nodes.
pub type Constants = HashMap<String, (Arc<Tensor>, Arrangement)>;

/// Rewrites a decluttered graph; inputs and outputs keep their shapes. `note` receives the constants
/// from which each kernel is packed.
///
/// # Errors
/// If the graph is inconsistent.
pub fn lower(graph: &TypedModel, note: Option<&mut Constants>) -> TractResult<TypedModel> {
    let mut lowering = Lowering {
        graph,
        lowered: TypedModel {
            symbols: graph.symbols.clone(),
            ..TypedModel::default()
        },
        wires: HashMap::new(),
        fused: HashMap::new(),
        absorbed: HashSet::new(),
        note,
    };
    // Callers feed them in this order, whatever the order of their use.
    for &input in &graph.inputs {
        let name = &*graph.node(input.node).name;
        let fact = graph.outlet_fact(input)?.clone();
        let source = lowering.lowered.add_source(name, fact)?;
        lowering.keep(input.node, input.slot, source, None);
    }
    for node in graph.eval_order()? {
        lowering.node(node)?;
    }
    let outputs = graph.output_outlets()?.to_vec();
    let outputs: Vec<OutletId> = outputs
        .into_iter()
        .map(|outlet| lowering.plain(outlet))
        .collect::<TractResult<_>>()?;
    let mut lowered = lowering.lowered;
    lowered.select_output_outlets(&outputs)?;
    lowered.compact()?;
    Ok(lowered)
}

/// An outlet of the lowered graph; `last` is the axis of the original that is stored last.
#[derive(Clone, Copy)]
struct Wire {
    outlet: OutletId,
    last: usize,
}

struct Lowering<'a> {
    graph: &'a TypedModel,
    lowered: TypedModel,
    wires: HashMap<OutletId, Wire>,
    /// By the last node of each.
    fused: HashMap<usize, Fused>,
    absorbed: HashSet<usize>,
    note: Option<&'a mut Constants>,
}

impl Lowering<'_> {
    fn node(&mut self, id: usize) -> TractResult<()> {
        if let Some(fused) = self.fused.remove(&id) {
            return self.emit(id, fused);
        }
        if self.absorbed.contains(&id) || self.graph.inputs.contains(&id.into()) {
            return Ok(());
        }
        if let Some(mut fused) = self.root(id)? {
            let end = self.follow(id, &mut fused)?;
            if end == id {
                return self.emit(id, fused);
            }
            self.fused.insert(end, fused);
            return Ok(());
        }
        if self.channels_last(id)?.is_some()
            || self.contraction(id)?.is_some()
            || self.pick(id)?.is_some()
        {
            return Ok(());
        }
        let node = self.graph.node(id);
        let inputs: Vec<OutletId> = node
            .inputs
            .iter()
            .map(|&input| self.plain(input))
            .collect::<TractResult<_>>()?;
        // A plan has only one way to repeat values.
        let repeated = node.op_as::<MultiBroadcastTo>();
        let repeated = repeated.and_then(|op| op.shape.as_concrete());
        let op: Box<dyn TypedOp> = match (repeated, node.op_as::<SumPool>()) {
            (Some(shape), _) => Box::new(Fill(shape.into())),
            (_, Some(pool)) => Box::new(self.padded(node, pool)?),
            _ => node.op.clone(),
        };
        let outlets = self.lowered.wire_node(&*node.name, op, &inputs)?;
        for (slot, outlet) in outlets.into_iter().enumerate() {
            self.keep(id, slot, outlet, None);
        }
        Ok(())
    }

    fn keep(&mut self, node: usize, slot: usize, outlet: OutletId, last: Option<usize>) {
        let rank = self.graph.node(node).outputs[slot].fact.rank();
        let last = last.unwrap_or(rank.saturating_sub(1));
        self.wires
            .insert(OutletId::new(node, slot), Wire { outlet, last });
    }

    /// An outlet with this axis stored last.
    fn stored(&mut self, outlet: OutletId, last: usize) -> TractResult<OutletId> {
        let rank = self.graph.outlet_fact(outlet)?.rank();
        let wire = self.wires[&outlet];
        if wire.last == last || rank == 0 {
            return Ok(wire.outlet);
        }
        let mut moved = wire.outlet;
        for (from, to) in [(rank - 1, wire.last), (last, rank - 1)] {
            if from != to {
                let name = format!("layout.{}", self.lowered.nodes.len());
                moved = self
                    .lowered
                    .wire_node(name, AxisOp::Move(from, to), &[moved])?[0];
            }
        }
        Ok(moved)
    }

    fn plain(&mut self, outlet: OutletId) -> TractResult<OutletId> {
        let rank = self.graph.outlet_fact(outlet)?.rank();
        self.stored(outlet, rank.saturating_sub(1))
    }

    fn shape(&self, outlet: OutletId) -> TractResult<Option<TVec<usize>>> {
        let fact = self.graph.outlet_fact(outlet)?;
        let float = fact.datum_type == f32::datum_type();
        Ok(fact.shape.as_concrete().filter(|_| float).map(Into::into))
    }

    /// The value of a constant, as f32.
    fn constant(&self, outlet: OutletId) -> TractResult<Option<Arc<Tensor>>> {
        let node = self.graph.node(outlet.node);
        let mut konst = self.graph.outlet_fact(outlet)?.konst.clone();
        if konst.is_none() && node.op_is::<Cast>() {
            konst = self.graph.outlet_fact(node.inputs[0])?.konst.clone();
        }
        let Some(konst) = konst else { return Ok(None) };
        if konst.datum_type() == f32::datum_type() {
            return Ok(Some(konst));
        }
        if !konst.datum_type().is_float() {
            return Ok(None);
        }
        Ok(Some(konst.cast_to::<f32>()?.into_owned().into_arc_tensor()))
    }

    /// A constant with one value, or one for each place along an axis of the other operand.
    fn along(&self, outlet: OutletId, axis: usize, length: usize) -> TractResult<Option<Vec<f32>>> {
        let Some(konst) = self.constant(outlet)? else {
            return Ok(None);
        };
        let values = floats(&konst)?;
        if let &[value] = values {
            return Ok(Some(vec![value; length]));
        }
        let fits = values.len() == length && konst.shape().get(axis) == Some(&length);
        Ok(fits.then(|| values.to_vec()))
    }

    fn root(&self, id: usize) -> TractResult<Option<Fused>> {
        let node = self.graph.node(id);
        if let Some(conv) = node.op_as::<Conv>() {
            self.convolution(node, conv)
        } else if let Some(einsum) = node.op_as::<EinSum>() {
            self.product(node, einsum)
        } else {
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests;
