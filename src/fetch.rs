//! URL → bytes, in the browser: download, check, cache.

mod cache;
mod lock;
mod timer;
mod transfer;

use std::cell::{Cell, RefCell};

use js_sys::{Reflect, Uint8Array};
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Crypto, RequestCache, Url};

use crate::digest::hex;
use crate::error::{Error, Result};
use crate::manifest::Weights;
use crate::sniff;
use transfer::Tries;

pub use timer::sleep;
pub use transfer::{Patience, Size, get};

/// What a download did and what did not work; for `health()`.
#[derive(Debug, Default, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// Requests sent for the weights, including resumed and repeated ones.
    pub requests: u32,
    /// Whether the weights came from the cache.
    pub from_cache: bool,
    /// Whether the weights are in the cache now.
    pub cached: bool,
    /// What did not work, although the load went on.
    pub notes: Vec<String>,
}

/// Where weights come from and how.
pub struct Source<'a> {
    /// Address of the ONNX file.
    pub url: &'a str,
    /// What the manifest says about it.
    pub weights: &'a Weights,
    /// Name of the browser's cache to keep it in; none: not kept.
    pub cache: Option<&'a str>,
    /// How long to keep trying.
    pub patience: Patience,
}

/// The weights of a model, checked: from the cache, or else downloaded once, by one page at a time,
/// and put there. `progress` gets the bytes so far, which never fall and never exceed `weights.bytes`.
///
/// Dropping the future stops the transfer.
///
/// # Errors
/// [`Error::Network`](crate::Error::Network), [`Error::HttpStatus`](crate::Error::HttpStatus),
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory) and those of [`sniff`].
pub async fn weights(
    source: &Source<'_>,
    log: &RefCell<Log>,
    progress: &dyn Fn(u64),
) -> Result<Vec<u8>> {
    let note = |text: String| log.borrow_mut().notes.push(text);
    let cache = match source.cache {
        None => None,
        Some(name) => cache::open(name).await.map_err(note).ok(),
    };
    let files = source.weights.parts.len().max(1);
    let tries: Vec<_> = (0..files).map(|_| Tries::new(source.patience)).collect();
    let Some(cache) = cache else {
        // Bytes that were refused before may sit in the browser's HTTP cache.
        return match download(source, RequestCache::Default, &tries, log, progress).await {
            Err(error)
                if matches!(error.code(), "integrity" | "truncated") && take_retry(&tries) =>
            {
                download(source, RequestCache::Reload, &tries, log, progress).await
            }
            result => result,
        };
    };
    let key = cache::Key::new(source.url, &source.weights.sha256);
    if let Some(bytes) = cached(&cache, &key, source, log, progress).await? {
        return Ok(bytes);
    }
    let lock = lock::acquire(&format!("whylens {}", key.url())).await;
    if lock.is_none() {
        note("no Web Locks: two pages opened at once may both download".into());
    } else if let Some(bytes) = cached(&cache, &key, source, log, progress).await? {
        return Ok(bytes);
    }
    let bytes = download(source, RequestCache::NoStore, &tries, log, progress).await?;
    match cache::write(&cache, &key, &bytes).await {
        Ok(()) => log.borrow_mut().cached = true,
        Err(error) => note(format!("the model could not be cached: {error}")),
    }
    Ok(bytes)
}

async fn cached(
    cache: &web_sys::Cache,
    key: &cache::Key,
    source: &Source<'_>,
    log: &RefCell<Log>,
    progress: &dyn Fn(u64),
) -> Result<Option<Vec<u8>>> {
    let Some(bytes) = cache::read(cache, key, source.weights.bytes).await? else {
        return Ok(None);
    };
    if let Err(error) = identity(&bytes, source).await {
        cache::delete(cache, key).await;
        let note = format!("the cached model was damaged and is downloaded again: {error}");
        log.borrow_mut().notes.push(note);
        return Ok(None);
    }
    let mut log = log.borrow_mut();
    (log.from_cache, log.cached) = (true, true);
    progress(source.weights.bytes);
    Ok(Some(bytes))
}

