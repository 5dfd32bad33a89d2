//! Repetition along axes of length 1.

use tract_onnx::tract_core::internal::*;

/// Repeats values along axes of length 1. Unlike `MultiBroadcastTo` it stays where it is: tract 0.23.9
/// drops that before an EinSum even if nothing else gives the length.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub struct Fill(pub TVec<usize>);

impl Op for Fill {
    fn name(&self) -> StaticName {
        "Fill".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Fill {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec!(inputs[0].broadcast_to_shape(&self.0)?.into_tvalue()))
    }
}

impl TypedOp for Fill {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].datum_type.fact(&*self.0)))
    }

    as_op!();
}
