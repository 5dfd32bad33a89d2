//! request for a file of a module → the file, once the module is built from the sources as they are.

use std::collections::HashMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{self, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use rustix::process::{Pid, Signal, kill_process_group};
use tower_http::services::ServeDir;

/// Where the Makefile puts them.
const PLACE: &str = "target/quick/pkg";

const NAMES: &[&str] = &["run-relaxed", "run", "compile", "run-threads"];

/// Built in any case, once a page is served: what browsers without relaxed SIMD take, and what ONNX files take.
const SOON: &[&str] = &["run", "compile"];

/// A page asks for the two scripts of a module at once, and again if they do not come.
const FRESH: Duration = Duration::from_secs(5);

/// The modules in place of those in www/pkg, and what has to live as long as they are served.
pub fn routes() -> (Router, Background) {
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
            background.ahead(name);
        }
    });
    let files = Router::new()
        .fallback_service(ServeDir::new(PLACE))
        .layer(middleware::from_fn_with_state(builds.clone(), build));
    (Router::new().nest("/www/pkg", files), Background(builds))
}

fn is_built(name: &str) -> bool {
    Path::new(PLACE).join(name).join("version.js").is_file()
}

async fn build(
    extract::State(builds): extract::State<Arc<Builds>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let asked = path.split('/').nth(1);
    // The wasm file must be of the same build as the scripts, which are asked for before it.
    if let Some(name) = NAMES.iter().find(|name| Some(**name) == asked)
        && path.ends_with(".js")
    {
        let built = tokio::task::spawn_blocking(move || builds.asked(name)).await;
        if !built.unwrap_or(false) {
            let why = format!("the module {name} could not be built; the terminal says why");
            return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
        }
    }
    next.run(request).await
}

/// One module is built at a time, for each takes all cores, and cargo lets one build go on.
#[derive(Default)]
struct Builds {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// When each module was last found to be up to date, or failed to build.
    last: HashMap<&'static str, (Instant, bool)>,
    building: bool,
    /// Requests that wait for a build.
    asked: usize,
    /// The process group of a build that nobody waits for.
    background: Option<Pid>,
}

impl State {
    fn fresh(&self, name: &str) -> Option<bool> {
        let (when, built) = self.last.get(name)?;
        (when.elapsed() < FRESH).then_some(*built)
    }

    fn end_background(&mut self) {
        if let Some(group) = self.background.take() {
            // It may have ended by itself.
            kill_process_group(group, Signal::TERM).ok();
        }
    }
}

impl Builds {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let state = self.changed.wait(state);
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the module is there, for a page. What is built in the background makes way and begins again.
    fn asked(&self, name: &'static str) -> bool {
        if let Some(built) = self.state().fresh(name) {
            return built;
        }
        if run(make("env", name).arg("--question")) {
            self.state().last.insert(name, (Instant::now(), true));
            return true;
        }
        let mut state = self.state();
        state.asked += 1;
        state.end_background();
        while state.building {
            state = self.wait(state);
        }
        // Another request may have had it built.
        let built = if let Some(built) = state.fresh(name) {
            built
        } else {
            state.building = true;
            drop(state);
            let built = run(&mut make("env", name));
            state = self.state();
            state.building = false;
            state.last.insert(name, (Instant::now(), built));
            built
        };
        state.asked -= 1;
        self.changed.notify_all();
        built
    }

    /// Builds a module that no page has asked for.
    fn ahead(&self, name: &'static str) {
        loop {
            let mut state = self.state();
            while state.building || state.asked > 0 {
                state = self.wait(state);
            }
            let Ok(mut child) = make("nice", name).process_group(0).spawn() else {
                return;
            };
            state.building = true;
            state.background = Some(Pid::from_child(&child));
            drop(state);
            let built = child.wait().is_ok_and(|status| status.success());
            state = self.state();
            state.building = false;
            let ended = state.background.take().is_none();
            if !ended {
                state.last.insert(name, (Instant::now(), built));
            }
            self.changed.notify_all();
            if !ended {
                return;
            }
        }
    }
}

/// What is built in the background ends with the server.
pub struct Background(Arc<Builds>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.state().end_background();
    }
}

/// `with`: the program that runs make.
fn make(with: &str, name: &str) -> Command {
    let mut command = Command::new(with);
    command
        .args(["make", "--silent", "--no-print-directory"])
        .arg(format!("{PLACE}/{name}/whylens_bg.wasm"))
        // The make that started this server told its own jobs by these.
        .env_remove("MAKEFLAGS")
        .env_remove("MFLAGS")
        .stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("serve: cannot run make: {error}");
            false
        }
    }
}
