//! timm's config.json (`pretrained_cfg`) → what its evaluation transform does.

use serde_json::Value;

use super::{Pixels, Said, exact, labels, shorter_side};
use crate::manifest::{Activation, Channels, Filter};

/// Read like `timm.data.resolve_data_config` and `transforms_imagenet_eval`, with their defaults.
pub(super) fn config(from: &str, json: &Value) -> Option<Said> {
    let cfg = json.get("pretrained_cfg")?;
    let mut said = Said::by(from);
    said.name = text(json, "architecture");
    said.license = text(cfg, "license");
    let names = json.get("label_names").or(cfg.get("label_names"));
    said.labels = names.and_then(labels::listed);
    said.activation = Some(Activation::Softmax);
    let size: Option<Vec<u32>> = cfg.get("input_size").and_then(|list| {
        let side = |value: &Value| u32::try_from(value.as_u64()?).ok();
        list.as_array()?.iter().map(side).collect()
    });
    let number = |key: &str, default: f64| cfg.get(key).and_then(Value::as_f64).unwrap_or(default);
    let list = |key: &str, default: [f64; 3]| {
        let list = cfg.get(key).and_then(Value::as_array);
        let list = list.and_then(|list| list.iter().map(Value::as_f64).collect());
        list.unwrap_or_else(|| default.to_vec())
    };
    let mean = list("mean", [0.485, 0.456, 0.406]);
    said.channels = match mean.len() {
        1 => Some(Channels::Grey),
        _ => Some(Channels::Rgb),
    };
    said.pixels = Some(Pixels {
        scale: 1.0 / 255.0,
        mean,
        std: list("std", [0.229, 0.224, 0.225]),
    });
    let &[_, height, width] = size.as_deref().unwrap_or(&[3, 224, 224]) else {
        return Some(said);
    };
    said.size = Some((width, height));
    let filter = match cfg.get("interpolation").and_then(Value::as_str) {
        None | Some("bicubic") => Filter::Bicubic,
        Some("bilinear") => Filter::Bilinear,
        Some("nearest") => Filter::Nearest,
        Some("lanczos") => Filter::Lanczos,
        Some("box") => Filter::Box,
        Some(other) => {
            said.limits.push(format!(
                "{from} requires the filter `{other}`, which is not available here"
            ));
            return Some(said);
        }
    };
    // `math.floor(x / crop_pct)`.
    let larger = |side: u32| (f64::from(side) / number("crop_pct", 0.875)).floor() as u32;
    let mode = cfg.get("crop_mode").and_then(Value::as_str);
    said.resize = match mode.unwrap_or("center") {
        "squash" if larger(width) == width && larger(height) == height => Some(exact(None, filter)),
        "squash" if width == height => Some(exact(Some(larger(width)), filter)),
        "center" if width == height => Some(shorter_side(larger(width), filter)),
        mode => {
            said.limits.push(format!(
                "{from} requires the crop `{mode}` to {width} × {height}, which model.json cannot express"
            ));
            None
        }
    };
    Some(said)
}

fn text(json: &Value, key: &str) -> Option<String> {
    json.get(key)?.as_str().map(String::from)
}
