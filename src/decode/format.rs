//! first bytes → format.

use image::ImageFormat;

use crate::error::{Error, Result};
use crate::sniff;

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
    if bytes.get(8..10) == Some(b"CR") && bytes.starts_with(b"II*\0") {
        return Err(raw("Canon"));
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
                "this is a picture in the format {name}, which cannot be read here; {}",
                way(name)
            ),
            Other::Raw(name) => return Err(raw(name)),
            Other::Thing(name) => {
                format!("this is {name}, not a picture; {}", way(name))
            }
            Other::Model(name, advice) => {
                format!(
                    "this is {name}, not a picture; to classify with it, {advice}, and add that file"
                )
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

/// By the make of its camera; many are TIFF files with a small picture in front.
pub fn raw(make: &str) -> Error {
    Error::ImageFormat(format!(
        "this is a raw photo ({make}), which cannot be read here; choose the JPEG that the camera wrote beside it, or \
        develop it to one"
    ))
}

/// What to do with a file of a known kind.
fn way(name: &str) -> &'static str {
    match name {
        "HEIC" => {
            "convert it to JPEG; an iPhone takes JPEG with Settings, Camera, Formats, Most Compatible"
        }
        "DICOM" => {
            "save the picture as PNG, with the window of grey values that shows what matters, from the program that \
            opens it, or by `dcmj2pnm --write-png FILE photo.png` of DCMTK"
        }
        "a PDF document" => {
            "save a page as PNG, by `pdftoppm -png FILE page`, or take a picture of the screen"
        }
        "a video" => {
            "stop it at a frame, and save that as a picture, by `ffmpeg -i FILE -frames:v 1 photo.png`"
        }
        "a ZIP archive" | "a compressed file" => "unpack it, and choose the pictures in it",
        "a web page" => "save the picture on it, and choose that",
        "a text file" => "choose a JPEG, PNG or WebP file",
        _ => "convert it to JPEG, PNG or WebP",
    }
}

/// Whether a file is a picture by its first bytes, also of a kind that cannot be read here.
#[cfg(not(target_arch = "wasm32"))]
pub fn is_picture(bytes: &[u8]) -> bool {
    let readable = !bytes.is_empty() && format(bytes).is_ok();
    readable || matches!(other(bytes), Other::Picture(_) | Other::Raw(_))
}

enum Other {
    Picture(&'static str),
    /// By the cameras that write it.
    Raw(&'static str),
    Thing(&'static str),
    /// Of another program, and the way to an ONNX file.
    Model(&'static str, &'static str),
    Unknown,
}

fn other(bytes: &[u8]) -> Other {
    const MAGIC: [(&[u8], Other); 25] = [
        (b"\xff\x0a", Other::Picture("JPEG XL")),
        (b"\0\0\0\x0cJXL ", Other::Picture("JPEG XL")),
        (b"\0\0\0\x0cjP  ", Other::Picture("JPEG 2000")),
        (b"\xff\x4f\xff\x51", Other::Picture("JPEG 2000")),
        (b"8BPS", Other::Picture("Photoshop")),
        (b"v/1\x01", Other::Picture("OpenEXR")),
        (b"DDS ", Other::Picture("DDS")),
        (b"#?RADIANCE", Other::Picture("Radiance HDR")),
        (b"FUJIFILMCCD-RAW", Other::Raw("Fujifilm")),
        (b"IIRO", Other::Raw("Olympus")),
        (b"IIRS", Other::Raw("Olympus")),
        (b"MMOR", Other::Raw("Olympus")),
        (b"IIU\0", Other::Raw("Panasonic")),
        (b"FOVb", Other::Raw("Sigma")),
        (b"\0MRM", Other::Raw("Minolta")),
        (b"II\x1a\0\0\0HEAPCCDR", Other::Raw("Canon")),
        (b"%PDF", Other::Thing("a PDF document")),
        (b"PK\x03\x04", Other::Thing("a ZIP archive")),
        (b"\x1aE\xdf\xa3", Other::Thing("a video")),
        (b"FLV\x01", Other::Thing("a video")),
        (b"\0\0\x01\xba", Other::Thing("a video")),
        (b"\0\0\x01\xb3", Other::Thing("a video")),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Other::Thing("a video")),
        (b"OggS", Other::Thing("a video")),
        (b"\x1f\x8b", Other::Thing("a compressed file")),
    ];
    if let Some((name, advice)) = sniff::other_model(bytes) {
        return Other::Model(name, advice);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"AVI ") {
        return Other::Thing("a video");
    }
    // DICOM PS3.10, section 7.1: after a preamble of any 128 bytes.
    if bytes.get(128..132) == Some(b"DICM") {
        return Other::Picture("DICOM");
    }
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
        Other::Raw("Canon")
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
        says(
            b"%PDF-1.7",
            "a PDF document, not a picture; save a page as PNG",
        );
        says(
            &[&[0; 128][..], b"DICM"].concat(),
            "DICOM, which cannot be read here; save the picture as PNG",
        );
        says(&brands(b"heic\0\0\0\0mif1"), "Most Compatible");
        says(b"RIFF\0\0\0\0AVI LIST", "a video, not a picture; stop it");
        says(b"\x1aE\xdf\xa3", "a video");
        for raw in [
            &b"II*\0\x10\0\0\0CR\x02\0"[..],
            b"IIRO\x08\0",
            b"FUJIFILMCCD-RAW",
            &brands(b"crx \0\0\0\x01"),
        ] {
            says(raw, "a raw photo (");
        }
    }

    #[test]
    fn models_of_other_programs_are_named_with_the_way_to_onnx() {
        says(
            b"\x89HDF\r\n\x1a\n",
            "a model of Keras in HDF5, not a picture; to classify with it, export it to ONNX",
        );
        says(
            b"\x1c\0\0\0TFL3",
            "a model of TensorFlow Lite, not a picture",
        );
        says(
            b"PK\x03\x04\0\0\0\0model/data.pkl",
            "a model of PyTorch, not a picture",
        );
        says(
            b"\x40\0\0\0\0\0\0\0{\"w\":{\"dtype\"",
            "weights in safetensors",
        );
        says(
            b"PK\x03\x04photos/a.jpg",
            "a ZIP archive, not a picture; unpack it",
        );
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
