//! `model.json` → what a model needs to be used.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::language;
pub use crate::language::Text;

/// The format number that this version reads and writes.
pub const FORMAT: u32 = 1;

/// Most bytes of a `model.json`, and of a file of labels.
pub const MOST_TEXT: u64 = 16_000_000;

/// Unknown fields that are warned about one by one.
const MOST_WARNINGS: usize = 20;

/// The whole of `model.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format number of the file, [`FORMAT`].
    pub format: u32,
    /// Name shown to people.
    pub name: String,
    /// Version of the model, free text.
    pub version: String,
    /// SPDX licence expression of the weights.
    pub license: String,
    /// Where the weights come from.
    pub source: String,
    /// Sentence shown beside every result, such as that it is not a diagnosis.
    pub disclaimer: Option<String>,
    /// Sentence shown in place of a class where no probability reaches `output.threshold`. May be absent.
    #[serde(
        rename = "notRecognised",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub not_recognised: Option<Text>,
    /// The ONNX file.
    pub weights: Weights,
    /// What the input tensor holds.
    pub input: Input,
    /// What the output tensor holds.
    pub output: Output,
    /// Where heatmaps are taken.
    pub heatmap: Heatmap,
    /// Language tag → file with one label per line, in class order.
    pub labels: BTreeMap<String, String>,
}

/// The ONNX file of a model folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// File name, relative to `model.json`.
    pub file: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// How weights are stored in the file; arithmetic is always FP32.
    pub precision: Precision,
    /// Number of weights, where the size of the file does not tell it: quantised ones take fewer bytes than
    /// in FP32, and some files hold both FP16 and FP32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// Version of the plan in the file, if it holds one; [`PLAN`](crate::model::PLAN) is understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<u32>,
    /// Why it holds none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unplanned: Option<String>,
    /// What the plan needs in a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// The files that hold the weights one after the other, if a single file would be too large for a host;
    /// empty: `file` holds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// The same bytes, smaller, for pages (`www/worker/planes.js`); everybody else reads `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planes: Option<Part>,
}

/// The most memory in bytes that a model needs at any time, for its weights and for the values of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Without heatmaps.
    pub classify: u64,
    /// With heatmaps, if there can be any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<u64>,
    /// For each thread but the first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub thread: u64,
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

/// A piece of the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// File name, relative to `model.json`.
    pub file: String,
    /// Size of the file in bytes.
    pub bytes: u64,
}

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// IEEE 754 half precision.
    Fp16,
    /// IEEE 754 single precision.
    Fp32,
}

/// How an image becomes the input tensor: value = (pixel × scale − mean) / std.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Name of the graph's input.
    pub name: String,
    /// Axis order of the graph's input.
    pub layout: Layout,
    /// Colour channels and their order.
    pub channels: Channels,
    /// Width of the input in pixels.
    pub width: u32,
    /// Height of the input in pixels.
    pub height: u32,
    /// How the image is brought to size.
    pub resize: Resize,
    /// What is cut out of the resized image.
    pub crop: Crop,
    /// Factor applied to pixels (0..=255) first; 1/255 for most models.
    pub scale: f64,
    /// Subtracted after scaling, one value per channel, in the tensor's channel order.
    pub mean: Vec<f64>,
    /// Divided by last, one value per channel, in the tensor's channel order.
    pub std: Vec<f64>,
}

impl Input {
    /// Shape of the input tensor, batch of one, in the order of `layout`.
    pub fn shape(&self) -> [usize; 4] {
        let (channels, height, width) = (
            self.channels.count(),
            self.height as usize,
            self.width as usize,
        );
        match self.layout {
            Layout::Nchw => [1, channels, height, width],
            Layout::Nhwc => [1, height, width, channels],
        }
    }
}

/// Axis order of a batch of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// Colour channels of the input tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One channel: ITU-R 601-2 luma as Pillow's mode `L`.
    Grey,
}

impl Channels {
    /// Number of channels in the tensor.
    pub fn count(self) -> usize {
        if self == Channels::Grey { 1 } else { 3 }
    }
}

/// How the image is brought to size before the crop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    /// How the image's aspect ratio is treated.
    pub mode: ResizeMode,
    /// Length in pixels of the shorter side for `shorter-side`, of both sides for `exact`. Absent: the input's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Resampling filter.
    pub filter: Filter,
    /// Whether `bilinear` and `bicubic` use all pixels, as Pillow does, or only the nearest two or four on
    /// each axis, as torch, TensorFlow and OpenCV do. Absent: all.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub antialias: bool,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_yes(value: &bool) -> bool {
    *value
}

