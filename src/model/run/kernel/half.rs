//! FP16 → FP32, without FP16 arithmetic, which wasm does not have.

/// Widens little-endian IEEE 754 half precision; exact, infinities and NaN included.
///
/// # Panics
/// When there are not two bytes for each value.
pub fn widen(bytes: &[u8], to: &mut [f32]) {
    assert_eq!(bytes.len(), to.len() * 2);
    // Bits are shifted into place; the product makes up for the difference of the exponents' biases,
    // and is exact for subnormal numbers too.
    const SCALE: f32 = f32::from_bits((127 + 127 - 15) << 23);
    for (to, bytes) in to.iter_mut().zip(bytes.chunks_exact(2)) {
        let half = u32::from(u16::from_le_bytes([bytes[0], bytes[1]]));
        let magnitude = (half & 0x7fff) << 13;
        let value = (f32::from_bits(magnitude) * SCALE).to_bits();
        // The largest exponent stands for infinities and NaN.
        let special = if magnitude >= 0x7c00 << 13 {
            0x7f80_0000
        } else {
            0
        };
        *to = f32::from_bits(value | special | (half & 0x8000) << 16);
    }
}
