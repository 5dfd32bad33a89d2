//! Photos in every format → tensors, against Pillow and torchvision (`tests/golden/photos/make.py`).
//! Natively and on wasm32, where each test runs under node and in a browser.

use std::collections::BTreeMap;

use image::codecs::png::PngEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageEncoder, RgbImage};
use serde::Deserialize;
use sha2::{Digest, Sha256};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::manifest::{Channels, Crop, Filter, Input, Layout, Resize, ResizeMode};
use whylens::{Limits, decode, from_rgba, preprocess};

use super::npy::floats;
use super::{GOLDEN, golden};

const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const STD: [f64; 3] = [0.229, 0.224, 0.225];

/// How far a value may differ, in levels of 255: the rounding of 32-bit floats. Pixels are the same.
const MOST_LEVELS: f64 = 1e-3;

/// SHA-256 of the values of all tensors, bit for bit: the same natively, under node and in a browser.
const TENSORS: &str = "87203d6f0bc65a9e91a937da5d06b1e07c42051a7de29b055bae596e40df5fad";

#[derive(Deserialize)]
struct Case {
    file: String,
    image: (u32, u32),
    mode: ResizeMode,
    filter: Filter,
    width: u32,
    height: u32,
    size: Option<u32>,
    channels: Channels,
    layout: Layout,
    region: [f64; 4],
    at: usize,
}

impl Case {
    fn input(&self) -> Input {
        let count = self.channels.count();
        Input {
            name: "input".into(),
            layout: self.layout,
            channels: self.channels,
            width: self.width,
            height: self.height,
            resize: Resize {
                mode: self.mode,
                size: self.size,
                filter: self.filter,
                antialias: true,
            },
            crop: Crop::Center,
            scale: 1.0 / 255.0,
            mean: MEAN[..count].to_vec(),
            std: STD[..count].to_vec(),
        }
    }

    /// The tensor that torchvision makes, from its pixels (rows × columns × channels).
    fn expected(&self, pixels: &[u8]) -> Vec<f32> {
        let (columns, rows) = (self.width as usize, self.height as usize);
        let channels = self.channels.count();
        let pixels = &pixels[self.at..][..columns * rows * channels];
        let value = |pixel: usize, c: usize| {
            ((f64::from(pixels[pixel * channels + c]) / 255.0 - MEAN[c]) / STD[c]) as f32
        };
        let plane = columns * rows;
        (0..plane * channels)
            .map(|i| match self.layout {
                Layout::Nchw => value(i % plane, i / plane),
                Layout::Nhwc => value(i / channels, i % channels),
            })
            .collect()
    }

    fn channel(&self, i: usize) -> usize {
        match self.layout {
            Layout::Nchw => i / (self.width * self.height) as usize,
            Layout::Nhwc => i % self.channels.count(),
        }
    }
}

fn bytes(name: &str) -> &'static [u8] {
    golden(&format!("photos/{name}"))
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(bytes("cases.json")).unwrap()
}

fn expected_pixels() -> Vec<u8> {
    image::load_from_memory(bytes("expected.png"))
        .unwrap()
        .into_luma8()
        .into_raw()
}

