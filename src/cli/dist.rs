//! model folders + the page → a static site.
//!
//! The scripts, styles and wasm files keep their names inside one folder that is named after the
//! content of all of them (`www.<hash>/`): relative imports and `new URL(…, import.meta.url)` hold
//! without any rewriting, and a page gets all of its files from one version or none. Models keep a
//! stable address (`models/<name>/model.json`), and their weights and labels are named by content.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use whylens::internal::{hex, sha256};
use whylens::manifest::{MOST_TEXT, Weights};
use whylens::{Error, Manifest, Options};

use super::staged::Staged;
use super::{folder, inside, policy, read};

/// Make a static site that holds these models, ready to upload
#[derive(Args)]
pub struct Arguments {
    /// Model folders; the first one is shown at first
    #[arg(required = true, value_name = "DIR")]
    models: Vec<PathBuf>,
    /// Folder to write; an earlier site in it is replaced, other files in it stay
    #[arg(long, value_name = "SITE")]
    out: PathBuf,
    /// Folder with the page's index.html and www/ [default: the page inside this tool, or else .]
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,
    /// Weights of more bytes than this are cut into parts, which the page joins: many hosts take no file
    /// over 25 MB; 0: never
    #[arg(long, value_name = "SIZE", default_value = "24MB", value_parser = size)]
    split: u64,
    /// How much work goes into the .br and .gz files beside the big ones
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Compress::Best)]
    compress: Compress,
    /// Overwrite files in SITE that are not of an earlier site, or were changed since
    #[arg(long)]
    force: bool,
    /// Publish what links in the page's folder and the model folders lead to, elsewhere too
    #[arg(long)]
    follow_links: bool,
    /// Let the page talk to its own site only: no photos and no models by address
    #[arg(long)]
    closed: bool,
    /// Isolate the page from other origins by its service worker, as threads in WebAssembly need it
    #[arg(long)]
    isolate: bool,
    /// No service worker; visitors who have one from an earlier site get rid of it
    #[arg(long, conflicts_with = "isolate")]
    no_offline: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Compress {
    Best,
    Fast,
    None,
}

/// A site in the making: path with `/` → bytes. Small enough to be held in memory.
type Files = BTreeMap<String, Vec<u8>>;

/// Files that are worth compressing, by what their names end with.
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

/// Writes the site.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let links = arguments.follow_links;
    check_place(arguments)?;
    let mut page = page(arguments.page.as_deref(), links)?;
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
        without_share(&mut page)?;
    }
    let mut site = Files::new();
    let www = format!("www.{}", version(&page));
    for (path, bytes) in page {
        let inner = path.strip_prefix("www/").unwrap_or(&path);
        site.insert(format!("{www}/{inner}"), bytes);
    }
    for name in ["whylens.js", "why-lens.js"] {
        if site.contains_key(&format!("{www}/{name}")) {
            let alias = format!("export * from './{www}/{name}';\n");
            site.insert(name.into(), alias.into_bytes());
        }
    }
    let mut models = Vec::new();
    let mut weights = BTreeSet::new();
    for path in &arguments.models {
        models.push(add_model(&mut site, &mut weights, path, arguments)?);
    }
    site.insert(
        "index.html".into(),
        rewrite(&index, &www, &models, arguments)?.into_bytes(),
    );
    let worker = service_worker(&site, &weights, &worker, arguments)?;
    site.insert("sw.js".into(), worker);
    site.insert("_headers".into(), headers(&www, arguments).into_bytes());
    let integrity = integrity(&site)?;
    site.insert("integrity.json".into(), integrity);
    compress(&mut site, arguments.compress);
    write(&site, &arguments.out, arguments.force)?;
    report(&site, &arguments.out);
    Ok(ExitCode::SUCCESS)
}

/// A site among the files of the page would hold itself, once more each time.
fn check_place(arguments: &Arguments) -> Result<()> {
    let page = arguments.page.as_deref().unwrap_or(Path::new("."));
    let out = std::path::absolute(&arguments.out)?;
    let there = out
        .ancestors()
        .find_map(|folder| folder.canonicalize().ok());
    match (page.join("www").canonicalize(), there) {
        (Ok(www), Some(there)) if there.starts_with(&www) => Err(Error::BadOption(format!(
            "{} is in the page's own folder {}, so that the site would hold itself; name a folder outside of it",
            arguments.out.display(),
            www.display()
        ))
        .into()),
        _ => Ok(()),
    }
}

