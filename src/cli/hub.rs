//! `hf:ORG/NAME` → the model on the Hugging Face Hub and the texts that came with it.
//!
//! Beyond the list of files, for large files `x-linked-size` and `x-linked-etag` give the size and the SHA-256.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use whylens::Error;
use whylens::manifest::MOST_TEXT;
use whylens::pack::sources::hub::{ENDPOINT, Repository, Version};

use super::download::Client;
use super::given::{self, Given};
use super::read;

/// Downloads a model of the Hub: the wanted or usual ONNX file, its weights, and the texts beside it and in the folder
/// above. None: this is not the name of one.
pub fn read(what: &Path, wanted: Option<&str>) -> Result<Option<Given>> {
    let endpoint = env::var("HF_ENDPOINT").ok().filter(|text| !text.is_empty());
    let endpoint = endpoint
        .as_deref()
        .unwrap_or(ENDPOINT)
        .trim_end_matches('/');
    let named = what.to_str().map(|text| Repository::parse(text, endpoint));
    let Some(mut repository) = named.transpose()?.flatten() else {
        return match wanted {
            None => Ok(None),
            Some(_) => {
                Err(Error::BadOption("--file needs a model named hf:ORG/NAME".into()).into())
            }
        };
    };
    repository.file = wanted.map(String::from).or(repository.file);
    let Repository { id, revision, .. } = &repository;
    let token = env::var("HF_TOKEN").ok().filter(|token| !token.is_empty());
    let private = private(id, endpoint, token.is_some());
    let client = Client::new(endpoint, token);
    let listing = client
        .get(&repository.listing(endpoint), MOST_TEXT)
        .map_err(|error| refused(error, &private))
        .with_context(|| format!("cannot list the files of {id} at revision {revision}"))?;
    let Version {
        name,
        sha,
        choice,
        files,
    } = repository.version(&listing, endpoint)?;

    let owner = id.split_once('/').map_or("", |(owner, _)| owner);
    let folder = cache()?.join(owner).join(&sha).join(&name);
    let mut get = |name: &str, most: u64| -> Result<Vec<u8>> {
        let file = files.get(name).ok_or_else(|| {
            let onnx = &choice.onnx;
            Error::ExternalData(format!(
                "{onnx} keeps its weights in {name}, which is not in {id}"
            ))
        })?;
        let path = folder.join(name);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)
                .with_context(|| format!("cannot make {}", above.display()))?;
        }
        client
            .download(&file.url, &path, most)
            .map_err(|error| refused(error, &private))?;
        read::file(&path, most, Error::OverMemoryLimit)
    };
    let names: Vec<String> = files.keys().cloned().collect();
    let (onnx, texts) = given::gather(&names, &mut get)?;
    Ok(Some(Given {
        onnx,
        texts,
        files: Vec::new(),
        root: None,
        name,
    }))
}

/// What to do about a model that the Hub does not give: it answers with 401 also if there is none of that name.
fn private(id: &str, endpoint: &str, has_token: bool) -> String {
    match has_token {
        false => format!(
            "there is no {id}, or it is private or gated: then accept its conditions at {endpoint}/{id} and set \
             HF_TOKEN to a token of yours"
        ),
        true => format!(
            "there is no {id}, or HF_TOKEN may not read it: accept its conditions at {endpoint}/{id}, and see what \
             the token allows"
        ),
    }
}

fn refused(error: anyhow::Error, private: &str) -> anyhow::Error {
    match error.downcast_ref() {
        Some(Error::HttpStatus {
            status: 401 | 403, ..
        }) => error.context(private.to_string()),
        _ => error,
    }
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