#[test]
fn tensors_are_those_of_pillow_and_torchvision() {
    let pixels = expected_pixels();
    let mut worst: BTreeMap<String, f64> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut tensors = Sha256::new();
    for case in cases() {
        let name = format!(
            "{} {:?} {:?} {}×{} {:?}",
            case.file, case.mode, case.filter, case.width, case.height, case.channels
        );
        let image =
            decode(bytes(&case.file), &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((image.width, image.height), case.image, "{name}");
        let (tensor, region) = preprocess(&image, &case.input()).unwrap();
        let expected = case.expected(&pixels);
        assert_eq!(tensor.values.len(), expected.len(), "{name}");
        for value in &tensor.values {
            tensors.update(value.to_le_bytes());
        }
        let levels = (0..expected.len())
            .map(|i| {
                f64::from((tensor.values[i] - expected[i]).abs()) * STD[case.channel(i)] * 255.0
            })
            .fold(0.0, f64::max);
        let seen = worst.entry(case.file.clone()).or_default();
        *seen = seen.max(levels);
        if levels > MOST_LEVELS {
            wrong.push(format!("{name}: {levels:.2} of 255"));
        }
        let found = [region.x, region.y, region.width, region.height];
        if found
            .iter()
            .zip(case.region)
            .any(|(a, b)| (a - b).abs() > 1e-9)
        {
            wrong.push(format!(
                "{name}: region {found:?}, expected {:?}",
                case.region
            ));
        }
    }
    println!("largest difference in levels of 255, {} files", worst.len());
    for (file, levels) in worst {
        println!("{levels:8.5}  {file}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(format!("{:x}", tensors.finalize()), TENSORS);
}

/// A picture of `width × height`, black except for a white rectangle.
fn rectangle((width, height): (u32, u32), x: u32, y: u32, w: u32, h: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |px, py| {
        let inside = (x..x + w).contains(&px) && (y..y + h).contains(&py);
        image::Rgb([u8::from(inside) * 255; 3])
    })
}

/// The picture as a PNG file stored so that `orientation` makes it upright.
fn png(upright: &RgbImage, orientation: u8) -> Vec<u8> {
    let inverse = match orientation {
        6 => 8,
        8 => 6,
        own => own,
    };
    let mut stored = DynamicImage::ImageRgb8(upright.clone());
    stored.apply_orientation(Orientation::from_exif(inverse).unwrap());
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut file = Vec::new();
    let mut encoder = PngEncoder::new(&mut file);
    encoder.set_exif_metadata(exif).unwrap();
    stored.write_with_encoder(encoder).unwrap();
    file
}

#[test]
fn all_orientations_of_a_photo_are_the_same_picture() {
    let photo = decode(bytes("png-rgb.png"), &Limits::default()).unwrap();
    let upright = RgbImage::from_raw(photo.width, photo.height, photo.rgb.clone()).unwrap();
    for orientation in 1..=8 {
        let turned = decode(&png(&upright, orientation), &Limits::default()).unwrap();
        assert!(turned == photo, "orientation {orientation}");
    }
}

/// Where the white lies in the photo, according to the tensor and the region that it should cover.
fn center_of_white(file: &[u8], input: &Input) -> (f64, f64) {
    let image = decode(file, &Limits::default()).unwrap();
    let (tensor, region) = preprocess(&image, input).unwrap();
    let (mut mass, mut x, mut y) = (0.0, 0.0, 0.0);
    for (i, &value) in tensor.values.iter().enumerate() {
        let (column, row) = (i as u32 % input.width, i as u32 / input.width);
        mass += f64::from(value);
        x += f64::from(value) * (f64::from(column) + 0.5);
        y += f64::from(value) * (f64::from(row) + 0.5);
    }
    (
        region.x + x / mass * region.width / f64::from(input.width),
        region.y + y / mass * region.height / f64::from(input.height),
    )
}

#[derive(Deserialize)]
struct Sampled {
    file: String,
    filter: Filter,
    width: u32,
    height: u32,
}

#[test]
fn values_without_antialiasing_are_those_of_torch_and_opencv() {
    let cases: Vec<Sampled> = serde_json::from_slice(golden("sampled/cases.json")).unwrap();
    let mut expected = floats(golden("sampled/expected.npy")).into_iter();
    for Sampled {
        file,
        filter,
        width,
        height,
    } in cases
    {
        let image = decode(bytes(&file), &Limits::default()).unwrap();
        let mut input = Input {
            name: "input".into(),
            layout: Layout::Nhwc,
            channels: Channels::Rgb,
            width,
            height,
            resize: Resize {
                mode: ResizeMode::Exact,
                size: None,
                filter,
                antialias: false,
            },
            crop: Crop::None,
            scale: 1.0,
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
        };
        let (tensor, _) = preprocess(&image, &input).unwrap();
        let expected: Vec<f32> = expected.by_ref().take(tensor.values.len()).collect();
        let apart = |values: &[f32], wanted: &[f32]| {
            let apart = values.iter().zip(wanted).map(|(a, b)| (a - b).abs());
            apart.fold(0.0, f32::max)
        };
        let name = format!("{file} {filter:?} {width}×{height}");
        let levels = apart(&tensor.values, &expected);
        assert!(levels < 1e-3, "{name}: {levels} of 255");

        let grey: Vec<f32> = expected
            .chunks_exact(3)
            .map(|rgb| 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2])
            .map(|grey| (grey / 255.0 - 0.5) / 0.25)
            .collect();
        (input.channels, input.scale) = (Channels::Grey, 1.0 / 255.0);
        (input.mean, input.std) = (vec![0.5], vec![0.25]);
        let (tensor, _) = preprocess(&image, &input).unwrap();
        let off = apart(&tensor.values, &grey);
        assert!(off < 1e-4, "{name}, grey: {off}");
    }
    assert_eq!(expected.count(), 0);
}

#[test]
fn the_region_is_where_the_tensor_was_taken() {
    for size in [(300, 200), (200, 300), (251, 251), (640, 97)] {
        let (width, height) = size;
        // Off the middle, inside what a centre crop keeps.
        let (x, y, w, h) = (width / 2 + 8, height / 2 - 25, 20, 10);
        let upright = rectangle(size, x, y, w, h);
        let center = (f64::from(x) + 10.0, f64::from(y) + 5.0);
        for mode in [ResizeMode::ShorterSide, ResizeMode::Exact, ResizeMode::Fit] {
            for (columns, rows) in [(64, 64), (80, 48), (41, 67)] {
                let input = Input {
                    name: "input".into(),
                    layout: Layout::Nchw,
                    channels: Channels::Grey,
                    width: columns,
                    height: rows,
                    resize: Resize {
                        mode,
                        size: Some(80),
                        filter: Filter::Bilinear,
                        antialias: true,
                    },
                    crop: Crop::Center,
                    scale: 1.0 / 255.0,
                    mean: vec![0.0],
                    std: vec![1.0],
                };
                for orientation in 1..=8 {
                    let found = center_of_white(&png(&upright, orientation), &input);
                    // Half a cell of the tensor, in pixels of the photo.
                    let most = 0.5 * f64::from(width.max(height)) / f64::from(columns.min(rows));
                    assert!(
                        (found.0 - center.0).abs() < most && (found.1 - center.1).abs() < most,
                        "{size:?} {mode:?} {columns}×{rows} orientation {orientation}: {found:?}, expected {center:?}"
                    );
                }
            }
        }
    }
}

#[track_caller]
fn refused(file: &[u8], limits: &Limits, code: &str, text: &str) {
    let error = decode(file, limits).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn bad_photos_are_refused_with_a_sentence_that_helps() {
    let limits = Limits::default();
    refused(b"", &limits, "image-format", "the file is empty");
    refused(b"no photo\n", &limits, "image-format", "this is a text");
    for (file, format) in [
        ("jpeg-420.jpg", "JPEG"),
        ("jpeg-progressive.jpg", "JPEG"),
        ("png-rgb.png", "PNG"),
        ("webp-lossy.webp", "WebP"),
        ("gif.gif", "GIF"),
        ("bmp-24.bmp", "BMP"),
        ("tiff-lzw.tif", "TIFF"),
        ("qoi.qoi", "QOI"),
    ] {
        let whole = bytes(file);
        for length in [16, whole.len() / 2, whole.len() * 9 / 10] {
            refused(&whole[..length], &limits, "image-corrupt", format);
        }
    }
}

/// The file with the bytes at `at` replaced.
fn patched(file: &str, at: usize, with: &[u8]) -> Vec<u8> {
    let mut file = bytes(file).to_vec();
    file[at..at + with.len()].copy_from_slice(with);
    file
}

/// A PNG whose header says `width × height`.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let mut file = patched("png-grey.png", 16, &size);
    let sum = crc32(&file[12..29]);
    file[29..33].copy_from_slice(&sum.to_be_bytes());
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(sum & 1))
        })
    })
}

