//! URL → a file on this machine, resumed and checked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use ureq::http::{HeaderMap, Response, header};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};
use whylens::Error;
use whylens::internal::hex;

use super::terminal;

/// How long a server may be silent.
const STALL: Duration = Duration::from_secs(20);

/// The most requests for a file in a row that bring nothing more of it, and the most in all.
const MOST_IN_VAIN: u32 = 3;
const MOST_REQUESTS: u32 = 100;

/// How many redirects are followed.
const MOST_REDIRECTS: usize = 5;

/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// Sends requests to a server and to those that it redirects to.
pub struct Client {
    agent: Agent,
    /// The server that may see the token.
    server: String,
    token: Option<String>,
}

/// What a server says about a file.
#[derive(Default)]
struct Said {
    size: Option<u64>,
    sha256: Option<String>,
}

/// Why an attempt ended.
enum Failure {
    /// Trying again may help.
    Passing(Error),
    /// Trying again does not help.
    Final(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Final(error.into())
    }
}

impl Client {
    /// A client of a server, the only one that gets the token.
    pub fn new(server: &str, token: Option<String>) -> Client {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("whylens/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            // The headers of redirects describe the file.
            .max_redirects(0)
            .timeout_connect(Some(STALL))
            .timeout_recv_response(Some(STALL))
            .timeout_per_read(Some(STALL))
            .build();
        Client {
            agent: config.into(),
            server: format!("{}/", server.trim_end_matches('/')),
            token: token.filter(|token| !token.is_empty()),
        }
    }

    /// A small file, whole.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::HttpStatus`]; [`Error::NotAModel`] for one with more than `most` bytes.
    pub fn get(&self, url: &str, most: u64) -> Result<Vec<u8>> {
        let attempt = || {
            let (response, _) = self.ask(url, 0)?;
            let mut bytes = Vec::new();
            let reader = response.into_body().into_reader();
            let read = reader.take(most + 1).read_to_end(&mut bytes);
            read.map_err(|error| broken(url, &error))?;
            if bytes.len() as u64 > most {
                return Err(Error::NotAModel(format!("{url} has more than {most} bytes")).into());
            }
            Ok(bytes)
        };
        patiently(attempt, &|| 0)
    }

    /// Downloads a file of at most `most` bytes, unless it exists. A partial download is continued,
    /// and the whole is checked against what the server says.
    ///
    /// # Errors
    /// As [`Client::get`]; [`Error::OverMemoryLimit`] for a larger one, [`Error::Integrity`].
    pub fn download(&self, url: &str, path: &Path, most: u64) -> Result<()> {
        if path.exists() {
            return Ok(());
        }
        let part = PathBuf::from(format!("{}.part", path.display()));
        let cannot = || format!("cannot write {}", part.display());
        let mut options = OpenOptions::new();
        let file = options.create(true).read(true).append(true).open(&part);
        let mut file = &file.with_context(cannot)?;
        file.lock().with_context(cannot)?;
        // Another run of the tool may have finished it meanwhile.
        if path.exists() {
            return Ok(());
        }
        let so_far = || file.metadata().map_or(0, |now| now.len());
        let said = patiently(|| self.attempt(url, file, most), &so_far);
        terminal::progress("");
        let said = said?;
        if let Some(expected) = said.sha256 {
            file.rewind().with_context(cannot)?;
            let mut digest = Sha256::new();
            io::copy(&mut file, &mut digest).with_context(cannot)?;
            let actual = hex(&digest.finalize());
            if actual != expected {
                fs::remove_file(&part).with_context(cannot)?;
                return Err(Error::Integrity(format!(
                    "{url} arrived with the SHA-256 {actual}; the server says {expected}; try again"
                ))
                .into());
            }
        }
        fs::rename(&part, path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// One request for what the file lacks.
    fn attempt(&self, url: &str, mut file: &File, most: u64) -> Result<Said, Failure> {
        let over = |bytes: u64| {
            let text = format!("{url} has {bytes} bytes, at most {most} are allowed");
            Failure::from(Error::OverMemoryLimit(text))
        };
        let mut had = file.metadata()?.len();
        let (response, mut said) = self.ask(url, had)?;
        let status = response.status().as_u16();
        if status == 416 && said.size == Some(had) {
            return Ok(said);
        }
        if status == 416 || status == 206 && begins(response.headers()) != Some(had) {
            file.set_len(0)?;
            let text = format!("{url} has changed since its download began; try again");
            return Err(Failure::Passing(Error::Network(text)));
        }
        if status != 206 {
            file.set_len(0)?;
            had = 0;
        }
        let length = number(response.headers(), header::CONTENT_LENGTH.as_str());
        said.size = said
            .size
            .or(length.map(|length| had.saturating_add(length)));
        if let Some(size) = said.size.filter(|&size| size > most) {
            return Err(over(size));
        }
        let mut reader = response.into_body().into_reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = reader
                .read(&mut chunk)
                .map_err(|error| broken(url, &error))?;
            if read == 0 {
                break;
            }
            had += read as u64;
            if had > said.size.unwrap_or(most) {
                file.set_len(0)?;
                return Err(over(had));
            }
            file.write_all(&chunk[..read])?;
            tell(url, had, said.size);
        }
        match said.size {
            Some(size) if had < size => Err(Failure::Passing(Error::Truncated(format!(
                "{url} ended after {had} of {size} bytes; try again to continue the download"
            )))),
            _ => Ok(said),
        }
    }

    /// Requests a file from a byte on, and follows redirects.
    fn ask(&self, url: &str, from: u64) -> Result<(Response<Body>, Said), Failure> {
        let mut said = Said::default();
        let mut at = url.to_string();
        for _ in 0..=MOST_REDIRECTS {
            let mut request = self.agent.get(&at);
            if from > 0 {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            if let Some(token) = self.token.as_ref().filter(|_| at.starts_with(&self.server)) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| match error {
                ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                    Error::BadOption(format!("`{at}` is not an address: {error}")).into()
                }
                error if is_distrust(&error) => Error::Network(format!(
                    "{at} cannot be trusted: {error}; if a company's proxy reads along, set SSL_CERT_FILE to the file \
                     with its certificate"
                ))
                .into(),
                error => broken(&at, &error),
            })?;
            let headers = response.headers();
            // What the first server says counts, not what others say after redirects.
            said.size = said.size.or(number(headers, "x-linked-size"));
            said.sha256 = said.sha256.or_else(|| digest(headers));
            let status = response.status();
            if status.is_redirection() {
                let to = headers
                    .get(header::LOCATION)
                    .and_then(|to| to.to_str().ok());
                at = to.and_then(|to| joined(&at, to)).ok_or_else(|| {
                    Error::Network(format!(
                        "{at} answered with status {status}, but names no valid address"
                    ))
                })?;
                continue;
            }
            let refused = Error::HttpStatus {
                status: status.as_u16(),
                url: at.clone(),
            };
            return match status.as_u16() {
                200 | 206 | 416 => Ok((response, said)),
                408 | 425 | 429 | 500.. => Err(Failure::Passing(refused)),
                _ => Err(refused.into()),
            };
        }
        Err(Error::Network(format!("{url} redirects more than {MOST_REDIRECTS} times")).into())
    }
}

/// Tries again after temporary failures; `so_far` gives the bytes so far: more of them mean progress.
fn patiently<T>(
    mut attempt: impl FnMut() -> Result<T, Failure>,
    so_far: &dyn Fn() -> u64,
) -> Result<T> {
    let mut in_vain = 0;
    let mut requests = 0;
    loop {
        let before = so_far();
        let error = match attempt() {
            Ok(done) => return Ok(done),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Passing(error)) => error,
        };
        requests += 1;
        in_vain = if so_far() > before { 0 } else { in_vain + 1 };
        if in_vain > MOST_IN_VAIN || requests >= MOST_REQUESTS {
            return Err(error.into());
        }
        sleep(Duration::from_millis(250 << in_vain));
    }
}

