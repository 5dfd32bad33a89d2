//! Classifiers as torchvision, timm, transformers, Keras, Ultralytics and quantisers export them, packed and run by
//! their plans, against ONNX Runtime and torch; the cut of `tests/zoo/`, whose `run.py` makes it.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use serde::Deserialize;
use whylens::internal::{Map as Heatmap, heatmap, shrink};
use whylens::manifest::Precision;
use whylens::pack::{self, Options, Packed};
use whylens::{Method, Model, Options as Load, Tensor};

/// The number of parts of the cut that are tested in parallel.
const SHARDS: usize = 8;

/// Largest difference of a score, as a share of the scores' span.
const MOST_DIFFERENCE: f64 = 1e-4;
/// Of a map scaled to 0..1.
const MOST_OFF: f64 = 0.01;
const LEAST_CORRELATION: f64 = 0.999;
/// A map is compared by its correlation if at least this share of its terms is left.
const LEAST_LEFT: f64 = 1e-3;

#[derive(Deserialize)]
struct Cut {
    models: Vec<Case>,
    /// What is not right yet.
    known: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    size: usize,
    /// How much right answers differ from each other, as a share of the scores' span.
    varies: f64,
    scores: Vec<f32>,
    /// The layer that is found; none if no model folder is made.
    layer: Option<String>,
    /// Whether a plan is kept.
    plan: bool,
    maps: Vec<Map>,
    /// What is not right.
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Map {
    name: String,
    class: usize,
    height: usize,
    width: usize,
    /// The largest value.
    max: f64,
    /// The largest Σ |α A|, as a multiple of `max`.
    terms: f64,
    /// What is left of that.
    left: f64,
    /// How much right maps differ, where rounding decides the side of a kink.
    #[serde(default)]
    varies: f64,
    /// Row by row, scaled to 0..1.
    values: Vec<f64>,
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/zoo/cut"))
}

fn cut() -> Cut {
    serde_json::from_slice(&fs::read(folder().join("cases.json")).unwrap()).unwrap()
}

/// Splitmix64 at one place, in -1..1.
fn uniform(seed: u64, at: u64) -> f64 {
    let mut z = seed.wrapping_add((at + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 11) as f64 * 2f64.powi(-52) - 1.0
}

/// The bytes of the weights that a rule makes; see `tests/zoo/seeds.py`.
fn weights(rule: &str) -> Vec<u8> {
    let [_, kind, count, seed, mean, std, least] = rule.split('/').collect::<Vec<_>>()[..] else {
        panic!("no rule: {rule}");
    };
    let number = |text: &str| text.parse::<f64>().unwrap();
    let (mean, std) = (number(mean), number(std));
    let least = if least == "any" {
        f64::MIN
    } else {
        number(least)
    };
    let seed = seed.parse().unwrap();
    let values = (0..count.parse().unwrap())
        .map(|at| (mean + std * 1.732_050_807_568_877_2 * uniform(seed, at)).max(least));
    // A number becomes the nearest whole one of the type.
    match kind {
        "float32" => values.flat_map(|v| (v as f32).to_le_bytes()).collect(),
        "int8" => values
            .flat_map(|v| (v.round_ties_even() as i8).to_le_bytes())
            .collect(),
        "uint8" => values
            .flat_map(|v| (v.round_ties_even() as u8).to_le_bytes())
            .collect(),
        "int32" => values
            .flat_map(|v| (v.round_ties_even() as i32).to_le_bytes())
            .collect(),
        other => panic!("no weights of type {other}"),
    }
}

/// The ONNX file with all of its weights.
fn onnx(name: &str) -> Vec<u8> {
    let file = fs::File::open(folder().join(format!("{name}.onnx.br"))).unwrap();
    let mut stripped = Vec::new();
    let mut reader = brotli::Decompressor::new(file, 1 << 16);
    reader.read_to_end(&mut stripped).unwrap();
    let merged = shrink::merge(&stripped, &mut |rule| Ok(weights(rule))).unwrap();
    merged.unwrap_or(stripped)
}

fn image(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let bytes = weights(&format!("seeded/float32/{count}/1/0/1/any"));
    let (values, _) = bytes.as_chunks::<4>();
    Tensor {
        shape: shape.to_vec(),
        values: values
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect(),
    }
}

fn packed(name: &str, classes: usize) -> whylens::Result<Packed> {
    let labels: String = (0..classes).map(|at| format!("class {at}\n")).collect();
    let options = Options {
        name: name.into(),
        precision: Some(Precision::Fp32),
        ..Options::default()
    };
    pack::pack(onnx(name), &labels, &options, &mut |_| ())
}

/// The model by its plan, if one is kept, at a layer.
fn load(packed: &Packed, layer: &str, planned: bool) -> Result<Model, String> {
    let found = packed.manifest.heatmap.layer.as_deref() == Some(layer);
    let options = Load {
        heatmap: true,
        layers: if found {
            Vec::new()
        } else {
            vec![layer.into()]
        },
        ..Load::default()
    };
    if found && planned {
        let model = Model::planned(&packed.onnx, &packed.manifest, &options);
        return model
            .map_err(|e| e.to_string())?
            .ok_or("the plan is not sound".into());
    }
    Model::load(&packed.onnx, &packed.manifest, &options).map_err(|e| e.to_string())
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let product = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f(a - mean_a, b - mean_b))
            .sum()
    };
    product(&|a, b| a * b) / (product(&|a, _| a * a) * product(&|_, b| b * b)).sqrt()
}