/// How the image's aspect ratio is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResizeMode {
    /// The shorter side becomes `size`, the aspect ratio is kept.
    ShorterSide,
    /// Stretched to the input's width and height, or to a square of `size` that the middle is cut from.
    Exact,
    /// The whole image fits into the input, the rest is padded with black.
    Fit,
}

/// Resampling filters: Pillow's, by its names, and `area`, which is OpenCV's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names are the definition
pub enum Filter {
    Nearest,
    Box,
    Bilinear,
    Bicubic,
    Lanczos,
    Area,
}

impl Resize {
    /// Whether the result has values between the levels of pixels.
    pub fn is_sampled(&self) -> bool {
        match self.filter {
            Filter::Area => true,
            Filter::Bilinear | Filter::Bicubic => !self.antialias,
            _ => false,
        }
    }
}

/// What is cut out of the resized image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Crop {
    /// The middle, of the input's width and height.
    Center,
    /// Nothing is cut; the resize must give the input's size.
    None,
}

/// What the output tensor holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Name of the graph's output.
    pub name: String,
    /// What still has to be applied to the graph's output to get probabilities.
    pub activation: Activation,
    /// What makes probabilities at the end of the graph itself, `softmax` or `sigmoid`; `activation` is
    /// `none` then. May be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Activation>,
    /// Unit of the output's numbers, such as `years`, if they are not probabilities. May be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Least probability, 0..=1, that the first class needs for a photo to count as recognised. May be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

/// From scores to probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// One class of many.
    Softmax,
    /// Each class on its own (multi-label).
    Sigmoid,
    /// Nothing: the output is taken as it is.
    None,
}

impl fmt::Display for Activation {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// Where heatmaps are taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heatmap {
    /// Name of an ONNX tensor, or none to find one.
    pub layer: Option<String>,
    /// Other places to choose from, in order of computation; may be absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
}

/// A spatial map inside the graph at which heatmaps are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Name of the ONNX tensor.
    pub name: String,
    /// Number of channels.
    pub channels: usize,
    /// Rows of the map.
    pub height: usize,
    /// Columns of the map.
    pub width: usize,
}

impl Manifest {
    /// Reads `model.json`. Returns the manifest and a warning for each unknown field.
    ///
    /// # Errors
    /// [`Error::BadManifest`] with the path of the field that is missing or wrong.
    pub fn parse(json: &[u8]) -> Result<(Manifest, Vec<String>)> {
        let mut warnings = Vec::new();
        let mut ignored = 0usize;
        let mut json = serde_json::Deserializer::from_slice(json);
        let mut unknown = |path: serde_ignored::Path| {
            ignored += 1;
            if ignored <= MOST_WARNINGS {
                warnings.push(format!("model.json: unknown field `{path}` is ignored"));
            }
        };
        let mut track = serde_path_to_error::Track::new();
        let manifest: Manifest = Manifest::deserialize(serde_ignored::Deserializer::new(
            serde_path_to_error::Deserializer::new(&mut json, &mut track),
            &mut unknown,
        ))
        .map_err(|error| {
            let path = track.path().to_string();
            let place = if path == "." {
                String::new()
            } else {
                format!(" at `{path}`")
            };
            Error::BadManifest(format!("model.json{place}: {error}"))
        })?;
        json.end()
            .map_err(|error| Error::BadManifest(format!("model.json: {error}")))?;
        manifest.check()?;
        if ignored > MOST_WARNINGS {
            let more = ignored - MOST_WARNINGS;
            warnings.push(format!(
                "model.json: {more} more unknown fields are ignored"
            ));
        }
        Ok((manifest, warnings))
    }

