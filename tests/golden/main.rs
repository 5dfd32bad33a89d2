//! What Python's libraries give, file by file: natively, and as visitors have it, under node and in a browser.
//! One binary, for linking one is what costs time on wasm32.

use include_dir::{Dir, include_dir};

mod exports;
mod heads;
mod models;
mod npy;
mod operators;
mod preprocess;
mod quantised;
mod samples;

static GOLDEN: Dir = include_dir!("$CARGO_MANIFEST_DIR/tests/golden");

/// A file of this folder.
fn golden(name: &str) -> &'static [u8] {
    let file = GOLDEN.get_file(name);
    file.unwrap_or_else(|| panic!("no {name}")).contents()
}
