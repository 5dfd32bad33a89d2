//! wasm file → module: `bindgen FILE FOLDER`.
//!
//! What `wasm-bindgen --target web` does, without that tool's server for tests, which takes longer to compile than
//! all the rest of it.

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(file), Some(folder), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        anyhow::bail!("usage: bindgen FILE FOLDER");
    };
    Bindgen::new()
        .input_path(&file)
        .web(true)?
        .typescript(false)
        // Bundlers follow it.
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .out_name("whylens")
        .generate(&folder)
        .with_context(|| format!("cannot make a module of {}", file.display()))
}
