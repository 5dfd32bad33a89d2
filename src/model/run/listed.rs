//! What listed operators are made of: weights, patches and windows, checked when they are read.

use serde::{Deserialize, Serialize};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::MOST_ELEMENTS;
use super::kernel::{Activation, Patches, Window};
use super::ops::{Arrangement, ScatterWindow};
use super::record::{MOST_SIDE, Numbers};

/// Weights by the name of the file's tensor, and how they lie in it; `scale` and `bias` as in
/// [`Arrangement`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    pub tensor: String,
    /// Where the first weight is in the tensor.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start: usize,
    pub groups: usize,
    pub inputs: usize,
    pub taps: usize,
    pub strides: [usize; 3],
    pub scale: Numbers,
    pub bias: Numbers,
}

fn is_zero(start: &usize) -> bool {
    *start == 0
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PatchesRecord {
    pub output: [usize; 2],
    pub row: usize,
    pub column: usize,
    pub runs: Vec<usize>,
    pub length: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WindowRecord {
    pub input: [usize; 2],
    pub output: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub before: [usize; 2],
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActivationRecord {
    Clamp(Option<f32>, Option<f32>),
    HardSwish,
}

/// A pooling over axes kept channels-last, or first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PoolRecord {
    pub batch: bool,
    pub last: bool,
    pub kernel: Vec<usize>,
    pub before: Vec<usize>,
    pub after: Vec<usize>,
    pub strides: Option<Vec<usize>>,
    pub dilations: Option<Vec<usize>>,
    pub channels: usize,
}

/// Most taps times places of a window: ten times those of AlexNet's first.
const MOST_NUMBERS: usize = 1 << 22;

impl From<&PatchesRecord> for Patches {
    fn from(record: &PatchesRecord) -> Self {
        let PatchesRecord {
            output,
            row,
            column,
            ref runs,
            length,
        } = *record;
        let runs = runs.clone().into();
        Patches {
            output,
            row,
            column,
            runs,
            length,
        }
    }
}

impl WindowRecord {
    /// For operators that keep a number for each tap of each place.
    pub fn scatter(&self) -> TractResult<ScatterWindow> {
        let window = self.window()?;
        let sizes = [window.output, window.kernel].into_iter().flatten();
        let numbers = sizes
            .into_iter()
            .try_fold(1usize, |n, size| n.checked_mul(size));
        ensure!(
            numbers.is_some_and(|n| n <= MOST_NUMBERS),
            "a window of absurd size"
        );
        Ok(ScatterWindow {
            input: window.input[..].into(),
            output: window.output[..].into(),
            kernel: window.kernel[..].into(),
            strides: window.stride[..].into(),
            dilations: window.dilation[..].into(),
            before: window.before[..].into(),
        })
    }

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

impl From<&ActivationRecord> for Activation {
    fn from(record: &ActivationRecord) -> Self {
        match *record {
            ActivationRecord::Clamp(low, high) => Activation::Clamp(
                low.unwrap_or(f32::NEG_INFINITY),
                high.unwrap_or(f32::INFINITY),
            ),
            ActivationRecord::HardSwish => Activation::HardSwish,
        }
    }
}

impl PoolRecord {
    pub fn spec(&self, rank: usize) -> TractResult<PoolSpec> {
        let count = self.kernel.len();
        ensure!(
            count + 1 + usize::from(self.batch) == rank,
            "a pooling over {count} axes of {rank}"
        );
        let sound = |sizes: &[usize], least: usize| {
            sizes.len() == count && sizes.iter().all(|size| (least..=MOST_SIDE).contains(size))
        };
        let steps = |sizes: &Option<Vec<usize>>| sizes.as_ref().is_none_or(|sizes| sound(sizes, 1));
        ensure!(
            sound(&self.kernel, 1)
                && sound(&self.before, 0)
                && sound(&self.after, 0)
                && steps(&self.strides)
                && steps(&self.dilations),
            "a pooling of no sound size"
        );
        Ok(PoolSpec {
            data_format: match (self.batch, self.last) {
                (true, true) => DataFormat::NHWC,
                (true, false) => DataFormat::NCHW,
                (false, true) => DataFormat::HWC,
                (false, false) => DataFormat::CHW,
            },
            kernel_shape: self.kernel[..].into(),
            padding: PaddingSpec::Explicit(self.before[..].into(), self.after[..].into()),
            dilations: self.dilations.as_ref().map(|sizes| sizes[..].into()),
            strides: self.strides.as_ref().map(|sizes| sizes[..].into()),
            input_channels: self.channels,
            output_channels: self.channels,
        })
    }
}

/// A product over an image of this volume.
///
/// # Errors
/// For patches that reach outside.
pub fn product(
    arrangement: &Arrangement,
    record: (&PatchesRecord, &Option<(usize, WindowRecord)>),
    output: &[usize],
    volume: usize,
) -> TractResult<(Patches, Option<(usize, Window)>)> {
    let patches = Patches::from(record.0);
    let mut volume = volume;
    let mut padding = None;
    if let Some((channels, window)) = record.1 {
        let window = window.window()?;
        ensure!((1..=MOST_SIDE).contains(channels), "{channels} channels");
        let area = |[rows, columns]: [usize; 2]| rows.checked_mul(columns)?.checked_mul(*channels);
        ensure!(
            area(window.input) == Some(volume)
                && window.output == patches.output
                && window.kernel[0] * window.kernel[1] == arrangement.taps
                && arrangement.inputs.checked_mul(arrangement.groups) == Some(*channels),
            "a window that does not fit"
        );
        let padded = area(window.padded()).filter(|&padded| padded <= MOST_ELEMENTS);
        volume = padded.context("a window of no sound size")?;
        padding = Some((*channels, window));
    }
    let sums = arrangement.bias.len();
    let inputs = arrangement.inputs.checked_mul(arrangement.taps);
    ensure!(
        patches.runs.len().checked_mul(patches.length) == inputs,
        "patches of another size"
    );
    let pixels = patches.output[0].checked_mul(patches.output[1]);
    let product: usize = output.iter().product();
    ensure!(
        pixels.and_then(|n| n.checked_mul(sums)) == Some(product),
        "an output of another size"
    );
    let last = (arrangement.groups - 1).checked_mul(patches.length);
    let reach = patches
        .reach()
        .zip(last)
        .and_then(|(reach, last)| reach.checked_add(last));
    ensure!(
        reach.is_some_and(|reach| reach <= volume),
        "patches that reach outside"
    );
    Ok((patches, padding))
}

/// A filter over an image of this volume.
///
/// # Errors
/// For a window that does not fit.
pub fn filter(
    arrangement: &Arrangement,
    window: &WindowRecord,
    output: &[usize],
    volume: usize,
) -> TractResult<Window> {
    let window = window.window()?;
    let channels = arrangement.bias.len();
    ensure!(channels > 0, "a filter of nothing");
    let area = |[rows, columns]: [usize; 2]| rows.checked_mul(columns)?.checked_mul(channels);
    ensure!(
        area(window.input) == Some(volume)
            && area(window.output) == Some(output.iter().product())
            && area(window.padded()).is_some_and(|padded| padded <= MOST_ELEMENTS)
            && window.kernel[0] * window.kernel[1] == arrangement.taps,
        "a window that does not fit"
    );
    Ok(window)
}
