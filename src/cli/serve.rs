//! folder → HTTP, for trying a page out.

use std::fs::Metadata;
use std::io::{self, Read, SeekFrom};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use clap::Args;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::ServeDir;
use tower_http::services::fs::{Backend, File};

use super::{inside, policy, signals};

/// How long Ctrl-C waits for responses in progress.
const GRACE: Duration = Duration::from_secs(5);

/// Serve a site on this machine
#[derive(Args)]
pub struct Arguments {
    /// Folder with an index.html
    #[arg(default_value = ".")]
    site: PathBuf,
    /// Port; 0: any free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Address to listen on; anything but loopback lets other machines in
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Isolate the page from other origins (COOP and COEP), as threads in WebAssembly require [the default, but for a
    /// site that was made without]
    #[arg(long, overrides_with = "no_isolate")]
    isolate: bool,
    /// Do not isolate the page
    #[arg(long)]
    no_isolate: bool,
}

/// Serves until Ctrl-C. Files outside the folder, reached by dots or links, are not found. `routes`: what is not served
/// from the folder.
pub fn run(arguments: &Arguments, routes: axum::Router) -> Result<ExitCode> {
    let site = arguments
        .site
        .canonicalize()
        .with_context(|| format!("no folder {}", arguments.site.display()))?;
    anyhow::ensure!(
        site.join("index.html").is_file(),
        "{} has no index.html; name the folder of a site, such as one made by `whylens dist`",
        site.display()
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let site = Arc::new(Site {
        folder: site,
        local: arguments.host.is_loopback(),
        isolate: match (arguments.isolate, arguments.no_isolate) {
            (false, false) => None,
            (isolate, _) => Some(isolate),
        },
    });
    let ended = runtime.block_on(listen(
        site,
        SocketAddr::new(arguments.host, arguments.port),
        routes,
    ));
    // Does not wait for a file system that does not respond.
    runtime.shutdown_background();
    ended
}

struct Site {
    folder: PathBuf,
    local: bool,
    /// Whether the page is isolated; `None`: as the site says.
    isolate: Option<bool>,
}

impl Site {
    /// Whether the page may connect only to this site. A worker takes its policy from its own file, so the
    /// server has to state for the worker what the page states for itself.
    fn is_closed(&self) -> bool {
        self.text("index.html")
            .is_none_or(|page| policy::is_closed(&page))
    }

    fn is_isolated(&self) -> bool {
        self.isolate.unwrap_or_else(|| {
            self.text("_headers")
                .is_none_or(|headers| policy::is_isolated(&headers))
        })
    }

    /// Read for every response, since the site may be rebuilt meanwhile.
    fn text(&self, name: &str) -> Option<String> {
        let mut bytes = Vec::new();
        let file = inside::open(&self.folder, &self.folder.join(name)).ok()?;
        file.take(1 << 20).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

async fn listen(site: Arc<Site>, address: SocketAddr, routes: axum::Router) -> Result<ExitCode> {
    let files = ServeDir::with_backend(&site.folder, Inside(site.clone()))
        .precompressed_br()
        .precompressed_gzip();
    let app = routes
        .fallback_service(files)
        .layer(middleware::from_fn(move |request, next| {
            respond(site.clone(), request, next)
        }));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another port with --port"))?;
    let (stop, stopped) = (signals::end(), stopped());
    println!("http://{}/", listener.local_addr()?);
    let served = axum::serve(listener, app).with_graceful_shutdown(async {
        stop.await;
    });
    tokio::select! {
        served = served => served?,
        code = stopped => return Ok(code),
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends responses still in progress some time after the first Ctrl-C, or at the second.
fn stopped() -> impl Future<Output = ExitCode> {
    let first = signals::end();
    async {
        first.await;
        let second = signals::end();
        eprintln!(
            "whylens: stopping once the current responses are sent; press Ctrl-C again to stop at once"
        );
        tokio::select! {
            () = tokio::time::sleep(GRACE) => ExitCode::SUCCESS,
            code = second => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
        }
    }
}

/// The files in the site's folder, and none that a link leads to elsewhere.
#[derive(Clone)]
struct Inside(Arc<Site>);

impl Inside {
    /// Looks for a file or folder on a thread where waiting holds up nothing else.
    async fn look<T: Send + 'static>(
        self,
        look: impl FnOnce(&Site) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        tokio::task::spawn_blocking(move || look(&self.0)).await?
    }
}

type Later<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

impl Backend for Inside {
    type File = Opened;
    type Metadata = Metadata;
    type OpenFuture = Later<'static, Opened>;
    type MetadataFuture = Later<'static, Metadata>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let opened = self
            .clone()
            .look(move |site| inside::open(&site.folder, &path));
        Box::pin(async { Ok(Opened(tokio::fs::File::from_std(opened.await?))) })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        Box::pin(self.clone().look(move |site| {
            let found = inside::resolve(&site.folder, &path)?.metadata()?;
            if found.is_file() || found.is_dir() {
                Ok(found)
            } else {
                Err(io::ErrorKind::PermissionDenied.into())
            }
        }))
    }
}

/// A file of the site. `ServeDir` cannot take tokio's own type.
struct Opened(tokio::fs::File);

impl File for Opened {
    type Metadata = Metadata;
    type MetadataFuture<'a> = Later<'a, Metadata>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        Box::pin(self.0.metadata())
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(task, into)
    }
}

impl AsyncSeek for Opened {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.0).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.0).poll_complete(task)
    }
}

async fn respond(site: Arc<Site>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_string();
    let (closed, isolated) = Inside(site.clone())
        .look(|site| Ok((site.is_closed(), site.is_isolated())))
        .await
        .unwrap_or((true, false));
    let mut response = match refusal(&site, &request) {
        Some(status) => status.into_response(),
        None => next.run(request).await,
    };
    let cache = if response.status().is_success() && policy::is_named_by_content(&path) {
        policy::FOR_EVER
    } else {
        // Checked at every request, but sent again only if changed, so that an edit shows at once.
        "no-cache"
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    for (name, value) in policy::HEADERS {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    let script = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/javascript"));
    if script {
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(policy::worker(closed)),
        );
    }
    if isolated {
        for (name, value) in policy::ISOLATION {
            headers.insert(*name, HeaderValue::from_static(value));
        }
    }
    response
}

/// Why a request gets no file: what `ServeDir` lets through but must not be served.
fn refusal(site: &Site, request: &Request) -> Option<StatusCode> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    // A page elsewhere whose name was rebound to 127.0.0.1 must not read this site.
    if site.local && !names_this_machine(request.headers()) {
        return Some(StatusCode::MISDIRECTED_REQUEST);
    }
    let Ok(path) = percent_decode_str(request.uri().path()).decode_utf8() else {
        return Some(StatusCode::BAD_REQUEST);
    };
    let relative = path.strip_prefix('/').unwrap_or(&path);
    let unsound = relative
        .split('/')
        .rev()
        .skip(1)
        .any(|part| part.is_empty())
        || relative.contains(['\\', '\0']);
    let hidden = relative.split('/').any(|part| part.starts_with('.'));
    (unsound || hidden).then_some(StatusCode::NOT_FOUND)
}

fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else {
        return true;
    };
    let Ok(authority) = host.to_str().unwrap_or("?").parse::<Authority>() else {
        return false;
    };
    let name = authority.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}
