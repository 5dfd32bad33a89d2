//! model folder → the same folder, with a plan in its ONNX file.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use sha2::{Digest, Sha256};
use whylens::model::PLAN;
use whylens::{Manifest, pack};

use super::folder::coded;

/// Prepare a model folder that was made by other means than `pack`, so that pages load it faster
#[derive(Args)]
pub struct Arguments {
    /// Model folder; its ONNX file and model.json are written anew
    model: PathBuf,
}

/// Adds the plan, and tells `model.json` of the file's new size and SHA-256.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let place = arguments.model.join("model.json");
    let read =
        |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let json = read(&place)?;
    let (manifest, _) = Manifest::parse(&json).map_err(coded)?;
    let weights = arguments.model.join(&manifest.weights.file);
    let planned = pack::plan(&read(&weights)?, &manifest).map_err(coded)?;
    let digest = Sha256::digest(&planned);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let old = manifest.weights;
    // Everything else in the file, its layout too, stays as it was.
    let mut text = String::from_utf8(json)?
        .replace(&old.sha256, &digest)
        .replace(
            &format!("\"bytes\": {}", old.bytes),
            &format!("\"bytes\": {}", planned.len()),
        );
    if old.plan.is_none() {
        text = text.replacen(
            "\"precision\":",
            &format!("\"plan\": {PLAN},\n    \"precision\":"),
            1,
        );
    }
    let told: Value = serde_json::from_str(&text)?;
    anyhow::ensure!(
        told["weights"]["bytes"] == planned.len()
            && told["weights"]["sha256"] == digest.as_str()
            && told["weights"]["plan"] == PLAN,
        "bad-manifest: `weights` in model.json cannot be changed; write \"bytes\": {}, \"plan\": {PLAN} by hand",
        planned.len()
    );
    fs::write(&weights, &planned).with_context(|| format!("cannot write {}", weights.display()))?;
    fs::write(&place, text).with_context(|| format!("cannot write {}", place.display()))?;
    println!(
        "{}: {} bytes, SHA-256 {digest}",
        weights.display(),
        planned.len()
    );
    Ok(ExitCode::SUCCESS)
}
