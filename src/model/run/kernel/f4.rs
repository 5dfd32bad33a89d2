//! Four f32 lanes: the vectors that every processor of its kind has, and an array elsewhere.

use super::{Activation, Finish};

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod lanes {
    use core::arch::wasm32::*;

    pub type Lanes = v128;

    #[inline(always)]
    pub fn splat(value: f32) -> Lanes {
        f32x4_splat(value)
    }
    #[inline(always)]
    pub unsafe fn load(from: *const f32) -> Lanes {
        unsafe { v128_load(from.cast()) }
    }
    #[inline(always)]
    pub unsafe fn load_splat(from: *const f32) -> Lanes {
        unsafe { v128_load32_splat(from.cast()) }
    }
    #[inline(always)]
    pub unsafe fn store(to: *mut f32, value: Lanes) {
        unsafe { v128_store(to.cast(), value) }
    }
    #[inline(always)]
    pub fn add(a: Lanes, b: Lanes) -> Lanes {
        f32x4_add(a, b)
    }
    #[inline(always)]
    pub fn sub(a: Lanes, b: Lanes) -> Lanes {
        f32x4_sub(a, b)
    }
    #[inline(always)]
    pub fn mul(a: Lanes, b: Lanes) -> Lanes {
        f32x4_mul(a, b)
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    pub fn add_product(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
        f32x4_relaxed_madd(a, b, sum)
    }
    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    pub fn add_product(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
        f32x4_add(sum, f32x4_mul(a, b))
    }
    #[inline(always)]
    pub fn div(a: Lanes, b: Lanes) -> Lanes {
        f32x4_div(a, b)
    }
    #[inline(always)]
    pub fn exponents(a: Lanes) -> Lanes {
        i32x4_shl(a, 23)
    }
    #[inline(always)]
    pub fn interleave(a: Lanes, b: Lanes) -> [Lanes; 2] {
        [
            i32x4_shuffle::<0, 4, 1, 5>(a, b),
            i32x4_shuffle::<2, 6, 3, 7>(a, b),
        ]
    }
    // The pseudo-minimum and -maximum are one instruction on x86; the others are seven.
    #[inline(always)]
    pub fn min(a: Lanes, b: Lanes) -> Lanes {
        f32x4_pmin(a, b)
    }
    #[inline(always)]
    pub fn max(a: Lanes, b: Lanes) -> Lanes {
        f32x4_pmax(a, b)
    }
}

#[cfg(target_arch = "x86_64")]
mod lanes {
    use core::arch::x86_64::*;

    pub type Lanes = __m128;

    #[inline(always)]
    pub fn splat(value: f32) -> Lanes {
        unsafe { _mm_set1_ps(value) }
    }
    #[inline(always)]
    pub unsafe fn load(from: *const f32) -> Lanes {
        unsafe { _mm_loadu_ps(from) }
    }
    #[inline(always)]
    pub unsafe fn load_splat(from: *const f32) -> Lanes {
        unsafe { _mm_load1_ps(from) }
    }
    #[inline(always)]
    pub unsafe fn store(to: *mut f32, value: Lanes) {
        unsafe { _mm_storeu_ps(to, value) }
    }
    #[inline(always)]
    pub fn add(a: Lanes, b: Lanes) -> Lanes {
        unsafe { _mm_add_ps(a, b) }
    }
    #[inline(always)]
    pub fn sub(a: Lanes, b: Lanes) -> Lanes {
        unsafe { _mm_sub_ps(a, b) }
    }
    #[inline(always)]
    pub fn mul(a: Lanes, b: Lanes) -> Lanes {
        unsafe { _mm_mul_ps(a, b) }
    }
    #[inline(always)]
    pub fn add_product(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
        add(sum, mul(a, b))
    }
    #[inline(always)]
    pub fn div(a: Lanes, b: Lanes) -> Lanes {
        unsafe { _mm_div_ps(a, b) }
    }
    #[inline(always)]
    pub fn exponents(a: Lanes) -> Lanes {
        unsafe { _mm_castsi128_ps(_mm_slli_epi32::<23>(_mm_castps_si128(a))) }
    }
    #[inline(always)]
    pub fn interleave(a: Lanes, b: Lanes) -> [Lanes; 2] {
        unsafe { [_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b)] }
    }
    // Where one is NaN, the second operand is taken.
    #[inline(always)]
    pub fn min(a: Lanes, b: Lanes) -> Lanes {
        unsafe { _mm_min_ps(b, a) }
    }
    #[inline(always)]
    pub fn max(a: Lanes, b: Lanes) -> Lanes {
        unsafe { _mm_max_ps(b, a) }
    }
}

