//! TIFF bytes → upright RGB image.
//!
//! The decoder gives samples, one strip or tile at a time, and is kept from interpreting them: it undoes a
//! predictor wrongly where it leaves out channels, joins tiles of planes past the picture's end, cannot
//! always read a tile in rows, and ignores FillOrder and the kind of an alpha channel.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;

use image::ImageFormat;
use image::metadata::Orientation;
use tiff::TiffError;
use tiff::decoder::{ChunkType, Decoder, DecodingResult};
use tiff::tags::Tag;

use super::{Image, Limits, check_size, check_total, format, ink_on, over, upright};
use super::{damaged, header_limits, too_much_memory, unusual};
use crate::error::{Error, Result};

/// FillOrder: the first pixel of a byte is in its lowest bit.
const LOWEST_FIRST: u16 = 2;

/// The compression (JPEG) whose bytes libtiff does not turn, whatever FillOrder says.
const JPEG: u16 = 7;

pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Image> {
    header_limits::check_tiff(bytes)?;
    let mut tags = open(Cursor::new(bytes), limits)?;
    let (width, height) = tags.dimensions().map_err(refused)?;
    check_size(width, height, limits)?;
    let kind = Kind::of(&mut tags)?;
    let orientation = number(&mut tags, Tag::Orientation)?
        .and_then(|value| Orientation::from_exif(value.min(255) as u8))
        .unwrap_or(Orientation::NoTransforms);
    let pixels = u64::from(width) * u64::from(height);
    let sample = (kind.samples as u64 * u64::from(kind.bits)).div_ceil(8);
    check_total((width, height), pixels * sample, limits)?;
    let tiled = tags.get_chunk_type() == ChunkType::Tile;
    let (across, down) = tags.chunk_dimensions();
    if tiled && u64::from(across) * u64::from(down) > limits.pixels {
        return Err(Error::ImageTooLarge(format!(
            "the TIFF file has tiles of {across} × {down} pixels for a picture of {width} × {height}; save it again"
        )));
    }

    let (columns, rows) = (width.div_ceil(across), height.div_ceil(down));
    let size = if tiled {
        (columns * across, rows * down)
    } else {
        (width, height)
    };
    let mut samples = open(AsSamples::new(bytes, size, turned(&mut tags)?), limits)?;
    let mut rgb = vec![0; pixels as usize * 3];
    for piece in 0..columns * rows {
        let (x, y) = (piece % columns * across, piece / columns * down);
        let area = Area {
            x: x as usize,
            y: y as usize,
            width: across.min(width - x) as usize,
            height: down.min(height - y) as usize,
            stored: across as usize,
        };
        let planes: Vec<u32> = match kind.planar {
            true => kind.channels().map(|c| c as u32).collect(),
            false => vec![0],
        };
        let read = planes
            .into_iter()
            .map(|plane| samples.read_chunk(plane * columns * rows + piece));
        let read = read
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(refused)?;
        lay(read, &kind, &area, &mut rgb, width as usize)?;
    }
    let size = (width, height);
    Ok(upright(rgb, size, size, orientation))
}

fn open<R: Read + Seek>(file: R, limits: &Limits) -> Result<Decoder<R>> {
    let most = usize::try_from(limits.pixels.saturating_mul(8)).unwrap_or(usize::MAX);
    let mut memory = tiff::decoder::Limits::default();
    memory.decoding_buffer_size = most;
    memory.intermediate_buffer_size = most;
    memory.ifd_value_size = most;
    let decoder = Decoder::new(file).map_err(refused)?;
    Ok(decoder.with_limits(memory))
}

fn number<R: Read + Seek>(decoder: &mut Decoder<R>, tag: Tag) -> Result<Option<u16>> {
    decoder.find_tag_unsigned(tag).map_err(refused)
}

fn numbers<R: Read + Seek>(decoder: &mut Decoder<R>, tag: Tag) -> Result<Option<Vec<u16>>> {
    decoder.find_tag_unsigned_vec(tag).map_err(refused)
}

#[derive(Clone, Copy, PartialEq)]
enum Colours {
    Grey,
    /// Grey, with zero for white.
    Inverse,
    Rgb,
    Cmyk,
}

#[derive(Clone, Copy, PartialEq)]
enum Alpha {
    Straight,
    /// The colours are already multiplied by it.
    Associated,
}

