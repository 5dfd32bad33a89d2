//! Teachable Machine's metadata.json → labels, and what its own code does with a photo.

use serde_json::Value;

use super::{Pixels, Said, labels, shorter_side};
use crate::manifest::{Channels, Filter};

/// What the website calls every model.
const UNNAMED: &str = "tm-my-image-model";

/// Whether a `model.json` is for TensorFlow.js, as from Teachable Machine: it says nothing about photos.
pub fn is_tensorflow(json: &[u8]) -> bool {
    let json: Option<Value> = serde_json::from_slice(json).ok();
    json.is_some_and(|json| json.get("weightsManifest").is_some())
}

/// The middle square of a photo, −1 to 1, as in the Python code of an export:
/// `ImageOps.fit(image, size, LANCZOS)` and `pixel / 127.5 - 1`.
pub(super) fn metadata(from: &str, json: &Value) -> Option<Said> {
    let package = json.get("packageName").and_then(Value::as_str);
    json.get("tmVersion").or(json.get("packageName"))?;
    // A model of poses takes no photo.
    if package.is_some_and(|name| name.ends_with("/pose")) {
        return None;
    }
    let mut said = Said::by(from);
    said.labels = labels::listed(json.get("labels")?);
    said.name = json
        .get("modelName")
        .and_then(Value::as_str)
        .filter(|name| *name != UNNAMED)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn old_and_new_exports_are_read_and_models_of_poses_and_sounds_are_not() {
        let image = |more: Value| {
            let mut json = json!({
                "tfjsVersion": "1.3.1", "tmVersion": "2.1.2", "packageVersion": "0.8.4",
                "packageName": "@teachablemachine/image", "timeStamp": "2020-05-20T11:28:36.478Z", "userMetadata": {},
                "modelName": "tm-my-image-model", "labels": ["Rice", "Fish & Chips"],
            });
            json.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            metadata("metadata.json", &json)
        };
        // In 2020 they did not tell the size of the input.
        let found = image(json!({})).unwrap();
        assert_eq!((found.size, found.name), (Some((224, 224)), None));
        assert_eq!(found.labels.unwrap(), ["Rice", "Fish & Chips"]);
        let found =
            image(json!({"imageSize": 96, "grayscale": true, "modelName": "Rice?"})).unwrap();
        assert_eq!(
            (found.size, found.name.as_deref()),
            (Some((96, 96)), Some("Rice?"))
        );
        assert_eq!(found.channels, Some(Channels::Grey));
        assert!(image(json!({"packageName": "@teachablemachine/pose"})).is_none());
        let sounds = json!({"tfjsSpeechCommandsVersion": "0.4.0", "modelName": "TMv2", "wordLabels": ["Mar"]});
        assert!(metadata("metadata.json", &sounds).is_none());
    }
}
