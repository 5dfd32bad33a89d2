//! Image × one filter per channel → image: depthwise convolution, vectors over channels.

use std::array::from_fn;
use std::ops::Range;

#[cfg(any(feature = "compile", test))]
use super::pad;
#[cfg(target_arch = "x86_64")]
use super::wide::{self, Width};
use super::{Activation, F4, Finish, Vector, Window};

/// Weights of a depthwise convolution: the biases, then one row of `channels` per tap, padded to whole
/// vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Depthwise {
    weights: Vec<f32>,
    channels: usize,
    taps: usize,
}

/// Columns that one tile computes at once.
const COLUMNS: usize = 4;

/// Outputs with at least this many columns leave the border to the slow path.
#[cfg(any(feature = "compile", test))]
const SMALL: usize = 32;

impl Depthwise {
    /// Bytes that such weights take.
    pub fn bytes(taps: usize, channels: usize) -> u64 {
        let padded = channels.next_multiple_of(4) as u64;
        padded.saturating_mul(taps as u64 + 1).saturating_mul(4)
    }

    /// Packs `channels × taps` weights, read through `weight(channel, tap)`, with one bias per channel.
    pub fn new(taps: usize, bias: &[f32], weight: impl Fn(usize, usize) -> f32) -> Depthwise {
        let channels = bias.len();
        let padded = channels.next_multiple_of(4);
        let mut weights = Vec::with_capacity(padded * (taps + 1));
        weights.extend(bias);
        weights.resize(padded, 0.0);
        for tap in 0..taps {
            weights.extend((0..channels).map(|channel| weight(channel, tap)));
            weights.resize(padded * (tap + 2), 0.0);
        }
        Depthwise {
            weights,
            channels,
            taps,
        }
    }

    /// Whether an image is padded first: in a small one most columns are near a border, where there are
    /// no tiles.
    #[cfg(any(feature = "compile", test))]
    pub fn pads(window: &Window) -> bool {
        window.output[1] < SMALL && window.is_padded()
    }

    /// Filters an image into `output`.
    ///
    /// # Panics
    /// When image or output are smaller than the window says, or the number of taps differs.
    #[cfg(any(feature = "compile", test))]
    pub fn run(&self, image: &[f32], window: &Window, output: &mut [f32], activation: Activation) {
        assert!(window.input[0] * window.input[1] * self.channels <= image.len());
        if Depthwise::pads(window) {
            let padded = pad(image, self.channels, window);
            let window = window.over_padded();
            return self.run(&padded, &window, output, activation);
        }
        self.run_rows(0..window.output[0], image, window, output, activation);
    }

    /// Filters an image into some rows of the output, which begins with the first of them.
    ///
    /// # Panics
    /// When image or output are smaller than the window says, or the number of taps differs.
    pub fn run_rows(
        &self,
        rows: Range<usize>,
        image: &[f32],
        window: &Window,
        output: &mut [f32],
        activation: Activation,
    ) {
        assert!(rows.end <= window.output[0]);
        assert!(window.input[0] * window.input[1] * self.channels <= image.len());
        assert!(rows.len() * window.output[1] * self.channels <= output.len());
        assert_eq!(window.kernel[0] * window.kernel[1], self.taps);
        let task = Task {
            depthwise: self,
            image,
            window,
            finish: Finish::new(activation),
            activation,
        };
        // SAFETY: `Window::inside` keeps taps within the image, and the sizes were checked above.
        unsafe {
            match (window.kernel[1], window.stride[1], window.dilation[1]) {
                (3, 1, 1) => task.rows::<3, 1>(rows, output),
                (3, 2, 1) => task.rows::<3, 2>(rows, output),
                (5, 1, 1) => task.rows::<5, 1>(rows, output),
                (5, 2, 1) => task.rows::<5, 2>(rows, output),
                (7, 1, 1) => task.rows::<7, 1>(rows, output),
                _ => task.rows::<0, 0>(rows, output),
            }
        }
    }
}

/// [`COLUMNS`] outputs whose windows are inside the image from left to right.
pub(super) struct Columns {
    image: *const f32,
    bias: *const f32,
    weights: *const f32,
    output: *mut f32,
    /// Distance between columns of the image, and of the output.
    channels: usize,
    /// Distance between taps of the weights.
    padded: usize,
    /// Distance between rows of taps in the image.
    row: usize,
    /// Rows of taps.
    taps: usize,
    /// The activation, for vectors of four and for others.
    finish: (Finish, Activation),
}

impl Columns {
    /// `K` columns of the window and step `S`, for the whole vectors of these channels; returns where they end.
    ///
    /// # Safety
    /// The image and the weights are readable for so many rows of taps and these channels, and the output is writable.
    #[inline(always)]
    pub unsafe fn run<V: Vector, const K: usize, const S: usize>(
        &self,
        channels: Range<usize>,
    ) -> usize {
        let end = channels.end / V::LANES * V::LANES;
        for c in (channels.start..end).step_by(V::LANES) {
            unsafe {
                let mut sums = [V::load(self.bias.add(c)); COLUMNS];
                let (mut image, mut weights) = (self.image.add(c), self.weights.add(c));
                for _ in 0..self.taps {
                    let filter: [V; K] = from_fn(|k| V::load(weights.add(k * self.padded)));
                    let mut input = image;
                    for column in 0..(COLUMNS - 1) * S + K {
                        let value = V::load(input);
                        input = input.add(self.channels);
                        for (at, sum) in sums.iter_mut().enumerate() {
                            if (at * S..at * S + K).contains(&column) {
                                *sum = sum.add_product(value, filter[column - at * S]);
                            }
                        }
                    }
                    image = image.add(self.row);
                    weights = weights.add(K * self.padded);
                }
                for (at, sum) in sums.into_iter().enumerate() {
                    sum.finish(self.finish)
                        .store(self.output.add(at * self.channels + c));
                }
            }
        }
        end
    }
}

