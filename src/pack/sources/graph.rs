//! a graph's first operations → the range of pixels that it expects.

use super::{Pixels, Said};
use crate::manifest::Channels;
use crate::model::compile::lead::Lead;
use crate::model::compile::shrink::Outline;

/// A graph that normalises its own input gets pixels from 0 to 255, or from 0 to 1.
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

/// The largest value that the graph expects of a pixel, 255 or 1, if its mean and deviation show this.
fn range(Lead { scale, offset }: &Lead) -> Option<f64> {
    let average = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let spread = 1.0 / average(scale);
    let mean = -average(offset) * spread;
    if !spread.is_finite() {
        return None;
    }
    if spread >= 20.0 || mean >= 20.0 {
        return Some(255.0);
    }
    // Of photos: (0.45, 0.23) for ImageNet, (0.5, 0.5) for −1 to 1.
    ((0.15..=0.6).contains(&spread) && (0.25..=0.65).contains(&mean)).then_some(1.0)
}

/// The means of ImageNet's photos: red, green, blue.
const MEANS: [f64; 3] = [0.485, 0.456, 0.406];

/// Recognises ImageNet's means, from 0 to 1 or, as in Caffe, to 255: they differ in each channel.
fn order(Lead { scale, offset }: &Lead) -> Option<Channels> {
    let scale = |at: usize| scale.get(at).or(scale.last()).copied().unwrap_or(1.0);
    let means = offset
        .iter()
        .enumerate()
        .map(|(at, value)| -value / scale(at));
    let means: Vec<f64> = means.collect();
    let near = |wanted: [f64; 3]| {
        let largest = if means.iter().all(|mean| *mean < 1.0) {
            1.0
        } else {
            255.0
        };
        let close = |(mean, wanted): (&f64, f64)| (mean / largest - wanted).abs() < 0.004;
        means.len() == 3 && means.iter().zip(wanted).all(close)
    };
    let [red, green, blue] = MEANS;
    if near([blue, green, red]) {
        return Some(Channels::Bgr);
    }
    near(MEANS).then_some(Channels::Rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(scale: &[f64], mean: &[f64]) -> Lead {
        let at = |index: usize| scale[index.min(scale.len() - 1)];
        Lead {
            scale: scale.to_vec(),
            offset: mean
                .iter()
                .enumerate()
                .map(|(index, m)| -m * at(index))
                .collect(),
        }
    }

    #[test]
    fn the_range_of_pixels_is_told_by_what_is_subtracted_and_divided_by() {
        let imagenet = (
            [1.0 / 0.229, 1.0 / 0.224, 1.0 / 0.225],
            [0.485, 0.456, 0.406],
        );
        for (lead, largest) in [
            (lead(&[1.0 / 255.0], &[0.0]), Some(255.0)),
            (lead(&[1.0 / 127.5], &[127.5]), Some(255.0)),
            (
                lead(
                    &imagenet.0.map(|s| s / 255.0),
                    &imagenet.1.map(|m| m * 255.0),
                ),
                Some(255.0),
            ),
            (lead(&[1.0], &[103.939, 116.779, 123.68]), Some(255.0)),
            (lead(&imagenet.0, &imagenet.1), Some(1.0)),
            (lead(&[2.0], &[0.5]), Some(1.0)),
            // A normalisation that was trained over values around 0, or a graph that begins with a sum.
            (lead(&[1.1], &[0.02]), None),
            (lead(&[1.0], &[0.0]), None),
            (lead(&[0.0], &[0.0]), None),
        ] {
            assert_eq!(range(&lead), largest, "{lead:?}");
        }
        assert_eq!(
            order(&lead(&[1.0], &[103.939, 116.779, 123.68])),
            Some(Channels::Bgr)
        );
        assert_eq!(
            order(&lead(&[1.0], &[123.68, 116.779, 103.939])),
            Some(Channels::Rgb)
        );
        let (scale, means) = imagenet;
        assert_eq!(order(&lead(&scale, &means)), Some(Channels::Rgb));
        let [red, green, blue] = means;
        assert_eq!(
            order(&lead(&scale, &[blue, green, red])),
            Some(Channels::Bgr)
        );
        let bytes = (
            scale.map(|scale| scale / 255.0),
            means.map(|mean| 255.0 * mean),
        );
        assert_eq!(order(&lead(&bytes.0, &bytes.1)), Some(Channels::Rgb));
        assert_eq!(order(&lead(&[1.0], &[127.5])), None);
        assert_eq!(order(&lead(&[2.0], &[0.5, 0.5, 0.5])), None);
    }
}
