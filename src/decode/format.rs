//! first bytes → format.

use image::ImageFormat;

use crate::error::{Error, Result};

/// How many bytes of a text are searched for the element that identifies it.
const PROLOGUE: usize = 1024;

/// The format of an encoded picture, by its first bytes.
///
/// # Errors
/// [`Error::ImageFormat`] naming what was found instead.
pub fn format(bytes: &[u8]) -> Result<ImageFormat> {
    if bytes.is_empty() {
        return Err(Error::ImageFormat(
            "the file is empty; choose a photo".into(),
        ));
    }
    // Of TIFF with 64-bit offsets, image knows nothing.
    if bytes.starts_with(b"II\x2b\0\x08\0") || bytes.starts_with(b"MM\0\x2b\0\x08") {
        return Ok(ImageFormat::Tiff);
    }
    match image::guess_format(bytes) {
        Ok(
            format @ (ImageFormat::Jpeg
            | ImageFormat::Png
            | ImageFormat::WebP
            | ImageFormat::Gif
            | ImageFormat::Bmp
            | ImageFormat::Tiff
            | ImageFormat::Ico
            | ImageFormat::Qoi),
        ) => Ok(format),
        _ => Err(Error::ImageFormat(match other(bytes) {
            Other::Picture(name) => format!(
                "this is a picture in the format {name}, which cannot be read here; convert it to JPEG, PNG or WebP"
            ),
            Other::Thing(name) => {
                format!("this is {name}, not a picture; choose a JPEG, PNG or WebP file")
            }
            Other::Unknown => {
                "the format of this file is unknown; choose a JPEG, PNG or WebP file".into()
            }
        })),
    }
}

/// The usual name of a format that can be read.
pub fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::Ico => "ICO",
        ImageFormat::Qoi => "QOI",
        _ => "image",
    }
}

enum Other {
    Picture(&'static str),
    Thing(&'static str),
    Unknown,
}

fn other(bytes: &[u8]) -> Other {
    const MAGIC: [(&[u8], Other); 13] = [
        (b"\xff\x0a", Other::Picture("JPEG XL")),
        (b"\0\0\0\x0cJXL ", Other::Picture("JPEG XL")),
        (b"\0\0\0\x0cjP  ", Other::Picture("JPEG 2000")),
        (b"\xff\x4f\xff\x51", Other::Picture("JPEG 2000")),
        (b"8BPS", Other::Picture("Photoshop")),
        (b"v/1\x01", Other::Picture("OpenEXR")),
        (b"DDS ", Other::Picture("DDS")),
        (b"#?RADIANCE", Other::Picture("Radiance HDR")),
        (b"FUJIFILMCCD-RAW", Other::Picture("Fujifilm raw")),
        (b"%PDF", Other::Thing("a PDF document")),
        (b"PK\x03\x04", Other::Thing("a ZIP archive")),
        (b"\x1aE\xdf\xa3", Other::Thing("a video")),
        (b"\x1f\x8b", Other::Thing("a compressed file")),
    ];
    if let Some((_, found)) = MAGIC
        .into_iter()
        .find(|(magic, _)| bytes.starts_with(magic))
    {
        return found;
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return iso_media(bytes);
    }
    let start = &bytes[..bytes.len().min(PROLOGUE)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character cut in two by the end of the search is still text.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return Other::Unknown,
    };
    let text = text.to_ascii_lowercase();
    if text.contains("<html") || text.contains("<!doctype html") {
        Other::Thing("a web page")
    } else if text.contains("<svg") {
        Other::Picture("SVG")
    } else if text.contains('\0') {
        Other::Unknown
    } else {
        Other::Thing("a text file")
    }
}

/// An ISO base media file by its brands: the main one, a version, then those it is compatible with.
fn iso_media(bytes: &[u8]) -> Other {
    let length = bytes
        .first_chunk()
        .map_or(0, |length| u32::from_be_bytes(*length) as usize);
    let end = length.min(bytes.len()).min(PROLOGUE);
    let brands: Vec<&[u8]> = bytes.get(8..end).unwrap_or_default().chunks(4).collect();
    let has = |wanted: &[&[u8]]| brands.iter().any(|brand| wanted.contains(brand));
    if has(&[b"avif", b"avis"]) {
        Other::Picture("AVIF")
    } else if has(&[
        b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1",
    ]) {
        Other::Picture("HEIC")
    } else if has(&[b"crx "]) {
        Other::Picture("Canon raw")
    } else {
        Other::Thing("a video")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn says(bytes: &[u8], text: &str) {
        let error = format(bytes).unwrap_err();
        assert_eq!(error.code(), "image-format");
        assert!(error.to_string().contains(text), "{error}");
    }

    #[test]
    fn formats_that_cannot_be_read_are_named() {
        let brands = |brands: &[u8]| {
            let length = (8 + brands.len()) as u32;
            [&length.to_be_bytes(), b"ftyp", brands].concat()
        };
        says(&brands(b"avif\0\0\0\0avifmif1miaf"), "AVIF");
        says(&brands(b"mif1\0\0\0\0mif1avif"), "AVIF");
        says(&brands(b"heic\0\0\0\0mif1heic"), "HEIC");
        says(&brands(b"mif1\0\0\0\0heic"), "HEIC");
        says(&brands(b"isom\0\0\x02\0isommp41"), "a video");
        says(b"\xff\x0a\x00", "JPEG XL");
        says(b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a", "JPEG XL");
        says(b"\0\0\0\x0cjP  \x0d\x0a\x87\x0a", "JPEG 2000");
        says(
            b"<?xml version=\"1.0\"?>\n<!-- a drawing -->\n<svg xmlns=\"\">",
            "SVG",
        );
        says(b"%PDF-1.7", "PDF");
    }

    #[test]
    fn what_is_no_picture_is_named() {
        says(b"", "empty");
        says(b"<html><body><svg>", "a web page");
        says(b"<!DOCTYPE html><title>404</title>", "a web page");
        says(b"no picture, but a text\n", "a text");
        says(
            &[&[b'x'; PROLOGUE - 1][..], "é".as_bytes()].concat(),
            "a text",
        );
        says(&[0x80, 0x81, 0x82, 0x83], "is unknown");
        says(b"\0\0\0\0", "is unknown");
        says(b"\0\0\0\x08ftyp", "a video");
    }
}