#[test]
fn tiles_larger_than_a_picture_may_be_are_refused() {
    const TILE_WIDTH: u16 = 322;
    const TILE_LENGTH: u16 = 323;
    for tag in [TILE_WIDTH, TILE_LENGTH] {
        let few = Limits {
            pixels: 3000,
            ..Limits::default()
        };
        let file = retagged("tiff-tiled-planar-rgba.tif", tag, 60_000);
        refused(&file, &few, "image-too-large", "tiles of");
    }
}

#[test]
fn size_is_refused_before_decoding() {
    let limits = Limits::default();
    refused(
        &png_header(20_000, 20_000),
        &limits,
        "image-too-large",
        "20000 × 20000 pixels, at most 64 megapixels",
    );
    refused(
        &png_header(70_000, 10),
        &limits,
        "image-too-large",
        "a side may have at most 65535",
    );
    let few = Limits {
        pixels: 1000,
        ..limits
    };
    for (file, _) in all_files() {
        if !file.contains("1x1")
            && ![
                "jpeg-3x5.jpg",
                "jpeg-9x2.jpg",
                "png-200x1.png",
                "gif-offset.gif",
            ]
            .contains(&file)
        {
            // Of a JPEG, four times as many are read at a smaller size.
            let error = decode(bytes(file), &few).unwrap_err();
            assert_eq!(error.code(), "image-too-large", "{file}");
            let text = error.to_string();
            let most = ["at most 0.001 megapixels", "at most 0.004 megapixels"];
            let jpeg = usize::from(file.ends_with(".jpg"));
            assert!(
                most[..=jpeg].iter().any(|most| text.contains(most)),
                "{file}: {text}"
            );
        }
    }
    let small = Limits {
        bytes: 100,
        ..limits
    };
    refused(bytes("gif.gif"), &small, "image-too-large", "at most 100");
    let frame = bytes("jpeg-420.jpg")
        .windows(2)
        .position(|marker| marker == [0xff, 0xc0])
        .unwrap();
    let jpeg = patched("jpeg-420.jpg", frame + 5, &[0x4e, 0x20, 0x4e, 0x20]);
    refused(&jpeg, &limits, "image-too-large", "20000 × 20000");
    let bmp = patched("bmp-24.bmp", 18, &[0x20, 0x4e, 0, 0, 0x20, 0x4e, 0, 0]);
    refused(&bmp, &limits, "image-too-large", "20000 × 20000");
    let qoi = patched("qoi.qoi", 4, &[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
    refused(&qoi, &limits, "image-too-large", "20000 × 20000");
    let gif = patched("gif.gif", 6, &[0x20, 0x4e, 0x20, 0x4e]);
    refused(&gif, &limits, "image-too-large", "20000 × 20000");
}

fn all_files() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    let own = [
        "README.md",
        "make.py",
        "requirements.txt",
        "cases.json",
        "expected.png",
    ];
    let photos = GOLDEN.get_dir("photos").unwrap();
    photos
        .files()
        .map(|file| {
            let name = file.path().file_name().unwrap();
            (name.to_str().unwrap(), file.contents())
        })
        .filter(move |(name, _)| !own.contains(name))
}

/// A little-endian TIFF file with another value for a tag that holds one number.
fn retagged(file: &str, tag: u16, value: u16) -> Vec<u8> {
    let whole = bytes(file);
    let number = |at: usize| usize::from(u16::from_le_bytes([whole[at], whole[at + 1]]));
    let table = number(4) + number(6) * 65536;
    let mut lines = (0..number(table)).map(|line| table + 2 + line * 12);
    let line = lines.find(|&at| number(at) == usize::from(tag)).unwrap();
    let one = [3, 0, 1, 0, 0, 0, value as u8, (value >> 8) as u8, 0, 0];
    patched(file, line + 2, &one)
}

#[test]
fn kinds_that_cannot_be_read_say_so() {
    const BITS: u16 = 258;
    const COMPRESSION: u16 = 259;
    const COLOURS: u16 = 262;
    const PREDICTOR: u16 = 317;
    const FORMAT: u16 = 339;
    for (file, tag, value, text) in [
        ("tiff-lzw.tif", COLOURS, 4, "a mask, not a picture"),
        ("tiff-lzw.tif", COLOURS, 8, "colours as CIE L*a*b*"),
        (
            "tiff-lzw.tif",
            COLOURS,
            1,
            "3 channels, 3 of them for colour, expected 1",
        ),
        (
            "tiff-lzw.tif",
            COLOURS,
            5,
            "3 channels, 3 of them for colour, expected 4",
        ),
        (
            "tiff-lzw.tif",
            COMPRESSION,
            3,
            "compression by CCITT's codes for values of more than one bit",
        ),
        (
            "tiff-lzw.tif",
            COMPRESSION,
            4,
            "compression by CCITT's codes for values of more than one bit",
        ),
        ("tiff-lzw.tif", COMPRESSION, 6, "old-style JPEG in parts"),
        (
            "tiff-lzw.tif",
            COMPRESSION,
            50000,
            "compression by Zstandard",
        ),
        (
            "tiff-lzw.tif",
            COMPRESSION,
            12345,
            "compression number 12345",
        ),
        ("tiff-packbits.tif", BITS, 12, "12 bits per value"),
        (
            "tiff-associated-grey.tif",
            COLOURS,
            0,
            "greys with zero for white and an alpha channel",
        ),
        (
            "tiff-tiled.tif",
            PREDICTOR,
            3,
            "a floating-point predictor for whole numbers",
        ),
        ("tiff-associated-float.tif", FORMAT, 1, "32 bits per value"),
        (
            "tiff-associated-float.tif",
            FORMAT,
            2,
            "signed values of 32 bits",
        ),
        ("tiff-associated-float.tif", FORMAT, 5, "values of kind 5"),
        (
            "tiff-associated-float.tif",
            BITS,
            16,
            "16-bit floating-point values with",
        ),
    ] {
        let text = format!("TIFF file cannot be read ({text}");
        let file = retagged(file, tag, value);
        refused(&file, &Limits::default(), "image-format", &text);
    }
    let file = retagged("tiff-lzw.tif", COLOURS, 3);
    refused(
        &file,
        &Limits::default(),
        "image-corrupt",
        "its palette has 0 values",
    );
    // The sampling of the first of four channels; found by `mutations.rs`, as a panic of the decoder.
    for file in ["jpeg-cmyk.jpg", "jpeg-ycck.jpg"] {
        let frame = bytes(file).windows(2).position(|m| m == [0xff, 0xc0]);
        let uneven = patched(file, frame.unwrap() + 11, &[0x44]);
        refused(
            &uneven,
            &Limits::default(),
            "image-format",
            "of different sizes",
        );
    }
}

#[test]
fn raw_pixels_lie_over_white() {
    let rgba = vec![10, 20, 30, 255, 10, 20, 30, 0, 0, 0, 0, 128, 255, 0, 0, 51];
    let image = from_rgba(rgba.clone(), 2, 2, &Limits::default()).unwrap();
    assert_eq!(
        image.rgb,
        [10, 20, 30, 255, 255, 255, 127, 127, 127, 255, 204, 204]
    );
    for (width, height) in [(2, 3), (0, 0), (4, 0)] {
        let error = from_rgba(rgba.clone(), width, height, &Limits::default()).unwrap_err();
        assert_eq!(error.code(), "bad-option");
    }
}
