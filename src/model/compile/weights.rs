//! large weights of an ONNX graph → tensors of tract, one at a time, so that they are never in memory twice.

use std::sync::Arc;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, TensorProto};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_hir::infer::{InferenceModel, InferenceNode};

use crate::model::compile::ops::Values;

/// Smaller weights are left to tract: some operators read them while the graph is built.
const LARGE: usize = 1 << 14;

pub type Node = InferenceNode;

/// The number in the place of the first weights, the next one in that of the second, and so on. tract merges constants
/// that are equal, so no graph may hold them.
const STAND_IN: i64 = 0x5357_4e8c_21d0_0000;

/// FP32 weights in the order of their stand-ins.
pub type Weights = Vec<Arc<Tensor>>;

/// Takes large weights in FP32 and FP16 out of a graph; a stand-in remains of each until [`put`].
pub fn take(graph: &mut GraphProto) -> TractResult<Weights> {
    let tensors = graph.initializer.iter_mut();
    let large = tensors.filter(|tensor| is_large(tensor));
    large
        .zip(STAND_IN..)
        .map(|(tensor, number)| {
            let stand_in = TensorProto {
                name: tensor.name.clone(),
                data_type: DataType::Int64 as i32,
                raw_data: number.to_le_bytes().into(),
                ..TensorProto::default()
            };
            Ok(single(&std::mem::replace(tensor, stand_in))?.into_arc_tensor())
        })
        .collect()
}

fn is_large(tensor: &TensorProto) -> bool {
    let kinds = [DataType::Float as i32, DataType::Float16 as i32];
    kinds.contains(&tensor.data_type) && tensor.raw_data.len() >= LARGE
}

fn single(tensor: &TensorProto) -> TractResult<Tensor> {
    let shape: Vec<usize> = tensor.dims.iter().map(|&length| length as usize).collect();
    let mut made = Tensor::zero::<f32>(&shape)?;
    let values = match tensor.data_type == DataType::Float as i32 {
        true => Values::SingleBytes(&tensor.raw_data),
        false => Values::HalfBytes(&tensor.raw_data),
    };
    let mut plain = made.try_as_plain_ram_mut()?;
    let to = plain.as_slice_mut()?;
    ensure!(
        to.len() == values.len(),
        "weights `{}` of another size than their shape",
        tensor.name
    );
    values.read(0, to);
    Ok(made)
}

/// Puts weights back in place of their stand-ins, and widens the others.
pub fn put(graph: &mut InferenceModel, weights: Weights) -> TractResult<()> {
    for node in graph.nodes_mut() {
        let Some(held) = node.op_as::<Const>().map(|op| op.val().clone()) else {
            continue;
        };
        if let Some(tensor) = stands_for(&held).and_then(|at| weights.get(at)) {
            set(node, tensor.clone())?;
        } else if held.datum_type() == f16::datum_type() {
            set(node, held.cast_to::<f32>()?.into_owned().into_arc_tensor())?;
        }
    }
    Ok(())
}

/// The place among the weights of those that a constant stands for.
fn stands_for(tensor: &Tensor) -> Option<usize> {
    let &number = tensor.try_as_plain_ram().ok()?.to_scalar::<i64>().ok()?;
    usize::try_from(number.checked_sub(STAND_IN)?).ok()
}

/// Gives a constant another value.
pub fn set(node: &mut Node, tensor: Arc<Tensor>) -> TractResult<()> {
    let fact = TypedFact::try_from(tensor.clone())?;
    node.outputs[0].fact = (&fact).into();
    node.op = Box::new(Const::new(tensor)?);
    Ok(())
}