#[cfg(target_arch = "aarch64")]
mod lanes {
    use core::arch::aarch64::*;

    pub type Lanes = float32x4_t;

    #[inline(always)]
    pub fn splat(value: f32) -> Lanes {
        unsafe { vdupq_n_f32(value) }
    }
    #[inline(always)]
    pub unsafe fn load(from: *const f32) -> Lanes {
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    pub unsafe fn load_splat(from: *const f32) -> Lanes {
        unsafe { vld1q_dup_f32(from) }
    }
    #[inline(always)]
    pub unsafe fn store(to: *mut f32, value: Lanes) {
        unsafe { vst1q_f32(to, value) }
    }
    #[inline(always)]
    pub fn add(a: Lanes, b: Lanes) -> Lanes {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    pub fn sub(a: Lanes, b: Lanes) -> Lanes {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    pub fn mul(a: Lanes, b: Lanes) -> Lanes {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    pub fn add_product(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
        unsafe { vfmaq_f32(sum, a, b) }
    }
    #[inline(always)]
    pub fn div(a: Lanes, b: Lanes) -> Lanes {
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    pub fn exponents(a: Lanes) -> Lanes {
        unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<23>(vreinterpretq_u32_f32(a))) }
    }
    #[inline(always)]
    pub fn interleave(a: Lanes, b: Lanes) -> [Lanes; 2] {
        unsafe { [vzip1q_f32(a, b), vzip2q_f32(a, b)] }
    }
    // Not vminq and vmaxq, whose result is NaN where one of both is.
    #[inline(always)]
    pub fn min(a: Lanes, b: Lanes) -> Lanes {
        unsafe { vbslq_f32(vcltq_f32(b, a), b, a) }
    }
    #[inline(always)]
    pub fn max(a: Lanes, b: Lanes) -> Lanes {
        unsafe { vbslq_f32(vcltq_f32(a, b), b, a) }
    }
}

#[cfg(not(any(
    all(target_arch = "wasm32", target_feature = "simd128"),
    target_arch = "x86_64",
    target_arch = "aarch64"
)))]
mod lanes {
    use std::array::from_fn;

    pub type Lanes = [f32; 4];

    #[inline(always)]
    pub fn splat(value: f32) -> Lanes {
        [value; 4]
    }
    #[inline(always)]
    pub unsafe fn load(from: *const f32) -> Lanes {
        unsafe { from.cast::<Lanes>().read_unaligned() }
    }
    #[inline(always)]
    pub unsafe fn load_splat(from: *const f32) -> Lanes {
        [unsafe { *from }; 4]
    }
    #[inline(always)]
    pub unsafe fn store(to: *mut f32, value: Lanes) {
        unsafe { to.cast::<Lanes>().write_unaligned(value) }
    }
    #[inline(always)]
    pub fn add(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|lane| a[lane] + b[lane])
    }
    #[inline(always)]
    pub fn sub(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|lane| a[lane] - b[lane])
    }
    #[inline(always)]
    pub fn mul(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|lane| a[lane] * b[lane])
    }
    #[inline(always)]
    pub fn add_product(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
        from_fn(|lane| sum[lane] + a[lane] * b[lane])
    }
    #[inline(always)]
    pub fn div(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|lane| a[lane] / b[lane])
    }
    #[inline(always)]
    pub fn exponents(a: Lanes) -> Lanes {
        a.map(|value| f32::from_bits(value.to_bits() << 23))
    }
    #[inline(always)]
    pub fn interleave(a: Lanes, b: Lanes) -> [Lanes; 2] {
        [[a[0], b[0], a[1], b[1]], [a[2], b[2], a[3], b[3]]]
    }
    #[inline(always)]
    pub fn min(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|lane| if b[lane] < a[lane] { b[lane] } else { a[lane] })
    }
    #[inline(always)]
    pub fn max(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|lane| if a[lane] < b[lane] { b[lane] } else { a[lane] })
    }
}

