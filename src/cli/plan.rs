//! model folder → the same folder, with a plan in its ONNX file.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;
use whylens::internal::{PLAN, sha256};
use whylens::{Error, pack};

use super::folder;
use super::staged::Staged;

/// Adds the plan, and writes the file's new size and SHA-256 into `model.json`.
pub fn run(folder: &Path) -> Result<ExitCode> {
    let (manifest, _, json) = folder::manifest(&folder.join("model.json"))?;
    if !manifest.weights.parts.is_empty() {
        return Err(Error::BadOption(format!(
            "the weights of {} are in parts; pack the folder that `whylens dist` made it from",
            folder.display()
        ))
        .into());
    }
    let planned = pack::plan(&folder::weights(folder, &manifest)?, &manifest)?;
    let digest = sha256(&planned);
    let old = manifest.weights;
    // Everything else in the file, its layout too, stays as it was.
    let mut text = String::from_utf8(json)?
        .replace(&old.sha256, &digest)
        .replace(
            &format!("\"bytes\": {}", old.bytes),
            &format!("\"bytes\": {}", planned.len()),
        );
    let (from, to) = match old.plan {
        Some(version) => (format!("\"plan\": {version}"), format!("\"plan\": {PLAN}")),
        None => (
            "\"precision\":".into(),
            format!("\"plan\": {PLAN},\n    \"precision\":"),
        ),
    };
    text = text.replacen(&from, &to, 1);
    let told: Value = serde_json::from_str(&text)?;
    if told["weights"]["bytes"] != planned.len()
        || told["weights"]["sha256"] != digest.as_str()
        || told["weights"]["plan"] != PLAN
    {
        return Err(Error::BadManifest(format!(
            "`weights` in model.json cannot be changed; write \"bytes\": {}, \"plan\": {PLAN} by hand",
            planned.len()
        ))
        .into());
    }
    let mut staged = Staged::begin(folder)?;
    staged.write(&old.file, &planned)?;
    staged.write("model.json", text.as_bytes())?;
    staged.commit()?;
    println!(
        "{}: {} bytes, SHA-256 {digest}",
        folder.join(&old.file).display(),
        planned.len()
    );
    Ok(ExitCode::SUCCESS)
}
