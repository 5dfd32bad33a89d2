//! pixels → pixels of another size, bit for bit as Pillow's `Image.resize` makes them.
//!
//! The same two passes in the same order, the same weights in 22-bit fixed point, the same rounding to
//! 8 bits between the passes: `libImaging/Resample.c`, and for `nearest` `libImaging/Geometry.c`.

use std::borrow::Cow;
use std::f64::consts::PI;
use std::ops::Range;

use super::columns::columns;
use super::weights::{CHANNELS, HALF, PRECISION, Weights, to_u8};
use crate::manifest::Filter;

/// One side of a resize: `from` pixels become `to`, of which `window` is wanted.
#[derive(Debug, Clone)]
pub struct Side {
    /// Length before.
    pub from: usize,
    /// Length after.
    pub to: usize,
    /// The part of the resized side that is made.
    pub window: Range<usize>,
}

/// Resizes RGB pixels and cuts the windows out of the result: `rows.window × across.window` pixels.
///
/// `rgb` holds `down.from × across.from` pixels; every length and window must not be empty.
pub fn resample<'a>(rgb: &'a [u8], across: &Side, down: &Side, filter: Filter) -> Cow<'a, [u8]> {
    let Some((shape, support)) = kernel(filter) else {
        return Cow::Owned(nearest(rgb, across, down));
    };
    let wide = (across.from != across.to).then(|| weights(across, shape, support));
    let high = (down.from != down.to).then(|| weights(down, shape, support));
    let stride = across.from * CHANNELS;
    match (wide, high) {
        (None, None) => cut(rgb, stride, &across.window, &down.window),
        (Some(wide), None) => {
            let rgb = &rgb[down.window.start * stride..down.window.end * stride];
            Cow::Owned(columns(rgb, stride, &wide))
        }
        (None, Some(high)) => {
            let rgb = cut(rgb, stride, &across.window, &(0..down.from));
            Cow::Owned(lines(&rgb, across.window.len() * CHANNELS, 0, &high))
        }
        (Some(wide), Some(high)) if lines_first(across, down) => {
            Cow::Owned(columns(&lines(rgb, stride, 0, &high), stride, &wide))
        }
        (Some(wide), Some(high)) => {
            let needed = span(&high);
            let rgb = &rgb[needed.start * stride..needed.end * stride];
            let rgb = columns(rgb, stride, &wide);
            Cow::Owned(lines(&rgb, wide.len() * CHANNELS, needed.start, &high))
        }
    }
}

/// Whether Pillow, from version 13 on, shrinks the height before the width. Rounding between the
/// passes makes the order visible.
fn lines_first(across: &Side, down: &Side) -> bool {
    let shrinks = |side: &Side| side.from as i64 - side.to as i64;
    shrinks(down) > 0 && shrinks(down) > 2 * shrinks(across)
}

type Kernel = fn(f64) -> f64;

/// A filter's shape and how far it reaches; none for `nearest`.
fn kernel(filter: Filter) -> Option<(Kernel, f64)> {
    match filter {
        Filter::Nearest | Filter::Area => None,
        Filter::Box => Some((|x| f64::from(x > -0.5 && x <= 0.5), 0.5)),
        Filter::Bilinear => Some((|x| (1.0 - x.abs()).max(0.0), 1.0)),
        Filter::Bicubic => Some((bicubic, 2.0)),
        Filter::Lanczos => Some((lanczos, 3.0)),
    }
}

/// Keys' cubic convolution with a = −0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| {
        if x == 0.0 {
            1.0
        } else {
            (x * PI).sin() / (x * PI)
        }
    };
    if (-3.0..3.0).contains(&x) {
        sinc(x) * sinc(x / 3.0)
    } else {
        0.0
    }
}

fn weights(side: &Side, shape: Kernel, support: f64) -> Vec<Weights> {
    let scale = side.from as f64 / side.to as f64;
    let stretch = scale.max(1.0);
    let reach = support * stretch;
    let one = f64::from(1 << PRECISION);
    side.window
        .clone()
        .map(|at| {
            let center = (at as f64 + 0.5) * scale;
            let start = (center - reach + 0.5).max(0.0) as usize;
            let end = ((center + reach + 0.5) as usize).min(side.from);
            let raw: Vec<f64> = (start..end)
                .map(|x| shape((x as f64 - center + 0.5) * (1.0 / stretch)))
                .collect();
            let sum: f64 = raw.iter().sum();
            let sum = if sum == 0.0 { 1.0 } else { sum };
            // Half away from zero, as Pillow's cast does.
            let values = raw.iter().map(|w| (w / sum * one).round() as i32).collect();
            Weights { start, values }
        })
        .collect()
}

/// The source pixels that any weight uses.
fn span(weights: &[Weights]) -> Range<usize> {
    let start = weights.iter().map(|w| w.start).min().unwrap_or(0);
    let end = weights.iter().map(|w| w.start + w.values.len()).max();
    start..end.unwrap_or(start)
}

/// `first` is the line of the picture that `rgb` starts with.
fn lines(rgb: &[u8], stride: usize, first: usize, weights: &[Weights]) -> Vec<u8> {
    let mut out = Vec::with_capacity(weights.len() * stride);
    let mut sums = vec![0i32; stride];
    for Weights { start, values } in weights {
        sums.fill(HALF);
        let rows = rgb[(start - first) * stride..].chunks_exact(stride);
        for (&weight, row) in values.iter().zip(rows) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += i32::from(value) * weight;
            }
        }
        out.extend(sums.iter().map(|&sum| to_u8(sum)));
    }
    out
}

fn cut<'a>(
    rgb: &'a [u8],
    stride: usize,
    columns: &Range<usize>,
    rows: &Range<usize>,
) -> Cow<'a, [u8]> {
    let rgb = &rgb[rows.start * stride..rows.end * stride];
    if columns.len() * CHANNELS == stride {
        return Cow::Borrowed(rgb);
    }
    let part = columns.start * CHANNELS..columns.end * CHANNELS;
    let rows = rgb.chunks_exact(stride);
    Cow::Owned(rows.flat_map(|row| &row[part.clone()]).copied().collect())
}

fn nearest(rgb: &[u8], across: &Side, down: &Side) -> Vec<u8> {
    let places = |side: &Side| -> Vec<usize> {
        let scale = side.from as f64 / side.to as f64;
        let mut at = scale * 0.5;
        let mut places = Vec::with_capacity(side.window.len());
        for index in 0..side.window.end {
            if side.window.contains(&index) {
                places.push((at as usize).min(side.from - 1));
            }
            at += scale; // summed, not multiplied, for the same rounding errors as Pillow's
        }
        places
    };
    let columns = places(across);
    places(down)
        .into_iter()
        .flat_map(|y| {
            columns
                .iter()
                .map(move |x| (y * across.from + x) * CHANNELS)
        })
        .flat_map(|at| &rgb[at..at + CHANNELS])
        .copied()
        .collect()
}
