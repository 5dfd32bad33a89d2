//! 3×3 convolution by fewer multiplications: a tile of 2×2 outputs takes 16 of them instead of 36.
//!
//! This is F(2×2, 3×3) of A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks"
//! (CVPR 2016): Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A, where the products of all tiles at one of the 16 places
//! are a matrix product over the channels.

use std::array::from_fn;
use std::ops::Range;

use super::{F4, Finish, Gemm, Output, Patches, Vector, Window};

/// Side of the inputs of a tile.
const SIDE: usize = 4;
const PLACES: usize = SIDE * SIDE;

/// Transformed weights of one convolution, and where its window moves.
#[derive(Debug, Clone, PartialEq)]
pub struct Winograd {
    /// For each place of a tile, row by row.
    products: Vec<Gemm>,
    bias: Vec<f32>,
    inputs: usize,
    window: Window,
}

impl Winograd {
    /// Whether such a convolution is faster this way: weights take 16/9 of the memory, and have to be read
    /// again for every block of tiles.
    pub fn suits(window: &Window, inputs: usize, outputs: usize) -> bool {
        let &Window {
            output: [rows, columns],
            kernel,
            stride,
            dilation,
            ..
        } = window;
        (kernel, stride, dilation) == ([3; 2], [1; 2], [1; 2])
            && inputs.is_multiple_of(4)
            && outputs.is_multiple_of(4)
            && inputs.min(outputs) >= 16
            && rows.min(columns) >= FEWEST
    }

    /// Bytes that such weights take, and bytes that transforming them takes.
    pub fn bytes(inputs: usize, outputs: usize) -> [u64; 2] {
        let [product, moment] = Gemm::bytes(inputs as u64, outputs);
        let places = product.saturating_mul(PLACES as u64);
        let row = inputs as u64 * 36;
        [places + outputs as u64 * 4, places + moment + row]
    }

    /// Bytes that a run takes meanwhile.
    #[cfg(any(feature = "compile", test))]
    pub fn scratch(window: &Window, inputs: usize, outputs: usize) -> u64 {
        Winograd::values(window, inputs, outputs) as u64 * 4
    }

    /// Values that a run takes meanwhile.
    pub fn values(window: &Window, inputs: usize, outputs: usize) -> usize {
        let block = block(window, inputs, outputs);
        PLACES * (block * (inputs + outputs) + 2 * LINE) + inputs
    }

    /// Transforms the weights; `fill(output, row)` writes those of one output, tap by tap, and within each
    /// tap the inputs.
    ///
    /// # Panics
    /// When [`Winograd::suits`] returns false.
    pub fn new(
        window: Window,
        inputs: usize,
        bias: &[f32],
        mut fill: impl FnMut(usize, &mut [f32]),
    ) -> Winograd {
        let outputs = bias.len();
        assert!(Winograd::suits(&window, inputs, outputs));
        let mut row = vec![0.0; 9 * inputs];
        let mut places = vec![0.0; PLACES * outputs * inputs];
        for output in 0..outputs {
            fill(output, &mut row);
            for input in 0..inputs {
                let taps: [[f32; 3]; 3] =
                    from_fn(|y| from_fn(|x| row[(3 * y + x) * inputs + input]));
                for (place, value) in filter(taps).into_iter().flatten().enumerate() {
                    places[(place * outputs + output) * inputs + input] = value;
                }
            }
        }
        let products = places.chunks_exact(outputs * inputs).map(|place| {
            Gemm::new(inputs, &vec![0.0; outputs], |output, row| {
                row.copy_from_slice(&place[output * inputs..][..inputs]);
            })
        });
        Winograd {
            products: products.collect(),
            bias: bias.to_vec(),
            inputs,
            window,
        }
    }

    /// Number of sums per pixel.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// One whose weights are not read yet.
    pub fn unread(window: Window, inputs: usize, outputs: usize) -> Winograd {
        Winograd {
            products: Vec::new(),
            bias: vec![0.0; outputs],
            inputs,
            window,
        }
    }

