//! What listed operators are made of: weights, patches and windows.

use tract_onnx::tract_core::internal::*;

use super::kernel::Window;
use super::record::{MOST_SIDE, Numbers};

/// Weights by the name of the file's tensor, and how they lie in it; `scale` and `bias` as in
/// [`Arrangement`](super::weights::Arrangement).
#[derive(Debug, Clone)]
pub struct Weights {
    pub tensor: String,
    /// Where the first weight is in the tensor.
    pub start: usize,
    pub groups: usize,
    pub inputs: usize,
    pub taps: usize,
    pub strides: [usize; 3],
    pub scale: Numbers,
    pub bias: Numbers,
}

#[derive(Debug, Clone)]
pub struct PatchesRecord {
    pub output: [usize; 2],
    pub row: usize,
    pub column: usize,
    pub runs: Vec<usize>,
    pub length: usize,
}

#[derive(Debug, Clone)]
pub struct WindowRecord {
    pub input: [usize; 2],
    pub output: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub before: [usize; 2],
}

#[derive(Debug, Clone)]
pub enum ActivationRecord {
    Clamp(Option<f32>, Option<f32>),
    HardSwish,
}

/// A pooling over axes kept channels-last, or first.
#[derive(Debug, Clone)]
pub struct PoolRecord {
    pub batch: bool,
    pub last: bool,
    pub kernel: Vec<usize>,
    pub before: Vec<usize>,
    pub strides: Option<Vec<usize>>,
    pub dilations: Option<Vec<usize>>,
}

impl WindowRecord {
    /// # Errors
    /// For sizes that no sound window has.
    pub fn window(&self) -> TractResult<Window> {
        let WindowRecord {
            input,
            output,
            kernel,
            stride,
            dilation,
            before,
        } = *self;
        let sizes = [input, output, kernel, stride, dilation];
        let sound = sizes
            .into_iter()
            .flatten()
            .all(|n| (1..=MOST_SIDE).contains(&n));
        ensure!(
            sound && before.iter().all(|&n| n <= MOST_SIDE),
            "a window of no sound size"
        );
        Ok(Window {
            input,
            output,
            kernel,
            stride,
            dilation,
            before,
        })
    }
}