/// The files of the page: `index.html` and `www/…`.
fn page(named: Option<&Path>, links: bool) -> Result<Files> {
    #[cfg(feature = "embed")]
    if named.is_none() {
        return Ok(embedded::page());
    }
    let folder = named.unwrap_or(Path::new("."));
    let source = Source::new(folder, links)?;
    let mut files = Files::new();
    let index = source.read("index.html").with_context(|| {
        format!(
            "no page in {}; name its folder with --page",
            folder.display()
        )
    })?;
    files.insert("index.html".into(), index);
    source.read_all("www", &mut Vec::new(), &mut files)?;
    Ok(files)
}

#[cfg(feature = "embed")]
mod embedded {
    use include_dir::{Dir, include_dir};

    use super::Files;

    static WWW: Dir = include_dir!("$CARGO_MANIFEST_DIR/www");

    pub fn page() -> Files {
        let mut files = Files::new();
        files.insert(
            "index.html".into(),
            include_bytes!("../../index.html").to_vec(),
        );
        add(&WWW, &mut files);
        files
    }

    fn add(folder: &Dir, files: &mut Files) {
        for file in folder.files() {
            let path = file.path().to_string_lossy().replace('\\', "/");
            files.insert(format!("www/{path}"), file.contents().to_vec());
        }
        for inner in folder.dirs() {
            add(inner, files);
        }
    }
}

/// A folder whose files are published, and nothing else that a link in it leads to.
struct Source {
    folder: PathBuf,
    links: bool,
}

impl Source {
    /// A folder that is named by a link is what was meant; links within it are to be asked about.
    fn new(folder: &Path, links: bool) -> Result<Source> {
        let cannot = || format!("cannot read {}", folder.display());
        let folder = Path::new(".").join(folder).canonicalize();
        let folder = folder.with_context(cannot)?;
        Ok(Source { folder, links })
    }

    /// Where the file or folder of this name really is.
    fn real(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        let cannot = || format!("cannot read {}", path.display());
        let real = path.canonicalize().with_context(cannot)?;
        ensure!(
            self.links || inside::resolve(&self.folder, &path).is_ok(),
            "{} leads to {}, which would be published; put a copy in its place, or add --follow-links",
            path.display(),
            real.display()
        );
        Ok(real)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        read::file(&self.real(name)?, read::MOST_ONNX, Error::OverMemoryLimit)
    }

    /// `model.json`, or labels.
    fn text(&self, name: &str) -> Result<Vec<u8>> {
        read::file(&self.real(name)?, MOST_TEXT, Error::BadManifest)
    }

    /// A file, or all files below a folder that are not hidden. `above`: the folders that it is in.
    fn read_all(&self, name: &str, above: &mut Vec<PathBuf>, files: &mut Files) -> Result<()> {
        let real = self.real(name)?;
        if !real.is_dir() {
            files.insert(name.into(), self.read(name)?);
            return Ok(());
        }
        let path = self.folder.join(name);
        ensure!(
            !above.contains(&real),
            "{} leads to a folder that it is in; remove it",
            path.display()
        );
        above.push(real);
        let entries =
            fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for entry in entries {
            let path = entry?.path();
            let inner = path
                .file_name()
                .and_then(|name| name.to_str())
                .with_context(|| format!("the name of {} is not UTF-8", path.display()))?;
            if !inner.starts_with('.') {
                self.read_all(&format!("{name}/{inner}"), above, files)?;
            }
        }
        above.pop();
        Ok(())
    }
}

