//! Vectors of eight and of sixteen lanes with fused products, for processors that have AVX2 or AVX-512.
//!
//! Weights are packed as for four lanes, so that plans are the same everywhere: a tile of a product takes two or four panels
//! at once.

use std::arch::x86_64::*;
use std::array::from_fn;
use std::ops::Range;

use super::depthwise::{Columns, Lanes};
use super::gemm::{Output, Panels, Patches};
use super::{F4, Finish};

/// Most outputs of a tile: four panels of twelve.
const MOST: usize = 48;

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
}

#[cfg(test)]
thread_local! {
    pub static MOST_LANES: std::cell::Cell<Width> = const { std::cell::Cell::new(Width::Sixteen) };
}

/// All panels for the pixels from `first` to `end`; the output begins with pixel `start`.
///
/// # Safety
/// The processor has such vectors, of more than four lanes; the patch of every pixel lies in `image`, and its outputs in
/// `output`.
pub unsafe fn run(
    width: Width,
    panels: &Panels,
    pixels: [usize; 3],
    image: &[f32],
    patches: &Patches,
    output: &mut Output,
) {
    unsafe {
        match width {
            Width::Sixteen => sixteen(panels, pixels, image, patches, output),
            _ => eight(panels, pixels, image, patches, output),
        }
    }
}

/// `P` neighbouring panels.
struct Tiles<'a, const P: usize> {
    /// Where there are fewer, the last one again.
    weights: [*const f32; P],
    /// Outputs of each.
    counts: [usize; P],
    patches: &'a Patches,
    image: *const f32,
    finish: Finish,
    values: *mut f32,
    residual: Option<*const f32>,
    stride: usize,
    first: usize,
    pixel: usize,
    y: usize,
    x: usize,
}

