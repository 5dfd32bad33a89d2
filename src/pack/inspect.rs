//! ONNX file → what it is and the manifest that its graph suggests.

use serde::Serialize;

use super::compare::made_up_image;
use super::given::{Given, read};
use super::{Guess, Options, Original, presets, settle, settle_shares};
use crate::error::{Error, Result};
use crate::heatmap::Method;
use crate::manifest::{
    Activation, Channels, Crop, FORMAT, Filter, Heatmap, Input, Layout, Manifest, Output,
    Precision, Resize, ResizeMode, Weights,
};
use crate::model::compile::outputs::Head;
use crate::model::compile::shrink::{self, Outline};
use crate::model::{Candidate, Candidates, Layer, Model, Options as Load};

/// What a graph is as a classifier.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// The manifest that the graph suggests, without the facts about the weights.
    pub manifest: Manifest,
    /// What is guessed in it.
    pub guesses: Vec<Guess>,
    /// The tensors that may hold the scores, beginning with the one that is used; a single one is certain.
    pub heads: Vec<Head>,
    /// Names of the classes, if the graph holds them.
    pub labels: Option<Vec<String>>,
    /// Number of classes; a single one with a sigmoid becomes two when packed.
    pub classes: usize,
    /// The softmax or sigmoid at the end of the graph, which is skipped.
    pub activation: Option<Activation>,
    /// The layers at which heatmaps can be taken: the latest of each size, the latest first.
    pub layers: Vec<Candidate>,
    /// Whether they see everything that the scores are made of.
    pub whole: bool,
    /// The default layer.
    pub layer: Option<Layer>,
    /// Why there are no gradients: code and message.
    pub no_gradients: Option<(&'static str, String)>,
    /// The methods that work for this model.
    pub methods: Vec<Method>,
}

/// Loads a graph and describes it.
///
/// # Errors
/// Those of [`pack`](super::pack()), except for labels and FP16.
pub fn inspect<'a>(onnx: impl Into<Original<'a>>, options: &Options) -> Result<Inspection> {
    let mut given = read(onnx.into(), options, None)?;
    let in_logarithms = given.ends_in_logarithms()?;
    let load = Load {
        heatmap: true,
        ..Load::default()
    };
    let model = given.load(|onnx, manifest| Model::of(onnx, manifest, &load))?;
    let Given {
        mut onnx,
        mut manifest,
        mut guesses,
        heads,
        ..
    } = given;
    if options.activation.is_none() {
        guesses.push(Guess::Activation);
    }
    settle(in_logarithms, &model, &mut manifest, &mut guesses);
    if guesses.contains(&Guess::Activation) {
        let scores = model.forward(&made_up_image(&manifest.input))?.scores;
        settle_shares(&scores, &mut manifest, &mut guesses);
    }
    let gradients = model.explainable();
    let layer = model.layers().first().cloned();
    let (classes, activation) = (model.classes(), model.activation());
    drop(model);
    let Candidates { list, whole } = shrink::layers(onnx.take()?, &manifest)?;
    let labels = heads.first().and_then(|head| head.labels.clone());
    Ok(Inspection {
        guesses,
        heads,
        labels,
        classes,
        activation,
        layers: list,
        whole,
        methods: Method::usable(gradients.is_ok(), layer.is_some()),
        layer,
        no_gradients: gradients.err().map(|e| (e.code(), e.to_string())),
        manifest,
    })
}

/// The length of a side before the crop, of which `percent` are `side`: timm's `math.floor(side / crop_pct)`.
///
/// # Errors
/// [`Error::BadOption`] for a share that cannot be kept.
fn uncropped(side: u32, percent: f64) -> Result<u32> {
    if !(MOST_CUT..=100.0).contains(&percent) {
        return Err(Error::BadOption(format!(
            "the crop keeps {percent} % of the shorter side, expected {MOST_CUT} to 100"
        )));
    }
    // Rounded to hide that 87.5 % as a fraction may be a little more.
    Ok((f64::from(side) / percent * 100.0 + 1e-9).floor() as u32)
}

/// The share of the shorter side that the crop keeps, in percent; none if nothing is cropped.
pub(super) fn kept(input: &Input) -> Option<f64> {
    let size = input
        .resize
        .size
        .filter(|_| input.resize.mode != ResizeMode::Fit)?;
    Some(f64::from(input.width.min(input.height)) / f64::from(size) * 100.0)
}

/// Smallest share in percent that a crop may keep of the shorter side.
const MOST_CUT: f64 = 10.0;

