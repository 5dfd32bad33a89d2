//! Custom Vision's notes, its metadata_properties.json, and Lobe's signature.json → what they say.

use serde_json::Value;

use super::{Pixels, Said, exact, labels, python, shorter_side};
use crate::manifest::{Activation, Channels, Filter};

/// WinML's notes (`docs/MetadataProps.md` of ONNX), which Custom Vision writes too, in any case.
pub(super) fn image<'a>(said: &mut Said, note: &dyn Fn(&str) -> Option<&'a str>) {
    let lower = |key: &str| note(key).map(str::to_ascii_lowercase);
    said.channels = said
        .channels
        .or(match lower("Image.BitmapPixelFormat").as_deref() {
            Some("bgr8" | "bgra8") => Some(Channels::Bgr),
            Some("rgb8" | "rgba8") => Some(Channels::Rgb),
            Some("gray8") => Some(Channels::Grey),
            _ => None,
        });
    let range = lower("Image.NominalPixelRange");
    let custom_vision = note("CustomVision.Metadata.Version").is_some();
    let scaled = match range.as_deref() {
        // As in that code.
        None if custom_vision => Some(Pixels::scaled(1.0 / 255.0)),
        Some("nominalrange_0_255") => Some(Pixels::scaled(1.0)),
        Some("normalized_0_1") => Some(Pixels::scaled(1.0 / 255.0)),
        Some("normalized_1_1") => Some(Pixels {
            scale: 1.0 / 255.0,
            mean: vec![0.5],
            std: vec![0.5],
        }),
        Some("nominalrange_16_235") => {
            // 0 to 255 → 16 to 235.
            Some(Pixels {
                scale: 219.0 / 255.0,
                mean: vec![-16.0],
                std: vec![1.0],
            })
        }
        _ => None,
    };
    let list = |key: &str| numbers(note(key)?);
    let mean = list("CustomVision.Preprocess.NormalizeMean");
    let std = list("CustomVision.Preprocess.NormalizeStd");
    said.pixels = said.pixels.take().or(scaled.map(|mut pixels| {
        let plain = |values: &[f64], value: f64| values.iter().all(|&v| v == value);
        if let (Some(mean), Some(std)) = (mean, std)
            && !(plain(&mean, 0.0) && plain(&std, 1.0))
        {
            (pixels.mean, pixels.std) = (mean, std);
        }
        pixels
    }));
    if custom_vision && said.resize.is_none() {
        // As in the sample code of an export: `PIL.Image.resize((width, height))`.
        said.resize = Some(exact(None, Filter::Bicubic));
        let side = |key: &str| note(key)?.parse().ok().filter(|&side: &u32| side > 0);
        let sides = |what: &str| {
            let side = |axis: &str| side(&format!("CustomVision.Preprocess.{what}{axis}"));
            side("Width").zip(side("Height"))
        };
        // Before a crop, the target is larger than the input.
        said.size = sides("Crop").or(sides("Target"));
    }
    said.activation = said
        .activation
        .or(match note("CustomVision.Postprocess.Method") {
            Some("ClassificationMultiClass") => Some(Activation::Softmax),
            Some("ClassificationMultiLabel") => Some(Activation::Sigmoid),
            _ => None,
        });
}

/// `metadata_properties.json` of an export: the same keys as the notes.
pub(super) fn properties(from: &str, json: &Value) -> Option<Said> {
    let mut said = Said::by(from);
    image(&mut said, &|key| json.get(key)?.as_str());
    Some(said)
}

/// Lobe: labels and the input's size. Lobe's own code cuts out the middle square and divides by 255.
pub(super) fn signature(from: &str, json: &Value) -> Option<Said> {
    let mut said = Said::by(from);
    said.labels = labels::listed(json.get("classes")?.get("Label")?);
    // Lobe's own name for a project without one.
    said.name = json
        .get("doc_name")
        .and_then(Value::as_str)
        .filter(|name| *name != "Untitled")
        .map(String::from);
    let inputs = json.get("inputs")?.as_object()?;
    let shape = inputs.values().next()?.get("shape")?.as_array()?;
    let sides: Vec<Option<u32>> = shape.iter().map(side).collect();
    if let [_, Some(height), Some(width), Some(3)] = sides[..] {
        said.size = Some((width, height));
        said.channels = Some(Channels::Rgb);
        said.pixels = Some(Pixels::scaled(1.0 / 255.0));
        said.resize = (width == height).then(|| shorter_side(width, Filter::Bicubic));
    }
    Some(said)
}

fn side(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

fn numbers(text: &str) -> Option<Vec<f64>> {
    let Value::Array(list) = python::literal(text)? else {
        return None;
    };
    list.iter().map(Value::as_f64).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exports_of_custom_vision_say_how_large_the_input_is_and_its_range() {
        let said = |crop: &str, range: Option<&str>| {
            let mut json = json!({
                "CustomVision.Metadata.Version": "1.1",
                "CustomVision.Postprocess.Method": "ClassificationMultiLabel",
                "CustomVision.Preprocess.CropHeight": crop,
                "CustomVision.Preprocess.CropMethod": "OneCropCenter",
                "CustomVision.Preprocess.CropWidth": crop,
                "CustomVision.Preprocess.NormalizeMean": "[0.0, 0.0, 0.0]",
                "CustomVision.Preprocess.NormalizeStd": "[1.0, 1.0, 1.0]",
                "CustomVision.Preprocess.ResizeMethod": "ByShorterSideAlign32",
                "CustomVision.Preprocess.TargetHeight": "256",
                "CustomVision.Preprocess.TargetWidth": "256",
                "Image.BitmapPixelFormat": "Rgb8",
            });
            if let Some(range) = range {
                json["Image.NominalPixelRange"] = range.into();
            }
            properties("metadata_properties.json", &json).unwrap()
        };
        let found = said("224", Some("NominalRange_0_255"));
        assert_eq!(found.size, Some((224, 224)));
        assert_eq!(found.pixels, Some(Pixels::scaled(1.0)));
        assert_eq!(found.activation, Some(Activation::Sigmoid));
        let found = said("0", None);
        assert_eq!(found.size, Some((256, 256)));
        assert_eq!(found.pixels, Some(Pixels::scaled(1.0 / 255.0)));
    }

    #[test]
    fn exports_of_lobe_say_what_they_know_whatever_their_age() {
        let said = |name: &str, outputs: Value| {
            let json = json!({
                "doc_id": "7783a0f8", "doc_name": name, "format": "onnx", "version": 6,
                "inputs": {"Image": {"dtype": "float32", "shape": [null, 224, 224, 3], "name": "Image:0"}},
                "outputs": outputs, "tags": null, "classes": {"Label": ["no sign", "thumbs up"]},
                "filename": "model.onnx",
            });
            signature("signature.json", &json).unwrap()
        };
        let scores = json!({"dtype": "float32", "shape": [null, 2], "name": "dense_2/Softmax:0"});
        let found = said("Untitled", json!({ "Confidences": scores }));
        assert_eq!(found.name, None);
        assert_eq!(found.size, Some((224, 224)));
        assert_eq!(found.labels.unwrap(), ["no sign", "thumbs up"]);
        let both =
            json!({"Prediction": {"dtype": "string", "shape": [null]}, "Confidences": scores});
        assert_eq!(said("Signs", both).name.as_deref(), Some("Signs"));
    }
}
