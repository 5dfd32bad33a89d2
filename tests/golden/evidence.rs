//! Maps of both signs, contrasts and Score-CAM against pytorch-grad-cam; the values are made by
//! `tests/golden/evidence/make.py` from the networks of `tests/golden/models`.

use std::collections::BTreeMap;

use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::{
    CheckQuery, Class, Classifier, Contrast, Fill, HeatmapQuery, Manifest, Method, Options, Query,
    Sign, Tensor,
};

use super::models::{correlation, max_difference};
use super::{golden, npy};

#[derive(Deserialize)]
struct Case {
    name: String,
    model: String,
    input: String,
    shape: Vec<usize>,
    activation: String,
    layer: String,
    class: usize,
    other: usize,
    both: BTreeMap<Method, Slice>,
    difference: Slice,
    alike: Vec<usize>,
    finer: Slice,
    scorecam: Slice,
    checks: Vec<Expected>,
}

/// What a check of the Grad-CAM of `class` finds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expected {
    fill: Fill,
    steps: usize,
    orders: usize,
    seed: u64,
    deletion: Vec<f32>,
    insertion: Vec<f32>,
    random: Vec<Vec<f32>>,
    deletion_area: f32,
    insertion_area: f32,
    random_areas: Vec<f32>,
}

#[derive(Deserialize)]
struct Slice {
    offset: usize,
    shape: [usize; 2],
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(golden("evidence/cases.json")).unwrap()
}

impl Case {
    fn tensor(&self) -> Tensor {
        Tensor {
            shape: self.shape.clone(),
            values: npy::floats(golden(&format!("models/{}", self.input))),
        }
    }

    fn classifier(&self) -> Classifier {
        // The scores of the others are read as logits, so that there are probabilities to check.
        let activation = self.activation.replace("none", "softmax");
        let json = serde_json::json!({
            "format": 1, "name": self.name, "version": "1", "license": "MIT", "source": "made by the tests",
            "disclaimer": null,
            "weights": { "file": self.model, "bytes": 1, "sha256": "0".repeat(64), "precision": "fp32" },
            "input": { "name": "input", "layout": "nchw", "channels": "rgb", "width": self.shape[3],
                       "height": self.shape[2], "resize": { "mode": "exact", "filter": "bilinear" }, "crop": "none",
                       "scale": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1] },
            "output": { "name": "output", "activation": activation },
            "heatmap": { "layer": self.layer }, "labels": { "en": "labels.txt" }
        });
        let manifest = Manifest::parse(json.to_string().as_bytes()).unwrap().0;
        let labels = (0..10).map(|n| format!("class {n}\n")).collect::<String>();
        let onnx = golden(&format!("models/{}", self.model));
        let options = Options {
            heatmap: true,
            ..Options::default()
        };
        Classifier::new(manifest, labels.as_bytes(), onnx, &options).unwrap()
    }
}

/// Compares the heatmaps that a query makes of every case with those expected.
fn compare(expected: impl Fn(&Case) -> Vec<(String, HeatmapQuery, &Slice)>) {
    let cases = cases();
    let values = npy::floats(golden("evidence/values.npy"));
    assert!(cases.len() > 6);
    for case in &cases {
        let classifier = case.classifier();
        let tensor = case.tensor();
        let query = Query {
            heatmap: None,
            ..Query::default()
        };
        let run = classifier.classify_tensor(&tensor, &query).unwrap().run;
        for (what, query, slice) in expected(case) {
            let query = HeatmapQuery {
                class: Some(Class::Index(case.class)),
                ..query
            };
            let map = classifier.heatmap(&run, &query).unwrap();
            let wanted = &values[slice.offset..][..slice.shape.iter().product()];
            assert_eq!([map.height, map.width], slice.shape, "{} {what}", case.name);
            // The sign of a principal component is arbitrary there.
            let flipped: Vec<f32> = wanted.iter().map(|value| -value).collect();
            let wanted = match query.method {
                Some(Method::EigenGradCam) if correlation(&map.values, wanted) < 0.0 => &flipped,
                _ => wanted,
            };
            let scale = wanted
                .iter()
                .fold(0.0f32, |max, value| max.max(value.abs()));
            let difference = max_difference(&map.values, wanted) / scale;
            let alike = correlation(&map.values, wanted);
            println!(
                "{} {what}: differs by {difference:.4}, correlation {alike:.6}",
                case.name
            );
            assert!(
                difference <= 0.01 && alike >= 0.999,
                "{} {what}: differs by {difference}, correlation {alike}",
                case.name
            );
            assert!((map.max - scale).abs() <= 0.01 * scale);
        }
    }
}

