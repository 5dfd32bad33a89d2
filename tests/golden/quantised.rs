//! Quantised graphs against ONNX Runtime and torch's fake quantisation, run in every way; the values are made by
//! `tests/golden/quantised/make_quantised.py`.

use std::collections::BTreeMap;

use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::internal::shrink;
use whylens::manifest::Precision;
use whylens::{Manifest, Model, Options};

use super::golden;
use super::operators::{MOST, image, manifest};

#[derive(Deserialize)]
struct Golden {
    input: Vec<f32>,
    scores: BTreeMap<String, Vec<f32>>,
    gradients: BTreeMap<String, Vec<f32>>,
}

fn bytes(name: &str) -> &'static [u8] {
    golden(&format!("quantised/{name}"))
}

fn values() -> Golden {
    serde_json::from_slice(bytes("values.json")).unwrap()
}

fn at_the_stem() -> Manifest {
    let mut manifest = manifest();
    manifest.heatmap.layer = Some("t0".into());
    manifest
}

fn explained() -> Options {
    Options {
        heatmap: true,
        ..Options::default()
    }
}

fn stored(onnx: &[u8], manifest: &Manifest) -> Vec<u8> {
    shrink::shrink(onnx, manifest, Precision::Fp32).unwrap()
}

/// A model in each way to run it, by its plan if it has one.
fn ways(onnx: &[u8], manifest: &Manifest) -> Vec<(&'static str, Model)> {
    let kept = stored(onnx, manifest);
    let mut ways = vec![
        ("loaded", Model::load(onnx, manifest, &explained()).unwrap()),
        (
            "in a page",
            Model::in_a_page(onnx, manifest, &explained()).unwrap(),
        ),
        (
            "stored",
            Model::in_a_page(&kept, manifest, &explained()).unwrap(),
        ),
    ];
    if let Ok(planned) = shrink::with_plan(&kept, manifest) {
        let model = Model::planned(&planned, manifest, &explained()).unwrap();
        ways.push(("planned", model.expect("a plan that was made can be read")));
    }
    ways
}

#[track_caller]
fn compare(what: &str, actual: &[f32], expected: &[f32], most: f32) {
    let scale = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
    let pairs = actual.iter().zip(expected).map(|(a, e)| (a - e).abs());
    let difference = pairs.fold(0.0, f32::max) / scale;
    assert_eq!(actual.len(), expected.len(), "{what}");
    assert!(difference <= most, "{what}: differs by {difference:.1e}");
}

#[test]
fn scores_are_those_of_onnx_runtime() {
    let Golden { input, scores, .. } = values();
    let (input, manifest) = (image(input), at_the_stem());
    for (name, expected) in &scores {
        let onnx = bytes(&format!("{name}.onnx"));
        for (way, model) in ways(onnx, &manifest) {
            let scores = model.forward(&input).unwrap().scores;
            compare(&format!("{name} {way}"), &scores, expected, MOST);
        }
    }
}

#[test]
fn gradients_are_those_of_fake_quantisation_in_torch() {
    let Golden {
        input, gradients, ..
    } = values();
    let (input, manifest) = (image(input), at_the_stem());
    assert!(!gradients.is_empty());
    for (name, expected) in &gradients {
        let onnx = bytes(&format!("{name}.onnx"));
        for (way, model) in ways(onnx, &manifest) {
            let forward = model.forward(&input).unwrap();
            let actual = model.gradients(&forward, 1).unwrap().remove(0).values;
            compare(&format!("{name} {way}"), &actual, expected, 1e-5);
        }
    }
}

#[test]
fn quantised_values_and_whole_weights_have_plans() {
    for name in values().scores.keys() {
        let kept = stored(bytes(&format!("{name}.onnx")), &at_the_stem());
        if let Err(error) = shrink::with_plan(&kept, &at_the_stem()) {
            panic!("{name}: {error}");
        }
    }
}

#[test]
fn weights_are_kept_in_as_few_bits_as_they_are_given() {
    // In a small graph, values take less than the names of nodes.
    for (name, weights) in [
        ("conv_per_channel", 576),
        ("conv_integer", 576),
        ("normal_weights", 96),
    ] {
        let given = bytes(&format!("{name}.onnx"));
        let kept = stored(given, &at_the_stem());
        assert!(
            kept.len() < given.len() + weights / 2,
            "{name}: {} to {}",
            given.len(),
            kept.len()
        );
    }
    // FP32 weights that are rounded in the graph.
    let given = bytes("conv_of_rounded_weights.onnx");
    let kept = stored(given, &at_the_stem());
    assert!(
        kept.len() + 1500 < given.len(),
        "{} to {}",
        given.len(),
        kept.len()
    );
}

#[test]
fn the_default_layer_is_one_that_gradients_reach() {
    let input = image(values().input);
    // The steps of the class token depend on every place; no gradient reaches the scores that way.
    let model = Model::load(bytes("class_token.onnx"), &manifest(), &explained()).unwrap();
    assert_eq!(model.layers()[0].name, "t3", "what the attention reads");
    let forward = model.forward(&input).unwrap();
    model.check_gradients(&input, &forward).unwrap();
}
