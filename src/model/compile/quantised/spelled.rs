//! Graph that quantises values → the same graph, written with operators for which plans have records.
//!
//! A sum with 1.5 · 2²³ has no bits for fractions, so adding and subtracting it rounds to the nearest whole
//! number, ties to even. Values are clipped to the bounds first: the kernel before does that at no cost.

use std::collections::HashMap;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::logic::{Iff, comp_eq};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::{Part, Quantise, Spread};

/// Writes out every [`Quantise`] and [`Spread`]; inputs and outputs stay as they are.
///
/// # Errors
/// When the graph is inconsistent.
pub fn spell_out(graph: &TypedModel) -> TractResult<TypedModel> {
    let mut spelled = TypedModel {
        symbols: graph.symbols.clone(),
        ..TypedModel::default()
    };
    let mut wires = HashMap::new();
    for &input in &graph.inputs {
        let (name, fact) = (&*graph.node(input.node).name, graph.outlet_fact(input)?);
        wires.insert(input, spelled.add_source(name, fact.clone())?);
    }
    for id in graph.eval_order()? {
        let node = graph.node(id);
        if wires.contains_key(&OutletId::from(id)) {
            continue;
        }
        let inputs: Vec<OutletId> = node.inputs.iter().map(|input| wires[input]).collect();
        let mut speller = Speller {
            graph: &mut spelled,
            name: &node.name,
        };
        let outlets = if let Some(op) = node.op_as::<Quantise>() {
            vec![speller.quantise(op, [inputs[0], inputs[1], inputs[2]])?]
        } else if node.op_is::<Spread>() {
            speller.spread(inputs[0])?.to_vec()
        } else {
            let facts = node.outputs.iter().map(|output| output.fact.clone());
            let copy = spelled.add_node(node.name.clone(), node.op.clone(), facts.collect())?;
            for (slot, &input) in inputs.iter().enumerate() {
                spelled.add_edge(input, InletId::new(copy, slot))?;
            }
            let slots = 0..node.outputs.len();
            slots.map(|slot| OutletId::new(copy, slot)).collect()
        };
        for (slot, outlet) in outlets.into_iter().enumerate() {
            wires.insert(OutletId::new(id, slot), outlet);
        }
    }
    let outputs: Vec<OutletId> = graph.outputs.iter().map(|output| wires[output]).collect();
    spelled.select_output_outlets(&outputs)?;
    Ok(spelled)
}

struct Speller<'a> {
    graph: &'a mut TypedModel,
    name: &'a str,
}

impl Speller<'_> {
    fn quantise(&mut self, op: &Quantise, inputs: [OutletId; 3]) -> TractResult<OutletId> {
        let [values, step, zero] = inputs;
        let rank = self.graph.outlet_fact(values)?.rank();
        let (low, high) = (self.number(op.low, rank)?, self.number(op.high, rank)?);
        let mut kept = values;
        if op.part == Part::Number {
            for (bound, bounded) in [(low, math::max()), (high, math::min())] {
                let steps = self.binary(math::sub(), bound, zero)?;
                let bound = self.binary(math::mul(), steps, step)?;
                kept = self.binary(bounded, kept, bound)?;
            }
        }
        let steps = match self.is_one(step) {
            true => kept,
            false => self.binary(math::div(), kept, step)?,
        };
        let number = self.nearest(steps, Some(zero))?;
        if op.part == Part::Number {
            return Ok(number);
        }
        let within = self.binary(math::max(), number, low)?;
        let within = self.binary(math::min(), within, high)?;
        let within = self.wire(TypedBinOp(comp_eq(), None), &[number, within])?;
        let to = f32::datum_type();
        let within = self.wire(Cast { to }, &[within])?;
        self.binary(math::div(), within, step)
    }

    /// The nearest whole numbers, moved by a whole number.
    fn nearest(&mut self, values: OutletId, by: Option<OutletId>) -> TractResult<OutletId> {
        let rank = self.graph.outlet_fact(values)?.rank();
        let coarse = self.number(1.5 * (1 << 23) as f32, rank)?;
        let rounded = self.binary(math::add(), values, coarse)?;
        let back = match by {
            Some(by) => self.binary(math::sub(), coarse, by)?,
            None => coarse,
        };
        self.binary(math::sub(), rounded, back)
    }

    fn spread(&mut self, values: OutletId) -> TractResult<[OutletId; 2]> {
        let rank = self.graph.outlet_fact(values)?.rank();
        let nothing = self.number(0.0, rank)?;
        let minus = self.wire(ElementWiseOp(Box::new(math::Neg {}), None), &[values])?;
        let mut furthest = |values| {
            let axes = (0..rank).collect();
            let most = self.wire(Reduce::new(axes, Reducer::Max), &[values])?;
            self.binary(math::max(), most, nothing)
        };
        let (high, below) = (furthest(values)?, furthest(minus)?);
        let most = self.number(255.0, rank)?;
        let one = self.number(1.0, rank)?;
        let span = self.binary(math::add(), high, below)?;
        let step = self.binary(math::div(), span, most)?;
        let none = self.wire(TypedBinOp(comp_eq(), None), &[step, nothing])?;
        let step = self.wire(Iff, &[none, one, step])?;
        let zero = self.binary(math::div(), below, step)?;
        let zero = self.nearest(zero, None)?;
        let zero = self.binary(math::min(), zero, most)?;
        let mut outlets = [step, zero];
        for outlet in &mut outlets {
            for _ in 0..rank {
                *outlet = self.wire(AxisOp::Rm(0), &[*outlet])?;
            }
        }
        Ok(outlets)
    }

    fn number(&mut self, value: f32, rank: usize) -> TractResult<OutletId> {
        let tensor = tensor0(value).broadcast_into_rank(rank)?;
        self.graph.add_const(self.unique(), tensor)
    }

    fn is_one(&self, outlet: OutletId) -> bool {
        let op = self.graph.node(outlet.node).op_as::<Const>();
        let number = op.map(|op| op.val().cast_to_scalar::<f32>());
        matches!(number, Some(Ok(1.0)))
    }

    /// Computes constants at once.
    fn binary(&mut self, op: TypedBinOp, a: OutletId, b: OutletId) -> TractResult<OutletId> {
        let constant = |outlet: OutletId| {
            let node = self.graph.node(outlet.node);
            node.op_as::<Const>().map(|op| op.val().clone())
        };
        if let (Some(a), Some(b)) = (constant(a), constant(b)) {
            let inputs = tvec!(a.into_tvalue(), b.into_tvalue());
            let value = op.eval(&EvalContext::out_of_plan(), inputs)?.remove(0);
            return self.graph.add_const(self.unique(), value.into_tensor());
        }
        self.wire(op, &[a, b])
    }

    fn wire(
        &mut self,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        Ok(self.graph.wire_node(self.unique(), op, inputs)?[0])
    }

    fn unique(&self) -> String {
        format!("{}.{}", self.name, self.graph.nodes().len())
    }
}