    /// Checks what the types alone cannot.
    fn check(&self) -> Result<()> {
        let bad = |message: String| Err(Error::BadManifest(format!("model.json: {message}")));
        let input = &self.input;
        if self.format != FORMAT {
            return bad(format!("`format` is {}, expected {FORMAT}", self.format));
        }
        for (name, value) in [("width", input.width), ("height", input.height)] {
            if !(1..=4096).contains(&value) {
                return bad(format!("`input.{name}` is {value}, expected 1 to 4096"));
            }
        }
        if let Some(size) = input.resize.size
            && !(1..=8192).contains(&size)
        {
            return bad(format!("`input.resize.size` is {size}, expected 1 to 8192"));
        }
        for (name, values) in [("mean", &input.mean), ("std", &input.std)] {
            if values.len() != input.channels.count() {
                let (actual, expected) = (values.len(), input.channels.count());
                return bad(format!(
                    "`input.{name}` has {actual} values, expected {expected}, one per channel"
                ));
            }
        }
        let finite = |value: &f64| value.is_finite() && (*value as f32).is_finite();
        if !finite(&input.scale) || input.scale == 0.0 || !input.mean.iter().all(finite) {
            return bad(
                "`input.scale` and `input.mean` must be finite, and the scale not zero".into(),
            );
        }
        if !input.std.iter().all(|std| finite(std) && *std as f32 > 0.0) {
            return bad("every value of `input.std` must be greater than zero".into());
        }
        if self.weights.sha256.len() != 64
            || !self
                .weights
                .sha256
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        {
            return bad("`weights.sha256` must be 64 lower-case hexadecimal digits".into());
        }
        let parts = &self.weights.parts;
        let (whole, sum) = (self.weights.bytes, sum(parts));
        if !parts.is_empty() && sum != Some(whole) {
            return bad(format!(
                "`weights.parts` have {} bytes together, `weights.bytes` is {whole}",
                sum.map_or("too many".into(), |sum| sum.to_string())
            ));
        }
        let mut files = BTreeSet::new();
        if let Some(twice) = parts.iter().find(|part| !files.insert(&part.file)) {
            return bad(format!("`weights.parts` names `{}` twice", twice.file));
        }
        match (self.output.activation, self.output.applied) {
            (_, Some(Activation::None)) => {
                return bad("`output.applied` is softmax or sigmoid, or absent".into());
            }
            (Activation::Softmax | Activation::Sigmoid, Some(_)) => {
                return bad(
                    "`output.activation` is what is still to be applied: `none` beside `output.applied`".into(),
                );
            }
            _ => {}
        }
        if let Some(threshold) = self.output.threshold
            && !(0.0..=1.0).contains(&threshold)
        {
            return bad(format!(
                "`output.threshold` is {threshold}, expected 0 to 1"
            ));
        }
        if self.not_recognised.is_some() && self.output.threshold.is_none() {
            return bad("`notRecognised` needs `output.threshold`".into());
        }
        if self.labels.is_empty() {
            return bad("`labels` names no file".into());
        }
        let planes = &self.weights.planes;
        let part_files = parts.iter().chain(planes).map(|part| &part.file);
        for file in self
            .labels
            .values()
            .chain([&self.weights.file])
            .chain(part_files)
        {
            // A page loads the reader's own model from addresses that are valid only in this page.
            if cfg!(target_arch = "wasm32") && file.starts_with("blob:") {
                continue;
            }
            if file.is_empty()
                || file.contains(['/', '\\', ':', '?', '#', '%', '\0'])
                || file.starts_with('.')
            {
                return bad(format!(
                    "`{file}` is not the plain name of a file in the model folder"
                ));
            }
        }
        Ok(())
    }

    /// Language and file of the labels for the first of `languages` that has one; otherwise those in English, or
    /// the first.
    pub fn label_file(&self, languages: &[String]) -> (&str, &str) {
        language::spoken(&self.labels, languages).unwrap_or_default()
    }

    /// Leaves only the sentence for these languages.
    pub fn speak(&mut self, languages: &[String]) {
        if let Some(text) = &mut self.not_recognised {
            *text = text.spoken(languages).unwrap_or_default().into();
        }
    }
}