/// `model.json` as far as the graph and the options give it, without the facts about the weights.
pub(super) fn manifest(
    outline: &Outline,
    options: &Options,
    guesses: &mut Vec<Guess>,
) -> Result<Manifest> {
    let [(name, shape)] = outline.inputs.as_slice() else {
        let names: Vec<&String> = outline.inputs.iter().map(|(name, _)| name).collect();
        return Err(Error::UnsupportedModel(format!(
            "the graph has the inputs {names:?}, expected only the image"
        )));
    };
    let &[_, a, b, c] = shape.as_slice() else {
        return Err(Error::UnsupportedModel(format!(
            "the input `{name}` has the shape {shape:?}, expected a batch of images"
        )));
    };
    let is_colours = |length| matches!(length, Some(1 | 3));
    let layout = options.layout.unwrap_or_else(|| {
        if is_colours(c) && !is_colours(a) {
            Layout::Nhwc
        } else {
            Layout::Nchw
        }
    });
    let (colours, height, width) = match layout {
        Layout::Nchw => (a, b, c),
        Layout::Nhwc => (c, a, b),
    };
    let by_preset = options.preset.is_some();
    let channels = match (options.channels, colours) {
        (Some(_), Some(1)) if by_preset => Channels::Grey,
        (Some(channels), _) => channels,
        (None, Some(1)) => Channels::Grey,
        (None, Some(3)) => Channels::Rgb,
        (None, None) => {
            guesses.push(Guess::Channels);
            Channels::Rgb
        }
        (None, Some(other)) => {
            return Err(Error::UnsupportedModel(format!(
                "the input `{name}` has {other} channels, expected 1, 3 or 4"
            )));
        }
    };
    if options.channels.is_none() && channels == Channels::Rgb {
        guesses.push(Guess::Colours);
    }
    if (width.is_none() || height.is_none()) && options.size.is_none() {
        guesses.push(Guess::Size);
    }
    let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    // If one side is known, the other is assumed to be as long.
    let usual = width.or(height).map_or(224, side);
    let open = options.size.unwrap_or((usual, usual));
    let (width, height) = (width.map_or(open.0, side), height.map_or(open.1, side));
    let short = width.min(height);
    let mut resize = options.resize.clone().unwrap_or_else(|| {
        if options.crop_percent.is_none() {
            guesses.push(Guess::Resize);
        }
        Resize {
            mode: ResizeMode::ShorterSide,
            // 256 for 224, 342 for 299, as in torchvision.
            size: Some(u32::try_from((u64::from(short) * 8 + 3) / 7).unwrap_or(u32::MAX)),
            filter: Filter::Bilinear,
            antialias: true,
        }
    });
    if let Some(percent) = options.crop_percent {
        let size = uncropped(short, percent)?;
        resize.size = Some(size).filter(|_| resize.mode != ResizeMode::Fit);
    }
    let crop = match resize.mode {
        ResizeMode::Exact if resize.size.is_none() => Crop::None,
        _ => Crop::Center,
    };
    if options.scale.is_none() && options.mean.is_none() && options.std.is_none() {
        guesses.push(Guess::Pixels);
    }
    let count = channels.count();
    let imagenet = |values: [f64; 3]| match (options.scale, layout, count) {
        // Keras: -1..1. PyTorch: mean and standard deviation of ImageNet.
        (None, Layout::Nchw, 3) => values.to_vec(),
        _ => vec![0.5; count],
    };
    let spread = |given: &Option<Vec<f64>>, default: Vec<f64>| match given {
        None => Ok(default),
        Some(one) if one.len() == 1 => Ok(vec![one[0]; count]),
        Some(colours) if by_preset && count == 1 => Ok(presets::grey(colours)),
        Some(all) if all.len() == count => Ok(all.clone()),
        Some(all) => Err(Error::BadOption(format!(
            "`mean` and `std` need one value or {count}, not {}",
            all.len()
        ))),
    };
    let given = options.scale.is_some() || options.mean.is_some() || options.std.is_some();
    let neutral = |value, default| if given { vec![value; count] } else { default };
    let mean = spread(&options.mean, neutral(0.0, imagenet([0.485, 0.456, 0.406])))?;
    let std = spread(&options.std, neutral(1.0, imagenet([0.229, 0.224, 0.225])))?;
    let output = match (&options.output, outline.outputs.as_slice()) {
        (Some(name), names) if names.contains(name) => name.clone(),
        (None, [only]) => only.clone(),
        (_, names) => {
            return Err(Error::BadOption(format!(
                "name the output with the scores by --output; the graph has {names:?}"
            )));
        }
    };
    let manifest = Manifest {
        format: FORMAT,
        name: options.name.clone(),
        version: options.version.clone().unwrap_or_else(|| "1".into()),
        license: options.license.clone().unwrap_or_else(|| "unknown".into()),
        source: options
            .source
            .clone()
            .unwrap_or_else(|| outline.producer.clone()),
        disclaimer: options.disclaimer.clone(),
        not_recognised: options.not_recognised.clone(),
        weights: Weights {
            file: "model.onnx".into(),
            bytes: 0,
            sha256: "0".repeat(64),
            precision: Precision::Fp32,
            parameters: None,
            memory: None,
            plan: None,
            unplanned: None,
            parts: Vec::new(),
            planes: None,
        },
        input: Input {
            name: name.clone(),
            layout,
            channels,
            width,
            height,
            resize,
            crop,
            scale: options.scale.unwrap_or(1.0 / 255.0),
            mean,
            std,
        },
        output: Output {
            name: output,
            activation: options.activation.unwrap_or(Activation::Softmax),
            applied: None,
            unit: options.unit.clone(),
            threshold: options.threshold,
        },
        heatmap: Heatmap {
            layer: options.layer.clone(),
            layers: Vec::new(),
        },
        labels: [("en".to_string(), "labels.txt".to_string())].into(),
    };
    // Checks sizes and numbers as readers of the folder do.
    let json = serde_json::to_vec(&manifest).map_err(|e| Error::BadManifest(e.to_string()))?;
    Manifest::parse(&json)?;
    Ok(manifest)
}
