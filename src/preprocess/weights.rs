//! What a pixel after a resize is made of, in fixed point.

/// Fraction bits of a weight: 32 less 8 of a pixel, less 2 for filters with negative parts.
pub const PRECISION: u32 = 22;
pub const HALF: i32 = 1 << (PRECISION - 1);

/// Red, green and blue, interleaved.
pub const CHANNELS: usize = 3;

/// What one output pixel is made of: the source pixels from `start` on, times these weights.
pub struct Weights {
    pub start: usize,
    pub values: Vec<i32>,
}

pub fn to_u8(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
