//! image → input tensor + the region of the image that it covers.

mod columns;
mod crop;
mod resample;
mod sample;
mod weights;

use std::cmp::Ordering;

use serde::Serialize;

pub use self::crop::crop;
use self::resample::{Side, resample};
use self::sample::sample;
use crate::decode::Image;
use crate::error::{Error, Result};
use crate::manifest::{Channels, Crop, Input, Layout, ResizeMode};

/// Numbers with a shape, row-major (the last axis varies fastest).
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// As many values as the product of the shape.
    pub values: Vec<f32>,
}

/// A rectangle in an upright image, in its pixels; it may reach over the edge where the input is
/// padded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, serde::Deserialize)]
pub struct Region {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// Makes the input tensor, batch of one, in the manifest's layout, and the region it covers.
///
/// Bit for bit what Pillow and torchvision make of the same pixels: `Resize` (the longer side is
/// rounded down) and `CenterCrop` (half pixels to even, black where the window is larger) for
/// `shorter-side`, `ImageOps.pad` for `fit`, `Image.resize` for `exact` (and `CenterCrop` where it has a size); grey is made last, as
/// `convert("L")` does. `fit` keeps at least one pixel of a side.
///
/// With `area`, or `bilinear` and `bicubic` without `antialias`, sizes and windows are the same, but values are
/// resampled in floating point and not rounded: within 1e-3 of 255 of torch, TensorFlow and OpenCV's floats.
///
/// # Errors
/// [`Error::BadManifest`] when the resize does not give the input's size and nothing may be cut.
pub fn preprocess(image: &Image, input: &Input) -> Result<(Tensor, Region)> {
    let (width, height) = resized_size(image, input);
    let cuts = input.crop == Crop::Center || input.resize.mode == ResizeMode::Fit;
    if !cuts && (width, height) != (input.width, input.height) {
        return Err(Error::BadManifest(format!(
            "the resize gives {width} × {height} pixels, the input takes {} × {}, and `input.crop` is none",
            input.width, input.height
        )));
    }
    let fit = input.resize.mode == ResizeMode::Fit;
    let across = Window::new(width, input.width, fit);
    let down = Window::new(height, input.height, fit);
    let (columns, rows) = (across.side(image.columns), down.side(image.rows));
    let filter = input.resize.filter;
    let tensor = if input.resize.is_sampled() {
        let values = sample(&image.rgb, &columns, &rows, filter);
        normalize(&values, &across, &down, input)
    } else {
        let pixels = resample(&image.rgb, &columns, &rows, filter);
        normalize(&pixels, &across, &down, input)
    };
    let (scale_x, scale_y) = (
        f64::from(image.width) / f64::from(width),
        f64::from(image.height) / f64::from(height),
    );
    let region = Region {
        x: across.offset as f64 * scale_x,
        y: down.offset as f64 * scale_y,
        width: f64::from(input.width) * scale_x,
        height: f64::from(input.height) * scale_y,
    };
    Ok((tensor, region))
}

/// A picture of the image whose longer side has at most `longest` pixels: RGB values, width, height.
#[cfg(target_arch = "wasm32")]
pub fn shrink(image: &Image, longest: u32) -> (std::borrow::Cow<'_, [u8]>, u32, u32) {
    let (columns, rows) = (image.columns, image.rows);
    let scale = (f64::from(longest) / f64::from(columns.max(rows))).min(1.0);
    let side = |from: u32| {
        let to = (f64::from(from) * scale).round().max(1.0) as usize;
        Side {
            from: from as usize,
            to,
            window: 0..to,
        }
    };
    let (across, down) = (side(columns), side(rows));
    let rgb = resample(&image.rgb, &across, &down, crate::manifest::Filter::Box);
    (rgb, across.to as u32, down.to as u32)
}

/// Where the input lies on one side of the resized image.
struct Window {
    /// Length of the resized side.
    length: usize,
    /// Length of the input's side.
    wanted: usize,
    /// First resized pixel of the input; negative where the input is padded.
    offset: i64,
}

impl Window {
    fn new(length: u32, wanted: u32, fit: bool) -> Window {
        let (from, to) = (i64::from(length), i64::from(wanted));
        let offset = if fit {
            -half_to_even(to - from)
        } else if to > from {
            -((to - from) / 2)
        } else {
            half_to_even(from - to)
        };
        Window {
            length: length as usize,
            wanted: wanted as usize,
            offset,
        }
    }