    /// Number of channels of the image.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Computes all pixels.
    ///
    /// # Panics
    /// Those of [`Winograd::run_rows`].
    #[cfg(any(feature = "compile", test))]
    pub fn run(&self, image: &[f32], output: Output) {
        let mut scratch = vec![0.0; Winograd::values(&self.window, self.inputs, self.outputs())];
        let rows = self.window.output[0].div_ceil(2);
        self.run_rows(0..rows, image, output, &mut scratch);
    }

    /// Computes some pairs of rows; the first in the output and in its residual is the first of `pairs`.
    ///
    /// # Panics
    /// When the image, the output or the scratch is smaller than the window says, or the output is larger than this
    /// convolution's.
    pub fn run_rows(
        &self,
        pairs: Range<usize>,
        image: &[f32],
        output: Output,
        scratch: &mut [f32],
    ) {
        let (inputs, outputs) = (self.inputs, self.outputs());
        let [rows, columns] = self.window.output;
        assert!(pairs.end <= rows.div_ceil(2));
        let volume = ((2 * pairs.end).min(rows) - (2 * pairs.start).min(rows)) * columns * outputs;
        // Every pointer below lies within these.
        assert!(self.window.input.iter().product::<usize>() * inputs <= image.len());
        assert_eq!((output.first, output.stride), (0, outputs));
        assert!(volume <= output.values.len());
        assert!(output.residual.is_none_or(|r| volume <= r.len()));

        let across = columns.div_ceil(2);
        let [begin, tiles] = [pairs.start * across, pairs.end * across];
        let block = block(&self.window, inputs, outputs);
        let to = To {
            values: output.values.as_mut_ptr(),
            residual: output.residual.map(<[f32]>::as_ptr),
            finish: Finish::new(output.activation),
            row: 2 * pairs.start,
        };
        let apart = [block * inputs + LINE, block * outputs + LINE];
        let (zeros, scratch) = scratch.split_at_mut(inputs);
        let (spread, scratch) = scratch.split_at_mut(PLACES * apart[0]);
        let sums = &mut scratch[..PLACES * apart[1]];
        zeros.fill(0.0);
        let mut first = begin;
        while first < tiles {
            let count = block.min(tiles - first);
            for at in 0..count {
                let corner = [2 * ((first + at) / across), 2 * ((first + at) % across)];
                // SAFETY: the assertions above bound the image; `spread` holds `block` tiles.
                unsafe { self.spread(image, zeros, corner, spread, [at, apart[0]]) }
            }
            let patches = Patches::pixels(count, inputs);
            for (place, product) in self.products.iter().enumerate() {
                let output =
                    Output::plain(&mut sums[place * apart[1]..][..count * outputs], outputs);
                product.run(&spread[place * apart[0]..], &patches, output);
            }
            for at in 0..count {
                let corner = [2 * ((first + at) / across), 2 * ((first + at) % across)];
                // SAFETY: the assertions above bound the output; `sums` holds `block` tiles.
                unsafe { self.gather(sums, [at, apart[1]], corner, &to) }
            }
            first += count;
        }
    }

    /// Bᵀ d B of the tile whose first output is at `corner`, for every input.
    ///
    /// # Safety
    /// `image` is as large as the window says, and `to` holds `PLACES × block` times the inputs, with
    /// `at` in the block.
    unsafe fn spread(
        &self,
        image: &[f32],
        zeros: &[f32],
        corner: [usize; 2],
        to: &mut [f32],
        [at, apart]: [usize; 2],
    ) {
        let Window { input, before, .. } = self.window;
        let inside = |axis: usize, at: usize| {
            let place = (corner[axis] + at).checked_sub(before[axis])?;
            (place < input[axis]).then_some(place)
        };
        let pixels: [[*const f32; SIDE]; SIDE] = from_fn(|y| {
            from_fn(|x| match (inside(0, y), inside(1, x)) {
                (Some(y), Some(x)) => image[(y * input[1] + x) * self.inputs..].as_ptr(),
                _ => zeros.as_ptr(),
            })
        });
        unsafe {
            let to = to.as_mut_ptr().add(at * self.inputs);
            for channel in (0..self.inputs).step_by(4) {
                let rows = pixels.map(|row| spread(row.map(|pixel| F4::load(pixel.add(channel)))));
                for x in 0..SIDE {
                    let column = spread(rows.map(|row| row[x]));
                    for (y, value) in column.into_iter().enumerate() {
                        value.store(to.add((SIDE * y + x) * apart + channel));
                    }
                }
            }
        }
    }

