//! Operators that move values without changing them.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::Downsample;
use tract_onnx::tract_core::ops::array::{
    Gather, MultiBroadcastTo, Pad, PadMode, Slice, Tile, TypedConcat,
};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::Tape;
use crate::model::compile::ops::Fill;

pub fn pull(
    tape: &mut Tape,
    node: &TypedNode,
    slot: usize,
    gradient: OutletId,
) -> TractResult<Option<OutletId>> {
    let (input, output) = (node.inputs[slot], OutletId::from(node.id));
    if let Some(op) = node.op_as::<AxisOp>() {
        let gradient = match op {
            AxisOp::Reshape(..) => tape.full(gradient, output)?,
            _ => gradient,
        };
        return tape.wire(op.recip(), &[gradient]).map(Some);
    }
    if node.op_is::<MultiBroadcastTo>() || node.op_is::<Fill>() {
        return tape.narrow(gradient, input, output).map(Some);
    }
    if let Some(op) = node.op_as::<Slice>() {
        let start = op.start.to_usize()?;
        return tape
            .place(gradient, input, output, op.axis, start)
            .map(Some);
    }
    if let Some(op) = node.op_as::<TypedConcat>() {
        let before = node.inputs[..slot].iter();
        let start: usize = before
            .map(|&input| Ok(tape.shape(input)?[op.axis]))
            .sum::<TractResult<_>>()?;
        let end = start + tape.shape(input)?[op.axis];
        return tape.cut(gradient, output, op.axis, start, end).map(Some);
    }
    if let Some(op) = node.op_as::<Pad>() {
        ensure!(
            matches!(op.mode, PadMode::Constant(_)),
            "it pads with {:?}",
            op.mode
        );
        let mut gradient = gradient;
        for (axis, &(start, _)) in op.pads.iter().enumerate() {
            let end = start + tape.shape(input)?[axis];
            gradient = tape.cut(gradient, output, axis, start, end)?;
        }
        return Ok(Some(gradient));
    }
    if let Some(op) = node.op_as::<Downsample>() {
        return downsample(tape, input, output, gradient, op).map(Some);
    }
    if let Some(op) = node.op_as::<Gather>() {
        ensure!(slot == 0, "its indices depend on the layer");
        return gather(tape, node, gradient, op.axis).map(Some);
    }
    if node.op_is::<Tile>() {
        let lengths = tape.shape(input)?;
        let mut gradient = tape.full(gradient, output)?;
        for (axis, length) in lengths.into_iter().enumerate() {
            let tiled = tape.shape(gradient)?[axis];
            if tiled > length {
                let split = tvec!((tiled / length).to_dim(), length.to_dim());
                let split = AxisOp::Reshape(axis, tvec!(tiled.to_dim()), split);
                gradient = tape.wire(split, &[gradient])?;
                let (axes, reducer) = (tvec!(axis), Reducer::Sum);
                gradient = tape.wire(Reduce { axes, reducer }, &[gradient])?;
                gradient = tape.wire(AxisOp::Rm(axis), &[gradient])?;
            }
        }
        return Ok(Some(gradient));
    }
    Ok(None)
}

impl Tape<'_> {
    /// A gradient that belongs to a slice of `input` along `axis`, with zeros around it.
    fn place(
        &mut self,
        gradient: OutletId,
        input: OutletId,
        slice: OutletId,
        axis: usize,
        start: usize,
    ) -> TractResult<OutletId> {
        let length = self.shape(slice)?[axis];
        let after = self.shape(input)?[axis] - start - length;
        let mut shape = self.shape(gradient)?;
        let mut gradient = gradient;
        if shape[axis] != length {
            shape[axis] = length;
            gradient = self.wire(Fill(shape), &[gradient])?;
        }
        self.surround(gradient, axis, start, after)
    }

    /// Zeros before and after a gradient along an axis.
    pub(super) fn surround(
        &mut self,
        gradient: OutletId,
        axis: usize,
        before: usize,
        after: usize,
    ) -> TractResult<OutletId> {
        if (before, after) == (0, 0) {
            return Ok(gradient);
        }
        let mut pads = vec![(0, 0); self.shape(gradient)?.len()];
        pads[axis] = (before, after);
        let mode = PadMode::default();
        self.wire(Pad { pads, mode }, &[gradient])
    }

    /// A slice of a gradient that belongs to `output`.
    fn cut(
        &mut self,
        gradient: OutletId,
        output: OutletId,
        axis: usize,
        start: usize,
        end: usize,
    ) -> TractResult<OutletId> {
        let length = self.shape(gradient)?[axis];
        if length != self.shape(output)?[axis] || (start, end) == (0, length) {
            return Ok(gradient);
        }
        self.wire(Slice::new(axis, start, end), &[gradient])
    }
}

