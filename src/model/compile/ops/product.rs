//! The kernels as operators of tract. All activations are channels-last and have a batch of one.

use std::sync::Arc;

use tract_onnx::tract_core::internal::*;

use super::floats;
use crate::model::run::kernel::{
    self, Activation, Depthwise, Gemm, Output, Patches, Window, Winograd,
};
use crate::model::run::product;
use crate::model::run::weights::Packed;

/// Convolution, full or grouped, or matrix product with constant weights. A second input is added
/// before the activation.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    pub weights: Packed,
    pub patches: Patches,
    /// Channels of the input and the window over it, if it has to be padded first.
    pub padding: Option<(usize, Window)>,
    pub activation: Activation,
    pub output: TVec<usize>,
}

/// Depthwise convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    pub filter: Arc<Depthwise>,
    pub window: Window,
    pub activation: Activation,
    pub output: TVec<usize>,
}

/// Largest value of each window.
#[derive(Debug, Clone, PartialEq)]
pub struct Largest {
    pub channels: usize,
    pub window: Window,
    pub output: TVec<usize>,
}

/// A tensor of which `fill` writes every value.
#[allow(
    unsafe_code,
    reason = "writing zeros first costs 5 % of the run; every kernel writes its whole output"
)]
fn filled(
    shape: &[usize],
    fill: impl FnOnce(&mut [f32]) -> TractResult<()>,
) -> TractResult<TVec<TValue>> {
    // SAFETY: f32 has no invalid values, and nothing is read before `fill` has written it.
    let mut tensor = unsafe { Tensor::uninitialized::<f32>(shape)? };
    fill(tensor.try_as_plain_ram_mut()?.as_slice_mut()?)?;
    Ok(tvec!(tensor.into_tvalue()))
}

/// Bytes of an image with this many channels, once padded.
fn padded(window: &Window, channels: usize) -> u64 {
    product(
        window
            .padded()
            .into_iter()
            .chain([channels, size_of::<f32>()]),
    )
}

impl Product {
    /// Bytes that a run takes meanwhile, and multiplications for each value.
    pub fn cost(&self) -> (u64, u64) {
        let each = product([self.patches.runs.len(), self.patches.length]);
        let scratch = match (&self.padding, &self.weights) {
            (None, _) => 0,
            (Some((channels, window)), Packed::Winograd(_) | Packed::Unread { winograd: true }) => {
                let outputs = self.output.last().copied().unwrap_or(1);
                Winograd::scratch(window, *channels, outputs)
            }
            (Some((channels, window)), _) => padded(window, *channels),
        };
        (scratch, each)
    }

    fn to<'a>(
        &self,
        values: &'a mut [f32],
        residual: Option<&'a [f32]>,
        stride: usize,
        first: usize,
    ) -> Output<'a> {
        Output {
            values,
            stride,
            first,
            residual,
            activation: self.activation,
        }
    }
}

impl EvalOp for Product {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let image = floats(&inputs[0])?;
        let residual = inputs.get(1).map(|residual| floats(residual)).transpose()?;
        let groups = match &self.weights {
            Packed::Groups(groups) => groups,
            Packed::Unread { .. } => bail!("its weights are not read yet"),
            Packed::Winograd(convolution) => {
                return filled(&self.output, |values| {
                    let stride = convolution.outputs();
                    convolution.run(image, self.to(values, residual, stride, 0));
                    Ok(())
                });
            }
        };
        let padded;
        let image = match &self.padding {
            None => image,
            Some((channels, window)) => {
                padded = kernel::pad(image, *channels, window);
                &padded
            }
        };
        let stride = groups.iter().map(Gemm::outputs).sum();
        filled(&self.output, |values| {
            let (mut first, mut input) = (0, 0);
            for gemm in &**groups {
                gemm.run(
                    &image[input..],
                    &self.patches,
                    self.to(values, residual, stride, first),
                );
                first += gemm.outputs();
                input += self.patches.length;
            }
            Ok(())
        })
    }
}

impl Filter {
    /// Bytes that a run takes meanwhile.
    pub fn scratch(&self) -> u64 {
        let volume: usize = self.output.iter().product();
        let places: usize = self.window.output.iter().product();
        match Depthwise::pads(&self.window) {
            true => padded(&self.window, volume / places.max(1)),
            false => 0,
        }
    }
}

impl EvalOp for Filter {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let image = floats(&inputs[0])?;
        filled(&self.output, |values| {
            self.filter
                .run(image, &self.window, values, self.activation);
            Ok(())
        })
    }
}

impl EvalOp for Largest {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let image = floats(&inputs[0])?;
        filled(&self.output, |values| {
            kernel::max_pool(image, self.channels, &self.window, values);
            Ok(())
        })
    }
}

macro_rules! operator {
    ($op:ident) => {
        impl Op for $op {
            fn name(&self) -> StaticName {
                stringify!($op).into()
            }

            fn validation(&self) -> Validation {
                Validation::Rounding
            }

            op_as_typed_op!();
        }

        // No field holds NaN.
        impl Eq for $op {}

        impl TypedOp for $op {
            fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
                Ok(tvec!(f32::fact(&self.output)))
            }

            as_op!();
        }
    };
}

operator!(Product);
operator!(Filter);
operator!(Largest);
