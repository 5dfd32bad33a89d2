//! TIFF bytes → upright RGB image.
//!
//! No library reads what is needed here as libtiff does, so only what is compressed is left to libraries: JPEG to the
//! one that agrees with libjpeg-turbo to the bit, CCITT's codes, LZW and Deflate.

mod directory;
mod kind;
mod levels;
mod unpack;

use image::ImageFormat;
use image::metadata::Orientation;

use self::directory::Directory;
use self::kind::{Compression, Kind, YCbCr};
use self::levels::{Area, ToRgb, lay};
use self::unpack::{Piece, unpack};
use super::{
    Image, Limits, check_size, check_total, cut, damaged, format, jpeg, percent, unusual, upright,
};
use crate::error::{Error, Result};

/// Numbers of tags (TIFF 6.0, section 8 and the sections of its second part).
mod tag {
    pub const NEW_SUBFILE: u16 = 254;
    pub const WIDTH: u16 = 256;
    pub const LENGTH: u16 = 257;
    pub const BITS: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC: u16 = 262;
    pub const FILL_ORDER: u16 = 266;
    pub const MAKE: u16 = 271;
    pub const STRIP_OFFSETS: u16 = 273;
    pub const ORIENTATION: u16 = 274;
    pub const SAMPLES: u16 = 277;
    pub const ROWS_PER_STRIP: u16 = 278;
    pub const STRIP_LENGTHS: u16 = 279;
    pub const PLANAR: u16 = 284;
    pub const T4_OPTIONS: u16 = 292;
    pub const PREDICTOR: u16 = 317;
    pub const COLOURS: u16 = 320;
    pub const TILE_WIDTH: u16 = 322;
    pub const TILE_LENGTH: u16 = 323;
    pub const TILE_OFFSETS: u16 = 324;
    pub const TILE_LENGTHS: u16 = 325;
    pub const SUB_DIRECTORIES: u16 = 330;
    pub const EXTRA: u16 = 338;
    pub const FORMAT: u16 = 339;
    pub const JPEG_TABLES: u16 = 347;
    pub const JPEG_START: u16 = 513;
    pub const JPEG_LENGTH: u16 = 514;
    pub const LUMA: u16 = 529;
    pub const SUBSAMPLING: u16 = 530;
    pub const RANGE: u16 = 532;
    pub const DNG_VERSION: u16 = 50706;
}

pub fn decode(bytes: &[u8], limits: &Limits, partial: bool) -> Result<Image> {
    let tags = Directory::read(bytes)?;
    if let Some(make) = camera(&tags)? {
        return Err(format::raw(&make));
    }
    let side = |tag| -> Result<u32> {
        let side = tags.number(tag)?.ok_or_else(|| broken(&"it has no size"))?;
        Ok(u32::try_from(side).unwrap_or(u32::MAX))
    };
    let size = (side(tag::WIDTH)?, side(tag::LENGTH)?);
    check_size(size.0, size.1, limits)?;
    let kind = Kind::of(&tags)?;
    let orientation = tags
        .number(tag::ORIENTATION)?
        .and_then(|value| Orientation::from_exif(value.min(255) as u8))
        .unwrap_or(Orientation::NoTransforms);
    let pixels = u64::from(size.0) * u64::from(size.1);
    let sample = (kind.samples as u64 * kind.bits as u64).div_ceil(8);
    check_total(size, pixels * sample, limits)?;
    let (rgb, rows) = match kind.compression {
        Compression::OldJpeg => (whole_jpeg(bytes, &tags, size, limits)?, size.1),
        _ => in_pieces(bytes, &tags, &kind, size, limits)?,
    };
    let there = percent(rows as usize, size.1 as usize);
    if rows < size.1 && (!partial || there == 0) {
        return Err(cut(format::name(ImageFormat::Tiff), Some(there)));
    }
    Ok(Image {
        partial: (rows < size.1).then_some(there),
        ..upright(rgb, size, size, orientation)
    })
}

/// The make of the camera, where the file is a raw photo: its first picture is a small one, and the photo is in a
/// directory below, or it is Adobe's kind (DNG).
fn camera(tags: &Directory) -> Result<Option<String>> {
    const REDUCED: u64 = 1;
    let is_small = tags
        .number(tag::NEW_SUBFILE)?
        .is_some_and(|kind| kind & REDUCED == REDUCED);
    if !(tags.has(tag::DNG_VERSION) || is_small && tags.has(tag::SUB_DIRECTORIES)) {
        return Ok(None);
    }
    let make = tags.bytes(tag::MAKE)?.unwrap_or(b"DNG");
    let make = String::from_utf8_lossy(make);
    Ok(Some(make.trim_matches(['\0', ' ']).to_string()))
}

