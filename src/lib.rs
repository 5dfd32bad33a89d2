//! Whylens: what an image classifier sees, and why.
//!
//! One direction, one stage per module, each testable natively:
//!
//! bytes → image → tensor → scores + features → predictions + heatmap → pixels
//!
//! ```no_run
//! use whylens::{Classifier, Limits, Manifest, Options, Query};
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
//! - `compile`, by default: models without a plan, and packing. Without it, for small WebAssembly modules,
//!   [`Model::load`] refuses such models with [`Error::Unplanned`].
//! - `embed`: puts the page, with its WebAssembly module, into the tool, so that `whylens dist` works
//!   anywhere. Costs about 15 MB of the executable and needs `www/pkg`, which `make build` makes. The
//!   library stays the same.
//!
//! What only the tool needs (`axum`, `clap`, `tokio`, …) is left out on `wasm32`.
#![warn(missing_docs)]
#![deny(unsafe_code)]

// What goes wrong, by stable codes.
mod error;

// `model.json` → what a model needs to be used.
pub mod manifest;

// Texts by language → the one for the reader.
mod language;

// Bytes → labels in class order.
mod labels;

// Manifest → the memory that a model needs.
mod estimate;

// Bytes → what is wrong with them, before they are parsed.
mod sniff;

// Bytes → SHA-256.
mod digest;

// Address → verified bytes.
#[cfg(target_arch = "wasm32")]
mod fetch;

// Many callers → one load.
#[cfg(any(target_arch = "wasm32", test))]
mod preload;

// Bytes → image.
mod decode;

// Image → tensor.
mod preprocess;

// ONNX → model; tensor → scores, features, gradients.
mod model;

// Scores → predictions.
mod rank;

// Features and gradients → heatmap.
mod heatmap;

// Heatmap → pixels.
mod overlay;

// Queries to a classifier, and their results.
mod result;

// The stages in order.
mod classifier;

// A published classifier → a model folder.
#[cfg(feature = "compile")]
pub mod pack;

// Allocations → bytes in use.
#[cfg(target_arch = "wasm32")]
mod memory;

// What JavaScript calls.
#[cfg(target_arch = "wasm32")]
mod wasm;

pub use classifier::{Checking, Classifier, Explaining, Steadying, Waiting};
pub use decode::{Image, Limits, decode, decode_partial, from_rgba};
pub use error::{Error, Result};
pub use heatmap::{
    Change, CheckQuery, Checked, Effort, Evidence, Fill, Method, Side, Sign, Stability, Steadiness,
    Target, Variant, Verdict,
};
pub use manifest::Manifest;
pub use model::{Candidate, Candidates, FeatureMap, Forward, Halfway, Layer, Model, Options};
pub use overlay::{Colormap, Style};
pub use preprocess::{Region, Tensor, crop, preprocess};
pub use rank::{Prediction, Reading};
pub use result::{
    Class, Classification, Contrast, Features, FeaturesQuery, Heatmap, HeatmapQuery, ModelName,
    Named, Photo, Query, Reason, Run, Size, Timing,
};

/// What the tool and the tests need beyond the public API, as they are separate crates. Not stable.
#[doc(hidden)]
pub mod internal {
    pub use crate::digest::{hex, sha256};
    pub use crate::heatmap::{Map, heatmap};
    pub use crate::model::PLAN;
    #[cfg(feature = "compile")]
    pub use crate::model::compile::{adapt, shrink};
    #[cfg(feature = "compile")]
    pub use crate::model::memory;
    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::model::threads;
    #[cfg(not(target_arch = "wasm32"))]
    pub mod decode {
        pub use crate::decode::is_picture;
    }
    pub mod estimate {
        pub use crate::estimate::{check, check_run, estimate, warning};
    }
    pub mod rank {
        pub use crate::rank::check;
    }
    pub mod sniff {
        pub use crate::sniff::{identity, onnx, truncated};
    }
}
