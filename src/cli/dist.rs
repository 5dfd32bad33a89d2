//! model folders + the page → a static site.
//!
//! The scripts, styles and wasm files keep their names inside one folder that is named after the
//! content of all of them (`www.<hash>/`): relative imports and `new URL(…, import.meta.url)` work without
//! rewriting, and a page gets all of its files from the same version or none. Models keep a stable address
//! (`models/<name>/model.json`), and their weights and labels are named by content.

mod compress;
mod model;
mod page;
mod planes;
mod preload;
mod replace;
mod scripts;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use sha2::{Digest, Sha256};
use whylens::Error;
use whylens::internal::{hex, sha256};

use self::compress::{Compress, compress};
use super::policy;

/// Make a static site that holds these models, ready to upload
#[derive(Args)]
pub struct Arguments {
    /// Model folders; the page starts with the first one
    #[arg(required = true, value_name = "DIR")]
    models: Vec<PathBuf>,
    /// Folder to write; an earlier site in it is replaced, other files in it stay
    #[arg(long, value_name = "SITE")]
    out: PathBuf,
    /// Folder with the page's index.html and www/ [default: the page inside this tool, or else .]
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,
    /// Split weights larger than this into parts, which the page joins: many hosts refuse files over 25 MB;
    /// 0: never
    #[arg(long, value_name = "SIZE", default_value = "24MB", value_parser = size)]
    split: u64,
    /// How hard to compress the .br and .gz files beside the big ones
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Compress::Best)]
    compress: Compress,
    /// Overwrite files in SITE that are not from an earlier site, or were changed since
    #[arg(long)]
    force: bool,
    /// Follow links in the page's folder and the model folders to other places, and publish what is there
    #[arg(long)]
    follow_links: bool,
    /// Let the page connect only to its own site: no photos and no models by address
    #[arg(long)]
    closed: bool,
    /// Memory that a model may take in the page [default: 512 MB on phones, elsewhere a quarter of the device's memory
    /// up to 2 GB, or 1 GB where the browser does not report it]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory_limit: Option<u64>,
    /// Isolate the page from other origins, as threads in WebAssembly require [the default]
    #[arg(long, overrides_with = "no_isolate")]
    isolate: bool,
    /// Leave the page connected to pages of other origins that open it or that it opens; it runs models by one thread
    #[arg(long)]
    no_isolate: bool,
    /// Publish scripts as they are written, with their comments
    #[arg(long)]
    no_minify: bool,
    /// No service worker; one that visitors have from an earlier site removes itself
    #[arg(long)]
    no_offline: bool,
}

/// The files of a site: path with `/` → bytes. Small enough to be held in memory.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Writes the site.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    make(arguments, |_| Ok(()))
}

/// Writes the site, with what `dress` makes of the page.
pub fn make(
    arguments: &Arguments,
    dress: impl FnOnce(&mut Files) -> Result<()>,
) -> Result<ExitCode> {
    let links = arguments.follow_links;
    check_place(arguments)?;
    let mut page = page::read(arguments.page.as_deref(), links)?;
    dress(&mut page)?;
    if !arguments.no_minify {
        scripts::minify(&mut page)?;
    }
    let index = page
        .remove("index.html")
        .context("the page has no index.html")?;
    let index = String::from_utf8(index).context("the page's index.html is not UTF-8")?;
    let worker = page
        .remove("www/sw.js")
        .context("the page has no www/sw.js")?;
    ensure!(
        page.keys().any(|path| path.ends_with(".wasm")),
        "the page has no wasm file in www/pkg; run `make build` first"
    );
    if arguments.closed || arguments.no_offline {
        page::without_share(&mut page)?;
    }
    let mut site = Files::new();
    let www = format!("www.{}", version(&page));
    for (path, bytes) in page {
        let inner = path.strip_prefix("www/").unwrap_or(&path);
        site.insert(format!("{www}/{inner}"), bytes);
    }
    for name in ["whylens.js", "why-lens.js"] {
        let entry = format!("{www}/{name}");
        if site.contains_key(&entry) {
            let alias = preload::alias(&site, &entry);
            site.insert(name.into(), alias.into_bytes());
        }
    }
    let mut models = Vec::new();
    let mut weights = BTreeSet::new();
    for path in &arguments.models {
        models.push(model::add(&mut site, &mut weights, path, arguments)?);
    }
    site.insert(
        "index.html".into(),
        page::rewrite(&index, &www, &site, &models, arguments)?.into_bytes(),
    );
    let worker = page::service_worker(&site, &weights, &worker, arguments)?;
    site.insert("sw.js".into(), worker);
    site.insert(
        "_headers".into(),
        page::headers(&www, arguments).into_bytes(),
    );
    let web_config = page::web_config(&site, arguments);
    site.insert("web.config".into(), web_config.into_bytes());
    let integrity = replace::integrity(&site, arguments.compress)?;
    site.insert("integrity.json".into(), integrity);
    let earlier = replace::compressed(&arguments.out, arguments.compress);
    compress(&mut site, arguments.compress, &earlier);
    replace::write(&site, &arguments.out, arguments.force)?;
    report(&site, &arguments.out);
    Ok(ExitCode::SUCCESS)
}

