//! files beside a model, and the model's own notes → what they say about it, each fact with its source.

pub mod archive;
mod choice;
mod custom_vision;
mod graph;
pub mod hub;
mod hugging_face;
mod labels;
mod merge;
mod notes;
mod python;
mod teachable_machine;
mod text;
mod timm;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

pub use choice::{Choice, choose, is_text, speaks_of};
pub use labels::read as labels;
pub use teachable_machine::is_tensorflow;

use super::Options;
use crate::error::{Error, Result};
use crate::manifest::{Activation, Channels, Filter, Resize, ResizeMode};
use crate::model::compile::shrink::Outline;

/// The bytes of the text files that came with a model, by their names relative to it (`config.json`,
/// `../config.json`).
pub type Files = BTreeMap<String, Vec<u8>>;

/// What the files of a model say about it.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// One per class, in class order.
    pub labels: Option<Vec<String>>,
    /// What they say about name, licence, pixels, size and output; none for the rest.
    pub options: Options,
    /// Where each fact comes from.
    pub facts: Vec<Fact>,
    /// What two files contradict each other about; neither value is used.
    pub conflicts: Vec<Conflict>,
    /// What the files require and `model.json` cannot express, each in a sentence.
    pub limits: Vec<String>,
}

/// Something that a file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it says.
    pub what: What,
    /// The name of the file.
    pub from: String,
}

/// A contradiction between two files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// What it is about.
    pub what: What,
    /// Each file, and what it says.
    pub said: [(String, String); 2],
}

/// What a file can say about a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // `Display` says what each is
pub enum What {
    Labels,
    Size,
    Resize,
    Pixels,
    Colours,
    Activation,
    Name,
    License,
}

impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            What::Labels => "labels",
            What::Size => "size of the input",
            What::Resize => "resize",
            What::Pixels => "scale, mean and std",
            What::Colours => "order of colours",
            What::Activation => "activation",
            What::Name => "name",
            What::License => "licence",
        })
    }
}

impl What {
    /// The option of `whylens pack` that decides it.
    fn option(self) -> &'static str {
        match self {
            What::Labels => "--labels",
            What::Size => "--size",
            What::Resize => "--resize",
            What::Pixels => "--preset, or --scale, --mean and --std",
            What::Colours => "--channels",
            What::Activation => "--activation",
            What::Name => "--name",
            What::License => "--license",
        }
    }
}

