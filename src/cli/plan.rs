//! model folder → the same folder, with a plan in its ONNX file.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};
use whylens::internal::{PLAN, memory, sha256};
use whylens::manifest::Weights;
use whylens::{Error, pack};

use super::folder;
use super::staged::Staged;

/// Adds the plan, and writes the file's new size and SHA-256 into `model.json`.
pub fn run(folder: &Path) -> Result<ExitCode> {
    let (manifest, _, json) = folder::manifest(&folder.join("model.json"))?;
    if !manifest.weights.parts.is_empty() || manifest.weights.planes.is_some() {
        return Err(Error::BadOption(format!(
            "the weights of {} are in parts or planes; pack the folder that `whylens dist` made it from",
            folder.display()
        ))
        .into());
    }
    let planned = pack::plan(&folder::weights(folder, &manifest)?, &manifest)?;
    let digest = sha256(&planned);
    let weights = Weights {
        bytes: planned.len() as u64,
        sha256: digest.clone(),
        plan: Some(PLAN),
        unplanned: None,
        memory: memory(&planned),
        ..manifest.weights
    };
    let text = rewritten(&String::from_utf8(json)?, &weights)?;
    let mut staged = Staged::begin(folder)?;
    staged.write(&weights.file, &planned)?;
    staged.write("model.json", text.as_bytes())?;
    staged.commit()?;
    println!(
        "{}: {} bytes, SHA-256 {digest}",
        folder.join(&weights.file).display(),
        planned.len()
    );
    Ok(ExitCode::SUCCESS)
}

/// The text of a `model.json` with other `weights`. Everything else in it, its layout too, stays as it was.
fn rewritten(text: &str, weights: &Weights) -> Result<String> {
    let told = serde_json::to_value(weights)?;
    let starts = text.match_indices("\"weights\"").filter_map(|(at, key)| {
        let rest = &text[at + key.len()..];
        let after = rest.trim_start().strip_prefix(':')?.trim_start();
        Some((at, text.len() - after.len()))
    });
    for (key, start) in starts {
        let mut values = Deserializer::from_str(&text[start..]).into_iter::<IgnoredAny>();
        if !matches!(values.next(), Some(Ok(_))) {
            continue;
        }
        let end = start + values.byte_offset();
        let line = text[..key].rfind('\n').map_or(0, |line| line + 1);
        let indent = &text[line..key];
        let pretty = serde_json::to_string_pretty(weights)?;
        let pretty = match indent.trim().is_empty() {
            true => pretty.replace('\n', &format!("\n{indent}")),
            false => pretty,
        };
        let changed = format!("{}{pretty}{}", &text[..start], &text[end..]);
        let json: Value = serde_json::from_str(&changed)?;
        if json["weights"] == told {
            return Ok(changed);
        }
    }
    Err(Error::BadManifest(format!(
        "`weights` in model.json cannot be changed; write {told} by hand"
    ))
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use whylens::Manifest;

    #[test]
    fn weights_are_told_anew_and_the_rest_stays_as_it_was() {
        let text = include_str!("../../models/efficientnet-lite0/model.json");
        let (manifest, _) = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(rewritten(text, &manifest.weights).unwrap(), text);
        let weights = Weights {
            bytes: 12,
            memory: None,
            plan: None,
            ..manifest.weights.clone()
        };
        let without = rewritten(text, &weights).unwrap();
        assert!(without.contains("\"bytes\": 12,") && !without.contains("\"plan\""));
        assert_eq!(rewritten(&without, &manifest.weights).unwrap(), text);
        let tricky = format!(
            "{{\"name\":\"\\\"weights\\\": 1\",\"output\":{{\"weights\":{{}}}},{}",
            &text[1..]
        );
        let changed = rewritten(&tricky, &weights).unwrap();
        assert!(changed.starts_with(&tricky[..60]), "{changed}");
        assert!(changed.contains("\"bytes\": 12,"), "{changed}");
    }
}
