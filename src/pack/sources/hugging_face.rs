//! Hugging Face's config.json and preprocessor_config.json → what they say.

use serde_json::Value;

use super::{Pixels, Said, exact, labels, shorter_side};
use crate::manifest::{Activation, Channels, Filter, Resize};

/// Labels, and how the pipeline of transformers turns scores into probabilities.
pub(super) fn config(from: &str, json: &Value) -> Vec<Said> {
    let mut said = Said::by(from);
    let id2label = json.get("id2label").and_then(labels::listed);
    let placeholder = |labels: &Vec<String>| {
        let numbered = |(at, label): (usize, &String)| *label == format!("LABEL_{at}");
        labels.iter().enumerate().all(numbered)
    };
    let (named, numbered) = match id2label {
        Some(labels) if placeholder(&labels) => (None, Some(labels)),
        labels => (labels, None),
    };
    let several = named.as_ref().or(numbered.as_ref()).map(|l| l.len() > 1);
    said.labels = named;
    said.activation = match json.get("problem_type").and_then(Value::as_str) {
        Some("multi_label_classification") => Some(Activation::Sigmoid),
        Some("regression") => Some(Activation::None),
        Some("single_label_classification") => Some(Activation::Softmax),
        // `ImageClassificationPipeline.postprocess`
        _ => several.map(|several| match several {
            true => Activation::Softmax,
            false => Activation::Sigmoid,
        }),
    };
    said.name = json
        .get("_name_or_path")
        .and_then(Value::as_str)
        .and_then(|path| path.rsplit('/').find(|part| !part.is_empty()))
        .map(String::from);
    let mut gaps = Said::by(from);
    gaps.weak = true;
    gaps.labels = numbered;
    gaps.size = json.get("image_size").and_then(sides);
    if json.get("num_channels").and_then(Value::as_u64) == Some(1) {
        gaps.channels = Some(Channels::Grey);
    }
    vec![said, gaps]
}

/// What an image processor of transformers does, with its class's defaults for what the file leaves out.
pub(super) fn processor(from: &str, json: &Value) -> Option<Said> {
    let json = json.get("image_processor").unwrap_or(json);
    let word = |key: &str| json.get(key).and_then(Value::as_str);
    let class = word("image_processor_type").or(word("feature_extractor_type"));
    let class = class.unwrap_or_default();
    let kind = Kind::of(class);
    let flag = |key: &str, default| json.get(key).and_then(Value::as_bool).unwrap_or(default);
    // A processor of text or sound says none of these.
    ["size", "image_mean", "crop_size", "do_resize"]
        .iter()
        .find_map(|key| json.get(key))?;
    let mut said = Said::by(from);
    said.channels = Some(
        match flag("do_flip_channel_order", kind == Kind::MobileVit) || kind == Kind::PpLcNet {
            true => Channels::Bgr,
            false => Channels::Rgb,
        },
    );
    if flag("do_grayscale", false) || flag("do_convert_grayscale", false) {
        said.channels = Some(Channels::Grey);
    }
    said.pixels = pixels(json, kind, &flag);
    match resize(json, kind, &flag) {
        Ok((resize, size)) => {
            said.resize = Some(resize);
            said.size = size;
        }
        Err(text) => said.limits.push(format!(
            "{from} requires {text}, which model.json cannot express"
        )),
    }
    Some(said)
}

/// Image processors that differ from the others.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    ConvNext,
    EfficientNet,
    Levit,
    MobileVit,
    Perceiver,
    PoolFormer,
    PpLcNet,
    /// Crops the middle by default: CLIP, BiT, DeiT, MobileNet.
    Cropping,
    Plain,
}