/// Zeros go between the values, before the first and after the last.
fn downsample(
    tape: &mut Tape,
    input: OutletId,
    output: OutletId,
    gradient: OutletId,
    op: &Downsample,
) -> TractResult<OutletId> {
    let (axis, modulo) = (op.axis, op.modulo);
    let stride = usize::try_from(op.stride)?;
    let (length, kept) = (tape.shape(input)?[axis], tape.shape(output)?[axis]);
    let mut gradient = tape.full(gradient, output)?;
    gradient = tape.wire(AxisOp::Add(axis + 1), &[gradient])?;
    gradient = tape.surround(gradient, axis + 1, 0, stride - 1)?;
    let pair = tvec!(kept.to_dim(), stride.to_dim());
    let merge = AxisOp::Reshape(axis, pair, tvec!((kept * stride).to_dim()));
    gradient = tape.wire(merge, &[gradient])?;
    let spread = modulo + kept * stride;
    let after = length.saturating_sub(spread);
    gradient = tape.surround(gradient, axis, modulo, after)?;
    if spread > length {
        gradient = tape.wire(Slice::new(axis, 0, length), &[gradient])?;
    }
    Ok(gradient)
}

/// Gathering is a product with a matrix of zeros and ones, and so is its transpose.
fn gather(
    tape: &mut Tape,
    node: &TypedNode,
    gradient: OutletId,
    axis: usize,
) -> TractResult<OutletId> {
    let (input, output) = (node.inputs[0], OutletId::from(node.id));
    let fact = tape.graph.outlet_fact(node.inputs[1])?;
    let indices = fact.konst.clone().context("its indices are not constant")?;
    let indices = indices.cast_to::<i64>()?.into_owned();
    let length = tape.shape(input)?[axis];
    let places: Vec<usize> = indices
        .try_as_plain_ram()?
        .as_slice::<i64>()?
        .iter()
        .map(|&at| if at < 0 { at + length as i64 } else { at } as usize)
        .collect();
    ensure!(
        places.iter().all(|&at| at < length),
        "an index is too large"
    );
    let mut gradient = tape.full(gradient, output)?;
    match indices.rank() {
        0 => gradient = tape.wire(AxisOp::Add(axis), &[gradient])?,
        1 => (),
        rank => {
            let from = indices.shape().iter().map(|dim| dim.to_dim()).collect();
            let merge = AxisOp::Reshape(axis, from, tvec!(places.len().to_dim()));
            ensure!(rank < 8, "its indices have {rank} axes");
            gradient = tape.wire(merge, &[gradient])?;
        }
    }
    let runs = places.windows(2).all(|pair| pair[1] == pair[0] + 1);
    if let (Some(&first), true) = (places.first(), runs) {
        let after = length - first - places.len();
        return tape.surround(gradient, axis, first, after);
    }
    ensure!(
        places.len() * length <= 1 << 24,
        "it gathers {} of {length}",
        places.len()
    );
    let mut matrix = vec![0.0f32; places.len() * length];
    for (row, &column) in places.iter().enumerate() {
        matrix[row * length + column] = 1.0;
    }
    let matrix = Tensor::from_shape(&[places.len(), length], &matrix)?;
    let name = format!("gradient.{}", tape.graph.nodes().len());
    let matrix = tape.graph.add_const(name, matrix)?;
    let letters: Vec<char> = ('a'..).take(tape.shape(gradient)?.len()).collect();
    let axes = |letter| {
        let mut letters = letters.clone();
        letters[axis] = letter;
        letters.into_iter().collect::<String>()
    };
    let axes = AxesMapping::from_strs(&[axes('x'), "xy".to_string()], &[axes('y')])?;
    tape.wire(EinSum::new(axes, f32::datum_type()), &[gradient, matrix])
}
