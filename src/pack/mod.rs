//! any ONNX classifier → the files of a model folder, checked.

mod compare;
mod given;
mod inspect;
mod original;
pub mod presets;
mod preview;
pub mod sources;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use compare::Difference;
pub use inspect::{Inspection, inspect};
pub use original::Original;
pub use preview::{Preview, Previewed};

use compare::{are_shares, compare, made_up_image, span};
use given::{Given, read};

use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::estimate;
use crate::heatmap::Method;
use crate::labels;
use crate::manifest::{Activation, Channels, Layout, Manifest, Precision, Resize, Text, Weights};
use crate::model::compile::shrink::{self, Outline};
use crate::model::compile::{adapt, outputs};
use crate::model::{Candidates, Model, Options as Load, PLAN};
use crate::rank::Reading;
use crate::sniff;

/// What cannot be read from the graph. What is missing is guessed, and the report says so.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// Name shown to people.
    pub name: String,
    /// Version of the model.
    pub version: Option<String>,
    /// SPDX licence expression.
    pub license: Option<String>,
    /// Where the weights come from.
    pub source: Option<String>,
    /// Sentence shown beside every result.
    pub disclaimer: Option<String>,
    /// Axis order of the input.
    pub layout: Option<Layout>,
    /// Colour channels of the input.
    pub channels: Option<Channels>,
    /// Width and height of the input, if the graph leaves them open.
    pub size: Option<(u32, u32)>,
    /// How the photo is resized.
    pub resize: Option<Resize>,
    /// Share of the shorter side that the crop keeps, in percent, in place of the size in `resize`.
    pub crop_percent: Option<f64>,
    /// Name of one of the [presets], in place of `scale`, `mean` and `std`.
    pub preset: Option<String>,
    /// Factor applied to pixels first.
    pub scale: Option<f64>,
    /// Subtracted after scaling: one value, or one per channel; a fourth is for opacity.
    pub mean: Option<Vec<f64>>,
    /// Divided by last: one value, or one per channel; a fourth is for opacity.
    pub std: Option<Vec<f64>>,
    /// What must be applied to the graph's output.
    pub activation: Option<Activation>,
    /// Name of the output, if there are several.
    pub output: Option<String>,
    /// Unit of an output that is a number, such as `years`.
    pub unit: Option<String>,
    /// Least probability, 0..=1, of the first class of a photo that is recognised.
    pub threshold: Option<f64>,
    /// Sentence for photos that are not recognised; needs `threshold`.
    pub not_recognised: Option<Text>,
    /// ONNX tensor at which heatmaps are taken.
    pub layer: Option<String>,
    /// How weights are stored; none: FP16 if the result stays the same, FP32 otherwise.
    pub precision: Option<Precision>,
}

impl Options {
    /// Whether they say how pixels become values.
    fn has_pixels(&self) -> bool {
        let numbers = self.scale.is_some() || self.mean.is_some() || self.std.is_some();
        numbers || self.preset.is_some()
    }
}

/// A model folder in memory.
#[derive(Debug, Clone)]
pub struct Packed {
    /// `model.json`.
    pub manifest: Manifest,
    /// The file that the manifest names as weights.
    pub onnx: Vec<u8>,
    /// The labels, one per line, in class order: those given or those of the graph; for a single score, both sides.
    pub labels: String,
    /// What checking it found.
    pub report: Report,
}

/// What checking a model found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Guesses, to be checked by someone who knows the model.
    pub guesses: Vec<Guess>,
    /// Number of classes.
    pub classes: usize,
    /// The layer at which heatmaps are taken; none if there can be no heatmap.
    pub layer: Option<String>,
    /// Whether the layer sees everything that the scores are made of.
    pub whole: bool,
    /// Why there are no gradients, so that only methods without them can be used.
    pub no_gradients: Option<String>,
    /// Why the model is compiled at every load; none if its file holds a plan.
    pub unplanned: Option<String>,
    /// The methods that work for this model.
    pub methods: Vec<Method>,
    /// How the weights are stored.
    pub precision: Precision,
    /// Size of the given file.
    pub bytes_given: usize,
    /// Size of the stored file.
    pub bytes_kept: usize,
    /// Estimated memory that loading needs, in bytes.
    pub memory: u64,
    /// The stored file against the given one.
    pub difference: Difference,
    /// The difference that FP16 would make, if it was tried and rejected.
    pub refused: Option<Difference>,
}

