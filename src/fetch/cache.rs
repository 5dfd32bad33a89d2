//! checked bytes ⇄ the browser's Cache API.

use futures_util::future::try_join;
use js_sys::{Array, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Cache, CacheStorage, Headers, Request, Response, ResponseInit, TransformStream, Url,
    WritableStreamDefaultWriter,
};

use super::{text, transfer};
use crate::error::Result;

/// Added to a file's address to tell its versions apart.
const VERSION: &str = "whylens-sha256";

/// Bytes written at a time, so that the whole file is never copied.
const CHUNK: usize = 1 << 20;

/// A version of a file: its address and SHA-256.
pub struct Key {
    url: String,
    versioned: String,
}

impl Key {
    /// The key of the file at `url` with this SHA-256.
    pub fn new(url: &str, sha256: &str) -> Key {
        let versioned = match Url::new(url) {
            Ok(parsed) => {
                parsed.search_params().set(VERSION, sha256);
                parsed.href()
            }
            Err(_) => format!("{url}?{VERSION}={sha256}"),
        };
        Key {
            url: url.into(),
            versioned,
        }
    }

    /// The address that all versions share.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether a cached address is another version of the same file.
    fn replaces(&self, other: &str) -> bool {
        let Ok(parsed) = Url::new(other) else {
            return false;
        };
        if other == self.versioned || !parsed.search_params().has(VERSION) {
            return false;
        }
        parsed.search_params().delete(VERSION);
        Url::new(&self.url).is_ok_and(|own| own.href() == parsed.href())
    }
}

/// Opens the cache.
///
/// # Errors
/// The reason why there is none: a note for `health()`.
pub async fn open(name: &str) -> std::result::Result<Cache, String> {
    let storage = Reflect::get(&js_sys::global(), &"caches".into()).unwrap_or_default();
    if !storage.is_object() {
        return Err("no Cache API: the model is downloaded on every visit".into());
    }
    let storage: CacheStorage = storage.unchecked_into();
    match JsFuture::from(storage.open(name)).await {
        Ok(cache) => Ok(cache.unchecked_into()),
        Err(error) => Err(format!(
            "the cache cannot be used, the model is downloaded on every visit: {}",
            text(&error)
        )),
    }
}

/// The bytes kept under a key, at most `size`; a cache that fails counts as empty.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub async fn read(cache: &Cache, key: &Key, size: u64) -> Result<Option<Vec<u8>>> {
    let found = JsFuture::from(cache.match_with_str(&key.versioned)).await;
    let Some(response) = found
        .ok()
        .and_then(|found| found.dyn_into::<Response>().ok())
    else {
        return Ok(None);
    };
    let mut bytes = transfer::reserve(size)?;
    let mut arrived = |_: &[u8]| Ok(());
    let read = transfer::read_body(&response, size, f64::INFINITY, &mut bytes, &mut arrived);
    Ok(read.await.is_ok().then_some(bytes))
}

/// Keeps bytes under a key, and then removes the file's other versions.
///
/// # Errors
/// What the browser reports, such as that the quota is used up.
pub async fn write(cache: &Cache, key: &Key, bytes: &[u8]) -> std::result::Result<(), String> {
    try_write(cache, key, bytes)
        .await
        .map_err(|error| text(&error))
}

async fn try_write(cache: &Cache, key: &Key, bytes: &[u8]) -> std::result::Result<(), JsValue> {
    let stream = TransformStream::new()?;
    let headers = Headers::new()?;
    headers.set("content-length", &bytes.len().to_string())?;
    headers.set("content-type", "application/octet-stream")?;
    let init = ResponseInit::new();
    init.set_headers(&headers);
    let body = stream.readable();
    let response = Response::new_with_opt_readable_stream_and_init(Some(&body), &init)?;
    let put = JsFuture::from(cache.put_with_str(&key.versioned, &response));
    let writer: WritableStreamDefaultWriter = stream.writable().get_writer()?;
    let fill = async {
        for chunk in bytes.chunks(CHUNK) {
            JsFuture::from(writer.write_with_chunk(&Uint8Array::from(chunk))).await?;
        }
        JsFuture::from(writer.close()).await
    };
    if let Err(error) = try_join(put, fill).await {
        let _ = writer.abort();
        delete(cache, key).await;
        return Err(error);
    }
    let keys = JsFuture::from(cache.keys()).await?;
    for other in Array::from(&keys).iter() {
        let other: Request = other.unchecked_into();
        if key.replaces(&other.url()) {
            JsFuture::from(cache.delete_with_request(&other)).await?;
        }
    }
    Ok(())
}

/// Removes what is kept under a key.
pub async fn delete(cache: &Cache, key: &Key) {
    let _ = JsFuture::from(cache.delete_with_str(&key.versioned)).await;
}
