//! An identity across which no optimisation moves anything: it keeps a layer where ONNX has it until
//! the graph is differentiated there.

use tract_onnx::tract_core::internal::*;

/// The identity, opaque to declutter.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub struct Barrier;

impl Op for Barrier {
    fn name(&self) -> StaticName {
        "Barrier".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Barrier {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(inputs)
    }
}

impl TypedOp for Barrier {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}

/// Puts a barrier on each output but the first: on the layers.
pub fn insert(graph: &mut TypedModel) -> TractResult<()> {
    for index in 1..graph.outputs.len() {
        let outlet = graph.outputs[index];
        let readers = graph.outlet_successors(outlet).to_vec();
        let barrier = graph.wire_node(format!("barrier.{index}"), Barrier, &[outlet])?[0];
        for reader in readers {
            graph.add_edge(barrier, reader)?;
        }
        graph.outputs[index] = barrier;
    }
    Ok(())
}
