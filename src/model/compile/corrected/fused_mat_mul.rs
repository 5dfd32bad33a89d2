//! FusedMatMul, which ONNX Runtime's optimiser makes of MatMul, Transpose and a factor.

use tract_onnx::model::OnnxOpRegister;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::infer::*;
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};
use tract_onnx::tract_hir::ops::matmul::MatMulInference;

use super::number;

pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert("FusedMatMul", |_, node| {
        let set = |name: &str| node.attribute.iter().any(|a| a.name == name && a.i != 0);
        ensure!(
            !set("transBatchA") && !set("transBatchB"),
            "it moves the axes of its batch"
        );
        let op = FusedMatMul {
            product: MatMulInference {
                a_trans: set("transA"),
                b_trans: set("transB"),
                c_trans: false,
            },
            alpha: number(node, "alpha", 1.0),
        };
        Ok((expand(op), vec![]))
    });
}

/// α A B; A or B with its last two axes exchanged.
#[derive(Debug, Clone)]
struct FusedMatMul {
    product: MatMulInference,
    alpha: f32,
}

impl Expansion for FusedMatMul {
    fn name(&self) -> StaticName {
        "FusedMatMul".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.product.rules(solver, inputs, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let name = format!("{prefix}.product");
        let product = self.product.wire(&name, model, inputs)?[0];
        let rank = model.outlet_fact(product)?.rank();
        let alpha = tensor0(self.alpha).broadcast_into_rank(rank)?;
        let alpha = model.add_const(format!("{prefix}.alpha"), alpha)?;
        model.wire_node(prefix, math::mul(), &[product, alpha])
    }
}
