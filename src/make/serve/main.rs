//! This folder → HTTP, as `whylens serve` does, but built without the inference engine: what `make serve` runs.
#![warn(missing_docs)]
#![deny(unsafe_code)]

#[allow(dead_code, reason = "the whole tool uses all of it")]
#[macro_use]
#[path = "../../cli/terminal.rs"]
mod terminal;

#[path = "../../cli/inside.rs"]
mod inside;
mod modules;
#[allow(dead_code, reason = "the whole tool uses all of it")]
#[path = "../../cli/policy.rs"]
mod policy;
#[path = "../../cli/serve.rs"]
mod serve;
#[path = "../../cli/signals.rs"]
mod signals;

use std::process::ExitCode;

use clap::Parser;

/// Serve the page of this folder.
#[derive(Parser)]
#[command(name = "serve")]
struct Arguments {
    #[command(flatten)]
    serve: serve::Arguments,
    /// Serve the modules in target/quick/pkg, each built when a page asks for it, not those in www/pkg
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    let Arguments { serve, quick } = Arguments::parse();
    let (routes, _background) = if quick {
        let (routes, background) = modules::routes();
        (routes, Some(background))
    } else {
        println!("modules: www/pkg, fully optimised, as `make dist` publishes them");
        (axum::Router::new(), None)
    };
    serve::run(&serve, routes).unwrap_or_else(|error| {
        eprintln!("serve: {error:#}");
        ExitCode::FAILURE
    })
}
