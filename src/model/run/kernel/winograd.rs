//! 3×3 convolution by fewer multiplications, for tiles of 2×2 or of 4×4 outputs.
//!
//! This is F(2×2, 3×3) and F(4×4, 3×3) of A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks"
//! (CVPR 2016): Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A, where the products of all tiles at one of the places are a matrix
//! product over the channels.

use std::array::from_fn;
use std::marker::PhantomData;
use std::ops::Range;

use super::{Activation, F4, Finish, Gemm, Output, Patches, Task, Vector, Window, widest};

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
    /// Whether such a convolution is faster this way: weights take 16/9 of the memory, or four times as much for large
    /// images, and have to be read again for every block of tiles.
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
    pub fn bytes(window: &Window, inputs: usize, outputs: usize) -> [u64; 2] {
        let [product, moment] = Gemm::bytes(inputs as u64, outputs);
        let places = product.saturating_mul(places(window) as u64);
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
        places(window) * (block * (inputs + outputs) + 2 * LINE) + inputs
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
        let count = places(&window);
        let mut places = vec![0.0; count * outputs * inputs];
        let mut tile = [0.0; 36];
        let tile = &mut tile[..count];
        for output in 0..outputs {
            fill(output, &mut row);
            for input in 0..inputs {
                let taps: [[f32; 3]; 3] =
                    from_fn(|y| from_fn(|x| row[(3 * y + x) * inputs + input]));
                match height(&window) {
                    4 => filter::<Large, 6, 4>(taps, tile),
                    _ => filter::<Small, 4, 2>(taps, tile),
                }
                for (place, value) in tile.iter().enumerate() {
                    places[(place * outputs + output) * inputs + input] = *value;
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

    /// Rows of tiles, and values of each in the output.
    pub fn turns(&self) -> [usize; 2] {
        let [rows, columns] = self.window.output;
        let height = height(&self.window);
        [rows.div_ceil(height), height * columns * self.outputs()]
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
        let [rows, _] = self.turns();
        self.run_rows(0..rows, image, output, &mut scratch);
    }

    /// Computes some rows of tiles; the first in the output and in its residual is the first of `tiles`.
    ///
    /// # Panics
    /// When the image, the output or the scratch is smaller than the window says, or the output is larger than this
    /// convolution's.
    pub fn run_rows(
        &self,
        tiles: Range<usize>,
        image: &[f32],
        output: Output,
        scratch: &mut [f32],
    ) {
        match height(&self.window) {
            4 => self.run_tiles::<Large, 6, 4>(tiles, image, output, scratch),
            _ => self.run_tiles::<Small, 4, 2>(tiles, image, output, scratch),
        }
    }

    fn run_tiles<T: Tile<SIDE, MADE>, const SIDE: usize, const MADE: usize>(
        &self,
        down: Range<usize>,
        image: &[f32],
        output: Output,
        scratch: &mut [f32],
    ) {
        let (inputs, outputs) = (self.inputs, self.outputs());
        let [rows, columns] = self.window.output;
        let [top, bottom] = [down.start, down.end].map(|tile| (MADE * tile).min(rows));
        assert!(down.end <= rows.div_ceil(MADE));
        let volume = (bottom - top) * columns * outputs;
        // Every pointer below lies within these.
        assert!(self.window.input.iter().product::<usize>() * inputs <= image.len());
        assert_eq!((output.first, output.stride), (0, outputs));
        assert!(volume <= output.values.len());
        assert!(output.residual.is_none_or(|r| volume <= r.len()));

        let across = columns.div_ceil(MADE);
        let [begin, tiles] = [down.start * across, down.end * across];
        let block = block(&self.window, inputs, outputs);
        let to = To {
            values: output.values.as_mut_ptr(),
            residual: output.residual.map(<[f32]>::as_ptr),
            finish: (Finish::new(output.activation), output.activation),
            row: top,
        };
        let places = SIDE * SIDE;
        let apart = [block * inputs + LINE, block * outputs + LINE];
        let (zeros, scratch) = scratch.split_at_mut(inputs);
        let (spread, scratch) = scratch.split_at_mut(places * apart[0]);
        let sums = &mut scratch[..places * apart[1]];
        zeros.fill(0.0);
        let corner = |tile: usize| [MADE * (tile / across), MADE * (tile % across)];
        let mut first = begin;
        while first < tiles {
            let count = block.min(tiles - first);
            for at in 0..count {
                // The assertions above bound the image, and `spread` holds `block` tiles.
                widest(Spread {
                    tile: PhantomData::<T>,
                    pixels: self.pixels(image, zeros, corner(first + at)),
                    to: spread[at * inputs..].as_mut_ptr(),
                    apart: apart[0],
                    inputs,
                });
            }
            let patches = Patches::pixels(count, inputs);
            for (place, product) in self.products.iter().enumerate() {
                let output =
                    Output::plain(&mut sums[place * apart[1]..][..count * outputs], outputs);
                product.run(&spread[place * apart[0]..], &patches, output);
            }
            for at in 0..count {
                let [y, x] = corner(first + at);
                // The assertions above bound the output, and `sums` holds `block` tiles.
                widest(Gather {
                    tile: PhantomData::<T>,
                    from: sums[at * outputs..].as_ptr(),
                    apart: apart[1],
                    bias: &self.bias,
                    to: &to,
                    first: ((y - to.row) * columns + x) * outputs,
                    row: columns * outputs,
                    made: [rows - y, columns - x].map(|left| left.min(MADE)),
                });
            }
            first += count;
        }
    }

    /// Where the inputs of the tile lie whose first output is at `corner`.
    fn pixels<const SIDE: usize>(
        &self,
        image: &[f32],
        zeros: &[f32],
        corner: [usize; 2],
    ) -> [[*const f32; SIDE]; SIDE] {
        let Window { input, before, .. } = self.window;
        let inside = |axis: usize, at: usize| {
            let place = (corner[axis] + at).checked_sub(before[axis])?;
            (place < input[axis]).then_some(place)
        };
        from_fn(|y| {
            from_fn(|x| match (inside(0, y), inside(1, x)) {
                (Some(y), Some(x)) => image[(y * input[1] + x) * self.inputs..].as_ptr(),
                _ => zeros.as_ptr(),
            })
        })
    }
}

/// Bᵀ d B of a tile, for every input.
struct Spread<T, const SIDE: usize, const MADE: usize> {
    tile: PhantomData<T>,
    /// Each readable for `inputs` values.
    pixels: [[*const f32; SIDE]; SIDE],
    /// Writable for as many, and so at each place.
    to: *mut f32,
    /// Distance between places.
    apart: usize,
    inputs: usize,
}

impl<T: Tile<SIDE, MADE>, const SIDE: usize, const MADE: usize> Spread<T, SIDE, MADE> {
    #[inline(always)]
    fn some<V: Vector>(&self, first: usize) -> usize {
        let end = self.inputs / V::LANES * V::LANES;
        for channel in (first..end).step_by(V::LANES) {
            // SAFETY: so many channels are left, here and at every place.
            unsafe {
                let mut rows = [[V::splat(0.0); SIDE]; SIDE];
                for (row, pixels) in rows.iter_mut().zip(&self.pixels) {
                    for (value, pixel) in row.iter_mut().zip(pixels) {
                        *value = V::load(pixel.add(channel));
                    }
                    *row = T::spread(*row);
                }
                for x in 0..SIDE {
                    let mut column = [V::splat(0.0); SIDE];
                    for (value, row) in column.iter_mut().zip(&rows) {
                        *value = row[x];
                    }
                    for (y, value) in T::spread(column).into_iter().enumerate() {
                        value.store(self.to.add((SIDE * y + x) * self.apart + channel));
                    }
                }
            }
        }
        end
    }
}

impl<T: Tile<SIDE, MADE>, const SIDE: usize, const MADE: usize> Task for Spread<T, SIDE, MADE> {
    type Made = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let end = self.some::<V>(0);
        if V::LANES > F4::LANES {
            self.some::<F4>(end);
        }
    }
}

/// Aᵀ m A of a tile, with bias, residual and activation, for every output.
struct Gather<'a, T, const SIDE: usize, const MADE: usize> {
    tile: PhantomData<T>,
    /// Readable for as many values as there are biases, and so at each place.
    from: *const f32,
    /// Distance between places.
    apart: usize,
    bias: &'a [f32],
    to: &'a To,
    /// Where its first output lies.
    first: usize,
    /// Distance between rows of the output.
    row: usize,
    /// Rows and columns of outputs.
    made: [usize; 2],
}

impl<T: Tile<SIDE, MADE>, const SIDE: usize, const MADE: usize> Gather<'_, T, SIDE, MADE> {
    #[inline(always)]
    fn some<V: Vector>(&self, first: usize) -> usize {
        let outputs = self.bias.len();
        let end = outputs / V::LANES * V::LANES;
        for channel in (first..end).step_by(V::LANES) {
            // SAFETY: so many channels are left, in every pixel and at every place.
            unsafe {
                let mut part = [[V::splat(0.0); MADE]; SIDE];
                for (x, part) in part.iter_mut().enumerate() {
                    let mut column = [V::splat(0.0); SIDE];
                    for (y, value) in column.iter_mut().enumerate() {
                        *value = V::load(self.from.add((SIDE * y + x) * self.apart + channel));
                    }
                    *part = T::gather(column);
                }
                let bias = V::load(self.bias.as_ptr().add(channel));
                for y in 0..self.made[0] {
                    let mut row = [V::splat(0.0); SIDE];
                    for (value, part) in row.iter_mut().zip(&part) {
                        *value = part[y];
                    }
                    for (x, sum) in T::gather(row).into_iter().enumerate().take(self.made[1]) {
                        let at = self.first + y * self.row + x * outputs + channel;
                        let mut sum = sum.add(bias);
                        if let Some(residual) = self.to.residual {
                            sum = sum.add(V::load(residual.add(at)));
                        }
                        sum.finish(self.to.finish).store(self.to.values.add(at));
                    }
                }
            }
        }
        end
    }
}

