//! A network of `tests/golden/models` and an input, as a case names them → its classifier; a place in a file of values →
//! these values.

use serde::Deserialize;
use whylens::{Classifier, Manifest, Options, Query, Run, Tensor};

use super::{golden, npy};

#[derive(Deserialize)]
pub struct Network {
    pub name: String,
    model: String,
    input: String,
    shape: Vec<usize>,
    activation: String,
    pub layer: String,
}

impl Network {
    pub fn tensor(&self) -> Tensor {
        Tensor {
            shape: self.shape.clone(),
            values: npy::floats(golden(&format!("models/{}", self.input))),
        }
    }

    pub fn onnx(&self) -> &'static [u8] {
        golden(&format!("models/{}", self.model))
    }

    /// With heatmaps at a layer.
    pub fn manifest(&self, layer: &str) -> Manifest {
        // The scores of the others are read as logits, so that there are probabilities.
        let activation = self.activation.replace("none", "softmax");
        let json = serde_json::json!({
            "format": 1, "name": self.name, "version": "1", "license": "MIT", "source": "made by the tests",
            "disclaimer": null,
            "weights": { "file": self.model, "bytes": 1, "sha256": "0".repeat(64), "precision": "fp32" },
            "input": { "name": "input", "layout": "nchw", "channels": "rgb", "width": self.shape[3],
                       "height": self.shape[2], "resize": { "mode": "exact", "filter": "bilinear" }, "crop": "none",
                       "scale": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1] },
            "output": { "name": "output", "activation": activation },
            "heatmap": { "layer": layer }, "labels": { "en": "labels.txt" }
        });
        Manifest::parse(json.to_string().as_bytes()).unwrap().0
    }

    /// A run on the input.
    pub fn run(&self, classifier: &Classifier) -> std::sync::Arc<Run> {
        let query = Query {
            heatmap: None,
            ..Query::default()
        };
        classifier
            .classify_tensor(&self.tensor(), &query)
            .unwrap()
            .run
    }
}

/// A classifier of ten classes with heatmaps.
pub fn classifier(manifest: Manifest, onnx: impl Into<Vec<u8>>) -> Classifier {
    let labels = (0..10).map(|n| format!("class {n}\n")).collect::<String>();
    let options = Options {
        heatmap: true,
        ..Options::default()
    };
    Classifier::new(manifest, labels.as_bytes(), onnx.into(), &options).unwrap()
}

#[derive(Deserialize)]
pub struct Slice {
    offset: usize,
    pub shape: Vec<usize>,
}

impl Slice {
    pub fn of<'a>(&self, values: &'a [f32]) -> &'a [f32] {
        &values[self.offset..][..self.shape.iter().product()]
    }
}
