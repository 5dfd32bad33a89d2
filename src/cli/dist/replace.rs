//! site → its folder, in place of an earlier site; other files in the folder stay.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use whylens::Error;
use whylens::internal::{hex, sha256};

use super::Files;
use super::compress::Compress;
use crate::staged::Staged;
use crate::{policy, read};

/// Replaces an earlier site, and leaves everything else in the folder alone.
pub fn write(site: &Files, out: &Path, force: bool) -> Result<()> {
    let mut staged = Staged::begin(out)?;
    let before = staged.before()?;
    let list = earlier(staged.target());
    ensure!(
        before.is_empty() || list.is_some(),
        "{} holds files that are not from an earlier site; name an empty folder",
        out.display()
    );
    let list = list.unwrap_or_default();
    let mut stays = Vec::new();
    for path in &before {
        let file = staged.target().join(path);
        match path.to_str() {
            Some(name) if is_of(&list, &file, name) => staged.remove(name)?,
            Some(name) if site.contains_key(name) => ensure!(
                force || is_plain(&file) && is_same(&file, &site[name]),
                "{} is not from the earlier site, or was changed since; move it away, or add --force to overwrite it",
                file.display()
            ),
            _ => stays.push(path.display().to_string()),
        }
    }
    let mut order: Vec<_> = site.iter().collect();
    order.sort_by_key(|(path, _)| rank(path));
    for (path, bytes) in order {
        staged.write(path, bytes)?;
    }
    staged.commit()?;
    if !stays.is_empty() {
        stays.sort();
        let more = stays.len().saturating_sub(5);
        stays.truncate(5);
        if more > 0 {
            stays.push(format!("{more} more"));
        }
        let (out, named) = (out.display(), stays.join(", "));
        eprintln!(
            "whylens: {out} keeps files that are not from the earlier site, or were changed since: {named}"
        );
    }
    Ok(())
}

/// Files that name others come after them, so that a browser that loads the site meanwhile finds all of
/// them.
fn rank(path: &str) -> usize {
    let plain = path
        .strip_suffix(".br")
        .or(path.strip_suffix(".gz"))
        .unwrap_or(path);
    match plain {
        _ if path == "integrity.json" => 4,
        "sw.js" => 3,
        "index.html" => 2,
        _ if policy::is_named_by_content(plain) => 0,
        _ => 1,
    }
}

/// What `integrity.json` says about a file.
#[derive(Deserialize)]
struct Listed {
    bytes: u64,
    sha256: String,
}

#[derive(Deserialize)]
struct Integrity {
    made_by: String,
    /// How hard the files beside them were compressed.
    compressed: Option<Compress>,
    files: BTreeMap<String, Listed>,
}

/// SHA-256 and size of every file.
pub fn integrity(site: &Files, compressed: Compress) -> Result<Vec<u8>> {
    let files: BTreeMap<_, _> = site
        .iter()
        .map(|(path, bytes)| {
            (
                path,
                json!({ "bytes": bytes.len(), "sha256": sha256(bytes) }),
            )
        })
        .collect();
    let made_by = version();
    Ok(serde_json::to_vec_pretty(
        &json!({ "format": 1, "made_by": made_by, "compressed": compressed, "files": files }),
    )?)
}

/// The files of an earlier site by their SHA-256, if those beside them were compressed in the same way by the same
/// version.
pub fn compressed(folder: &Path, how: Compress) -> BTreeMap<String, PathBuf> {
    let Some((
        Integrity {
            made_by,
            compressed,
            files,
        },
        _,
    )) = read_integrity(folder)
    else {
        return BTreeMap::new();
    };
    if compressed != Some(how) || made_by != version() {
        return BTreeMap::new();
    }
    let files = files.into_iter();
    files
        .map(|(path, listed)| (listed.sha256, folder.join(path)))
        .collect()
}

fn version() -> String {
    format!("whylens {}", env!("CARGO_PKG_VERSION"))
}

/// The files of the site in a folder, including `integrity.json`; `None` if there is no site.
fn earlier(folder: &Path) -> Option<BTreeMap<String, Listed>> {
    let (Integrity { mut files, .. }, own) = read_integrity(folder)?;
    files.insert("integrity.json".into(), own);
    Some(files)
}

/// The list in a folder, and what it would say of itself.
fn read_integrity(folder: &Path) -> Option<(Integrity, Listed)> {
    let path = folder.join("integrity.json");
    // Larger than the list of any site: it is not ours.
    if !is_plain(&path) || path.metadata().ok()?.len() > 16 << 20 {
        return None;
    }
    let bytes = fs::read(&path).ok()?;
    let list: Integrity = serde_json::from_slice(&bytes).ok()?;
    if !list.made_by.starts_with("whylens ") || !list.files.contains_key("index.html") {
        return None;
    }
    let (sha256, bytes) = (sha256(&bytes), bytes.len() as u64);
    Some((list, Listed { bytes, sha256 }))
}

/// Whether a file is in the list, or is one of them compressed, byte for byte.
fn is_of(list: &BTreeMap<String, Listed>, file: &Path, name: &str) -> bool {
    let matches = |listed: &Listed, read: &mut dyn Read| {
        let mut digest = Sha256::new();
        let most = listed.bytes.saturating_add(1);
        io::copy(&mut read.take(most), &mut digest).is_ok_and(|bytes| bytes == listed.bytes)
            && hex(&digest.finalize()) == listed.sha256
    };
    let open = || fs::File::open(file).map(BufReader::new);
    let original = |extension| list.get(name.strip_suffix(extension)?);
    is_plain(file)
        && (list
            .get(name)
            .is_some_and(|listed| open().is_ok_and(|mut file| matches(listed, &mut file)))
            || original(".br").is_some_and(|listed| {
                open().is_ok_and(|file| {
                    matches(listed, &mut brotli::Decompressor::new(file, 1 << 16))
                })
            })
            || original(".gz").is_some_and(|listed| {
                open().is_ok_and(|file| matches(listed, &mut flate2::read::GzDecoder::new(file)))
            }))
}

fn is_same(file: &Path, bytes: &[u8]) -> bool {
    read::file(file, bytes.len() as u64, Error::BadOption).is_ok_and(|there| there == bytes)
}

/// A file that is not a link.
fn is_plain(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_file())
}
