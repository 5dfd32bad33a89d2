//! Image → image with one value per window.

use std::ops::Range;

use super::Window;

/// The largest value of each window, padding left out.
///
/// # Panics
/// When image or output are smaller than the window says.
#[cfg(any(feature = "compile", test))]
pub fn max_pool(image: &[f32], channels: usize, window: &Window, output: &mut [f32]) {
    max_pool_rows(0..window.output[0], image, channels, window, output);
}

/// Some rows of [`max_pool`]; the output begins with the first of them.
///
/// # Panics
/// When image or output are smaller than the window says.
pub fn max_pool_rows(
    rows: Range<usize>,
    image: &[f32],
    channels: usize,
    window: &Window,
    output: &mut [f32],
) {
    let columns = window.output[1];
    let first = rows.start;
    for y in rows {
        for x in 0..columns {
            let to = &mut output[((y - first) * columns + x) * channels..][..channels];
            to.fill(f32::NEG_INFINITY);
            for tap_y in window.inside(0, y) {
                let y = y * window.stride[0] + tap_y * window.dilation[0] - window.before[0];
                for tap_x in window.inside(1, x) {
                    let x = x * window.stride[1] + tap_x * window.dilation[1] - window.before[1];
                    let from = &image[(y * window.input[1] + x) * channels..][..channels];
                    for (to, &from) in to.iter_mut().zip(from) {
                        *to = if *to < from { from } else { *to };
                    }
                }
            }
        }
    }
}

/// Copies an image into the middle of zeros, as large as [`Window::padded`].
///
/// # Panics
/// When the image is smaller than the window says.
#[cfg(any(feature = "compile", test))]
pub fn pad(image: &[f32], channels: usize, window: &Window) -> Vec<f32> {
    let [_, columns] = window.padded();
    let mut padded = vec![0.0; window.padded().iter().product::<usize>() * channels];
    let row = window.input[1] * channels;
    for y in 0..window.input[0] {
        let at = ((y + window.before[0]) * columns + window.before[1]) * channels;
        padded[at..at + row].copy_from_slice(&image[y * row..][..row]);
    }
    padded
}