/// Neighbouring values that are worked on at once. Vectors wider than four are only made where the processor has them.
pub trait Vector: Copy {
    const LANES: usize;
    fn splat(value: f32) -> Self;
    /// # Safety
    /// `from` must be readable for so many values; it need not be aligned to more than one.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// `to` must be writable for so many values; it need not be aligned to more than one.
    unsafe fn store(self, to: *mut f32);
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// `self + a · b`, rounded once or twice.
    fn add_product(self, a: Self, b: Self) -> Self;
    /// Where `self` is NaN, `min` and `max` keep it.
    fn min(self, limit: Self) -> Self;
    fn max(self, limit: Self) -> Self;
    /// The lowest bits of each value, as the exponent of another.
    fn exponents(self) -> Self;

    /// The first values of `from`.
    #[inline(always)]
    fn read(from: &[f32]) -> Self {
        assert!(from.len() >= Self::LANES);
        // SAFETY: so many values are there.
        unsafe { Self::load(from.as_ptr()) }
    }

    /// As the first values of `to`.
    #[inline(always)]
    fn write(self, to: &mut [f32]) {
        assert!(to.len() >= Self::LANES);
        // SAFETY: there is room for so many values.
        unsafe { self.store(to.as_mut_ptr()) }
    }

    /// What a sum becomes; vectors of four have the limits ready.
    #[inline(always)]
    fn finish(self, (_, activation): (Finish, Activation)) -> Self {
        match activation {
            Activation::NONE => self,
            Activation::Clamp(low, high) => self.max(Self::splat(low)).min(Self::splat(high)),
            Activation::HardSwish => {
                let gate = Self::splat(0.5).add_product(self, Self::splat(1.0 / 6.0));
                self.mul(gate.max(Self::splat(0.0)).min(Self::splat(1.0)))
            }
        }
    }
}

impl Vector for F4 {
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> F4 {
        F4(lanes::splat(value))
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> F4 {
        F4(unsafe { lanes::load(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { lanes::store(to, self.0) }
    }
    #[inline(always)]
    fn finish(self, (finish, _): (Finish, Activation)) -> F4 {
        finish.apply(self)
    }
    #[inline(always)]
    fn add(self, other: F4) -> F4 {
        F4(lanes::add(self.0, other.0))
    }
    #[inline(always)]
    fn sub(self, other: F4) -> F4 {
        F4(lanes::sub(self.0, other.0))
    }
    #[inline(always)]
    fn mul(self, other: F4) -> F4 {
        F4(lanes::mul(self.0, other.0))
    }
    #[inline(always)]
    fn div(self, other: F4) -> F4 {
        F4(lanes::div(self.0, other.0))
    }
    #[inline(always)]
    fn add_product(self, a: F4, b: F4) -> F4 {
        F4(lanes::add_product(self.0, a.0, b.0))
    }
    #[inline(always)]
    fn min(self, limit: F4) -> F4 {
        F4(lanes::min(self.0, limit.0))
    }
    #[inline(always)]
    fn max(self, limit: F4) -> F4 {
        F4(lanes::max(self.0, limit.0))
    }
    #[inline(always)]
    fn exponents(self) -> F4 {
        F4(lanes::exponents(self.0))
    }
}

/// Work on vectors of any width. What it calls must always be inlined, and no closure may handle vectors: it would be
/// compiled without the instructions for wide ones.
pub trait Task {
    type Made;
    fn run<V: Vector>(self) -> Self::Made;
}

/// Runs a task with vectors of eight where the processor has them, otherwise of four.
pub fn widest<T: Task>(task: T) -> T::Made {
    #[cfg(target_arch = "x86_64")]
    if super::wide::Width::found() != super::wide::Width::Four {
        // SAFETY: the processor has them.
        return unsafe { super::wide::task(task) };
    }
    task.run::<F4>()
}

/// Four f32 values that are worked on at once. Where a value is NaN, `min` and `max` keep it.
#[derive(Clone, Copy)]
pub struct F4(lanes::Lanes);

impl F4 {
    /// # Safety
    /// `from` must be readable for one value.
    #[inline(always)]
    pub unsafe fn load_splat(from: *const f32) -> F4 {
        F4(unsafe { lanes::load_splat(from) })
    }

    /// Rows → columns.
    #[inline(always)]
    pub fn transposed([a, b, c, d]: [F4; 4]) -> [F4; 4] {
        let [[a, c], [b, d]] = [(a, c), (b, d)].map(|(x, y)| lanes::interleave(x.0, y.0));
        let [[a, b], [c, d]] = [(a, b), (c, d)].map(|(x, y)| lanes::interleave(x, y));
        [F4(a), F4(b), F4(c), F4(d)]
    }
}
