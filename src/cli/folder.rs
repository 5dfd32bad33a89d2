//! model folder → classifier.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use whylens::model::Options;
use whylens::{Classifier, Error, Manifest};

/// Reads a model folder (or its `model.json`), checks the weights against the manifest and prepares
/// the model. Warnings go to standard error.
pub fn load(path: &Path, options: &Options) -> Result<Classifier> {
    let folder = if path.is_dir() {
        path
    } else {
        path.parent().unwrap_or(Path::new("."))
    };
    let manifest = if path.is_dir() {
        path.join("model.json")
    } else {
        path.to_path_buf()
    };
    let (manifest, warnings) = Manifest::parse(&read(&manifest)?).map_err(coded)?;
    for warning in warnings {
        eprintln!("whylens: {warning}");
    }
    let languages = std::env::var("LANG")
        .ok()
        .map(|lang| lang.replace('_', "-"));
    let (_, labels) = manifest.label_file(languages.as_slice());
    let labels = read(&folder.join(labels))?;
    let onnx = weights(folder, &manifest)?;
    let classifier = Classifier::new(manifest, &labels, &onnx, options).map_err(coded)?;
    for warning in classifier.warnings() {
        eprintln!("whylens: {warning}");
    }
    Ok(classifier)
}

/// The ONNX file, or its parts one after the other, checked against the manifest.
pub fn weights(folder: &Path, manifest: &Manifest) -> Result<Vec<u8>> {
    let mut onnx = Vec::new();
    for part in &manifest.weights.parts {
        onnx.extend_from_slice(&read(&folder.join(&part.file))?);
    }
    if manifest.weights.parts.is_empty() {
        onnx = read(&folder.join(&manifest.weights.file))?;
    }
    check(&onnx, manifest).map_err(coded)?;
    Ok(onnx)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn check(onnx: &[u8], manifest: &Manifest) -> whylens::Result<()> {
    let (actual, expected) = (onnx.len() as u64, manifest.weights.bytes);
    let file = &manifest.weights.file;
    if actual < expected {
        return Err(Error::Truncated(format!(
            "{file} has {actual} bytes, model.json says {expected}; copy it again"
        )));
    }
    let digest: String = Sha256::digest(onnx)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if digest != manifest.weights.sha256 {
        let expected = &manifest.weights.sha256;
        return Err(Error::Integrity(format!(
            "{file} has the SHA-256 {digest}, model.json says {expected}"
        )));
    }
    Ok(())
}

/// The error with its stable code in front, as the page shows it.
pub fn coded(error: Error) -> anyhow::Error {
    anyhow::anyhow!("{}: {error}", error.code())
}
