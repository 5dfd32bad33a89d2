//! Operators that slide a window: convolutions and poolings of several images, a transposed convolution, a mean of
//! everything or of windows that reach far, and the padding of a max pooling.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, Slice};
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, KernelFormat, MaxPool, PaddingSpec, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{DataFormat, Reduce, Reducer};

use super::Target;
use crate::model::compile::ops::{Fold, ScatterWindow};

pub fn rewrite(
    to: &mut Target,
    node: &TypedNode,
    inputs: &[OutletId],
) -> TractResult<Option<TVec<OutletId>>> {
    let outlet = if let Some(op) = node.op_as::<Conv>() {
        match op.pool_spec.rank() {
            3 => sliced(to, inputs, op)?,
            _ => stacked(to, inputs, op)?,
        }
    } else if let Some(op) = node.op_as::<Deconv>() {
        transposed(to, inputs, op)?
    } else if let Some(op) = node.op_as::<MaxPool>() {
        merged(to, inputs[0], op)?
    } else if let Some(op) = node.op_as::<SumPool>() {
        match whole(to, inputs[0], op) {
            Ok(outlet) => outlet,
            Err(_) => beyond(to, inputs[0], op)?,
        }
    } else if let Some(op) = node.op_as::<Pad>() {
        framed(to, node, inputs[0], op)?
    } else {
        return Ok(None);
    };
    Ok(Some(tvec!(outlet)))
}

/// A convolution of several images, as windows and heads make them of one: that of one image in which they stand
/// below each other, each with its padding. Rows that see two of them are left out.
fn stacked(to: &mut Target, inputs: &[OutletId], op: &Conv) -> TractResult<OutletId> {
    let spec = &op.pool_spec;
    let shape = to.shape(inputs[0])?;
    let plain = spec.data_format.has_n() && !spec.data_format.c_is_last() && spec.rank() <= 2;
    ensure!(
        plain && op.q_params.is_none() && shape[0] > 1,
        "another form"
    );
    let (images, channels, rows) = (shape[0], shape[1], shape[2]);
    let padding = spec.computed_padding(&shape[2..]);
    let (stride, field) = (
        spec.stride(0),
        (spec.kernel_shape[0] - 1) * spec.dilation(0) + 1,
    );
    let made = padding[0].convoluted;
    // Each begins at a place of the window.
    let least = (rows + padding[0].pad_before).max((made - 1) * stride + field);
    let each = least.next_multiple_of(stride);

    let mut frame = vec![(0, 0); shape.len()];
    frame[2] = (padding[0].pad_before, each - rows - padding[0].pad_before);
    let zero = || PadMode::Constant(tensor0(0f32).into());
    let image = to.wire(Pad::new(frame, zero()), &[inputs[0]])?;
    let image = to.wire(AxisOp::Move(0, 1), &[image])?;
    let mut whole: TVec<usize> = tvec!(1, channels, images * each);
    whole.extend_from_slice(&shape[3..]);
    let image = to.reshape(image, &whole)?;
    let mut frame = vec![(0, 0); whole.len()];
    frame[2] = (0, field.saturating_sub(stride));
    for (axis, padding) in padding.iter().enumerate().skip(1) {
        frame[2 + axis] = (padding.pad_before, padding.pad_after);
    }
    let image = to.wire(Pad::new(frame, zero()), &[image])?;
    let mut one = op.clone();
    one.pool_spec.padding = PaddingSpec::Valid;
    let image = to.wire(one, &[image, inputs[1], inputs[2]])?;

    let mut apart: TVec<usize> = tvec!(spec.output_channels, images, each / stride);
    apart.extend(padding[1..].iter().map(|axis| axis.convoluted));
    let image = to.reshape(image, &apart)?;
    let image = to.wire(Slice::new(2, 0, made), &[image])?;
    to.wire(AxisOp::Move(1, 0), &[image])
}

