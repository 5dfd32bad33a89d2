//! The four test photographs against Pillow, torchvision, ONNX Runtime and pytorch-grad-cam; the
//! values are made by `tests/golden/make.py`. Natively and, as visitors run it, on wasm32.

use std::sync::Mutex;

use include_dir::{Dir, include_dir};
use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::{
    Class, Classifier, Error, HeatmapQuery, Limits, Manifest, Options, Query, Region, Tensor,
    decode, preprocess,
};

use super::{golden, npy};

static PHOTOS: Dir = include_dir!("$CARGO_MANIFEST_DIR/tests/photos");
pub static MODEL: Dir = include_dir!("$CARGO_MANIFEST_DIR/models/efficientnet-lite0");

#[derive(Deserialize)]
struct Golden {
    samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    file: String,
    image: Size,
    region: Region,
    pixels: String,
    logits: Logits,
    predictions: Vec<Prediction>,
    heatmaps: Vec<Heatmap>,
}

#[derive(Deserialize)]
struct Size {
    width: u32,
    height: u32,
}

#[derive(Deserialize)]
struct Logits {
    fp16: String,
    fp32: String,
}

#[derive(Deserialize)]
struct Prediction {
    index: usize,
    label: String,
    probability: f32,
    score: f32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Heatmap {
    class_index: usize,
    layer: String,
    max: f32,
    raw: String,
}

fn file(folder: &Dir<'static>, name: &str) -> &'static [u8] {
    let file = folder.get_file(name);
    file.unwrap_or_else(|| panic!("no {name}")).contents()
}

fn samples() -> Vec<Sample> {
    let golden = serde_json::from_slice::<Golden>(golden("samples.json"));
    golden.unwrap().samples
}

impl Sample {
    fn photo(&self) -> &'static [u8] {
        file(&PHOTOS, self.file.strip_prefix("tests/photos/").unwrap())
    }
}

fn floats(name: &str) -> Vec<f32> {
    npy::floats(golden(name))
}

fn manifest() -> Manifest {
    Manifest::parse(file(&MODEL, "model.json")).unwrap().0
}

/// One model for all tests of this file, as loading it takes most of their time.
fn with_classifier<R>(test: impl FnOnce(&Classifier) -> R) -> R {
    static SHARED: Mutex<Option<Classifier>> = Mutex::new(None);
    let mut shared = SHARED
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let classifier = shared.get_or_insert_with(|| {
        let options = Options {
            heatmap: true,
            ..Options::default()
        };
        Classifier::new(
            manifest(),
            file(&MODEL, "labels.txt"),
            file(&MODEL, "model.onnx"),
            &options,
        )
        .unwrap()
    });
    test(classifier)
}

#[track_caller]
fn max_difference(actual: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(actual.len(), expected.len());
    actual
        .iter()
        .zip(expected)
        .map(|(a, e)| (a - e).abs())
        .fold(0.0, f32::max)
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |v: &[f32]| v.iter().map(|&v| f64::from(v)).sum::<f64>() / v.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a) - mean_a, f64::from(b) - mean_b);
        (ab, aa, bb) = (ab + a * b, aa + a * a, bb + b * b);
    }
    ab / (aa * bb).sqrt()
}

#[test]
fn input_tensors_are_those_of_pillow_and_torchvision() {
    let manifest = manifest();
    for sample in samples() {
        let image = decode(sample.photo(), &Limits::default()).unwrap();
        assert_eq!(
            (image.width, image.height),
            (sample.image.width, sample.image.height)
        );
        let (tensor, region) = preprocess(&image, &manifest.input).unwrap();
        assert_eq!(tensor.shape, [1, 3, 224, 224]);
        let pixels = npy::bytes(golden(&sample.pixels));
        let plane = 224 * 224;
        let expected: Vec<f32> = (0..3 * plane)
            .map(|i| (f32::from(pixels[i % plane * 3 + i / plane]) / 255.0 - 0.5) / 0.5)
            .collect();
        let difference = max_difference(&tensor.values, &expected);
        println!(
            "{}: input differs by {:.2} / 255 / std",
            sample.file,
            difference * 255.0 * 0.5
        );
        assert!(
            difference <= 2.0 / 255.0 / 0.5 + 1e-6,
            "{}: {difference}",
            sample.file
        );
        let edges = |r: Region| [r.x as f32, r.y as f32, r.width as f32, r.height as f32];
        assert!(
            max_difference(&edges(region), &edges(sample.region)) < 1e-3,
            "{region:?}"
        );
    }
}

