//! any ONNX classifier → the files of a model folder, checked.

mod compare;
mod given;
mod inspect;
mod original;
mod plan;
mod precise;
pub mod presets;
mod preview;
pub mod sources;
mod store;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use compare::Difference;
pub use inspect::{Inspection, inspect};
pub use original::Original;
pub use plan::plan;
pub use preview::{Preview, Previewed};

use compare::{are_shares, made_up_image};
use given::{Given, read};
use plan::{Compiled, compile};
use store::{Storage, accept, differ, mend, store};

use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::estimate;
use crate::heatmap::Method;
use crate::labels;
use crate::manifest::{Activation, Channels, Layout, Manifest, Precision, Resize, Text};
use crate::model::compile::shrink::{self, Outline};
use crate::model::compile::{adapt, outputs};
use crate::model::{Candidates, Model, PLAN, memory};
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
    /// How weights are stored; FP16, and none if values are not quantised: those that would change the result stay
    /// in FP32.
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
    /// The weights that stay in FP32 although the others are in FP16, since it would change the answers.
    pub single: Vec<String>,
    /// The number of weights among which these were found; 0 if FP16 was not refused.
    pub weights: usize,
    /// Size of the given file.
    pub bytes_given: usize,
    /// Size of the stored file.
    pub bytes_kept: usize,
    /// The most memory in bytes that it needs in a page, with heatmaps: an estimate without a plan.
    pub memory: u64,
    /// The stored file against the given one.
    pub difference: Difference,
    /// The difference that FP16 would make for all weights, if it was tried and rejected.
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

/// Packs an ONNX file that holds all of its weights (see [`shrink::merge`]).
///
/// # Errors
/// Those of [`Model::load`] for what cannot be used; [`Error::BadOption`] for an option that does not
/// fit the graph, [`Error::BadManifest`] when there are more or fewer labels than classes,
/// [`Error::UnsupportedModel`] when simplifying the graph changes its scores.
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
    let before = original.forward(&image)?.scores;
    drop(original);
    settle_shares(&before, &mut manifest, &mut guesses);

    // If values are quantised, rounded weights move some of them to the next step.
    let mut storage = match wanted {
        Some(Precision::Fp32) => Storage::Single,
        None if quantises_values => Storage::Single,
        _ => Storage::Half,
    };
    let (mut refused, mut rounded) = (None, 0);
    let (kept, compiled, difference) = loop {
        tell(Stage::Store);
        let stored = store(&mut onnx, &mut manifest, &storage, (&image, &before))?;
        let most = stored.most;
        let accepted = |scores: &[f32], difference: &Difference| {
            accept(&storage, (&before, scores), difference, most)
        };
        if !accepted(&stored.scores, &stored.difference)? {
            refused = refused.or(Some(stored.difference));
            (storage, rounded) = match storage {
                Storage::Half => mend(&mut onnx, &manifest, (&image, &before), most)?,
                _ => (Storage::Single, 0),
            };
            continue;
        }
        tell(Stage::Compare);
        let (kept, compiled) = compile(stored, &manifest, &image)?;
        let Compiled { model, forward, .. } = &compiled;
        let difference = differ(&before, &forward.scores, model, &manifest);
        if accepted(&forward.scores, &difference)? {
            break (kept, compiled, difference);
        }
        refused = refused.or(Some(difference));
        storage = Storage::Single;
    };
    let Compiled {
        model,
        forward,
        unplanned,
    } = compiled;
    let gradients = model
        .explainable()
        .and_then(|()| model.check_gradients(&image, &forward));
    let layer = model.layers().first().map(|layer| layer.name.clone());
    let found = layer.clone().filter(|_| gradients.is_ok());
    let (classes, no_gradients) = (model.classes(), gradients.err());
    drop((model, forward));
    let kept = kept.map_or_else(|| storage.file(&mut onnx, &manifest), Ok)?;
    drop(onnx);
    manifest.heatmap.layer = manifest.heatmap.layer.or(found);
    let Candidates { list, whole } = shrink::layers(&kept, &manifest)?;
    let layers = list.into_iter().rev().map(|candidate| candidate.layer);
    manifest.heatmap.layers = layers.collect();
    let unplanned = unplanned.map(|error| error.to_string());
    manifest.weights.plan = unplanned.is_none().then_some(PLAN);
    manifest.weights.unplanned.clone_from(&unplanned);
    manifest.weights.bytes = kept.len() as u64;
    manifest.weights.sha256 = sha256(&kept);
    manifest.weights.memory = unplanned.is_none().then(|| memory(&kept)).flatten();
    let single = match storage {
        Storage::But(single) => single.into_iter().collect(),
        _ => Vec::new(),
    };
    let report = Report {
        guesses,
        classes,
        methods: Method::usable(no_gradients.is_none(), layer.is_some()),
        layer,
        whole,
        no_gradients: no_gradients.map(|error| error.to_string()),
        unplanned,
        precision: manifest.weights.precision,
        single,
        weights: rounded,
        bytes_given,
        bytes_kept: kept.len(),
        memory: estimate::estimate(&manifest, true, 1),
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

/// The most memory in bytes that [`pack`] and [`inspect`] need for a file that can be read again: its weights in FP32,
/// in two forms while one is made of the other, half as much for the stored file, and a run.
pub fn need(outline: &Outline, bytes: usize) -> u64 {
    let single = (outline.parameters as u64).saturating_mul(4);
    // Quantised weights are also held as they are.
    let halves = if outline.quantised { 6 } else { 5 };
    (single.max(bytes as u64) / 2)
        .saturating_mul(halves)
        .saturating_add(RUN)
}

/// What a run of a common network takes with its gradient; the exact size is known only after compiling.
const RUN: u64 = 32_000_000;

#[cfg(test)]
mod tests {
    use super::store::MOST_DIFFERENCE;
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
        let half = Options {
            precision: Some(Precision::Fp16),
            ..options.clone()
        };
        for options in [options, half] {
            let kept = pack(keras.clone(), &labels, &options, &mut |_| ()).unwrap();
            let Report {
                single,
                weights,
                refused,
                difference,
                ..
            } = kept.report;
            println!("{single:?} of {weights}: {difference:?}, {refused:?}");
            assert!(!single.is_empty() && single.len() < weights);
            assert!(difference.probability <= MOST_DIFFERENCE);
            assert!(refused.unwrap().probability > MOST_DIFFERENCE);
        }
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
        let load = crate::Options {
            heatmap: true,
            layers: places.iter().map(|place| place.name.clone()).collect(),
            ..crate::Options::default()
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
