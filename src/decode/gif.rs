//! GIF bytes → RGB image: the first frame, over white.

use std::borrow::Cow;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError};
use image::ImageFormat;
use image::metadata::Orientation;

use super::{
    Error, Image, Limits, check_size, check_total, cut, damaged, format, percent, upright,
};
use crate::error::Result;

pub fn decode(bytes: &[u8], limits: &Limits, partial: bool) -> Result<Image> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.allow_unknown_blocks(true);
    let bytes = with_palette(bytes);
    let mut decoder = options.read_info(&*bytes).map_err(refused)?;
    let screen = (u32::from(decoder.width()), u32::from(decoder.height()));
    let frame = decoder.next_frame_info().map_err(refused)?;
    let frame = frame.ok_or_else(|| damaged(name(), &"it has no frame"))?;
    let (left, top) = (u32::from(frame.left), u32::from(frame.top));
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    let (transparent, interlaced) = (frame.transparent.map(usize::from), frame.interlaced);
    let palette = frame.palette.clone();
    // As browsers and Pillow: the screen grows with the first frame.
    let size = (screen.0.max(left + width), screen.1.max(top + height));
    check_size(size.0, size.1, limits)?;
    check_total(size, u64::from(size.0) * u64::from(size.1) * 3, limits)?;
    let palette = palette.as_deref().or(decoder.global_palette());
    let mut colours = [[0; 3]; 256];
    for (colour, stored) in colours
        .iter_mut()
        .zip(palette.unwrap_or_default().chunks_exact(3))
    {
        colour.copy_from_slice(stored);
    }

    let mut rgb = vec![255; size.0 as usize * size.1 as usize * 3];
    let mut line = vec![0; width as usize];
    let mut there = 0;
    for row in rows(height as usize, interlaced) {
        if !filled(&mut decoder, &mut line)? {
            break;
        }
        there += 1;
        let start = ((top as usize + row) * size.0 as usize + left as usize) * 3;
        let pixels = rgb[start..start + line.len() * 3].chunks_exact_mut(3);
        for (pixel, index) in pixels.zip(line.iter().map(|&index| usize::from(index))) {
            if Some(index) != transparent {
                pixel.copy_from_slice(&colours[index]);
            }
        }
    }
    let share = (there < height as usize).then(|| percent(there, height as usize));
    if share.is_some_and(|share| !partial || share == 0) {
        return Err(cut(name(), share));
    }
    Ok(Image {
        partial: share,
        ..upright(rgb, size, size, Orientation::NoTransforms)
    })
}

/// Reads a row; not at the end of the file.
fn filled(decoder: &mut Decoder<&[u8]>, line: &mut [u8]) -> Result<bool> {
    match decoder.fill_buffer(line) {
        Ok(filled) => Ok(filled),
        Err(error) => match refused(error) {
            Error::ImageCut { .. } => Ok(false),
            error => Err(error),
        },
    }
}

/// A file without a palette for all frames gets one of greys, which frames without their own are shown in.
fn with_palette(bytes: &[u8]) -> Cow<'_, [u8]> {
    const FLAGS: usize = 10;
    const HEADER: usize = 13;
    match bytes.get(..HEADER) {
        Some(header) if header[FLAGS] & 0x80 == 0 => {
            let mut file = header.to_vec();
            file[FLAGS] |= 0x87;
            file.extend((0..=255).flat_map(|grey| [grey; 3]));
            file.extend(&bytes[HEADER..]);
            Cow::Owned(file)
        }
        _ => Cow::Borrowed(bytes),
    }
}

/// The rows in the order in which they are stored (GIF89a, appendix E).
fn rows(height: usize, interlaced: bool) -> Vec<usize> {
    let passes: &[(usize, usize)] = match interlaced {
        true => &[(0, 8), (4, 8), (2, 4), (1, 2)],
        false => &[(0, 1)],
    };
    let rows = passes
        .iter()
        .flat_map(|&(first, step)| (first..height).step_by(step));
    rows.collect()
}

fn refused(error: DecodingError) -> Error {
    match error {
        DecodingError::UnexpectedEof => cut(name(), None),
        DecodingError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            cut(name(), None)
        }
        error => damaged(name(), &error),
    }
}

fn name() -> &'static str {
    format::name(ImageFormat::Gif)
}
