//! URL → bytes over the network: status, retries, resuming, stalls.

use std::cell::Cell;

use futures_util::future::{Either, select};
use js_sys::Uint8Array;
use serde::Deserialize;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, Headers, ReadableStreamDefaultReader, ReadableStreamReadResult, Request,
    RequestCache, RequestInit, Response, WorkerGlobalScope,
};

use super::{sleep, text};
use crate::error::{Error, Result};
use crate::sniff;

/// How long to keep trying.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Patience {
    /// Requests for a file, after the first, that bring nothing more of it.
    pub retries: u32,
    /// Milliseconds before the first retry; doubled with each.
    pub retry_delay: f64,
    /// Milliseconds without a byte after which a connection counts as broken.
    pub stall_timeout: f64,
}

/// A request brings more of a file if it adds one part in this many of the size to the most that there ever
/// was. A server that breaks off after each byte gets as many requests as one that sends none.
const PROGRESS: u64 = 64;

/// What one file has cost so far, however often its download starts again.
pub struct Tries {
    asked: Cell<bool>,
    /// Requests that may still fail.
    left: Cell<u32>,
    /// The most bytes that there ever were.
    most: Cell<u64>,
}

impl Tries {
    /// The tries of a file that has not been requested yet.
    pub fn new(patience: Patience) -> Tries {
        Tries {
            asked: Cell::new(false),
            left: Cell::new(patience.retries),
            most: Cell::new(0),
        }
    }

    /// Takes the request that starting again costs; returns whether there was one left.
    pub fn take_retry(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }
}

/// How large a file is.
#[derive(Debug, Clone, Copy)]
pub enum Size {
    /// This many bytes.
    Exactly(u64),
    /// At most this many bytes.
    AtMost(u64),
}

impl Size {
    fn most(self) -> u64 {
        match self {
            Size::Exactly(bytes) | Size::AtMost(bytes) => bytes,
        }
    }

    /// Whether what arrived is checked by its SHA-256, so that a mix of versions is noticed.
    fn is_checked(self) -> bool {
        matches!(self, Size::Exactly(_))
    }
}

/// A small file, whole, checked by [`sniff::page`].
///
/// # Errors
/// [`Error::Network`], [`Error::HttpStatus`], [`Error::NotAModel`] for a web page, [`Error::BadManifest`]
/// for a file that is too large.
pub async fn get(url: &str, most: u64, patience: Patience) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let transfer = Transfer {
        url,
        size: Size::AtMost(most),
        // Asks the server every time, so that a new version of a model is seen at once.
        mode: RequestCache::NoCache,
        patience,
        tries: &Tries::new(patience),
        request: &|| (),
        head: &|bytes| sniff::page(bytes, url),
        progress: &|_| (),
    };
    transfer.run(&mut bytes).await?;
    Ok(bytes)
}

/// A download that is retried and resumed.
pub struct Transfer<'a> {
    /// What is downloaded.
    pub url: &'a str,
    /// How large it is.
    pub size: Size,
    /// What the browser's HTTP cache may do for the first attempt.
    pub mode: RequestCache,
    /// How long to keep trying.
    pub patience: Patience,
    /// What the file has cost so far.
    pub tries: &'a Tries,
    /// Called for each request.
    pub request: &'a dyn Fn(),
    /// Checks the first [`sniff::HEAD`] bytes, or all if there are fewer.
    pub head: &'a dyn Fn(&[u8]) -> Result<()>,
    /// Called with the bytes of this file so far, which never become fewer.
    pub progress: &'a dyn Fn(u64),
}

/// Why an attempt ended.
pub enum Failure {
    /// Trying again may help.
    Passing(Error),
    /// The response ended early, but properly.
    Short(Error),
    /// Trying again does not help.
    Final(Error),
}

/// Where the bytes so far came from.
#[derive(Default)]
struct Origin {
    /// What the server calls the version of the file.
    version: Option<String>,
    /// Whether they come from several responses.
    joined: bool,
}

