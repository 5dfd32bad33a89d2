//! JPEG bytes → upright RGB image, byte for byte as libjpeg-turbo (and so Pillow) decodes it.

use std::borrow::Cow;

use image::ImageFormat;
use image::metadata::Orientation;
use libjpeg_turbo_rs::{
    ColorSpace, DecodeLimits, DecodeWarning, Decoder, Image as Pixels, JpegError, PixelFormat,
    ScalingFactor,
};

use super::{Image, Limits, check_size, cut, damaged, format, ink_on, percent, unusual, upright};
use crate::error::{Error, Result};

/// Photos with more pixels are decoded at half their size …
const HUGE: u64 = 16_000_000;

/// … unless their shorter side has fewer pixels than this. At a quarter: twice as many.
const HUGE_SIDE: u32 = 2048;

/// Progressive photos have about ten scans; each costs a walk over the whole picture.
const SCANS: usize = 100;

pub fn decode(bytes: &[u8], limits: &Limits, partial: bool) -> Result<Image> {
    let larger = Limits {
        pixels: limits.pixels.saturating_mul(4),
        ..*limits
    };
    let cut_short = !ends(bytes);
    let whole = match cut_short {
        true => Cow::Owned([bytes, b"\xff\xd9"].concat()),
        false => Cow::Borrowed(bytes),
    };
    let (mut decoder, pixel_format) = open(&whole, &larger).map_err(|error| match error {
        Error::ImageCorrupt(_) if cut_short => cut(format::name(ImageFormat::Jpeg), Some(0)),
        error => error,
    })?;
    let frame = decoder.header();
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    let (pixels, shorter) = (u64::from(width) * u64::from(height), width.min(height));
    let part = match () {
        _ if frame.is_lossless => 1,
        _ if pixels > limits.pixels && shorter >= 2 * HUGE_SIDE => 4,
        _ if pixels > HUGE && shorter >= HUGE_SIDE => 2,
        _ => 1,
    };
    // A progressive picture is kept whole while it is read, in two bytes a value.
    let kept = if frame.is_progressive { pixels } else { 0 };
    if part == 1 || kept > 2 * limits.pixels {
        check_size(width, height, limits)?;
    }
    let set_up = |decoder: &mut Decoder| {
        decoder.set_scale(ScalingFactor::try_new(1, part).map_err(refused)?);
        Ok(())
    };
    set_up(&mut decoder)?;
    let orientation = decoder
        .exif_orientation()
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms);
    let (image, share) = pixels_of(&decoder, &whole, cut_short, &larger, set_up)?;
    if share.is_some_and(|share| !partial || share == 0) {
        return Err(cut(format::name(ImageFormat::Jpeg), share));
    }
    let stored = (image.width as u32, image.height as u32);
    let rgb = match pixel_format {
        PixelFormat::Grayscale => image.data.iter().flat_map(|&grey| [grey; 3]).collect(),
        PixelFormat::Cmyk => over_black(image.data),
        _ => image.data,
    };
    Ok(Image {
        partial: share,
        ..upright(rgb, stored, (width, height), orientation)
    })
}

/// Decodes what libjpeg only warns of, as it does; the number tells how much is there of a file that is cut short.
fn pixels_of(
    decoder: &Decoder,
    bytes: &[u8],
    cut_short: bool,
    limits: &Limits,
    set_up: impl Fn(&mut Decoder) -> Result<()>,
) -> Result<(Pixels, Option<u8>)> {
    let error = match decoder.decode_image() {
        // Scans may be missing at its end.
        Ok(image) if cut_short && decoder.header().is_progressive => return Ok((image, Some(100))),
        Ok(image) => return Ok((image, None)),
        Err(error @ (JpegError::CorruptData(_) | JpegError::UnexpectedEof)) => error,
        Err(error) => return Err(refused(error)),
    };
    let (mut decoder, _) = open(bytes, limits)?;
    set_up(&mut decoder)?;
    decoder.set_lenient(true);
    let image = decoder.decode_image().map_err(|_| refused(error))?;
    if !cut_short {
        return Ok((image, None));
    }
    let share = match scans(bytes) {
        _ if !decoder.header().is_progressive => {
            image.warnings.iter().find_map(|warning| match warning {
                DecodeWarning::TruncatedData {
                    decoded_mcus,
                    total_mcus,
                } => Some(percent(*decoded_mcus, *total_mcus)),
                _ => None,
            })
        }
        // The first scan is of the whole picture.
        0 | 1 => Some(0),
        _ => Some(100),
    };
    Ok((image, share))
}

/// Whether the mark of the end follows the start of a scan.
fn ends(bytes: &[u8]) -> bool {
    let marks = |wanted: u8| bytes.windows(2).rposition(|mark| mark == [0xff, wanted]);
    marks(0xd9) > marks(0xda)
}

/// How many scans begin.
fn scans(bytes: &[u8]) -> usize {
    bytes
        .windows(2)
        .filter(|mark| *mark == [0xff, 0xda])
        .count()
}

