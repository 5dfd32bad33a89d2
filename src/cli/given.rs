//! ONNX file, folder or zip → the model in it and the texts that came with it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use whylens::Error;
use whylens::internal::shrink;
use whylens::manifest::MOST_TEXT;
use whylens::pack::sources::archive::{self, Archive};
use whylens::pack::sources::{Choice, Files, choose, is_tensorflow, is_text, speaks_of};

use super::read;

/// A model as an exporter wrote it.
pub struct Given {
    /// The ONNX file, with the weights from files beside it.
    pub onnx: Vec<u8>,
    /// The texts that came with it, by name.
    pub texts: Files,
    /// The local files from which it was read, without the texts.
    pub files: Vec<PathBuf>,
    /// The folder to which the names of the texts are relative; none: they are in a zip.
    pub root: Option<PathBuf>,
    /// The name of its file or folder.
    pub name: String,
}

/// The most files in a folder and those below it, and how deep files are looked for.
const MOST_FILES: usize = 20_000;
const MOST_DEEP: usize = 3;

/// Whether a folder is a model folder, described by its model.json.
pub fn is_model_folder(path: &Path) -> bool {
    let json = path.join("model.json");
    json.is_file()
        && !read::file(&json, MOST_TEXT, Error::BadManifest).is_ok_and(|json| is_tensorflow(&json))
}

/// Reads what is at a path.
pub fn read(path: &Path) -> Result<Given> {
    if path.is_dir() {
        return folder(path);
    }
    let bytes = read::file(path, read::MOST_ONNX, over)?;
    if archive::is_zip(&bytes) {
        return zip(path, &bytes);
    }
    let onnx = name(path);
    let folder = path.parent().unwrap_or(Path::new(""));
    // `optimum` writes the JSON files one level up.
    let below = folder.file_name().is_some_and(|name| name == "onnx");
    let (root, onnx) = match folder.parent() {
        Some(root) if below => (root, format!("onnx/{onnx}")),
        _ => (folder, onnx),
    };
    let mut names = Vec::new();
    list(root, "", if below { 1 } else { 0 }, &mut names).unwrap_or_default();
    names.retain(|name| speaks_of(name, &onnx));
    names.push(onnx.clone());
    let mut files = vec![path.to_path_buf()];
    let mut bytes = Some(bytes);
    let mut read = |name: &str, most: u64| match bytes.take_if(|_| name == onnx) {
        Some(bytes) => Ok(bytes),
        None => {
            let file = root.join(name);
            let bytes = read::file(&file, most, over);
            if !is_text(name) {
                files.push(file);
            }
            bytes
        }
    };
    let (onnx, texts) = gather(&names, &mut read)?;
    Ok(Given {
        onnx,
        texts,
        files,
        root: Some(root.to_path_buf()),
        name: stem(path),
    })
}

fn folder(path: &Path) -> Result<Given> {
    let mut names = Vec::new();
    list(path, "", MOST_DEEP, &mut names)?;
    let mut files = Vec::new();
    let mut read = |name: &str, most: u64| {
        let file = path.join(name);
        let bytes = read::file(&file, most, over);
        if !is_text(name) {
            files.push(file);
        }
        bytes
    };
    let (onnx, texts) = gather(&names, &mut read)?;
    let path = path.canonicalize()?;
    Ok(Given {
        onnx,
        texts,
        files,
        root: Some(path.clone()),
        name: name(&path),
    })
}

fn zip(path: &Path, bytes: &[u8]) -> Result<Given> {
    let mut zip = Archive::open(bytes)?;
    let names = zip.names().to_vec();
    for name in &names {
        if name.rsplit('/').next() == Some("model.json")
            && !is_tensorflow(&zip.read(name, MOST_TEXT)?)
        {
            return Err(Error::BadOption(format!(
                "{} holds a model folder with its model.json; unpack it and name the folder",
                path.display()
            ))
            .into());
        }
    }
    let (onnx, texts) = gather(&names, &mut |name, most| Ok(zip.read(name, most)?))?;
    Ok(Given {
        onnx,
        texts,
        files: vec![path.to_path_buf()],
        root: None,
        name: stem(path),
    })
}

/// Gathers the model and its texts from files given by their names and read one by one, wherever they are.
pub fn gather(
    names: &[String],
    read: &mut dyn FnMut(&str, u64) -> Result<Vec<u8>>,
) -> Result<(Vec<u8>, Files)> {
    let Choice { onnx, texts, .. } = choose(names)?;
    let mut found = Files::new();
    for name in texts {
        let bytes = read(&name, MOST_TEXT)?;
        found.insert(name, bytes);
    }
    let folder = onnx.rsplit_once('/').map(|(folder, _)| folder);
    let bytes = read(&onnx, read::MOST_ONNX)?;
    let mut left = read::MOST_ONNX - bytes.len() as u64;
    let mut beside = |name: &str| {
        let path = folder.map_or(name.into(), |folder| format!("{folder}/{name}"));
        let weights = read(&path, left).map_err(|error| match error.downcast() {
            Ok(error) => error,
            Err(error) => Error::ExternalData(format!("weights of the model: {error:#}")),
        })?;
        left -= weights.len() as u64;
        Ok(weights)
    };
    let merged = shrink::merge(&bytes, &mut beside)?;
    Ok((merged.unwrap_or(bytes), found))
}

fn over(text: String) -> Error {
    Error::OverMemoryLimit(format!("{text} of a model; export a smaller one"))
}

/// The plain files of a folder and of those below it; links to folders are not followed.
fn list(folder: &Path, before: &str, deep: usize, names: &mut Vec<String>) -> Result<()> {
    let failed = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{before}{name}");
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && deep > 0 && !name.starts_with('.') {
            list(&entry.path(), &format!("{path}/"), deep - 1, names)?;
        } else if !is_folder && entry.path().is_file() {
            names.push(path);
        }
        if names.len() > MOST_FILES {
            return Err(Error::BadOption(format!(
                "{} holds more than {MOST_FILES} files; name the model's own folder",
                folder.display()
            ))
            .into());
        }
    }
    names.sort();
    Ok(())
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}
