//! GlobalLpPool: tract divides by the number of values, ONNX does not.

use tract_onnx::model::OnnxOpRegister;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_hir::infer::*;
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

use super::Wiring;

pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert("GlobalLpPool", |_, node| {
        let p = node.attribute.iter().find(|a| a.name == "p");
        let p = p.map_or(2, |p| p.i);
        ensure!((1..=2).contains(&p), "its norm is of order {p}");
        Ok((expand(GlobalLpPool { squares: p == 2 }), vec![]))
    });
}

/// The norm of each channel.
#[derive(Debug, Clone)]
struct GlobalLpPool {
    squares: bool,
}

impl Expansion for GlobalLpPool {
    fn name(&self) -> StaticName {
        "GlobalLpPool".into()
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
        solver.equals(&outputs[0].rank, &inputs[0].rank)?;
        solver.given(&inputs[0].shape, move |solver, shape| {
            for (axis, length) in shape.iter().enumerate() {
                let length = if axis < 2 { length.clone() } else { 1.to_dim() };
                solver.equals(&outputs[0].shape[axis], length)?;
            }
            Ok(())
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut to = Wiring {
            prefix,
            model,
            count: 0,
        };
        let axes = (2..to.shape(inputs[0])?.len()).collect();
        let terms = match self.squares {
            true => to.wire(math::mul(), &[inputs[0], inputs[0]])?,
            false => to.wire(math::abs(), &inputs[..1])?,
        };
        let sum = to.wire(Reduce::new(axes, Reducer::Sum), &[terms])?;
        let norm = match self.squares {
            true => to.wire(math::sqrt(), &[sum])?,
            false => sum,
        };
        Ok(tvec!(norm))
    }
}
