//! Operators that work on single elements, with broadcasting.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::logic::{Iff, comp_eq, comp_gt, comp_gte, comp_lt, comp_lte};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::LeakyRelu;

use super::super::quantised::{Part, Quantise};
use super::Tape;
use crate::model::compile::ops::Slope;

pub fn pull(
    tape: &mut Tape,
    node: &TypedNode,
    slot: usize,
    gradient: OutletId,
) -> TractResult<Option<OutletId>> {
    let (input, output) = (node.inputs[slot], OutletId::from(node.id));
    if let Some(op) = node.op_as::<TypedBinOp>() {
        return binary(tape, node, slot, gradient, op);
    }
    if let Some(op) = node.op_as::<ElementWiseOp>()
        && let Some(&LeakyRelu { alpha }) = op.0.downcast_ref::<LeakyRelu>()
    {
        // Plans have records for these, but not for a slope with a number of its own.
        let zero = tape.scalar(0.0, input)?;
        let positive = tape.wire(TypedBinOp(comp_gt(), None), &[input, zero])?;
        let alpha = tape.scalar(alpha, gradient)?;
        let less = tape.wire(math::mul(), &[gradient, alpha])?;
        return tape.wire(Iff, &[positive, gradient, less]).map(Some);
    }
    if let Some(op) = node.op_as::<ElementWiseOp>() {
        let Some(slope) = Slope::of(op.0.as_ref()) else {
            return Ok(None);
        };
        let slope = tape.wire(ElementWiseOp(Box::new(slope), None), &[input])?;
        return tape.wire(math::mul(), &[gradient, slope]).map(Some);
    }
    if let Some(op) = node.op_as::<Quantise>() {
        ensure!(slot == 0, "its steps depend on the layer");
        let part = Part::Slope;
        let slope = tape.wire(Quantise { part, ..op.clone() }, &node.inputs)?;
        return tape.wire(math::mul(), &[gradient, slope]).map(Some);
    }
    if node.op_is::<Cast>() {
        let to = tape.graph.outlet_fact(input)?.datum_type;
        ensure!(to.is_float(), "it casts from {to:?}");
        return tape.wire(Cast { to }, &[gradient]).map(Some);
    }
    if node.op_is::<Iff>() {
        let condition = node.inputs[0];
        let zero = tape.scalar(0.0, gradient)?;
        let (yes, no) = match slot {
            1 => (gradient, zero),
            2 => (zero, gradient),
            _ => bail!("its condition depends on the layer"),
        };
        let pulled = tape.wire(Iff, &[condition, yes, no])?;
        return tape.narrow(pulled, input, output).map(Some);
    }
    Ok(None)
}

fn binary(
    tape: &mut Tape,
    node: &TypedNode,
    slot: usize,
    gradient: OutletId,
    op: &TypedBinOp,
) -> TractResult<Option<OutletId>> {
    let (input, other, output) = (
        node.inputs[slot],
        node.inputs[1 - slot],
        OutletId::from(node.id),
    );
    let pulled = match op.0.name() {
        "Add" => gradient,
        "Sub" if slot == 0 => gradient,
        "SubF" if slot == 1 => gradient,
        "Sub" | "SubF" => negative(tape, gradient)?,
        "Mul" => tape.wire(math::mul(), &[gradient, other])?,
        "Div" if slot == 0 => tape.wire(math::div(), &[gradient, other])?,
        "Div" => {
            let pulled = tape.wire(math::mul(), &[gradient, output])?;
            let pulled = tape.wire(math::div(), &[pulled, input])?;
            negative(tape, pulled)?
        }
        "Pow" if slot == 0 => {
            let minus = tape.scalar(-1.0, other)?;
            let exponent = tape.wire(math::add(), &[other, minus])?;
            let power = tape.wire(math::pow(), &[input, exponent])?;
            let slope = tape.wire(math::mul(), &[other, power])?;
            tape.wire(math::mul(), &[gradient, slope])?
        }
        name @ ("Max" | "Min") => {
            // Against a constant, the output serves as well as the input and is more often at hand; a
            // tie goes to the constant, as in PyTorch's relu and in clamp at its bounds.
            let constant = tape.graph.node(other.node).op_is::<Const>();
            let compare = match (name, constant || slot == 1) {
                ("Max", true) => comp_gt(),
                ("Max", false) => comp_gte(),
                (_, true) => comp_lt(),
                (_, false) => comp_lte(),
            };
            let value = if constant { output } else { input };
            let taken = tape.wire(TypedBinOp(compare, None), &[value, other])?;
            tape.gate(taken, gradient)?
        }
        _ => return Ok(None),
    };
    tape.narrow(pulled, input, output).map(Some)
}

fn negative(tape: &mut Tape, gradient: OutletId) -> TractResult<OutletId> {
    let minus = tape.scalar(-1.0, gradient)?;
    tape.wire(math::mul(), &[gradient, minus])
}

/// Whether small steps of the input change nothing.
pub fn is_flat(node: &TypedNode) -> bool {
    let name = node.op_as::<ElementWiseOp>().map(|op| op.0.name());
    let name = name.as_deref().unwrap_or_default();
    ["Sign", "Floor", "Ceil", "Round", "RoundHalfToEven"].contains(&name)
}

impl Tape<'_> {
    /// The gradient where a condition holds, 0 elsewhere.
    pub(super) fn gate(
        &mut self,
        condition: OutletId,
        gradient: OutletId,
    ) -> TractResult<OutletId> {
        let zero = self.scalar(0.0, gradient)?;
        self.wire(Iff, &[condition, gradient, zero])
    }

    /// 1 where two tensors are equal, 0 elsewhere.
    pub(super) fn equal(&mut self, a: OutletId, b: OutletId) -> TractResult<OutletId> {
        let equal = self.wire(TypedBinOp(comp_eq(), None), &[a, b])?;
        let to = f32::datum_type();
        self.wire(Cast { to }, &[equal])
    }
}
