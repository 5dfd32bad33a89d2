//! `hf:ORG/NAME` → a folder with the files of a model on the Hugging Face Hub that packing needs.
//!
//! The Hub's layout: `/api/models/ORG/NAME/revision/REVISION` lists the files of a version, and
//! `/ORG/NAME/resolve/VERSION/FILE` is a file. For large files, `x-linked-size` and `x-linked-etag` give the size and
//! the SHA-256.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use whylens::Error;
use whylens::internal::shrink;
use whylens::manifest::MOST_TEXT;

use super::download::Client;
use super::read;

/// How the name of such a model begins.
const SCHEME: &str = "hf:";

/// The Hub's address, unless the environment's `HF_ENDPOINT` gives another.
const ENDPOINT: &str = "https://huggingface.co";

/// What `optimum` and others call the model.
const USUAL: [&str; 2] = ["onnx/model.onnx", "model.onnx"];

/// How the names of texts begin that are useless for images.
const OF_TEXTS: [&str; 5] = [
    "tokenizer",
    "vocab",
    "merges",
    "special_tokens",
    "generation_config",
];

/// What is escaped in a part of an address.
const PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A model from the Hub on this machine.
pub struct Fetched {
    /// The folder, with the files at the same places as in the repository.
    pub folder: PathBuf,
    /// The ONNX file in it.
    pub onnx: PathBuf,
}

impl Fetched {
    /// The name of its repository.
    pub fn name(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

#[derive(Debug, PartialEq)]
struct Repository<'a> {
    id: &'a str,
    revision: &'a str,
}

#[derive(Deserialize)]
struct Version {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// Downloads `hf:ORG/NAME[@REVISION]`: the wanted or usual ONNX file, its weights, and the texts beside it and at the
/// top. None: the name does not begin so.
pub fn fetch(what: &Path, wanted: Option<&str>) -> Result<Option<Fetched>> {
    let Some(name) = what.to_str().and_then(|text| text.strip_prefix(SCHEME)) else {
        return match wanted {
            None => Ok(None),
            Some(_) => {
                Err(Error::BadOption(format!("--file needs a model named {SCHEME}ORG/NAME")).into())
            }
        };
    };
    let Repository { id, revision } = repository(name)?;
    let endpoint = env::var("HF_ENDPOINT").ok().filter(|text| !text.is_empty());
    let endpoint = endpoint
        .as_deref()
        .unwrap_or(ENDPOINT)
        .trim_end_matches('/');
    let client = Client::new(endpoint, env::var("HF_TOKEN").ok());
    let listing = format!("{endpoint}/api/models/{id}/revision/{}", encoded(revision));
    let version = client.get(&listing, MOST_TEXT).with_context(|| {
        format!(
            "cannot list the files of {id} at revision {revision}; a private model needs HF_TOKEN"
        )
    })?;
    let Version { sha, siblings } = serde_json::from_slice(&version)
        .map_err(|error| Error::NotAModel(format!("{listing} is not a list of files: {error}")))?;
    let names: BTreeSet<&str> = siblings
        .iter()
        .map(|sibling| sibling.rfilename.as_str())
        .collect();
    if !is_part(&sha) || !names.iter().all(|name| is_inside(name)) {
        return Err(
            Error::NotAModel(format!("{listing} names files outside the repository")).into(),
        );
    }
    let onnx = choose(id, &names, wanted)?;

    // Named like the model, since its model folder may get the same name.
    let (owner, model) = id.split_once('/').unwrap_or(("", id));
    let folder = cache()?.join(owner).join(&sha).join(model);
    let get = |name: &str, most: u64| -> Result<PathBuf> {
        let path = folder.join(name);
        let file: Vec<String> = name.split('/').map(encoded).collect();
        let url = format!("{endpoint}/{id}/resolve/{sha}/{}", file.join("/"));
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)
                .with_context(|| format!("cannot make {}", above.display()))?;
        }
        client.download(&url, &path, most)?;
        Ok(path)
    };
    for name in names.iter().filter(|name| is_beside(name, onnx)) {
        get(name, MOST_TEXT)?;
    }
    let path = get(onnx, read::MOST_ONNX)?;
    let bytes = read::file(&path, read::MOST_ONNX, Error::OverMemoryLimit)?;
    let mut left = read::MOST_ONNX - bytes.len() as u64;
    let above = onnx.rsplit_once('/').map(|(above, _)| above);
    for name in shrink::outside(&bytes)? {
        let file = above.map_or(name.clone(), |above| format!("{above}/{name}"));
        if !names.contains(&*file) {
            let text = format!("{onnx} keeps its weights in {name}, which is not in {id}");
            return Err(Error::ExternalData(text).into());
        }
        left = left.saturating_sub(get(&file, left)?.metadata()?.len());
    }
    Ok(Some(Fetched { folder, onnx: path }))
}

fn repository(name: &str) -> Result<Repository<'_>> {
    let (id, revision) = name.split_once('@').unwrap_or((name, "main"));
    let parts: Vec<&str> = id.split('/').collect();
    if parts.len() > 2 || !parts.iter().all(|part| is_part(part)) || revision.is_empty() {
        return Err(Error::BadOption(format!(
            "`{SCHEME}{name}` is not a model, expected {SCHEME}ORG/NAME or {SCHEME}ORG/NAME@REVISION"
        ))
        .into());
    }
    Ok(Repository { id, revision })
}

