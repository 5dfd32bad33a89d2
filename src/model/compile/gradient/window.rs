//! Operators that slide a window: convolution, pooling, and the sum of windows that overlap.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::Downsample;
use tract_onnx::tract_core::ops::array::{Slice, TypedConcat};
use tract_onnx::tract_core::ops::cnn::{Conv, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{DataFormat, Reduce, Reducer};

use super::Tape;
use crate::model::compile::ops::{Fold, ScatterWindow, Unpool};

pub fn pull(
    tape: &mut Tape,
    node: &TypedNode,
    slot: usize,
    gradient: OutletId,
) -> TractResult<Option<OutletId>> {
    let (input, output) = (node.inputs[slot], OutletId::from(node.id));
    if let Some(Fold(window)) = node.op_as::<Fold>() {
        let gradient = tape.full(gradient, output)?;
        return unfold(tape, input, gradient, window).map(Some);
    }
    let spec = if let Some(op) = node.op_as::<Conv>() {
        &op.pool_spec
    } else if let Some(op) = node.op_as::<MaxPool>() {
        &op.pool_spec
    } else if let Some(op) = node.op_as::<SumPool>() {
        &op.pool_spec
    } else {
        return Ok(None);
    };
    ensure!(slot == 0, "its kernel depends on the layer");
    let format = spec.data_format;
    let shape = tape.shape(input)?;
    let window = ScatterWindow::new(spec, format.shape(shape.as_slice())?.hw_dims());
    let gradient = tape.full(gradient, output)?;
    let gradient = tape.flatten(gradient, format)?;
    let pulled = if let Some(op) = node.op_as::<Conv>() {
        let columns = conv(tape, node, gradient, op)?;
        tape.wire(Fold(window.flat()), &[columns])?
    } else if node.op_is::<MaxPool>() {
        let input = tape.flatten(input, format)?;
        tape.wire(Unpool(window.flat()), &[input, gradient])?
    } else if let Some(op) = node.op_as::<SumPool>() {
        let mut gradient = gradient;
        if op.normalize {
            let shares = window.shares(&op.pool_spec.padding, op.count_include_pad);
            let shares = Tensor::from_shape(&[1, 1, shares.len()], &shares)?;
            let name = format!("gradient.{}", tape.graph.nodes().len());
            let shares = tape.graph.add_const(name, shares)?;
            gradient = tape.wire(math::mul(), &[gradient, shares])?;
        }
        let columns = tape.wire(AxisOp::Add(2), &[gradient])?;
        tape.wire(Fold(window.flat()), &[columns])?
    } else {
        return Ok(None);
    };
    tape.unflatten(pulled, format, &window.input).map(Some)
}

/// The gradient (batch, channel, place) → the share of each kernel tap: batch, input channel, tap,
/// place.
fn conv(tape: &mut Tape, node: &TypedNode, gradient: OutletId, op: &Conv) -> TractResult<OutletId> {
    ensure!(op.q_params.is_none(), "it is quantised");
    let group = op.group;
    let mut kernel = node.inputs[1];
    let shape = tape.shape(kernel)?;
    for change in op.kernel_fmt.kernel_as_group_o_i_h_w_ops(&shape, group) {
        kernel = tape.wire(change, &[kernel])?;
    }
    let taps: TVec<TDim> = tape.shape(kernel)?[3..]
        .iter()
        .map(|d| d.to_dim())
        .collect();
    let merged = tvec!(taps.iter().product::<TDim>());
    kernel = tape.wire(AxisOp::Reshape(3, taps, merged), &[kernel])?;
    let (of, inputs) = (op.output_channels(), op.input_channels());
    let pair = |channels: usize| tvec!(group.to_dim(), (channels / group).to_dim());
    let split = AxisOp::Reshape(1, tvec!(of.to_dim()), pair(of));
    let gradient = tape.wire(split, &[gradient])?;
    let axes = AxesMapping::from_strs(&["ngpo", "gpck"], &["ngcko"])?;
    let columns = tape.wire(EinSum::new(axes, f32::datum_type()), &[gradient, kernel])?;
    let merge = AxisOp::Reshape(1, pair(inputs), tvec!(inputs.to_dim()));
    tape.wire(merge, &[columns])
}

/// The most taps that are cut out one by one.
const MOST_TAPS: usize = 128;

/// The gradient (batch, channel, place on the image) → the part that each tap of each place sees: batch,
/// channel, tap, place.
fn unfold(
    tape: &mut Tape,
    columns: OutletId,
    gradient: OutletId,
    window: &ScatterWindow,
) -> TractResult<OutletId> {
    let (taps, sides) = (window.taps(), window.input.len());
    ensure!(taps <= MOST_TAPS, "its windows have {taps} places");
    let shape = tape.shape(gradient)?;
    let dims = |sizes: &[usize]| sizes.iter().map(|n| n.to_dim()).collect();
    let split = AxisOp::Reshape(2, dims(&shape[2..]), dims(&window.input));
    let mut image = tape.wire(split, &[gradient])?;
    for axis in 0..sides {
        let last = (window.output[axis] - 1) * window.strides[axis];
        let field = (window.kernel[axis] - 1) * window.dilations[axis] + 1;
        let there = window.before[axis] + window.input[axis];
        let after = (last + field).saturating_sub(there);
        image = tape.surround(image, axis + 2, window.before[axis], after)?;
    }
    let mut seen = Vec::new();
    for tap in 0..taps {
        let (mut part, mut rest) = (image, tap);
        for axis in (0..sides).rev() {
            let start = rest % window.kernel[axis] * window.dilations[axis];
            rest /= window.kernel[axis];
            let stride = window.strides[axis];
            let end = start + (window.output[axis] - 1) * stride + 1;
            if (start, end) != (0, tape.shape(part)?[axis + 2]) {
                part = tape.wire(Slice::new(axis + 2, start, end), &[part])?;
            }
            if stride > 1 {
                part = tape.wire(Downsample::new(axis + 2, stride as isize, 0), &[part])?;
            }
        }
        let merge = AxisOp::Reshape(2, dims(&window.output), dims(&[1, window.places()]));
        seen.push(tape.wire(merge, &[part])?);
    }
    let all = match *seen {
        [only] => only,
        _ => tape.wire(TypedConcat::new(2), &seen)?,
    };
    // One tap stood for all.
    if tape.shape(columns)?[2] == taps {
        return Ok(all);
    }
    let (axes, reducer) = (tvec!(2), Reducer::Sum);
    tape.wire(Reduce { axes, reducer }, &[all])
}

impl Tape<'_> {
    /// A tensor in some layout → batch, channel, place.
    fn flatten(&mut self, mut outlet: OutletId, format: DataFormat) -> TractResult<OutletId> {
        if !format.has_n() {
            outlet = self.wire(AxisOp::Add(0), &[outlet])?;
        }
        let rank = self.shape(outlet)?.len();
        if format.c_is_last() {
            outlet = self.wire(AxisOp::Move(rank - 1, 1), &[outlet])?;
        }
        let sides: TVec<TDim> = self.shape(outlet)?[2..]
            .iter()
            .map(|d| d.to_dim())
            .collect();
        let merged = tvec!(sides.iter().product::<TDim>());
        self.wire(AxisOp::Reshape(2, sides, merged), &[outlet])
    }

    /// Undoes [`Tape::flatten`].
    fn unflatten(
        &mut self,
        mut outlet: OutletId,
        format: DataFormat,
        sides: &[usize],
    ) -> TractResult<OutletId> {
        let sides: TVec<TDim> = sides.iter().map(|d| d.to_dim()).collect();
        let merged = tvec!(sides.iter().product::<TDim>());
        let rank = sides.len() + 2;
        outlet = self.wire(AxisOp::Reshape(2, merged, sides), &[outlet])?;
        if format.c_is_last() {
            outlet = self.wire(AxisOp::Move(1, rank - 1), &[outlet])?;
        }
        if !format.has_n() {
            outlet = self.wire(AxisOp::Rm(0), &[outlet])?;
        }
        Ok(outlet)
    }
}

