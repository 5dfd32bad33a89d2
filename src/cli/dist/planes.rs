//! weights → the same bytes, smaller than `.br` or `.gz` make them, for pages to undo (`www/worker/planes.js`).
//!
//! The low byte of a number in FP16 is noise, which nothing makes smaller, and hides how few values the high byte has.
//! So the even and the odd bytes of each piece of [`PIECE`] bytes are put apart, and each half is a block of its own in a
//! zlib stream: what every browser undoes by itself.

use std::io::{Result, Write};

use flate2::{Compression, write::ZlibEncoder};

/// Bytes whose even and odd ones are put apart; the same in `www/worker/planes.js`. Of weights, a small piece is likely to
/// be of one tensor, and a large one takes fewer tables of codes.
const PIECE: usize = 16384;

/// The planes of a file, if they are at least a twentieth smaller than it is.
pub fn planes(bytes: &[u8]) -> Option<Vec<u8>> {
    let planes = compressed(bytes).ok()?;
    (planes.len() < bytes.len() / 20 * 19).then_some(planes)
}

fn compressed(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut writer = ZlibEncoder::new(Vec::new(), Compression::new(9));
    for piece in bytes.chunks(PIECE) {
        for first in 0..2 {
            let plane: Vec<u8> = piece.iter().skip(first).step_by(2).copied().collect();
            writer.write_all(&plane)?;
            // Ends the block, so that the next has codes of its own.
            writer.flush()?;
        }
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn even_and_odd_bytes_are_apart() {
        let bytes: Vec<u8> = (0..PIECE + 5).map(|at| (at % 2 * 7) as u8).collect();
        let mut apart = Vec::new();
        flate2::read::ZlibDecoder::new(&*planes(&bytes).unwrap())
            .read_to_end(&mut apart)
            .unwrap();
        let runs = [PIECE / 2, PIECE / 2, 3, 2];
        let expected: Vec<u8> = runs
            .iter()
            .enumerate()
            .flat_map(|(run, &count)| vec![(run % 2 * 7) as u8; count])
            .collect();
        assert_eq!(apart, expected);
    }

    #[test]
    fn noise_has_none() {
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(3 * PIECE)
        .collect();
        assert_eq!(planes(&noise), None);
    }
}