/// Whether it can be a folder's name and needs no escape in an address.
fn is_part(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    !name.starts_with('.') && !name.is_empty() && name.chars().all(plain)
}

/// Whether a file of this name stays inside its folder.
fn is_inside(name: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    !name.contains(['\\', ':', '\0']) && name.split('/').all(plain)
}

fn encoded(part: impl AsRef<str>) -> String {
    utf8_percent_encode(part.as_ref(), PART).to_string()
}

/// Chooses the ONNX file.
fn choose<'a>(id: &str, names: &BTreeSet<&'a str>, wanted: Option<&str>) -> Result<&'a str> {
    let all: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| name.ends_with(".onnx"))
        .collect();
    let list = || all.join(", ");
    let found = match wanted {
        Some(wanted) => names.get(wanted).copied(),
        None => {
            let usual = USUAL.iter().find_map(|name| names.get(name).copied());
            usual.or(match all[..] {
                [only] => Some(only),
                _ => None,
            })
        }
    };
    let error = match (found, wanted) {
        (Some(found), _) => return Ok(found),
        _ if all.is_empty() => Error::NotAModel(format!(
            "{id} has no ONNX file; export it first: optimum-cli export onnx --model {id} FOLDER"
        )),
        (None, Some(wanted)) => {
            Error::BadOption(format!("{id} has no file {wanted}; it has {}", list()))
        }
        (None, None) => Error::BadOption(format!(
            "{id} has several ONNX files; name one of these by --file: {}",
            list()
        )),
    };
    Err(error.into())
}

/// Whether it may describe the model.
fn is_beside(name: &str, onnx: &str) -> bool {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let beside = onnx.rsplit_once('/').map_or("", |(folder, _)| folder);
    let is_text = [".json", ".txt", ".csv"]
        .iter()
        .any(|end| file.ends_with(end));
    let of_texts =
        OF_TEXTS.iter().any(|start| file.starts_with(start)) || file.ends_with(".index.json");
    is_text && !of_texts && (folder.is_empty() || folder == beside)
}

/// The folder for downloads, so that the next run continues where this one ends.
fn cache() -> Result<PathBuf> {
    let named = |name: &str| {
        env::var_os(name)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    let home = || named("HOME").map(|home| home.join(".cache"));
    let folder = named("XDG_CACHE_HOME")
        .or_else(|| named("LOCALAPPDATA"))
        .or_else(home);
    let folder = folder.ok_or_else(|| {
        Error::BadOption("there is no folder for downloads; set one by XDG_CACHE_HOME".into())
    })?;
    Ok(folder.join("whylens").join("hub"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_named_by_owner_name_and_revision() {
        let of = |name| repository(name).unwrap();
        let vit = "google/vit-base-patch16-224";
        assert_eq!(
            of(vit),
            Repository {
                id: vit,
                revision: "main"
            }
        );
        assert_eq!(of("a/b@refs/pr/1").revision, "refs/pr/1");
        assert_eq!(of("resnet50").id, "resnet50");
        for wrong in [
            "", "/", "a/", "a/b/c", "../b", "a/..", "a/b@", "a b/c", "a/b?c", "a/%2e%2e",
        ] {
            repository(wrong).unwrap_err();
        }
    }

    #[test]
    fn files_outside_of_the_repository_are_none_of_it() {
        for name in ["config.json", "onnx/model.onnx", "a..b/c"] {
            assert!(is_inside(name), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "c:\\x",
            "a\\..\\b",
            "./x",
        ] {
            assert!(!is_inside(name), "{name}");
        }
    }

    #[test]
    fn the_usual_file_is_chosen_and_others_are_asked_about() {
        let choose = |names: &[&'static str], wanted| {
            super::choose("a/b", &names.iter().copied().collect(), wanted)
                .map_err(|error| error.to_string())
        };
        let optimum = ["config.json", "onnx/model.onnx", "onnx/model_fp16.onnx"];
        assert_eq!(choose(&optimum, None), Ok("onnx/model.onnx"));
        assert_eq!(
            choose(&optimum, Some("onnx/model_fp16.onnx")),
            Ok("onnx/model_fp16.onnx")
        );
        assert_eq!(choose(&["x.onnx"], None), Ok("x.onnx"));
        assert!(
            choose(&["x.onnx", "y.onnx"], None)
                .unwrap_err()
                .contains("x.onnx, y.onnx")
        );
        assert!(
            choose(&optimum, Some("z.onnx"))
                .unwrap_err()
                .contains("onnx/model.onnx")
        );
        assert!(
            choose(&["model.safetensors"], None)
                .unwrap_err()
                .contains("optimum-cli")
        );
    }

    #[test]
    fn texts_of_the_model_come_with_it() {
        let beside = |name| is_beside(name, "onnx/model.onnx");
        for name in [
            "config.json",
            "preprocessor_config.json",
            "onnx/labels.txt",
            "classes.csv",
        ] {
            assert!(beside(name), "{name}");
        }
        for name in [
            "tokenizer.json",
            "vocab.txt",
            "other/config.json",
            "README.md",
            "model.safetensors.index.json",
        ] {
            assert!(!beside(name), "{name}");
        }
    }
}