/// What neither the graph nor an option says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // `Display` says what each is
pub enum Guess {
    Activation,
    Channels,
    Colours,
    Opacity,
    Output,
    Pixels,
    Resize,
    Single,
    Size,
}

impl fmt::Display for Guess {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Guess::Activation => "the scores are read as those of a softmax; otherwise, --activation sigmoid|none",
            Guess::Channels => {
                "the graph does not say how many colours it takes; three are assumed, --channels grey for one"
            }
            Guess::Colours => "colours are in the order red, green, blue; otherwise, --channels bgr",
            Guess::Opacity => {
                "the fourth channel is read as opacity, which is full in photos; if it is scaled differently, add a \
                 fourth value to --mean and --std"
            }
            Guess::Output => "several outputs may hold the scores; choose another with --output",
            Guess::Pixels => {
                "pixels are scaled as for most networks trained on ImageNet; otherwise, --preset, or --scale, \
                 --mean and --std (--preset raw for a graph that takes 0 to 255)"
            }
            Guess::Resize => {
                "the shorter side of a photo becomes 8/7 of the input's (256 for 224), bilinear, and the middle is \
                 cut out; otherwise, --resize and --filter"
            }
            Guess::Single => {
                "the only score is read as that of a sigmoid, which makes two classes; for a number, --activation none"
            }
            Guess::Size => "the graph leaves the size of the image open; a common one is used, --size for another",
        })
    }
}

/// What is being done, reported to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The given file is compiled and run.
    Run,
    /// The file to store is made.
    Store,
    /// The file to store is compiled, run and compared.
    Compare,
}

/// Largest difference of a probability that storing in FP16 may make.
const MOST_DIFFERENCE: f32 = 0.01;
/// Largest difference of a score that storing in FP16 may make, as a share of the scores' span.
const MOST_ROUNDED: f32 = 0.05;
/// The same for what simplifying the graph may make: sums in another order.
const MOST_SIMPLIFIED: f32 = 1e-3;
/// The same if values are quantised, since a sum in another order may move one to the next step. ONNX
/// Runtime's own levels of optimisation differ by 0.02 for a DeiT-Tiny in int8.
const MOST_REQUANTISED: f32 = 0.1;

/// Packs an ONNX file that holds all of its weights (see [`shrink::merge`]).
///
/// # Errors
/// Those of [`Model::load`] for what cannot be used; [`Error::BadOption`] for an option that does not
/// fit the graph, [`Error::BadManifest`] when there are more or fewer labels than classes,
/// [`Error::UnsupportedModel`] when FP16 was requested and changes the result, or when simplifying the graph
/// changes its scores.
pub fn pack<'a>(
    onnx: impl Into<Original<'a>>,
    labels: &str,
    options: &Options,
    tell: &mut dyn FnMut(Stage),
) -> Result<Packed> {
    check_threshold(options)?;
    let count = labels::parse(labels.as_bytes())?.len();
    let mut given = read(onnx.into(), options, (count > 0).then_some(count))?;
    if !outputs::is_certain(&given.heads) {
        return Err(Error::BadOption(format!(
            "several outputs of the graph may hold the scores: {}; name one with --output",
            adapt::list(&given.heads)
        )));
    }
    if options.activation.is_none() {
        given.guesses.push(Guess::Activation);
    }
    if options.activation == Some(Activation::Softmax) && count == 1 {
        return Err(Error::BadOption(
            "a softmax over one class is 1 for every photo; for one class, the activation is sigmoid or none".into(),
        ));
    }
    let own = given.heads[0].labels.take().filter(|_| count == 0);
    let labels = own.map_or(labels.to_string(), |own| own.join("\n"));
    check(given, labels, options.precision, tell)
}

fn check_threshold(options: &Options) -> Result<()> {
    let bad = |message: &str| Err(Error::BadOption(message.into()));
    match options.threshold {
        None if options.not_recognised.is_some() => {
            bad("a sentence for what is not recognised needs a threshold")
        }
        Some(_) if options.activation == Some(Activation::None) => {
            bad("a threshold is for probabilities; the output holds none if its activation is none")
        }
        Some(threshold) if !(0.0..=1.0).contains(&threshold) => {
            bad(&format!("the threshold is {threshold}, expected 0 to 1"))
        }
        _ => Ok(()),
    }
}