/// Whether a server's certificate was refused.
fn is_distrust(error: &ureq::Error) -> bool {
    let cause = match error {
        ureq::Error::Io(error) => error.get_ref().and_then(|cause| cause.downcast_ref()),
        ureq::Error::Rustls(cause) => Some(cause),
        _ => None,
    };
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

fn broken(url: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Passing(Error::Network(format!(
        "{url} cannot be read: {error}; check the connection and try again to continue the download"
    )))
}

fn tell(url: &str, had: u64, size: Option<u64>) {
    let name = url.rsplit('/').next().unwrap_or(url);
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let of = size.map(|size| format!(" of {:.1}", megabytes(size)));
    let of = of.unwrap_or_default();
    terminal::progress(&format!("{name}: {:.1}{of} MB", megabytes(had)));
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

/// Where the part of a file in a response begins.
fn begins(headers: &HeaderMap) -> Option<u64> {
    let range = text(headers, header::CONTENT_RANGE.as_str())?;
    range
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .parse()
        .ok()
}

/// The SHA-256 of a large file; small ones have a different digest.
fn digest(headers: &HeaderMap) -> Option<String> {
    let tag = text(headers, "x-linked-etag")?.trim_matches('"');
    let is_digest = tag.len() == 64 && tag.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_digest.then(|| tag.to_ascii_lowercase())
}

/// The address of a redirect.
fn joined(from: &str, to: &str) -> Option<String> {
    if to.starts_with("https://") || to.starts_with("http://") && from.starts_with("http://") {
        return Some(to.into());
    }
    let (scheme, rest) = from.split_once("://")?;
    let host = rest.split('/').next()?;
    to.starts_with('/')
        .then(|| format!("{scheme}://{host}{to}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_to_others_but_not_to_unsafe_ones() {
        let from = "https://hub.example/a/b";
        assert_eq!(joined(from, "/c").unwrap(), "https://hub.example/c");
        assert_eq!(
            joined(from, "https://cdn.example/x").unwrap(),
            "https://cdn.example/x"
        );
        for to in ["http://cdn.example/x", "file:///etc/passwd", "c", ""] {
            assert_eq!(joined(from, to), None, "{to}");
        }
        assert!(joined("http://127.0.0.1:1/a", "http://127.0.0.1:2/b").is_some());
    }
}
