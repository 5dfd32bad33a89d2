//! Typed graph → the same graph with channels-last activations and our own kernels.
//!
//! tract keeps the channels of an image outermost, where neighbours in memory belong to one channel.
//! Convolutions are faster the other way round, so every outlet here says which of its axes is kept
//! last; an operator that has no channels-last form gets its input back as it was.

mod contract;
mod gather;
mod product;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{MultiBroadcastTo, Slice, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::{Add, Max, Min, Mul};
use tract_onnx::tract_core::ops::nn::{DataFormat, HardSwish, Reduce};
use tract_onnx::tract_core::ops::{Downsample, change_axes::AxisOp};

use super::quantised::Quantise;
use crate::model::run::kernel::{Activation, Patches, Window};
use crate::model::run::ops::{Arrangement, Fill, Filter, Largest, Product, Values, floats};

/// What the kernels of a lowered graph were packed of, by the names of their nodes.
pub type Constants = HashMap<String, (Arc<Tensor>, Arrangement)>;

/// Rewrites a decluttered graph; inputs and outputs keep their shapes. `note` is told of the constants
/// that each kernel is packed of.
///
/// # Errors
/// When the graph is inconsistent.
pub fn lower(graph: &TypedModel, note: Option<&mut Constants>) -> TractResult<TypedModel> {
    let mut lowering = Lowering {
        graph,
        lowered: TypedModel {
            symbols: graph.symbols.clone(),
            ..TypedModel::default()
        },
        wires: HashMap::new(),
        fused: HashMap::new(),
        absorbed: HashSet::new(),
        note,
    };
    // Callers feed them in this order, whatever the order in which they are used.
    for &input in &graph.inputs {
        let name = &*graph.node(input.node).name;
        let fact = graph.outlet_fact(input)?.clone();
        let source = lowering.lowered.add_source(name, fact)?;
        lowering.keep(input.node, input.slot, source, None);
    }
    for node in graph.eval_order()? {
        lowering.node(node)?;
    }
    let outputs = graph.output_outlets()?.to_vec();
    let outputs: Vec<OutletId> = outputs
        .into_iter()
        .map(|outlet| lowering.plain(outlet))
        .collect::<TractResult<_>>()?;
    let mut lowered = lowering.lowered;
    lowered.select_output_outlets(&outputs)?;
    lowered.compact()?;
    Ok(lowered)
}

/// An outlet of the lowered graph; `last` is the axis of the original that is stored last.
#[derive(Clone, Copy)]
struct Wire {
    outlet: OutletId,
    last: usize,
}

/// A convolution or product, and what follows it in the same operator.
struct Fused {
    root: Root,
    weights: Weights,
    /// The image, and its axis that has to be stored last.
    input: (OutletId, usize),
    /// The axis of the output that is stored last.
    last: usize,
    residual: Option<OutletId>,
    activation: Activation,
}

enum Root {
    Product(Patches, Option<(usize, Window)>),
    Filter(Window),
}

/// Constant weights, and how they lie in their tensor.
struct Weights {
    tensor: Arc<Tensor>,
    arrangement: Arrangement,
}

struct Lowering<'a> {
    graph: &'a TypedModel,
    lowered: TypedModel,
    wires: HashMap<OutletId, Wire>,
    /// By the node that ends each.
    fused: HashMap<usize, Fused>,
    absorbed: HashSet<usize>,
    note: Option<&'a mut Constants>,
}

