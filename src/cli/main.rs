//! The command-line tool.
#![warn(missing_docs)]
#![deny(unsafe_code)]

#[macro_use]
mod terminal;

mod build;
mod classify;
mod dist;
mod download;
mod folder;
mod given;
mod hub;
mod inside;
mod inspect;
mod new;
mod npy;
mod pack;
mod plan;
mod policy;
mod read;
mod serve;
mod signals;
mod site;
mod staged;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use whylens::Error;

/// Classify photos with an ONNX model and show why, here or as a static page.
#[derive(Parser)]
#[command(name = "whylens", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    New(Box<new::Arguments>),
    Build(build::Arguments),
    Classify(classify::Arguments),
    Dist(dist::Arguments),
    Inspect(inspect::Arguments),
    Pack(Box<pack::Arguments>),
    Serve(serve::Arguments),
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("whylens: {panic}");
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            for line in trace.to_string().lines() {
                eprintln!("{line}");
            }
        }
    }));
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => return refuse(&error),
    };
    let done = match command {
        Command::New(arguments) => new::run(&arguments),
        Command::Build(arguments) => build::run(&arguments),
        Command::Classify(arguments) => classify::run(&arguments),
        Command::Dist(arguments) => dist::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Pack(arguments) => pack::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments, axum::Router::new()),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            match code(&error) {
                Some(code) => eprintln!("whylens: {code}: {error:#}"),
                None => eprintln!("whylens: {error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// The stable code of an error; `io` stands for those of the file system.
fn code(error: &anyhow::Error) -> Option<&'static str> {
    let system = || error.downcast_ref::<std::io::Error>().map(|_| "io");
    error
        .downcast_ref::<Error>()
        .map(Error::code)
        .or_else(system)
}

/// Prints help, or what is wrong with the arguments. clap repeats parts of them unescaped.
fn refuse(error: &clap::Error) -> ExitCode {
    let arguments = std::env::args_os();
    let shown = arguments.map(|argument| terminal::shown(&argument.to_string_lossy()));
    match Arguments::try_parse_from(shown) {
        Err(shown) => drop(shown.print()),
        Ok(_) => eprintln!("whylens: {error}"),
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
