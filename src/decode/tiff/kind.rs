//! tags → what the samples of a picture mean.

use super::directory::Directory;
use super::{broken, strange, tag};
use crate::error::Result;

pub struct Kind {
    pub colours: Colours,
    /// The channel it is in.
    pub alpha: Option<(usize, Alpha)>,
    /// Channels of a pixel, including those that nothing describes.
    pub samples: usize,
    /// Of a value: 1, 2, 4, 8 or 16, or 32 for a floating-point number.
    pub bits: usize,
    /// Whether each channel is stored separately.
    pub planar: bool,
    pub compression: Compression,
    pub predictor: Predictor,
    /// The lowest bit of a byte comes first.
    pub low_bit_first: bool,
}

#[derive(Clone, PartialEq)]
pub enum Colours {
    Grey,
    /// Grey, with zero for white.
    Inverse,
    Rgb,
    Cmyk,
    /// Red, green and blue of each value.
    Palette(Vec<[u8; 3]>),
    YCbCr(YCbCr),
}

/// How luma and chroma are stored, and what they mean (TIFF 6.0, section 21).
#[derive(Clone, PartialEq)]
pub struct YCbCr {
    /// Pixels that share their chroma: columns, rows.
    pub shared: (usize, usize),
    /// Parts of red, green and blue in luma.
    pub luma: [f32; 3],
    /// The values for black and white of luma, then for no and full colour of both chromas.
    pub range: [f32; 6],
}

