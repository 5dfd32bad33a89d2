//! Every kind of operator against ONNX Runtime, run in every way, and its gradient against
//! torch's; the values are made by `tests/golden/operators/make_operators.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::internal::shrink;
use whylens::manifest::Precision;
use whylens::{Manifest, Model, Options, Tensor};

use super::golden;

#[derive(Deserialize)]
struct Golden {
    input: Vec<f32>,
    scores: BTreeMap<String, Vec<f32>>,
    twins: BTreeMap<String, String>,
    loose: BTreeMap<String, f32>,
    refused: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Gradients {
    cases: BTreeMap<String, Case>,
    /// Operator → the opsets that define it.
    operators: BTreeMap<String, Vec<u32>>,
}

#[derive(Deserialize)]
struct Case {
    about: Vec<String>,
    gradient: Option<Vec<f64>>,
}

fn bytes(name: &str) -> &'static [u8] {
    golden(&format!("operators/{name}"))
}

fn values() -> Golden {
    serde_json::from_slice(bytes("values.json")).unwrap()
}

pub fn manifest() -> Manifest {
    let json = serde_json::json!({
        "format": 1, "name": "operator", "version": "1", "license": "MIT", "source": "made by the tests",
        "disclaimer": null,
        "weights": { "file": "model.onnx", "bytes": 1, "sha256": "0".repeat(64), "precision": "fp32" },
        "input": { "name": "x", "layout": "nchw", "channels": "rgb", "width": 8, "height": 8,
                   "resize": { "mode": "exact", "filter": "bilinear" }, "crop": "none",
                   "scale": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1] },
        "output": { "name": "scores", "activation": "softmax" },
        "heatmap": { "layer": null }, "labels": { "en": "labels.txt" }
    });
    Manifest::parse(json.to_string().as_bytes()).unwrap().0
}

pub fn image(values: Vec<f32>) -> Tensor {
    let shape = vec![1, 3, 8, 8];
    Tensor { shape, values }
}

/// Largest difference that another order of summation makes, for scores around 1.
pub const MOST: f32 = 2e-5;