/// A convolution over three axes whose window has no extent along one of them: that of several images.
fn sliced(to: &mut Target, inputs: &[OutletId], op: &Conv) -> TractResult<OutletId> {
    let spec = &op.pool_spec;
    let format = spec.data_format;
    let plain = op.kernel_fmt == KernelFormat::OIHW && op.q_params.is_none();
    ensure!(plain, "another form");
    let mut image = inputs[0];
    if !format.has_n() {
        image = to.wire(AxisOp::Add(0), &[image])?;
    }
    if format.c_is_last() {
        image = to.wire(AxisOp::Move(4, 1), &[image])?;
    }
    let shape = to.shape(image)?;
    ensure!(shape[0] == 1, "several images");
    let padding = spec.computed_padding(&shape[2..]);
    let alone = |&axis: &usize| {
        let padded = padding[axis].pad_before + padding[axis].pad_after;
        [spec.kernel_shape[axis], spec.stride(axis), padded] == [1, 1, 0]
    };
    let axis = (0..3).find(alone).context("a window in space")?;
    let mut flat = op.clone();
    let spec = &mut flat.pool_spec;
    spec.kernel_shape.remove(axis);
    let sizes = [&mut spec.strides, &mut spec.dilations];
    for sizes in sizes.into_iter().flatten() {
        sizes.remove(axis);
    }
    let mut rest = padding.clone();
    rest.remove(axis);
    let before = rest.iter().map(|axis| axis.pad_before).collect();
    let after = rest.iter().map(|axis| axis.pad_after).collect();
    spec.padding = PaddingSpec::Explicit(before, after);
    spec.data_format = DataFormat::NCHW;
    let images = to.wire(AxisOp::Move(axis + 2, 0), &[image])?;
    let images = to.wire(AxisOp::Rm(1), &[images])?;
    let kernel = to.wire(AxisOp::Rm(axis + 2), &[inputs[1]])?;
    let given = [images, kernel, inputs[2]];
    let made = match shape[axis + 2] {
        1 => to.wire(flat, &given)?,
        _ => stacked(to, &given, &flat)?,
    };
    let made = to.wire(AxisOp::Add(0), &[made])?;
    let mut made = to.wire(AxisOp::Move(1, axis + 2), &[made])?;
    if format.c_is_last() {
        made = to.wire(AxisOp::Move(1, 4), &[made])?;
    }
    if !format.has_n() {
        made = to.wire(AxisOp::Rm(0), &[made])?;
    }
    Ok(made)
}

/// A max pooling of several images: that of one image with all of their channels.
fn merged(to: &mut Target, input: OutletId, op: &MaxPool) -> TractResult<OutletId> {
    let format = op.pool_spec.data_format;
    let shape = to.shape(input)?;
    let plain = format.has_n() && !format.c_is_last() && op.with_index_outputs.is_none();
    ensure!(plain && shape[0] > 1, "another form");
    let channels = shape[0] * shape[1];
    let mut one = shape.clone();
    (one[0], one[1]) = (1, channels);
    let image = to.reshape(input, &one)?;
    let mut pool = op.clone();
    pool.pool_spec.input_channels = channels;
    pool.pool_spec.output_channels = channels;
    let made = to.wire(pool, &[image])?;
    let mut apart = to.shape(made)?;
    (apart[0], apart[1]) = (shape[0], shape[1]);
    to.reshape(made, &apart)
}

/// Each value times the kernel, summed where the kernels overlap.
fn transposed(to: &mut Target, inputs: &[OutletId], op: &Deconv) -> TractResult<OutletId> {
    let (spec, group) = (&op.pool_spec, op.group);
    let (format, rank) = (spec.data_format, spec.rank());
    ensure!(
        format.has_n() && !format.c_is_last() && rank <= 2,
        "another layout"
    );
    let shape = to.shape(inputs[0])?;
    let (batch, channels, sides) = (shape[0], shape[1], &shape[2..]);
    let padding = spec.padding.compute_for_deconv(
        sides,
        &spec.kernel_shape,
        &spec.dilations(),
        &spec.strides(),
        &op.adjustments,
    )?;
    let made: TVec<usize> = padding.iter().map(|axis| axis.deconvoluted).collect();
    let before: TVec<usize> = padding.iter().map(|axis| axis.pad_before).collect();
    let places: usize = sides.iter().product();
    let mut kernel = inputs[1];
    let form = to.shape(kernel)?;
    for change in op.kernel_format.kernel_as_group_o_i_h_w_ops(&form, group) {
        kernel = to.wire(change, &[kernel])?;
    }
    let form = to.shape(kernel)?;
    let taps: usize = form[3..].iter().product();
    let kernel = to.reshape(kernel, &[group, form[1], form[2], taps])?;
    let flat = to.reshape(inputs[0], &[batch, group, channels / group, places])?;
    let axes = AxesMapping::from_strs(&["ngip", "goik"], &["ngokp"])?;
    let columns = to.wire(EinSum::new(axes, f32::datum_type()), &[flat, kernel])?;
    let outputs = group * form[1];
    let columns = to.reshape(columns, &[batch, outputs, taps, places])?;
    let window = ScatterWindow {
        input: made.clone(),
        output: sides.into(),
        kernel: spec.kernel_shape.clone(),
        strides: spec.strides().as_ref().into(),
        dilations: spec.dilations().as_ref().into(),
        before,
    };
    let image = to.wire(Fold(window.flat()), &[columns])?;
    let mut full = tvec!(batch, outputs);
    full.extend(made);
    let image = to.reshape(image, &full)?;
    let count = to.shape(inputs[2])?.iter().product::<usize>();
    let mut beside = tvec!(1; full.len());
    beside[1] = count;
    let bias = to.reshape(inputs[2], &beside)?;
    to.wire(math::add(), &[image, bias])
}

