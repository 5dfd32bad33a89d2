//! An input → small changes of it, and how alike the heatmaps of a changed input and of the input are.

use serde::Serialize;

use super::pixels::Pixels;
use super::{Map, jpeg};
use crate::error::{Error, Result};
use crate::manifest::{Channels, Input};
use crate::preprocess::Tensor;

/// A change that a reader would not call another photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Change {
    /// The input is moved by whole pixels, to the right and down; its edges are repeated.
    Shift {
        /// Pixels to the right.
        x: i32,
        /// Pixels down.
        y: i32,
    },
    /// The input, as pixels of 8 bits, is stored as a JPEG (chroma halved, as is usual) and read again.
    Jpeg {
        /// 1 to 100.
        quality: u8,
    },
}

/// What became of the heatmap and of the class by a change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Variant {
    /// The change.
    #[serde(flatten)]
    pub change: Change,
    /// Pearson's correlation of the two maps, -1 to 1, over the cells that both have after the shift is undone. Of maps
    /// without contrast 1 if both are, otherwise 0.
    pub correlation: f32,
    /// Probability of the explained class, or its score where the model gives no probabilities.
    pub probability: f32,
}

/// Whether a heatmap stays the same under small changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Steadiness {
    /// Every change leaves at least half of the variance of the map as it was: r² ≥ 1/2, a correlation of
    /// [`Stability::LEAST`] or more.
    Stable,
    /// A change that nobody would notice leaves less than half of it.
    Fragile,
}

/// How a heatmap stands small changes of the photo.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stability {
    /// The lowest correlation of all variants.
    pub correlation: f32,
    /// One for each change.
    pub variants: Vec<Variant>,
    /// By the lowest correlation.
    pub verdict: Steadiness,
}

impl Stability {
    /// The least correlation of a stable map: with √½, one map explains half of the variance of the other.
    pub const LEAST: f32 = std::f32::consts::FRAC_1_SQRT_2;

    /// The summary of variants.
    pub fn of(variants: Vec<Variant>) -> Stability {
        let correlations = variants.iter().map(|variant| variant.correlation);
        let correlation = correlations.fold(1.0, f32::min);
        Stability {
            correlation,
            variants,
            verdict: match correlation >= Stability::LEAST {
                true => Steadiness::Stable,
                false => Steadiness::Fragile,
            },
        }
    }
}

impl Change {
    /// The changes of an input: to each side by a 56th of its shorter side (4 pixels of 224), and JPEGs of the
    /// qualities 75 and 50.
    pub fn all(input: &Input) -> Vec<Change> {
        let by = (f64::from(input.width.min(input.height)) / 56.0).round() as i32;
        let by = by.max(1);
        let shifts = [(by, 0), (-by, 0), (0, by), (0, -by)].map(|(x, y)| Change::Shift { x, y });
        let jpegs = [75, 50].map(|quality| Change::Jpeg { quality });
        shifts.into_iter().chain(jpegs).collect()
    }

    /// The changed input.
    ///
    /// # Errors
    /// [`Error::BadOption`] when the input is not a batch of one image with the manifest's channels.
    pub fn apply(self, tensor: &Tensor, input: &Input) -> Result<Tensor> {
        let pixels = Pixels::of(tensor, input.layout)?;
        match self {
            Change::Shift { x, y } => Ok(pixels.shifted(tensor, x as isize, y as isize)),
            Change::Jpeg { quality } => recompressed(tensor, &pixels, input, quality),
        }
    }

    /// Pearson's correlation of the map of an input of `width` × `height` and that of the changed one, where both are.
    pub fn correlation(self, own: &Map, changed: &Map, (width, height): (usize, usize)) -> f32 {
        let (mut across, mut down) = (0.0, 0.0);
        if let Change::Shift { x, y } = self {
            across = f64::from(x) * own.width as f64 / width as f64;
            down = f64::from(y) * own.height as f64 / height as f64;
        }
        let mut pairs = Vec::new();
        for (at, &value) in own.values.iter().enumerate() {
            let x = (at % own.width) as f64 + across;
            let y = (at / own.width) as f64 + down;
            let within = |at: f64, most: usize| (0.0..=most as f64 - 1.0).contains(&at);
            if within(x, own.width) && within(y, own.height) {
                pairs.push((f64::from(value), changed.at(x, y)));
            }
        }
        pearson(&pairs) as f32
    }
}