/// How pixels become values: (pixel × scale − mean) / std.
#[derive(Debug, Clone, PartialEq)]
struct Pixels {
    scale: f64,
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl Pixels {
    /// Pixels × `scale`.
    fn scaled(scale: f64) -> Pixels {
        Pixels {
            scale,
            mean: vec![0.0],
            std: vec![1.0],
        }
    }
}

/// What one source says.
#[derive(Debug, Clone, Default)]
struct Said {
    from: String,
    /// Only fills gaps: any other source takes precedence.
    weak: bool,
    labels: Option<Vec<String>>,
    size: Option<(u32, u32)>,
    resize: Option<Resize>,
    pixels: Option<Pixels>,
    channels: Option<Channels>,
    activation: Option<Activation>,
    name: Option<String>,
    license: Option<String>,
    limits: Vec<String>,
}

impl Said {
    fn by(from: &str) -> Said {
        Said {
            from: from.into(),
            ..Said::default()
        }
    }
}

/// Reads what the files that came with a model, its graph and its notes say.
///
/// `files` are the texts that [`choose`] names.
///
/// # Errors
/// [`Error::BadManifest`] for a file of these that cannot be read;
/// [`Error::UnsupportedModel`] if a file says that the model is not a classifier.
pub fn find(files: &Files, outline: &Outline) -> Result<Found> {
    let mut said = Vec::new();
    said.extend(notes::read(outline)?);
    for (name, bytes) in files {
        let base = name.rsplit('/').next().unwrap_or(name);
        match base {
            "config.json" => {
                let json = json(name, bytes)?;
                said.extend(hugging_face::config(name, &json));
                said.extend(timm::config(name, &json));
            }
            "preprocessor_config.json" | "processor_config.json" => {
                said.extend(hugging_face::processor(name, &json(name, bytes)?));
            }
            "metadata.json" => said.extend(teachable_machine::metadata(name, &json(name, bytes)?)),
            "metadata_properties.json" => {
                said.extend(custom_vision::properties(name, &json(name, bytes)?));
            }
            "signature.json" => said.extend(custom_vision::signature(name, &json(name, bytes)?)),
            _ => {}
        }
    }
    said.extend(labels::files(files)?);
    said.extend(graph::read(outline));
    Ok(merge::merge(&said, outline))
}

impl Found {
    /// The options, with what the files say where they leave something open.
    pub fn fill(&self, given: &Options) -> Options {
        let found = self.options.clone();
        let pixels = !given.has_pixels();
        let or = |value: &Option<Vec<f64>>, found| match value {
            Some(value) => Some(value.clone()),
            None => pixels.then_some(found).flatten(),
        };
        Options {
            name: match given.name.is_empty() {
                true => found.name,
                false => given.name.clone(),
            },
            license: given.license.clone().or(found.license),
            channels: match given.preset {
                Some(_) => given.channels,
                None => given.channels.or(found.channels),
            },
            size: given.size.or(found.size),
            resize: given.resize.clone().or(found.resize),
            scale: given.scale.or(pixels.then_some(found.scale).flatten()),
            mean: or(&given.mean, found.mean),
            std: or(&given.std, found.std),
            activation: given.activation.or(found.activation),
            ..given.clone()
        }
    }

    /// Checks that the options decide everything about which the files contradict each other.
    ///
    /// # Errors
    /// [`Error::BadOption`] with what both say, and the option that decides it.
    pub fn decided(&self, given: &Options, labels: bool) -> Result<()> {
        let open = |conflict: &&Conflict| match conflict.what {
            What::Labels => !labels,
            What::Size => given.size.is_none(),
            What::Resize => given.resize.is_none() && given.crop_percent.is_none(),
            What::Pixels => !given.has_pixels(),
            What::Colours => given.channels.is_none() && given.preset.is_none(),
            What::Activation => given.activation.is_none(),
            What::Name | What::License => false,
        };
        let Some(Conflict { what, said }) = self.conflicts.iter().find(open) else {
            return Ok(());
        };
        let [(one, first), (other, second)] = said;
        Err(Error::BadOption(format!(
            "two files contradict each other: {what} is {first} in {one}, {second} in {other}; set the right one by {}",
            what.option()
        )))
    }

    /// The facts in one line, such as `labels from config.json; resize from preprocessor_config.json`.
    pub fn told(&self) -> String {
        let mut sources: Vec<(&str, Vec<String>)> = Vec::new();
        for Fact { what, from } in &self.facts {
            match sources.iter_mut().find(|(name, _)| name == from) {
                Some((_, facts)) => facts.push(what.to_string()),
                None => sources.push((from, vec![what.to_string()])),
            }
        }
        let lines = sources.into_iter().map(|(name, facts)| {
            let list = match facts.split_last() {
                Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
                _ => facts.concat(),
            };
            format!("{list} from {name}")
        });
        lines.collect::<Vec<_>>().join("; ")
    }
}

fn json(name: &str, bytes: &[u8]) -> Result<serde_json::Value> {
    serde_json::from_str(&text::text(name, bytes)?)
        .map_err(|error| Error::BadManifest(format!("{name} is not JSON: {error}")))
}

fn shorter_side(size: u32, filter: Filter) -> Resize {
    Resize {
        mode: ResizeMode::ShorterSide,
        size: Some(size),
        filter,
        antialias: true,
    }
}

fn exact(size: Option<u32>, filter: Filter) -> Resize {
    Resize {
        mode: ResizeMode::Exact,
        size,
        filter,
        antialias: true,
    }
}
