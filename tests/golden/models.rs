//! Small networks of many architectures against ONNX Runtime, torch.autograd and pytorch-grad-cam;
//! the values are made by `tests/golden/models/make_models.py`. Natively and on wasm32.

use std::collections::BTreeMap;

use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::internal::heatmap;
use whylens::manifest::Activation;
use whylens::{FeatureMap, Manifest, Method, Model, Options, Sign, Tensor};

use super::{golden, npy};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    model: String,
    precision: String,
    input: Input,
    output: Output,
    values: String,
    scores: Slice,
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Input {
    file: String,
    shape: Vec<usize>,
    layout: String,
}

#[derive(Deserialize)]
struct Output {
    activation: Activation,
}

/// A part of the case's file of values.
#[derive(Deserialize)]
struct Slice {
    offset: usize,
    shape: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    place: String,
    tensor: String,
    axes: String,
    prefix_tokens: usize,
    activations: Slice,
    classes: Vec<Class>,
}

#[derive(Deserialize)]
struct Class {
    index: usize,
    gradients: Slice,
    maps: BTreeMap<String, Slice>,
    #[serde(default)]
    unstable: Vec<String>,
}

fn bytes(name: &str) -> &'static [u8] {
    golden(&format!("models/{name}"))
}

fn cases() -> Vec<Case> {
    serde_json::from_slice::<Golden>(bytes("cases.json"))
        .unwrap()
        .cases
}

fn floats(name: &str) -> Vec<f32> {
    npy::floats(bytes(name))
}

impl Case {
    fn manifest(&self) -> Manifest {
        let nhwc = self.input.layout == "nhwc";
        let (channels, height, width) = match self.input.shape[1..] {
            [height, width, channels] if nhwc => (channels, height, width),
            [channels, height, width] => (channels, height, width),
            _ => panic!("the input has the shape {:?}", self.input.shape),
        };
        let json = serde_json::json!({
            "format": 1, "name": self.name, "version": "1", "license": "MIT", "source": "made by the tests",
            "disclaimer": null,
            "weights": { "file": self.model, "bytes": 1, "sha256": "0".repeat(64), "precision": "fp32" },
            "input": { "name": "input", "layout": self.input.layout, "channels": if channels == 1 { "grey" } else { "rgb" },
                       "width": width, "height": height, "resize": { "mode": "exact", "filter": "bilinear" },
                       "crop": "none", "scale": 1.0, "mean": vec![0; channels], "std": vec![1; channels] },
            "output": { "name": "output", "activation": self.output.activation },
            "heatmap": { "layer": null }, "labels": { "en": "labels.txt" }
        });
        Manifest::parse(json.to_string().as_bytes()).unwrap().0
    }

    fn load(&self, layers: &[&str]) -> whylens::Result<Model> {
        let options = Options {
            heatmap: true,
            layers: layers.iter().map(|layer| layer.to_string()).collect(),
            ..Options::default()
        };
        Model::load(bytes(&self.model), &self.manifest(), &options)
    }

    fn input(&self) -> Tensor {
        Tensor {
            shape: self.input.shape.clone(),
            values: floats(&self.input.file),
        }
    }
}

fn take<'a>(values: &'a [f32], slice: &Slice) -> &'a [f32] {
    &values[slice.offset..][..slice.shape.iter().product()]
}

impl Layer {
    /// A golden tensor in the order of [`FeatureMap`].
    fn map(&self, values: &[f32], slice: &Slice) -> FeatureMap {
        let given = take(values, slice);
        let (channels, places, prefix) = match (self.axes.as_str(), slice.shape.as_slice()) {
            ("nchw", &[1, c, h, w]) => (c, h * w, None),
            ("nhwc", &[1, h, w, c]) => (c, h * w, Some(0)),
            ("tokens", &[1, tokens, c]) => {
                (c, tokens - self.prefix_tokens, Some(self.prefix_tokens))
            }
            other => panic!("unknown layer {other:?}"),
        };
        let values = match prefix {
            None => given.to_vec(),
            Some(prefix) => (0..channels * places)
                .map(|i| given[(prefix + i % places) * channels + i / places])
                .collect(),
        };
        let side = self.classes[0].maps["gradcam"].shape.as_slice();
        FeatureMap {
            channels,
            height: side[0],
            width: side[1],
            values,
        }
    }
}

/// The largest difference; infinite if the number of values is not the expected one.
pub fn max_difference(actual: &[f32], expected: &[f32]) -> f32 {
    if actual.len() != expected.len() {
        return f32::INFINITY;
    }
    let pairs = actual.iter().zip(expected);
    pairs.map(|(a, e)| (a - e).abs()).fold(0.0, f32::max)
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, v| v.abs().max(largest))
}

