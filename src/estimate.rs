//! manifest → bytes of memory that a model needs, before it is downloaded.

use crate::error::{Error, Result};
use crate::manifest::{Manifest, Precision};

/// Values that are alive at once while a network runs, for each value of its input. The widest maps
/// of the usual backbones (EfficientNet, MobileNet, ResNet) have 16 to 64 channels at half or a
/// quarter of the input's pixels, and two or three of them are alive at once.
const WIDTH: u64 = 24;

/// What a model is expected to need, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// The file, its parsed form unless there is a plan, and the FP32 weights, which are there together
    /// for a moment.
    pub weights: u64,
    /// Intermediate values of a run.
    pub work: u64,
    /// What heatmaps need on top: values that are kept for the gradient.
    pub heatmap: u64,
}

impl Estimate {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights
            .saturating_add(self.work)
            .saturating_add(self.heatmap)
    }
}

/// Estimates the memory that a model needs at the most.
pub fn estimate(manifest: &Manifest, heatmap: bool) -> Estimate {
    let file = manifest.weights.bytes;
    let single = match manifest.weights.precision {
        Precision::Fp16 => file.saturating_mul(2),
        Precision::Fp32 => file,
    };
    let told = manifest.weights.parameters.unwrap_or(0);
    let single = single.max(told.saturating_mul(4));
    let parsed = match manifest.weights.plan {
        Some(_) => 0,
        None => file,
    };
    let input: u64 = manifest
        .input
        .shape()
        .iter()
        .map(|&size| size as u64)
        .product();
    let work = input * 4 * WIDTH;
    Estimate {
        weights: file.saturating_add(parsed).saturating_add(single),
        work,
        heatmap: if heatmap { work } else { 0 },
    }
}

/// Refuses a model that needs more than is left of `limit` when `used` bytes are used already.
///
/// # Errors
/// [`Error::OverMemoryLimit`] with the numbers.
pub fn check(manifest: &Manifest, heatmap: bool, used: u64, limit: f64) -> Result<u64> {
    let needed = estimate(manifest, heatmap).total();
    if used.saturating_add(needed) as f64 <= limit {
        return Ok(needed);
    }
    let megabytes = |bytes: f64| (bytes / 1e6).ceil();
    let (name, bytes) = (&manifest.name, megabytes(manifest.weights.bytes as f64));
    let (needed, used, limit) = (
        megabytes(needed as f64),
        megabytes(used as f64),
        (limit / 1e6).floor(),
    );
    let advice = if heatmap {
        ", or load it with `heatmap: false`"
    } else {
        ""
    };
    Err(Error::OverMemoryLimit(format!(
        "{name} ({bytes} MB of weights) needs about {needed} MB of memory, {used} MB are used already, and the limit is {limit} MB; nothing was downloaded. Raise `memoryLimit`{advice}"
    )))
}

/// Refuses to run a graph whose values take more than is left of `limit`, which a file may ask for that
/// is not what its manifest says.
///
/// # Errors
/// [`Error::OverMemoryLimit`] with the numbers.
pub fn check_run(name: &str, work: u64, used: u64, limit: f64) -> Result<()> {
    if used.saturating_add(work) as f64 <= limit {
        return Ok(());
    }
    let megabytes = |bytes: f64| (bytes / 1e6).ceil();
    Err(Error::OverMemoryLimit(format!(
        "a run of {name} needs {} MB of memory, {} MB are used already, and the limit is {} MB. Raise `memoryLimit`",
        megabytes(work as f64),
        megabytes(used as f64),
        (limit / 1e6).floor()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(bytes: u64) -> Manifest {
        let (mut manifest, _) =
            Manifest::parse(include_bytes!("../models/efficientnet-lite0/model.json")).unwrap();
        manifest.weights.bytes = bytes;
        manifest
    }

    #[test]
    fn a_model_within_the_limit_is_taken() {
        let needed = check(&manifest(9_000_000), true, 10_000_000, 512e6).unwrap();
        assert!((36_000_000..100_000_000).contains(&needed), "{needed}");
    }

    #[test]
    fn a_model_over_the_limit_is_refused_with_the_numbers() {
        let error = check(&manifest(200_000_000), true, 10_000_000, 512e6).unwrap_err();
        assert_eq!(error.code(), "over-memory-limit");
        for number in ["200 MB", "10 MB", "512 MB", "heatmap: false"] {
            assert!(error.to_string().contains(number), "{error}");
        }
    }

    #[test]
    fn what_is_used_already_counts() {
        let needed = check(&manifest(9_000_000), true, 0, 512e6).unwrap();
        check(&manifest(9_000_000), true, 512_000_000 - needed, 512e6).unwrap();
        check(&manifest(9_000_000), true, 512_000_001 - needed, 512e6).unwrap_err();
    }

    #[test]
    fn heatmaps_cost() {
        let total = |heatmap| estimate(&manifest(9_000_000), heatmap).total();
        assert!(total(false) < total(true));
    }

    #[test]
    fn without_a_plan_the_file_is_parsed() {
        let mut unplanned = manifest(9_000_000);
        unplanned.weights.plan = None;
        let of = |manifest| estimate(manifest, true).total();
        assert_eq!(of(&unplanned) - of(&manifest(9_000_000)), 9_000_000);
    }

    #[test]
    fn quantised_weights_count_as_they_are_computed_with() {
        let mut quantised = manifest(9_000_000);
        quantised.weights.parameters = Some(18_000_000);
        let of = |manifest| estimate(manifest, true).weights;
        assert_eq!(of(&quantised) - of(&manifest(9_000_000)), 54_000_000);
    }

    #[test]
    fn absurd_sizes_do_not_overflow() {
        let mut absurd = manifest(u64::MAX);
        absurd.weights.parameters = Some(u64::MAX);
        check(&absurd, true, u64::MAX, 512e6).unwrap_err();
        check(&manifest(u64::MAX), true, u64::MAX, 512e6).unwrap_err();
    }
}