#[test]
fn logits_are_those_of_onnx_runtime_on_the_same_tensor() {
    for sample in samples() {
        let pixels = npy::bytes(golden(&sample.pixels));
        let plane = 224 * 224;
        let values = (0..3 * plane)
            .map(|i| (f32::from(pixels[i % plane * 3 + i / plane]) / 255.0 - 0.5) / 0.5);
        let tensor = Tensor {
            shape: vec![1, 3, 224, 224],
            values: values.collect(),
        };
        with_classifier(|classifier| {
            let query = Query {
                heatmap: None,
                ..Query::default()
            };
            let result = classifier.classify_tensor(&tensor, &query).unwrap();
            let scores = result.run.scores();
            let exact = max_difference(scores, &floats(&sample.logits.fp16));
            let halved = max_difference(scores, &floats(&sample.logits.fp32));
            println!(
                "{}: logits differ by {exact:.1e}, from FP32 weights by {halved:.1e}",
                sample.file
            );
            assert!(exact <= 1e-3, "{}: {exact}", sample.file);
        });
    }
}

#[test]
fn the_five_best_are_those_of_python() {
    for sample in samples() {
        let query = Query {
            heatmap: None,
            ..Query::default()
        };
        let result = with_classifier(|classifier| {
            classifier.classify(sample.photo(), &Limits::default(), &query)
        })
        .unwrap();
        assert_eq!(result.predictions.len(), 5);
        for (actual, expected) in result.predictions.iter().zip(&sample.predictions) {
            assert_eq!(
                (actual.index, &actual.label),
                (expected.index, &expected.label),
                "{}",
                sample.file
            );
            assert!(
                (actual.probability - expected.probability).abs() <= 0.01,
                "{}: {actual:?}",
                sample.file
            );
            assert!(
                (actual.score - expected.score).abs() <= 0.1,
                "{}: {actual:?}",
                sample.file
            );
        }
    }
}

#[test]
fn heatmaps_are_those_of_pytorch_grad_cam() {
    for sample in samples() {
        for golden in &sample.heatmaps {
            let class = Some(Class::Index(golden.class_index));
            let heatmap = Some(HeatmapQuery {
                class,
                ..HeatmapQuery::default()
            });
            let query = Query {
                heatmap,
                ..Query::default()
            };
            let result = with_classifier(|classifier| {
                classifier.classify(sample.photo(), &Limits::default(), &query)
            });
            let heatmap = result.unwrap().heatmap.unwrap();
            assert_eq!(
                (&heatmap.layer, heatmap.class_index),
                (&golden.layer, golden.class_index)
            );
            let scaled =
                |values: &[f32], max: f32| values.iter().map(|v| v / max).collect::<Vec<_>>();
            let actual = scaled(&heatmap.values, heatmap.max);
            let expected = scaled(&floats(&golden.raw), golden.max);
            let (difference, correlation) = (
                max_difference(&actual, &expected),
                correlation(&actual, &expected),
            );
            println!(
                "{} {}: differs by {difference:.4}, correlation {correlation:.6}",
                sample.file, golden.raw
            );
            assert!(difference <= 0.01, "{}: {difference}", golden.raw);
            assert!(correlation >= 0.999, "{}: {correlation}", golden.raw);
        }
    }
}

#[test]
fn a_bad_photo_leaves_the_classifier_usable() {
    let query = Query::default();
    let classify = |photo: &[u8]| {
        with_classifier(|classifier| classifier.classify(photo, &Limits::default(), &query))
    };
    let bad = classify(b"no picture");
    assert!(matches!(bad, Err(Error::ImageFormat(_))), "{bad:?}");
    let good = classify(file(&PHOTOS, "coffee.png")).unwrap();
    assert_eq!(good.predictions[0].label, "espresso");
}