    /// Aᵀ m A of a tile, with bias, residual and activation, for every output.
    ///
    /// # Safety
    /// `from` holds `PLACES × block` times the outputs, with `at` in the block, and what `to` points at is
    /// as large as the window says.
    unsafe fn gather(&self, from: &[f32], [at, apart]: [usize; 2], corner: [usize; 2], to: &To) {
        let outputs = self.outputs();
        let [rows, columns] = self.window.output;
        let first = ((corner[0] - to.row) * columns + corner[1]) * outputs;
        let (below, right) = (corner[0] + 1 < rows, corner[1] + 1 < columns);
        unsafe {
            let from = from.as_ptr().add(at * outputs);
            for channel in (0..outputs).step_by(4) {
                let sum = |place: usize| F4::load(from.add(place * apart + channel));
                let halves: [[F4; 2]; SIDE] = from_fn(|x| gather(from_fn(|y| sum(SIDE * y + x))));
                let bias = F4::load(self.bias.as_ptr().add(channel));
                for y in 0..1 + usize::from(below) {
                    let row = gather(halves.map(|half| half[y]));
                    for (x, sum) in row.into_iter().enumerate().take(1 + usize::from(right)) {
                        let at = first + (y * columns + x) * outputs + channel;
                        let mut sum = sum.add(bias);
                        if let Some(residual) = to.residual {
                            sum = sum.add(F4::load(residual.add(at)));
                        }
                        to.finish.apply(sum).store(to.values.add(at));
                    }
                }
            }
        }
    }
}

/// Tiles that are worked on at once.
fn block(window: &Window, inputs: usize, outputs: usize) -> usize {
    let [rows, columns] = window.output;
    let tiles = rows.div_ceil(2) * columns.div_ceil(2);
    let block = (BLOCK / (PLACES * (inputs + outputs))).next_multiple_of(8);
    // Each block reads all weights again.
    block.max(16).min(tiles)
}

struct To {
    values: *mut f32,
    residual: Option<*const f32>,
    finish: Finish,
    /// The row with which both begin.
    row: usize,
}

/// G g Gᵀ.
fn filter(taps: [[f32; 3]; 3]) -> [[f32; SIDE]; SIDE] {
    let stretch = |[a, b, c]: [f32; 3]| [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c];
    let rows = taps.map(stretch);
    let columns: [[f32; SIDE]; SIDE] = from_fn(|x| stretch(rows.map(|row| row[x])));
    from_fn(|y| columns.map(|column| column[y]))
}

/// Bᵀ.
#[inline(always)]
fn spread([a, b, c, d]: [F4; SIDE]) -> [F4; SIDE] {
    [a.sub(c), b.add(c), c.sub(b), b.sub(d)]
}

/// Aᵀ.
#[inline(always)]
fn gather([a, b, c, d]: [F4; SIDE]) -> [F4; 2] {
    [a.add(b).add(c), b.sub(c).sub(d)]
}

/// Fewest rows and columns of the output.
const FEWEST: usize = 8;

/// Values of transformed inputs and sums that are worked on before the next block of tiles.
const BLOCK: usize = 48 * 1024;

/// Values of a cache line: places that are a power of two apart would share one.
const LINE: usize = 16;