/// Whether every file may be requested once more.
fn take_retry(tries: &[Tries]) -> bool {
    tries.iter().all(Tries::take_retry)
}

async fn download(
    source: &Source<'_>,
    mode: RequestCache,
    tries: &[Tries],
    log: &RefCell<Log>,
    progress: &dyn Fn(u64),
) -> Result<Vec<u8>> {
    let shown = Cell::new(0);
    let rising = |bytes: u64| {
        if bytes > shown.get() {
            shown.set(bytes);
            progress(bytes);
        }
    };
    let (bytes, resumed) = parts(source, mode, tries, log, &rising).await?;
    let bytes = match identity(&bytes, source).await {
        Ok(()) => bytes,
        // The parts of a resumed transfer may be from different versions of the file.
        Err(_) if resumed && take_retry(tries) => {
            drop(bytes);
            let (bytes, _) = parts(source, mode, tries, log, &rising).await?;
            identity(&bytes, source).await?;
            bytes
        }
        Err(error) => return Err(error),
    };
    sniff::onnx(&bytes, source.url)?;
    Ok(bytes)
}

/// Downloads the file, or its parts one after the other into one vector; also returns whether any of them
/// was resumed.
async fn parts(
    source: &Source<'_>,
    mode: RequestCache,
    tries: &[Tries],
    log: &RefCell<Log>,
    progress: &dyn Fn(u64),
) -> Result<(Vec<u8>, bool)> {
    let weights = source.weights;
    let whole = [(source.url.to_string(), weights.bytes)];
    let parts: Vec<_> = match weights.parts.is_empty() {
        true => whole.into(),
        false => weights
            .parts
            .iter()
            .map(|part| Ok((beside(&part.file, source.url)?, part.bytes)))
            .collect::<Result<_>>()?,
    };
    let mut bytes = transfer::reserve(weights.bytes)?;
    let mut resumed = false;
    for ((url, size), tries) in parts.iter().zip(tries) {
        let start = bytes.len();
        let head = |bytes: &[u8]| match start {
            0 => sniff::head(bytes, url),
            _ => sniff::page(bytes, url),
        };
        let transfer = transfer::Transfer {
            url,
            size: Size::Exactly(*size),
            mode,
            patience: source.patience,
            tries,
            request: &|| log.borrow_mut().requests += 1,
            head: &head,
            progress: &|more| progress(start as u64 + more),
        };
        resumed |= transfer.run(&mut bytes).await?;
    }
    Ok((bytes, resumed))
}

/// The address of a file in the folder of another.
///
/// # Errors
/// [`Error::BadOption`] when `other` is not an address.
pub fn beside(file: &str, other: &str) -> Result<String> {
    Url::new_with_base(file, other)
        .map(|url| url.href())
        .map_err(|_| Error::BadOption(format!("`{other}` is not an address")))
}

async fn identity(bytes: &[u8], source: &Source<'_>) -> Result<()> {
    let Weights {
        bytes: size,
        sha256,
        ..
    } = source.weights;
    let digest = match subtle_sha256(bytes).await {
        Some(digest) => hex(&digest),
        None => crate::digest::sha256(bytes),
    };
    sniff::identity((bytes.len() as u64, &digest), (*size, sha256), source.url)
}

/// Computed by the browser, off this thread; none where it cannot (pages that are not served securely).
async fn subtle_sha256(bytes: &[u8]) -> Option<Vec<u8>> {
    let crypto = Reflect::get(&js_sys::global(), &"crypto".into()).ok()?;
    let subtle = Reflect::get(&crypto, &"subtle".into()).ok()?;
    if !subtle.is_object() {
        return None;
    }
    let digest = crypto
        .unchecked_into::<Crypto>()
        .subtle()
        .digest_with_str_and_js_u8_array("SHA-256", &Uint8Array::from(bytes))
        .ok()?
        .await
        .ok()?;
    Some(Uint8Array::new(&digest).to_vec())
}

/// The text of a thrown value.
fn text(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => format!("{}: {}", error.name(), error.message()),
        None => format!("{thrown:?}"),
    }
}
