//! work of many runs of the network → the same with pauses, in which other messages are heard.

use js_sys::Function;
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;
use web_time::Instant;

use super::milliseconds;
use crate::error::{Error, Result};
use crate::fetch;

/// Between two runs of the network, other messages are heard, such as that the caller gives up.
#[derive(Default)]
pub struct Pace(Option<Instant>);

impl Pace {
    /// Milliseconds between two pauses, and a run: browsers pause for four or more, and who gives up waits for a pause.
    const BUSY: f64 = 50.0;

    /// Whether the last pause was long enough ago.
    pub fn is_due(&self) -> bool {
        self.0.is_none_or(|last| milliseconds(last) >= Pace::BUSY)
    }

    /// # Errors
    /// [`Error::Cancelled`] where the caller has given up.
    pub async fn pause(&mut self, signal: &AbortSignal) -> Result<()> {
        fetch::sleep(0.0).await;
        self.0 = Some(Instant::now());
        match signal.aborted() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }
}

/// Calls `progress(done, total)`.
pub fn tell(progress: &Function, done: usize, total: usize) {
    let _ = progress.call2(&JsValue::UNDEFINED, &done.into(), &total.into());
}

/// Takes steps, each of which returns how many were done and how many there are, until one returns none.
///
/// # Errors
/// [`Error::Cancelled`] where the caller has given up; those of a step.
pub async fn paced(
    mut step: impl FnMut() -> Result<Option<(usize, usize)>>,
    progress: &Function,
    signal: &AbortSignal,
) -> Result<()> {
    let mut pace = Pace::default();
    while let Some((done, total)) = step()? {
        tell(progress, done, total);
        if pace.is_due() {
            pace.pause(signal).await?;
        }
    }
    Ok(())
}
