//! QOI bytes → RGB image, by the specification of one page (qoiformat.org).
//!
//! The crate `qoi` keeps no alpha in the index of pictures without an alpha channel, and so reads other colours than the
//! reference decoder and Pillow.

use image::ImageFormat;
use image::metadata::Orientation;

use super::{Image, Limits, check_size, cut, damaged, format, over, percent, upright};
use crate::error::Result;

pub fn decode(bytes: &[u8], limits: &Limits, partial: bool) -> Result<Image> {
    let name = format::name(ImageFormat::Qoi);
    let Some(&[a, b, c, d, e, f, g, h, channels, _]) = bytes.get(4..14) else {
        return Err(cut(name, None));
    };
    let size = (
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    );
    check_size(size.0, size.1, limits)?;
    if !matches!(channels, 3 | 4) {
        return Err(damaged(name, &format_args!("{channels} channels")));
    }
    let pixels = size.0 as usize * size.1 as usize;
    let mut rgb = vec![255; pixels * 3];
    let mut index = [[0; 4]; 64];
    let (mut pixel, mut run) = ([0, 0, 0, 255], 0);
    let mut codes = bytes[14..].iter().copied();
    for (at, shown) in rgb.chunks_exact_mut(3).enumerate() {
        if run > 0 {
            run -= 1;
        } else if let Some((next, repeated)) = step(&mut codes, pixel, &index) {
            (pixel, run) = (next, repeated.unwrap_or(0));
            // As Pillow: not for a run.
            if repeated.is_none() {
                index[place(pixel)] = pixel;
            }
        } else {
            let there = percent(at / size.0 as usize, size.1 as usize);
            if !partial || there == 0 {
                return Err(cut(name, Some(there)));
            }
            return Ok(Image {
                partial: Some(there),
                ..upright(rgb, size, size, Orientation::NoTransforms)
            });
        }
        for c in 0..3 {
            shown[c] = if channels == 4 {
                over(pixel[c], pixel[3])
            } else {
                pixel[c]
            };
        }
    }
    Ok(upright(rgb, size, size, Orientation::NoTransforms))
}

/// The next pixel, and how often a run repeats it after that; none at the end of the file.
fn step(
    codes: &mut impl Iterator<Item = u8>,
    pixel: [u8; 4],
    index: &[[u8; 4]; 64],
) -> Option<([u8; 4], Option<u8>)> {
    let [r, g, b, a] = pixel;
    let code = codes.next()?;
    let value = code & 0x3f;
    Some(match code {
        0xfe => ([codes.next()?, codes.next()?, codes.next()?, a], None),
        0xff => (
            [codes.next()?, codes.next()?, codes.next()?, codes.next()?],
            None,
        ),
        0..0x40 => (index[usize::from(value)], None),
        0x40..0x80 => {
            let add = |level: u8, shift: u8| level.wrapping_add(value >> shift & 3).wrapping_sub(2);
            ([add(r, 4), add(g, 2), add(b, 0), a], None)
        }
        0x80..0xc0 => {
            let green = value.wrapping_sub(32);
            let others = codes.next()?;
            let add =
                |level: u8, more: u8| level.wrapping_add(green).wrapping_add(more).wrapping_sub(8);
            (
                [
                    add(r, others >> 4),
                    g.wrapping_add(green),
                    add(b, others & 15),
                    a,
                ],
                None,
            )
        }
        _ => (pixel, Some(value)),
    })
}

fn place([r, g, b, a]: [u8; 4]) -> usize {
    let sum = usize::from(r) * 3 + usize::from(g) * 5 + usize::from(b) * 7 + usize::from(a) * 11;
    sum % 64
}
