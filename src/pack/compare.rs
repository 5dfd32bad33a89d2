//! Scores of a file and of the file made from it → how much they differ.

use serde::Serialize;

use crate::manifest::{Activation, Input, Layout};
use crate::preprocess::Tensor;
use crate::rank;

/// Two files of one model, on a made-up image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The largest difference of a score.
    pub score: f32,
    /// The largest difference of a probability.
    pub probability: f32,
    /// Whether the first class is the same.
    pub same_first: bool,
}

/// An input that resembles a photo: soft blobs of colour in the range that the network expects.
pub(super) fn made_up_image(input: &Input) -> Tensor {
    let shape = input.shape().to_vec();
    let count = input.channels.count();
    let plane = (input.width * input.height) as usize;
    let value = |index: usize| {
        let (channel, place) = match input.layout {
            Layout::Nchw => (index / plane, index % plane),
            Layout::Nhwc => (index % count, index / count),
        };
        let x = (place % input.width as usize) as f64 / f64::from(input.width);
        let y = (place / input.width as usize) as f64 / f64::from(input.height);
        let wave =
            (x * 7.0 + channel as f64).sin() + (y * 11.0 - x * 5.0).cos() + (x * y * 40.0).sin();
        let pixel = (wave / 6.0 + 0.5) * 255.0;
        ((pixel * input.scale - input.mean[channel]) / input.std[channel]) as f32
    };
    let values = (0..count * plane).map(value).collect();
    Tensor { shape, values }
}

/// Whether scores are non-negative and add up to 1.
pub(super) fn are_shares(scores: &[f32]) -> bool {
    let sum: f32 = scores.iter().sum();
    scores.len() > 1 && scores.iter().all(|&score| score >= 0.0) && (sum - 1.0).abs() < 1e-3
}

/// The largest score minus the smallest; 1 for a single score.
pub(super) fn span(scores: &[f32]) -> f32 {
    let low = scores.iter().copied().fold(f32::INFINITY, f32::min);
    let high = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    match scores.len() {
        1 => 1.0,
        _ => (high - low).max(f32::MIN_POSITIVE),
    }
}

pub(super) fn compare(before: &[f32], after: &[f32], activation: Activation) -> Difference {
    let largest = |a: &[f32], b: &[f32]| {
        let pairs = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        pairs.fold(0.0, f32::max)
    };
    let first = |scores: &[f32]| (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (p, q) = (
        rank::probabilities(before, activation),
        rank::probabilities(after, activation),
    );
    Difference {
        score: largest(before, after),
        probability: largest(&p, &q),
        same_first: first(before) == first(after),
    }
}
