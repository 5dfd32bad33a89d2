//! models → a folder for a site of one's own, and the site in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use whylens::Error;

use super::build::{self, BUILT};
use super::site::{FILE, TEMPLATE};
use super::staged::Staged;
use super::{folder as model_folder, given, pack, plan, read};

/// Make a site of your own from a model: a folder to change, and the site in it, ready to upload
#[derive(Args)]
pub struct Arguments {
    /// Folder to make
    #[arg(value_name = "SITE")]
    folder: PathBuf,
    /// Models as `whylens pack` takes them: ONNX files, the folders or zips of exporters, hf:ORG/NAME; or model folders,
    /// which are copied
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<PathBuf>,
    /// Title of the site [default: the name of the first model]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    #[command(flatten)]
    description: pack::Description,
    #[command(flatten)]
    making: build::Making,
}

/// Where models are, within the folder.
const MODELS: &str = "models";

/// Makes the folder, and builds the site.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments {
        folder,
        models,
        title,
        description,
        ..
    } = arguments;
    check_place(folder)?;
    if models.len() > 1 && description.says_more() {
        return Err(Error::BadOption(
            "options that describe a model are for one; pack each by `whylens pack`, and name the folders that it makes".into(),
        )
        .into());
    }
    let mut staged = Staged::begin(folder)?;
    let mut names = Vec::new();
    let mut first = None;
    for model in models {
        let added = add(model, description, &mut names, &mut staged)?;
        first.get_or_insert(added);
    }
    let Added { name, disclaimer } = first.context("no model")?;
    let title = title.as_deref().unwrap_or(&name);
    let places: Vec<_> = names
        .iter()
        .map(|name| format!("{MODELS}/{name}"))
        .collect();
    let disclaimer = match disclaimer {
        Some(text) => format!("disclaimer = {}", quoted(&text)),
        None => "# disclaimer = \"This is no diagnosis. Ask a doctor.\"".into(),
    };
    // From the last to the first, so that what was put in is not taken for a place.
    let text = TEMPLATE
        .replacen("DISCLAIMER", &disclaimer, 1)
        .replacen("MODELS", &serde_json::to_string(&places)?, 1)
        .replacen("TITLE", &quoted(title), 1);
    staged.write(FILE, text.as_bytes())?;
    let readme = include_str!("site/README.md").replacen("TITLE", title, 1);
    staged.write("README.md", readme.as_bytes())?;
    staged.commit()?;
    let shown = folder.display();
    for place in &places {
        let (manifest, ..) = model_folder::manifest(&folder.join(place).join("model.json"))?;
        if manifest.weights.plan.is_none() && manifest.weights.parts.is_empty() {
            plan::run(&folder.join(place))?;
        }
    }
    build::build(folder, &arguments.making).with_context(|| {
        format!("{shown} is made, but not the site in it; then run `whylens build {shown}`")
    })?;
    println!("change      {shown}/{FILE}, then `whylens build {shown}`");
    println!("look        whylens serve {shown}/{BUILT}");
    println!("upload      {shown}/{BUILT}, as {shown}/README.md says");
    Ok(ExitCode::SUCCESS)
}

/// A model as it stands in the folder.
struct Added {
    name: String,
    disclaimer: Option<String>,
}

/// Packs a model, or copies a model folder.
fn add(
    model: &Path,
    description: &pack::Description,
    names: &mut Vec<String>,
    staged: &mut Staged,
) -> Result<Added> {
    if !given::is_model_folder(model) {
        let source = pack::Source::read(model, description)?;
        let place = place(&source.name, names);
        let model = source.pack()?;
        model.write(&place, staged)?;
        model.report();
        let manifest = model.packed.manifest;
        return Ok(Added {
            name: manifest.name,
            disclaimer: manifest.disclaimer,
        });
    }
    if description.says_more() {
        return Err(pack::described(model));
    }
    let whole = model
        .canonicalize()
        .with_context(|| format!("cannot read {}", model.display()))?;
    let (manifest, _, json) = model_folder::manifest(&whole.join("model.json"))?;
    let place = place(
        &whole.file_name().unwrap_or_default().to_string_lossy(),
        names,
    );
    let weights = &manifest.weights;
    let parts = weights.parts.iter().map(|part| part.file.clone());
    let mut files: Vec<_> = parts.chain(manifest.labels.values().cloned()).collect();
    if weights.parts.is_empty() {
        files.push(weights.file.clone());
    }
    for entry in fs::read_dir(&whole)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if ["LICENSE", "NOTICE", "README"]
            .iter()
            .any(|start| name.starts_with(start))
        {
            files.push(name);
        }
    }
    for name in files {
        let bytes = read::file(&whole.join(&name), read::MOST_ONNX, Error::OverMemoryLimit)?;
        staged.write(&format!("{place}{name}"), &bytes)?;
    }
    staged.write(&format!("{place}model.json"), &json)?;
    Ok(Added {
        name: manifest.name,
        disclaimer: manifest.disclaimer,
    })
}

/// Where a model goes, with `/` at its end; no two are at the same place.
fn place(name: &str, names: &mut Vec<String>) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).collect();
    let name = match name.trim_matches(['.', '-']) {
        "" => "model",
        name => name,
    };
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut free = std::iter::once(name.to_string()).chain(numbered);
    let free = free.find(|free| !names.contains(free)).unwrap_or_default();
    names.push(free.clone());
    format!("{MODELS}/{free}/")
}

/// The folder must be new, for everything in it is made.
fn check_place(folder: &Path) -> Result<()> {
    let shown = folder.display();
    let what = if folder.join(FILE).exists() {
        format!(
            "{shown} is a site already: change {shown}/{FILE}, then run `whylens build {shown}`"
        )
    } else if given::is_model_folder(folder) || folder.is_file() {
        format!(
            "{shown} is a model: name the folder to make first, as in `whylens new my-site {shown}`"
        )
    } else if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        format!("{shown} holds files; name a new folder")
    } else {
        return Ok(());
    };
    Err(Error::BadOption(what).into())
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    // JSON's strings are TOML's, but for this letter.
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_a_place_of_its_own() {
        let mut names = Vec::new();
        let places =
            ["Hautkrebs (2)", "..", "Hautkrebs (2)", "a.b"].map(|name| place(name, &mut names));
        assert_eq!(
            places,
            [
                "models/Hautkrebs--2/",
                "models/model/",
                "models/Hautkrebs--2-2/",
                "models/a.b/"
            ]
        );
    }

    #[test]
    fn any_text_can_be_quoted() {
        for text in ["\"a\"\\", "a\nb\tc", "\u{7f}\u{1}", "naïve 😀"] {
            let table: toml::Table = toml::from_str(&format!("a = {}", quoted(text))).unwrap();
            assert_eq!(table["a"].as_str(), Some(text));
        }
    }
}
