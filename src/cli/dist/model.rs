//! model folder → its files in the site, checked, named by content and cut into parts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use whylens::internal::{estimate, sha256};
use whylens::manifest::Weights;
use whylens::{Manifest, Options};

use super::planes::planes;
use super::source::Source;
use super::{Arguments, Files};
use crate::{folder, policy};

/// Checks a model, adds it to the site and returns its folder there.
pub fn add(
    site: &mut Files,
    all_weights: &mut BTreeSet<String>,
    path: &Path,
    arguments: &Arguments,
) -> Result<String> {
    let folder = match path.parent() {
        Some(parent) if path.is_file() => parent,
        _ => path,
    };
    let source = Source::new(folder, arguments.follow_links)?;
    let named = || format!("model {}", folder.display());
    let json = source.text("model.json")?;
    let (manifest, _) = Manifest::parse(&json).with_context(named)?;
    let Weights { file, parts, .. } = &manifest.weights;
    let parts = parts.iter().map(|part| &part.file);
    for name in manifest.labels.values().chain(parts) {
        source.real(name)?;
    }
    if manifest.weights.parts.is_empty() {
        source.real(file)?;
    }
    let model = folder::read(folder).with_context(named)?;
    model.classifier(&Options::default()).with_context(named)?;
    if let Some(warning) = estimate::warning(&manifest, arguments.memory_limit) {
        eprintln!("whylens: {warning}");
    }
    let mut json: Value = serde_json::from_slice(&json)?;
    let target = address(&source.folder)?;
    ensure!(
        !site.contains_key(&format!("{target}model.json")),
        "two models are named {target}; rename a folder"
    );

    let split = arguments.split;
    let weights = model.onnx;
    let file = by_content(&manifest.weights.file, &weights);
    json["weights"]["file"] = file.clone().into();
    if let Some(weights) = json["weights"].as_object_mut() {
        weights.remove("parts");
        weights.remove("planes");
    }
    if split > 0 && weights.len() as u64 > split {
        let parts = weights.len().div_ceil(usize::try_from(split)?);
        let mut list = Vec::new();
        for (index, part) in weights.chunks(weights.len().div_ceil(parts)).enumerate() {
            let name = format!("{file}.{index}");
            list.push(json!({ "file": name, "bytes": part.len() }));
            all_weights.insert(format!("{target}{name}"));
            site.insert(format!("{target}{name}"), part.to_vec());
        }
        json["weights"]["parts"] = list.into();
    } else {
        if let Some(planes) = planes(&weights) {
            let name = by_content("model.planes", &planes);
            json["weights"]["planes"] = json!({ "file": name, "bytes": planes.len() });
            all_weights.insert(format!("{target}{name}"));
            site.insert(format!("{target}{name}"), planes);
        }
        all_weights.insert(format!("{target}{file}"));
        site.insert(format!("{target}{file}"), weights);
    }
    for (language, name) in &manifest.labels {
        let labels = source.text(name)?;
        let name = by_content(name, &labels);
        json["labels"][language] = name.clone().into();
        site.insert(format!("{target}{name}"), labels);
    }
    let mut licences = Files::new();
    for entry in fs::read_dir(&source.folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("LICENSE") || name.starts_with("NOTICE") {
            source.read_all(&name, &mut Vec::new(), &mut licences)?;
        }
    }
    for (name, bytes) in licences {
        site.insert(format!("{target}{name}"), bytes);
    }
    site.insert(
        format!("{target}model.json"),
        serde_json::to_vec_pretty(&json)?,
    );
    Ok(target)
}

/// `models/<name>/`, with nothing in the name that an address would have to escape.
fn address(source: &Path) -> Result<String> {
    let name = source
        .file_name()
        .context("a model folder needs a name")?
        .to_string_lossy();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).collect();
    // Servers hide names that begin with a dot.
    let name = match name.trim_start_matches('.') {
        "" => "model",
        name => name,
    };
    Ok(format!("models/{name}/"))
}

/// `model.onnx` → `model.<hash>.onnx`.
fn by_content(name: &str, bytes: &[u8]) -> String {
    let hash = &sha256(bytes)[..policy::HASH];
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}.{hash}.{extension}"),
        None => format!("{name}.{hash}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_content_keep_their_extension() {
        assert_eq!(
            by_content("labels.vi.txt", b""),
            "labels.vi.e3b0c44298fc1c14.txt"
        );
    }
}
