//! bytes → upright RGB image.
//!
//! What Pillow's `ImageOps.exif_transpose(Image.open(…)).convert("RGB")` gives, except for two things:
//! transparent parts lie over white, and 16-bit values are rounded to 8 bits, not cut off. As in Pillow,
//! colour profiles (ICC) and gamma are not applied: the numbers in the file are taken as sRGB. Of an
//! animation, the first frame is read.

mod bmp;
mod format;
mod gif;
mod header_limits;
mod ico;
mod jpeg;
mod qoi;
mod tiff;

use std::io::{self, Cursor};
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{
    ColorType, DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, ImageReader,
};

use self::format::format;
#[cfg(not(target_arch = "wasm32"))]
pub use self::format::is_picture;
use crate::error::{Error, Result};

/// An upright picture: 8-bit sRGB values in the order red, green, blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pixels of a row in `rgb`: `width`, or a half or a quarter of it, rounded up, for a [huge photo](decode).
    pub columns: u32,
    /// Rows in `rgb`: `height`, or the same part of it.
    pub rows: u32,
    /// `rows × columns × 3` values, row-major, from top to bottom.
    pub rgb: Vec<u8>,
    /// Of a file that is cut short, read by [`decode_partial`]: how many percent of its rows are there. 100: all are,
    /// without their detail (a progressive JPEG).
    pub partial: Option<u8>,
}

/// The most that a picture may cost; checked against its header, before its pixels are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pixels of the picture. Decoded, it may take four bytes for each of these.
    pub pixels: u64,
    /// Bytes of the encoded picture.
    pub bytes: u64,
}

impl Default for Limits {
    /// 64 megapixels, 256 MB.
    fn default() -> Self {
        Limits {
            pixels: 64_000_000,
            bytes: 256_000_000,
        }
    }
}

/// The longest side that is read, that of the JPEG format: the time and memory that resizing takes
/// grow with the sides, not with the pixels.
const LONGEST_SIDE: u32 = 65_535;

/// Decodes a picture, whose first bytes tell its format, and turns it upright by its EXIF orientation.
/// Transparent parts are laid over white.
///
/// A JPEG of more than 16 megapixels whose shorter side has 2048 pixels or more is decoded at half
/// its size, by the inverse cosine transform: four times less memory for a photo that every model
/// sees many times smaller. One with more pixels than `limits` allows, up to four times as many, is decoded at a
/// quarter of its size, or at half if its shorter side has fewer than 4096 pixels. Everything else is decoded pixel
/// by pixel.
///
/// # Errors
/// [`Error::ImageFormat`], [`Error::ImageCorrupt`], [`Error::ImageCut`], [`Error::ImageTooLarge`].
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Image> {
    read(bytes, limits, false)
}

/// As [`decode`], but reads what is there of a file that is cut short: the rows below are white, or grey in a JPEG.
/// Not of WebP, nor of an icon.
///
/// # Errors
/// As [`decode`].
pub fn decode_partial(bytes: &[u8], limits: &Limits) -> Result<Image> {
    read(bytes, limits, true)
}

fn read(bytes: &[u8], limits: &Limits, partial: bool) -> Result<Image> {
    if bytes.len() as u64 > limits.bytes {
        let (actual, most) = (bytes.len(), limits.bytes);
        return Err(Error::ImageTooLarge(format!(
            "the file has {actual} bytes, at most {most} are read; make it smaller first, or raise `maxBytes`"
        )));
    }
    let format = match format(bytes) {
        Ok(format) => format,
        // A browser may decode it, but would not check how large it is.
        Err(error) => {
            header_limits::check_foreign(bytes, limits)?;
            return Err(error);
        }
    };
    contained(format, || match format {
        ImageFormat::Jpeg => jpeg::decode(bytes, limits, partial),
        ImageFormat::Tiff => tiff::decode(bytes, limits, partial),
        ImageFormat::Ico => ico::decode(bytes, limits),
        ImageFormat::Bmp => bmp::decode(bytes, limits, partial),
        ImageFormat::Gif => gif::decode(bytes, limits, partial),
        ImageFormat::Qoi => qoi::decode(bytes, limits, partial),
        ImageFormat::WebP => {
            header_limits::check_webp(bytes, limits)?;
            by_image(bytes, format, limits, partial)
        }
        _ => by_image(bytes, format, limits, partial),
    })
}

/// Turns a panic into an error: a decoder panics at damage that it does not check for. In WebAssembly a
/// panic ends the worker, and the next call gets a new one.
fn contained<T>(format: ImageFormat, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        let (name, text) = (format::name(format), text.unwrap_or("no reason given"));
        Err(Error::ImageFormat(format!(
            "the decoder of {name} files failed on this one ({text}), which is damaged or of an unusual kind; \
            convert it to an ordinary JPEG or PNG"
        )))
    })
}