impl<'a, const P: usize> Tiles<'a, P> {
    fn new(
        panels: &Panels,
        first: usize,
        [start, begin, _]: [usize; 3],
        image: &[f32],
        patches: &'a Patches,
        output: &mut Output,
    ) -> Tiles<'a, P> {
        let width = Panels::width(panels.outputs);
        let left = panels.outputs - first;
        let counts = from_fn(|panel| left.saturating_sub(panel * width).min(width));
        let volume = (panels.inputs + 1) * width;
        let last = (panels.outputs - 1) / width;
        let panel = |at: usize| panels.values[at.min(last) * volume..][..volume].as_ptr();
        Tiles {
            weights: from_fn(|at| panel(first / width + at)),
            counts,
            patches,
            image: image.as_ptr(),
            finish: Finish::new(output.activation),
            values: output.values.as_mut_ptr(),
            residual: output.residual.map(<[f32]>::as_ptr),
            stride: output.stride,
            first: output.first + first,
            pixel: begin - start,
            y: begin / patches.output[1],
            x: begin % patches.output[1],
        }
    }

    /// Where the patches of the next pixels begin.
    #[inline(always)]
    unsafe fn starts<const R: usize>(&mut self) -> [*const f32; R] {
        from_fn(|_| {
            let start = self.y * self.patches.row + self.x * self.patches.column;
            self.x += 1;
            if self.x == self.patches.output[1] {
                (self.y, self.x) = (self.y + 1, 0);
            }
            unsafe { self.image.add(start) }
        })
    }

    #[inline(always)]
    unsafe fn all<V: Vector<P>, const R: usize, const C: usize>(&mut self, count: usize) {
        unsafe {
            while self.pixel + R <= count {
                self.tile::<V, R, C>();
            }
            while self.pixel < count {
                self.tile::<V, 1, C>();
            }
        }
    }

    /// The next `R` pixels × `4 C` outputs of each panel.
    #[inline(always)]
    unsafe fn tile<V: Vector<P>, const R: usize, const C: usize>(&mut self) {
        unsafe {
            let starts: [*const f32; R] = self.starts();
            let mut from = self.weights;
            let mut sums = [V::row::<C>(from); R];
            for &run in &*self.patches.runs {
                let mut inputs = starts.map(|start| start.add(run));
                for _ in 0..self.patches.length {
                    from = from.map(|from| from.add(4 * C));
                    let weights = V::row::<C>(from);
                    for r in 0..R {
                        let input = V::splat(inputs[r]);
                        for c in 0..C {
                            sums[r][c] = sums[r][c].add_product(input, weights[c]);
                        }
                        inputs[r] = inputs[r].add(1);
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                let mut lanes = [0.0f32; MOST];
                V::store(sums, lanes.as_mut_ptr());
                self.put(r, 4 * C, lanes.as_ptr());
            }
            self.pixel += R;
        }
    }

    /// The sums of one pixel: those of the panels one after the other, each of this width.
    #[inline(always)]
    unsafe fn put(&self, r: usize, width: usize, sums: *const f32) {
        let at = (self.pixel + r) * self.stride + self.first;
        for (panel, count) in self.counts.into_iter().enumerate() {
            let at = at + panel * width;
            let whole = count / 4 * 4;
            unsafe {
                let sums = sums.add(panel * width);
                for lane in (0..whole).step_by(4) {
                    let mut sum = F4::load(sums.add(lane));
                    if let Some(residual) = self.residual {
                        sum = sum.add(F4::load(residual.add(at + lane)));
                    }
                    self.finish.apply(sum).store(self.values.add(at + lane));
                }
                if whole == count {
                    continue;
                }
                let mut rest = [0.0; 4];
                let left = count - whole;
                if let Some(residual) = self.residual {
                    let from = residual.add(at + whole);
                    from.copy_to_nonoverlapping(rest.as_mut_ptr(), left);
                }
                let sum = F4::load(sums.add(whole)).add(F4::load(rest.as_ptr()));
                self.finish.apply(sum).store(rest.as_mut_ptr());
                let to = self.values.add(at + whole);
                rest.as_ptr().copy_to_nonoverlapping(to, left);
            }
        }
    }
}

/// Vectors that hold a part of a row of `P` panels.
trait Vector<const P: usize>: Copy {
    /// A row of each panel, of `4 C` values, in `C` vectors.
    unsafe fn row<const C: usize>(from: [*const f32; P]) -> [Self; C];
    unsafe fn splat(from: *const f32) -> Self;
    /// `self + a · b`, rounded once.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// The rows one after the other.
    unsafe fn store<const C: usize>(row: [Self; C], to: *mut f32);
}

/// The first eight of each panel, and then the last four of both.
impl Vector<2> for __m256 {
    #[inline(always)]
    unsafe fn row<const C: usize>(from: [*const f32; 2]) -> [__m256; C] {
        from_fn(|c| unsafe {
            match c {
                2 => _mm256_set_m128(_mm_loadu_ps(from[1].add(8)), _mm_loadu_ps(from[0].add(8))),
                _ => _mm256_loadu_ps(from[c]),
            }
        })
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> __m256 {
        unsafe { _mm256_broadcast_ss(&*from) }
    }
    #[inline(always)]
    unsafe fn add_product(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, self) }
    }
    #[inline(always)]
    unsafe fn store<const C: usize>(row: [__m256; C], to: *mut f32) {
        unsafe {
            _mm256_storeu_ps(to, row[0]);
            _mm256_storeu_ps(to.add(4 * C), row[1]);
            if C == 3 {
                _mm_storeu_ps(to.add(8), _mm256_castps256_ps128(row[2]));
                _mm_storeu_ps(to.add(20), _mm256_extractf128_ps::<1>(row[2]));
            }
        }
    }
}

