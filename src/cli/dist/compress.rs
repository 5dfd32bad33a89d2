//! site → the same with `.br` and `.gz` beside the big files.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum;

use super::Files;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
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

/// Adds `.br` and `.gz` beside the files that become at least a twentieth smaller.
pub fn compress(site: &mut Files, how: Compress) {
    if how == Compress::None {
        return;
    }
    let work: Vec<(&String, &Vec<u8>)> = site
        .iter()
        .filter(|(path, bytes)| {
            let extension = path.rsplit('.').next().unwrap_or_default();
            bytes.len() >= SMALLEST_COMPRESSED
                && TEXTS.contains(&extension)
                && path.as_str() != "sw.js"
        })
        .collect();
    let next = AtomicUsize::new(0);
    let made = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((path, bytes)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for (extension, small) in [("br", brotli(bytes, how)), ("gz", gzip(bytes, how))]
                    {
                        if small.len() < bytes.len() / 20 * 19
                            && let Ok(mut made) = made.lock()
                        {
                            made.push((format!("{path}.{extension}"), small));
                        }
                    }
                }
            });
        }
    });
    site.extend(made.into_inner().unwrap_or_default());
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
