//! A convolution or product and what follows it → one operator.

use std::sync::Arc;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::{Add, Max, Min, Mul};
use tract_onnx::tract_core::ops::nn::HardSwish;

use super::Lowering;
use crate::model::compile::ops::{Arrangement, Filter, Packed, Product, Values, floats};
use crate::model::run::kernel::{Activation, Depthwise, Patches, Window};

/// A convolution or product, and what follows it in the same operator.
pub(super) struct Fused {
    pub root: Root,
    pub weights: Weights,
    /// The image, and the axis that must be stored last.
    pub input: (OutletId, usize),
    /// The axis of the output that is stored last.
    pub last: usize,
    pub residual: Option<OutletId>,
    pub activation: Activation,
}

pub(super) enum Root {
    Product(Patches, Option<(usize, Window)>),
    Filter(Window),
}

/// Constant weights, and how they lie in their tensor.
pub(super) struct Weights {
    pub tensor: Arc<Tensor>,
    pub arrangement: Arrangement,
}

/// Whether all weights are whole numbers: sums of quantised numbers are exact until they are scaled.
fn is_whole(weights: &Tensor) -> TractResult<bool> {
    let weights = weights.try_as_plain_ram()?;
    let mut weights = weights.as_slice::<f32>()?.iter();
    Ok(weights.all(|weight| weight.fract() == 0.0))
}

impl Lowering<'_> {
    /// Fuses as much of what follows as possible into the operator; returns its last node.
    pub(super) fn follow(&mut self, id: usize, fused: &mut Fused) -> TractResult<usize> {
        let mut end = id;
        loop {
            let outlet = OutletId::from(end);
            let [next] = *self.graph.node(end).outputs[0].successors else {
                return Ok(end);
            };
            if self.graph.outputs.contains(&outlet)
                || self.absorbed.contains(&next.node)
                || self.fused.contains_key(&next.node)
                || !self.take(outlet, next.node, fused)?
            {
                return Ok(end);
            }
            if end != id {
                self.absorbed.insert(end);
            }
            end = next.node;
        }
    }

    fn take(&self, outlet: OutletId, next: usize, fused: &mut Fused) -> TractResult<bool> {
        let node = self.graph.node(next);
        // Outputs over several axes have no single axis for a bias.
        let last = self.shape(outlet)?.map(|shape| shape[fused.last]);
        if last != Some(fused.weights.arrangement.bias.len()) {
            return Ok(false);
        }
        let linear = fused.activation == Activation::NONE;
        if let Some(op) = node.op_as::<ElementWiseOp>() {
            let taken = linear && op.0.is::<HardSwish>();
            if taken {
                fused.activation = Activation::HardSwish;
            }
            return Ok(taken);
        }
        let Some(op) = node.op_as::<TypedBinOp>() else {
            return Ok(false);
        };
        let shape = self.shape(outlet)?;
        let Some(shape) =
            shape.filter(|shape| self.shape(next.into()).ok().flatten().as_ref() == Some(shape))
        else {
            return Ok(false);
        };
        let other = match *node.inputs {
            [a, b] if a == outlet && b != outlet => b,
            [a, b] if b == outlet && a != outlet => a,
            _ => return Ok(false),
        };
        if let Some(values) = self.along(other, fused.last, shape[fused.last])? {
            let weights = &mut fused.weights.arrangement;
            if op.0.is::<Add>() && linear && fused.residual.is_none() {
                let summed = weights.bias.iter_mut().zip(values);
                summed.for_each(|(bias, value)| *bias += value);
            } else if op.0.is::<Mul>()
                && linear
                && fused.residual.is_none()
                && !is_whole(&fused.weights.tensor)?
            {
                weights.scale.resize(values.len(), 1.0);
                for (at, value) in values.into_iter().enumerate() {
                    weights.scale[at] *= value;
                    weights.bias[at] *= value;
                }
            } else if let Activation::Clamp(low, high) = fused.activation
                && values.iter().all(|&value| value == values[0])
                && !values[0].is_nan()
            {
                let limit = values[0];
                fused.activation = if op.0.is::<Max>() {
                    Activation::Clamp(low.max(limit), high.max(limit))
                } else if op.0.is::<Min>() {
                    Activation::Clamp(low.min(limit), high.min(limit))
                } else {
                    return Ok(false);
                };
            } else {
                return Ok(false);
            }
            return Ok(true);
        }
        let taken = op.0.is::<Add>()
            && linear
            && fused.residual.is_none()
            && matches!(fused.root, Root::Product(..))
            && self.shape(other)?.as_ref() == Some(&shape);
        if taken {
            fused.residual = Some(other);
        }
        Ok(taken)
    }

    pub(super) fn emit(&mut self, id: usize, fused: Fused) -> TractResult<()> {
        let Some(mut output) = self.shape(id.into())? else {
            bail!("the shape of {} is not known", self.graph.node(id));
        };
        let channels = output.remove(fused.last);
        output.push(channels);
        let mut inputs = vec![self.stored(fused.input.0, fused.input.1)?];
        if let Some(residual) = fused.residual {
            inputs.push(self.stored(residual, fused.last)?);
        }
        let name = &*self.graph.node(id).name;
        let activation = fused.activation;
        let Weights {
            tensor,
            arrangement,
        } = fused.weights;
        let values = Values::Single(floats(&tensor)?);
        let outlet = match fused.root {
            Root::Product(patches, padding) => {
                let window = padding.as_ref().map(|(_, window)| window);
                let op = Product {
                    // A graph that is only listed never runs.
                    weights: match self.note {
                        Some(_) => Packed::Unread {
                            winograd: arrangement.suits(window),
                        },
                        None => arrangement.pack(values, window),
                    },
                    patches,
                    padding,
                    activation,
                    output,
                };
                self.wire(name, op, &inputs)?
            }
            Root::Filter(window) => {
                let op = Filter {
                    filter: match self.note {
                        Some(_) => Arc::new(Depthwise::new(0, &[], |_, _| 0.0)),
                        None => arrangement.filter(values),
                    },
                    window,
                    activation,
                    output,
                };
                self.wire(name, op, &inputs)?
            }
        };
        self.keep(id, 0, outlet, Some(fused.last));
        if let Some(note) = &mut self.note {
            note.insert(name.into(), (tensor, arrangement));
        }
        Ok(())
    }

    fn wire(&mut self, name: &str, op: impl TypedOp, inputs: &[OutletId]) -> TractResult<OutletId> {
        if self.note.is_none() {
            return Ok(self.lowered.wire_node(name, op, inputs)?[0]);
        }
        // `wire_node` would merge nodes that differ only in weights, which are not packed here.
        let facts = inputs.iter().map(|&input| self.lowered.outlet_fact(input));
        let facts = op.output_facts(&facts.collect::<TractResult<TVec<_>>>()?)?;
        let node = self.lowered.add_node(name, op, facts)?;
        for (slot, &input) in inputs.iter().enumerate() {
            self.lowered.add_edge(input, InletId::new(node, slot))?;
        }
        Ok(node.into())
    }
}
