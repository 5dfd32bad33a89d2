//! The maps at which heatmaps are taken.

use serde::{Deserialize, Serialize};
#[cfg(feature = "compile")]
use tract_onnx::tract_core::internal::*;

use super::run::{self, MOST_ELEMENTS};
pub use crate::manifest::Layer;

/// A layer at which heatmaps can be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// The layer.
    #[serde(flatten)]
    pub layer: Layer,
    /// How many matrix products and convolutions are computed from it.
    pub products: usize,
}

/// The layers at which heatmaps can be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidates {
    /// The latest of each size, the latest first.
    pub list: Vec<Candidate>,
    /// Whether everything that the scores know about the image has passed through each of them.
    pub whole: bool,
}

/// The values of one layer: channel, row, column, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureMap {
    /// Number of channels.
    pub channels: usize,
    /// Rows of the map.
    pub height: usize,
    /// Columns of the map.
    pub width: usize,
    /// `channels × height × width` values.
    pub values: Vec<f32>,
}

/// A layer and how it lies in its ONNX tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// What callers see.
    pub layer: Layer,
    /// Shape of the ONNX tensor.
    pub(super) shape: Vec<usize>,
    pub(super) axes: Axes,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axes {
    /// Channel, row, column.
    ChannelsFirst,
    /// Row, column, channel.
    ChannelsLast,
    /// Rows of the grid one after the other, after some tokens that have no place on it.
    Tokens {
        /// How many such tokens there are.
        prefix: usize,
    },
}

impl Place {
    /// Whether the shape fits the layer: a place may come from a file.
    pub fn is_sound(&self) -> bool {
        let Layer {
            channels,
            height,
            width,
            ..
        } = self.layer;
        let prefix = match self.axes {
            Axes::Tokens { prefix } => prefix,
            _ => 0,
        };
        let all = height
            .checked_mul(width)
            .and_then(|places| places.checked_add(prefix));
        let all = all.and_then(|places| places.checked_mul(channels));
        let held = self.shape.iter().try_fold(1usize, |p, &n| p.checked_mul(n));
        all.is_some() && all == held && all.is_some_and(|all| all <= MOST_ELEMENTS)
    }

    /// Where the values of a channel are among all of the tensor, in ONNX's order.
    pub fn channel(&self, channel: usize) -> impl Iterator<Item = usize> + use<> {
        let all: usize = self.shape.iter().product();
        let Layer {
            channels,
            height,
            width,
            ..
        } = self.layer;
        let (first, step, count) = match self.axes {
            Axes::ChannelsFirst => (channel * height * width, 1, height * width),
            Axes::ChannelsLast | Axes::Tokens { .. } => (channel, channels, all / channels.max(1)),
        };
        (0..count)
            .map(move |at| first + at * step)
            .filter(move |&at| at < all)
    }

    /// Bytes of its values.
    pub fn bytes(&self) -> u64 {
        let sizes = self.shape.iter().copied();
        run::product(sizes.chain([size_of::<f32>()]))
    }

    /// [`Place::feature`] from a tensor whose axes may have length 1 where a value repeats.
    #[cfg(feature = "compile")]
    pub fn map(&self, tensor: &Tensor) -> TractResult<FeatureMap> {
        let full = tensor.broadcast_to_shape(&self.shape)?;
        let plain = full.try_as_plain_ram()?;
        Ok(self.feature(plain.as_slice::<f32>()?.to_vec()))
    }

    /// The values of the layer in the order of [`FeatureMap`], from all of them in ONNX's order.
    pub fn feature(&self, given: Vec<f32>) -> FeatureMap {
        let &Layer {
            channels,
            height,
            width,
            ..
        } = &self.layer;
        let places = height * width;
        let values = match self.axes {
            Axes::ChannelsFirst => given,
            axes => {
                let prefix = match axes {
                    Axes::Tokens { prefix } => prefix * channels,
                    _ => 0,
                };
                (0..channels * places)
                    .map(|i| given[prefix + i % places * channels + i / places])
                    .collect()
            }
        };
        FeatureMap {
            channels,
            height,
            width,
            values,
        }
    }
}