/// What the samples of a pixel mean.
struct Kind {
    colours: Colours,
    /// The channel it is in.
    alpha: Option<(usize, Alpha)>,
    samples: usize,
    bits: u16,
    /// Whether each channel is stored separately.
    planar: bool,
}

impl Kind {
    fn of<R: Read + Seek>(tags: &mut Decoder<R>) -> Result<Kind> {
        let photometric = number(tags, Tag::PhotometricInterpretation)?.unwrap_or_default();
        let (colours, own) = match photometric {
            0 => (Colours::Inverse, 1),
            1 => (Colours::Grey, 1),
            2 => (Colours::Rgb, 3),
            5 => (Colours::Cmyk, 4),
            3 => return Err(strange(&"a palette of colours")),
            4 => return Err(strange(&"a mask, not a picture")),
            6 => return Err(strange(&"colours as YCbCr")),
            8..=10 => return Err(strange(&"colours as CIE L*a*b*")),
            other => return Err(strange(&format_args!("colours of kind {other}"))),
        };
        let samples = usize::from(number(tags, Tag::SamplesPerPixel)?.unwrap_or(1));
        let extra = numbers(tags, Tag::ExtraSamples)?.unwrap_or_default();
        let known = samples.saturating_sub(extra.len());
        let alpha = match extra.iter().position(|kind| matches!(kind, 1 | 2)) {
            // As Pillow treats a fourth channel that nothing describes.
            _ if colours == Colours::Rgb && known == 4 => Some((3, Alpha::Straight)),
            _ if known != own => {
                let what =
                    format!("{samples} channels, {known} of them for colour, expected {own}");
                return Err(strange(&what));
            }
            Some(at) if extra[at] == 1 => Some((own + at, Alpha::Associated)),
            Some(at) => Some((own + at, Alpha::Straight)),
            None => None,
        };
        if alpha.is_some() && matches!(colours, Colours::Cmyk | Colours::Inverse) {
            let what = match colours {
                Colours::Cmyk => "CMYK colours with an alpha channel",
                _ => "greys with zero for white and an alpha channel",
            };
            return Err(strange(&what));
        }
        let bits = bits(tags, colours, samples)?;
        check_compression(tags, bits)?;
        let planar = samples > 1 && number(tags, Tag::PlanarConfiguration)? == Some(2);
        Ok(Kind {
            colours,
            alpha,
            samples,
            bits,
            planar,
        })
    }

    /// How many channels the colour has.
    fn own(&self) -> usize {
        match self.colours {
            Colours::Grey | Colours::Inverse => 1,
            Colours::Rgb => 3,
            Colours::Cmyk => 4,
        }
    }

    /// The channels that are used: those of the colour, then alpha.
    fn channels(&self) -> impl Iterator<Item = usize> {
        (0..self.own()).chain(self.alpha.map(|(at, _)| at))
    }
}

/// Bits per value, for the kinds that are read.
fn bits<R: Read + Seek>(tags: &mut Decoder<R>, colours: Colours, samples: usize) -> Result<u16> {
    let bits = numbers(tags, Tag::BitsPerSample)?.and_then(|bits| bits.first().copied());
    let format = numbers(tags, Tag::SampleFormat)?.and_then(|kinds| kinds.first().copied());
    let (format, bits) = (format.unwrap_or(1), bits.unwrap_or(1));
    let whole = format == 1 && matches!(bits, 1 | 8 | 16) && (bits > 1 || samples == 1);
    if !whole && (format, bits, colours) != (3, 32, Colours::Rgb) {
        return Err(strange(&match format {
            1 if bits == 1 => "one bit per value, and several channels".into(),
            1 => format!("{bits} bits per value"),
            2 => format!("signed values of {bits} bits"),
            3 => format!("{bits}-bit floating-point values with this kind of colours"),
            _ => format!("values of kind {format}"),
        }));
    }
    if number(tags, Tag::Predictor)? == Some(3) && format != 3 {
        let what = "a floating-point predictor for whole numbers";
        return Err(strange(&what));
    }
    Ok(bits)
}

fn check_compression<R: Read + Seek>(tags: &mut Decoder<R>, bits: u16) -> Result<()> {
    let compression = number(tags, Tag::Compression)?.unwrap_or(1);
    let name = match compression {
        1 | 5 | JPEG | 8 | 32773 | 32946 => return Ok(()),
        4 if bits == 1 => return Ok(()),
        2 => "CCITT's Huffman code",
        3 => "CCITT group 3",
        4 => "CCITT group 4 for values of more than one bit",
        6 => "old-style JPEG",
        34661 => "JBIG",
        34712 => "JPEG 2000",
        34887 => "LERC",
        50000 => "Zstandard",
        50001 => "WebP",
        50002 => "JPEG XL",
        other => return Err(strange(&format_args!("compression number {other}"))),
    };
    Err(strange(&format_args!("compression by {name}")))
}

