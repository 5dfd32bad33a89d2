//! names of files → the ONNX file to take and the texts that may describe it.

use serde::Serialize;

use super::labels;
use crate::error::{Error, Result};

/// Files to which exporters give fixed names.
const KNOWN: [&str; 6] = [
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "metadata.json",
    "metadata_properties.json",
    "signature.json",
];

/// The files of a folder that belong to a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// Name of the ONNX file.
    pub onnx: String,
    /// Names of the texts that may describe it.
    pub texts: Vec<String>,
    /// Names of the files beside it that may hold its weights.
    pub weights: Vec<String>,
}

/// Chooses among files by their names alone (`/` between folders): the ONNX file and the texts beside it and
/// in the folder above, where `optimum` writes them.
///
/// `model.onnx` comes before `model_fp16.onnx`, `model_quantized.onnx` and the like, which are made from it.
///
/// # Errors
/// [`Error::NotAModel`] if there is no ONNX file, [`Error::BadOption`] if there are several models.
pub fn choose(names: &[String]) -> Result<Choice> {
    let hidden = |name: &str| {
        name.split('/')
            .any(|part| part.starts_with('.') || part == "__MACOSX")
    };
    let plain = || names.iter().filter(|name| !hidden(name));
    let models: Vec<&String> = plain().filter(|name| is_onnx(name)).collect();
    let onnx = match models.as_slice() {
        [] => {
            return Err(Error::NotAModel(
                "there is no .onnx file in it; export the model to ONNX first".into(),
            ));
        }
        [one] => *one,
        several => original(several)?,
    };
    let folder = folder(onnx);
    let above = match folder {
        "" => None,
        folder => Some(self::folder(folder)),
    };
    let mut texts = Vec::new();
    for place in [Some(folder), above].into_iter().flatten() {
        for name in plain().filter(|name| self::folder(name) == place) {
            // A nearer file hides one of the same name above.
            let nearer = texts.iter().any(|near: &String| base(near) == base(name));
            if (speaks_of(name, onnx) || labels::is_lone(name)) && !nearer {
                texts.push(name.clone());
            }
        }
    }
    let weights = plain().filter(|name| self::folder(name) == folder && may_hold_weights(name));
    Ok(Choice {
        onnx: onnx.clone(),
        texts,
        weights: weights.cloned().collect(),
    })
}

/// Whether the name of a text shows that it describes a model: an exporter's name, one for labels, or the
/// model's own.
pub fn speaks_of(text: &str, onnx: &str) -> bool {
    let stem = |name: &str| {
        base(name)
            .rsplit_once('.')
            .map(|(stem, _)| stem.to_ascii_lowercase())
    };
    let namesake = stem(text) == stem(onnx) && is_text(text);
    KNOWN.contains(&base(text)) || labels::is_named(text) || namesake
}

/// The file from which the others are made: their names begin with its name.
fn original<'a>(models: &[&'a String]) -> Result<&'a String> {
    let stem = |name: &str| base(name)[..base(name).len() - ".onnx".len()].to_ascii_lowercase();
    // The best first: `model` < `model_fp16` < `model_quantized`.
    let ranked = [
        "",
        "_optimized",
        "_simplified",
        "_fp32",
        "_fp16",
        "_quantized",
        "_int8",
        "_uint8",
        "_q8",
    ];
    for name in models {
        let own = stem(name);
        if models.iter().all(|other| stem(other).starts_with(&own)) {
            return Ok(name);
        }
    }
    for ending in ranked {
        if let Some(name) = models
            .iter()
            .find(|name| stem(name) == format!("model{ending}"))
        {
            return Ok(name);
        }
    }
    let names: Vec<&str> = models.iter().take(5).map(|name| name.as_str()).collect();
    Err(Error::BadOption(format!(
        "there are {} models in it ({}); name the file of one, or keep only that one",
        models.len(),
        names.join(", ")
    )))
}

/// Any name is possible, except those of other kinds of files.
fn may_hold_weights(name: &str) -> bool {
    let other = [
        "ckpt",
        "gif",
        "h5",
        "jpeg",
        "jpg",
        "keras",
        "md",
        "msgpack",
        "onnx",
        "pb",
        "png",
        "pt",
        "pth",
        "py",
        "safetensors",
        "tflite",
        "webp",
        "zip",
    ];
    let base = base(name).to_ascii_lowercase();
    let kind = base.rsplit_once('.').map_or("", |(_, kind)| kind);
    let frameworks = ["pytorch_model", "tf_model", "flax_model"];
    let foreign = frameworks.iter().any(|name| base.starts_with(name));
    !foreign && !is_text(name) && !other.contains(&kind)
}

/// Whether this is the name of an ONNX file.
pub(super) fn is_onnx(name: &str) -> bool {
    base(name).to_ascii_lowercase().ends_with(".onnx") && base(name).len() > ".onnx".len()
}

/// Whether this is the name of a text that may describe a model.
pub fn is_text(name: &str) -> bool {
    let base = base(name).to_ascii_lowercase();
    let kind = base.rsplit_once('.').map(|(_, kind)| kind);
    matches!(kind, Some("json" | "txt" | "csv" | "tsv" | "names"))
}

fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn folder(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> Result<(String, Vec<String>)> {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        choose(&names).map(|Choice { onnx, texts, .. }| (onnx, texts))
    }

    #[test]
    fn of_the_files_of_a_model_the_one_as_exported_is_taken() {
        let optimum = [
            "README.md",
            "config.json",
            "preprocessor_config.json",
            "onnx/model_quantized.onnx",
            "onnx/model_fp16.onnx",
            "onnx/model.onnx",
            "onnx/model.onnx_data",
            "__MACOSX/onnx/._model.onnx",
        ];
        let (onnx, texts) = chosen(&optimum).unwrap();
        assert_eq!(onnx, "onnx/model.onnx");
        assert_eq!(texts, ["config.json", "preprocessor_config.json"]);
        let (onnx, _) =
            chosen(&["model_quantized.onnx", "model_fp16.onnx", "model_q4.onnx"]).unwrap();
        assert_eq!(onnx, "model_fp16.onnx");
        let (onnx, _) = chosen(&["birds_int8.onnx", "birds.onnx"]).unwrap();
        assert_eq!(onnx, "birds.onnx");
    }

    #[test]
    fn weights_are_looked_for_beside_the_model() {
        let names = [
            "onnx/model.onnx",
            "onnx/model.onnx_data",
            "onnx/onnx__MatMul_12",
            "onnx/weights.bin",
            "onnx/pytorch_model.bin",
            "onnx/model.safetensors",
            "other.data",
        ];
        let weights = choose(&names.map(String::from)).unwrap().weights;
        let expected = [
            "onnx/model.onnx_data",
            "onnx/onnx__MatMul_12",
            "onnx/weights.bin",
        ];
        assert_eq!(weights, expected);
    }

    #[test]
    fn texts_are_those_beside_the_model() {
        let (_, texts) = chosen(&[
            "a/b.onnx",
            "a/b.json",
            "a/config.json",
            "config.json",
            "c/labels.txt",
            "other.json",
        ])
        .unwrap();
        assert_eq!(texts, ["a/b.json", "a/config.json"]);
    }

    #[test]
    fn several_models_are_told_apart_by_whoever_has_them() {
        assert_eq!(
            chosen(&["cats.onnx", "dogs.onnx"]).unwrap_err().code(),
            "bad-option"
        );
        assert_eq!(
            chosen(&["model.h5", "labels.txt", ".onnx"])
                .unwrap_err()
                .code(),
            "not-a-model"
        );
    }
}