#[derive(Clone, Copy, PartialEq)]
pub enum Alpha {
    Straight,
    /// The colours are already multiplied by it.
    Associated,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Compression {
    None,
    /// CCITT's codes for lines of black and white.
    Huffman,
    Group3 {
        two_dimensional: bool,
    },
    Group4,
    Lzw,
    /// A whole JPEG file, which tags point to.
    OldJpeg,
    Jpeg {
        /// Whether its decoder has to make RGB of YCbCr.
        ycbcr: bool,
    },
    Deflate,
    PackBits,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Predictor {
    None,
    /// Each value is stored as the difference from its left neighbour's.
    Horizontal,
    /// The same of the bytes of floating-point numbers.
    Float,
}

impl Kind {
    pub fn of(tags: &Directory) -> Result<Kind> {
        let samples = small(tags, tag::SAMPLES)?.unwrap_or(1).max(1);
        let planar = samples > 1 && small(tags, tag::PLANAR)? == Some(2);
        let (format, bits) = format(tags)?;
        let compression = compression(tags, bits)?;
        let (colours, own) = colours(tags, bits, compression, planar)?;
        let extra = tags.numbers(tag::EXTRA)?.unwrap_or_default();
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
        if alpha.is_some() {
            let what = match colours {
                Colours::Cmyk => "CMYK colours with an alpha channel",
                Colours::YCbCr(_) => "YCbCr colours with an alpha channel",
                Colours::Inverse => "greys with zero for white and an alpha channel",
                _ => "",
            };
            if !what.is_empty() {
                return Err(strange(&what));
            }
        }
        check_values(format, bits, &colours, samples)?;
        let predictor = match (small(tags, tag::PREDICTOR)?.unwrap_or(1), compression) {
            (1, _) => Predictor::None,
            (2 | 3, c) if !matches!(c, Compression::Lzw | Compression::Deflate) => Predictor::None,
            (2, _) if bits >= 8 => Predictor::Horizontal,
            (2, _) => return Err(strange(&"a predictor for less than eight bits")),
            (3, _) if format == 3 => Predictor::Float,
            (3, _) => return Err(strange(&"a floating-point predictor for whole numbers")),
            (other, _) => return Err(strange(&format_args!("predictor {other}"))),
        };
        Ok(Kind {
            colours,
            alpha,
            samples,
            bits,
            planar,
            compression,
            predictor,
            low_bit_first: small(tags, tag::FILL_ORDER)? == Some(2),
        })
    }

    /// How many channels the colour has.
    pub fn own(&self) -> usize {
        match self.colours {
            Colours::Grey | Colours::Inverse | Colours::Palette(_) => 1,
            Colours::Rgb | Colours::YCbCr(_) => 3,
            Colours::Cmyk => 4,
        }
    }

    /// The channels that are used: those of the colour, then alpha.
    pub fn channels(&self) -> impl Iterator<Item = usize> {
        (0..self.own()).chain(self.alpha.map(|(at, _)| at))
    }

    /// Bytes of so many columns and rows; each row begins a byte.
    pub fn length(&self, columns: usize, rows: usize) -> usize {
        match &self.colours {
            Colours::YCbCr(YCbCr { shared, .. }) if *shared != (1, 1) => {
                let blocks = columns.div_ceil(shared.0) * rows.div_ceil(shared.1);
                blocks * (shared.0 * shared.1 + 2)
            }
            _ => (columns * self.together() * self.bits).div_ceil(8) * rows,
        }
    }

    /// Channels of what is stored together.
    pub fn together(&self) -> usize {
        if self.planar { 1 } else { self.samples }
    }
}

impl YCbCr {
    pub fn of(tags: &Directory) -> Result<YCbCr> {
        let shared = match tags.numbers(tag::SUBSAMPLING)?.as_deref() {
            None => (2, 2),
            Some(&[across @ (1 | 2 | 4), down @ (1 | 2 | 4)]) => (across as usize, down as usize),
            Some(other) => return Err(strange(&format_args!("chroma shared by {other:?} pixels"))),
        };
        if shared != (1, 1) && small(tags, tag::PLANAR)? == Some(2) {
            return Err(strange(&"smaller planes of chroma"));
        }
        // ITU-R BT.601, which the specification has for a file that says nothing.
        let luma = tags.fractions(tag::LUMA)?.unwrap_or_default();
        let luma = <[f32; 3]>::try_from(luma).unwrap_or([0.299, 0.587, 0.114]);
        let range = tags.fractions(tag::RANGE)?.unwrap_or_default();
        let range = <[f32; 6]>::try_from(range).unwrap_or([0.0, 255.0, 128.0, 255.0, 128.0, 255.0]);
        Ok(YCbCr {
            shared,
            luma,
            range,
        })
    }
}

fn small(tags: &Directory, tag: u16) -> Result<Option<usize>> {
    let number = tags.number(tag)?;
    Ok(number.map(|number| usize::try_from(number).unwrap_or(usize::MAX)))
}

/// The kind of number that a value is, and its bits.
fn format(tags: &Directory) -> Result<(usize, usize)> {
    let bits = tags.numbers(tag::BITS)?.unwrap_or_else(|| vec![1]);
    if bits.iter().any(|other| *other != bits[0]) {
        return Err(strange(&format_args!("channels of {bits:?} bits")));
    }
    let format = small(tags, tag::FORMAT)?.unwrap_or(1);
    Ok((format, usize::try_from(bits[0]).unwrap_or(usize::MAX)))
}

fn check_values(format: usize, bits: usize, colours: &Colours, samples: usize) -> Result<()> {
    let read = match (format, bits) {
        (1, 8) => true,
        (1, 16) => !matches!(colours, Colours::Palette(_) | Colours::YCbCr(_)),
        (1, 1 | 2 | 4) => samples == 1,
        (3, 32) => *colours == Colours::Rgb,
        _ => false,
    };
    if read {
        return Ok(());
    }
    Err(strange(&match format {
        1 if bits < 8 && samples > 1 => format!("{bits} bits per value, and several channels"),
        1 => format!("{bits} bits per value"),
        2 => format!("signed values of {bits} bits"),
        3 => format!("{bits}-bit floating-point values with this kind of colours"),
        _ => format!("values of kind {format}"),
    }))
}

/// The colours, and how many channels they have.
fn colours(
    tags: &Directory,
    bits: usize,
    compression: Compression,
    planar: bool,
) -> Result<(Colours, usize)> {
    let by_jpeg = matches!(compression, Compression::Jpeg { .. } | Compression::OldJpeg);
    Ok(match small(tags, tag::PHOTOMETRIC)?.unwrap_or_default() {
        0 => (Colours::Inverse, 1),
        1 => (Colours::Grey, 1),
        2 => (Colours::Rgb, 3),
        3 => (Colours::Palette(palette(tags, bits)?), 1),
        4 => return Err(strange(&"a mask, not a picture")),
        5 => (Colours::Cmyk, 4),
        6 if by_jpeg && planar => return Err(strange(&"YCbCr as a JPEG picture for each channel")),
        6 if by_jpeg => (Colours::Rgb, 3),
        6 => (Colours::YCbCr(YCbCr::of(tags)?), 3),
        8..=10 => return Err(strange(&"colours as CIE L*a*b*")),
        other => return Err(strange(&format_args!("colours of kind {other}"))),
    })
}

fn palette(tags: &Directory, bits: usize) -> Result<Vec<[u8; 3]>> {
    let levels = tags.numbers(tag::COLOURS)?.unwrap_or_default();
    let count = if bits <= 8 { 1 << bits } else { 0 };
    if count == 0 || levels.len() < 3 * count {
        let found = levels.len();
        return Err(broken(&format_args!("its palette has {found} values")));
    }
    // Some programs write eight bits where sixteen belong; libtiff tells them like this.
    let shift = if levels.iter().all(|&level| level < 256) {
        0
    } else {
        8
    };
    let level = |at: usize| (levels[at] >> shift) as u8;
    Ok((0..count)
        .map(|at| [level(at), level(count + at), level(2 * count + at)])
        .collect())
}

fn compression(tags: &Directory, bits: usize) -> Result<Compression> {
    let number = small(tags, tag::COMPRESSION)?.unwrap_or(1);
    let name = match number {
        1 => return Ok(Compression::None),
        2..=4 if bits != 1 => "CCITT's codes for values of more than one bit",
        2 => return Ok(Compression::Huffman),
        3 => {
            let options = tags.number(tag::T4_OPTIONS)?.unwrap_or(0);
            let two_dimensional = options & 1 == 1;
            return Ok(Compression::Group3 { two_dimensional });
        }
        4 => return Ok(Compression::Group4),
        5 => return Ok(Compression::Lzw),
        6 => return Ok(Compression::OldJpeg),
        7 => {
            let ycbcr = small(tags, tag::PHOTOMETRIC)? == Some(6);
            return Ok(Compression::Jpeg { ycbcr });
        }
        8 | 32946 => return Ok(Compression::Deflate),
        32773 => return Ok(Compression::PackBits),
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
