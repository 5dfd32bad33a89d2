//! Gathering of neighbours at known places → a slice.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Gather, Slice};
use tract_onnx::tract_core::ops::change_axes::AxisOp;

use super::Lowering;

impl Lowering<'_> {
    /// Wires a gathering as a slice, if it is one, such as for a class token.
    pub(super) fn pick(&mut self, id: usize) -> TractResult<Option<()>> {
        let node = self.graph.node(id);
        let Some(&Gather { axis, .. }) = node.op_as::<Gather>() else {
            return Ok(None);
        };
        let places = self.graph.outlet_fact(node.inputs[1])?.konst.clone();
        let (Some(places), Some(shape)) = (places, self.shape(node.inputs[0])?) else {
            return Ok(None);
        };
        let length = shape[axis];
        let Ok(numbers) = places.cast_to::<i64>() else {
            return Ok(None);
        };
        let numbers = numbers.try_as_plain_ram()?.as_slice::<i64>()?;
        let from_end = |&place: &i64| {
            if place < 0 {
                place + length as i64
            } else {
                place
            }
        };
        let numbers: Vec<i64> = numbers.iter().map(from_end).collect();
        let Some(&first) = numbers.first() else {
            return Ok(None);
        };
        let neighbours = numbers
            .iter()
            .zip(first..)
            .all(|(&place, next)| place == next);
        let (Ok(start), true) = (usize::try_from(first), neighbours) else {
            return Ok(None);
        };
        let slice = Slice::new(axis, start, start + numbers.len());
        let input = self.plain(node.inputs[0])?;
        let mut outlet = self.lowered.wire_node(&*node.name, slice, &[input])?[0];
        let dims = |shape: &[usize]| shape.iter().map(|n| n.to_dim()).collect();
        let change = match places.rank() {
            0 => Some(AxisOp::Rm(axis)),
            1 => None,
            _ => Some(AxisOp::Reshape(
                axis,
                dims(&[numbers.len()]),
                dims(places.shape()),
            )),
        };
        if let Some(change) = change {
            let name = format!("{}.axes", node.name);
            outlet = self.lowered.wire_node(name, change, &[outlet])?[0];
        }
        self.keep(id, 0, outlet, None);
        Ok(Some(()))
    }
}
