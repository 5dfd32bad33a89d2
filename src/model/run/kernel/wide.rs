//! Vectors of eight and of sixteen lanes with fused products, for processors that have AVX2 or AVX-512.
//!
//! What must be inlined into a function with these instructions is a loop or a method that is always inlined: a closure
//! is compiled without them, and then every instruction is a call.

use std::arch::x86_64::*;
use std::ops::Range;

use super::depthwise::Columns;
use super::gemm::{Output, Panels, Patches};
use super::{Activation, Finish, Task, Vector};

/// What a processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    Four,
    Eight,
    Sixteen,
}

impl Width {
    /// The widest vectors of this processor.
    pub fn found() -> Width {
        let eight = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let width = match eight {
            true if is_x86_feature_detected!("avx512f") => Width::Sixteen,
            true => Width::Eight,
            false => Width::Four,
        };
        #[cfg(test)]
        let width = width.min(MOST_LANES.get());
        width
    }

    /// Most neighbouring outputs that one tile computes: three vectors.
    pub fn outputs(self) -> usize {
        match self {
            Width::Four => 12,
            Width::Eight => 24,
            Width::Sixteen => 48,
        }
    }
}

#[cfg(test)]
thread_local! {
    pub static MOST_LANES: std::cell::Cell<Width> = const { std::cell::Cell::new(Width::Sixteen) };
}

/// Vectors that are loaded and stored in part, too.
trait Wide: Vector {
    /// The first lanes.
    type Some: Copy;

    /// The first `count` lanes, at most all.
    unsafe fn first(count: usize) -> Self::Some;
    /// The other lanes are 0.
    unsafe fn load_some(from: *const f32, some: Self::Some) -> Self;
    unsafe fn store_some(self, to: *mut f32, some: Self::Some);
}

impl Vector for __m256 {
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self) }
    }
    #[inline(always)]
    fn add(self, other: __m256) -> __m256 {
        unsafe { _mm256_add_ps(self, other) }
    }
    #[inline(always)]
    fn sub(self, other: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(self, other) }
    }
    #[inline(always)]
    fn mul(self, other: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(self, other) }
    }
    #[inline(always)]
    fn div(self, other: __m256) -> __m256 {
        unsafe { _mm256_div_ps(self, other) }
    }
    #[inline(always)]
    fn add_product(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, self) }
    }
    // Where one is NaN, the second operand is taken.
    #[inline(always)]
    fn min(self, limit: __m256) -> __m256 {
        unsafe { _mm256_min_ps(limit, self) }
    }
    #[inline(always)]
    fn max(self, limit: __m256) -> __m256 {
        unsafe { _mm256_max_ps(limit, self) }
    }
    #[inline(always)]
    fn exponents(self) -> __m256 {
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(self))) }
    }
}

impl Wide for __m256 {
    type Some = __m256i;

    #[inline(always)]
    unsafe fn first(count: usize) -> __m256i {
        unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes)
        }
    }
    #[inline(always)]
    unsafe fn load_some(from: *const f32, some: __m256i) -> __m256 {
        unsafe { _mm256_maskload_ps(from, some) }
    }
    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, some: __m256i) {
        unsafe { _mm256_maskstore_ps(to, some, self) }
    }
}

impl Vector for __m512 {
    const LANES: usize = 16;

    #[inline(always)]
    fn splat(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self) }
    }
    #[inline(always)]
    fn add(self, other: __m512) -> __m512 {
        unsafe { _mm512_add_ps(self, other) }
    }
    #[inline(always)]
    fn sub(self, other: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(self, other) }
    }
    #[inline(always)]
    fn mul(self, other: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(self, other) }
    }
    #[inline(always)]
    fn div(self, other: __m512) -> __m512 {
        unsafe { _mm512_div_ps(self, other) }
    }
    #[inline(always)]
    fn add_product(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, self) }
    }
    // Where one is NaN, the second operand is taken.
    #[inline(always)]
    fn min(self, limit: __m512) -> __m512 {
        unsafe { _mm512_min_ps(limit, self) }
    }
    #[inline(always)]
    fn max(self, limit: __m512) -> __m512 {
        unsafe { _mm512_max_ps(limit, self) }
    }
    #[inline(always)]
    fn exponents(self) -> __m512 {
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(self))) }
    }
}

