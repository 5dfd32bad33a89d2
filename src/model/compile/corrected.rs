//! Operators that tract 0.23.9 reads otherwise than ONNX defines them.

use tract_onnx::model::OnnxOpRegister;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::infer::*;
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

/// Takes the place of tract's operators.
pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert("Celu", |_, node| {
        let alpha = node.attribute.iter().find(|a| a.name == "alpha");
        let alpha = alpha.map_or(1.0, |alpha| alpha.f);
        Ok((expand(Celu { alpha }), vec![]))
    });
}

/// max(x, 0) + min(α (exp(x / α) − 1), 0). Barron, 2017, arXiv:1704.07483; tract leaves the first α out.
#[derive(Debug, Clone)]
struct Celu {
    alpha: f32,
}

impl Expansion for Celu {
    fn name(&self) -> StaticName {
        "Celu".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
        solver.equals(&outputs[0].shape, &inputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let rank = model.outlet_fact(inputs[0])?.rank();
        let mut number = |name: &str, value: f32| {
            let value = tensor0(value).broadcast_into_rank(rank)?;
            model.add_const(format!("{prefix}.{name}"), value)
        };
        let zero = number("zero", 0.0)?;
        let alpha = number("alpha", self.alpha)?;
        let slower = number("slower", 1.0 / self.alpha)?;
        let minus = number("minus", -self.alpha)?;
        let mut wire = |name: &str, op: Box<dyn TypedOp>, inputs: &[OutletId]| {
            Ok(model.wire_node(format!("{prefix}.{name}"), op, inputs)?[0]) as TractResult<_>
        };
        let power = wire("scaled", Box::new(math::mul()), &[inputs[0], slower])?;
        let power = wire("power", Box::new(math::exp()), &[power])?;
        let below = wire("grown", Box::new(math::mul()), &[power, alpha])?;
        let below = wire("shifted", Box::new(math::add()), &[below, minus])?;
        let below = wire("below", Box::new(math::min()), &[below, zero])?;
        let above = wire("above", Box::new(math::max()), &[inputs[0], zero])?;
        model.wire_node(prefix, math::add(), &[above, below])
    }
}