/// The values of a picture within a file of another format: grey, RGB, or CMYK as it is stored.
pub struct Samples {
    pub columns: usize,
    pub rows: usize,
    pub channels: usize,
    /// Row by row.
    pub values: Vec<u8>,
}

pub fn samples(bytes: &[u8], limits: &Limits) -> Result<Samples> {
    within(bytes, limits, |_| Ok(()))
}

/// Luma and chroma of each pixel; where pixels share their chroma, it is repeated, not smoothed.
pub fn ycbcr(bytes: &[u8], limits: &Limits) -> Result<Samples> {
    within(bytes, limits, |decoder| {
        decoder.set_fast_upsample(true);
        if decoder.header().components.len() == 3 {
            decoder.set_output_colorspace(ColorSpace::YCbCr);
        }
        Ok(())
    })
}

fn within(
    bytes: &[u8],
    limits: &Limits,
    set_up: impl Fn(&mut Decoder) -> Result<()>,
) -> Result<Samples> {
    let (mut decoder, pixel_format) = open(bytes, limits)?;
    set_up(&mut decoder)?;
    let (image, _) = pixels_of(&decoder, bytes, false, limits, set_up)?;
    Ok(Samples {
        columns: image.width,
        rows: image.height,
        channels: pixel_format.bytes_per_pixel(),
        values: image.data,
    })
}

/// A stream whose tables are elsewhere → a whole one, which says whether its colours are YCbCr.
pub fn with_tables(stream: &[u8], tables: &[u8], ycbcr: bool) -> Vec<u8> {
    const START: &[u8] = b"\xff\xd8";
    const END: &[u8] = b"\xff\xd9";
    // Adobe's marker; its last byte is the transform of the colours.
    let adobe = [
        &b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"[..],
        &[u8::from(ycbcr)],
    ];
    let tables = tables.strip_prefix(START).unwrap_or(tables);
    let tables = tables.strip_suffix(END).unwrap_or(tables);
    let stream = stream.strip_prefix(START).unwrap_or(stream);
    [START, adobe[0], adobe[1], tables, stream].concat()
}

/// The decoder of a file whose size and kind are checked, and what it will give.
fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Decoder<'a>, PixelFormat)> {
    let caps = DecodeLimits {
        max_width: usize::from(u16::MAX),
        max_height: usize::from(u16::MAX),
        max_pixels: limits.pixels,
        max_scans: SCANS,
        max_memory: None,
    };
    let mut decoder = Decoder::new_with_limits(bytes, caps).map_err(refused)?;
    let frame = decoder.header();
    check_size(u32::from(frame.width), u32::from(frame.height), limits)?;
    let channels = frame.components.iter();
    let sampling: Vec<_> = channels
        .map(|channel| (channel.horizontal_sampling, channel.vertical_sampling))
        .collect();
    let pixel_format = match sampling.len() {
        1 => PixelFormat::Grayscale,
        3 => PixelFormat::Rgb,
        4 if is_even(&sampling) => PixelFormat::Cmyk,
        4 => return Err(strange("four channels of different sizes")),
        channels => return Err(strange(&format!("{channels} channels"))),
    };
    if frame.precision != 8 {
        return Err(strange(&format!("{} bits per value", frame.precision)));
    }
    decoder.set_output_format(pixel_format);
    Ok((decoder, pixel_format))
}

/// With four channels, the decoder assumes that the first and the last are full, and the others alike.
fn is_even(sampling: &[(u8, u8)]) -> bool {
    let [full, half, other, last] = *sampling else {
        return false;
    };
    let whole = full.0.is_multiple_of(half.0) && full.1.is_multiple_of(half.1);
    last == full && other == half && whole
}

/// CMYK → RGB in place; 255 is no ink, as Adobe writes it and Pillow takes it.
fn over_black(mut cmyk: Vec<u8>) -> Vec<u8> {
    let pixels = cmyk.len() / 4;
    for pixel in 0..pixels {
        let paper = cmyk[pixel * 4 + 3];
        for c in 0..3 {
            cmyk[pixel * 3 + c] = ink_on(paper, 255 - cmyk[pixel * 4 + c]);
        }
    }
    cmyk.truncate(pixels * 3);
    cmyk
}

fn refused(error: JpegError) -> Error {
    match error {
        JpegError::Unsupported(what) => strange(&what),
        JpegError::LimitExceeded {
            what,
            actual,
            limit,
        } => Error::ImageTooLarge(format!(
            "the JPEG file has {actual} as its {what}, at most {limit} are read; save it again, smaller"
        )),
        JpegError::AllocationFailed { bytes, .. } => Error::ImageTooLarge(format!(
            "the JPEG file needs {bytes} more bytes of memory than there are; make the picture smaller first"
        )),
        error => damaged(format::name(ImageFormat::Jpeg), &error),
    }
}

fn strange(what: &str) -> Error {
    unusual(format::name(ImageFormat::Jpeg), &what)
}