/// A pooling with one window over everything, however far it reaches beyond.
fn whole(to: &mut Target, input: OutletId, op: &SumPool) -> TractResult<OutletId> {
    let spec = &op.pool_spec;
    let shape = spec.data_format.shape(to.shape(input)?)?;
    let sides = shape.hw_dims();
    let padding = spec.computed_padding(sides);
    let (mut taps, mut count) = (1, 1);
    for (axis, padding) in padding.iter().enumerate() {
        let dense = spec.dilations()[axis] == 1;
        let covers = spec.kernel_shape[axis] >= padding.pad_before + sides[axis];
        ensure!(
            dense && covers && padding.convoluted == 1,
            "it has several places"
        );
        taps *= spec.kernel_shape[axis];
        count *= sides[axis];
    }
    ensure!(
        taps == count || !op.count_include_pad || !op.normalize,
        "it counts padding"
    );
    let axes: TVec<usize> = (shape.h_axis()..shape.h_axis() + sides.len()).collect();
    let sum = to.wire(Reduce::new(axes, Reducer::Sum), &[input])?;
    if !op.normalize {
        return Ok(sum);
    }
    let share = to.scalar(1.0 / count as f32, sum)?;
    to.wire(math::mul(), &[sum, share])
}

/// A mean of windows that count the padding and, by ONNX's ceil mode, reach beyond it: the padding becomes values.
fn beyond(to: &mut Target, input: OutletId, op: &SumPool) -> TractResult<OutletId> {
    let spec = &op.pool_spec;
    let PaddingSpec::ExplicitOnnxPool(before, after, true) = &spec.padding else {
        bail!("no window reaches beyond");
    };
    ensure!(op.count_include_pad && op.normalize, "it counts no padding");
    let shape = to.shape(input)?;
    let sides = spec.data_format.shape(shape.clone())?.h_axis()..;
    let mut frame = vec![(0, 0); shape.len()];
    let mut rest = tvec!();
    let sides: TVec<usize> = sides.take(before.len()).collect();
    let lengths: TVec<usize> = sides.iter().map(|&axis| shape[axis]).collect();
    let padding = spec.computed_padding(&lengths);
    for (at, &axis) in sides.iter().enumerate() {
        frame[axis] = (before[at], after[at]);
        let field = (spec.kernel_shape[at] - 1) * spec.dilation(at) + 1;
        let last = (padding[at].convoluted - 1) * spec.stride(at);
        rest.push((last + field).saturating_sub(before[at] + lengths[at] + after[at]));
    }
    let zero = PadMode::Constant(tensor0(0f32).into());
    let image = to.wire(Pad::new(frame, zero), &[input])?;
    let mut pool = op.clone();
    pool.count_include_pad = false;
    pool.pool_spec.padding = PaddingSpec::Explicit(tvec!(0; rest.len()), rest);
    to.wire(pool, &[image])
}

/// A padding below every value. Plans hold only finite numbers, and the least of these serves a maximum as
/// well.
fn framed(to: &mut Target, node: &TypedNode, input: OutletId, op: &Pad) -> TractResult<OutletId> {
    let PadMode::Constant(value) = &op.mode else {
        bail!("it pads with something else");
    };
    let below = value.cast_to_scalar::<f32>()? == f32::NEG_INFINITY;
    let mut readers = node.outputs[0].successors.iter();
    let pooled = readers.all(|reader| to.graph.node(reader.node).op_is::<MaxPool>());
    ensure!(below && pooled, "it also serves other operators");
    let mode = PadMode::Constant(tensor0(f32::MIN).into());
    to.wire(Pad::new(op.pads.clone(), mode), &[input])
}
