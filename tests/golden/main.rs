//! What Python's libraries compute, file by file: natively and, as visitors run it, under node and in a
//! browser. One binary, as linking is what takes time on wasm32.

use include_dir::{Dir, include_dir};

mod evidence;
mod exports;
mod files;
mod heads;
mod methods;
mod models;
mod networks;
mod npy;
mod operators;
mod places;
mod preprocess;
mod quantised;
mod regions;
mod samples;
mod stability;

static GOLDEN: Dir = include_dir!("$CARGO_MANIFEST_DIR/tests/golden");

/// A file of this folder.
fn golden(name: &str) -> &'static [u8] {
    let file = GOLDEN.get_file(name);
    file.unwrap_or_else(|| panic!("no {name}")).contents()
}