/// Packs the ONNX file of a model folder again.
///
/// # Errors
/// Those of [`pack`]; [`Error::Truncated`] and [`Error::Integrity`] when the file is not the one that
/// the manifest describes.
pub fn repack<'a>(
    onnx: impl Into<Original<'a>>,
    labels: &str,
    manifest: Manifest,
    tell: &mut dyn FnMut(Stage),
) -> Result<Packed> {
    let expected = (manifest.weights.bytes, manifest.weights.sha256.as_str());
    let mut onnx = onnx.into();
    let bytes = onnx.look()?;
    let actual = (bytes.len() as u64, &*sha256(bytes));
    sniff::identity(actual, expected, &manifest.weights.file)?;
    let precision = manifest.weights.precision;
    let given = Given {
        onnx,
        manifest,
        guesses: Vec::new(),
        heads: Vec::new(),
        batch: None,
        sizes: Vec::new(),
        // The precision stays as it is.
        quantises_values: false,
        splits: false,
        opacity: false,
    };
    check(given, labels.to_string(), Some(precision), tell)
}

/// Settles what the output holds by the graph: no guess is needed if the graph ends in a softmax or
/// sigmoid, and a single class never has a softmax.
fn settle(in_logarithms: bool, model: &Model, manifest: &mut Manifest, guesses: &mut Vec<Guess>) {
    let guessed = guesses.contains(&Guess::Activation);
    guesses.retain(|guess| *guess != Guess::Activation);
    let (ends, single) = (model.activation(), model.classes() == 1);
    let logarithms = !single && in_logarithms;
    let output = &mut manifest.output;
    (output.activation, output.applied) = match ends {
        // A softmax turns logarithms of probabilities back into probabilities.
        Some(_) if logarithms => (Activation::Softmax, None),
        Some(ends) => (Activation::None, Some(ends)),
        None if single && output.activation == Activation::Softmax => (Activation::Sigmoid, None),
        None => (output.activation, output.applied),
    };
    if guessed && ends.is_none() {
        guesses.push(if single {
            Guess::Single
        } else {
            Guess::Activation
        });
    }
}

/// Settles that scores which are shares come from a softmax written as single operators: applied again, it would
/// level all classes.
fn settle_shares(scores: &[f32], manifest: &mut Manifest, guesses: &mut Vec<Guess>) {
    if guesses.contains(&Guess::Activation) && are_shares(scores) {
        guesses.retain(|guess| *guess != Guess::Activation);
        manifest.output.activation = Activation::None;
        manifest.output.applied = Some(Activation::Softmax);
    }
}

