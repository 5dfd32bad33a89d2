//! Convolution → a product over patches, or a filter for each channel.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, PaddingSpec, PoolSpec, SumPool};

use super::Lowering;
use super::fused::{Fused, Root, Weights};
use crate::model::compile::ops::Arrangement;
use crate::model::run::kernel::{Activation, Patches, Window};

impl Lowering<'_> {
    pub(super) fn convolution(&self, node: &TypedNode, conv: &Conv) -> TractResult<Option<Fused>> {
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

    /// A pooling with its padding as numbers, if that gives the same.
    pub(super) fn padded(&self, node: &TypedNode, pool: &SumPool) -> TractResult<SumPool> {
        let mut pool = pool.clone();
        let spec = &mut pool.pool_spec;
        let Some(input) = self.shape(node.inputs[0])? else {
            return Ok(pool);
        };
        let shape = spec.data_format.shape(input)?;
        let padding = spec.computed_padding(shape.hw_dims());
        let (strides, dilations) = (spec.strides().into_owned(), spec.dilations().into_owned());
        let reach = |axis: usize| {
            let field = (spec.kernel_shape[axis] - 1) * dilations[axis] + 1;
            let last = (padding[axis].convoluted - 1) * strides[axis];
            (last + field).saturating_sub(shape.hw_dims()[axis] + padding[axis].pad_before)
        };
        let before: TVec<usize> = padding.iter().map(|axis| axis.pad_before).collect();
        let after: TVec<usize> = (0..padding.len()).map(reach).collect();
        // With ONNX's ceil mode, a window may reach beyond the padding; what lies there is not counted.
        let beyond = matches!(&spec.padding, PaddingSpec::ExplicitOnnxPool(_, given, true)
            if after.iter().zip(given).any(|(after, given)| after > given));
        if !beyond || !pool.count_include_pad {
            spec.padding = PaddingSpec::Explicit(before, after);
        }
        Ok(pool)
    }

    /// The window of a convolution or pooling over one or two axes of one image, its channel axis and its
    /// number of channels.
    pub(super) fn window(
        &self,
        node: &TypedNode,
        spec: &PoolSpec,
    ) -> TractResult<Option<(Window, usize, usize)>> {
        let Some(input) = self.shape(node.inputs[0])? else {
            return Ok(None);
        };
        let shape = spec.data_format.shape(input)?;
        if shape.n().is_some_and(|&n| n != 1) {
            return Ok(None);
        }
        let sides = shape.hw_dims();
        let padding = spec.computed_padding(sides);
        let (strides, dilations) = (spec.strides(), spec.dilations());
        // tract adds axes of one place to convolutions.
        let mut axes: TVec<usize> = (0..sides.len()).collect();
        if axes.len() > 2 {
            let places = |axis: usize| {
                [
                    sides[axis],
                    spec.kernel_shape[axis],
                    padding[axis].convoluted,
                ]
            };
            axes.retain(|&mut axis| places(axis) != [1; 3]);
        }
        // A row is an image of height 1.
        let [first, second] = match *axes {
            [] => [None; 2],
            [one] => [None, Some(one)],
            [one, two] => [Some(one), Some(two)],
            _ => return Ok(None),
        };
        let pair =
            |of: &dyn Fn(usize) -> usize, other| [first, second].map(|axis| axis.map_or(other, of));
        let window = Window {
            input: pair(&|axis| sides[axis], 1),
            output: pair(&|axis| padding[axis].convoluted, 1),
            kernel: pair(&|axis| spec.kernel_shape[axis], 1),
            stride: pair(&|axis| strides[axis], 1),
            dilation: pair(&|axis| dilations[axis], 1),
            before: pair(&|axis| padding[axis].pad_before, 0),
        };
        Ok(Some((window, shape.c_axis(), *shape.c())))
    }
}