/// The first eight of each panel, two panels in a vector, and then the last four of all.
impl Vector<4> for __m512 {
    #[inline(always)]
    unsafe fn row<const C: usize>(from: [*const f32; 4]) -> [__m512; C] {
        from_fn(|c| unsafe {
            match c {
                2 => {
                    let [a, b, d, e] = from.map(|from| _mm_loadu_ps(from.add(8)));
                    let all = _mm512_insertf32x4::<1>(_mm512_castps128_ps512(a), b);
                    _mm512_insertf32x4::<3>(_mm512_insertf32x4::<2>(all, d), e)
                }
                _ => {
                    let low =
                        _mm512_castps_pd(_mm512_castps256_ps512(_mm256_loadu_ps(from[2 * c])));
                    let high = _mm256_castps_pd(_mm256_loadu_ps(from[2 * c + 1]));
                    _mm512_castpd_ps(_mm512_insertf64x4::<1>(low, high))
                }
            }
        })
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> __m512 {
        unsafe { _mm512_set1_ps(*from) }
    }
    #[inline(always)]
    unsafe fn add_product(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, self) }
    }
    #[inline(always)]
    unsafe fn store<const C: usize>(row: [__m512; C], to: *mut f32) {
        unsafe {
            for (c, &eights) in row.iter().enumerate().take(2) {
                let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(eights));
                _mm256_storeu_ps(to.add(8 * c * C), _mm512_castps512_ps256(eights));
                _mm256_storeu_ps(to.add(8 * c * C + 4 * C), _mm256_castpd_ps(high));
            }
            if C == 3 {
                _mm_storeu_ps(to.add(8), _mm512_castps512_ps128(row[2]));
                _mm_storeu_ps(to.add(20), _mm512_extractf32x4_ps::<1>(row[2]));
                _mm_storeu_ps(to.add(32), _mm512_extractf32x4_ps::<2>(row[2]));
                _mm_storeu_ps(to.add(44), _mm512_extractf32x4_ps::<3>(row[2]));
            }
        }
    }
}

// Of 16 registers, 12 or 12 hold sums, C weights, and one an input; of 32, 24 hold sums.

#[target_feature(enable = "avx2,fma")]
unsafe fn eight(
    panels: &Panels,
    pixels: [usize; 3],
    image: &[f32],
    patches: &Patches,
    output: &mut Output,
) {
    unsafe { groups::<__m256, 2, 6, 4>(panels, pixels, image, patches, output) }
}

#[target_feature(enable = "avx512f")]
unsafe fn sixteen(
    panels: &Panels,
    pixels: [usize; 3],
    image: &[f32],
    patches: &Patches,
    output: &mut Output,
) {
    unsafe { groups::<__m512, 4, 12, 8>(panels, pixels, image, patches, output) }
}

/// `TWO` pixels at a time with two vectors a row, `THREE` with three.
#[inline(always)]
unsafe fn groups<V: Vector<P>, const P: usize, const TWO: usize, const THREE: usize>(
    panels: &Panels,
    pixels: [usize; 3],
    image: &[f32],
    patches: &Patches,
    output: &mut Output,
) {
    let width = Panels::width(panels.outputs);
    for first in (0..panels.outputs).step_by(P * width) {
        let mut tiles = Tiles::<P>::new(panels, first, pixels, image, patches, output);
        let count = pixels[2] - pixels[0];
        unsafe {
            match width {
                12 => tiles.all::<V, THREE, 3>(count),
                _ => tiles.all::<V, TWO, 2>(count),
            }
        }
    }
}

impl Lanes for __m256 {
    const COUNT: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn add_product(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, self) }
    }
    #[inline(always)]
    unsafe fn finish(self, finish: Finish, to: *mut f32) {
        let mut lanes = [0.0f32; 8];
        unsafe {
            _mm256_storeu_ps(lanes.as_mut_ptr(), self);
            for half in [0, 4] {
                finish
                    .apply(F4::load(lanes.as_ptr().add(half)))
                    .store(to.add(half));
            }
        }
    }
}

/// [`Columns::run`] for the channels that fill vectors of eight.
///
/// # Safety
/// The processor has AVX2 and FMA; otherwise that of [`Columns::run`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn filter<const K: usize, const S: usize>(
    columns: &Columns,
    channels: Range<usize>,
) -> usize {
    unsafe { columns.run::<__m256, K, S>(channels) }
}
