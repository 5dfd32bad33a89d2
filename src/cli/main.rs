//! The command-line tool.
#![warn(missing_docs)]
#![deny(unsafe_code)]

mod classify;
mod dist;
mod folder;
mod inspect;
mod npy;
mod pack;
mod policy;
mod prepare;
mod serve;
mod signals;
#[allow(dead_code, reason = "what writes folders comes to it one by one")]
mod staged;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Classify photos with an ONNX model and show why, here or as a static page.
#[derive(Parser)]
#[command(name = "whylens", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Classify(classify::Arguments),
    Dist(dist::Arguments),
    Inspect(inspect::Arguments),
    Pack(Box<pack::Arguments>),
    Prepare(prepare::Arguments),
    Serve(serve::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Classify(arguments) => classify::run(&arguments),
        Command::Dist(arguments) => dist::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Pack(arguments) => pack::run(&arguments),
        Command::Prepare(arguments) => prepare::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("whylens: {error:#}");
            ExitCode::FAILURE
        }
    }
}