/// Stops the transfer when it is dropped.
struct Connection(AbortController);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Transfer<'_> {
    /// Appends the file to `bytes`; returns whether it was put together from several responses. Dropping
    /// the future stops the transfer.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::HttpStatus`], [`Error::Truncated`], [`Error::Integrity`],
    /// [`Error::BadManifest`], and those of `head`.
    pub async fn run(&self, bytes: &mut Vec<u8>) -> Result<bool> {
        let start = bytes.len();
        let mut origin = Origin::default();
        let (mut in_vain, mut ended_early) = (0, false);
        let mut mode = self.mode;
        loop {
            let (again, most) = (self.tries.asked.replace(true), self.tries.most.get());
            let (error, passing) = match self.attempt(bytes, start, mode, &mut origin).await {
                Ok(()) => return Ok(origin.joined),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(error)) => (error, true),
                Err(Failure::Short(error)) => (error, !std::mem::replace(&mut ended_early, true)),
            };
            if self.tries.most.get() > most + self.size.most() / PROGRESS {
                in_vain = 0;
            } else if again {
                self.tries.take_retry();
            }
            if !passing || self.tries.left.get() == 0 {
                return Err(error);
            }
            // A browser completes what it has cached of a broken response by requests of its own.
            mode = RequestCache::NoStore;
            sleep(self.patience.retry_delay * f64::from(1 << in_vain.min(10))).await;
            in_vain += 1;
        }
    }

    /// One request; appends to what there is of the file already, which begins at `start`.
    async fn attempt(
        &self,
        bytes: &mut Vec<u8>,
        start: usize,
        mode: RequestCache,
        origin: &mut Origin,
    ) -> std::result::Result<(), Failure> {
        let unreachable = |thrown: JsValue| {
            Failure::Passing(Error::Network(format!(
                "{} cannot be reached ({}); check the connection, and that the server allows this page to read \
                it (CORS)",
                self.url,
                text(&thrown)
            )))
        };
        let controller = AbortController::new().map_err(unreachable)?;
        let connection = Connection(controller);
        let init = RequestInit::new();
        init.set_signal(Some(&connection.0.signal()));
        init.set_cache(mode);
        if !self.size.is_checked() && origin.version.is_none() {
            bytes.truncate(start);
        }
        let had = bytes.len() - start;
        if had > 0 {
            let headers = Headers::new().map_err(unreachable)?;
            let range = format!("bytes={had}-");
            headers.set("range", &range).map_err(unreachable)?;
            init.set_headers(&headers);
        }
        let request = Request::new_with_str_and_init(self.url, &init).map_err(unreachable)?;
        (self.request)();
        let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
        let fetched = JsFuture::from(scope.fetch_with_request(&request));
        let response: Response = match select(fetched, sleep(self.patience.stall_timeout)).await {
            Either::Left((fetched, _)) => fetched.map_err(unreachable)?.unchecked_into(),
            Either::Right(_) => return Err(self.stalled()),
        };
        match response.status() {
            206 if self.continues(&response, had, origin) => origin.joined |= had > 0,
            206 => {
                bytes.truncate(start);
                return Err(Failure::Passing(Error::Network(format!(
                    "{} changed while it was downloaded, or the server sent a part that was not requested; try again",
                    self.url
                ))));
            }
            200..300 => {
                bytes.truncate(start);
                *origin = Origin {
                    version: version(&response),
                    joined: false,
                };
            }
            // The file ends where the first response ended, or the server counts differently.
            416 if had > 0 => {
                bytes.truncate(start);
                return Err(Failure::Short(self.short(had)));
            }
            status => {
                let url = self.url.to_string();
                let error = Error::HttpStatus { status, url };
                return Err(match status {
                    408 | 425 | 429 | 500.. => Failure::Passing(error),
                    _ => Failure::Final(error),
                });
            }
        }

        let mut looked = bytes.len() - start >= sniff::HEAD;
        let mut arrived = |bytes: &[u8]| {
            let bytes = &bytes[start..];
            if !looked && bytes.len() >= sniff::HEAD {
                looked = true;
                (self.head)(&bytes[..sniff::HEAD])?;
            }
            if bytes.len() as u64 > self.tries.most.get() {
                self.tries.most.set(bytes.len() as u64);
                (self.progress)(bytes.len() as u64);
            }
            Ok(())
        };
        let (most, stall) = (start as u64 + self.size.most(), self.patience.stall_timeout);
        let read = read_body(&response, most, stall, bytes, &mut arrived).await;
        let file = &bytes[start..];
        match read {
            Ok(()) => {}
            Err(Broken::Refused(error)) => return Err(Failure::Final(error)),
            Err(Broken::Stalled) => return Err(self.stalled()),
            Err(Broken::TooLong) => {
                (self.head)(&file[..file.len().min(sniff::HEAD)]).map_err(Failure::Final)?;
                return Err(Failure::Final(self.long()));
            }
            Err(Broken::Connection(thrown)) => {
                return Err(Failure::Passing(Error::Network(format!(
                    "the connection broke while {} was downloaded ({}); check the connection",
                    self.url,
                    text(&thrown)
                ))));
            }
        }
        if file.len() < sniff::HEAD {
            (self.head)(file).map_err(Failure::Final)?;
        }
        match self.size {
            Size::Exactly(size) if (file.len() as u64) < size => {
                Err(Failure::Short(self.short(file.len())))
            }
            _ => Ok(()),
        }
    }

    /// Whether a partial response continues where the bytes so far end, in the same version of the file.
    fn continues(&self, response: &Response, had: usize, origin: &Origin) -> bool {
        let header = |name| response.headers().get(name).ok().flatten();
        let joins = header("content-range").is_none_or(|range| {
            let range = range.trim();
            let total = range
                .rsplit('/')
                .next()
                .and_then(|total| total.parse().ok());
            let fits = |total: u64| !self.size.is_checked() || total == self.size.most();
            range.starts_with(&format!("bytes {had}-")) && total.is_none_or(fits)
        });
        let same = match (&origin.version, version(response)) {
            (Some(before), Some(now)) => *before == now,
            _ => had == 0 || self.size.is_checked(),
        };
        joins && same && header("content-encoding").is_none()
    }

    fn stalled(&self) -> Failure {
        let seconds = self.patience.stall_timeout / 1000.0;
        Failure::Passing(Error::Network(format!(
            "the download of {} stalled: no byte came for {seconds} s; check the connection",
            self.url
        )))
    }

    fn short(&self, actual: usize) -> Error {
        sniff::truncated(actual as u64, self.size.most(), self.url)
    }

    fn long(&self) -> Error {
        let url = self.url;
        match self.size {
            Size::Exactly(expected) => Error::Integrity(format!(
                "{url} has more than the {expected} bytes that model.json says: the two are from different \
                versions; copy both again"
            )),
            Size::AtMost(most) => Error::BadManifest(format!(
                "{url} has more than {most} bytes; it is not from a model folder"
            )),
        }
    }
}

