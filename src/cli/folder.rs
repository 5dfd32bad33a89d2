//! model folder → its files, checked, and the classifier that they make.

use std::path::{Path, PathBuf};

use anyhow::Result;
use whylens::internal::{sha256, sniff};
use whylens::manifest::MOST_TEXT;
use whylens::{Classifier, Error, Manifest, Options};

use super::read;

/// What a model folder holds, checked against its `model.json`.
pub struct Model {
    pub manifest: Manifest,
    labels: Vec<u8>,
    pub onnx: Vec<u8>,
}

impl Model {
    /// Loads the model. Warnings go to standard error.
    pub fn classifier(&self, options: &Options) -> Result<Classifier> {
        let manifest = self.manifest.clone();
        let classifier = Classifier::new(manifest, &self.labels, &self.onnx, options)?;
        for warning in classifier.warnings() {
            eprintln!("whylens: {warning}");
        }
        Ok(classifier)
    }
}

/// Reads a model folder, given by its own path or that of its `model.json`. Warnings go to standard error.
pub fn read(path: &Path) -> Result<Model> {
    let (mut manifest, warnings, _) = manifest(path)?;
    for warning in warnings {
        eprintln!("whylens: {warning}");
    }
    let folder = of(path);
    let languages = std::env::var("LANG")
        .ok()
        .map(|lang| lang.replace('_', "-"));
    manifest.speak(languages.as_slice());
    let (_, file) = manifest.label_file(languages.as_slice());
    let labels = labels(&folder.join(file))?;
    let onnx = weights(folder, &manifest)?;
    Ok(Model {
        manifest,
        labels,
        onnx,
    })
}

/// The model folder of a path, which may be that of its `model.json`.
pub fn of(path: &Path) -> &Path {
    if path.is_dir() {
        path
    } else {
        path.parent().unwrap_or(Path::new(""))
    }
}

/// The `model.json` of a folder, its warnings, and its bytes.
pub fn manifest(path: &Path) -> Result<(Manifest, Vec<String>, Vec<u8>)> {
    let file = if path.is_dir() {
        path.join("model.json")
    } else {
        path.to_path_buf()
    };
    let json = read::file(&file, MOST_TEXT, Error::BadManifest)?;
    let (manifest, warnings) = Manifest::parse(&json)?;
    Ok((manifest, warnings, json))
}

/// A file of labels.
pub fn labels(path: &Path) -> Result<Vec<u8>> {
    read::file(path, MOST_TEXT, Error::BadManifest)
}

/// The files of a folder that the manifest names: weights, or their parts, and labels.
pub fn files(folder: &Path, manifest: &Manifest) -> Vec<PathBuf> {
    let weights = &manifest.weights;
    let parts = weights.parts.iter().map(|part| &part.file);
    let names = parts.chain([&weights.file]).chain(manifest.labels.values());
    names.map(|name| folder.join(name)).collect()
}

/// The ONNX file, or its parts one after the other, checked against the manifest.
pub fn weights(folder: &Path, manifest: &Manifest) -> Result<Vec<u8>> {
    let weights = &manifest.weights;
    if weights.bytes > read::MOST_ONNX {
        return Err(Error::OverMemoryLimit(format!(
            "model.json says that {} has {} bytes, an ONNX file has at most {}; export a smaller model",
            weights.file,
            weights.bytes,
            read::MOST_ONNX
        ))
        .into());
    }
    let mut onnx = Vec::new();
    let mut add = |file: &str, bytes: u64| -> Result<()> {
        let before = onnx.len() as u64;
        read::append(&mut onnx, &folder.join(file), bytes, |text| {
            Error::Integrity(format!("{text} by model.json; copy both again"))
        })?;
        let actual = onnx.len() as u64 - before;
        if actual < bytes {
            return Err(sniff::truncated(actual, bytes, file).into());
        }
        Ok(())
    };
    for part in &weights.parts {
        add(&part.file, part.bytes)?;
    }
    if weights.parts.is_empty() {
        add(&weights.file, weights.bytes)?;
    }
    let (actual, expected) = (sha256(&onnx), weights.sha256.as_str());
    sniff::identity(
        (onnx.len() as u64, &actual),
        (weights.bytes, expected),
        &weights.file,
    )?;
    Ok(onnx)
}
