//! Every method and sign against pytorch-grad-cam, captum, torch and SciPy, as a graph and as a plan; the values are made
//! by `tests/golden/methods/make.py` from the networks of `tests/golden/models`.

use std::collections::BTreeMap;

use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::internal::shrink;
use whylens::manifest::Precision;
use whylens::{Class, Classifier, Effort, FeaturesQuery, HeatmapQuery, Method, Run, Sign};

use super::models::{correlation, max_difference};
use super::networks::{self, Network, Slice};
use super::{golden, npy};

/// Maps by their signs.
type Signs = BTreeMap<String, Slice>;

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    network: Network,
    class: usize,
    grid: usize,
    masks: usize,
    seed: u64,
    steps: usize,
    maps: BTreeMap<Method, Signs>,
    smooth: BTreeMap<Method, Signs>,
    pooled: Slice,
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(golden("methods/cases.json")).unwrap()
}

fn values() -> Vec<f32> {
    npy::floats(golden("methods/values.npy"))
}

impl Case {
    /// The model with one layer, by its graph or by a plan.
    fn classifier(&self, layer: &str, planned: bool) -> Classifier {
        let manifest = self.network.manifest(layer);
        let mut onnx = self.network.onnx().to_vec();
        if planned {
            let kept = shrink::shrink(&onnx, &manifest, Precision::Fp32).unwrap();
            onnx = shrink::with_plan(&kept, &manifest).unwrap();
        }
        let classifier = networks::classifier(manifest, onnx);
        assert_eq!(
            classifier.unplanned().is_none(),
            planned,
            "{}",
            self.network.name
        );
        classifier
    }

    fn effort(&self, method: Method) -> Effort {
        let rise = method == Method::Rise;
        Effort {
            grid: rise.then_some(self.grid),
            masks: rise.then_some(self.masks),
            seed: rise.then_some(self.seed),
            steps: (method == Method::IntegratedGradients).then_some(self.steps),
            ..Effort::default()
        }
    }
}

/// Compares maps of a method with those expected; the sign of a principal component is arbitrary there.
fn compare(
    case: &Case,
    (classifier, run): (&Classifier, &Run),
    (method, effort): (Method, Effort),
    signs: &Signs,
    values: &[f32],
) {
    let made: Vec<_> = signs
        .iter()
        .map(|(name, slice)| {
            let sign = match name.as_str() {
                "for" => Sign::For,
                "against" => Sign::Against,
                _ => Sign::Both,
            };
            let query = HeatmapQuery {
                class: Some(Class::Index(case.class)),
                sign,
                method: Some(method),
                effort: effort.clone(),
                ..HeatmapQuery::default()
            };
            let map = classifier.heatmap(run, &query).unwrap();
            assert_eq!(vec![map.height, map.width], slice.shape);
            (name.as_str(), map, slice.of(values))
        })
        .collect();
    let component = matches!(method, Method::EigenCam | Method::EigenGradCam);
    let turned = |turn: f32| {
        let expected = |name: &str, wanted: &[f32]| -> Vec<f32> {
            let both = signs.get("both").map(|slice| slice.of(values));
            match (name, both) {
                ("for", Some(both)) if component => {
                    both.iter().map(|value| (turn * value).max(0.0)).collect()
                }
                ("against", Some(both)) => {
                    both.iter().map(|value| (-turn * value).max(0.0)).collect()
                }
                ("for", None) => wanted.iter().map(|value| (turn * value).max(0.0)).collect(),
                _ => wanted.iter().map(|value| turn * value).collect(),
            }
        };
        let compared = made.iter().map(|(name, map, wanted)| {
            let wanted = match component {
                true => expected(name, wanted),
                false => wanted.to_vec(),
            };
            let scale = wanted
                .iter()
                .fold(1e-12f32, |most, value| most.max(value.abs()));
            let difference = max_difference(&map.values, &wanted) / scale;
            (*name, difference, correlation(&map.values, &wanted))
        });
        compared.collect::<Vec<_>>()
    };
    let least = |all: &[(&str, f32, f64)]| all.iter().map(|one| one.2).fold(1.0, f64::min);
    let straight = turned(1.0);
    let found = match component {
        true if least(&straight) < 0.999 => turned(-1.0),
        _ => straight,
    };
    for (sign, difference, alike) in found {
        println!(
            "{} {method} {sign}: differs by {difference:.4}, correlation {alike:.6}",
            case.network.name
        );
        assert!(
            difference <= 0.01 && alike >= 0.999,
            "{} {method} {sign}: differs by {difference}, correlation {alike}",
            case.network.name
        );
    }
}

