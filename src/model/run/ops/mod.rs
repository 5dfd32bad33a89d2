//! Operators of plans that tract does not have.

mod contract;
mod fill;
mod product;
mod scatter;
mod slope;
mod weights;

use tract_onnx::tract_core::internal::*;

pub use contract::Contract;
pub use fill::Fill;
pub use product::{Filter, Largest, Packed, Product};
pub use scatter::{Fold, ScatterWindow, Unpool};
pub use slope::Slope;
pub use weights::{Arrangement, Values};

/// The values of an FP32 tensor.
pub fn floats(tensor: &Tensor) -> TractResult<&[f32]> {
    tensor.try_as_plain_ram()?.as_slice()
}