#[track_caller]
fn every_case(way: impl Fn(&[u8], &Manifest) -> whylens::Result<Model>) {
    let Golden {
        input,
        scores,
        loose,
        refused,
        ..
    } = values();
    let input = image(input);
    let (manifest, mut failures) = (manifest(), Vec::new());
    for (name, expected) in scores.iter().filter(|(name, _)| !refused.contains(*name)) {
        let onnx = bytes(&format!("{name}.onnx"));
        let run = way(onnx, &manifest).and_then(|model| model.forward(&input));
        let actual = match run {
            Ok(forward) => forward.scores,
            Err(error) => {
                failures.push(format!("{name}: {error}"));
                continue;
            }
        };
        let most = *loose.get(name).unwrap_or(&MOST);
        let scale = expected.iter().fold(1f32, |most, v| most.max(v.abs()));
        let pairs = actual.iter().zip(expected).map(|(a, e)| (a - e).abs());
        let difference = pairs.fold(0.0, f32::max) / scale;
        if actual.len() != expected.len() || difference.is_nan() || difference > most {
            failures.push(format!("{name}: differs by {difference:.1e}"));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn plain() -> Options {
    Options {
        heatmap: false,
        ..Options::default()
    }
}

#[test]
fn operators_as_given_are_those_of_onnx_runtime() {
    every_case(|onnx, manifest| Model::as_given(onnx, manifest));
}

#[test]
fn simplified_graphs_are_those_of_onnx_runtime() {
    every_case(|onnx, manifest| Model::load(onnx, manifest, &plain()));
}

#[test]
fn the_kernels_of_a_page_are_those_of_onnx_runtime() {
    every_case(|onnx, manifest| Model::in_a_page(onnx, manifest, &plain()));
}

#[test]
fn stored_graphs_are_those_of_onnx_runtime() {
    every_case(|onnx, manifest| {
        let stored = shrink::shrink(onnx, manifest, Precision::Fp32)?;
        Model::in_a_page(&stored, manifest, &plain())
    });
}

#[test]
fn plans_are_those_of_onnx_runtime() {
    let planned = std::cell::Cell::new(0);
    every_case(|onnx, manifest| match shrink::with_plan(onnx, manifest) {
        Ok(packed) => {
            planned.set(planned.get() + 1);
            let model = Model::planned(&packed, manifest, &plain()).unwrap();
            Ok(model.expect("a plan that was made can be read"))
        }
        Err(_) => Model::in_a_page(onnx, manifest, &plain()),
    });
    assert!(planned.get() > 60, "{} have a plan", planned.get());
}

/// The stem of every graph.
const STEM: &str = "t0";

#[test]
fn gradients_pass_through_quantised_weights_and_values() {
    let Golden { input, twins, .. } = values();
    let (input, manifest) = (image(input), manifest());
    let options = Options {
        heatmap: true,
        layers: vec![STEM.into()],
        ..Options::default()
    };
    assert!(!twins.is_empty());
    for (quantised, plain) in &twins {
        for way in [Model::load, Model::in_a_page] {
            let [actual, expected] = [quantised, plain].map(|name| {
                let onnx = bytes(&format!("{name}.onnx"));
                let model = way(onnx, &manifest, &options).unwrap();
                let forward = model.forward(&input).unwrap();
                model.check_gradients(&input, &forward).unwrap();
                model.gradients(&forward, 1).unwrap().remove(0).values
            });
            let scale = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
            assert!(scale > 0.0, "{plain}");
            let pairs = actual.iter().zip(&expected).map(|(a, e)| (a - e).abs());
            let difference = pairs.fold(0.0, f32::max) / scale;
            assert!(
                difference < 1e-5,
                "{quantised}: differs by {difference:.1e}"
            );
        }
    }
}

#[test]
fn a_gradient_that_is_zero_while_scores_vary_is_told() {
    let Golden { input, .. } = values();
    let options = Options {
        heatmap: true,
        layers: vec![STEM.into()],
        ..Options::default()
    };
    // Round has the derivative 0.
    let model = Model::load(bytes("round.onnx"), &manifest(), &options).unwrap();
    let input = image(input);
    let forward = model.forward(&input).unwrap();
    let error = model.check_gradients(&input, &forward).unwrap_err();
    assert_eq!(error.code(), "unsupported-operator", "{error}");
}

#[test]
fn the_default_layer_is_found_behind_quantised_values() {
    let Golden { input, .. } = values();
    let (input, manifest) = (image(input), manifest());
    let options = Options {
        heatmap: true,
        ..Options::default()
    };
    for (name, layer) in [
        ("qdq_relu", "t5"),
        ("qdq_add", "t8"),
        ("qlinear_convs", "t5"),
        ("dynamic_conv", "t7"),
    ] {
        let onnx = bytes(&format!("{name}.onnx"));
        let model = Model::load(onnx, &manifest, &options).unwrap();
        assert_eq!(model.layers()[0].name, layer, "{name}");
        let forward = model.forward(&input).unwrap();
        model.check_gradients(&input, &forward).unwrap();
    }
}

/// What works for a case.
#[derive(Clone, Copy)]
struct Told {
    runs: bool,
    /// None: torch gives no gradient, or it is 0.
    differentiates: Option<bool>,
    judged: bool,
    planned: bool,
}

/// The products of a gradient with sixteen waves.
fn waves(gradient: &[f32]) -> Vec<f64> {
    let wave = |k: usize| {
        let values = gradient.iter().enumerate();
        let products =
            values.map(|(at, &v)| f64::from(v) * (at as f64 * (k + 1) as f64 * 0.37).cos());
        products.sum()
    };
    (0..16).map(wave).collect()
}

/// Runs a case in every way and compares its gradient.
fn tell(name: &str, case: &Case, input: &Tensor, refused: bool) -> Result<Told, String> {
    let onnx = bytes(&format!("{name}.onnx"));
    let mut manifest = manifest();
    let runs = Model::load(onnx, &manifest, &plain()).is_ok();
    if runs == refused {
        return Err(format!("{name}: runs: {runs}"));
    }
    let mut told = Told {
        runs,
        differentiates: Some(false),
        judged: case.gradient.is_some(),
        planned: false,
    };
    manifest.heatmap.layer = Some(STEM.into());
    let options = Options {
        heatmap: true,
        ..Options::default()
    };
    let mut models = Vec::new();
    for way in [Model::load, Model::in_a_page] {
        models.extend(way(onnx, &manifest, &options));
    }
    let kept = shrink::shrink(onnx, &manifest, Precision::Fp32);
    if let Ok(planned) = kept.and_then(|kept| shrink::with_plan(&kept, &manifest)) {
        let model = Model::planned(&planned, &manifest, &options).ok().flatten();
        models.push(model.ok_or(format!("{name}: the plan that was made cannot be read"))?);
        told.planned = true;
    }
    let flat = case.gradient.as_ref();
    let flat = flat.is_none_or(|waves| waves.iter().all(|wave| wave.abs() < 1e-9));
    for model in models {
        let forward = model
            .forward(input)
            .map_err(|error| format!("{name}: {error}"))?;
        let Ok(gradients) = model.gradients(&forward, 1) else {
            continue;
        };
        told.differentiates = (!flat).then_some(true);
        let Some(expected) = &case.gradient else {
            continue;
        };
        let actual = waves(&gradients[0].values);
        let scale = expected.iter().fold(1e-3f64, |most, v| most.max(v.abs()));
        let pairs = actual.iter().zip(expected).map(|(a, e)| (a - e).abs());
        let difference = pairs.fold(0.0, f64::max) / scale;
        if difference.is_nan() || difference > 1e-3 {
            return Err(format!("{name}: its gradient differs by {difference:.1e}"));
        }
    }
    if flat {
        told.differentiates = None;
    }
    Ok(told)
}

const DOCUMENT: &str = include_str!("../../docs/operators.md");

/// Names between backticks in the lines below a heading.
fn listed(heading: &str) -> BTreeSet<&'static str> {
    let below = DOCUMENT
        .split(heading)
        .nth(1)
        .expect("the heading is there");
    let below = below.trim_start().split("\n\n").next().unwrap();
    below.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_table_of_operators_tells_what_they_do() {
    let Golden { input, refused, .. } = values();
    let input = image(input);
    let Gradients { cases, operators } = serde_json::from_slice(bytes("gradients.json")).unwrap();
    let mut failures = Vec::new();
    let mut rows: BTreeMap<&str, Vec<(&str, Told)>> = BTreeMap::new();
    for (name, case) in &cases {
        match tell(name, case, &input, refused.contains(name)) {
            Ok(told) => {
                for operator in &case.about {
                    rows.entry(operator).or_default().push((name, told));
                }
            }
            Err(error) => failures.push(error),
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    let mut table = String::new();
    for (operator, cases) in &rows {
        let word = |of: &dyn Fn(&Told) -> Option<bool>| {
            let known: Vec<_> = cases
                .iter()
                .filter_map(|(name, told)| Some((name, of(told)?)))
                .collect();
            let lacking: Vec<_> = known
                .iter()
                .filter(|(_, does)| !does)
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            match (known.len(), lacking.len()) {
                (0, _) if cases.iter().any(|(_, told)| told.judged) => "0".into(),
                (0, _) => "see below".into(),
                (_, 0) => "yes".into(),
                (all, lacking) if all == lacking => "no".into(),
                _ => format!("not {}", lacking.join(", ")),
            }
        };
        let opsets = operators
            .get(*operator)
            .map_or("Microsoft".into(), |versions| {
                let versions = versions.iter().map(u32::to_string);
                versions.collect::<Vec<_>>().join(", ")
            });
        let runs = word(&|told| Some(told.runs));
        let differentiates = word(&|told| told.differentiates);
        let planned = word(&|told| Some(told.planned));
        let _ = writeln!(
            table,
            "| {operator} | {opsets} | {runs} | {differentiates} | {planned} |"
        );
    }
    let compact = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        compact(DOCUMENT).contains(&compact(&table)),
        "the table in docs/operators.md should be\n{table}"
    );

    let unknown = shrink::outline(bytes("names")).unwrap().unsupported;
    let unknown: BTreeSet<&str> = unknown
        .iter()
        .map(|(operator, _)| operator.as_str())
        .collect();
    let untried: BTreeSet<&str> = operators.keys().map(String::as_str).collect();
    let untried: BTreeSet<&str> = untried
        .into_iter()
        .filter(|name| !rows.contains_key(name))
        .collect();
    let known: BTreeSet<&str> = untried.difference(&unknown).copied().collect();
    assert_eq!(
        listed("## Operators that cannot be run"),
        &untried & &unknown
    );
    assert_eq!(listed("## Operators that are not tested"), known);
}
