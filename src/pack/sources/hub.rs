//! name of a model on the Hugging Face Hub, and the Hub's list of its files → the files to fetch.
//!
//! The Hub's layout: `/api/models/ORG/NAME/revision/REVISION?blobs=true` lists the files of a version, and
//! `/ORG/NAME/resolve/VERSION/FILE` is a file.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::choice::{Choice, choose, is_onnx};
use crate::error::{Error, Result};

/// The Hub's address, unless somebody gives another.
pub const ENDPOINT: &str = "https://huggingface.co";

/// How the name of such a model begins.
const SCHEME: &str = "hf:";

/// What is escaped in a part of an address.
const PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A model as its reader names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// `ORG/NAME`.
    pub id: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// Its ONNX file; none: the usual one.
    pub file: Option<String>,
}

/// A version of a model on the Hub.
#[derive(Debug, Serialize)]
pub struct Version {
    /// `NAME`.
    pub name: String,
    /// Its commit.
    pub sha: String,
    /// Its ONNX file and the texts that may describe it.
    pub choice: Choice,
    /// All its files by name, except other models.
    pub files: BTreeMap<String, File>,
}

/// A file on the Hub.
#[derive(Debug, Serialize)]
pub struct File {
    /// Its address.
    pub url: String,
    /// Its size in bytes, where the Hub tells it.
    pub bytes: Option<u64>,
    /// Its SHA-256, which the Hub tells of large files.
    pub sha256: Option<String>,
}

#[derive(Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
}

