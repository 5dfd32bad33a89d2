//! site → the same with `.br` and `.gz` beside the big files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use whylens::internal::sha256;

use super::Files;

#[derive(Clone, Copy, PartialEq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compress {
    Best,
    Fast,
    None,
}

/// Endings of the names of files that are worth compressing.
const TEXTS: &[&str] = &[
    "css",
    "html",
    "js",
    "json",
    "md",
    "mjs",
    "onnx",
    "svg",
    "ts",
    "txt",
    "wasm",
    "webmanifest",
];

/// Files below this many bytes gain nothing that a visitor would notice.
const SMALLEST_COMPRESSED: usize = 1024;

/// Adds `.br` and `.gz` beside the files that become at least a twentieth smaller. `earlier`: the files of an earlier
/// site that was compressed in the same way, by their SHA-256; what is beside them is taken again.
pub fn compress(site: &mut Files, how: Compress, earlier: &BTreeMap<String, PathBuf>) {
    if how == Compress::None {
        return;
    }
    let mut work: Vec<(&String, &Vec<u8>, &str)> = site
        .iter()
        .filter(|(path, bytes)| {
            let extension = path.rsplit('.').next().unwrap_or_default();
            bytes.len() >= SMALLEST_COMPRESSED
                && TEXTS.contains(&extension)
                && path.as_str() != "sw.js"
        })
        .flat_map(|(path, bytes)| [(path, bytes, "br"), (path, bytes, "gz")])
        .collect();
    // The longest first, so that no thread is left with one of them at the end.
    work.sort_by_key(|(_, bytes, extension)| (*extension, std::cmp::Reverse(bytes.len())));
    let next = AtomicUsize::new(0);
    let made = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((path, bytes, extension)) =
                    work.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let before = || again(earlier.get(&sha256(bytes))?, extension, bytes);
                    let small = before().unwrap_or_else(|| match *extension {
                        "br" => brotli(bytes, how),
                        _ => gzip(bytes, how),
                    });
                    if small.len() < bytes.len() / 20 * 19
                        && let Ok(mut made) = made.lock()
                    {
                        made.push((format!("{path}.{extension}"), small));
                    }
                }
            });
        }
    });
    site.extend(made.into_inner().unwrap_or_default());
}

/// What is beside a file of an earlier site, if it holds these bytes.
fn again(file: &Path, extension: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{extension}"));
    let file = PathBuf::from(beside);
    if !file.symlink_metadata().ok()?.is_file() {
        return None;
    }
    let mut small = Vec::new();
    let most = bytes.len() as u64;
    File::open(file)
        .ok()?
        .take(most)
        .read_to_end(&mut small)
        .ok()?;
    let mut held = Vec::new();
    match extension {
        "br" => brotli::Decompressor::new(&small[..], 1 << 16)
            .take(most + 1)
            .read_to_end(&mut held),
        _ => flate2::read::GzDecoder::new(&small[..])
            .take(most + 1)
            .read_to_end(&mut held),
    }
    .ok()?;
    (held == bytes).then_some(small)
}

fn brotli(bytes: &[u8], how: Compress) -> Vec<u8> {
    let quality = if how == Compress::Best { 11 } else { 5 };
    let mut out = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut out, 1 << 16, quality, 24);
    let written = writer.write_all(bytes);
    drop(writer);
    // On an error, the unchanged file: it is no smaller, so it is not kept.
    if written.is_err() {
        bytes.to_vec()
    } else {
        out
    }
}

fn gzip(bytes: &[u8], how: Compress) -> Vec<u8> {
    let level = if how == Compress::Best { 9 } else { 5 };
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    let written = writer.write_all(bytes).and_then(|()| writer.finish());
    written.unwrap_or_else(|_| bytes.to_vec())
}
