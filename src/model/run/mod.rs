//! The plan in an ONNX file → steps that can be run: all that a page needs for a model with a plan. Imports nothing
//! of `compile`, which makes plans, and nothing of tract.
//!
//! A plan lists the steps of the forward and the backward graph over one arena (`docs/plan.md`); weights are named, not
//! repeated. It is JSON in the file's `metadata_props`, so that the file stays an ordinary ONNX model. A plan of
//! another version, for other inputs or layers, or with anything unsound in it is not used: the graph of the file
//! itself is then compiled.

pub mod crew;
mod file;
pub mod kernel;
pub mod record;
pub mod steps;
pub mod weights;

pub use file::File;

/// Most numbers of one tensor.
pub const MOST_ELEMENTS: usize = 1 << 28;

/// Most inputs of a node, and most outputs.
#[cfg(feature = "compile")]
pub const MOST_EDGES: usize = 512;

/// Most axes of a tensor.
#[cfg(feature = "compile")]
pub const MOST_AXES: usize = 16;

/// Key of the plan in `metadata_props`.
pub const KEY: &str = "whylens.plan";

/// Most steps of a pass: eight times the forward graph of a ViT-L (24 blocks of 41 steps, and 24 around them),
/// four and a half times its gradient down to the patches (24 of 73).
pub const MOST_STEPS: usize = 8000;

/// Most bytes of a plan's text; parsed, it takes several times as many.
const LONGEST: usize = 32_000_000;

/// Most values that are written out in one record.
pub const MOST_WRITTEN: usize = 4096;

/// Most bytes of values that are alive at once in a run, whatever memory there is.
pub const MOST_WORK: u64 = 8 << 30;

/// Most operations of a run, as it is counted before: fifteen times those of ViT-L/16 at 224 pixels (72 billion,
/// 61 of which are multiplications) and of EfficientNet-B7 at 600 (72, 38), 26 times those of ConvNeXt-L at 224
/// (42, 34), and still 1.6 times those of EfficientNet-L2 at 800 (680, 476).
pub const MOST_OPERATIONS: u64 = 1 << 40;

/// The product of sizes, without overflow.
pub fn product(sizes: impl IntoIterator<Item = usize>) -> u64 {
    let sizes = sizes.into_iter();
    sizes.fold(1, |n, size| n.saturating_mul(size as u64))
}
