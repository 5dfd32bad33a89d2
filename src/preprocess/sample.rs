//! pixels → values at fewer or more places, without antialiasing, in floating point.
//!
//! Places are half-pixel centres, `(i + 0.5) × from ÷ to − 0.5`; beyond the edge, its pixels repeat.
//! `bilinear` and `bicubic` (a = −0.75) are `torch.nn.functional.interpolate(align_corners=False)`,
//! OpenCV's `INTER_LINEAR` and `INTER_CUBIC`, and, for `bilinear`, `tf.image.resize`; `area` is OpenCV's
//! `INTER_AREA` where it shrinks.

use super::resample::Side;
use super::weights::CHANNELS;
use crate::manifest::Filter;

/// What an output value is made of: the source pixels from `start` on, times these weights.
struct Taps {
    start: usize,
    weights: Vec<f32>,
}

/// RGB values, 0 to 255 (beyond it where `bicubic` overshoots), of `down.window × across.window` places.
pub fn sample(rgb: &[u8], across: &Side, down: &Side, filter: Filter) -> Vec<f32> {
    let (wide, high) = (taps(across, filter), taps(down, filter));
    let stride = across.from * CHANNELS;
    let mut out = Vec::with_capacity(high.len() * wide.len() * CHANNELS);
    for rows in &high {
        for columns in &wide {
            let mut sums = [0.0; CHANNELS];
            for (row, high) in (rows.start..).zip(&rows.weights) {
                let pixels = rgb[row * stride + columns.start * CHANNELS..].chunks_exact(CHANNELS);
                for (pixel, wide) in pixels.zip(&columns.weights) {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum += high * wide * f32::from(value);
                    }
                }
            }
            out.extend(sums);
        }
    }
    out
}

fn taps(side: &Side, filter: Filter) -> Vec<Taps> {
    let scale = side.from as f64 / side.to as f64;
    let last = side.from as i64 - 1;
    let at = |index: usize| {
        if filter == Filter::Area {
            return covered(index as f64 * scale, (index + 1) as f64 * scale, side.from);
        }
        let place = (index as f64 + 0.5) * scale - 0.5;
        let (first, part) = (place.floor() as i64, place - place.floor());
        let (first, weights) = if filter == Filter::Bicubic {
            (first - 1, cubic(part).to_vec())
        } else {
            (first, vec![1.0 - part, part])
        };
        // What lies beyond the edge is added to the pixel there.
        let start = first.clamp(0, last);
        let end = (first + weights.len() as i64 - 1).clamp(0, last);
        let mut kept = vec![0.0; (end - start + 1) as usize];
        for (x, weight) in (first..).zip(weights) {
            kept[(x.clamp(0, last) - start) as usize] += weight as f32;
        }
        Taps {
            start: start as usize,
            weights: kept,
        }
    };
    side.window.clone().map(at).collect()
}

/// The mean of what lies between two places.
fn covered(from: f64, to: f64, length: usize) -> Taps {
    let start = (from as usize).min(length - 1);
    let end = (to.ceil() as usize).clamp(start + 1, length);
    let share = |x: usize| (to.min((x + 1) as f64) - from.max(x as f64)) / (to - from);
    Taps {
        start,
        weights: (start..end).map(|x| share(x) as f32).collect(),
    }
}

/// Keys' cubic convolution with a = −0.75: the weights of the four pixels around a place.
fn cubic(part: f64) -> [f64; 4] {
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    [
        far(part + 1.0),
        near(part),
        near(1.0 - part),
        far(2.0 - part),
    ]
}
