//! Errors of the engine.

use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(feature = "compile")]
use tract_onnx::prelude::TractError;

use crate::error::{Error, Result};

/// Turns a panic into an error: tract panics at graphs that are unsound in ways that it does not check. In
/// WebAssembly a panic ends the worker, and the next call gets a new one.
pub fn contained<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        Err(Error::UnsupportedModel(format!(
            "the graph is broken: {}",
            text.unwrap_or("it cannot be run")
        )))
    })
}

#[cfg(feature = "compile")]
pub fn failed(error: TractError) -> Error {
    Error::UnsupportedModel(format!("the graph cannot be run: {error:#}"))
}