pub fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |v: &[f32]| v.iter().map(|&v| f64::from(v)).sum::<f64>() / v.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a) - mean_a, f64::from(b) - mean_b);
        (ab, aa, bb) = (ab + a * b, aa + a * a, bb + b * b);
    }
    if aa == 0.0 && bb == 0.0 {
        1.0
    } else {
        ab / (aa * bb).sqrt()
    }
}

/// Runs a check on every case and layer; reports all failures at once.
fn every_layer(check: impl Fn(&Case, &Layer, &Model, &[f32]) -> Result<(), String>) {
    let mut failures = Vec::new();
    for case in cases() {
        let values = floats(&case.values);
        for layer in &case.layers {
            let done = match case.load(&[&layer.tensor]) {
                Ok(model) => check(&case, layer, &model, &values),
                Err(error) => Err(format!("{}: {error}", error.code())),
            };
            if let Err(text) = done {
                failures.push(format!("{} {}: {text}", case.name, layer.place));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn scores_and_features_are_those_of_onnx_runtime() {
    every_layer(|case, layer, model, values| {
        let forward = model.forward(&case.input()).map_err(|e| e.to_string())?;
        let allowed = if case.precision == "fp16" { 0.05 } else { 1e-3 };
        let difference = max_difference(&forward.scores, take(values, &case.scores));
        println!(
            "{} {}: scores differ by {difference:.1e}",
            case.name, layer.place
        );
        if difference > allowed {
            return Err(format!("scores differ by {difference}"));
        }
        let golden = layer.map(values, &layer.activations);
        let actual = &forward.features[0];
        if (actual.channels, actual.height, actual.width)
            != (golden.channels, golden.height, golden.width)
        {
            return Err(format!("the layer is {:?}", model.layers()));
        }
        let difference = max_difference(&actual.values, &golden.values) / largest(&golden.values);
        if difference > allowed {
            return Err(format!("features differ by {difference}"));
        }
        Ok(())
    });
}

#[test]
fn gradients_are_those_of_torch_autograd() {
    every_layer(|case, layer, model, values| {
        let forward = model.forward(&case.input()).map_err(|e| e.to_string())?;
        for class in &layer.classes {
            let golden = layer.map(values, &class.gradients);
            let actual = model
                .gradients(&forward, class.index)
                .map_err(|e| e.to_string())?;
            let difference =
                max_difference(&actual[0].values, &golden.values) / largest(&golden.values);
            let correlation = correlation(&actual[0].values, &golden.values);
            println!(
                "{} {} {}: gradient differs by {difference:.1e}, correlation {correlation:.6}",
                case.name, layer.place, class.index
            );
            let allowed = if case.precision == "fp16" { 0.05 } else { 1e-3 };
            if difference > allowed || correlation < 0.999 {
                return Err(format!(
                    "class {}: differs by {difference}, correlation {correlation}",
                    class.index
                ));
            }
        }
        Ok(())
    });
}

#[test]
fn heatmaps_are_those_of_pytorch_grad_cam() {
    every_layer(|case, layer, model, values| {
        let forward = model.forward(&case.input()).map_err(|e| e.to_string())?;
        for class in &layer.classes {
            let gradients = model
                .gradients(&forward, class.index)
                .map_err(|e| e.to_string())?;
            for (name, slice) in &class.maps {
                if name == "eigencam-signed" || class.unstable.contains(name) {
                    continue;
                }
                let method = serde_json::from_value::<Method>(name.as_str().into()).unwrap();
                let map = heatmap(method, &forward.features[0], &gradients[0], Sign::For).unwrap();
                let mut golden = take(values, slice).to_vec();
                if method == Method::EigenCam {
                    // The sign of a principal component is arbitrary: compare with the one that fits.
                    let signed = take(values, &class.maps["eigencam-signed"]);
                    let with = |sign: f32| signed.iter().map(|v| (v * sign).max(0.0)).collect();
                    let candidates: [Vec<f32>; 2] = [with(1.0), with(-1.0)];
                    assert!(candidates.contains(&golden));
                    let nearer = |a: &Vec<f32>| max_difference(a, &map.values);
                    let [plus, minus] = candidates;
                    golden = if nearer(&plus) < nearer(&minus) {
                        plus
                    } else {
                        minus
                    };
                }
                let scale = largest(&golden).max(f32::MIN_POSITIVE);
                let difference = max_difference(&map.values, &golden) / scale;
                let correlation = correlation(&map.values, &golden);
                println!(
                    "{} {} {} {name}: differs by {difference:.4}, correlation {correlation:.6}",
                    case.name, layer.place, class.index
                );
                if difference > 0.01 || correlation < 0.999 {
                    return Err(format!(
                        "{name} of class {}: differs by {difference}, correlation {correlation}",
                        class.index
                    ));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn the_last_layer_is_found() {
    let mut failures = Vec::new();
    for case in cases() {
        let model = case.load(&[]).unwrap();
        // The same values may have several names.
        let last = case.layers.last().unwrap();
        let golden = last.map(&floats(&case.values), &last.activations);
        let forward = model.forward(&case.input()).unwrap();
        let difference = max_difference(&forward.features[0].values, &golden.values);
        if difference.is_nan() || difference > 0.01 * largest(&golden.values) {
            let (found, expected) = (&model.layers()[0].name, &last.tensor);
            failures.push(format!("{}: found {found}, expected {expected}", case.name));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn several_layers_at_once_give_what_each_gives_alone() {
    for case in cases() {
        let values = floats(&case.values);
        let names: Vec<&str> = case.layers.iter().map(|l| l.tensor.as_str()).collect();
        let model = case.load(&names).unwrap();
        let forward = model.forward(&case.input()).unwrap();
        let class = case.layers[0].classes[0].index;
        let gradients = model.gradients(&forward, class).unwrap();
        for (layer, actual) in case.layers.iter().zip(&gradients) {
            let golden = layer.map(&values, &layer.classes[0].gradients);
            let difference = max_difference(&actual.values, &golden.values);
            let difference = difference / largest(&golden.values);
            assert!(
                difference < 0.05,
                "{} {}: {difference}",
                case.name,
                layer.place
            );
        }
    }
}

#[test]
fn a_final_softmax_or_sigmoid_is_stepped_over() {
    for case in cases() {
        let model = case.load(&[]).unwrap();
        let expected = match case.output.activation {
            Activation::None => None,
            activation => Some(activation),
        };
        assert_eq!(model.activation(), expected, "{}", case.name);
    }
}

/// The error from loading bytes that are not a sound model; there must be one.
fn refusal(bytes: &[u8], manifest: &Manifest) -> Option<whylens::Error> {
    Model::load(
        bytes,
        manifest,
        &Options {
            heatmap: true,
            ..Options::default()
        },
    )
    .err()
}

#[test]
fn damaged_files_are_refused_and_never_panic() {
    let case = cases().into_iter().find(|case| case.name == "vgg").unwrap();
    let (bytes, manifest) = (bytes(&case.model), case.manifest());
    assert_eq!(refusal(bytes, &manifest), None);
    for cut in (0..bytes.len()).step_by(bytes.len() / 60) {
        let error = refusal(&bytes[..cut], &manifest).expect("a cut file was taken");
        assert!(
            ["truncated", "not-a-model", "unsupported-model"].contains(&error.code()),
            "{cut}: {error}"
        );
    }
    let mut state = 1u32;
    for _ in 0..150 {
        let mut damaged = bytes.to_vec();
        for _ in 0..3 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = state as usize % damaged.len();
            damaged[at] ^= (state >> 24) as u8 | 1;
        }
        // Damage may hit a weight and leave a sound graph, but do nothing worse.
        if let Ok(model) = Model::load(&damaged, &manifest, &Options::default()) {
            let _ = model.forward(&case.input());
        }
    }
}

#[test]
fn what_is_no_model_is_named() {
    let manifest = cases()[0].manifest();
    for bytes in [
        &b"<html>not here"[..],
        b"version https://git-lfs.github.com/spec/v1",
        b"{}",
        b"PK\x03\x04",
    ] {
        assert_eq!(refusal(bytes, &manifest).unwrap().code(), "not-a-model");
    }
}

#[test]
fn a_layer_that_is_not_there_is_named() {
    let error = cases()[0].load(&["no such tensor"]).err().unwrap();
    assert_eq!(error.code(), "bad-option");
    assert!(error.to_string().contains("no such tensor"), "{error}");
}

#[test]
fn a_manifest_of_another_size_is_refused() {
    let case = &cases()[0];
    let mut manifest = case.manifest();
    manifest.input.width += 32;
    let error = refusal(bytes(&case.model), &manifest).unwrap();
    assert_eq!(error.code(), "bad-manifest", "{error}");
}

#[test]
fn without_heatmaps_no_gradient_is_built() {
    let case = &cases()[0];
    let model = Model::load(bytes(&case.model), &case.manifest(), &Options::default()).unwrap();
    let forward = model.forward(&case.input()).unwrap();
    assert!(model.layers().is_empty() && forward.features.is_empty());
    assert_eq!(
        model.gradients(&forward, 0).unwrap_err().code(),
        "bad-option"
    );
    assert_eq!(model.explainable().unwrap_err().code(), "bad-option");
}

#[test]
fn a_layer_that_the_manifest_names_wrongly_is_the_manifests_fault() {
    let case = &cases()[0];
    let mut manifest = case.manifest();
    manifest.heatmap.layer = Some("no such tensor".into());
    let error = refusal(bytes(&case.model), &manifest).unwrap();
    assert_eq!(error.code(), "bad-manifest");
    assert!(error.to_string().contains("`heatmap.layer`"), "{error}");
}
