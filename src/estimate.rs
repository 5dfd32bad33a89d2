//! manifest → bytes of memory that a model needs, before it is downloaded.

use crate::error::{Error, Result};
use crate::manifest::{Manifest, Precision};
use crate::model::{PLAN, USUAL_THREADS};

/// Values that are alive at once while a network runs, for each value of its input. The widest maps
/// of the usual backbones (EfficientNet, MobileNet, ResNet) have 16 to 64 channels at half or a
/// quarter of the input's pixels, and two or three of them are alive at once.
const WIDTH: u64 = 24;

/// Bytes of the stack of each thread but the first, as in `www/worker/helpers.js`.
const STACK: u64 = 1 << 18;

/// The most memory in bytes that a model needs by this many threads: what `model.json` says of its plan, or an estimate.
pub fn estimate(manifest: &Manifest, heatmap: bool, threads: usize) -> u64 {
    let memory = manifest.weights.memory;
    let told = memory.filter(|_| manifest.weights.plan == Some(PLAN));
    let each = told.map_or(0, |memory| memory.thread).saturating_add(STACK);
    let others = each.saturating_mul(threads.saturating_sub(1) as u64);
    let told = told.and_then(|memory| match heatmap {
        true => memory.explain,
        false => Some(memory.classify),
    });
    let one = told.unwrap_or_else(|| expected(manifest, heatmap));
    one.saturating_add(others)
}

fn expected(manifest: &Manifest, heatmap: bool) -> u64 {
    let file = manifest.weights.bytes;
    let single = match (manifest.weights.parameters, manifest.weights.precision) {
        (Some(told), _) => file.max(told.saturating_mul(4)),
        (None, Precision::Fp16) => file.saturating_mul(2),
        (None, Precision::Fp32) => file,
    };
    // With a plan, the file is freed as it is read, and one matrix may briefly exist twice. Without one, the file and
    // its parsed form exist beside the weights.
    let meanwhile = match manifest.weights.plan {
        Some(_) => single / 8,
        None => file.saturating_mul(2),
    };
    let input: u64 = manifest
        .input
        .shape()
        .iter()
        .map(|&size| size as u64)
        .product();
    // For heatmaps, as much is kept for the gradient.
    let runs = if heatmap { 2 } else { 1 };
    single
        .saturating_add(meanwhile)
        .saturating_add(runs * input * 4 * WIDTH)
}

/// Refuses a model that needs more than is left of `limit` when `used` bytes are in use.
///
/// # Errors
/// [`Error::NeedsMemory`] with the numbers.
pub fn check(
    manifest: &Manifest,
    (heatmap, threads): (bool, usize),
    used: u64,
    limit: f64,
) -> Result<u64> {
    let needed = estimate(manifest, heatmap, threads);
    let fits = |needed: u64| used.saturating_add(needed) as f64 <= limit;
    if fits(needed) {
        return Ok(needed);
    }
    let advice = match heatmap && fits(estimate(manifest, false, threads)) {
        true => ", or load it with `heatmap: false`",
        false => "",
    };
    let what = format!(
        "{} ({} MB of weights) needs about",
        manifest.name,
        megabytes(manifest.weights.bytes)
    );
    Err(over(&what, needed, used, limit, advice))
}

/// Refuses to run a graph whose values take more than is left of `limit`, as in a file that is not what its
/// manifest says.
///
/// # Errors
/// [`Error::NeedsMemory`] with the numbers.
pub fn check_run(name: &str, work: u64, used: u64, limit: f64) -> Result<()> {
    if used.saturating_add(work) as f64 <= limit {
        return Ok(());
    }
    Err(over(&format!("{name} needs"), work, used, limit, ""))
}

/// What pages take of their memory limit before a model is loaded: the modules, and what they keep.
const PAGE: u64 = 32_000_000;

/// The default limits of `www/library/policy.js`, smallest first, and where they apply.
const DEFAULTS: [(u64, &str); 3] = [
    (512_000_000, "phones and devices of 2 GB"),
    (1_000_000_000, "Firefox, Safari and devices of 4 GB"),
    (2_000_000_000, "every other device"),
];

/// Where a page would refuse to load a model, with this limit or else by default; none: nowhere.
pub fn warning(manifest: &Manifest, limit: Option<u64>) -> Option<String> {
    let needed = estimate(manifest, true, USUAL_THREADS).saturating_add(PAGE);
    let refused = DEFAULTS.into_iter().rfind(|(most, _)| needed > *most);
    let whose = match (limit, refused) {
        (Some(limit), _) if needed <= limit => return None,
        (Some(limit), _) => format!("the limit is {} MB", limit / 1_000_000),
        (None, Some((most, whose))) => {
            format!(
                "{whose} refuse more than {} MB by default",
                most / 1_000_000
            )
        }
        (None, None) => return None,
    };
    let needed = megabytes(needed);
    Some(format!(
        "{} needs about {needed} MB in a page, and {whose}; `whylens dist --memory-limit {needed}MB` raises the limit",
        manifest.name
    ))
}

fn over(what: &str, needed: u64, used: u64, limit: f64, advice: &str) -> Error {
    let all = megabytes(used.saturating_add(needed));
    let message = format!(
        "{what} {} MB of memory, {} MB are used already, and the limit is {} MB. \
         Raise `memoryLimit` to {all}e6{advice}",
        megabytes(needed),
        megabytes(used),
        (limit / 1e6).floor()
    );
    let limit = (all * 1e6) as u64;
    Error::NeedsMemory { message, limit }
}

fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 / 1e6).ceil()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Memory;

    fn manifest(bytes: u64) -> Manifest {
        let (mut manifest, _) =
            Manifest::parse(include_bytes!("../models/efficientnet-lite0/model.json")).unwrap();
        manifest.weights.bytes = bytes;
        manifest.weights.memory = None;
        manifest
    }

    #[test]
    fn a_model_within_the_limit_is_taken() {
        let needed = check(&manifest(9_000_000), (true, 1), 10_000_000, 512e6).unwrap();
        assert!((36_000_000..100_000_000).contains(&needed), "{needed}");
    }

    #[test]
    fn a_model_over_the_limit_is_refused_with_the_numbers() {
        let over = manifest(300_000_000);
        let error = check(&over, (true, 1), 10_000_000, 512e6).unwrap_err();
        assert_eq!(error.code(), "over-memory-limit");
        for number in ["300 MB", "10 MB", "512 MB", "`memoryLimit` to 7"] {
            assert!(error.to_string().contains(number), "{error}");
        }
        let Error::NeedsMemory { limit, message } = error else {
            panic!("{error}")
        };
        check(&over, (true, 1), 10_000_000, limit as f64).expect(&message);
    }

    #[test]
    fn heatmaps_are_given_up_only_where_that_helps() {
        let model = manifest(9_000_000);
        let with = estimate(&model, true, 1) as f64;
        let advised = |limit: f64| {
            let error = check(&model, (true, 1), 0, limit).unwrap_err().to_string();
            error.contains("heatmap: false")
        };
        assert!(advised(with - 1.0));
        assert!(!advised(estimate(&model, false, 1) as f64 - 1.0));
    }

    #[test]
    fn whoever_makes_a_page_is_told_where_it_would_refuse() {
        let told = |bytes, limit| warning(&manifest(bytes), limit).unwrap_or_default();
        assert_eq!(told(51_000_000, None), "");
        let vit = told(250_000_000, None);
        assert!(vit.contains("phones") && vit.contains("512 MB"), "{vit}");
        assert!(told(500_000_000, None).contains("Firefox"));
        assert!(told(1_000_000_000, None).contains("every other device"));
        assert!(told(250_000_000, Some(512_000_000)).contains("the limit is 512 MB"));
        assert_eq!(told(250_000_000, Some(700_000_000)), "");
        // Its advice works.
        let limit = vit
            .split("--memory-limit ")
            .nth(1)
            .and_then(|rest| rest.split("MB").next());
        let limit: u64 = limit.unwrap().parse().unwrap();
        assert_eq!(told(250_000_000, Some(limit * 1_000_000)), "");
    }

    #[test]
    fn what_is_used_already_counts() {
        let needed = check(&manifest(9_000_000), (true, 1), 0, 512e6).unwrap();
        check(&manifest(9_000_000), (true, 1), 512_000_000 - needed, 512e6).unwrap();
        check(&manifest(9_000_000), (true, 1), 512_000_001 - needed, 512e6).unwrap_err();
    }

    #[test]
    fn heatmaps_cost() {
        let total = |heatmap| estimate(&manifest(9_000_000), heatmap, 1);
        assert!(total(false) < total(true));
    }

    #[test]
    fn what_a_plan_needs_is_told_by_the_manifest() {
        let mut told = manifest(9_000_000);
        let memory = Memory {
            classify: 1_000,
            explain: Some(2_000),
            thread: 300,
        };
        told.weights.memory = Some(memory);
        assert_eq!(
            [false, true].map(|heatmap| estimate(&told, heatmap, 1)),
            [1_000, 2_000]
        );
        // By four threads.
        let three = 3 * (300 + STACK);
        assert_eq!(estimate(&told, true, 4), 2_000 + three);
        assert_eq!(check(&told, (false, 4), 0, 512e6).unwrap(), 1_000 + three);
        check(&told, (true, 4), 0, (1_999 + three) as f64).unwrap_err();
        told.weights.plan = Some(PLAN + 1);
        assert_eq!(estimate(&told, true, 1), expected(&told, true));
    }

    #[test]
    fn without_a_plan_the_file_is_parsed() {
        let mut unplanned = manifest(9_000_000);
        unplanned.weights.plan = None;
        let of = |manifest| estimate(manifest, true, 1);
        assert_eq!(of(&unplanned) - of(&manifest(9_000_000)), 15_750_000);
    }

    #[test]
    fn quantised_weights_count_as_they_are_computed_with() {
        let mut quantised = manifest(9_000_000);
        quantised.weights.parameters = Some(18_000_000);
        let of = |manifest| estimate(manifest, true, 1);
        assert_eq!(of(&quantised) - of(&manifest(9_000_000)), 60_750_000);
    }

    #[test]
    fn weights_in_both_precisions_are_counted_once() {
        // A third of them in FP32, which take half of the file.
        let mut mixed = manifest(12_000_000);
        mixed.weights.parameters = Some(4_500_000);
        let run = estimate(&mixed, true, 1) - estimate(&mixed, false, 1);
        assert_eq!(estimate(&mixed, true, 1) - 2 * run, 18_000_000 * 9 / 8);
    }

    #[test]
    fn absurd_sizes_do_not_overflow() {
        let mut absurd = manifest(u64::MAX);
        absurd.weights.parameters = Some(u64::MAX);
        check(&absurd, (true, 1), u64::MAX, 512e6).unwrap_err();
        check(&manifest(u64::MAX), (true, 1), u64::MAX, 512e6).unwrap_err();
    }
}
