//! Inner loops over channels-last activations: the only unsafe code of the crate.
//!
//! An activation is `pixels × channels`, row-major, with no gaps. Every public function checks the
//! bounds that its unchecked loads and stores rely on.
#![allow(
    unsafe_code,
    reason = "unchecked loads and stores of vectors; each function checks first"
)]

mod depthwise;
mod f4;
mod gemm;
mod half;
mod pool;
mod transpose;
#[cfg(target_arch = "x86_64")]
mod wide;
mod winograd;

pub use depthwise::Depthwise;
pub use f4::{F4, Task, Vector, widest};
#[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
pub use gemm::exercise;
#[cfg(any(target_arch = "wasm32", test))]
pub use gemm::tune;
pub use gemm::{Gemm, Group, Output, Panels, Patches};
pub use half::widen;
pub use pool::max_pool_rows;
#[cfg(any(feature = "compile", test))]
pub use pool::{max_pool, pad};
pub use transpose::transpose;
pub use winograd::Winograd;

/// What a sum goes through before it is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// Limits the value to this range.
    Clamp(f32, f32),
    /// `x · clamp(x / 6 + 0.5, 0, 1)`.
    HardSwish,
}

impl Activation {
    /// Leaves every value as it is.
    pub const NONE: Activation = Activation::Clamp(f32::NEG_INFINITY, f32::INFINITY);
}

#[derive(Clone, Copy)]
pub enum Finish {
    None,
    Clamp(F4, F4),
    HardSwish,
}

impl Finish {
    #[inline(always)]
    fn new(activation: Activation) -> Finish {
        match activation {
            Activation::NONE => Finish::None,
            Activation::Clamp(low, high) => Finish::Clamp(F4::splat(low), F4::splat(high)),
            Activation::HardSwish => Finish::HardSwish,
        }
    }

    #[inline(always)]
    fn apply(self, value: F4) -> F4 {
        match self {
            Finish::None => value,
            Finish::Clamp(low, high) => value.max(low).min(high),
            Finish::HardSwish => {
                let gate = F4::splat(0.5).add_product(value, F4::splat(1.0 / 6.0));
                value.mul(gate.max(F4::splat(0.0)).min(F4::splat(1.0)))
            }
        }
    }
}

/// Geometry of a window that moves over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Rows and columns of the input.
    pub input: [usize; 2],
    /// Rows and columns of the output.
    pub output: [usize; 2],
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Step from one output to the next.
    pub stride: [usize; 2],
    /// Step from one tap to the next.
    pub dilation: [usize; 2],
    /// Rows above and columns left of the image that the first window covers.
    pub before: [usize; 2],
}

impl Window {
    /// Taps of output `at` along `axis` that are inside the image.
    pub fn inside(&self, axis: usize, at: usize) -> std::ops::Range<usize> {
        let start = at * self.stride[axis];
        let (before, dilation) = (self.before[axis], self.dilation[axis]);
        let first = before.saturating_sub(start).div_ceil(dilation);
        let end = (self.input[axis] + before)
            .saturating_sub(start)
            .div_ceil(dilation);
        let first = first.min(self.kernel[axis]);
        first..end.clamp(first, self.kernel[axis])
    }

    /// Rows and columns of the smallest image that holds every window, padding included.
    pub fn padded(&self) -> [usize; 2] {
        std::array::from_fn(|axis| {
            let reach = (self.output[axis].max(1) - 1) * self.stride[axis]
                + (self.kernel[axis] - 1) * self.dilation[axis]
                + 1;
            reach.max(self.before[axis] + self.input[axis])
        })
    }

    /// The same window over the image once it is padded.
    #[cfg(any(feature = "compile", test))]
    pub fn over_padded(&self) -> Window {
        Window {
            input: self.padded(),
            before: [0; 2],
            ..*self
        }
    }

