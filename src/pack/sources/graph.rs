//! a graph's first operations → the range of pixels that it takes.

use super::{Pixels, Said};
use crate::manifest::Channels;
use crate::model::compile::lead::Lead;
use crate::model::compile::shrink::Outline;

/// A graph that normalises its input itself is given pixels as they are, or 0 to 1.
pub(super) fn read(outline: &Outline) -> Option<Said> {
    let mut said = Said::by("the graph");
    said.weak = true;
    let scale = match outline.lead.as_ref().and_then(range) {
        _ if outline.takes_bytes => 1.0,
        Some(largest) => largest / 255.0,
        None => return None,
    };
    said.pixels = Some(Pixels::scaled(scale));
    said.channels = outline.lead.as_ref().and_then(order);
    Some(said)
}

/// The largest value that the graph takes for a pixel, 255 or 1, where what it subtracts and divides by
/// tells it.
fn range(Lead { scale, offset }: &Lead) -> Option<f64> {
    let average = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let spread = 1.0 / average(scale);
    let mean = -average(offset) * spread;
    if spread >= 20.0 || mean >= 20.0 {
        return Some(255.0);
    }
    // Of photos: (0.45, 0.23) for ImageNet, (0.5, 0.5) for −1 to 1.
    ((0.15..=0.6).contains(&spread) && (0.25..=0.65).contains(&mean)).then_some(1.0)
}

/// Caffe's means, which are different in each channel.
fn order(Lead { scale, offset }: &Lead) -> Option<Channels> {
    let means: Vec<f64> = match scale.as_slice() {
        [one] => offset.iter().map(|value| -value / one).collect(),
        _ => return None,
    };
    let near = |wanted: [f64; 3]| {
        means.len() == 3 && means.iter().zip(wanted).all(|(m, w)| (m - w).abs() < 1.0)
    };
    if near([103.939, 116.779, 123.68]) {
        return Some(Channels::Bgr);
    }
    near([123.68, 116.779, 103.939]).then_some(Channels::Rgb)
}