/// Checks a model, adds it to the site and gives its folder there.
fn add_model(
    site: &mut Files,
    all_weights: &mut BTreeSet<String>,
    path: &Path,
    arguments: &Arguments,
) -> Result<String> {
    let folder = match path.parent() {
        Some(parent) if path.is_file() => parent,
        _ => path,
    };
    let source = Source::new(folder, arguments.follow_links)?;
    let named = || format!("model {}", folder.display());
    let json = source.text("model.json")?;
    let (manifest, _) = Manifest::parse(&json).with_context(named)?;
    let Weights { file, parts, .. } = &manifest.weights;
    let parts = parts.iter().map(|part| &part.file);
    for name in manifest.labels.values().chain(parts) {
        source.real(name)?;
    }
    if manifest.weights.parts.is_empty() {
        source.real(file)?;
    }
    folder::load(folder, &Options::default()).with_context(named)?;
    let mut json: Value = serde_json::from_slice(&json)?;
    let target = address(&source.folder)?;
    ensure!(
        !site.contains_key(&format!("{target}model.json")),
        "two models are named {target}; rename a folder"
    );

    let split = arguments.split;
    let weights = folder::weights(folder, &manifest)?;
    let file = by_content(&manifest.weights.file, &weights);
    json["weights"]["file"] = file.clone().into();
    if let Some(weights) = json["weights"].as_object_mut() {
        weights.remove("parts");
    }
    if split > 0 && weights.len() as u64 > split {
        let parts = weights.len().div_ceil(usize::try_from(split)?);
        let mut list = Vec::new();
        for (index, part) in weights.chunks(weights.len().div_ceil(parts)).enumerate() {
            let name = format!("{file}.{index}");
            list.push(json!({ "file": name, "bytes": part.len() }));
            all_weights.insert(format!("{target}{name}"));
            site.insert(format!("{target}{name}"), part.to_vec());
        }
        json["weights"]["parts"] = list.into();
    } else {
        all_weights.insert(format!("{target}{file}"));
        site.insert(format!("{target}{file}"), weights);
    }
    for (language, name) in &manifest.labels {
        let labels = source.text(name)?;
        let name = by_content(name, &labels);
        json["labels"][language] = name.clone().into();
        site.insert(format!("{target}{name}"), labels);
    }
    let mut licences = Files::new();
    for entry in fs::read_dir(&source.folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("LICENSE") || name.starts_with("NOTICE") {
            source.read_all(&name, &mut Vec::new(), &mut licences)?;
        }
    }
    for (name, bytes) in licences {
        site.insert(format!("{target}{name}"), bytes);
    }
    site.insert(
        format!("{target}model.json"),
        serde_json::to_vec_pretty(&json)?,
    );
    Ok(target)
}

/// `models/<name>/`, with nothing in the name that an address would have to escape.
fn address(source: &Path) -> Result<String> {
    let name = source
        .file_name()
        .context("a model folder needs a name")?
        .to_string_lossy();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).collect();
    // Servers hide what begins with a dot.
    let name = match name.trim_start_matches('.') {
        "" => "model",
        name => name,
    };
    Ok(format!("models/{name}/"))
}

/// `model.onnx` → `model.<hash>.onnx`.
fn by_content(name: &str, bytes: &[u8]) -> String {
    let hash = &sha256(bytes)[..policy::HASH];
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}.{hash}.{extension}"),
        None => format!("{name}.{hash}"),
    }
}

/// One hash for names and bytes of all files.
fn version(files: &Files) -> String {
    let mut all = Sha256::new();
    for (path, bytes) in files {
        all.update(format!("{path}\0{}\n", sha256(bytes)));
    }
    hex(&all.finalize())[..policy::HASH].into()
}

/// The page, with its files at their new place and told of models and service worker.
fn rewrite(index: &str, www: &str, models: &[String], arguments: &Arguments) -> Result<String> {
    let mut html = index.to_string();
    for attribute in ["href", "src"] {
        html = html.replace(
            &format!("{attribute}=\"www/"),
            &format!("{attribute}=\"{www}/"),
        );
    }
    let script = "<script type=\"module\"";
    ensure!(
        html.matches(script).count() == 1,
        "index.html must have one {script}…>"
    );
    let offline = if arguments.no_offline { "off" } else { "sw.js" };
    let list = models.join(" ");
    html = html.replace(
        script,
        &format!("{script} data-models=\"{list}\" data-offline=\"{offline}\""),
    );
    if arguments.closed {
        let open = policy::OPEN;
        ensure!(
            html.matches(open).count() == 1,
            "index.html has no Content-Security-Policy with {open}, so --closed cannot close it"
        );
        html = html.replace(open, policy::CLOSED);
    }
    Ok(html)
}

/// What other apps are offered needs the service worker, and a closed site takes nothing from them.
fn without_share(page: &mut Files) -> Result<()> {
    let name = "www/manifest.webmanifest";
    let Some(bytes) = page.get_mut(name) else {
        return Ok(());
    };
    let mut manifest: Value =
        serde_json::from_slice(bytes).with_context(|| format!("{name} is no JSON"))?;
    if let Some(fields) = manifest.as_object_mut() {
        fields.remove("share_target");
        fields.remove("file_handlers");
    }
    *bytes = serde_json::to_vec_pretty(&manifest)?;
    Ok(())
}

/// The service worker with the list of what it keeps, or one that removes itself.
fn service_worker(
    site: &Files,
    weights: &BTreeSet<String>,
    script: &[u8],
    arguments: &Arguments,
) -> Result<Vec<u8>> {
    // The library keeps weights itself, and only those that were used.
    let files: BTreeMap<&str, String> = site
        .iter()
        .filter(|(path, _)| !weights.contains(*path))
        .map(|(path, bytes)| (path.as_str(), sha256(bytes)))
        .collect();
    let version = sha256(&serde_json::to_vec(&files)?)[..policy::HASH].to_string();
    let site = json!({
        "version": version,
        "offline": !arguments.no_offline,
        "share": !arguments.closed,
        "files": files,
        "headers": page_headers(arguments.isolate),
        "workerPolicy": policy::worker(arguments.closed),
    });
    let mut out = format!("self.site = {site};\n").into_bytes();
    out.extend_from_slice(script);
    Ok(out)
}