struct Task<'a> {
    depthwise: &'a Depthwise,
    image: &'a [f32],
    window: &'a Window,
    finish: Finish,
    activation: Activation,
}

impl Task<'_> {
    /// `K` columns of the window and step `S`; `K` = 0: any.
    #[inline(never)]
    unsafe fn rows<const K: usize, const S: usize>(&self, rows: Range<usize>, output: &mut [f32]) {
        let window = self.window;
        let columns = window.output[1];
        let whole = |x: usize| window.inside(1, x) == (0..window.kernel[1]);
        let row = columns * self.depthwise.channels;
        for (y, output) in rows.zip(output.chunks_exact_mut(row)) {
            let taps = window.inside(0, y);
            let mut x = 0;
            while x < columns {
                unsafe {
                    let left = columns - x;
                    // The last tile may compute some columns a second time.
                    let start = x.saturating_sub(COLUMNS.saturating_sub(left));
                    if K > 0
                        && start + COLUMNS <= columns
                        && whole(start)
                        && whole(start + COLUMNS - 1)
                    {
                        self.inner::<K, S>(y, start, taps.clone(), output);
                        x = start + COLUMNS;
                    } else {
                        self.border(y, x, taps.clone(), output);
                        x += 1;
                    }
                }
            }
        }
    }

    /// The first input and the first weight of a window, for the tap rows and columns from here on.
    fn start(&self, y: usize, x: usize, [tap_y, tap_x]: [usize; 2]) -> usize {
        let window = self.window;
        let at = |axis: usize, at: usize, tap: usize| {
            at * window.stride[axis] + tap * window.dilation[axis] - window.before[axis]
        };
        (at(0, y, tap_y) * window.input[1] + at(1, x, tap_x)) * self.depthwise.channels
    }

    /// [`COLUMNS`] outputs whose windows are inside the image from left to right.
    #[inline(always)]
    unsafe fn inner<const K: usize, const S: usize>(
        &self,
        y: usize,
        x: usize,
        taps: Range<usize>,
        output: &mut [f32],
    ) {
        let channels = self.depthwise.channels;
        let padded = channels.next_multiple_of(4);
        if taps.is_empty() {
            return (x..x + COLUMNS)
                .for_each(|x| unsafe { self.border(y, x, taps.clone(), output) });
        }
        let row = self.window.input[1] * self.window.dilation[0] * channels;
        let first = self.start(y, x, [taps.start, 0]);
        unsafe {
            let bias = self.depthwise.weights.as_ptr();
            let tile = Columns {
                image: self.image.as_ptr().add(first),
                bias,
                weights: bias.add((1 + taps.start * K) * padded),
                output: output.as_mut_ptr().add(x * channels),
                channels,
                padded,
                row,
                taps: taps.len(),
                finish: (self.finish, self.activation),
            };
            #[cfg(target_arch = "x86_64")]
            let done = match Width::found() {
                Width::Four => 0,
                width => wide::filter::<K, S>(width, &tile, 0..channels),
            };
            #[cfg(not(target_arch = "x86_64"))]
            let done = 0;
            tile.run::<F4, K, S>(done..channels);
        }
        for at in 0..COLUMNS {
            self.rest(y, x + at, taps.clone(), 0..K, output);
        }
    }

    /// One output whose window may reach outside the image.
    #[inline(never)]
    unsafe fn border(&self, y: usize, x: usize, taps: Range<usize>, output: &mut [f32]) {
        let channels = self.depthwise.channels;
        let padded = channels.next_multiple_of(4);
        let columns = self.window.inside(1, x);
        for c in (0..channels / 4).map(|vector| vector * 4) {
            unsafe {
                let weights = self.depthwise.weights.as_ptr().add(c);
                let mut sum = F4::load(weights);
                for tap_y in taps.clone() {
                    for tap_x in columns.clone() {
                        let at = self.start(y, x, [tap_y, tap_x]) + c;
                        let tap = 1 + tap_y * self.window.kernel[1] + tap_x;
                        let value = F4::load(self.image.as_ptr().add(at));
                        sum = sum.add_product(value, F4::load(weights.add(tap * padded)));
                    }
                }
                let sum = self.finish.apply(sum);
                sum.store(output.as_mut_ptr().add(x * channels + c));
            }
        }
        self.rest(y, x, taps, columns, output);
    }

    /// The channels of one output that do not fill a vector.
    #[inline(always)]
    fn rest(
        &self,
        y: usize,
        x: usize,
        rows: Range<usize>,
        columns: Range<usize>,
        output: &mut [f32],
    ) {
        let channels = self.depthwise.channels;
        let padded = channels.next_multiple_of(4);
        for c in channels / 4 * 4..channels {
            let weights = &self.depthwise.weights[c..];
            let mut sum = weights[0];
            for tap_y in rows.clone() {
                for tap_x in columns.clone() {
                    let tap = 1 + tap_y * self.window.kernel[1] + tap_x;
                    let at = self.start(y, x, [tap_y, tap_x]) + c;
                    sum += self.image[at] * weights[tap * padded];
                }
            }
            let mut lanes = [0.0; 4];
            // SAFETY: four values are stored where four are held.
            unsafe { self.finish.apply(F4::splat(sum)).store(lanes.as_mut_ptr()) };
            output[x * channels + c] = lanes[0];
        }
    }
}