fn check(
    mut given: Given,
    mut labels: String,
    wanted: Option<Precision>,
    tell: &mut dyn FnMut(Stage),
) -> Result<Packed> {
    tell(Stage::Run);
    let bytes_given = given.onnx.look()?.len();
    let original = given.run(|onnx, manifest| Model::as_given(onnx, manifest))?;
    let Given {
        mut onnx,
        mut manifest,
        mut guesses,
        quantises_values,
        splits,
        ..
    } = given;
    let mut list = labels::parse(labels.as_bytes())?;
    if splits && let [one] = &*list {
        labels = format!("not {one}\n{one}\n");
        list = labels::parse(labels.as_bytes())?;
    }
    labels::check(list.len(), original.classes())?;
    let image = made_up_image(&manifest.input);
    let before = original.forward(&image)?;
    drop(original);
    settle_shares(&before.scores, &mut manifest, &mut guesses);

    let load = Load {
        heatmap: true,
        ..Load::default()
    };
    // If values are quantised, rounded weights move some of them to the next step.
    let mut precision = wanted.unwrap_or(match quantises_values {
        true => Precision::Fp32,
        false => Precision::Fp16,
    });
    let mut refused = None;
    let (mut kept, packed, after, difference) = loop {
        tell(Stage::Store);
        let kept = shrink::shrink(onnx.take()?, &manifest, precision)?;
        let outline = shrink::outline(&kept)?;
        manifest.weights = Weights {
            file: "model.onnx".into(),
            bytes: kept.len() as u64,
            sha256: sha256(&kept),
            precision,
            parameters: outline.quantised.then_some(outline.parameters as u64),
            plan: None,
            parts: Vec::new(),
        };
        tell(Stage::Compare);
        let packed = Model::in_a_page(&kept, &manifest, &load)?;
        let after = packed.forward(&image)?;
        let finite = after.scores.iter().all(|score| score.is_finite());
        if !finite && precision == Precision::Fp32 {
            return Err(Error::UnsupportedModel(
                "the scores of a made-up image are not finite".into(),
            ));
        }
        let reading = Reading::of(&manifest.output, packed.activation(), packed.classes());
        let mut difference = compare(&before.scores, &after.scores, reading.apply);
        if !finite {
            difference.probability = 1.0;
        }
        let share = difference.score / span(&before.scores);
        let most = match outline.quantised {
            true => MOST_REQUANTISED,
            false => MOST_SIMPLIFIED,
        };
        if precision == Precision::Fp32 && share > most {
            return Err(Error::UnsupportedModel(format!(
                "simplified, the graph gives scores that differ by {:.1} % of their span from those of the graph as \
                 given, so its answers would be wrong here; export it in FP32 without quantisation, or with \
                 another exporter",
                share * 100.0
            )));
        }
        let near = difference.probability <= MOST_DIFFERENCE && share <= most.max(MOST_ROUNDED);
        // If scores are very large, sums in another order may change a probability; the report says so.
        if finite && (near || precision == Precision::Fp32) {
            break (kept, packed, after, difference);
        }
        if wanted.is_some() {
            return Err(Error::UnsupportedModel(format!(
                "stored in FP16, a probability differs by {:.3} and a score by {:.1} % of their span (at most \
                 {MOST_DIFFERENCE} and {} % are allowed); leave the precision open, or store it in FP32",
                difference.probability,
                share * 100.0,
                MOST_ROUNDED * 100.0
            )));
        }
        refused = Some(difference);
        precision = Precision::Fp32;
    };
    drop(onnx);
    let gradients = packed
        .explainable()
        .and_then(|()| packed.check_gradients(&image, &after));
    let layer = packed.layers().first().map(|layer| layer.name.clone());
    let found = layer.clone().filter(|_| gradients.is_ok());
    manifest.heatmap.layer = manifest.heatmap.layer.or(found);
    let Candidates { list, whole } = shrink::layers(&kept, &manifest)?;
    let layers = list.into_iter().rev().map(|candidate| candidate.layer);
    manifest.heatmap.layers = layers.collect();
    let (classes, no_gradients) = (packed.classes(), gradients.err());
    drop(packed);
    let unplanned = match plan(&kept, &manifest) {
        Ok(planned) => {
            kept = planned;
            manifest.weights.plan = Some(PLAN);
            None
        }
        Err(error) => Some(error.to_string()),
    };
    manifest.weights.bytes = kept.len() as u64;
    manifest.weights.sha256 = sha256(&kept);
    let report = Report {
        guesses,
        classes,
        methods: Method::usable(no_gradients.is_none(), layer.is_some()),
        layer,
        whole,
        no_gradients: no_gradients.map(|error| error.to_string()),
        unplanned,
        precision,
        bytes_given,
        bytes_kept: kept.len(),
        memory: estimate::estimate(&manifest, true).total(),
        difference,
        refused,
    };
    Ok(Packed {
        manifest,
        onnx: kept,
        labels,
        report,
    })
}

/// Largest difference of a score that the plan may make.
const MOST_PLAN_DIFFERENCE: f32 = 1e-3;

/// Adds a plan to an ONNX file (see [`shrink::with_plan`]) and checks that it gives the same scores.
///
/// # Errors
/// Those of [`shrink::with_plan`]; [`Error::UnsupportedModel`] when the plan gives different scores.
pub fn plan(onnx: &[u8], manifest: &Manifest) -> Result<Vec<u8>> {
    let load = Load {
        heatmap: true,
        ..Load::default()
    };
    let image = made_up_image(&manifest.input);
    let reference = Model::load(onnx, manifest, &load)?.forward(&image)?.scores;
    let planned = shrink::with_plan(onnx, manifest)?;
    let model = Model::planned(&planned, manifest, &load)?.ok_or_else(|| {
        Error::UnsupportedModel("the plan of the model cannot be read back".into())
    })?;
    let scores = model.forward(&image)?.scores;
    drop(model);
    let difference = compare(&reference, &scores, Activation::None).score;
    let largest = reference
        .iter()
        .fold(1f32, |most, score| most.max(score.abs()));
    if difference > MOST_PLAN_DIFFERENCE * largest {
        return Err(Error::UnsupportedModel(format!(
            "with its plan, a score differs by {difference:.1e}"
        )));
    }
    Ok(planned)
}

