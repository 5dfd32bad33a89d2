//! BMP bytes → RGB image: headers of OS/2 and old programs are rewritten as the decoder knows them.

use std::borrow::Cow;

use image::ImageFormat;

use super::{Image, Limits, by_image, format, unusual};
use crate::error::Result;

/// Of the file's own header.
const FILE: usize = 14;

/// Of the header that every program writes (BITMAPINFOHEADER).
const INFO: usize = 40;

pub fn decode(bytes: &[u8], limits: &Limits, partial: bool) -> Result<Image> {
    let mut file = known_header(bytes)?;
    let core = number(&file, FILE) == 12;
    let planes = FILE + if core { 8 } else { 12 };
    // Always 1; other values are ignored by other programs.
    if file
        .get(planes..planes + 2)
        .is_some_and(|planes| planes != [1, 0])
    {
        file.to_mut()[planes..planes + 2].copy_from_slice(&[1, 0]);
    }
    let (height, compression) = (number(&file, FILE + 8) as i32, number(&file, FILE + 16));
    let from_top = !core && matches!(compression, 1 | 2) && height < 0;
    if from_top {
        let height = height.unsigned_abs().to_le_bytes();
        file.to_mut()[FILE + 8..FILE + 12].copy_from_slice(&height);
    }
    let mut image = by_image(&file, ImageFormat::Bmp, limits, partial)?;
    if from_top {
        let row = image.columns as usize * 3;
        let rows: Vec<u8> = image.rgb.chunks(row).rev().flatten().copied().collect();
        image.rgb = rows;
    }
    Ok(image)
}

/// OS/2's headers of 16 bytes (the first fields alone) and of 64 (with more after them) → one of 40.
fn known_header(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    let length = number(bytes, FILE) as usize;
    if !matches!(length, 16 | 64) || bytes.len() < FILE + length {
        return Ok(Cow::Borrowed(bytes));
    }
    let (header, rest) = bytes[FILE..].split_at(length);
    let mut known = [0; INFO];
    let same = length.min(INFO);
    known[..same].copy_from_slice(&header[..same]);
    known[..4].copy_from_slice(&(INFO as u32).to_le_bytes());
    let compression = number(&known, 16);
    if compression > 2 {
        let what = format_args!("OS/2's compression number {compression}");
        return Err(unusual(format::name(ImageFormat::Bmp), &what));
    }
    let start = (number(bytes, 10) as usize + INFO).saturating_sub(length);
    let start = (start as u32).to_le_bytes();
    Ok(Cow::Owned(
        [&bytes[..10], &start[..], &known, rest].concat(),
    ))
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk());
    four.map_or(0, |four| u32::from_le_bytes(*four))
}