#[test]
fn maps_of_both_signs_are_those_of_pytorch_grad_cam() {
    compare(|case| {
        let both = case.both.iter();
        both.map(|(&method, slice)| {
            let query = HeatmapQuery {
                sign: Sign::Both,
                method: Some(method),
                ..HeatmapQuery::default()
            };
            (method.to_string(), query, slice)
        })
        .collect()
    });
}

#[test]
fn contrasts_are_those_of_pytorch_grad_cam() {
    compare(|case| {
        let query = |contrast| HeatmapQuery {
            sign: Sign::Both,
            contrast: Some(contrast),
            method: Some(Method::GradCam),
            ..HeatmapQuery::default()
        };
        let other = Contrast::Class(Class::Index(case.other));
        vec![
            ("difference".into(), query(other), &case.difference),
            ("alike".into(), query(Contrast::Alike), &case.finer),
        ]
    });
}

#[test]
fn a_contrast_names_the_classes_that_it_compares_with() {
    for case in &cases() {
        let classifier = case.classifier();
        let tensor = case.tensor();
        let contrast = |contrast| {
            let heatmap = Some(HeatmapQuery {
                class: Some(Class::Index(case.class)),
                contrast: Some(contrast),
                ..HeatmapQuery::default()
            });
            let query = Query {
                heatmap,
                ..Query::default()
            };
            classifier.classify_tensor(&tensor, &query)
        };
        let heatmap = contrast(Contrast::Alike).unwrap().heatmap.unwrap();
        let named: Vec<_> = heatmap
            .contrast
            .iter()
            .map(|named| named.class_index)
            .collect();
        assert_eq!(named, case.alike, "{}", case.name);
        assert_eq!(
            heatmap.contrast[0].label,
            format!("class {}", case.alike[0])
        );
        let itself = contrast(Contrast::Class(Class::Index(case.class)));
        assert_eq!(itself.unwrap_err().code(), "bad-option");
    }
}

#[test]
fn score_cam_is_that_of_pytorch_grad_cam() {
    compare(|case| {
        let query = HeatmapQuery {
            method: Some(Method::ScoreCam),
            ..HeatmapQuery::default()
        };
        vec![("scorecam".into(), query, &case.scorecam)]
    });
}

#[test]
fn checks_are_those_of_numpy_and_onnx_runtime() {
    for case in &cases() {
        let classifier = case.classifier();
        let tensor = case.tensor();
        let query = Query {
            heatmap: Some(HeatmapQuery {
                class: Some(Class::Index(case.class)),
                method: Some(Method::GradCam),
                ..HeatmapQuery::default()
            }),
            ..Query::default()
        };
        let result = classifier.classify_tensor(&tensor, &query).unwrap();
        let heatmap = result.heatmap.unwrap();
        for expected in &case.checks {
            let query = CheckQuery {
                steps: expected.steps,
                orders: expected.orders,
                fill: expected.fill,
                seed: expected.seed,
            };
            let mut checking = classifier.check(&result.run, &heatmap, &query).unwrap();
            while !classifier.check_step(&mut checking).unwrap() {}
            let found = checking.finish().unwrap();
            let mut pairs = vec![
                (&found.deletion, &expected.deletion),
                (&found.insertion, &expected.insertion),
                (&found.random_areas, &expected.random_areas),
            ];
            pairs.extend(found.random.iter().zip(&expected.random));
            let most = pairs.iter().map(|(a, b)| max_difference(a, b));
            let most = most.fold(0.0, f32::max);
            println!("{} {:?}: differs by {most:.1e}", case.name, expected.fill);
            // The linear system is solved there to the last bit, here to about an 8-bit step.
            let (curve, area) = match expected.fill {
                Fill::Linear => (0.02, 0.01),
                Fill::Blur | Fill::Mean => (1e-3, 1e-3),
            };
            assert!(
                most < curve,
                "{} {:?}: differs by {most}",
                case.name,
                expected.fill
            );
            assert!((found.deletion_area - expected.deletion_area).abs() < area);
            assert!((found.insertion_area - expected.insertion_area).abs() < area);
        }
    }
}