    /// Whether some window reaches outside the image.
    #[cfg(any(feature = "compile", test))]
    pub fn is_padded(&self) -> bool {
        self.padded() != self.input
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "x86_64")]
    use super::wide::Width;
    use super::*;

    /// Values in -1..1 without a pattern that a wrong order could keep.
    fn noise(count: usize) -> Vec<f32> {
        let mut state = count as u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    fn activate(value: f32, activation: Activation) -> f32 {
        match activation {
            Activation::Clamp(low, high) => value.max(low).min(high),
            Activation::HardSwish => value * (value / 6.0 + 0.5).clamp(0.0, 1.0),
        }
    }

    #[track_caller]
    fn agree(actual: &[f32], expected: &[f32], what: &str) {
        near(actual, expected, 1e-4, what);
    }

    #[track_caller]
    fn near(actual: &[f32], expected: &[f32], most: f32, what: &str) {
        assert_eq!(actual.len(), expected.len());
        for (at, (a, e)) in actual.iter().zip(expected).enumerate() {
            assert!((a - e).abs() < most, "{what} at {at}: {a}, expected {e}");
        }
    }

    fn window(side: usize, kernel: usize, stride: usize, dilation: usize, before: usize) -> Window {
        let reach = (kernel - 1) * dilation + 1;
        let output = (side + 2 * before - reach) / stride + 1;
        Window {
            input: [side, side + 1],
            output: [output, (side + 1 + 2 * before - reach) / stride + 1],
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [dilation; 2],
            before: [before; 2],
        }
    }

    /// The inputs under a window: for each tap inside the image, the tap and the pixel.
    fn taps(window: &Window, y: usize, x: usize) -> Vec<(usize, usize)> {
        let mut taps = Vec::new();
        for tap in 0..window.kernel[0] * window.kernel[1] {
            let (ty, tx) = (tap / window.kernel[1], tap % window.kernel[1]);
            let y = y * window.stride[0] + ty * window.dilation[0];
            let x = x * window.stride[1] + tx * window.dilation[1];
            let (Some(y), Some(x)) = (
                y.checked_sub(window.before[0]),
                x.checked_sub(window.before[1]),
            ) else {
                continue;
            };
            if y < window.input[0] && x < window.input[1] {
                taps.push((tap, y * window.input[1] + x));
            }
        }
        taps
    }

    #[test]
    fn products_equal_plain_sums_at_odd_sizes() {
        in_every_width(|| {
            for activation in [
                Activation::NONE,
                Activation::Clamp(0.0, 0.6),
                Activation::HardSwish,
            ] {
                for (pixels, inputs, outputs) in [
                    (1, 1, 1),
                    (1, 37, 24),
                    (2, 3, 5),
                    (3, 4, 12),
                    (5, 7, 8),
                    (7, 8, 9),
                    (13, 33, 31),
                    (97, 5, 44),
                    (130, 96, 25),
                ] {
                    let (image, residual) = (noise(pixels * inputs), noise(pixels * outputs));
                    let (weights, bias) = (noise(inputs * outputs + 1), noise(outputs));
                    let gemm = Gemm::new(inputs, &bias, |o, row| {
                        row.copy_from_slice(&weights[o * inputs..][..inputs]);
                    });
                    let patches = Patches::pixels(pixels, inputs);
                    for residual in [None, Some(&*residual)] {
                        let mut actual = vec![f32::NAN; pixels * outputs];
                        let output = Output {
                            values: &mut actual,
                            stride: outputs,
                            first: 0,
                            residual,
                            activation,
                        };
                        gemm.run(&image, &patches, output);
                        let expected: Vec<f32> = (0..pixels * outputs)
                            .map(|at| {
                                let (pixel, o) = (at / outputs, at % outputs);
                                let sum: f32 = (0..inputs)
                                    .map(|i| image[pixel * inputs + i] * weights[o * inputs + i])
                                    .sum();
                                let sum = sum + bias[o] + residual.map_or(0.0, |r| r[at]);
                                activate(sum, activation)
                            })
                            .collect();
                        agree(
                            &actual,
                            &expected,
                            &format!("{pixels}×{inputs}×{outputs} {activation:?}"),
                        );
                    }
                }
            }
        })
    }

    /// With as many lanes as this processor has, and with fewer.
    fn in_every_width(test: impl Fn()) {
        #[cfg(target_arch = "x86_64")]
        for most in [Width::Four, Width::Eight, Width::Sixteen] {
            wide::MOST_LANES.set(most);
            test();
        }
        #[cfg(not(target_arch = "x86_64"))]
        test();
    }

    /// The faster tile is the one whose clock, here made up, runs slower.
    fn choose(tall: bool) -> bool {
        let ticks = std::cell::Cell::new(0);
        tune(1, || {
            ticks.set(ticks.get() + 1);
            let slow = if tall { 2 } else { 4 };
            if ticks.get() == slow { 10.0 } else { 0.0 }
        })
    }

    #[test]
    fn the_faster_tile_is_kept_and_both_give_the_same() {
        let (pixels, inputs, outputs) = (53, 17, 44);
        let (image, weights) = (noise(pixels * inputs), noise(inputs * outputs));
        #[cfg(target_arch = "x86_64")]
        wide::MOST_LANES.set(Width::Four);
        let gemm = Gemm::new(inputs, &noise(outputs), |o, row| {
            row.copy_from_slice(&weights[o * inputs..][..inputs]);
        });
        let patches = Patches::pixels(pixels, inputs);
        let run = |tall| {
            assert_eq!(choose(tall), tall);
            let mut values = vec![f32::NAN; pixels * outputs];
            let output = Output::plain(&mut values, outputs);
            gemm.run(&image, &patches, output);
            values
        };
        agree(&run(true), &run(false), "tall and short tiles");
    }

    #[test]
    fn every_half_is_widened_exactly() {
        use tract_onnx::prelude::f16;
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let mut wide = vec![0.0; 1 << 16];
        widen(&bytes, &mut wide);
        for (bits, wide) in (0..=u16::MAX).zip(wide) {
            let expected = f16::from_bits(bits).to_f32();
            let same = wide == expected || wide.is_nan() && expected.is_nan();
            assert!(
                same && wide.is_sign_negative() == expected.is_sign_negative(),
                "{bits:x}"
            );
        }
    }

    #[test]
    fn a_product_leaves_the_channels_of_other_groups_alone() {
        in_every_width(|| {
            let gemm = Gemm::new(2, &[1.0; 3], |_, row| row.fill(0.0));
            let patches = Patches::pixels(2, 2);
            let mut values = [7.0; 12];
            let output = Output {
                values: &mut values,
                stride: 6,
                first: 2,
                residual: None,
                activation: Activation::NONE,
            };
            gemm.run(&[0.0; 4], &patches, output);
            assert_eq!(
                values,
                [7.0, 7.0, 1.0, 1.0, 1.0, 7.0, 7.0, 7.0, 1.0, 1.0, 1.0, 7.0]
            );
        })
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn a_product_does_not_read_beyond_the_image() {
        let gemm = Gemm::new(3, &[0.0], |_, row| row.fill(0.0));
        let patches = Patches {
            output: [2, 2],
            row: 6,
            column: 3,
            runs: vec![0].into(),
            length: 3,
        };
        let mut values = [0.0; 4];
        gemm.run(&[0.0; 11], &patches, Output::plain(&mut values, 1));
    }

    #[test]
    fn depthwise_filters_equal_plain_sums_at_odd_sizes() {
        in_every_width(|| {
            for channels in [1, 4, 6, 13, 32] {
                for (kernel, stride, dilation, before) in [
                    (3, 1, 1, 1),
                    (3, 2, 1, 0),
                    (3, 2, 1, 1),
                    (5, 1, 1, 2),
                    (5, 2, 1, 2),
                    (3, 1, 2, 2),
                    (7, 1, 1, 3),
                    (2, 1, 1, 0),
                ] {
                    for side in [5, 7, 12, 19] {
                        if side + 2 * before <= (kernel - 1) * dilation {
                            continue;
                        }
                        let window = window(side, kernel, stride, dilation, before);
                        let image = noise(side * (side + 1) * channels);
                        let (weights, bias) = (noise(kernel * kernel * channels), noise(channels));
                        let weight = |c: usize, tap: usize| weights[c * kernel * kernel + tap];
                        let filter = Depthwise::new(kernel * kernel, &bias, weight);
                        let [rows, columns] = window.output;
                        let mut actual = vec![f32::NAN; rows * columns * channels];
                        let activation = Activation::Clamp(-0.5, 1.5);
                        filter.run(&image, &window, &mut actual, activation);
                        let mut expected = Vec::new();
                        for pixel in 0..rows * columns {
                            let taps = taps(&window, pixel / columns, pixel % columns);
                            expected.extend((0..channels).map(|c| {
                                let products = taps
                                    .iter()
                                    .map(|&(tap, at)| weight(c, tap) * image[at * channels + c]);
                                activate(bias[c] + products.sum::<f32>(), activation)
                            }));
                        }
                        agree(
                            &actual,
                            &expected,
                            &format!("{channels} channels, {window:?}"),
                        );
                    }
                }
            }
        })
    }

    #[test]
    fn fewer_multiplications_give_the_same_sums() {
        in_every_width(|| {
            for (inputs, outputs) in [(16, 16), (20, 64), (48, 28)] {
                for (side, before) in [(8, 1), (9, 1), (13, 0), (21, 2), (24, 1), (28, 0), (31, 1)]
                {
                    let window = window(side, 3, 1, 1, before);
                    let [rows, columns] = window.output;
                    let image = noise(side * (side + 1) * inputs);
                    let (weights, bias) = (noise(9 * inputs * outputs), noise(outputs));
                    let residual = noise(rows * columns * outputs);
                    let convolution = Winograd::new(window, inputs, &bias, |o, row| {
                        row.copy_from_slice(&weights[o * 9 * inputs..][..9 * inputs]);
                    });
                    for residual in [None, Some(&*residual)] {
                        let activation = Activation::Clamp(-0.5, 1.5);
                        let mut actual = vec![f32::NAN; rows * columns * outputs];
                        let output = Output {
                            values: &mut actual,
                            stride: outputs,
                            first: 0,
                            residual,
                            activation,
                        };
                        convolution.run(&image, output);
                        let mut expected = Vec::new();
                        for pixel in 0..rows * columns {
                            let taps = taps(&window, pixel / columns, pixel % columns);
                            expected.extend((0..outputs).map(|o| {
                                let product = |(tap, at): (usize, usize)| -> f32 {
                                    let weights = &weights[(o * 9 + tap) * inputs..][..inputs];
                                    let image = &image[at * inputs..][..inputs];
                                    weights.iter().zip(image).map(|(w, v)| w * v).sum()
                                };
                                let sum = taps.iter().copied().map(product).sum::<f32>() + bias[o];
                                let at = pixel * outputs + o;
                                activate(sum + residual.map_or(0.0, |r| r[at]), activation)
                            }));
                        }
                        let what = format!("{inputs} → {outputs}, {window:?}");
                        // The constants of tiles of 4×4 are up to 8, and rounding errors grow with them.
                        let most = if side < 24 { 1e-4 } else { 4e-4 };
                        near(&actual, &expected, most, &what);
                    }
                }
            }
        })
    }

    #[test]
    fn pools_leave_the_padding_out() {
        let window = window(7, 3, 2, 1, 1);
        let image: Vec<f32> = noise(7 * 8 * 5).into_iter().map(|v| v - 2.0).collect();
        let [rows, columns] = window.output;
        let mut actual = vec![f32::NAN; rows * columns * 5];
        max_pool(&image, 5, &window, &mut actual);
        let mut expected = Vec::new();
        for pixel in 0..rows * columns {
            let taps = taps(&window, pixel / columns, pixel % columns);
            expected.extend((0..5).map(|c| {
                let values = taps.iter().map(|&(_, at)| image[at * 5 + c]);
                values.fold(f32::NEG_INFINITY, f32::max)
            }));
        }
        agree(&actual, &expected, "pool");
    }

    #[test]
    fn padding_surrounds_the_image() {
        let window = window(2, 3, 1, 1, 1);
        let padded = pad(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 1, &window);
        let expected = [
            0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0,
            0.0, 0.0, 0.0,
        ];
        assert_eq!(padded, expected);
    }
}