impl Kind {
    fn of(class: &str) -> Kind {
        let name = class
            .trim_end_matches("Fast")
            .trim_end_matches("Pil")
            .trim_end_matches("ImageProcessor")
            .trim_end_matches("FeatureExtractor");
        match name {
            "ConvNext" | "ConvNeXT" => Kind::ConvNext,
            "EfficientNet" => Kind::EfficientNet,
            "Levit" => Kind::Levit,
            "MobileViT" | "MobileVit" => Kind::MobileVit,
            "Perceiver" => Kind::Perceiver,
            "PoolFormer" => Kind::PoolFormer,
            "PPLCNet" => Kind::PpLcNet,
            "CLIP" | "ChineseCLIP" | "Bit" | "DeiT" | "MobileNetV1" | "MobileNetV2"
            | "ViTHybrid" | "VideoMAE" | "Flava" => Kind::Cropping,
            _ => Kind::Plain,
        }
    }

    /// Whether a single number is the length of the shorter side.
    fn shortens(self, json: &Value) -> bool {
        let square = json.get("default_to_square").and_then(Value::as_bool);
        let plain = matches!(self, Kind::Plain | Kind::EfficientNet | Kind::Perceiver);
        !square.unwrap_or(plain)
    }
}

fn pixels(json: &Value, kind: Kind, flag: &dyn Fn(&str, bool) -> bool) -> Option<Pixels> {
    let list = |key: &str| -> Option<Vec<f64>> {
        match json.get(key)? {
            Value::Array(list) => list.iter().map(Value::as_f64).collect(),
            one => Some(vec![one.as_f64()?]),
        }
    };
    let factor = json.get("rescale_factor").and_then(Value::as_f64);
    let scale = match flag("do_rescale", true) {
        true => factor.unwrap_or(1.0 / 255.0),
        false => 1.0,
    };
    // MobileViT's has a mean and does not use it.
    let has_mean = json.get("image_mean").is_some() && kind != Kind::MobileVit;
    let normalises = flag("do_normalize", has_mean);
    let (mut mean, mut std) = match normalises {
        true => (list("image_mean")?, list("image_std")?),
        false => (vec![0.0], vec![1.0]),
    };
    if kind == Kind::PpLcNet {
        // Colours are put in the other order after that.
        mean.reverse();
        std.reverse();
    }
    if kind == Kind::EfficientNet {
        // `image * scale - 1` before the mean; with `include_top`, a second division by the deviation.
        if flag("rescale_offset", false) {
            mean.iter_mut().for_each(|mean| *mean += 1.0);
        }
        if flag("include_top", true) {
            std = match list("image_std") {
                Some(again) if normalises => {
                    std.iter().zip(&again).map(|(one, two)| one * two).collect()
                }
                Some(again) => again,
                None => return None,
            };
        }
    }
    Some(Pixels { scale, mean, std })
}

/// Steps of other tasks than classification, for which `model.json` has no word.
const UNKNOWN: [&str; 6] = [
    "pad_size",
    "clusters",
    "max_num_patches",
    "do_thumbnail",
    "crop_to_patches",
    "limit_side_len",
];

