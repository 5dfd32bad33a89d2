//! Queries to a classifier, and their results.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::heatmap::{Effort, Evidence, Method, Sign};
use crate::manifest::Activation;
use crate::model::Forward;
use crate::preprocess::{Region, Tensor};
use crate::rank::Prediction;

/// A photo as the network sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Photo {
    /// The input tensor.
    pub input: Tensor,
    /// Size of the upright photo.
    pub image: Size,
    /// The region of it that the input covers.
    pub region: Region,
    /// The part of it that was classified, in whole pixels; none: all of it.
    pub part: Option<Region>,
}

/// One run of a network on a photo: all that its heatmaps need.
pub struct Run {
    pub(crate) photo: Photo,
    pub(crate) forward: Forward,
    /// The [`Classifier`](crate::Classifier) that ran.
    pub(crate) by: u64,
}

impl Run {
    /// The photo.
    pub fn photo(&self) -> &Photo {
        &self.photo
    }

    /// All scores in class order, before softmax or sigmoid.
    pub fn scores(&self) -> &[f32] {
        &self.forward.scores
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Run")
            .field("image", &self.photo.image)
            .finish_non_exhaustive()
    }
}

/// A query about a photo.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Maximum number of predictions.
    pub top_k: usize,
    /// Minimum probability of a prediction; scores that are no probabilities have none.
    pub threshold: f32,
    /// The part of the upright photo to classify, in its pixels; none: all of it. See [`crop`](crate::crop).
    pub region: Option<Region>,
    /// The heatmap wanted; none: no heatmap.
    pub heatmap: Option<HeatmapQuery>,
}

impl Default for Query {
    fn default() -> Self {
        Query {
            top_k: 5,
            threshold: 0.0,
            region: None,
            heatmap: Some(HeatmapQuery::default()),
        }
    }
}

/// Which heatmap is wanted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeatmapQuery {
    /// The class to explain; none: the most probable one.
    pub class: Option<Class>,
    /// Whether what speaks for the class is shown, or what speaks against it.
    pub sign: Sign,
    /// What the class is compared with; none: nothing, its score alone is explained.
    pub contrast: Option<Contrast>,
    /// How the heatmap is made; none: by the first of [`Classifier::methods`](crate::Classifier::methods) that works.
    pub method: Option<Method>,
    /// ONNX tensors to explain, averaged if there are several; empty: those that the model was loaded with.
    pub layers: Vec<String>,
    /// How thoroughly it is made.
    pub effort: Effort,
}

impl HeatmapQuery {
    /// Whether a specific heatmap is requested, and not just any.
    pub fn is_certain(&self) -> bool {
        self.class.is_some()
            || self.sign != Sign::For
            || self.contrast.is_some()
            || self.method.is_some()
            || !self.layers.is_empty()
            || self.effort != Effort::default()
    }
}

/// Which activations are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeaturesQuery {
    /// The ONNX tensor; none: the first that the model was loaded with.
    pub layer: Option<String>,
    /// Whether the mean over all places is wanted, and not the map.
    pub pooled: bool,
}

impl Default for FeaturesQuery {
    fn default() -> Self {
        FeaturesQuery {
            layer: None,
            pooled: true,
        }
    }
}

/// Activations of a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Features {
    /// The ONNX tensor.
    pub layer: String,
    /// Channels; channels, rows and columns of a map.
    pub shape: Vec<usize>,
    /// Row-major.
    #[serde(skip)]
    pub values: Vec<f32>,
}

/// A class of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// By its index in the output tensor.
    Index(usize),
    /// By its label, ignoring case.
    Label(String),
}

/// What a class is compared with: why it, and not that?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contrast {
    /// Another class: the difference of the two scores is explained.
    Class(Class),
    /// The classes whose scores are most like its own; see [`Target::Finer`](crate::heatmap::Target::Finer).
    Alike,
}

/// A class of the model in a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// Index in the output tensor.
    pub class_index: usize,
    /// Label.
    pub label: String,
}

/// The result of a [`Query`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Classification {
    /// The upright photo.
    pub image: Size,
    /// The part of it that was classified, in whole pixels, where the query names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Of a photo that is cut short: how many percent of its rows are there; 100: all, without their detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial: Option<u8>,
    /// Most probable first.
    pub predictions: Vec<Prediction>,
    /// Whether a probability reaches the threshold that the model states; true without one.
    pub recognised: bool,
    /// What the model's author says where it is not recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_recognised: Option<String>,
    /// The heatmap, if one was requested; see [`Classification::explained`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heatmap: Option<Heatmap>,
    /// Why there is no heatmap, if one was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_heatmap: Option<Reason>,
    /// How long it took.
    pub timing: Timing,
    /// The model that classified it.
    pub model: ModelName,
    /// What heatmaps of other classes are made from.
    #[serde(skip)]
    pub run: Arc<Run>,
}

/// Why something is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The code of the [`Error`](crate::Error).
    pub code: &'static str,
    /// Its text.
    pub message: String,
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Where a class is seen in a photo.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Heatmap {
    /// Index of the explained class.
    pub class_index: usize,
    /// Its label.
    pub label: String,
    /// The classes that it was compared with; empty: its score alone is explained.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contrast: Vec<Named>,
    /// Whether it shows what speaks for the class, what speaks against it, or both.
    pub sign: Sign,
    /// How the map was made.
    pub method: Method,
    /// Where it was made: the names of `layers`, with ` + ` between them, or that of the input.
    pub layer: String,
    /// The ONNX tensors that it was made at; empty: at the input.
    pub layers: Vec<String>,
    /// Columns of the map.
    pub width: usize,
    /// Rows of the map.
    pub height: usize,
    /// `height × width` values, row-major, not scaled; negative only where `sign` is both.
    pub values: Vec<f32>,
    /// The largest absolute value; 0 when there is no evidence.
    pub max: f32,
    /// Where what the map is of lies; of both signs, what raises the score. None: nothing does.
    pub evidence: Option<Evidence>,
    /// Of a map of both signs, where what lowers the score lies. None: nothing does, or the map has one sign.
    pub opposing: Option<Evidence>,
    /// The region of the upright photo that the map covers.
    pub region: Region,
    /// The part of the upright photo that was classified; none: all of it. A region that is padded reaches over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Region>,
    /// The upright photo.
    pub image: Size,
}

/// Milliseconds spent in each stage.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[allow(missing_docs)] // the stages are documented in their modules
pub struct Timing {
    pub decode: f64,
    pub preprocess: f64,
    pub inference: f64,
    pub heatmap: f64,
    pub total: f64,
}

/// What a result says about its model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct ModelName {
    pub name: String,
    pub version: String,
    /// What the probabilities are; see [`Reading::kind`](crate::rank::Reading::kind).
    pub activation: Activation,
    /// Unit of the numbers, where they are not probabilities and it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

impl Classification {
    /// Adds the heatmap, or why there is none, and the milliseconds that it took.
    pub fn explained(&mut self, heatmap: Result<Heatmap>, milliseconds: f64) {
        match heatmap {
            Ok(heatmap) => self.heatmap = Some(heatmap),
            Err(error) => {
                self.no_heatmap = Some(Reason {
                    code: error.code(),
                    message: error.to_string(),
                });
            }
        }
        self.timing.heatmap = milliseconds;
        self.timing.total += milliseconds;
    }
}
