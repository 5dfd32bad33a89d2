//! Steps that move a window over an image: poolings, and the gradients of windows.

use std::ops::Range;

use super::super::kernel::Window;

/// A pooling by the sum or the mean, of an image with its channels last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pool {
    pub window: Window,
    pub channels: usize,
    /// Divides by the number of values under the window; with `padding`, by the number of its taps.
    pub mean: bool,
    pub padding: bool,
}

impl Pool {
    /// Rows of the output, from the first of `rows` on.
    pub fn run(&self, rows: Range<usize>, image: &[f32], output: &mut [f32]) {
        let Pool {
            window, channels, ..
        } = self;
        let places = rows.flat_map(|y| (0..window.output[1]).map(move |x| (y, x)));
        for ((y, x), sums) in places.zip(output.chunks_exact_mut(*channels)) {
            let (down, across) = (window.inside(0, y), window.inside(1, x));
            sums.fill(0.0);
            for tap_y in down.clone() {
                for tap_x in across.clone() {
                    let at = place(window, [y, x], [tap_y, tap_x]) * channels;
                    let values = &image[at..at + channels];
                    sums.iter_mut()
                        .zip(values)
                        .for_each(|(sum, value)| *sum += value);
                }
            }
            if self.mean {
                let taps = match self.padding {
                    true => window.kernel[0] * window.kernel[1],
                    false => (down.len() * across.len()).max(1),
                };
                let factor = 1.0 / taps as f32;
                sums.iter_mut().for_each(|sum| *sum *= factor);
            }
        }
    }
}

/// Index of the pixel under a tap that is inside the image.
fn place(window: &Window, output: [usize; 2], tap: [usize; 2]) -> usize {
    let at = |axis: usize| {
        output[axis] * window.stride[axis] + tap[axis] * window.dilation[axis] - window.before[axis]
    };
    at(0) * window.input[1] + at(1)
}

fn area(sides: [usize; 2]) -> usize {
    sides[0] * sides[1]
}

/// Adds each tap's values (plane, tap, place) up where they came from: plane, pixel. A single tap stands for all.
pub fn fold(window: &Window, one: bool, planes: Range<usize>, taps: &[f32], output: &mut [f32]) {
    let places = area(window.output);
    let held = if one { 1 } else { area(window.kernel) };
    let images = output.chunks_exact_mut(area(window.input));
    for (image, taps) in
        images.zip(taps[planes.start * held * places..].chunks_exact(held * places))
    {
        image.fill(0.0);
        for y in 0..window.output[0] {
            for x in 0..window.output[1] {
                for tap_y in window.inside(0, y) {
                    for tap_x in window.inside(1, x) {
                        let tap = if one {
                            0
                        } else {
                            tap_y * window.kernel[1] + tap_x
                        };
                        let value = taps[tap * places + y * window.output[1] + x];
                        image[place(window, [y, x], [tap_y, tap_x])] += value;
                    }
                }
            }
        }
    }
}

/// The gradient of pooling by the largest value: each place's gradient (plane, place) at the first largest value under
/// its window in the image (plane, pixel).
pub fn unpool(
    window: &Window,
    planes: Range<usize>,
    [images, gradients]: [&[f32]; 2],
    output: &mut [f32],
) {
    let (pixels, places) = (area(window.input), area(window.output));
    let images = images[planes.start * pixels..].chunks_exact(pixels);
    let gradients = gradients[planes.start * places..].chunks_exact(places);
    for ((to, image), gradient) in output.chunks_exact_mut(pixels).zip(images).zip(gradients) {
        to.fill(0.0);
        for (at, gradient) in gradient.iter().enumerate() {
            let output = [at / window.output[1], at % window.output[1]];
            let mut largest: Option<usize> = None;
            for tap_y in window.inside(0, output[0]) {
                for tap_x in window.inside(1, output[1]) {
                    let at = place(window, output, [tap_y, tap_x]);
                    if largest.is_none_or(|largest| image[at] > image[largest]) {
                        largest = Some(at);
                    }
                }
            }
            if let Some(largest) = largest {
                to[largest] += gradient;
            }
        }
    }
}