impl ScatterWindow {
    fn new(spec: &PoolSpec, input: &[usize]) -> ScatterWindow {
        let padding = spec.computed_padding(input);
        ScatterWindow {
            input: input.into(),
            output: padding.iter().map(|axis| axis.convoluted).collect(),
            kernel: spec.kernel_shape.clone(),
            strides: spec.strides().as_ref().into(),
            dilations: spec.dilations().as_ref().into(),
            before: padding.iter().map(|axis| axis.pad_before).collect(),
        }
    }

    /// The same over two axes, as plans have it.
    pub(in crate::model::compile) fn flat(&self) -> ScatterWindow {
        let mut window = self.clone();
        if window.input.len() == 1 {
            let ScatterWindow {
                input,
                output,
                kernel,
                strides,
                dilations,
                before,
            } = &mut window;
            for sizes in [input, output, kernel, strides, dilations] {
                sizes.insert(0, 1);
            }
            before.insert(0, 0);
        }
        window
    }

    /// For each place, the factor of an average pool for each value in the window.
    fn shares(&self, padding: &PaddingSpec, include_pad: bool) -> Vec<f32> {
        let taps = self.taps();
        // With ONNX's ceil mode, a window may reach beyond the padding; what lies there is not counted.
        let padded: TVec<usize> = match padding {
            PaddingSpec::ExplicitOnnxPool(before, after, true) => (0..self.input.len())
                .map(|axis| before[axis] + self.input[axis] + after[axis])
                .collect(),
            _ => tvec!(usize::MAX; self.input.len()),
        };
        let indices = self.indices();
        (0..self.places())
            .map(|place| {
                let counts = |tap: &usize| {
                    if include_pad {
                        self.reach(*tap, place).all(|(axis, at)| at < padded[axis])
                    } else {
                        indices[tap * self.places() + place].is_some()
                    }
                };
                1.0 / (0..taps).filter(counts).count().max(1) as f32
            })
            .collect()
    }
}