/// The most memory in bytes that [`pack`] and [`inspect`] need for a file that can be read again: the stored file,
/// the tensors in its order and in that of the kernels, and a run.
pub fn need(outline: &Outline, bytes: usize) -> u64 {
    let single = (outline.parameters as u64).saturating_mul(4);
    single
        .max(bytes as u64)
        .saturating_mul(3)
        .saturating_add(RUN)
}

/// What a run of a common network takes with its gradient; the exact size is known only after compiling.
const RUN: u64 = 32_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/models");
        std::fs::read(format!("{folder}/{name}.onnx")).unwrap()
    }

    fn labels() -> String {
        (0..10).map(|i| format!("class {i}\n")).collect()
    }

    #[test]
    fn half_precision_is_kept_where_it_changes_nothing() {
        let (labels, options) = (labels(), Options::default());
        let mut told = Vec::new();
        let vit = pack(golden("vit"), &labels, &options, &mut |stage| {
            told.push(stage)
        })
        .unwrap();
        assert_eq!(told, [Stage::Run, Stage::Store, Stage::Compare]);
        assert_eq!(vit.manifest.weights.precision, Precision::Fp16);
        assert_eq!(vit.report.refused, None);
        // Random weights, far from FP16's grid.
        let keras = golden("keras-mobilenet-v2");
        let kept = pack(keras.clone(), &labels, &options, &mut |_| ()).unwrap();
        assert_eq!(kept.report.precision, Precision::Fp32);
        assert!(kept.report.refused.unwrap().probability > MOST_DIFFERENCE);
        let options = Options {
            precision: Some(Precision::Fp16),
            ..options
        };
        let error = pack(keras, &labels, &options, &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("store it in FP32"), "{error}");
    }

    #[test]
    fn photos_are_resized_as_torchvision_does() {
        for (side, size) in [(224, 256), (299, 342), (240, 274), (384, 439)] {
            let mut outline = shrink::outline(&golden("resnet")).unwrap();
            outline.inputs[0].1 = vec![Some(1), Some(3), Some(side), Some(side)];
            let found = inspect::manifest(&outline, &Options::default(), &mut Vec::new()).unwrap();
            assert_eq!(found.input.resize.size, Some(size));
        }
    }

    #[test]
    fn the_places_listed_can_be_named() {
        let Packed { manifest, onnx, .. } = pack(
            golden("resnet"),
            &labels(),
            &Options::default(),
            &mut |_| (),
        )
        .unwrap();
        let places = &manifest.heatmap.layers;
        assert!(places.len() > 1, "{places:?}");
        let load = Load {
            heatmap: true,
            layers: places.iter().map(|place| place.name.clone()).collect(),
            ..Load::default()
        };
        let model = Model::load(&onnx, &manifest, &load).unwrap();
        for (place, layer) in places.iter().zip(model.layers()) {
            assert_eq!(
                (&place.name, place.channels, place.height, place.width),
                (&layer.name, layer.channels, layer.height, layer.width)
            );
        }
    }

    #[test]
    fn a_folder_is_packed_anew_if_it_is_whole() {
        let Packed { manifest, onnx, .. } = pack(
            golden("resnet"),
            &labels(),
            &Options::default(),
            &mut |_| (),
        )
        .unwrap();
        let again = repack(onnx.clone(), &labels(), manifest.clone(), &mut |_| ()).unwrap();
        assert_eq!(again.manifest.heatmap, manifest.heatmap);
        assert!(again.report.guesses.is_empty());
        let mut changed = onnx;
        changed[1000] ^= 1;
        let error = repack(changed, &labels(), manifest, &mut |_| ()).unwrap_err();
        assert_eq!(error.code(), "integrity");
    }
}