/// The scores of a model against those of ONNX Runtime.
fn same_scores(actual: &[f32], golden: &[f32], varies: f64) -> Result<(), String> {
    if actual.len() != golden.len() {
        return Err(format!("{} scores for {}", actual.len(), golden.len()));
    }
    let range = |v: &[f32]| {
        v.iter()
            .fold((f32::MAX, f32::MIN), |(l, m), &v| (l.min(v), m.max(v)))
    };
    let (least, most) = range(golden);
    let pairs = actual.iter().zip(golden);
    let off = pairs.map(|(a, g)| (a - g).abs()).fold(0f32, f32::max);
    let share = f64::from(off) / f64::from(most - least);
    let allowed = MOST_DIFFERENCE.max(2.0 * varies);
    if share.is_nan() || share > allowed {
        return Err(format!(
            "scores differ by {share:.1e} of their span, {allowed:.1e} is allowed"
        ));
    }
    let first = |v: &[f32]| (0..v.len()).max_by(|&a, &b| v[a].total_cmp(&v[b]));
    if first(actual) != first(golden) {
        return Err("a different first class".into());
    }
    Ok(())
}

fn same_map(actual: &Heatmap, golden: &Map) -> Result<(), String> {
    if (actual.height, actual.width) != (golden.height, golden.width) {
        return Err(format!(
            "the map has {} × {} places",
            actual.height, actual.width
        ));
    }
    let scale = if golden.max > 0.0 { golden.max } else { 1.0 };
    let values: Vec<f64> = actual
        .values
        .iter()
        .map(|&v| f64::from(v) / scale)
        .collect();
    let pairs = values.iter().zip(&golden.values);
    let off = pairs.map(|(a, g)| (a - g).abs()).fold(0.0, f64::max);
    if golden.left <= LEAST_LEFT {
        // If terms cancel, only rounding is left.
        return match off <= LEAST_LEFT * golden.terms {
            true => Ok(()),
            false => Err(format!(
                "the map differs by {off:.1e}, its terms are {:.1e}",
                golden.terms
            )),
        };
    }
    let alike = correlation(&values, &golden.values);
    let even = golden.values.iter().all(|&v| v == golden.values[0]);
    if !(alike >= LEAST_CORRELATION && off <= MOST_OFF.max(2.0 * golden.varies)
        || even && off <= 1e-3)
    {
        return Err(format!(
            "the map has the correlation {alike:.5} and differs by {off:.1e}"
        ));
    }
    Ok(())
}

fn hold(case: &Case) -> Result<(), String> {
    let packed = packed(&case.name, case.scores.len()).map_err(|e| e.to_string())?;
    let found = packed.report.layer.as_deref();
    if found != case.layer.as_deref() {
        return Err(format!(
            "found the layer {found:?}, expected {:?}",
            case.layer
        ));
    }
    match (&packed.report.unplanned, case.plan) {
        (Some(reason), true) => return Err(format!("no longer has a plan: {reason}")),
        (None, false) => return Err("has a plan now; renew the cut".into()),
        _ => (),
    }
    let shape = packed.manifest.input.shape();
    if !shape.contains(&case.size) {
        return Err(format!("takes {shape:?}, expected the side {}", case.size));
    }
    let image = image(&shape);
    for golden in &case.maps {
        let at = |text: String| format!("at `{}`: {text}", golden.name);
        let model = load(&packed, &golden.name, case.plan).map_err(at)?;
        let forward = model.forward(&image).map_err(|e| at(e.to_string()))?;
        same_scores(&forward.scores, &case.scores, case.varies).map_err(at)?;
        let gradients = model.gradients(&forward, golden.class);
        let gradients = gradients.map_err(|e| at(e.to_string()))?;
        let map = heatmap(
            Method::GradCam,
            &forward.features[0],
            &gradients[0],
            whylens::Sign::For,
        );
        same_map(&map.map_err(|e| at(e.to_string()))?, golden).map_err(at)?;
    }
    Ok(())
}

fn shard(at: usize) {
    let cases = cut().models;
    let mine = cases.iter().skip(at).step_by(SHARDS);
    let failures: Vec<String> = mine
        .filter_map(|case| {
            hold(case)
                .err()
                .map(|text| format!("{}: {text}", case.name))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

macro_rules! shards {
    ($($name:ident $at:literal)*) => {
        $(#[test]
        fn $name() {
            shard($at);
        })*

        #[test]
        fn every_shard_is_tried() {
            assert_eq!([$($at),*], std::array::from_fn::<usize, SHARDS, _>(|at| at)[..]);
        }
    };
}

shards! { first 0 second 1 third 2 fourth 3 fifth 4 sixth 5 seventh 6 eighth 7 }

#[test]
fn sixty_classifiers_are_held() {
    assert!(cut().models.len() >= 60);
}

/// When one of them is fixed, run `tests/zoo/run.py --cut --only NAME --write`, which moves it.
#[test]
fn what_is_not_right_yet_is_still_known() {
    for case in cut().known {
        let reason = case.reason.as_deref().unwrap();
        if case.maps.is_empty() {
            // Refused, or without gradients.
            let error = match packed(&case.name, case.scores.len()) {
                Err(error) => format!("{}: {error}", error.code()),
                Ok(packed) => packed.report.no_gradients.unwrap_or_default(),
            };
            assert!(!error.is_empty(), "{} is fixed: {reason}", case.name);
            println!("{}: {error}", case.name);
        } else {
            let error = hold(&case).expect_err(&format!("{} is fixed: {reason}", case.name));
            println!("{}: {error}", case.name);
        }
    }
}