/// Where in the picture a piece lies, in pixels.
struct Area {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
    /// Columns of the piece, including those past the picture's edge.
    stored: usize,
}

/// Puts a piece, read as a whole or plane by plane, into the picture of `columns` pixels a row.
fn lay(
    read: Vec<DecodingResult>,
    kind: &Kind,
    area: &Area,
    rgb: &mut [u8],
    columns: usize,
) -> Result<()> {
    let (mut bytes, mut words, mut floats) = (Vec::new(), Vec::new(), Vec::new());
    for plane in read {
        match plane {
            DecodingResult::U8(bits) if kind.bits == 1 => bytes.push(spread(&bits, area)),
            DecodingResult::U8(plane) => bytes.push(plane),
            DecodingResult::U16(plane) => words.push(plane),
            DecodingResult::F32(plane) => floats.push(plane),
            _ => return Err(strange(&"values of an unknown kind")),
        }
    }
    if !words.is_empty() {
        lay_samples(&words, kind, area, rgb, columns)
    } else if !floats.is_empty() {
        lay_samples(&floats, kind, area, rgb, columns)
    } else {
        lay_samples(&bytes, kind, area, rgb, columns)
    }
}

/// Bits → levels; each row begins a byte.
fn spread(bits: &[u8], area: &Area) -> Vec<u8> {
    let rows = bits.chunks(area.stored.div_ceil(8));
    rows.flat_map(|row| {
        let pixels = 0..area.stored.min(row.len() * 8);
        pixels.map(|at| match row[at / 8] << (at % 8) & 0x80 {
            0 => 0,
            _ => 255,
        })
    })
    .collect()
}

fn lay_samples<T: Sample>(
    planes: &[Vec<T>],
    kind: &Kind,
    area: &Area,
    rgb: &mut [u8],
    columns: usize,
) -> Result<()> {
    let step = if kind.planar { 1 } else { kind.samples };
    let least = area.stored * area.height * step;
    if planes.iter().any(|plane| plane.len() < least) {
        return Err(broken(&"a strip or tile is too short"));
    }
    let channels: Vec<&[T]> = match kind.planar {
        true => planes.iter().map(Vec::as_slice).collect(),
        false => kind.channels().map(|at| &planes[0][at..]).collect(),
    };
    let (own, alpha) = (kind.own(), kind.alpha.map(|(_, alpha)| alpha));
    for row in 0..area.height {
        let start = ((area.y + row) * columns + area.x) * 3;
        let pixels = rgb[start..start + area.width * 3].chunks_exact_mut(3);
        for (column, pixel) in pixels.enumerate() {
            let at = (row * area.stored + column) * step;
            let level = |c: usize| match alpha {
                Some(Alpha::Associated) => channels[c][at].over_white(channels[own][at]),
                Some(Alpha::Straight) => over(channels[c][at].level(), channels[own][at].level()),
                None => channels[c][at].level(),
            };
            match kind.colours {
                Colours::Grey => pixel.fill(level(0)),
                Colours::Inverse => pixel.fill(255 - level(0)),
                Colours::Rgb => (0..3).for_each(|c| pixel[c] = level(c)),
                Colours::Cmyk => {
                    let paper = 255 - level(3);
                    (0..3).for_each(|c| pixel[c] = ink_on(paper, level(c)));
                }
            }
        }
    }
    Ok(())
}

trait Sample: Copy {
    /// As one of 256 levels.
    fn level(self) -> u8;
    /// The level over white of a value that is already multiplied by its alpha.
    fn over_white(self, alpha: Self) -> u8;
}

impl Sample for u8 {
    fn level(self) -> u8 {
        self
    }

    fn over_white(self, alpha: u8) -> u8 {
        self.saturating_add(u8::MAX - alpha)
    }
}

impl Sample for u16 {
    fn level(self) -> u8 {
        ((u32::from(self) * 255 + 32767) / 65535) as u8
    }

    fn over_white(self, alpha: u16) -> u8 {
        self.saturating_add(u16::MAX - alpha).level()
    }
}

