//! Typed graph → the same graph, simplified by tract's passes, except for rewrites that change what a graph
//! computes.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::model::TypedModelPatch;
use tract_onnx::tract_core::ops::Downsample;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::dummy::Dummy;
use tract_onnx::tract_core::optim::{Optimizer, OptimizerSession, TypedPass};

use super::constants;

/// tract's name for the pass that asks each operator for a simpler form.
const DECLUTTER: &str = "declutter";

/// Reduces a graph to tract's few operators.
///
/// # Errors
/// Those of tract.
pub fn declutter(graph: &mut TypedModel) -> TractResult<()> {
    sound(Optimizer::declutter()).optimize(graph)?;
    if constants::compute(graph)? {
        sound(Optimizer::declutter()).optimize(graph)?;
    }
    Ok(())
}

/// Chooses tract's kernels for a decluttered graph.
///
/// # Errors
/// Those of tract.
pub fn optimise(graph: &mut TypedModel) -> TractResult<()> {
    sound(Optimizer::codegen()).optimize(graph)
}

/// Chooses tract's kernels operator by operator without simplifying anything.
///
/// # Errors
/// Those of tract.
pub fn keep(graph: &mut TypedModel) -> TractResult<()> {
    let mut optimizer = Optimizer::codegen();
    optimizer.passes.retain(|pass| !is_declutter(&**pass));
    optimizer.optimize(graph)
}

fn is_declutter(pass: &dyn TypedPass) -> bool {
    format!("{pass:?}") == DECLUTTER
}

fn sound(mut optimizer: Optimizer) -> Optimizer {
    for pass in &mut optimizer.passes {
        if is_declutter(&**pass) {
            *pass = Box::new(Sound { next: 0 });
        }
    }
    optimizer
}

/// tract's pass of this name, without the rewrites that [`is_wrong`] finds.
#[derive(Clone)]
struct Sound {
    next: usize,
}

impl std::fmt::Debug for Sound {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(DECLUTTER)
    }
}

impl TypedPass for Sound {
    fn reset(&mut self) -> TractResult<()> {
        self.next = 0;
        Ok(())
    }

    fn next(
        &mut self,
        session: &mut OptimizerSession,
        model: &TypedModel,
    ) -> TractResult<Option<TypedModelPatch>> {
        for node in &model.nodes[self.next..] {
            if node.op_is::<Dummy>() || is_wrong(model, node)? {
                continue;
            }
            let patch = node.op.declutter_with_session(session, model, node);
            if let Some(patch) = patch.with_context(|| format!("simplifying {node}"))? {
                self.next = node.id + usize::from(patch.dont_apply_twice.is_some());
                return Ok(Some(patch));
            }
        }
        Ok(None)
    }
}

/// Whether tract 0.23.9 would rewrite a node wrongly: a Downsample that does not begin with the first
/// value loses its offset when it becomes the stride of a convolution, one along the channels is
/// treated as one along a side, and one after a reshape ends in an error.
fn is_wrong(model: &TypedModel, node: &TypedNode) -> TractResult<bool> {
    let Some(op) = node.op_as::<Downsample>() else {
        return Ok(false);
    };
    let Some(before) = model.linear_prec(node.id)? else {
        return Ok(false);
    };
    if let Some(conv) = before.op_as::<Conv>() {
        let rank = model.outlet_fact(before.inputs[0])?.rank();
        let format = conv.pool_spec.data_format;
        let shape = format.shape(tvec![1; rank])?;
        let sides = shape.h_axis()..shape.h_axis() + shape.hw_rank();
        return Ok(op.modulo != 0 || !sides.contains(&op.axis));
    }
    let change = before.op_as::<AxisOp>();
    Ok(change.is_some_and(|change| change.recip().transform_axis(op.axis).is_none()))
}