impl Wide for __m512 {
    type Some = __mmask16;

    #[inline(always)]
    unsafe fn first(count: usize) -> __mmask16 {
        ((1u32 << count) - 1) as __mmask16
    }
    #[inline(always)]
    unsafe fn load_some(from: *const f32, some: __mmask16) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(some, from) }
    }
    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, some: __mmask16) {
        unsafe { _mm512_mask_storeu_ps(to, some, self) }
    }
}

/// Runs a task with vectors of eight.
///
/// # Safety
/// The processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn task<T: Task>(task: T) -> T::Made {
    task.run::<__m256>()
}

/// All groups for the pixels from `first` to `end`; the output begins with pixel `start`.
///
/// # Safety
/// The processor has vectors of `width`, of more than four lanes, and the panels were packed for them; the patch of every
/// pixel lies in `image`, and its outputs in `output`.
pub unsafe fn run(
    width: Width,
    panels: &Panels,
    [start, begin, end]: [usize; 3],
    image: &[f32],
    patches: &Patches,
    output: &mut Output,
) {
    let mut tiles = Tiles {
        weights: panels.values.as_ptr(),
        row: 0,
        outputs: 0,
        patches,
        image: image.as_ptr(),
        finish: (Finish::new(output.activation), output.activation),
        values: output.values.as_mut_ptr(),
        residual: output.residual.map(<[f32]>::as_ptr),
        stride: output.stride,
        first: output.first,
        pixel: 0,
        end: end - start,
        y: 0,
        x: 0,
    };
    for group in panels.groups() {
        tiles.row = group.width;
        tiles.outputs = group.outputs;
        tiles.pixel = begin - start;
        (tiles.y, tiles.x) = (begin / patches.output[1], begin % patches.output[1]);
        unsafe {
            match width {
                Width::Sixteen => match group.outputs.div_ceil(16) {
                    1 => sixteen::<1>(&mut tiles),
                    2 => sixteen::<2>(&mut tiles),
                    _ => sixteen::<3>(&mut tiles),
                },
                _ => match group.outputs.div_ceil(8) {
                    1 => eight_by_eight(&mut tiles),
                    2 => eight_by_six(&mut tiles),
                    _ => eight_by_four(&mut tiles),
                },
            }
            tiles.weights = tiles.weights.add((panels.inputs + 1) * group.width);
        }
        tiles.first += group.outputs;
    }
}

// Of 32 registers, at most 24 hold sums, three weights and one an input; of 16, at most 12.

