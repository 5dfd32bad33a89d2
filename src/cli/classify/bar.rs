//! How far a command has come → a bar on the terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that shows on a terminal how many files are done, and how long the others take, from `before` on.
pub fn bar(of: u64, before: u64) -> ProgressBar {
    let bar = ProgressBar::new(of).with_position(before);
    let template = "{pos} of {len} files [{wide_bar}] {per_sec}, {eta} left {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("#> "));
    }
    bar.reset_eta();
    bar
}