/// The picture, white where the file has ended, and how many rows are there.
fn in_pieces(
    bytes: &[u8],
    tags: &Directory,
    kind: &Kind,
    (width, height): (u32, u32),
    limits: &Limits,
) -> Result<(Vec<u8>, u32)> {
    let pieces = Pieces::of(bytes, tags, kind, (width, height), limits)?;
    let (across, down) = pieces.size;
    let (columns, rows) = (width.div_ceil(across), height.div_ceil(down));
    let tables = tags.bytes(tag::JPEG_TABLES)?.unwrap_or_default();
    let mut rgb = vec![255; width as usize * height as usize * 3];
    for piece in 0..columns * rows {
        let (x, y) = (piece % columns * across, piece / columns * down);
        let area = Area {
            x: x as usize,
            y: y as usize,
            width: across.min(width - x) as usize,
            height: down.min(height - y) as usize,
            stored: across as usize,
        };
        let stored_rows = if pieces.tiled {
            down as usize
        } else {
            area.height
        };
        let planes: Vec<u32> = match kind.planar {
            true => kind.channels().map(|c| c as u32).collect(),
            false => vec![0],
        };
        let mut read = Vec::with_capacity(planes.len());
        let mut complete = area.height;
        for plane in planes {
            let piece = Piece {
                stored: pieces.stored(bytes, (plane * columns * rows + piece) as usize),
                size: (area.stored, stored_rows),
                length: kind.length(area.stored, stored_rows),
            };
            let plane = unpack(&piece, kind, tags.order, tables, limits)?;
            let row = kind.length(area.stored, 1).max(1);
            if plane.len() < kind.length(area.stored, area.height) {
                complete = complete.min(plane.len() / row);
            }
            read.push(plane);
        }
        let ended = complete < area.height;
        let area = Area {
            height: complete,
            ..area
        };
        if complete > 0 {
            lay(read, kind, tags.order, &area, &mut rgb, width as usize);
        }
        if ended {
            return Ok((rgb, y + complete as u32));
        }
    }
    Ok((rgb, height))
}

/// Old-style JPEG (TIFF 6.0, section 22), where its parts lie together as a JPEG file.
fn whole_jpeg(
    bytes: &[u8],
    tags: &Directory,
    size: (u32, u32),
    limits: &Limits,
) -> Result<Vec<u8>> {
    let start = tags.number(tag::JPEG_START)?.unwrap_or(u64::MAX);
    let length = tags.number(tag::JPEG_LENGTH)?.unwrap_or(u64::MAX);
    let stored = part(bytes, start, length);
    let apart = || strange(&"old-style JPEG in parts");
    if !stored.starts_with(b"\xff\xd8\xff") {
        return Err(apart());
    }
    let picture = jpeg::ycbcr(stored, limits)?;
    if (picture.columns, picture.rows) != (size.0 as usize, size.1 as usize) {
        return Err(apart());
    }
    let pixels = picture.values.chunks_exact(picture.channels);
    match picture.channels {
        1 => Ok(pixels.flat_map(|grey| [grey[0]; 3]).collect()),
        3 => {
            let to_rgb = ToRgb::of(&YCbCr::of(tags)?);
            Ok(pixels
                .flat_map(|p| to_rgb.pixel([p[0], p[1], p[2]]))
                .collect())
        }
        channels => Err(strange(&format_args!(
            "old-style JPEG of {channels} channels"
        ))),
    }
}

/// Where the strips or tiles are.
struct Pieces {
    tiled: bool,
    /// Columns and rows of each.
    size: (u32, u32),
    starts: Vec<u64>,
    lengths: Vec<u64>,
}

impl Pieces {
    fn of(
        bytes: &[u8],
        tags: &Directory,
        kind: &Kind,
        (width, height): (u32, u32),
        limits: &Limits,
    ) -> Result<Pieces> {
        let tiled = tags.has(tag::TILE_OFFSETS);
        let side = |tag, other: u32| -> Result<u32> {
            let side = tags.number(tag)?.unwrap_or(0);
            Ok(match u32::try_from(side).unwrap_or(u32::MAX) {
                0 => other,
                side => side,
            })
        };
        let size = match tiled {
            true => (
                side(tag::TILE_WIDTH, width)?,
                side(tag::TILE_LENGTH, height)?,
            ),
            false => (width, side(tag::ROWS_PER_STRIP, height)?.min(height)),
        };
        let pixels = u64::from(size.0) * u64::from(size.1);
        let bits = pixels.saturating_mul((kind.together() * kind.bits) as u64);
        if tiled && (pixels > limits.pixels || bits / 32 > limits.pixels) {
            let (across, down) = size;
            return Err(Error::ImageTooLarge(format!(
                "the TIFF file has tiles of {across} × {down} pixels for a picture of {width} × {height}; save it again"
            )));
        }
        let (starts, lengths) = match tiled {
            true => (tag::TILE_OFFSETS, tag::TILE_LENGTHS),
            false => (tag::STRIP_OFFSETS, tag::STRIP_LENGTHS),
        };
        let starts = tags.numbers(starts)?.unwrap_or_default();
        let mut lengths = tags.numbers(lengths)?.unwrap_or_default();
        if lengths.len() != starts.len() || lengths.contains(&0) {
            // As libtiff: each reaches to the next, or to the end of the file.
            let mut ends = starts.clone();
            ends.push(bytes.len() as u64);
            ends.sort_unstable();
            let end = |start| {
                ends[ends
                    .partition_point(|&end| end <= start)
                    .min(ends.len() - 1)]
            };
            lengths = starts
                .iter()
                .map(|&start| end(start).saturating_sub(start))
                .collect();
        }
        Ok(Pieces {
            tiled,
            size,
            starts,
            lengths,
        })
    }

    /// The bytes of a piece, as far as they are there.
    fn stored<'a>(&self, bytes: &'a [u8], piece: usize) -> &'a [u8] {
        match (self.starts.get(piece), self.lengths.get(piece)) {
            (Some(&start), Some(&length)) => part(bytes, start, length),
            _ => &[],
        }
    }
}

/// At most `length` bytes from `start` on.
fn part(bytes: &[u8], start: u64, length: u64) -> &[u8] {
    let most = bytes.len() as u64;
    let start = start.min(most);
    &bytes[start as usize..start.saturating_add(length).min(most) as usize]
}

fn strange(what: &dyn std::fmt::Display) -> Error {
    unusual(format::name(ImageFormat::Tiff), what)
}

fn broken(what: &dyn std::fmt::Display) -> Error {
    damaged(format::name(ImageFormat::Tiff), what)
}
