//! Operators that tract 0.23.9 lacks, or reads differently from ONNX's definition.

mod attention;
mod batch_norm;
mod col2im;
mod fused_mat_mul;
mod lp_pool;
mod lrn;
mod read;

use tract_onnx::model::OnnxOpRegister;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::infer::*;
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

/// Replaces tract's operators.
pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert("Celu", |_, node| {
        let alpha = number(node, "alpha", 1.0);
        Ok((expand(Celu { alpha }), vec![]))
    });
    attention::register(operators);
    batch_norm::register(operators);
    col2im::register(operators);
    fused_mat_mul::register(operators);
    lp_pool::register(operators);
    lrn::register(operators);
    read::register(operators);
}

fn number(node: &NodeProto, name: &str, default: f32) -> f32 {
    let attribute = node.attribute.iter().find(|a| a.name == name);
    attribute.map_or(default, |attribute| attribute.f)
}

/// One input, and one output of its type and shape.
fn one_alike<'r, 'p: 'r>(
    solver: &mut Solver<'r>,
    inputs: &'p [TensorProxy],
    outputs: &'p [TensorProxy],
) -> InferenceResult {
    check_input_arity(inputs, 1)?;
    check_output_arity(outputs, 1)?;
    solver.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
    solver.equals(&outputs[0].shape, &inputs[0].shape)
}

/// Writes the nodes of an operator and names them.
struct Wiring<'a> {
    prefix: &'a str,
    model: &'a mut TypedModel,
    count: usize,
}

impl Wiring<'_> {
    fn name(&mut self) -> String {
        self.count += 1;
        format!("{}.{}", self.prefix, self.count)
    }

    fn wire(
        &mut self,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        let name = self.name();
        Ok(self.model.wire_node(name, op, inputs)?[0])
    }

    fn constant(&mut self, tensor: Tensor) -> TractResult<OutletId> {
        let name = self.name();
        self.model.add_const(name, tensor)
    }

    /// A constant of one element with `rank` axes.
    fn scalar(&mut self, value: f32, rank: usize) -> TractResult<OutletId> {
        self.constant(tensor0(value).broadcast_into_rank(rank)?)
    }

    fn shape(&self, outlet: OutletId) -> TractResult<TVec<usize>> {
        let shape = &self.model.outlet_fact(outlet)?.shape;
        Ok(shape.as_concrete().context("of open shape")?.into())
    }

    fn reshape(&mut self, outlet: OutletId, to: &[usize]) -> TractResult<OutletId> {
        let from = self.shape(outlet)?;
        if from[..] == *to {
            return Ok(outlet);
        }
        let dims = |shape: &[usize]| shape.iter().map(|n| n.to_dim()).collect();
        self.wire(AxisOp::Reshape(0, dims(&from), dims(to)), &[outlet])
    }
}

/// max(x, 0) + min(α (exp(x / α) − 1), 0). Barron, 2017, arXiv:1704.07483. tract omits the first α.
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
        one_alike(solver, inputs, outputs)
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