impl<T: Tile<SIDE, MADE>, const SIDE: usize, const MADE: usize> Task for Gather<'_, T, SIDE, MADE> {
    type Made = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let end = self.some::<V>(0);
        if V::LANES > F4::LANES {
            self.some::<F4>(end);
        }
    }
}

/// Rows and columns of outputs of a tile.
fn height(window: &Window) -> usize {
    match window.output[0].min(window.output[1]) >= LARGE {
        true => 4,
        false => 2,
    }
}

/// Inputs of a tile, and products.
fn places(window: &Window) -> usize {
    (height(window) + 2).pow(2)
}

/// Tiles that are worked on at once.
fn block(window: &Window, inputs: usize, outputs: usize) -> usize {
    let [down, across] = window.output.map(|side| side.div_ceil(height(window)));
    let block = (BLOCK / (places(window) * (inputs + outputs))).next_multiple_of(8);
    // Each block reads all weights again.
    block.max(16).min(down * across)
}

struct To {
    values: *mut f32,
    residual: Option<*const f32>,
    finish: (Finish, Activation),
    /// The row with which both begin.
    row: usize,
}

/// The matrices of a tile with `SIDE` rows and columns of inputs and `MADE` of outputs, each times a column.
trait Tile<const SIDE: usize, const MADE: usize> {
    /// G.
    fn stretch(taps: [f32; 3]) -> [f32; SIDE];
    /// Bᵀ.
    fn spread<V: Vector>(inputs: [V; SIDE]) -> [V; SIDE];
    /// Aᵀ.
    fn gather<V: Vector>(sums: [V; SIDE]) -> [V; MADE];
}