    /// Black pixels before the image.
    fn before(&self) -> usize {
        (-self.offset).max(0) as usize
    }

    /// Pixels of the image.
    fn inside(&self) -> usize {
        self.wanted.min(self.length)
    }

    fn side(&self, from: u32) -> Side {
        let start = self.offset.max(0) as usize;
        Side {
            from: from as usize,
            to: self.length,
            window: start..start + self.inside(),
        }
    }
}

/// Half of it; halves are rounded to even, as Python's `round` does.
fn half_to_even(length: i64) -> i64 {
    (length as f64 / 2.0).round_ties_even() as i64
}

fn resized_size(image: &Image, input: &Input) -> (u32, u32) {
    let (width, height) = (u64::from(image.width), u64::from(image.height));
    match input.resize.mode {
        ResizeMode::Exact => match input.resize.size {
            Some(size) => (size, size),
            None => (input.width, input.height),
        },
        ResizeMode::ShorterSide => {
            let size = input.resize.size.unwrap_or(input.width.min(input.height));
            let (short, long) = (width.min(height), width.max(height));
            let long = u32::try_from(u64::from(size) * long / short).unwrap_or(u32::MAX);
            if width <= height {
                (size, long)
            } else {
                (long, size)
            }
        }
        ResizeMode::Fit => {
            let (wanted_width, wanted_height) = (u64::from(input.width), u64::from(input.height));
            // The quotient first, then the product: Pillow's order, for its rounding errors.
            let other = |other: u64, side: u64, wanted: u32| {
                let length = other as f64 / side as f64 * f64::from(wanted);
                (length.round_ties_even() as u32).max(1)
            };
            match (width * wanted_height).cmp(&(height * wanted_width)) {
                Ordering::Equal => (input.width, input.height),
                Ordering::Greater => (input.width, other(height, width, input.width)),
                Ordering::Less => (other(width, height, input.height), input.height),
            }
        }
    }
}

/// A value of one channel, 0 to 255.
trait Level: Copy {
    /// ITU-R 601-2 luma.
    fn luma(rgb: &[Self]) -> Self;
    /// Its value in the tensor, by those of the whole levels.
    fn normalized(self, levels: &[f32; 256]) -> f32;
}

impl Level for u8 {
    /// Pillow's fixed-point form (`L24` in `Convert.c`).
    fn luma(rgb: &[u8]) -> u8 {
        let [r, g, b] = [u32::from(rgb[0]), u32::from(rgb[1]), u32::from(rgb[2])];
        ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
    }

    fn normalized(self, levels: &[f32; 256]) -> f32 {
        levels[usize::from(self)]
    }
}

impl Level for f32 {
    fn luma(rgb: &[f32]) -> f32 {
        0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
    }

    fn normalized(self, levels: &[f32; 256]) -> f32 {
        levels[0] + self * ((levels[255] - levels[0]) / 255.0)
    }
}

fn normalize<T: Level>(pixels: &[T], across: &Window, down: &Window, input: &Input) -> Tensor {
    let (columns, rows) = (across.wanted, down.wanted);
    let channels = input.channels.count();
    let (step, stride) = match input.layout {
        Layout::Nchw => (1, rows * columns),
        Layout::Nhwc => (channels, 1),
    };
    let mut values = vec![0.0; rows * columns * channels];
    for c in 0..channels {
        let lookup: [f32; 256] = std::array::from_fn(|value| {
            ((value as f64 * input.scale - input.mean[c]) / input.std[c]) as f32
        });
        for value in values[c * stride..]
            .iter_mut()
            .step_by(step)
            .take(rows * columns)
        {
            *value = lookup[0];
        }
        for (y, row) in pixels.chunks_exact(across.inside() * 3).enumerate() {
            let first = (y + down.before()) * columns + across.before();
            for (x, pixel) in row.chunks_exact(3).enumerate() {
                let value = match input.channels {
                    Channels::Rgb => pixel[c],
                    Channels::Bgr => pixel[2 - c],
                    Channels::Grey => T::luma(pixel),
                };
                values[(first + x) * step + c * stride] = value.normalized(&lookup);
            }
        }
    }
    Tensor {
        shape: input.shape().to_vec(),
        values,
    }
}
