//! Maps of both signs, contrasts and Score-CAM against pytorch-grad-cam; the values are made by
//! `tests/golden/evidence/make.py` from the networks of `tests/golden/models`.

use std::collections::BTreeMap;

use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::{CheckQuery, Class, Classifier, Contrast, Fill, HeatmapQuery, Method, Query, Sign};

use super::models::{correlation, max_difference};
use super::networks::{self, Network, Slice};
use super::{golden, npy};

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    network: Network,
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

fn cases() -> Vec<Case> {
    serde_json::from_slice(golden("evidence/cases.json")).unwrap()
}

impl Case {
    fn classifier(&self) -> Classifier {
        let Case { network, .. } = self;
        networks::classifier(network.manifest(&network.layer), network.onnx())
    }
}

/// Compares the heatmaps that a query makes of every case with those expected.
fn compare(expected: impl Fn(&Case) -> Vec<(String, HeatmapQuery, &Slice)>) {
    let cases = cases();
    let values = npy::floats(golden("evidence/values.npy"));
    assert!(cases.len() > 6);
    for case in &cases {
        let classifier = case.classifier();
        let run = case.network.run(&classifier);
        for (what, query, slice) in expected(case) {
            let query = HeatmapQuery {
                class: Some(Class::Index(case.class)),
                ..query
            };
            let map = classifier.heatmap(&run, &query).unwrap();
            let wanted = slice.of(&values);
            assert_eq!(
                vec![map.height, map.width],
                slice.shape,
                "{} {what}",
                case.network.name
            );
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
                case.network.name
            );
            assert!(
                difference <= 0.01 && alike >= 0.999,
                "{} {what}: differs by {difference}, correlation {alike}",
                case.network.name
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
        let tensor = case.network.tensor();
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
        assert_eq!(named, case.alike, "{}", case.network.name);
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
        let tensor = case.network.tensor();
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
            println!(
                "{} {:?}: differs by {most:.1e}",
                case.network.name, expected.fill
            );
            // The linear system is solved there to the last bit, here to about an 8-bit step.
            let (curve, area) = match expected.fill {
                Fill::Linear => (0.02, 0.01),
                Fill::Blur | Fill::Mean => (1e-3, 1e-3),
            };
            assert!(
                most < curve,
                "{} {:?}: differs by {most}",
                case.network.name,
                expected.fill
            );
            assert!((found.deletion_area - expected.deletion_area).abs() < area);
            assert!((found.insertion_area - expected.insertion_area).abs() < area);
        }
    }
}
