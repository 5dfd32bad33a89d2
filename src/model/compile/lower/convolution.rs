//! Convolution → a product over patches, or a filter for each channel.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, PoolSpec};

use super::Lowering;
use super::fused::{Fused, Root, Weights};
use crate::model::run::kernel::{Activation, Patches, Window};
use crate::model::run::ops::Arrangement;

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

    /// The window of a convolution or a pooling over two axes of one image, its channel axis and the
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
}