/// What the server calls the version of the file that it sends; none where it does not say, or compresses
/// the file: the name is then that of the compressed bytes. Other sites may hide it.
fn version(response: &Response) -> Option<String> {
    let header = |name| response.headers().get(name).ok().flatten();
    if header("content-encoding").is_some() {
        return None;
    }
    let tag = header("etag").map(|tag| tag.trim_start_matches("W/").to_string());
    tag.or_else(|| header("last-modified"))
}

/// An empty vector that never has to move while it is filled.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn reserve(size: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    usize::try_from(size)
        .ok()
        .and_then(|size| bytes.try_reserve_exact(size).ok())
        .ok_or_else(|| Error::OutOfMemory(format!("there is no memory for {size} bytes")))?;
    Ok(bytes)
}

/// Why a body was not read to its end.
pub enum Broken {
    /// `arrived` refused it.
    Refused(Error),
    /// No byte came for too long.
    Stalled,
    /// There are more bytes than allowed.
    TooLong,
    /// The connection broke.
    Connection(JsValue),
}

/// Appends a response's body to `bytes`, which may grow to `most`; calls `arrived` with all of them
/// after each part.
pub async fn read_body(
    response: &Response,
    most: u64,
    stall: f64,
    bytes: &mut Vec<u8>,
    arrived: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> std::result::Result<(), Broken> {
    let Some(body) = response.body() else {
        return Ok(());
    };
    let reader = ReadableStreamDefaultReader::new(&body).map_err(Broken::Connection)?;
    loop {
        let read = JsFuture::from(reader.read());
        let part = if stall.is_finite() {
            match select(read, sleep(stall)).await {
                Either::Left((part, _)) => part,
                Either::Right(_) => return Err(Broken::Stalled),
            }
        } else {
            read.await
        };
        let part: ReadableStreamReadResult = part.map_err(Broken::Connection)?.unchecked_into();
        if part.get_done().unwrap_or(false) {
            return Ok(());
        }
        let chunk: Uint8Array = part.get_value().unchecked_into();
        let (had, more) = (bytes.len(), chunk.length() as usize);
        if (had + more) as u64 > most {
            return Err(Broken::TooLong);
        }
        bytes.resize(had + more, 0);
        chunk.copy_to(&mut bytes[had..]);
        arrived(bytes).map_err(Broken::Refused)?;
    }
}
