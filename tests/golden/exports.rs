//! Classifiers as tools export them, packed with no option but their labels; the values are made by
//! `tests/golden/exports/make_exports.py`. Natively and on wasm32.

use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::internal::adapt::{self, Known};
use whylens::manifest::{Activation, Precision};
use whylens::pack::{self, Guess, Packed};
use whylens::{Class, Classifier, HeatmapQuery, Method, Model, Options, Query, Sign, Tensor};

use super::models::max_difference;
use super::{golden, npy};

/// A graph of `tests/golden/exports`.
#[derive(Deserialize)]
struct Export {
    name: String,
    /// Shape of the packed model's input.
    shape: Vec<usize>,
    labels: String,
    #[serde(default)]
    options: pack::Options,
    /// Code of the error and a part of its text, if it cannot be packed.
    error: Option<(String, String)>,
    #[serde(default)]
    kept: Vec<String>,
    /// In class order.
    #[serde(default)]
    probabilities: Vec<f32>,
    kind: Option<Activation>,
    /// Grad-CAM of each class.
    #[serde(default)]
    maps: Vec<Vec<f32>>,
    /// Grad-CAM for and against the only class.
    #[serde(default)]
    signed: Vec<Vec<f32>>,
    /// Names of the outputs that may hold the scores, if this is open.
    heads: Option<Vec<String>>,
    /// Whether the graph takes pixels from 0 to 255.
    #[serde(default)]
    pixels: bool,
}

fn exports() -> Vec<Export> {
    serde_json::from_slice(golden("exports/cases.json")).unwrap()
}

impl Export {
    fn onnx(&self) -> Vec<u8> {
        golden(&format!("exports/{}.onnx", self.name)).to_vec()
    }

    fn pack(&self) -> whylens::Result<Packed> {
        let options = pack::Options {
            precision: Some(Precision::Fp32),
            ..self.options.clone()
        };
        pack::pack(self.onnx(), &self.labels, &options, &mut |_| ())
    }

    fn input(&self) -> Tensor {
        Tensor {
            shape: self.shape.clone(),
            values: npy::floats(golden(&format!("exports/{}.npy", self.name))),
        }
    }
}

/// Largest difference that another order of summation makes.
const MOST: f32 = 2e-5;

