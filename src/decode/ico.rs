//! ICO bytes → RGB image: the largest picture within, over white.

use image::ImageFormat;

use super::{Image, Limits, bmp, by_image, cut, damaged, format, over};
use crate::error::Result;

/// Of BMP's file header, which pictures in icons lack.
const FILE: usize = 14;

pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Image> {
    let number = |at: usize, length: usize| number(bytes, at, length);
    let count = number(4, 2).unwrap_or(0);
    let entries = (0..count).map(|i| 6 + 16 * i).map_while(|at| {
        let side = |at| {
            Some(if number(at, 1)? == 0 {
                256
            } else {
                number(at, 1)?
            })
        };
        let area = side(at)? * side(at + 1)?;
        // As browsers: the largest, and of these the one with most bits per pixel.
        Some((
            (area, number(at + 6, 2)?),
            (number(at + 12, 4)?, number(at + 8, 4)?),
        ))
    });
    let Some((_, (start, length))) = entries.max_by_key(|(size, _)| *size) else {
        return Err(damaged(name(), &"it holds no picture"));
    };
    let picture = bytes.get(start..).unwrap_or_default();
    let picture = &picture[..length.min(picture.len())];
    if picture.starts_with(b"\x89PNG") {
        return by_image(picture, ImageFormat::Png, limits, false);
    }
    bitmap(picture, limits)
}

/// A BMP picture without its file header, of twice its height: below the colours is a mask of one bit a pixel.
fn bitmap(picture: &[u8], limits: &Limits) -> Result<Image> {
    let field =
        |at: usize, length: usize| number(picture, at, length).ok_or_else(|| cut(name(), None));
    let (header, bits, compression) = (field(0, 4)?, field(14, 2)?, field(16, 4)?);
    let (width, height) = (field(4, 4)?, field(8, 4)? / 2);
    let colours = match (bits, field(32, 4)?) {
        (..=8, 0) => 1 << bits,
        (..=8, used) => used.min(256),
        _ => 0,
    };
    let masks = if compression == 3 && header == 40 {
        12
    } else {
        0
    };
    let start = header.saturating_add(4 * colours + masks);
    let mut file = [
        b"BM\0\0\0\0\0\0\0\0",
        &((FILE + start) as u32).to_le_bytes()[..],
        picture,
    ]
    .concat();
    file[FILE + 8..FILE + 12].copy_from_slice(&(height as u32).to_le_bytes());
    let mut image = bmp::decode(&file, limits, false)?;

    let row = (width * bits).div_ceil(32) * 4;
    let colours = picture.get(start..).unwrap_or_default();
    let own_alpha = bits == 32
        && compression == 0
        && colours
            .iter()
            .take(row * height)
            .skip(3)
            .step_by(4)
            .any(|a| *a > 0);
    // A mask that is cut off hides nothing.
    let mask = colours.get(row * height..).unwrap_or_default();
    let mask_row = width.div_ceil(32) * 4;
    for (at, pixel) in image.rgb.chunks_exact_mut(3).enumerate() {
        let (x, y) = (at % width, height - 1 - at / width);
        let alpha = match own_alpha {
            true => colours[y * row + 4 * x + 3],
            false => {
                let byte = mask.get(y * mask_row + x / 8).copied().unwrap_or(0);
                if byte << (x % 8) & 0x80 == 0 { 255 } else { 0 }
            }
        };
        pixel
            .iter_mut()
            .for_each(|level| *level = over(*level, alpha));
    }
    Ok(image)
}

/// Little-endian.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |n, byte| n << 8 | usize::from(*byte)),
    )
}

fn name() -> &'static str {
    format::name(ImageFormat::Ico)
}
