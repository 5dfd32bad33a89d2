//! Teachable Machine's metadata.json → labels, and what its own code does with a photo.

use serde_json::Value;

use super::{Pixels, Said, labels, shorter_side};
use crate::manifest::{Channels, Filter};

/// Whether a `model.json` is for TensorFlow.js, as from Teachable Machine: it says nothing about photos.
pub fn is_tensorflow(json: &[u8]) -> bool {
    let json: Option<Value> = serde_json::from_slice(json).ok();
    json.is_some_and(|json| json.get("weightsManifest").is_some())
}

/// The middle square of a photo, −1 to 1, as in the Python code of an export:
/// `ImageOps.fit(image, size, LANCZOS)` and `pixel / 127.5 - 1`.
pub(super) fn metadata(from: &str, json: &Value) -> Option<Said> {
    json.get("tmVersion").or(json.get("packageName"))?;
    let mut said = Said::by(from);
    said.labels = labels::listed(json.get("labels")?);
    said.name = json
        .get("modelName")
        .and_then(Value::as_str)
        .map(String::from);
    let side = u32::try_from(json.get("imageSize").map_or(Some(224), Value::as_u64)?).ok()?;
    let grey = json.get("grayscale").and_then(Value::as_bool) == Some(true);
    said.size = Some((side, side));
    said.channels = Some(if grey { Channels::Grey } else { Channels::Rgb });
    said.resize = Some(shorter_side(side, Filter::Lanczos));
    said.pixels = Some(Pixels {
        scale: 1.0 / 127.5,
        mean: vec![1.0],
        std: vec![1.0],
    });
    Some(said)
}