#[test]
fn what_tools_export_gives_the_probabilities_of_onnx_runtime() {
    let mut failures = Vec::new();
    for export in exports().iter().filter(|export| export.error.is_none()) {
        let Packed {
            manifest,
            onnx,
            labels,
            report,
        } = match export.pack() {
            Ok(packed) => packed,
            Err(error) => {
                failures.push(format!("{}: {error}", export.name));
                continue;
            }
        };
        let options = Options {
            heatmap: true,
            ..Options::default()
        };
        let input = export.input();
        let planned = Model::planned(&onnx, &manifest, &options).unwrap();
        let scores = planned.map(|model| model.forward(&input).unwrap().scores);
        let classifier = Classifier::new(manifest, labels.as_bytes(), &onnx, &options).unwrap();
        let query = Query {
            heatmap: None,
            top_k: export.kept.len(),
            ..Query::default()
        };
        let result = classifier.classify_tensor(&input, &query).unwrap();
        let mut predictions = result.predictions;
        predictions.sort_by_key(|prediction| prediction.index);
        let found: Vec<f32> = predictions.iter().map(|p| p.probability).collect();
        let difference = max_difference(&found, &export.probabilities);
        let reading = (classifier.labels(), Some(result.model.activation));
        let name = &export.name;
        if reading != (&export.kept[..], export.kind) {
            failures.push(format!("{name}: read as {reading:?}"));
        }
        if found.len() != export.probabilities.len() || difference.is_nan() || difference > MOST {
            failures.push(format!("{name}: differs by {difference:.1e}: {found:?}"));
        }
        // A cast to whole numbers has no plan.
        match scores {
            Some(scores) if max_difference(&scores, result.run.scores()) > MOST => {
                failures.push(format!("{name}: its plan gives a different score"));
            }
            None if name != "uint8-dequantised" => {
                failures.push(format!("{name}: no plan: {:?}", report.unplanned));
            }
            _ => {}
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_cannot_be_known_is_said() {
    for export in exports() {
        let Some((code, text)) = &export.error else {
            continue;
        };
        let error = export.pack().unwrap_err();
        assert_eq!(error.code(), code, "{}: {error}", export.name);
        assert!(error.to_string().contains(text), "{}: {error}", export.name);
    }
}

#[test]
fn both_sides_of_a_score_have_a_heatmap() {
    let mut seen = 0;
    for export in exports() {
        let sides = export.maps.iter().enumerate();
        let sides = sides.map(|(class, map)| (class, Sign::For, map));
        let signed = [Sign::For, Sign::Against].into_iter().zip(&export.signed);
        let signed = signed.map(|(sign, map)| (0, sign, map));
        let expected: Vec<_> = sides.chain(signed).collect();
        if expected.is_empty() {
            continue;
        }
        let Packed {
            manifest,
            onnx,
            labels,
            ..
        } = export.pack().unwrap();
        let options = Options {
            heatmap: true,
            ..Options::default()
        };
        let classifier = Classifier::new(manifest, labels.as_bytes(), &onnx, &options).unwrap();
        let plain = Query {
            heatmap: None,
            ..Query::default()
        };
        let result = classifier.classify_tensor(&export.input(), &plain).unwrap();
        for (class, sign, expected) in expected {
            let query = |method| HeatmapQuery {
                class: Some(Class::Index(class)),
                sign,
                method,
                ..HeatmapQuery::default()
            };
            let map = classifier.heatmap(&result.run, &query(None)).unwrap();
            assert_eq!((map.method, map.sign), (Method::GradCam, sign));
            let difference = max_difference(&map.values, expected);
            assert!(
                difference < MOST,
                "{} {class} {sign:?}: {difference}",
                export.name
            );
            assert!(map.max > 0.0, "{} {class} {sign:?}", export.name);
            let fall = classifier.heatmap(&result.run, &query(Some(Method::Occlusion)));
            assert_eq!(fall.unwrap().sign, sign);
            let same = classifier.heatmap(&result.run, &query(Some(Method::EigenCam)));
            assert_eq!(same.is_err(), sign == Sign::Against);
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
}

#[test]
fn a_look_into_a_graph_tells_what_to_choose_from() {
    for export in exports().iter().filter(|export| export.error.is_none()) {
        let found = pack::inspect(export.onnx(), &export.options).unwrap();
        let names: Vec<&String> = found.heads.iter().map(|head| &head.name).collect();
        let asked = found.guesses.contains(&Guess::Output);
        let name = &export.name;
        match &export.heads {
            Some(heads) => assert!(
                asked && names.iter().copied().eq(heads),
                "{name}: {names:?}"
            ),
            None if name == "distilled" => assert_eq!(names.len(), 3, "{name}: {names:?}"),
            None => assert!(!asked && names.len() == 1, "{name}: {names:?}"),
        }
        let side = found.manifest.input.width as usize;
        assert!(export.shape.contains(&side), "{name}: {side}");
        let pixels = (
            found.manifest.input.scale,
            found.guesses.contains(&Guess::Pixels),
        );
        assert_eq!(pixels == (1.0, false), export.pixels, "{name}");
        let opacity = found.guesses.contains(&Guess::Opacity);
        assert_eq!(opacity, name == "opaque", "{name}");
    }
    let dictionary = exports()
        .into_iter()
        .find(|export| export.name == "dictionary")
        .unwrap();
    let found = pack::inspect(dictionary.onnx(), &dictionary.options).unwrap();
    assert_eq!(found.labels, Some(dictionary.kept));
}

/// Files with some bytes changed, the same in each run; none may cause a panic.
#[test]
fn damaged_files_are_refused_or_adapted() {
    let (mut state, mut adapted, mut refused) = (1u64, 0, 0);
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for export in exports() {
        for _ in 0..200 {
            let mut onnx = export.onnx();
            // Names and shapes are at the ends.
            for _ in 0..1 + next(4) {
                let end = next(600.min(onnx.len()));
                let at = if next(2) == 0 {
                    end
                } else {
                    onnx.len() - 1 - end
                };
                onnx[at] = next(256) as u8;
            }
            match adapt::adapt(onnx, &Known::default()) {
                Ok(_) => adapted += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(adapted > 100 && refused > 100, "{adapted} {refused}");
}

#[test]
fn an_output_is_taken_by_its_name() {
    let export = exports()
        .into_iter()
        .find(|export| export.name == "distilled")
        .unwrap();
    let pack = |output: &str| {
        let options = pack::Options {
            output: Some(output.into()),
            ..pack::Options::default()
        };
        pack::pack(export.onnx(), &export.labels, &options, &mut |_| ())
    };
    assert_eq!(pack("head_dist").unwrap().manifest.output.name, "head_dist");
    let error = pack("nothing").unwrap_err();
    assert_eq!(error.code(), "bad-option");
    assert!(error.to_string().contains("no output `nothing`"), "{error}");
}
