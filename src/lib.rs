//! Whylens: what an image classifier sees, and why.
//!
//! One direction, one stage a module, each testable natively:
//!
//! bytes → image → tensor → scores + features → predictions + heatmap → pixels
//!
//! ```no_run
//! use whylens::{Classifier, Manifest, Query, decode::Limits, model::Options};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (manifest, _) = Manifest::parse(&std::fs::read("model/model.json")?)?;
//! let (labels, onnx) = (std::fs::read("model/labels.txt")?, std::fs::read("model/model.onnx")?);
//! let options = Options { heatmap: true, ..Options::default() };
//! let classifier = Classifier::new(manifest, &labels, &onnx, &options)?;
//! let result = classifier.classify(&std::fs::read("photo.jpg")?, &Limits::default(), &Query::default())?;
//! println!("{}", result.predictions[0].label);
//! # Ok(())
//! # }
//! ```
//!
//! `cargo run --release --example classify -- MODEL_FOLDER PHOTO` is a whole program.
//!
//! # Features
//! - `tool`, by default: the command-line tool, about 41 MB natively.
//! - `compile`, by default: models without a plan, and packing. Without it, which is for small WebAssembly
//!   modules, [`Model::load`](model::Model::load) refuses them with [`Error::Unplanned`].
//! - `embed`: puts the page, with its WebAssembly module, into the tool, so that `whylens dist` works
//!   anywhere. Costs about 15 MB of the executable and needs `www/pkg`, which `make build` makes. The
//!   library stays the same.
//!
//! What only the tool needs (`axum`, `clap`, `tokio`, …) is left out on `wasm32`.
#![warn(missing_docs)]
#![deny(unsafe_code)]

pub mod classifier;
pub mod decode;
pub mod digest;
pub mod error;
pub mod estimate;
pub mod heatmap;
pub mod manifest;
#[cfg(target_arch = "wasm32")]
pub mod memory;
pub mod model;
pub mod overlay;
#[cfg(feature = "compile")]
pub mod pack;
pub mod preload;
pub mod preprocess;
pub mod rank;
pub mod result;
pub mod sniff;

#[cfg(target_arch = "wasm32")]
pub mod fetch;
#[cfg(target_arch = "wasm32")]
pub mod wasm;

pub use classifier::Classifier;
pub use error::{Error, Result};
pub use manifest::Manifest;
pub use result::{Class, Classification, HeatmapQuery, Query};
