//! folder → HTTP, for trying a page out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use clap::Args;
use percent_encoding::percent_decode_str;
use tower_http::services::ServeDir;

use super::policy;

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
    /// Isolate the page from other origins (COOP and COEP), as threads in WebAssembly need it
    #[arg(long)]
    isolate: bool,
}

/// Serves until Ctrl-C. Files outside the folder, reached by dots or links, are not found.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
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
        isolate: arguments.isolate,
    });
    runtime.block_on(listen(
        site,
        SocketAddr::new(arguments.host, arguments.port),
    ))?;
    Ok(ExitCode::SUCCESS)
}

struct Site {
    folder: PathBuf,
    local: bool,
    isolate: bool,
}

async fn listen(site: Arc<Site>, address: SocketAddr) -> Result<()> {
    let files = ServeDir::new(&site.folder)
        .precompressed_br()
        .precompressed_gzip();
    let app = axum::Router::new()
        .fallback_service(files)
        .layer(middleware::from_fn(move |request, next| {
            answer(site.clone(), request, next)
        }));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another port with --port"))?;
    println!("http://{}/", listener.local_addr()?);
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}

async fn answer(site: Arc<Site>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_string();
    let mut response = match refusal(&site, &request) {
        Some(status) => status.into_response(),
        None => next.run(request).await,
    };
    let cache = if response.status().is_success() && policy::is_named_by_content(&path) {
        policy::FOR_EVER
    } else {
        // Asked for again but not sent again, so that an edit shows at once.
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
            HeaderValue::from_static(policy::worker(false)),
        );
    }
    if site.isolate {
        for (name, value) in policy::ISOLATION {
            headers.insert(*name, HeaderValue::from_static(value));
        }
    }
    response
}

/// Why a request is not answered with a file: what `ServeDir` lets through but must not be served.
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
    if unsound || hidden || !stays_inside(&site.folder, relative) {
        return Some(StatusCode::NOT_FOUND);
    }
    None
}

/// `ServeDir` follows links; neither a file nor its compressed neighbours may leave the folder by one.
fn stays_inside(folder: &Path, relative: &str) -> bool {
    ["", ".br", ".gz"].iter().all(|suffix| {
        folder
            .join(format!("{relative}{suffix}"))
            .canonicalize()
            .map_or(true, |file| file.starts_with(folder))
    })
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
