//! Operator → the same operator over channels-last inputs.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Slice, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{MaxPool, SumPool};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::{DataFormat, Reduce};
use tract_onnx::tract_core::ops::{Downsample, change_axes::AxisOp};

use super::Lowering;
use crate::model::compile::ops::Largest;
use crate::model::compile::quantised::Quantise;

impl Lowering<'_> {
    /// Wires a node over channels-last inputs, if it has such a form.
    pub(super) fn channels_last(&mut self, id: usize) -> TractResult<Option<()>> {
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
        // Where an axis lies if `last` is stored last.
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
            let mut pool = self.padded(node, pool)?;
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
        // A single number has no axis to store last.
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