/// Takes raw RGBA pixels (straight alpha, sRGB, row-major) as they come from a canvas.
///
/// # Errors
/// [`Error::BadOption`] when the number of bytes is not `width × height × 4`, and
/// [`Error::ImageTooLarge`].
pub fn from_rgba(rgba: Vec<u8>, width: u32, height: u32, limits: &Limits) -> Result<Image> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || rgba.len() as u64 != pixels * 4 {
        let actual = rgba.len();
        return Err(Error::BadOption(format!(
            "{actual} bytes of RGBA do not make {width} × {height} pixels"
        )));
    }
    check_size(width, height, limits)?;
    Ok(Image {
        width,
        height,
        columns: width,
        rows: height,
        rgb: over_white(rgba),
        partial: None,
    })
}

fn by_image(bytes: &[u8], format: ImageFormat, limits: &Limits, partial: bool) -> Result<Image> {
    let (decoder, orientation) = open(bytes, format, limits)?;
    let (size, colour, total) = (
        decoder.dimensions(),
        decoder.color_type(),
        decoder.total_bytes(),
    );
    let mut values = vec![255; total as usize];
    let mut share = None;
    if let Err(error) = decoder.read_image(&mut values) {
        let error = refused(format, error);
        if !matches!(error, Error::ImageCut { .. }) {
            return Err(error);
        }
        // What is there is what does not depend on what was in the memory before.
        let (decoder, _) = open(bytes, format, limits)?;
        let mut others = vec![0; total as usize];
        let _ = decoder.read_image(&mut others);
        let row = values.len() / size.1.max(1) as usize;
        let rows = values.chunks(row).zip(others.chunks(row));
        let there = percent(rows.filter(|(a, b)| a == b).count(), size.1 as usize).min(99);
        if !partial || there == 0 {
            return Err(cut(format::name(format), Some(there)));
        }
        // The decoder turns the bytes of 16-bit values when all are there.
        if colour.bytes_per_pixel() > colour.channel_count() && cfg!(target_endian = "little") {
            values.chunks_exact_mut(2).for_each(<[u8]>::reverse);
        }
        share = Some(there);
    }
    let rgb = match colour {
        ColorType::Rgb8 => values,
        ColorType::Rgba8 => over_white(values),
        _ => in_eight_bits(values, size, colour)
            .ok_or_else(|| unusual(format::name(format), &"its colours"))?,
    };
    Ok(Image {
        partial: share,
        ..upright(rgb, size, size, orientation)
    })
}

/// Values of another kind → RGB over white.
fn in_eight_bits(
    values: Vec<u8>,
    (width, height): (u32, u32),
    colour: ColorType,
) -> Option<Vec<u8>> {
    let words = || {
        values
            .chunks_exact(2)
            .map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
            .collect()
    };
    let image = match colour {
        ColorType::L8 => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageLuma8),
        ColorType::La8 => {
            ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageLumaA8)
        }
        ColorType::L16 => {
            ImageBuffer::from_raw(width, height, words()).map(DynamicImage::ImageLuma16)
        }
        ColorType::La16 => {
            ImageBuffer::from_raw(width, height, words()).map(DynamicImage::ImageLumaA16)
        }
        ColorType::Rgb16 => {
            ImageBuffer::from_raw(width, height, words()).map(DynamicImage::ImageRgb16)
        }
        ColorType::Rgba16 => {
            ImageBuffer::from_raw(width, height, words()).map(DynamicImage::ImageRgba16)
        }
        _ => None,
    }?;
    Some(match colour.has_alpha() {
        true => over_white(image.into_rgba8().into_raw()),
        false => image.into_rgb8().into_raw(),
    })
}

/// The decoder of a picture whose size is checked, and how to turn it.
fn open<'a>(
    bytes: &'a [u8],
    format: ImageFormat,
    limits: &Limits,
) -> Result<(impl ImageDecoder + 'a, Orientation)> {
    let refused = |error| refused(format, error);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut memory = image::Limits::no_limits();
    // Some decoders hold a second copy.
    memory.max_alloc = Some(limits.pixels.saturating_mul(8));
    reader.limits(memory);
    let mut decoder = reader.into_decoder().map_err(refused)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, limits)?;
    check_total((width, height), decoder.total_bytes(), limits)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((decoder, orientation))
}

/// `stored` is the size of the pixels, `size` that of the picture; both before it is turned.
fn upright(rgb: Vec<u8>, stored: (u32, u32), size: (u32, u32), orientation: Orientation) -> Image {
    let (columns, rows) = stored;
    let (rgb, columns, rows) = match image::RgbImage::from_raw(columns, rows, rgb) {
        Some(pixels) => {
            let mut pixels = DynamicImage::ImageRgb8(pixels);
            pixels.apply_orientation(orientation);
            let (columns, rows) = (pixels.width(), pixels.height());
            (pixels.into_rgb8().into_raw(), columns, rows)
        }
        None => unreachable!("decoders fill {columns} × {rows} pixels"),
    };
    let turned = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    let (width, height) = if turned { (size.1, size.0) } else { size };
    Image {
        width,
        height,
        columns,
        rows,
        rgb,
        partial: None,
    }
}

