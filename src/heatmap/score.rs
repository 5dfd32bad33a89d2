//! Parts of the input that a channel sees → how much each channel speaks for a class.

use super::layer::{planes, weighted_sum};
use super::pixels::Pixels;
use super::{Map, Sign};
use crate::error::Result;
use crate::manifest::Layout;
use crate::model::FeatureMap;
use crate::preprocess::Tensor;

/// A heatmap by [`Method::ScoreCam`](super::Method::ScoreCam), a channel at a time.
#[derive(Debug, Clone)]
pub struct ScoreCam {
    input: Tensor,
    pixels: Pixels,
    features: FeatureMap,
    /// Of the channels so far.
    scores: Vec<f32>,
}

impl ScoreCam {
    /// Starts a map.
    ///
    /// # Errors
    /// [`Error::BadOption`] when the input is not a batch of one image.
    pub fn new(input: &Tensor, layout: Layout, features: &FeatureMap) -> Result<ScoreCam> {
        Ok(ScoreCam {
            input: input.clone(),
            pixels: Pixels::of(input, layout)?,
            features: features.clone(),
            scores: Vec::with_capacity(features.channels),
        })
    }

    /// Steps done, and steps in all.
    pub fn progress(&self) -> (usize, usize) {
        (self.scores.len(), self.features.channels)
    }

    /// Lets the network see what the next channel sees; `score` runs it.
    ///
    /// # Errors
    /// Those of `score`.
    pub fn step(&mut self, score: impl FnOnce(&Tensor) -> Result<f32>) -> Result<()> {
        let (rows, columns) = (self.pixels.height, self.pixels.width);
        let plane = planes(&self.features).nth(self.scores.len());
        let mask = enlarged(plane.unwrap_or_default(), &self.features, rows, columns);
        let mut seen = self.input.clone();
        for channel in 0..self.pixels.channels {
            for (at, share) in mask.iter().enumerate() {
                seen.values[self.pixels.place(channel, at / columns, at % columns)] *= share;
            }
        }
        self.scores.push(score(&seen)?);
        Ok(())
    }

    /// The map of the channels so far.
    pub fn map(&self) -> Map {
        let most = self
            .scores
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, f32::max);
        let shares: Vec<f32> = self.scores.iter().map(|s| (s - most).exp()).collect();
        let total: f32 = shares.iter().sum();
        let weights = shares.into_iter().map(|share| share / total);
        let values = weighted_sum(&self.features, weights);
        Map::of(self.features.width, self.features.height, values, Sign::For)
    }
}

/// A channel in the size of the input, bilinearly with its corners at the corners, scaled to 0..=1.
fn enlarged(plane: &[f32], features: &FeatureMap, rows: usize, columns: usize) -> Vec<f32> {
    let (height, width) = (features.height, features.width);
    let between = |at: usize, of: usize, size: usize| {
        let at = at as f32 * (size - 1) as f32 / (of - 1).max(1) as f32;
        let low = (at as usize).min(size - 1);
        (low, (low + 1).min(size - 1), at - low as f32)
    };
    let mut values = Vec::with_capacity(rows * columns);
    for y in 0..rows {
        let (top, bottom, down) = between(y, rows, height);
        for x in 0..columns {
            let (left, right, across) = between(x, columns, width);
            let row = |row: usize| {
                plane[row * width + left] * (1.0 - across) + plane[row * width + right] * across
            };
            values.push(row(top) * (1.0 - down) + row(bottom) * down);
        }
    }
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scaled = values
        .iter()
        .map(|value| (value - least) / (most - least + 1e-8));
    scaled.collect()
}