/// Bytes of all parts; none when they overflow.
fn sum(parts: &[Part]) -> Option<u64> {
    parts
        .iter()
        .try_fold(0u64, |sum, part| sum.checked_add(part.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json() -> serde_json::Value {
        serde_json::json!({
            "format": 1, "name": "n", "version": "1", "license": "MIT", "source": "s", "disclaimer": null,
            "weights": { "file": "model.onnx", "bytes": 1, "sha256": "0".repeat(64), "precision": "fp16" },
            "input": { "name": "input", "layout": "nchw", "channels": "rgb", "width": 8, "height": 8,
                       "resize": { "mode": "shorter-side", "size": 9, "filter": "bicubic" }, "crop": "center",
                       "scale": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1] },
            "output": { "name": "logits", "activation": "softmax" },
            "heatmap": { "layer": null },
            "labels": { "en": "labels.txt", "vi": "labels.vi.txt" }
        })
    }

    #[track_caller]
    fn parse(change: impl FnOnce(&mut serde_json::Value)) -> Result<(Manifest, Vec<String>)> {
        let mut json = json();
        change(&mut json);
        Manifest::parse(json.to_string().as_bytes())
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut serde_json::Value), text: &str) {
        let error = parse(change).unwrap_err();
        assert_eq!(error.code(), "bad-manifest");
        assert!(error.to_string().contains(text), "{error}");
    }

    #[test]
    fn reads_the_documented_format() {
        let (manifest, warnings) = parse(|_| ()).unwrap();
        assert_eq!(manifest.input.resize.size, Some(9));
        assert!(warnings.is_empty());
    }

    #[test]
    fn unknown_fields_are_warned_about_with_their_path() {
        let (_, warnings) = parse(|json| json["input"]["colour"] = "blue".into()).unwrap();
        assert_eq!(
            warnings,
            ["model.json: unknown field `input.colour` is ignored"]
        );
    }

    #[test]
    fn a_missing_field_is_named() {
        refused(
            |json| drop(json["input"].as_object_mut().unwrap().remove("scale")),
            "missing field `scale`",
        );
        refused(
            |json| json["input"]["layout"] = "nchv".into(),
            "`input.layout`",
        );
    }

    #[test]
    fn values_that_cannot_work_are_refused() {
        refused(
            |json| json["input"]["mean"] = serde_json::json!([0.5]),
            "has 1 values, expected 3",
        );
        refused(
            |json| json["input"]["std"] = serde_json::json!([1, 0, 1]),
            "greater than zero",
        );
        refused(
            |json| json["weights"]["file"] = "../secret".into(),
            "plain name",
        );
        refused(|json| json["format"] = 2.into(), "expected 1");
        refused(
            |json| json["output"]["applied"] = "sigmoid".into(),
            "`none` beside `output.applied`",
        );
    }

    #[test]
    fn a_sentence_for_what_is_not_recognised_needs_a_threshold() {
        let with = |threshold: f64, sentence: serde_json::Value| {
            move |json: &mut serde_json::Value| {
                json["output"]["threshold"] = threshold.into();
                json["notRecognised"] = sentence;
            }
        };
        let (mut manifest, warnings) = parse(with(
            0.4,
            serde_json::json!({ "en": "No bird.", "vi": "Không có chim." }),
        ))
        .unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(manifest.output.threshold, Some(0.4));
        manifest.speak(&["vi".into()]);
        assert_eq!(manifest.not_recognised, Some("Không có chim.".into()));
        let written = serde_json::to_value(&manifest).unwrap();
        assert_eq!(written["notRecognised"], "Không có chim.");
        refused(with(1.5, "No bird.".into()), "`output.threshold` is 1.5");
        refused(with(-0.1, "No bird.".into()), "expected 0 to 1");
        refused(
            |json| json["notRecognised"] = "No bird.".into(),
            "needs `output.threshold`",
        );
        refused(with(0.4, 5.into()), "at `notRecognised`");
    }

    #[test]
    fn parts_make_up_the_whole() {
        let parts = |bytes: [u64; 2]| {
            move |json: &mut serde_json::Value| {
                json["weights"]["bytes"] = 5.into();
                json["weights"]["parts"] = serde_json::json!([
                    { "file": "model.onnx.0", "bytes": bytes[0] },
                    { "file": "model.onnx.1", "bytes": bytes[1] },
                ]);
            }
        };
        assert_eq!(parse(parts([2, 3])).unwrap().0.weights.parts.len(), 2);
        refused(parts([2, 2]), "`weights.parts` have 4 bytes");
        refused(parts([u64::MAX, 6]), "`weights.parts`");
        refused(
            |json| {
                parts([2, 3])(json);
                json["weights"]["parts"][1]["file"] = "model.onnx.0".into();
            },
            "names `model.onnx.0` twice",
        );
        refused(
            |json| {
                parts([2, 3])(json);
                json["weights"]["parts"][1]["file"] = "../x".into();
            },
            "plain name",
        );
    }

    #[test]
    fn labels_follow_the_reader_then_english() {
        let (manifest, _) = parse(|_| ()).unwrap();
        assert_eq!(manifest.label_file(&["vi-VN".into()]).1, "labels.vi.txt");
        assert_eq!(manifest.label_file(&["fr".into()]).1, "labels.txt");
    }
}