/// Methods at the model's layer, and RISE.
#[test]
fn every_method_and_sign_is_that_of_its_reference() {
    let values = values();
    assert!(cases().len() > 6);
    for case in &cases() {
        for planned in [false, true] {
            let classifier = case.classifier(&case.network.layer, planned);
            let run = case.network.run(&classifier);
            let methods = case.maps.iter();
            for (&method, signs) in methods.filter(|(m, _)| **m != Method::IntegratedGradients) {
                let how = (method, case.effort(method));
                compare(case, (&classifier, &run), how, signs, &values);
            }
            for (&method, signs) in &case.smooth {
                let effort = Effort {
                    smooth: true,
                    ..Effort::default()
                };
                compare(case, (&classifier, &run), (method, effort), signs, &values);
            }
        }
    }
}

#[test]
fn integrated_gradients_are_those_of_captum() {
    let values = values();
    for case in &cases() {
        let method = Method::IntegratedGradients;
        for planned in [false, true] {
            let classifier = case.classifier("input", planned);
            let run = case.network.run(&classifier);
            let how = (method, case.effort(method));
            compare(case, (&classifier, &run), how, &case.maps[&method], &values);
        }
        let classifier = case.classifier(&case.network.layer, true);
        let run = case.network.run(&classifier);
        let query = HeatmapQuery {
            method: Some(method),
            ..HeatmapQuery::default()
        };
        let refused = classifier.heatmap(&run, &query).unwrap_err();
        assert_eq!(refused.code(), "bad-option");
        assert!(
            refused.to_string().contains("name `input` as a layer"),
            "{refused}"
        );
    }
}

#[test]
fn features_are_those_of_torch() {
    let values = values();
    for case in &cases() {
        for planned in [false, true] {
            let classifier = case.classifier(&case.network.layer, planned);
            let run = case.network.run(&classifier);
            let pooled = classifier
                .features(&run, &FeaturesQuery::default())
                .unwrap();
            let wanted = case.pooled.of(&values);
            assert_eq!(
                (&pooled.layer, &pooled.shape),
                (&case.network.layer, &case.pooled.shape)
            );
            let scale = wanted
                .iter()
                .fold(1e-12f32, |most, value| most.max(value.abs()));
            let difference = max_difference(&pooled.values, wanted) / scale;
            assert!(
                difference < 1e-3,
                "{}: differs by {difference}",
                case.network.name
            );
            let query = FeaturesQuery {
                pooled: false,
                layer: Some(case.network.layer.clone()),
            };
            let map = classifier.features(&run, &query).unwrap();
            assert_eq!(map.shape[1..], case.maps[&Method::GradCam]["for"].shape);
            let query = FeaturesQuery {
                layer: Some("elsewhere".into()),
                ..query
            };
            let refused = classifier.features(&run, &query).unwrap_err();
            assert_eq!(refused.code(), "bad-option");
        }
    }
}

#[test]
fn methods_tell_what_they_cost() {
    let case = &cases()[0];
    let classifier = case.classifier(&case.network.layer, true);
    let channels = classifier.layers()[0].channels;
    let costs: BTreeMap<Method, usize> = classifier.costs().into_iter().collect();
    assert_eq!(costs[&Method::GradCam], 0);
    assert_eq!(costs[&Method::ScoreCam], channels);
    assert_eq!(costs[&Method::AblationCam], channels);
    assert_eq!(costs[&Method::Occlusion], 64);
    assert_eq!(costs[&Method::Rise], 500);
    assert_eq!(costs[&Method::IntegratedGradients], 20);
    let run = case.network.run(&classifier);
    let query = HeatmapQuery {
        method: Some(Method::Occlusion),
        effort: Effort {
            grid: Some(3),
            ..Effort::default()
        },
        ..HeatmapQuery::default()
    };
    let mut told = Vec::new();
    let map = classifier.heatmap_while(&run, &query, |done, of| {
        told.push((done, of));
        true
    });
    let map = map.unwrap();
    assert_eq!([map.height, map.width], [3, 3]);
    assert_eq!(told, (0..16).map(|done| (done, 16)).collect::<Vec<_>>());
}