/// A site among the page's own files would contain itself, once more each time.
fn check_place(arguments: &Arguments) -> Result<()> {
    let page = arguments.page.as_deref().unwrap_or(Path::new("."));
    let out = std::path::absolute(&arguments.out)?;
    let there = out
        .ancestors()
        .find_map(|folder| folder.canonicalize().ok());
    match (page.join("www").canonicalize(), there) {
        (Ok(www), Some(there)) if there.starts_with(&www) => Err(Error::BadOption(format!(
            "{} is in the page's own folder {}, so the site would contain itself; name a folder outside it",
            arguments.out.display(),
            www.display()
        ))
        .into()),
        _ => Ok(()),
    }
}

/// One hash of the names and bytes of all files.
fn version(files: &Files) -> String {
    let mut all = Sha256::new();
    for (path, bytes) in files {
        all.update(format!("{path}\0{}\n", sha256(bytes)));
    }
    hex(&all.finalize())[..policy::HASH].into()
}

fn report(site: &Files, out: &Path) {
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    let total: usize = site.values().map(Vec::len).sum();
    println!(
        "{}: {} files, {:.1} MB; largest:",
        out.display(),
        site.len(),
        megabytes(total)
    );
    let mut largest: Vec<_> = site
        .iter()
        .map(|(path, bytes)| (bytes.len(), path))
        .collect();
    largest.sort_by(|a, b| b.cmp(a));
    for (bytes, path) in largest.iter().take(5) {
        println!("{:8.2} MB  {path}", megabytes(*bytes));
    }
}

/// `24MB`, `500kB`, `16MiB` or plain bytes.
fn bytes(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        unit => bail!("unknown unit {unit}; use kB, MB, GB, KiB, MiB or GiB"),
    };
    let number: u64 = digits
        .trim()
        .parse()
        .with_context(|| format!("`{text}` is not a size such as 24MB"))?;
    number.checked_mul(unit).context("the size is too large")
}

/// The size of a part.
fn size(text: &str) -> Result<u64> {
    let bytes = bytes(text)?;
    // Parts so small would need thousands of requests.
    ensure!(
        bytes == 0 || bytes >= 1000,
        "parts must have at least 1000 bytes"
    );
    Ok(bytes)
}

/// A memory limit. The smallest is more than a page takes without a model.
fn memory(text: &str) -> Result<u64> {
    let bytes = bytes(text)?;
    ensure!(
        (64_000_000..=1 << 32).contains(&bytes),
        "the memory limit must be from 64MB to 4GiB"
    );
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(size("24MB").unwrap(), 24_000_000);
        assert_eq!(size("16MiB").unwrap(), 16 << 20);
        assert_eq!(size("0").unwrap(), 0);
        for text in ["", "MB", "24XB", "10", "-1MB", "99999999999999999999"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(memory("2GB").unwrap(), 2_000_000_000);
        for text in ["0", "1MB", "8GB"] {
            assert!(memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_version_follows_names_and_bytes() {
        let files = |path: &str, text: &str| Files::from([(path.into(), text.into())]);
        let one = version(&files("a", "b"));
        assert_eq!(one, version(&files("a", "b")));
        assert_ne!(one, version(&files("a", "c")));
        assert_ne!(one, version(&files("b", "b")));
        assert_eq!(one.len(), policy::HASH);
    }
}
