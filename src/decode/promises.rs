//! What a file promises in places that its decoder makes room for before it looks further.

use image::ImageFormat;

use super::{Limits, check_size, damaged, format};
use crate::error::Result;

/// Bytes of a value, by the number of its type (TIFF 6.0, section 2).
const SIZES: [u64; 14] = [1, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4];

/// A line of a TIFF file's first directory.
pub struct Entry {
    /// Where it stands.
    pub at: usize,
    pub tag: u16,
    kind: u64,
    count: u64,
}

/// The first directory of a TIFF file, as far as it goes.
pub fn entries(bytes: &[u8]) -> impl Iterator<Item = Entry> {
    let little = bytes.starts_with(b"II");
    let number = move |at: usize, length: usize| -> Option<u64> {
        let part = bytes.get(at..at.checked_add(length)?)?;
        let join = |n: u64, byte: &u8| n << 8 | u64::from(*byte);
        Some(if little {
            part.iter().rev().fold(0, join)
        } else {
            part.iter().fold(0, join)
        })
    };
    let table = number(4, 4).unwrap_or(0) as usize;
    (0..number(table, 2).unwrap_or(0) as usize).map_while(move |line| {
        let at = table + 2 + line * 12;
        Some(Entry {
            at,
            tag: number(at, 2)? as u16,
            kind: number(at + 2, 2)?,
            count: number(at + 4, 4)?,
        })
    })
}

/// # Errors
/// [`Error::ImageCorrupt`](crate::Error::ImageCorrupt) when a tag has more values than the file can
/// hold: the decoder would allocate 32 bytes for each.
pub fn check_tiff(bytes: &[u8]) -> Result<()> {
    for Entry { kind, count, .. } in entries(bytes) {
        let size = SIZES.get(kind as usize).copied().unwrap_or(1);
        if count * size > bytes.len() as u64 {
            let name = format::name(ImageFormat::Tiff);
            return Err(damaged(
                name,
                &format_args!("a tag promises {count} values"),
            ));
        }
    }
    Ok(())
}

/// # Errors
/// [`Error::ImageCorrupt`](crate::Error::ImageCorrupt) when a part is longer than the file, and
/// [`Error::ImageTooLarge`](crate::Error::ImageTooLarge) when the frame within is larger than
/// allowed, whatever the file's own header says.
pub fn check_webp(bytes: &[u8], limits: &Limits) -> Result<()> {
    let side = |at: usize| -> Option<u32> {
        let bytes = bytes.get(at..at + 2)?;
        Some(u32::from(u16::from_le_bytes([bytes[0], bytes[1]]) & 0x3fff))
    };
    let mut at = 12;
    while let Some(&[a, b, c, d]) = bytes.get(at + 4..at + 8) {
        match &bytes[at..at + 4] {
            // RFC 6386, section 9.1: three bytes of flags, three of a start code.
            b"VP8 " => {
                if let (Some(width), Some(height)) = (side(at + 14), side(at + 16)) {
                    check_size(width, height, limits)?;
                }
            }
            // An animation's frame has its chunks within, after 16 bytes.
            b"ANMF" => {
                at += 24;
                continue;
            }
            _ => {}
        }
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > bytes.len() - at - 8 {
            let name = format::name(ImageFormat::WebP);
            return Err(damaged(name, &"a part is longer than the file"));
        }
        at += 8 + length + (length & 1);
    }
    Ok(())
}
