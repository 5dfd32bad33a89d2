//! request for a file of a module → the file, once the module is built from the sources as they are.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeDir;

/// Where the Makefile puts them.
const PLACE: &str = "target/quick/pkg";

const NAMES: &[&str] = &["run-relaxed", "run", "compile", "run-threads"];

/// Built in any case, once a page is served: what browsers without relaxed SIMD take, and what ONNX files take.
const SOON: &[&str] = &["run", "compile"];

/// A page asks for the two scripts of a module at once, and again if they do not come.
const FRESH: Duration = Duration::from_secs(5);

/// The modules in place of those in www/pkg.
pub fn routes() -> Router {
    let (there, missing): (Vec<&str>, Vec<&str>) = NAMES.iter().partition(|name| is_built(name));
    println!(
        "modules: {PLACE}, built for work on the page, not as visitors get them: {}",
        there.join(", ")
    );
    let builds = Arc::new(Builds::default());
    let soon: Vec<&str> = SOON
        .iter()
        .copied()
        .filter(|name| missing.contains(name))
        .collect();
    if !soon.is_empty() {
        println!("building in the background: {}", soon.join(", "));
    }
    let background = builds.clone();
    std::thread::spawn(move || {
        for name in soon {
            background.build(name, "nice");
        }
    });
    let files = Router::new()
        .fallback_service(ServeDir::new(PLACE))
        .layer(middleware::from_fn_with_state(builds, build));
    Router::new().nest("/www/pkg", files)
}

fn is_built(name: &str) -> bool {
    Path::new(PLACE).join(name).join("version.js").is_file()
}

async fn build(State(builds): State<Arc<Builds>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let asked = path.split('/').nth(1);
    // The wasm file must be of the same build as the scripts, which are asked for before it.
    if let Some(name) = NAMES.iter().find(|name| Some(**name) == asked)
        && path.ends_with(".js")
    {
        let built = tokio::task::spawn_blocking(move || builds.build(name, "env")).await;
        if !built.unwrap_or(false) {
            let why = format!("the module {name} could not be built; the terminal says why");
            return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
        }
    }
    next.run(request).await
}

/// When each module was last found to be up to date, or failed to build.
#[derive(Default)]
struct Builds(Mutex<HashMap<&'static str, (Instant, bool)>>);

impl Builds {
    /// Whether the module is there. One is built at a time, for each takes all cores.
    fn build(&self, name: &'static str, with: &str) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, built)) = last.get(name)
            && when.elapsed() < FRESH
        {
            return *built;
        }
        let built = make(name, with).unwrap_or_else(|error| {
            eprintln!("serve: cannot run make: {error}");
            false
        });
        last.insert(name, (Instant::now(), built));
        built
    }
}

/// `with`: the program that runs make.
fn make(name: &str, with: &str) -> io::Result<bool> {
    let status = Command::new(with)
        .args(["make", "--silent", "--no-print-directory"])
        .arg(format!("{PLACE}/{name}/whylens_bg.wasm"))
        // The make that started this server told its own jobs by these.
        .env_remove("MAKEFLAGS")
        .env_remove("MFLAGS")
        .stdin(Stdio::null())
        .status()?;
    Ok(status.success())
}