#[target_feature(enable = "avx512f")]
unsafe fn sixteen<const C: usize>(tiles: &mut Tiles) {
    unsafe { tiles.all::<__m512, 8, C>() }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn eight_by_eight(tiles: &mut Tiles) {
    unsafe { tiles.all::<__m256, 8, 1>() }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn eight_by_six(tiles: &mut Tiles) {
    unsafe { tiles.all::<__m256, 6, 2>() }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn eight_by_four(tiles: &mut Tiles) {
    unsafe { tiles.all::<__m256, 4, 3>() }
}

/// One group of outputs.
struct Tiles<'a> {
    weights: *const f32,
    /// Distance between the weights of neighbouring inputs.
    row: usize,
    /// As many as fill the vectors, the last one in part.
    outputs: usize,
    patches: &'a Patches,
    image: *const f32,
    finish: (Finish, Activation),
    values: *mut f32,
    residual: Option<*const f32>,
    stride: usize,
    first: usize,
    pixel: usize,
    end: usize,
    y: usize,
    x: usize,
}

impl Tiles<'_> {
    #[inline(always)]
    unsafe fn all<V: Wide, const R: usize, const C: usize>(&mut self) {
        unsafe {
            match self.outputs == C * V::LANES {
                true => self.pixels::<V, R, C, true>(),
                false => self.pixels::<V, R, C, false>(),
            }
        }
    }

    #[inline(always)]
    unsafe fn pixels<V: Wide, const R: usize, const C: usize, const FULL: bool>(&mut self) {
        unsafe {
            while self.pixel + R <= self.end {
                self.tile::<V, R, C, FULL>();
            }
            if R > 4 && self.pixel + 4 <= self.end {
                self.tile::<V, 4, C, FULL>();
            }
            if R > 2 && self.pixel + 2 <= self.end {
                self.tile::<V, 2, C, FULL>();
            }
            if self.pixel < self.end {
                self.tile::<V, 1, C, FULL>();
            }
        }
    }

    /// The next `R` pixels × the outputs of the group, in `C` vectors.
    #[inline(always)]
    unsafe fn tile<V: Wide, const R: usize, const C: usize, const FULL: bool>(&mut self) {
        unsafe {
            let some = V::first(self.outputs - (C - 1) * V::LANES);
            let mut starts = [self.image; R];
            for start in &mut starts {
                *start = start.add(self.y * self.patches.row + self.x * self.patches.column);
                self.x += 1;
                if self.x == self.patches.output[1] {
                    (self.y, self.x) = (self.y + 1, 0);
                }
            }
            let mut from = self.weights;
            let mut sums = [row::<V, C, FULL>(from, some); R];
            for &run in &*self.patches.runs {
                for input in 0..self.patches.length {
                    from = from.add(self.row);
                    let weights = row::<V, C, FULL>(from, some);
                    for r in 0..R {
                        let value = V::splat(*starts[r].add(run + input));
                        for c in 0..C {
                            sums[r][c] = sums[r][c].add_product(value, weights[c]);
                        }
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                let at = (self.pixel + r) * self.stride + self.first;
                for (c, mut sum) in sums.into_iter().enumerate() {
                    let at = at + c * V::LANES;
                    let whole = FULL || c + 1 < C;
                    if let Some(residual) = self.residual {
                        let from = residual.add(at);
                        sum = sum.add(match whole {
                            true => V::load(from),
                            false => V::load_some(from, some),
                        });
                    }
                    let sum = sum.finish(self.finish);
                    match whole {
                        true => sum.store(self.values.add(at)),
                        false => sum.store_some(self.values.add(at), some),
                    }
                }
            }
            self.pixel += R;
        }
    }
}

/// A row of weights; of the last vector only some lanes, unless it is full.
#[inline(always)]
unsafe fn row<V: Wide, const C: usize, const FULL: bool>(
    from: *const f32,
    some: V::Some,
) -> [V; C] {
    unsafe {
        let mut row = [V::splat(0.0); C];
        for (c, vector) in row.iter_mut().enumerate() {
            let from = from.add(c * V::LANES);
            *vector = match FULL || c + 1 < C {
                true => V::load(from),
                false => V::load_some(from, some),
            };
        }
        row
    }
}

/// [`Columns::run`] for the channels that fill vectors of sixteen, and then of eight.
///
/// # Safety
/// The processor has vectors of this width, of more than four lanes; otherwise that of [`Columns::run`].
pub unsafe fn filter<const K: usize, const S: usize>(
    width: Width,
    columns: &Columns,
    channels: Range<usize>,
) -> usize {
    unsafe {
        let done = match width {
            Width::Sixteen => filter_sixteen::<K, S>(columns, channels.clone()),
            _ => channels.start,
        };
        filter_eight::<K, S>(columns, done..channels.end)
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn filter_sixteen<const K: usize, const S: usize>(
    columns: &Columns,
    channels: Range<usize>,
) -> usize {
    unsafe { columns.run::<__m512, K, S>(channels) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn filter_eight<const K: usize, const S: usize>(
    columns: &Columns,
    channels: Range<usize>,
) -> usize {
    unsafe { columns.run::<__m256, K, S>(channels) }
}