impl Sample for f32 {
    fn level(self) -> u8 {
        (self.clamp(0.0, 1.0) * 255.0).round() as u8
    }

    fn over_white(self, alpha: f32) -> u8 {
        (self + 1.0 - alpha).level()
    }
}

/// The parts of the file whose bytes have their bits reversed; in order, none twice.
fn turned<R: Read + Seek>(tags: &mut Decoder<R>) -> Result<Vec<Range<u64>>> {
    let order = number(tags, Tag::FillOrder)?;
    if order != Some(LOWEST_FIRST) || number(tags, Tag::Compression)? == Some(JPEG) {
        return Ok(Vec::new());
    }
    let mut list = |tag| {
        let found = tags.find_tag_unsigned_vec::<u64>(tag).map_err(refused);
        found.map(Option::unwrap_or_default)
    };
    let mut starts = list(Tag::StripOffsets)?;
    starts.extend(list(Tag::TileOffsets)?);
    let mut lengths = list(Tag::StripByteCounts)?;
    lengths.extend(list(Tag::TileByteCounts)?);
    let parts = starts.into_iter().zip(lengths);
    let mut parts: Vec<_> = parts
        .map(|(start, length)| start..start.saturating_add(length))
        .collect();
    parts.sort_by_key(|part| part.start);
    let mut turned: Vec<Range<u64>> = Vec::with_capacity(parts.len());
    for part in parts {
        match turned.last_mut() {
            Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
            _ => turned.push(part),
        }
    }
    Ok(turned)
}

/// The file as the decoder sees it: bits in the usual order, tiles that end where the picture does, and
/// samples declared as greys, so that it gives all channels as they are.
struct AsSamples<'a> {
    file: Cursor<&'a [u8]>,
    turned: Vec<Range<u64>>,
    /// Type, number and value of tags, and their positions.
    changed: Vec<(u64, [u8; 10])>,
}

impl<'a> AsSamples<'a> {
    fn new(bytes: &'a [u8], (width, height): (u32, u32), turned: Vec<Range<u64>>) -> Self {
        const LONG: u16 = 4;
        const BLACK_IS_ZERO: u32 = 1;
        let line = |value: u32| -> [u8; 10] {
            let (kind, count) = (LONG.to_le_bytes(), 1u32.to_le_bytes());
            let mut line = [0; 10];
            line[..2].copy_from_slice(&kind);
            line[2..6].copy_from_slice(&count);
            line[6..].copy_from_slice(&value.to_le_bytes());
            if !bytes.starts_with(b"II") {
                line[..2].reverse();
                line[2..6].reverse();
                line[6..].reverse();
            }
            line
        };
        let changed = header_limits::entries(bytes).filter_map(|entry| {
            let value = match Tag::from_u16_exhaustive(entry.tag) {
                Tag::ImageWidth => width,
                Tag::ImageLength => height,
                Tag::PhotometricInterpretation => BLACK_IS_ZERO,
                _ => return None,
            };
            Some((entry.at as u64 + 2, line(value)))
        });
        AsSamples {
            file: Cursor::new(bytes),
            turned,
            changed: changed.collect(),
        }
    }
}

impl Read for AsSamples<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let start = self.file.position();
        let length = self.file.read(buffer)?;
        let end = start + length as u64;
        let first = self.turned.partition_point(|part| part.end <= start);
        for part in &self.turned[first..] {
            if part.start >= end {
                break;
            }
            let within = part.start.max(start)..part.end.min(end);
            for byte in &mut buffer[(within.start - start) as usize..(within.end - start) as usize]
            {
                *byte = byte.reverse_bits();
            }
        }
        for (at, line) in &self.changed {
            for (at, &byte) in (*at..).zip(line) {
                if (start..end).contains(&at) {
                    buffer[(at - start) as usize] = byte;
                }
            }
        }
        Ok(length)
    }
}

impl Seek for AsSamples<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

fn refused(error: TiffError) -> Error {
    match error {
        TiffError::UnsupportedError(what) => strange(&what),
        TiffError::LimitsExceeded => too_much_memory(format::name(ImageFormat::Tiff)),
        error => broken(&error),
    }
}

fn strange(what: &dyn std::fmt::Display) -> Error {
    unusual(format::name(ImageFormat::Tiff), what)
}

fn broken(what: &dyn std::fmt::Display) -> Error {
    damaged(format::name(ImageFormat::Tiff), what)
}