impl Lowering<'_> {
    fn node(&mut self, id: usize) -> TractResult<()> {
        if let Some(plan) = self.fused.remove(&id) {
            return self.emit(id, plan);
        }
        if self.absorbed.contains(&id) || self.graph.inputs.contains(&id.into()) {
            return Ok(());
        }
        if let Some(mut plan) = self.root(id)? {
            let end = self.follow(id, &mut plan)?;
            if end == id {
                return self.emit(id, plan);
            }
            self.fused.insert(end, plan);
            return Ok(());
        }
        if self.channels_last(id)?.is_some()
            || self.contraction(id)?.is_some()
            || self.pick(id)?.is_some()
        {
            return Ok(());
        }
        let node = self.graph.node(id);
        let inputs: Vec<OutletId> = node
            .inputs
            .iter()
            .map(|&input| self.plain(input))
            .collect::<TractResult<_>>()?;
        // A plan has one way to repeat values.
        let repeated = node.op_as::<MultiBroadcastTo>();
        let repeated = repeated.and_then(|op| op.shape.as_concrete());
        let op: Box<dyn TypedOp> = match repeated {
            Some(shape) => Box::new(Fill(shape.into())),
            None => node.op.clone(),
        };
        let outlets = self.lowered.wire_node(&*node.name, op, &inputs)?;
        for (slot, outlet) in outlets.into_iter().enumerate() {
            self.keep(id, slot, outlet, None);
        }
        Ok(())
    }

    fn keep(&mut self, node: usize, slot: usize, outlet: OutletId, last: Option<usize>) {
        let rank = self.graph.node(node).outputs[slot].fact.rank();
        let last = last.unwrap_or(rank.saturating_sub(1));
        self.wires
            .insert(OutletId::new(node, slot), Wire { outlet, last });
    }

    /// An outlet with this axis stored last.
    fn stored(&mut self, outlet: OutletId, last: usize) -> TractResult<OutletId> {
        let rank = self.graph.outlet_fact(outlet)?.rank();
        let wire = self.wires[&outlet];
        if wire.last == last || rank == 0 {
            return Ok(wire.outlet);
        }
        let mut moved = wire.outlet;
        for (from, to) in [(rank - 1, wire.last), (last, rank - 1)] {
            if from != to {
                let name = format!("layout.{}", self.lowered.nodes.len());
                moved = self
                    .lowered
                    .wire_node(name, AxisOp::Move(from, to), &[moved])?[0];
            }
        }
        Ok(moved)
    }

    fn plain(&mut self, outlet: OutletId) -> TractResult<OutletId> {
        let rank = self.graph.outlet_fact(outlet)?.rank();
        self.stored(outlet, rank.saturating_sub(1))
    }

    fn shape(&self, outlet: OutletId) -> TractResult<Option<TVec<usize>>> {
        let fact = self.graph.outlet_fact(outlet)?;
        let float = fact.datum_type == f32::datum_type();
        Ok(fact.shape.as_concrete().filter(|_| float).map(Into::into))
    }

    /// The value of a constant, as f32.
    fn constant(&self, outlet: OutletId) -> TractResult<Option<Arc<Tensor>>> {
        let node = self.graph.node(outlet.node);
        let mut konst = self.graph.outlet_fact(outlet)?.konst.clone();
        if konst.is_none() && node.op_is::<Cast>() {
            konst = self.graph.outlet_fact(node.inputs[0])?.konst.clone();
        }
        let Some(konst) = konst else { return Ok(None) };
        if konst.datum_type() == f32::datum_type() {
            return Ok(Some(konst));
        }
        if !konst.datum_type().is_float() {
            return Ok(None);
        }
        Ok(Some(konst.cast_to::<f32>()?.into_owned().into_arc_tensor()))
    }

    /// A constant that has one value, or one for each place along an axis of the other operand.
    fn along(&self, outlet: OutletId, axis: usize, length: usize) -> TractResult<Option<Vec<f32>>> {
        let Some(konst) = self.constant(outlet)? else {
            return Ok(None);
        };
        let values = floats(&konst)?;
        if let &[value] = values {
            return Ok(Some(vec![value; length]));
        }
        let fits = values.len() == length && konst.shape().get(axis) == Some(&length);
        Ok(fits.then(|| values.to_vec()))
    }

    fn root(&self, id: usize) -> TractResult<Option<Fused>> {
        let node = self.graph.node(id);
        if let Some(conv) = node.op_as::<Conv>() {
            self.convolution(node, conv)
        } else if let Some(einsum) = node.op_as::<EinSum>() {
            self.product(node, einsum)
        } else {
            Ok(None)
        }
    }

    fn convolution(&self, node: &TypedNode, conv: &Conv) -> TractResult<Option<Fused>> {
        if conv.q_params.is_some() || conv.kernel_fmt != KernelFormat::OIHW {
            return Ok(None);
        }
        let Some((window, last, channels)) = self.window(node, &conv.pool_spec)? else {
            return Ok(None);
        };
        let Some(tensor) = self.constant(node.inputs[1])? else {
            return Ok(None);
        };
        let outputs = conv.output_channels();
        let Some(bias) = self.along(node.inputs[2], 0, outputs)? else {
            return Ok(None);
        };
        let [_, columns] = window.padded();
        let inputs = channels / conv.group;
        let taps = window.kernel[0] * window.kernel[1];
        let root = if conv.group == channels && outputs == channels && channels > 1 {
            Root::Filter(window)
        } else {
            let whole_rows = conv.group == 1 && window.dilation[1] == 1;
            let across = if whole_rows { 1 } else { window.kernel[1] };
            let run = |at: usize| {
                let (y, x) = (at / across, at % across);
                (y * window.dilation[0] * columns + x * window.dilation[1]) * channels
            };
            let patches = Patches {
                output: window.output,
                row: window.stride[0] * columns * channels,
                column: window.stride[1] * channels,
                runs: (0..window.kernel[0] * across).map(run).collect(),
                length: inputs * taps / (window.kernel[0] * across),
            };
            Root::Product(patches, window.is_padded().then_some((channels, window)))
        };
        Ok(Some(Fused {
            root,
            weights: Weights {
                tensor,
                arrangement: Arrangement {
                    groups: conv.group,
                    inputs,
                    taps,
                    strides: [inputs * taps, taps, 1],
                    scale: Vec::new(),
                    bias,
                },
            },
            input: (node.inputs[0], last),
            last,
            residual: None,
            activation: Activation::NONE,
        }))
    }

    /// The window of a convolution or a pooling over two axes of one image, its channel axis and the
    /// number of channels.
    fn window(
        &self,
        node: &TypedNode,
        spec: &PoolSpec,
    ) -> TractResult<Option<(Window, usize, usize)>> {
        let Some(input) = self.shape(node.inputs[0])? else {
            return Ok(None);
        };
        let shape = spec.data_format.shape(input)?;
        let &[height, width] = shape.hw_dims() else {
            return Ok(None);
        };
        if shape.n().is_some_and(|&n| n != 1) {
            return Ok(None);
        }
        let padding = spec.computed_padding(shape.hw_dims());
        let pair = |values: &[usize]| [values[0], values[1]];
        let window = Window {
            input: [height, width],
            output: [padding[0].convoluted, padding[1].convoluted],
            kernel: pair(&spec.kernel_shape),
            stride: pair(&spec.strides()),
            dilation: pair(&spec.dilations()),
            before: [padding[0].pad_before, padding[1].pad_before],
        };
        Ok(Some((window, shape.c_axis(), *shape.c())))
    }

    /// Takes what follows into the plan, as far as it goes; the node that ends it.
    fn follow(&mut self, id: usize, plan: &mut Fused) -> TractResult<usize> {
        let mut end = id;
        loop {
            let outlet = OutletId::from(end);
            let [next] = *self.graph.node(end).outputs[0].successors else {
                return Ok(end);
            };
            if self.graph.outputs.contains(&outlet)
                || self.absorbed.contains(&next.node)
                || self.fused.contains_key(&next.node)
                || !self.take(outlet, next.node, plan)?
            {
                return Ok(end);
            }
            if end != id {
                self.absorbed.insert(end);
            }
            end = next.node;
        }
    }

    fn take(&self, outlet: OutletId, next: usize, plan: &mut Fused) -> TractResult<bool> {
        let node = self.graph.node(next);
        // Outputs over several axes have no single axis that a bias could lie along.
        let last = self.shape(outlet)?.map(|shape| shape[plan.last]);
        if last != Some(plan.weights.arrangement.bias.len()) {
            return Ok(false);
        }
        let linear = plan.activation == Activation::NONE;
        if let Some(op) = node.op_as::<ElementWiseOp>() {
            let taken = linear && op.0.is::<HardSwish>();
            if taken {
                plan.activation = Activation::HardSwish;
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
        if let Some(values) = self.along(other, plan.last, shape[plan.last])? {
            let weights = &mut plan.weights.arrangement;
            if op.0.is::<Add>() && linear && plan.residual.is_none() {
                let summed = weights.bias.iter_mut().zip(values);
                summed.for_each(|(bias, value)| *bias += value);
            } else if op.0.is::<Mul>() && linear && plan.residual.is_none() {
                weights.scale.resize(values.len(), 1.0);
                for (at, value) in values.into_iter().enumerate() {
                    weights.scale[at] *= value;
                    weights.bias[at] *= value;
                }
            } else if let Activation::Clamp(low, high) = plan.activation
                && values.iter().all(|&value| value == values[0])
                && !values[0].is_nan()
            {
                let limit = values[0];
                plan.activation = if op.0.is::<Max>() {
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
            && plan.residual.is_none()
            && matches!(plan.root, Root::Product(..))
            && self.shape(other)?.as_ref() == Some(&shape);
        if taken {
            plan.residual = Some(other);
        }
        Ok(taken)
    }

    fn emit(&mut self, id: usize, plan: Fused) -> TractResult<()> {
        let Some(mut output) = self.shape(id.into())? else {
            bail!("the shape of {} is not known", self.graph.node(id));
        };
        let channels = output.remove(plan.last);
        output.push(channels);
        let mut inputs = vec![self.stored(plan.input.0, plan.input.1)?];
        if let Some(residual) = plan.residual {
            inputs.push(self.stored(residual, plan.last)?);
        }
        let name = &*self.graph.node(id).name;
        let activation = plan.activation;
        let Weights {
            tensor,
            arrangement,
        } = plan.weights;
        let values = Values::Single(floats(&tensor)?);
        let outlet = match plan.root {
            Root::Product(patches, padding) => {
                let window = padding.as_ref().map(|(_, window)| window);
                let op = Product {
                    weights: arrangement.pack(values, window),
                    patches,
                    padding,
                    activation,
                    output,
                };
                self.lowered.wire_node(name, op, &inputs)?[0]
            }
            Root::Filter(window) => {
                let op = Filter {
                    filter: arrangement.filter(values),
                    window,
                    activation,
                    output,
                };
                self.lowered.wire_node(name, op, &inputs)?[0]
            }
        };
        self.keep(id, 0, outlet, Some(plan.last));
        if let Some(note) = &mut self.note {
            note.insert(name.into(), (tensor, arrangement));
        }
        Ok(())
    }

    /// Wires a node over channels-last inputs, where it has that form.
    fn channels_last(&mut self, id: usize) -> TractResult<Option<()>> {
        let node = self.graph.node(id);
        let Some(rank) = self.shape(id.into())?.map(|shape| shape.len()) else {
            return Ok(None);
        };
        let chosen = node
            .inputs
            .iter()
            .filter_map(|input| self.wires.get(input).map(|wire| (wire.last, *input)))
            .find(|&(last, input)| {
                let fact = self.graph.outlet_fact(input);
                fact.is_ok_and(|fact| fact.konst.is_none() && last + 1 != fact.rank())
            });
        let last = match (chosen, node.op_as::<MaxPool>()) {
            (Some((last, _)), _) => last,
            (None, Some(_)) => rank.saturating_sub(1),
            (None, None) => return Ok(None),
        };
        // Where an axis is when `last` is stored last.
        let place = |axis: usize| match axis.cmp(&last) {
            std::cmp::Ordering::Less => axis,
            std::cmp::Ordering::Equal => rank - 1,
            std::cmp::Ordering::Greater => axis - 1,
        };
        let (op, last): (Box<dyn TypedOp>, usize) = if node.op_is::<ElementWiseOp>()
            || node.op_is::<TypedBinOp>()
            || node.op_is::<Quantise>()
        {
            (node.op.clone(), last)
        } else if let Some(reduce) = node.op_as::<Reduce>() {
            let mut axes: TVec<usize> = reduce.axes.iter().map(|&axis| place(axis)).collect();
            axes.sort_unstable();
            (Box::new(Reduce::new(axes, reduce.reducer)), last)
        } else if let Some(concat) = node.op_as::<TypedConcat>() {
            (Box::new(TypedConcat::new(place(concat.axis))), last)
        } else if let Some(slice) = node.op_as::<Slice>() {
            let axis = place(slice.axis);
            let slice = slice.clone();
            (Box::new(Slice { axis, ..slice }), last)
        } else if let Some(downsample) = node.op_as::<Downsample>() {
            let axis = place(downsample.axis);
            let downsample = downsample.clone();
            (Box::new(Downsample { axis, ..downsample }), last)
        } else if let Some(pool) = node.op_as::<MaxPool>() {
            let Some((window, channel, channels)) = self.window(node, &pool.pool_spec)? else {
                return Ok(None);
            };
            if pool.with_index_outputs.is_some() || channel != last && chosen.is_some() {
                return Ok(None);
            }
            let Some(mut output) = self.shape(id.into())? else {
                return Ok(None);
            };
            output.remove(channel);
            output.push(channels);
            let op = Largest {
                channels,
                window,
                output,
            };
            (Box::new(op), channel)
        } else if let Some(pool) = node.op_as::<SumPool>() {
            let data_format = match pool.pool_spec.data_format {
                DataFormat::NCHW if last == 1 => DataFormat::NHWC,
                DataFormat::CHW if last == 0 => DataFormat::HWC,
                _ => return Ok(None),
            };
            let mut pool = pool.clone();
            pool.pool_spec.data_format = data_format;
            (Box::new(pool), last)
        } else if let Some(change) = node.op_as::<AxisOp>() {
            return self.change(id, change);
        } else {
            return Ok(None);
        };
        let inputs: Vec<OutletId> = node
            .inputs
            .iter()
            .map(|&input| self.stored(input, last))
            .collect::<TractResult<_>>()?;
        let outlet = self.lowered.wire_node(&*node.name, op, &inputs)?[0];
        self.keep(id, 0, outlet, Some(last));
        Ok(Some(()))
    }

    /// Wires a change of axes that leaves the axis stored last in place.
    fn change(&mut self, id: usize, change: &AxisOp) -> TractResult<Option<()>> {
        let node = self.graph.node(id);
        let wire = self.wires[&node.inputs[0]];
        // A single number has no axis that is stored last.
        if self.graph.outlet_fact(node.inputs[0])?.rank() == 0 {
            return Ok(None);
        }
        let (op, last) = match *change {
            AxisOp::Move(from, to) if from == wire.last => (None, to),
            AxisOp::Move(from, to) if to == wire.last && from.abs_diff(to) == 1 => (None, from),
            AxisOp::Rm(axis) if axis < wire.last => (Some(AxisOp::Rm(axis)), wire.last - 1),
            AxisOp::Rm(axis) if axis > wire.last => (Some(AxisOp::Rm(axis - 1)), wire.last),
            AxisOp::Add(axis) if axis <= wire.last => (Some(AxisOp::Add(axis)), wire.last + 1),
            AxisOp::Add(axis) => (Some(AxisOp::Add(axis - 1)), wire.last),
            _ => return Ok(None),
        };
        let outlet = match op {
            None => wire.outlet,
            Some(op) => self.lowered.wire_node(&*node.name, op, &[wire.outlet])?[0],
        };
        self.keep(id, 0, outlet, Some(last));
        Ok(Some(()))
    }
}

#[cfg(test)]
mod tests;
