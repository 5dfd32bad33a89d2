//! Graphs that each end in a different way, and graphs that explain nothing; the values are made by
//! `tests/golden/heads/make.py`. Natively and on wasm32.

use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::manifest::Activation;
use whylens::{Classifier, HeatmapQuery, Manifest, Method, Options, Query, Tensor, pack};

use super::models::max_difference;
use super::{golden, npy};

fn bytes(name: &str) -> &'static [u8] {
    golden(&format!("heads/{name}"))
}

/// A graph of `tests/golden/heads`.
#[derive(Deserialize)]
struct Head {
    name: String,
    classes: usize,
    ends: Option<Activation>,
    output: Vec<f32>,
}

fn heads() -> Vec<Head> {
    serde_json::from_slice(bytes("cases.json")).unwrap()
}

fn head(name: &str) -> Head {
    heads().into_iter().find(|head| head.name == name).unwrap()
}

impl Head {
    fn classifier(&self, output: serde_json::Value, heatmap: bool) -> Classifier {
        let json = serde_json::json!({
            "format": 1, "name": self.name, "version": "1", "license": "MIT", "source": "made by the tests",
            "disclaimer": null,
            "weights": { "file": "model.onnx", "bytes": 1, "sha256": "0".repeat(64), "precision": "fp32" },
            "input": { "name": "input", "layout": "nchw", "channels": "rgb", "width": 16, "height": 16,
                       "resize": { "mode": "exact", "filter": "bilinear" }, "crop": "none",
                       "scale": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1] },
            "output": output, "heatmap": { "layer": null }, "labels": { "en": "labels.txt" }
        });
        let manifest = Manifest::parse(json.to_string().as_bytes()).unwrap().0;
        let labels: String = (0..self.classes)
            .map(|at| format!("class {at}\n"))
            .collect();
        let onnx = bytes(&format!("{}.onnx", self.name));
        let options = Options {
            heatmap,
            ..Options::default()
        };
        Classifier::new(manifest, labels.as_bytes(), onnx, &options).unwrap()
    }

    fn input(&self) -> Tensor {
        Tensor {
            shape: vec![1, 3, 16, 16],
            values: npy::floats(bytes("input.npy")),
        }
    }

    /// Probabilities in class order, and what they are.
    fn probabilities(&self, output: serde_json::Value) -> (Vec<f32>, Activation) {
        let query = Query {
            heatmap: None,
            ..Query::default()
        };
        let classifier = self.classifier(output, false);
        let result = classifier.classify_tensor(&self.input(), &query).unwrap();
        let mut predictions = result.predictions;
        predictions.sort_by_key(|prediction| prediction.index);
        let probabilities = predictions.iter().map(|p| p.probability).collect();
        (probabilities, result.model.activation)
    }
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let powers: Vec<f32> = scores.iter().map(|score| score.exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn sigmoid(scores: &[f32]) -> Vec<f32> {
    scores
        .iter()
        .map(|score| 1.0 / (1.0 + (-score).exp()))
        .collect()
}

#[test]
fn probabilities_are_those_of_onnx_runtime_wherever_they_are_made() {
    use Activation::{None as Nothing, Sigmoid, Softmax};
    for (name, activation, applied, expected, kind) in [
        (
            "logits",
            Softmax,
            None,
            softmax as fn(&[f32]) -> Vec<f32>,
            Softmax,
        ),
        ("logits", Sigmoid, None, sigmoid, Sigmoid),
        ("logits", Nothing, None, <[f32]>::to_vec, Nothing),
        (
            "softmax",
            Nothing,
            Some("softmax"),
            <[f32]>::to_vec,
            Softmax,
        ),
        // Folders packed before the end of the graph was recorded.
        ("softmax", Nothing, None, <[f32]>::to_vec, Softmax),
        ("sigmoid", Nothing, None, <[f32]>::to_vec, Sigmoid),
        ("log-softmax", Softmax, None, softmax, Softmax),
        ("log-softmax", Nothing, None, softmax, Softmax),
        (
            "softmax-by-hand",
            Nothing,
            Some("softmax"),
            <[f32]>::to_vec,
            Softmax,
        ),
        // Through a softmax a single score would be 1 for every photo.
        ("one-logit", Softmax, None, sigmoid, Sigmoid),
        ("one-logit", Sigmoid, None, sigmoid, Sigmoid),
        ("one-sigmoid", Nothing, None, <[f32]>::to_vec, Sigmoid),
    ] {
        let head = head(name);
        let mut output = serde_json::json!({ "name": "output", "activation": activation });
        if let Some(applied) = applied {
            output["applied"] = applied.into();
        }
        let (actual, told) = head.probabilities(output);
        let difference = max_difference(&actual, &expected(&head.output));
        assert!(difference < 1e-5, "{name} {activation}: {actual:?}");
        assert_eq!(told, kind, "{name} {activation}");
    }
}

#[test]
fn what_is_read_otherwise_than_the_manifest_says_is_warned_about() {
    let warnings = |name, output| head(name).classifier(output, false).warnings().join("; ");
    let one = serde_json::json!({ "name": "output", "activation": "softmax" });
    let warning = warnings("one-logit", one.clone());
    assert!(warning.contains("a softmax over one class"), "{warning}");
    assert_eq!(warnings("logits", one), "");
    let other = serde_json::json!({ "name": "output", "activation": "none", "applied": "sigmoid" });
    let warning = warnings("softmax", other);
    assert!(
        warning.contains("is sigmoid, but the graph ends in softmax"),
        "{warning}"
    );
}

#[test]
fn a_packed_model_says_what_its_graph_ends_in() {
    for head in heads() {
        let onnx = bytes(&format!("{}.onnx", head.name));
        let labels: String = (0..head.classes)
            .map(|at| format!("class {at}\n"))
            .collect();
        let options = pack::Options::default();
        let packed = pack::pack(onnx.to_vec(), &labels, &options, &mut |_| ()).unwrap();
        let output = packed.manifest.output;
        let expected = match (head.ends, head.classes) {
            // Softmax makes probabilities of their logarithms too.
            _ if head.name == "log-softmax" => (Activation::Softmax, None),
            // Made of single operators: recognised by the scores, which sum to one.
            _ if head.name == "softmax-by-hand" => (Activation::None, Some(Activation::Softmax)),
            // With one class, a softmax is read as a sigmoid, and kept as one.
            (Some(_), 1) => (Activation::None, Some(Activation::Sigmoid)),
            (Some(ends), _) => (Activation::None, Some(ends)),
            (None, 1) => (Activation::Sigmoid, None),
            (None, _) => (Activation::Softmax, None),
        };
        assert_eq!(
            (output.activation, output.applied),
            expected,
            "{}",
            head.name
        );
        let guessed = packed.report.guesses.contains(&pack::Guess::Single);
        assert_eq!(guessed, head.name == "one-logit", "{}", head.name);
        let guessed = packed.report.guesses.contains(&pack::Guess::Activation);
        let open = expected == (Activation::Softmax, None) && head.name != "log-softmax";
        assert_eq!(guessed, open, "{}", head.name);
    }
    let onnx = bytes("one-logit.onnx");
    let options = pack::Options {
        activation: Some(Activation::Softmax),
        ..pack::Options::default()
    };
    let error = pack::pack(onnx.to_vec(), "cat", &options, &mut |_| ()).unwrap_err();
    assert_eq!(error.code(), "bad-option", "{error}");
}

#[test]
fn a_classification_does_not_fail_with_its_heatmap() {
    let output = serde_json::json!({ "name": "output", "activation": "softmax" });
    for (name, methods, method, code) in [
        ("voted", 5, Method::EigenCam, "unsupported-operator"),
        ("rounded", 5, Method::EigenCam, "unsupported-operator"),
        ("signed", 5, Method::EigenCam, "unsupported-operator"),
        ("flat", 2, Method::Occlusion, "unsupported-model"),
    ] {
        let head = head(name);
        let classifier = head.classifier(output.clone(), true);
        assert_eq!(classifier.methods().len(), methods, "{name}");
        let result = classifier
            .classify_tensor(&head.input(), &Query::default())
            .unwrap();
        let scores = max_difference(result.run.scores(), &head.output);
        assert!(scores < 1e-4, "{name}: scores differ by {scores}");
        let heatmap = result.heatmap.unwrap();
        assert_eq!(
            (heatmap.method, result.no_heatmap),
            (method, None),
            "{name}"
        );
        assert!(heatmap.max > 0.0, "{name}");
        // A method requested by name fails with its reason, which is not a bad option.
        let named = |query| Query {
            heatmap: Some(query),
            ..Query::default()
        };
        let gradcam = named(HeatmapQuery {
            method: Some(Method::GradCam),
            ..HeatmapQuery::default()
        });
        let error = classifier
            .classify_tensor(&head.input(), &gradcam)
            .unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
        let class = named(HeatmapQuery {
            class: Some(whylens::Class::Index(2)),
            ..HeatmapQuery::default()
        });
        let result = classifier.classify_tensor(&head.input(), &class).unwrap();
        assert_eq!(result.heatmap.unwrap().method, method, "{name}");
    }
}

#[test]
fn without_heatmaps_the_reason_is_in_the_result() {
    let head = head("logits");
    let output = serde_json::json!({ "name": "output", "activation": "softmax" });
    let classifier = head.classifier(output, false);
    assert!(classifier.methods().is_empty());
    let result = classifier
        .classify_tensor(&head.input(), &Query::default())
        .unwrap();
    assert_eq!(result.predictions[0].index, 3);
    let reason = result.no_heatmap.unwrap();
    assert_eq!(reason.code, "bad-option");
    assert!(
        reason.message.contains("loaded without heatmaps"),
        "{reason:?}"
    );
}

#[test]
fn a_run_belongs_to_the_classifier_that_ran() {
    let head = head("rounded");
    let output = serde_json::json!({ "name": "output", "activation": "softmax" });
    let [first, second] = [(); 2].map(|()| head.classifier(output.clone(), true));
    let query = HeatmapQuery::default();
    let result = first
        .classify_tensor(&head.input(), &Query::default())
        .unwrap();
    let foreign = second.heatmap(&result.run, &query).unwrap_err();
    assert_eq!(foreign.code(), "bad-option", "{foreign}");
    let again = second.run(result.run.photo().clone()).unwrap();
    assert_eq!(second.heatmap(&again, &query).ok(), result.heatmap);
    assert_eq!(again.scores(), result.run.scores());
}