fn check_size(width: u32, height: u32, limits: &Limits) -> Result<()> {
    if width == 0 || height == 0 {
        return Err(Error::ImageCorrupt(format!(
            "the picture has {width} × {height} pixels; choose another"
        )));
    }
    if width.max(height) > LONGEST_SIDE {
        return Err(Error::ImageTooLarge(format!(
            "the picture has {width} × {height} pixels, a side may have at most {LONGEST_SIDE}; crop it first"
        )));
    }
    if u64::from(width) * u64::from(height) > limits.pixels {
        let most = limits.pixels as f64 / 1e6;
        return Err(Error::ImageTooLarge(format!(
            "the picture has {width} × {height} pixels, at most {most} megapixels are read; make it smaller \
            first, or raise `maxPixels`"
        )));
    }
    Ok(())
}

fn check_total((width, height): (u32, u32), actual: u64, limits: &Limits) -> Result<()> {
    let most = limits.pixels.saturating_mul(4);
    if actual > most {
        return Err(Error::ImageTooLarge(format!(
            "the picture of {width} × {height} pixels takes {actual} bytes when decoded, at most {most} are \
            read; make it smaller first, or raise `maxPixels`"
        )));
    }
    Ok(())
}

/// A level over white.
fn over(level: u8, alpha: u8) -> u8 {
    let (level, alpha) = (u32::from(level), u32::from(alpha));
    ((level * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// A level of the paper under this much ink, by Pillow's formula.
fn ink_on(paper: u8, ink: u8) -> u8 {
    let product = u32::from(ink) * u32::from(paper) + 128;
    paper.saturating_sub(((product + (product >> 8)) >> 8) as u8)
}

/// RGBA → RGB over white, in place.
fn over_white(mut rgba: Vec<u8>) -> Vec<u8> {
    let pixels = rgba.len() / 4;
    for pixel in 0..pixels {
        let alpha = rgba[pixel * 4 + 3];
        for c in 0..3 {
            rgba[pixel * 3 + c] = over(rgba[pixel * 4 + c], alpha);
        }
    }
    rgba.truncate(pixels * 3);
    rgba
}

fn refused(format: ImageFormat, error: ImageError) -> Error {
    let name = format::name(format);
    match error {
        ImageError::Unsupported(_) => unusual(name, &error),
        ImageError::Limits(_) => too_much_memory(name),
        error if ended(&error) => cut(name, None),
        error => damaged(name, &error),
    }
}

/// Whether the file ended before it was read.
fn ended(error: &ImageError) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = match error {
        ImageError::IoError(error) => Some(error),
        error => Some(error),
    };
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind() == io::ErrorKind::UnexpectedEof;
        }
        next = error.source();
    }
    false
}

fn unusual(name: &str, what: &dyn std::fmt::Display) -> Error {
    Error::ImageFormat(format!(
        "this kind of {name} file cannot be read ({what}); convert it to an ordinary JPEG or PNG"
    ))
}

fn too_much_memory(name: &str) -> Error {
    Error::ImageTooLarge(format!(
        "the {name} file needs too much memory to be decoded; make the picture smaller first"
    ))
}

/// `percent`: how many percent of the rows are there; 100: all, without their detail.
fn cut(name: &str, percent: Option<u8>) -> Error {
    let there = match percent {
        Some(100) => "a coarse picture is there, without its detail".into(),
        Some(percent) => format!("{percent} % of its rows are there"),
        None => "how much is there cannot be told".into(),
    };
    let or = match percent {
        Some(1..) => ", or classify what is there, with `partial`",
        _ => "",
    };
    Error::ImageCut {
        message: format!("the {name} file is cut short: {there}; get it again from its source{or}"),
        percent,
    }
}

/// Rounded down: nothing but the whole is 100.
fn percent(part: usize, whole: usize) -> u8 {
    (part as u64 * 100 / whole.max(1) as u64).min(100) as u8
}

fn damaged(name: &str, error: &dyn std::fmt::Display) -> Error {
    Error::ImageCorrupt(format!(
        "the {name} file is damaged or incomplete ({error}); get it again from its source"
    ))
}

#[cfg(all(test, panic = "unwind"))]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_that_panics_refuses_the_photo() {
        let error = contained(ImageFormat::Tiff, || -> Result<Image> {
            panic!("a row too many")
        });
        let error = error.unwrap_err();
        assert_eq!(error.code(), "image-format");
        let text = error.to_string();
        assert!(
            text.contains("TIFF files failed on this one (a row too many)"),
            "{text}"
        );
    }
}