fn pearson(pairs: &[(f64, f64)]) -> f64 {
    let count = pairs.len().max(1) as f64;
    let mean_a = pairs.iter().map(|pair| pair.0).sum::<f64>() / count;
    let mean_b = pairs.iter().map(|pair| pair.1).sum::<f64>() / count;
    let (mut both, mut a, mut b) = (0.0, 0.0, 0.0);
    for (own, other) in pairs {
        both += (own - mean_a) * (other - mean_b);
        a += (own - mean_a).powi(2);
        b += (other - mean_b).powi(2);
    }
    match (a > 0.0, b > 0.0) {
        (true, true) => (both / a.sqrt() / b.sqrt()).clamp(-1.0, 1.0),
        (false, false) => 1.0,
        _ => 0.0,
    }
}

fn recompressed(tensor: &Tensor, pixels: &Pixels, input: &Input, quality: u8) -> Result<Tensor> {
    let &Pixels {
        channels,
        height,
        width,
        ..
    } = pixels;
    if channels != input.channels.count() || input.mean.len().min(input.std.len()) < channels {
        return Err(Error::BadOption(format!(
            "the input has {channels} channels, expected {}",
            input.channels.count()
        )));
    }
    // Which channel of the tensor holds a colour.
    let place = |colour: usize, at: usize| {
        let channel = match input.channels {
            Channels::Bgr => 2 - colour,
            Channels::Rgb | Channels::Grey => colour,
        };
        (channel, pixels.place(channel, at / width, at % width))
    };
    let mut levels = vec![0; channels * height * width];
    for (at, level) in levels.iter_mut().enumerate() {
        let (channel, place) = place(at % channels, at / channels);
        let value = f64::from(tensor.values[place]) * input.std[channel] + input.mean[channel];
        // The cast saturates.
        *level = (value / input.scale).round() as u8;
    }
    let levels = jpeg::recompressed(&levels, (width, height), channels, quality);
    let mut values = tensor.values.clone();
    for (at, pixel) in levels.chunks_exact(channels).enumerate() {
        for (colour, &level) in pixel.iter().enumerate() {
            let (channel, place) = place(colour, at);
            let value = f64::from(level) * input.scale - input.mean[channel];
            values[place] = (value / input.std[channel]) as f32;
        }
    }
    Ok(Tensor {
        shape: tensor.shape.clone(),
        values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heatmap::Sign;

    fn map(values: &[f32], width: usize) -> Map {
        Map::of(width, values.len() / width, values.to_vec(), Sign::Both)
    }

    #[test]
    fn a_shift_by_a_cell_is_undone() {
        let own = map(&[0.0, 1.0, 5.0, 2.0, 0.0, 3.0, 1.0, 4.0], 4);
        let moved = map(&[9.0, 0.0, 1.0, 5.0, 7.0, 0.0, 3.0, 1.0], 4);
        let shift = Change::Shift { x: 10, y: 0 };
        assert!((shift.correlation(&own, &moved, (40, 20)) - 1.0).abs() < 1e-6);
        assert!(shift.correlation(&own, &own, (40, 20)) < 0.5);
    }

    #[test]
    fn maps_without_contrast_agree_with_each_other_alone() {
        let (flat, other) = (map(&[0.0; 4], 2), map(&[1.0, 0.0, 0.0, 2.0], 2));
        let jpeg = Change::Jpeg { quality: 75 };
        assert_eq!(jpeg.correlation(&flat, &flat, (2, 2)), 1.0);
        assert_eq!(jpeg.correlation(&flat, &other, (2, 2)), 0.0);
        let negative = map(&[-1.0, 0.0, 0.0, -2.0], 2);
        assert!((jpeg.correlation(&other, &negative, (2, 2)) + 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_lowest_correlation_decides() {
        let variant = |correlation| Variant {
            change: Change::Shift { x: 1, y: 0 },
            correlation,
            probability: 0.5,
        };
        let found = Stability::of(vec![variant(0.9), variant(0.7)]);
        assert_eq!(
            (found.correlation, found.verdict),
            (0.7, Steadiness::Fragile)
        );
        assert_eq!(
            Stability::of(vec![variant(0.71)]).verdict,
            Steadiness::Stable
        );
    }
}