impl Repository {
    /// Reads `hf:ORG/NAME[/FILE.onnx][@REVISION]`, or the address of a model's page or file on the Hub.
    /// None: it is neither.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a name that begins so and cannot be one.
    pub fn parse(text: &str, endpoint: &str) -> Result<Option<Repository>> {
        let wrong = || {
            Error::BadOption(format!(
                "`{text}` is not a model, expected {SCHEME}ORG/NAME or {SCHEME}ORG/NAME@REVISION"
            ))
        };
        if let Some(name) = text.strip_prefix(SCHEME) {
            let (path, revision) = name.split_once('@').unwrap_or((name, "main"));
            return named(path, revision).map(Some).ok_or_else(wrong);
        }
        let hosts = [endpoint, ENDPOINT, "https://hf.co"];
        let Some(path) = hosts.iter().find_map(|host| {
            text.strip_prefix(host.trim_end_matches('/'))?
                .strip_prefix('/')
        }) else {
            return Ok(None);
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let found = match parts.as_slice() {
            [org, name] => named(&format!("{org}/{name}"), "main"),
            [org, name, "tree", revision, ..] => {
                named(&format!("{org}/{name}"), &decoded(revision))
            }
            [org, name, "blob" | "resolve", revision, file @ ..] => {
                let file = decoded(&file.join("/"));
                named(&format!("{org}/{name}/{file}"), &decoded(revision))
            }
            _ => None,
        };
        Ok(found)
    }

    /// The address of the list of its files.
    pub fn listing(&self, endpoint: &str) -> String {
        let revision = encoded(&self.revision);
        format!(
            "{endpoint}/api/models/{}/revision/{revision}?blobs=true",
            self.id
        )
    }

    /// Chooses among the files that the Hub lists.
    ///
    /// # Errors
    /// [`Error::NotAModel`] if there is no ONNX file, or if this is not such a list; [`Error::BadOption`] if there are
    /// several models.
    pub fn version(&self, listing: &[u8], endpoint: &str) -> Result<Version> {
        let id = &self.id;
        let odd = |what: &str| Error::NotAModel(format!("{}: {what}", self.listing(endpoint)));
        let Listing { sha, siblings } = serde_json::from_slice(listing)
            .map_err(|error| odd(&format!("this is not a list of files: {error}")))?;
        let outside = |sibling: &Sibling| !is_inside(&sibling.rfilename);
        if !is_part(&sha) || siblings.iter().any(outside) {
            return Err(odd("it names files outside the repository"));
        }
        let models: Vec<String> = siblings
            .iter()
            .map(|sibling| sibling.rfilename.clone())
            .filter(|name| is_onnx(name))
            .collect();
        if models.is_empty() {
            return Err(Error::NotAModel(format!(
                "{id} has no ONNX file; export it first: optimum-cli export onnx --model {id} FOLDER"
            )));
        }
        let list = || models.join(", ");
        if let Some(file) = self.file.as_ref().filter(|file| !models.contains(file)) {
            return Err(Error::BadOption(format!(
                "{id} has no file {file}; it has {}",
                list()
            )));
        }
        let names: Vec<String> = siblings
            .iter()
            .map(|sibling| sibling.rfilename.clone())
            .filter(|name| match &self.file {
                Some(file) => name == file || !is_onnx(name),
                None => true,
            })
            .collect();
        let choice = choose(&names).map_err(|_| {
            Error::BadOption(format!(
                "{id} has several ONNX files; name one, such as {SCHEME}{id}/{}: {}",
                models[0],
                list()
            ))
        })?;
        let files = siblings
            .into_iter()
            .filter(|sibling| sibling.rfilename == choice.onnx || !is_onnx(&sibling.rfilename))
            .map(|sibling| {
                let path: Vec<String> = sibling.rfilename.split('/').map(encoded).collect();
                let file = File {
                    url: format!("{endpoint}/{id}/resolve/{sha}/{}", path.join("/")),
                    bytes: sibling.size,
                    sha256: sibling.lfs.and_then(|lfs| lfs.sha256),
                };
                (sibling.rfilename, file)
            })
            .collect();
        Ok(Version {
            name: id.rsplit('/').next().unwrap_or(id).to_string(),
            sha,
            choice,
            files,
        })
    }
}

/// `ORG/NAME`, `NAME` or `ORG/NAME/FILE.onnx`.
fn named(path: &str, revision: &str) -> Option<Repository> {
    let parts: Vec<&str> = path.split('/').collect();
    let (id, file) = parts.split_at(parts.len().min(2));
    let file = file.join("/");
    let is_file = file.is_empty() && !path.ends_with('/') || is_onnx(&file) && is_inside(&file);
    (id.iter().all(|part| is_part(part)) && is_file && !revision.is_empty()).then(|| Repository {
        id: id.join("/"),
        revision: revision.to_string(),
        file: (!file.is_empty()).then_some(file),
    })
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

fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(text: &str) -> Result<Option<Repository>> {
        Repository::parse(text, "https://hub.example")
    }

    #[track_caller]
    fn is(text: &str, id: &str, revision: &str, file: Option<&str>) {
        let expected = Repository {
            id: id.into(),
            revision: revision.into(),
            file: file.map(String::from),
        };
        assert_eq!(of(text), Ok(Some(expected)), "{text}");
    }

    #[test]
    fn models_are_named_by_owner_name_file_and_revision() {
        let vit = "google/vit-base-patch16-224";
        is(&format!("hf:{vit}"), vit, "main", None);
        is("hf:a/b@refs/pr/1", "a/b", "refs/pr/1", None);
        is("hf:resnet50", "resnet50", "main", None);
        let fp16 = Some("onnx/model_fp16.onnx");
        is("hf:a/b/onnx/model_fp16.onnx@v1", "a/b", "v1", fp16);
        for wrong in [
            "",
            "/",
            "a/",
            "a/b/",
            "a/b/c",
            "../b",
            "a/..",
            "a/b@",
            "a b/c",
            "a/b?c",
            "a/%2e%2e",
            "a/b/../x.onnx",
            "a/b//x.onnx",
        ] {
            of(&format!("hf:{wrong}")).unwrap_err();
        }
    }

    #[test]
    fn addresses_of_the_hubs_pages_name_models() {
        for hub in [ENDPOINT, "https://hf.co", "https://hub.example"] {
            is(&format!("{hub}/a/b"), "a/b", "main", None);
            is(&format!("{hub}/a/b/?library=onnx"), "a/b", "main", None);
            is(
                &format!("{hub}/a/b/tree/refs%2Fpr%2F1/onnx"),
                "a/b",
                "refs/pr/1",
                None,
            );
            let file = Some("onnx/my model.onnx");
            is(
                &format!("{hub}/a/b/blob/main/onnx/my%20model.onnx"),
                "a/b",
                "main",
                file,
            );
            is(
                &format!("{hub}/a/b/resolve/v1/x.onnx?download=true"),
                "a/b",
                "v1",
                Some("x.onnx"),
            );
        }
        for other in [
            "https://huggingface.co/datasets/a/b",
            "https://huggingface.co/a/b/resolve/main/config.json",
            "https://huggingface.co/a/b/resolve/main/../../c/x.onnx",
            "https://huggingface.co.example/a/b",
            "https://example.org/a/b",
            "a/b",
        ] {
            assert_eq!(of(other), Ok(None), "{other}");
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

    fn version(name: &str, files: &[&str]) -> Result<Version> {
        let siblings: Vec<_> = files
            .iter()
            .map(|name| json!({ "rfilename": name, "size": 5, "lfs": { "sha256": "ab", "size": 5 } }))
            .collect();
        let listing = json!({ "sha": "0123", "siblings": siblings }).to_string();
        let repository = of(name).unwrap().unwrap();
        repository.version(listing.as_bytes(), "https://hub.example")
    }

    #[test]
    fn the_usual_file_is_chosen_with_what_describes_it_and_others_are_asked_about() {
        let optimum = [
            "README.md",
            "config.json",
            "onnx/model.onnx",
            "onnx/model.onnx_data",
            "onnx/model_fp16.onnx",
            "tokenizer.json",
            "vocab.txt",
        ];
        let found = version("hf:a/b", &optimum).unwrap();
        assert_eq!(found.choice.onnx, "onnx/model.onnx");
        assert_eq!(found.choice.texts, ["config.json"]);
        let file = &found.files["onnx/model.onnx_data"];
        assert_eq!(
            file.url,
            "https://hub.example/a/b/resolve/0123/onnx/model.onnx_data"
        );
        assert_eq!((file.bytes, file.sha256.as_deref()), (Some(5), Some("ab")));
        assert!(!found.files.contains_key("onnx/model_fp16.onnx"));
        let found = version("hf:a/b/onnx/model_fp16.onnx", &optimum).unwrap();
        assert_eq!(found.choice.onnx, "onnx/model_fp16.onnx");
        let refused = |name: &str, files: &[&str]| version(name, files).unwrap_err().to_string();
        assert!(
            refused("hf:a/b/z.onnx", &optimum).contains("onnx/model.onnx, onnx/model_fp16.onnx")
        );
        assert!(
            refused("hf:a/b", &["x.onnx", "y.onnx"])
                .contains("such as hf:a/b/x.onnx: x.onnx, y.onnx")
        );
        assert!(refused("hf:a/b", &["model.safetensors"]).contains("optimum-cli"));
        assert!(refused("hf:a/b", &["../x.onnx"]).contains("outside"));
    }

    #[test]
    fn a_hub_that_tells_less_will_do() {
        let listing = br#"{"sha":"0123","siblings":[{"rfilename":"x.onnx"}]}"#;
        let repository = of("hf:a/b").unwrap().unwrap();
        let found = repository.version(listing, ENDPOINT).unwrap();
        assert_eq!(found.files["x.onnx"].bytes, None);
        assert_eq!(
            repository.version(b"<html>", ENDPOINT).unwrap_err().code(),
            "not-a-model"
        );
    }
}
