//! Einsums of two tensors that are both computed.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::Lowering;
use crate::model::compile::ops::Contract;

type Positions = [Option<usize>; 3];

/// Positions of each axis in two inputs of an einsum and in its output; none if one of these has it twice.
pub(super) fn positions(einsum: &EinSum, inputs: [usize; 2]) -> Option<Vec<Positions>> {
    let axes = einsum.axes.iter_all_axes().map(|axis| {
        let [a, b] = inputs.map(|input| &axis.inputs[input]);
        let slots = [a, b, &axis.outputs[0]];
        let once = slots.iter().all(|positions| positions.len() < 2);
        once.then(|| slots.map(|positions| positions.first().copied()))
    });
    axes.collect()
}

impl Lowering<'_> {
    /// Wires an einsum of two tensors as our own kernel, if it fits.
    pub(super) fn contraction(&mut self, id: usize) -> TractResult<Option<()>> {
        let node = self.graph.node(id);
        let Some(einsum) = node.op_as::<EinSum>() else {
            return Ok(None);
        };
        if einsum.q_params.is_some() || node.inputs.len() != 2 || self.shape(id.into())?.is_none() {
            return Ok(None);
        }
        let (Some(_), Some(_)) = (self.shape(node.inputs[0])?, self.shape(node.inputs[1])?) else {
            return Ok(None);
        };
        let Some(axes) = positions(einsum, [0, 1]) else {
            return Ok(None);
        };
        let Ok(contract) = Contract::new(&axes) else {
            return Ok(None);
        };
        let inputs = [self.plain(node.inputs[0])?, self.plain(node.inputs[1])?];
        let facts = [
            self.lowered.outlet_fact(inputs[0])?,
            self.lowered.outlet_fact(inputs[1])?,
        ];
        if contract.output_facts(&facts).is_err() {
            return Ok(None);
        }
        let outlet = self.lowered.wire_node(&*node.name, contract, &inputs)?[0];
        self.keep(id, 0, outlet, None);
        Ok(Some(()))
    }
}