/// The resize and the resulting width and height, or what `model.json` cannot express.
fn resize(
    json: &Value,
    kind: Kind,
    flag: &dyn Fn(&str, bool) -> bool,
) -> Result<(Resize, Option<(u32, u32)>), String> {
    let filter = filter(json)?;
    let size = json.get("size").unwrap_or(&Value::Null);
    let odd = |key: &&&str| {
        let plain = |value: &Value| value.is_null() || value == false;
        json.get(**key).is_some_and(|value| !plain(value))
    };
    if let Some(key) = UNKNOWN.iter().find(odd) {
        return Err(format!("`{key}`"));
    }
    let divisor = json.get("size_divisor").and_then(Value::as_u64);
    if divisor.is_some_and(|divisor| divisor != 1) {
        return Err("`size_divisor`".into());
    }
    if flag("do_pad", false) {
        return Err("`do_pad`".into());
    }
    if !flag("do_resize", true) {
        return Err("no resize".into());
    }
    let crops = matches!(
        kind,
        Kind::Cropping
            | Kind::Levit
            | Kind::MobileVit
            | Kind::PoolFormer
            | Kind::Perceiver
            | Kind::PpLcNet
    );
    let cropped = match flag("do_center_crop", crops) {
        true => json.get("crop_size").and_then(sides),
        false => None,
    };
    let percent = json.get("crop_pct").and_then(Value::as_f64);
    let percent = percent.filter(|&percent| percent > 0.0);
    let short = match kind {
        Kind::PpLcNet => json
            .get("resize_short")
            .and_then(|edge| short_edge(edge, true)),
        _ => None,
    };
    let short = short.or(short_edge(size, kind.shortens(json)));
    let larger = |side: u32, percent: f64| (f64::from(side) / percent) as u32;
    if let Some(side) = short {
        let (side, out) = match kind {
            Kind::ConvNext if side < 384 => (
                larger(side, percent.unwrap_or(224.0 / 256.0)),
                Some((side, side)),
            ),
            Kind::ConvNext => return Ok((exact(None, filter), Some((side, side)))),
            Kind::Levit => ((256.0 / 224.0 * f64::from(side)) as u32, cropped),
            // A null in the file means none.
            Kind::PoolFormer if json.get("crop_pct").is_none() => (larger(side, 0.9), cropped),
            Kind::PoolFormer => (
                percent.map_or(side, |percent| larger(side, percent)),
                cropped,
            ),
            _ => (side, cropped),
        };
        if size.get("longest_edge").is_some() {
            return Err("a limit on the longer side".into());
        }
        let out = out.ok_or("a resize of the shorter side without a crop")?;
        return Ok((shorter_side(side, filter), Some(out)));
    }
    let (width, height) = sides(size).ok_or_else(|| match size.is_null() {
        true => "a size without naming it".to_string(),
        false => format!("the size {size}"),
    })?;
    let squared = width == height;
    match (kind, cropped) {
        (Kind::Perceiver, Some((side, other))) if side == other && squared => {
            // Cut first, then resized: the same part of the photo.
            Ok((shorter_side(side, filter), Some((width, height))))
        }
        (Kind::PoolFormer, Some(out)) if squared => {
            let side = percent.map_or(width, |percent| larger(width, percent));
            Ok((shorter_side(side, filter), Some(out)))
        }
        (_, None) => Ok((exact(None, filter), Some((width, height)))),
        (_, Some(out)) if out == (width, height) => Ok((exact(None, filter), Some(out))),
        (_, Some(out)) if squared => Ok((exact(Some(width), filter), Some(out))),
        (_, Some(out)) => Err(format!(
            "a crop of {} × {} from {width} × {height}",
            out.0, out.1
        )),
    }
}

/// Pillow's numbers or torchvision's words.
fn filter(json: &Value) -> Result<Filter, String> {
    match json.get("resample").unwrap_or(&Value::Null) {
        Value::Null => Err("a filter without naming it".into()),
        value => match value
            .as_u64()
            .map(|number| number.to_string())
            .as_deref()
            .or(value.as_str())
        {
            Some("0" | "nearest") => Ok(Filter::Nearest),
            Some("1" | "lanczos") => Ok(Filter::Lanczos),
            Some("2" | "bilinear") => Ok(Filter::Bilinear),
            Some("3" | "bicubic") => Ok(Filter::Bicubic),
            Some("4" | "box") => Ok(Filter::Box),
            _ => Err(format!("the filter {value}")),
        },
    }
}

fn short_edge(size: &Value, shortens: bool) -> Option<u32> {
    let edge = match size {
        Value::Object(map) => map.get("shortest_edge")?,
        one if shortens => one,
        _ => return None,
    };
    u32::try_from(edge.as_u64()?).ok()
}

/// Width and height of `224`, `[224, 224]` (height first) or `{"height": …, "width": …}`.
fn sides(value: &Value) -> Option<(u32, u32)> {
    let side = |value: &Value| u32::try_from(value.as_u64()?).ok();
    match value {
        Value::Object(map) => match map.get("shortest_edge") {
            Some(edge) => side(edge).map(|side| (side, side)),
            None => side(map.get("width")?).zip(side(map.get("height")?)),
        },
        Value::Array(list) => match list.as_slice() {
            [height, width] => side(width).zip(side(height)),
            [one] => side(one).map(|side| (side, side)),
            _ => None,
        },
        one => side(one).map(|side| (side, side)),
    }
}
