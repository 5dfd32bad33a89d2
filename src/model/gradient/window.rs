//! Operators that slide a window: convolution and pooling.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{Conv, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::Tape;

pub fn pull(
    tape: &mut Tape,
    node: &TypedNode,
    slot: usize,
    gradient: OutletId,
) -> TractResult<Option<OutletId>> {
    let (input, output) = (node.inputs[slot], OutletId::from(node.id));
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
    let window = Window::new(spec, format.shape(shape.as_slice())?.hw_dims());
    let gradient = tape.full(gradient, output)?;
    let gradient = tape.flatten(gradient, format)?;
    let pulled = if let Some(op) = node.op_as::<Conv>() {
        let columns = conv(tape, node, gradient, op)?;
        tape.wire(Fold(window.clone()), &[columns])?
    } else if node.op_is::<MaxPool>() {
        let input = tape.flatten(input, format)?;
        tape.wire(Unpool(window.clone()), &[input, gradient])?
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
        tape.wire(Fold(window.clone()), &[columns])?
    } else {
        return Ok(None);
    };
    tape.unflatten(pulled, format, &window.input).map(Some)
}

/// The gradient (batch, channel, place) → each kernel tap's share of it: batch, input channel, tap,
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

/// Where a window lies on its input, one number an axis.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Window {
    input: TVec<usize>,
    output: TVec<usize>,
    kernel: TVec<usize>,
    strides: TVec<usize>,
    dilations: TVec<usize>,
    before: TVec<usize>,
}

impl Window {
    fn new(spec: &PoolSpec, input: &[usize]) -> Window {
        let padding = spec.computed_padding(input);
        Window {
            input: input.into(),
            output: padding.iter().map(|axis| axis.convoluted).collect(),
            kernel: spec.kernel_shape.clone(),
            strides: spec.strides().as_ref().into(),
            dilations: spec.dilations().as_ref().into(),
            before: padding.iter().map(|axis| axis.pad_before).collect(),
        }
    }

    fn places(&self) -> usize {
        self.output.iter().product()
    }

    /// Position on the padded input of a tap of the window at a place, axis by axis.
    fn reach(&self, mut tap: usize, mut place: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..self.input.len()).rev().map(move |axis| {
            let at = (tap % self.kernel[axis], place % self.output[axis]);
            tap /= self.kernel[axis];
            place /= self.output[axis];
            (
                axis,
                at.0 * self.dilations[axis] + at.1 * self.strides[axis],
            )
        })
    }

    /// For each tap, for each place: index of the input value under it; none over the padding.
    fn indices(&self) -> Vec<Option<usize>> {
        let taps: usize = self.kernel.iter().product();
        let mut indices = Vec::with_capacity(taps * self.places());
        for tap in 0..taps {
            for place in 0..self.places() {
                let (mut index, mut step) = (Some(0), 1);
                for (axis, at) in self.reach(tap, place) {
                    let at = at.checked_sub(self.before[axis]);
                    let at = at.filter(|&at| at < self.input[axis]);
                    index = index.zip(at).map(|(index, at)| index + at * step);
                    step *= self.input[axis];
                }
                indices.push(index);
            }
        }
        indices
    }

    /// For each place: what an average pool multiplies each value in the window with.
    fn shares(&self, padding: &PaddingSpec, include_pad: bool) -> Vec<f32> {
        let taps: usize = self.kernel.iter().product();
        // With ONNX's ceil mode a window may reach over the padding; what it meets there is not counted.
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

/// Adds each tap's values (batch, channel, tap, place) up where they came from: batch, channel,
/// place on the input. One tap stands for all when there is but one.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Fold(Window);

impl Op for Fold {
    fn name(&self) -> StaticName {
        "Fold".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Fold {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let columns = args_1!(inputs);
        let (batch, channels, taps) = (columns.shape()[0], columns.shape()[1], columns.shape()[2]);
        let indices = self.0.indices();
        let (places, size) = (self.0.places(), self.0.input.iter().product::<usize>());
        let mut image = Tensor::zero::<f32>(&[batch, channels, size])?;
        let columns = columns.try_as_plain_ram()?;
        let columns = columns.as_slice::<f32>()?;
        let mut plain = image.try_as_plain_ram_mut()?;
        let planes = plain.as_slice_mut::<f32>()?.chunks_exact_mut(size);
        for (plane, columns) in planes.zip(columns.chunks_exact(taps * places)) {
            for (tap, indices) in indices.chunks_exact(places).enumerate() {
                let column = &columns[if taps == 1 { 0 } else { tap * places }..][..places];
                for (index, value) in indices.iter().zip(column) {
                    if let &Some(index) = index {
                        plane[index] += value;
                    }
                }
            }
        }
        Ok(tvec!(image.into_tvalue()))
    }
}

impl TypedOp for Fold {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let size = self.0.input.iter().product::<usize>().to_dim();
        let (batch, channels) = (inputs[0].shape[0].clone(), inputs[0].shape[1].clone());
        Ok(tvec!(f32::fact([batch, channels, size])))
    }

    as_op!();
}

/// The gradient of max pooling: input and gradient (batch, channel, place) → the gradient at the
/// first largest value of each window.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Unpool(Window);

impl Op for Unpool {
    fn name(&self) -> StaticName {
        "Unpool".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Unpool {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (input, gradient) = args_2!(inputs);
        let indices = self.0.indices();
        let (places, size) = (self.0.places(), self.0.input.iter().product::<usize>());
        let mut pulled = Tensor::zero::<f32>(input.shape())?;
        let input = input.try_as_plain_ram()?;
        let gradient = gradient.try_as_plain_ram()?;
        let mut plain = pulled.try_as_plain_ram_mut()?;
        let planes = plain.as_slice_mut::<f32>()?.chunks_exact_mut(size);
        let inputs = input.as_slice::<f32>()?.chunks_exact(size);
        let gradients = gradient.as_slice::<f32>()?.chunks_exact(places);
        for ((plane, input), gradient) in planes.zip(inputs).zip(gradients) {
            for (place, value) in gradient.iter().enumerate() {
                let mut largest: Option<usize> = None;
                for &index in indices.iter().skip(place).step_by(places).flatten() {
                    if largest.is_none_or(|largest| input[index] > input[largest]) {
                        largest = Some(index);
                    }
                }
                if let Some(index) = largest {
                    plane[index] += value;
                }
            }
        }
        Ok(tvec!(pulled.into_tvalue()))
    }
}

impl TypedOp for Unpool {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}
