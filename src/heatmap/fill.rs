//! An input → the same where nothing of it is shown.

use serde::{Deserialize, Serialize};

use super::pixels::Pixels;
use crate::preprocess::Tensor;

/// What takes the place of hidden cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fill {
    /// The photo blurred: by a Gaussian whose σ is a twentieth of the shorter side of the input, cut off at 3 σ, the
    /// edges repeated.
    #[default]
    Blur,
    /// The mean of each channel over the photo.
    Mean,
    /// Weighted means of what is next to them, to the edges of what is shown: the linear imputation of ROAD, without
    /// noise, which a network can tell from shown parts less than the others. Where nothing is shown, as [`Fill::Mean`].
    /// Rong et al., 2022, arXiv:2202.00449.
    Linear,
}

/// What is seen where everything is hidden.
pub fn filled(input: &Tensor, pixels: &Pixels, fill: Fill) -> Vec<f32> {
    let &Pixels {
        channels,
        height,
        width,
        ..
    } = pixels;
    let mut values = input.values.clone();
    let mut plane = vec![0.0; height * width];
    for c in 0..channels {
        for (at, value) in plane.iter_mut().enumerate() {
            *value = input.values[pixels.place(c, at / width, at % width)];
        }
        match fill {
            Fill::Mean | Fill::Linear => {
                let mean = plane.iter().map(|&v| f64::from(v)).sum::<f64>() / plane.len() as f64;
                plane.fill(mean as f32);
            }
            Fill::Blur => {
                let weights = gaussian(height.min(width) as f64 / 20.0);
                plane = blurred(&plane, width, &weights);
                plane = blurred(&plane, height, &weights);
            }
        }
        for (at, &value) in plane.iter().enumerate() {
            values[pixels.place(c, at / width, at % width)] = value;
        }
    }
    values
}

/// Weights from the middle outwards.
fn gaussian(sigma: f64) -> Vec<f64> {
    let reach = (3.0 * sigma + 0.5) as usize;
    let weights = (0..=reach).map(|at| (-0.5 * (at as f64 / sigma).powi(2)).exp());
    let weights: Vec<f64> = weights.collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    weights.iter().map(|weight| weight / total).collect()
}

/// Blurs along rows, and turns rows into columns.
fn blurred(plane: &[f32], width: usize, weights: &[f64]) -> Vec<f32> {
    let height = plane.len() / width;
    let mut turned = vec![0.0; plane.len()];
    for (y, row) in plane.chunks_exact(width).enumerate() {
        for x in 0..width {
            let mut sum = weights[0] * f64::from(row[x]);
            for (reach, weight) in weights.iter().enumerate().skip(1) {
                let (before, after) = (x.saturating_sub(reach), (x + reach).min(width - 1));
                sum += weight * (f64::from(row[before]) + f64::from(row[after]));
            }
            turned[x * height + y] = sum as f32;
        }
    }
    turned
}
