//! Our kernels, and operators that tract does not have, as operators of tract.

mod contract;
mod fill;
mod product;
mod scatter;
mod slope;

use tract_onnx::tract_core::internal::*;

pub use crate::model::run::weights::{Arrangement, Packed, Values};
pub use contract::Contract;
pub use fill::Fill;
pub use product::{Filter, Largest, Product};
pub use scatter::{Fold, ScatterWindow, Unpool};
pub use slope::Slope;

/// The values of an FP32 tensor.
pub fn floats(tensor: &Tensor) -> TractResult<&[f32]> {
    tensor.try_as_plain_ram()?.as_slice()
}