fn page_headers(isolate: bool) -> BTreeMap<&'static str, &'static str> {
    let isolation = if isolate { policy::ISOLATION } else { &[] };
    policy::HEADERS.iter().chain(isolation).copied().collect()
}

/// Headers in the form that Netlify and Cloudflare Pages read; a plain file elsewhere.
fn headers(www: &str, arguments: &Arguments) -> String {
    let mut text = String::from("/*\n");
    for (name, value) in page_headers(arguments.isolate) {
        text += &format!("  {name}: {value}\n");
    }
    let worker = policy::worker(arguments.closed);
    text += &format!("/{www}/*\n  cache-control: {}\n", policy::FOR_EVER);
    text += &format!("/{www}/worker/worker.js\n  content-security-policy: {worker}\n");
    text += &format!("/sw.js\n  cache-control: no-cache\n  content-security-policy: {worker}\n");
    text
}

/// SHA-256 and size of every file.
fn integrity(site: &Files) -> Result<Vec<u8>> {
    let files: BTreeMap<_, _> = site
        .iter()
        .map(|(path, bytes)| {
            (
                path,
                json!({ "bytes": bytes.len(), "sha256": sha256(bytes) }),
            )
        })
        .collect();
    let made_by = format!("whylens {}", env!("CARGO_PKG_VERSION"));
    Ok(serde_json::to_vec_pretty(
        &json!({ "format": 1, "made_by": made_by, "files": files }),
    )?)
}

/// Adds `.br` and `.gz` beside the files that become at least a twentieth smaller.
fn compress(site: &mut Files, how: Compress) {
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
    // On an error the file as it is: no smaller, so that it is not kept.
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

/// Puts the site in place of an earlier one, and lets everything else in the folder be.
fn write(site: &Files, out: &Path, force: bool) -> Result<()> {
    let mut staged = Staged::begin(out)?;
    let before = staged.before()?;
    let list = earlier(staged.target());
    ensure!(
        before.is_empty() || list.is_some(),
        "{} holds other files than an earlier site; name an empty folder",
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
                "{} is not of the earlier site, or was changed since; move it away, or add --force to overwrite it",
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
            "whylens: {out} keeps what is not of the earlier site, or was changed since: {named}"
        );
    }
    Ok(())
}

/// What names others comes after them: a browser that asks meanwhile finds all that it is told of.
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

/// What `integrity.json` says of a file.
#[derive(Deserialize)]
struct Listed {
    bytes: u64,
    sha256: String,
}

#[derive(Deserialize)]
struct Integrity {
    made_by: String,
    files: BTreeMap<String, Listed>,
}

/// The files of the site that is in a folder, with `integrity.json` itself; `None` where there is none.
fn earlier(folder: &Path) -> Option<BTreeMap<String, Listed>> {
    let path = folder.join("integrity.json");
    // More than any site has; a list of another size is not ours.
    if !is_plain(&path) || path.metadata().ok()?.len() > 16 << 20 {
        return None;
    }
    let bytes = fs::read(&path).ok()?;
    let Integrity { made_by, mut files } = serde_json::from_slice(&bytes).ok()?;
    if !made_by.starts_with("whylens ") || !files.contains_key("index.html") {
        return None;
    }
    let (sha256, bytes) = (sha256(&bytes), bytes.len() as u64);
    files.insert("integrity.json".into(), Listed { bytes, sha256 });
    Some(files)
}

/// Whether a file is one of the list, or one of them compressed, byte for byte.
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

/// A file that is there itself, not by a link.
fn is_plain(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_file())
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
fn size(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        unit => bail!("the unit {unit} is not known; use kB, MB, KiB or MiB"),
    };
    let number: u64 = digits
        .trim()
        .parse()
        .with_context(|| format!("`{text}` is no size such as 24MB"))?;
    let bytes = number.checked_mul(unit).context("the size is too large")?;
    // Parts so small would need thousands of requests.
    ensure!(
        bytes == 0 || bytes >= 1000,
        "parts must have at least 1000 bytes"
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

    #[test]
    fn names_by_content_keep_their_extension() {
        assert_eq!(
            by_content("labels.vi.txt", b""),
            "labels.vi.e3b0c44298fc1c14.txt"
        );
    }
}
