//! A worker of JavaScript → a thread that helps the worker in which models run. All have one memory.

use js_sys::Array;
use wasm_bindgen::prelude::*;

use crate::model::crew;

/// What another worker needs to join: `[module, memory]`.
#[wasm_bindgen]
pub fn shared() -> Array {
    Array::of2(&wasm_bindgen::module(), &wasm_bindgen::memory())
}

/// Helps for as long as the worker that calls this lives; never returns.
#[wasm_bindgen]
pub fn help() {
    crew::help();
}

/// The number of threads that run models now.
#[wasm_bindgen]
pub fn threads() -> usize {
    crew::threads()
}

/// Says that a worker has ended while it helped, so that nobody waits for it. Safe to call after a trap.
#[wasm_bindgen(js_name = helperDied)]
pub fn helper_died() {
    crew::died();
}
