//! Stability of heatmaps against torch, and the JPEGs that it stores against Pillow; the values are made by
//! `tests/golden/evidence/stability.py`.

use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::{
    Change, Class, Classifier, HeatmapQuery, Limits, Manifest, Method, Options, Query, Stability,
    Steadiness, Tensor, decode,
};

use super::samples::MODEL;
use super::{golden, npy};

#[derive(Deserialize)]
struct Case {
    /// None: the default model.
    model: Option<String>,
    photo: String,
    layer: String,
    size: usize,
    class: usize,
    variants: Vec<Variant>,
}

#[derive(Deserialize)]
struct Variant {
    kind: String,
    correlation: f32,
    probability: f32,
}

impl Case {
    /// The middle of the photo as an input of -1 to 1.
    fn tensor(&self) -> Tensor {
        let pixels = npy::bytes(golden(&format!("{}.pixels.npy", self.photo)));
        let side = 224;
        let first = (side - self.size) / 2;
        let mut values = Vec::new();
        for c in 0..3 {
            for y in first..first + self.size {
                for x in first..first + self.size {
                    let level = f64::from(pixels[(y * side + x) * 3 + c]);
                    values.push(((level / 255.0 - 0.5) / 0.5) as f32);
                }
            }
        }
        Tensor {
            shape: vec![1, 3, self.size, self.size],
            values,
        }
    }

    fn classifier(&self) -> Classifier {
        let options = Options {
            heatmap: true,
            ..Options::default()
        };
        let file = |name: &str| MODEL.get_file(name).unwrap().contents();
        let Some(model) = &self.model else {
            let manifest = Manifest::parse(file("model.json")).unwrap().0;
            let (labels, onnx) = (file("labels.txt"), file("model.onnx"));
            return Classifier::new(manifest, labels, onnx, &options).unwrap();
        };
        let json = serde_json::json!({
            "format": 1, "name": model, "version": "1", "license": "MIT", "source": "made by the tests",
            "disclaimer": null,
            "weights": { "file": model, "bytes": 1, "sha256": "0".repeat(64), "precision": "fp32" },
            "input": { "name": "input", "layout": "nchw", "channels": "rgb", "width": self.size, "height": self.size,
                       "resize": { "mode": "exact", "filter": "bilinear" }, "crop": "none",
                       "scale": 1.0 / 255.0, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5] },
            "output": { "name": "output", "activation": "softmax" },
            "heatmap": { "layer": self.layer }, "labels": { "en": "labels.txt" }
        });
        let manifest = Manifest::parse(json.to_string().as_bytes()).unwrap().0;
        let labels = (0..10).map(|n| format!("class {n}\n")).collect::<String>();
        let onnx = golden(&format!("models/{model}"));
        Classifier::new(manifest, labels.as_bytes(), onnx, &options).unwrap()
    }

    fn found(&self) -> Stability {
        let classifier = self.classifier();
        let query = Query {
            heatmap: Some(HeatmapQuery {
                class: Some(Class::Index(self.class)),
                method: Some(Method::GradCam),
                ..HeatmapQuery::default()
            }),
            ..Query::default()
        };
        let result = classifier.classify_tensor(&self.tensor(), &query).unwrap();
        let (run, heatmap) = (result.run, result.heatmap.unwrap());
        let mut steadying = classifier.stability(&run, &heatmap).unwrap();
        assert_eq!(steadying.finish().unwrap_err().code(), "cancelled");
        while !classifier.stability_step(&run, &mut steadying).unwrap() {}
        steadying.finish().unwrap()
    }
}

#[test]
fn stability_is_that_of_torch() {
    let cases: Vec<Case> = serde_json::from_slice(golden("evidence/stability.json")).unwrap();
    assert!(cases.len() > 5);
    for case in &cases {
        let found = case.found();
        assert_eq!(found.variants.len(), case.variants.len());
        for (found, expected) in found.variants.iter().zip(&case.variants) {
            // Of the default model, the weights are in FP16.
            let apart = (found.correlation - expected.correlation).abs();
            let off = (found.probability - expected.probability).abs();
            println!(
                "{:?} {} {:?}: differs by {apart:.1e}, probability by {off:.1e}",
                case.model, case.photo, found.change
            );
            assert!(apart < 0.01, "{:?}: {apart}", found.change);
            assert!(off < 0.01, "{:?}: {off}", found.change);
            let kind = match found.change {
                Change::Shift { .. } => "shift",
                Change::Jpeg { .. } => "jpeg",
            };
            assert_eq!(kind, expected.kind);
        }
        let expected = match case.model.as_deref() {
            Some("mobilenet-v2.onnx") => Steadiness::Fragile,
            _ => Steadiness::Stable,
        };
        assert_eq!(found.verdict, expected, "{found:?}");
    }
}

#[test]
fn jpegs_are_those_of_pillow() {
    let case = Case {
        model: None,
        photo: "chelsea".into(),
        layer: String::new(),
        size: 224,
        class: 0,
        variants: Vec::new(),
    };
    let manifest = MODEL.get_file("model.json").unwrap().contents();
    let manifest = Manifest::parse(manifest).unwrap().0;
    let expected = decode(golden("evidence/jpegs.png"), &Limits::default()).unwrap();
    let each = expected.rgb.chunks_exact(224 * 224 * 3);
    for (quality, expected) in [75, 50].into_iter().zip(each) {
        let change = Change::Jpeg { quality };
        let seen = change.apply(&case.tensor(), &manifest.input).unwrap();
        let mut most = 0;
        for (at, &level) in expected.iter().enumerate() {
            let value = seen.values[at % 3 * 224 * 224 + at / 3];
            let found = ((f64::from(value) * 0.5 + 0.5) * 255.0).round() as i32;
            most = most.max((found - i32::from(level)).abs());
        }
        println!("quality {quality}: differs by {most} levels");
        assert_eq!(most, 0, "quality {quality}: differs by {most} levels");
    }
}
