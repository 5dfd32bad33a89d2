//! What a file claims about sizes for which its decoder allocates memory before it looks further.

use image::ImageFormat;

use super::{Limits, check_size, cut, format};
use crate::error::Result;

/// # Errors
/// [`Error::ImageCut`](crate::Error::ImageCut) when a part is longer than the file, and
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
            return Err(cut(format::name(ImageFormat::WebP), None));
        }
        at += 8 + length + (length & 1);
    }
    Ok(())
}

/// # Errors
/// [`Error::ImageTooLarge`](crate::Error::ImageTooLarge) when the header of a format that only browsers read, AVIF,
/// HEIC or JPEG XL, promises more pixels than allowed.
pub fn check_foreign(bytes: &[u8], limits: &Limits) -> Result<()> {
    for codestream in jpeg_xl(bytes) {
        if let Some((width, height)) = jpeg_xl_size(codestream) {
            check_size(width, height, limits)?;
        }
    }
    if bytes.get(4..8) != Some(b"ftyp") {
        return Ok(());
    }
    let big = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
    for (kind, content) in boxes(bytes) {
        // ISO/IEC 23008-12, 6.5.3: after the name version and flags, then width and height in four bytes each.
        // ISO/IEC 14496-12, 12.1.3: after the name of a sample's format 24 bytes, then both in two bytes each.
        let (names, at, length): (&[&[u8]], _, _) = match kind {
            b"meta" => (&[b"ispe"], 8, 4),
            b"moov" => (&[b"av01", b"hvc1", b"hev1"], 28, 2),
            _ => continue,
        };
        for (place, _) in content
            .windows(4)
            .enumerate()
            .filter(|(_, name)| names.contains(name))
        {
            let side = |from: usize| Some(big(content.get(place + from..place + from + length)?));
            if let (Some(width @ 1..), Some(height @ 1..)) = (side(at), side(at + length)) {
                check_size(width, height, limits)?;
            }
        }
    }
    Ok(())
}

/// The boxes of an ISO base media file, by name (ISO/IEC 14496-12, 4.2).
fn boxes(bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (size, after) = rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_first_chunk::<4>()?;
        let (head, size) = match (u32::from_be_bytes(*size), after.first_chunk()) {
            (0, _) => (8, rest.len()),
            (1, Some(size)) => (16, usize::try_from(u64::from_be_bytes(*size)).ok()?),
            (size, _) => (8, size as usize),
        };
        let content = rest.get(head..size.min(rest.len()))?;
        rest = &rest[size.min(rest.len())..];
        Some((kind, content))
    })
}

/// What may begin with the header of a JPEG XL picture, which is in a box or alone (ISO/IEC 18181-2).
fn jpeg_xl(bytes: &[u8]) -> Vec<&[u8]> {
    if bytes.starts_with(b"\xff\x0a") {
        return vec![bytes];
    }
    if !bytes.starts_with(b"\0\0\0\x0cJXL ") {
        return Vec::new();
    }
    boxes(bytes)
        .filter_map(|(kind, content)| match kind {
            b"jxlc" => Some(content),
            // The number of the part comes first.
            b"jxlp" => content.get(4..),
            _ => None,
        })
        .filter(|content| content.starts_with(b"\xff\x0a"))
        .collect()
}

/// ISO/IEC 18181-1, annex D.2: bits from the lowest on, after a signature of two bytes.
fn jpeg_xl_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut left = u128::from_le_bytes(*bytes.get(2..)?.first_chunk()?);
    let mut take = |bits: u32| {
        let value = left & ((1 << bits) - 1);
        left >>= bits;
        value as u32
    };
    let small = take(1) == 1;
    let side = |take: &mut dyn FnMut(u32) -> u32| match small {
        true => (take(5) + 1) * 8,
        false => match take(2) {
            0 => take(9) + 1,
            1 => take(13) + 1,
            2 => take(18) + 1,
            _ => take(30) + 1,
        },
    };
    let height = side(&mut take);
    let width = match take(3) {
        0 => side(&mut take),
        ratio => {
            const RATIOS: [(u64, u64); 7] =
                [(1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1)];
            let (over, under) = RATIOS[ratio as usize - 1];
            u32::try_from(u64::from(height) * over / under).ok()?
        }
    };
    Some((width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        pixels: 64_000_000,
        bytes: 1 << 20,
    };

    #[track_caller]
    fn refused(bytes: &[u8], size: &str) {
        let error = check_foreign(bytes, &LIMITS).unwrap_err();
        assert_eq!(error.code(), "image-too-large");
        assert!(error.to_string().contains(size), "{error}");
    }

    fn part(kind: &[u8], content: &[u8]) -> Vec<u8> {
        [&(8 + content.len() as u32).to_be_bytes(), kind, content].concat()
    }

    #[test]
    fn pictures_that_only_a_browser_reads_have_a_size() {
        let side = 16_384u32.to_be_bytes();
        let size = part(b"ispe", &[&[0; 4][..], &side, &side].concat());
        let start = part(b"ftyp", b"avif\0\0\0\0");
        refused(
            &[&start[..], &part(b"meta", &size)].concat(),
            "16384 × 16384",
        );
        let sample = [&[0; 24][..], &[0xff, 0xfe, 0xff, 0xfd]].concat();
        refused(
            &[&start[..], &part(b"moov", &part(b"av01", &sample))].concat(),
            "65534 × 65533",
        );
        // What only looks like a size, in the pixels.
        check_foreign(&[&start[..], &part(b"mdat", &size)].concat(), &LIMITS).unwrap();
        // Cut anywhere.
        let file = [&start[..], &part(b"meta", &size)].concat();
        for end in 0..file.len() {
            let _ = check_foreign(&file[..end], &LIMITS);
        }
    }

    #[test]
    fn the_size_of_a_jpeg_xl_picture_is_read() {
        let file = |bits: u128| [&b"\xff\x0a"[..], &bits.to_le_bytes()].concat();
        // 18 bits of height, ratio 4 : 3.
        let bits = 2 << 1 | 19_999 << 3 | 3 << 21;
        assert_eq!(jpeg_xl_size(&file(bits)), Some((26_666, 20_000)));
        refused(&file(bits), "26666 × 20000");
        // Multiples of eight: 40 high, 256 wide.
        assert_eq!(jpeg_xl_size(&file(1 | 4 << 1 | 31 << 9)), Some((256, 40)));
        let boxed = [part(b"JXL ", b"\r\n\x87\n"), part(b"jxlc", &file(bits))].concat();
        refused(&boxed, "26666 × 20000");
        check_foreign(b"\xff\x0a\x01", &LIMITS).unwrap();
    }
}