/// F(2×2, 3×3): 16 multiplications instead of 36.
struct Small;

impl Tile<4, 2> for Small {
    fn stretch([a, b, c]: [f32; 3]) -> [f32; 4] {
        [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c]
    }
    #[inline(always)]
    fn spread<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 4] {
        [a.sub(c), b.add(c), c.sub(b), b.sub(d)]
    }
    #[inline(always)]
    fn gather<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 2] {
        [a.add(b).add(c), b.sub(c).sub(d)]
    }
}

/// F(4×4, 3×3): 36 multiplications instead of 144, at the points 0, ±1, ±2.
struct Large;

impl Tile<6, 4> for Large {
    fn stretch([a, b, c]: [f32; 3]) -> [f32; 6] {
        let [even, odd] = [a / 24.0 + c / 6.0, b / 12.0];
        [
            a / 4.0,
            (a + b + c) / -6.0,
            (a - b + c) / -6.0,
            even + odd,
            even - odd,
            c,
        ]
    }
    #[inline(always)]
    fn spread<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 6] {
        let (two, four, five) = (V::splat(2.0), V::splat(-4.0), V::splat(-5.0));
        let [even, odd] = [e.add_product(c, four), d.add_product(b, four)];
        let [flat, steep] = [e.sub(c), d.sub(b).mul(two)];
        [
            e.add_product(c, five).sub(a.mul(four)),
            even.add(odd),
            even.sub(odd),
            flat.add(steep),
            flat.sub(steep),
            f.add_product(d, five).sub(b.mul(four)),
        ]
    }
    #[inline(always)]
    fn gather<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 4] {
        let (two, four, eight) = (V::splat(2.0), V::splat(4.0), V::splat(8.0));
        let [near, far] = [b.add(c), d.add(e)];
        let [slope, steep] = [b.sub(c), d.sub(e)];
        [
            a.add(near).add(far),
            slope.add_product(steep, two),
            near.add_product(far, four),
            slope.add_product(steep, eight).add(f),
        ]
    }
}

/// G g Gᵀ, row by row.
fn filter<T: Tile<SIDE, MADE>, const SIDE: usize, const MADE: usize>(
    taps: [[f32; 3]; 3],
    to: &mut [f32],
) {
    let rows = taps.map(T::stretch);
    for x in 0..SIDE {
        for (y, value) in T::stretch(rows.map(|row| row[x])).into_iter().enumerate() {
            to[SIDE * y + x] = value;
        }
    }
}

/// Fewest rows and columns of the output.
const FEWEST: usize = 8;

/// Fewest for tiles of 4×4: their weights take 2.25 times the memory.
const LARGE: usize = 24;

/// Values of transformed inputs and sums that are worked on before the next block of tiles.
const BLOCK: usize = 48 * 1024;

/// Values of a cache line: places that are a power of two apart would share one.
const LINE: usize = 16;
