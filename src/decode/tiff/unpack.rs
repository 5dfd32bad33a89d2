//! a strip or tile as it is stored → the bytes of its samples.

use fdeflate::Decompressor;
use hayro_ccitt::{DecodeSettings, DecoderContext, EncodingMode};
use weezl::BitOrder;
use weezl::decode::Configuration;

use super::super::{Limits, jpeg};
use super::directory::Order;
use super::kind::{Compression, Kind, Predictor};
use super::{broken, strange};
use crate::error::Result;

/// What a strip or tile holds.
pub struct Piece<'a> {
    pub stored: &'a [u8],
    /// Columns and rows, in pixels.
    pub size: (usize, usize),
    /// Bytes of all its rows.
    pub length: usize,
}

/// Gives exactly `piece.length` bytes, or less where the file ends before.
pub fn unpack(
    piece: &Piece,
    kind: &Kind,
    order: Order,
    tables: &[u8],
    limits: &Limits,
) -> Result<Vec<u8>> {
    let turned: Vec<u8>;
    let stored = match kind.low_bit_first && !matches!(kind.compression, Compression::Jpeg { .. }) {
        true => {
            turned = piece
                .stored
                .iter()
                .map(|byte| byte.reverse_bits())
                .collect();
            &turned
        }
        false => piece.stored,
    };
    let length = piece.length;
    let mut bytes = match kind.compression {
        Compression::None => stored[..length.min(stored.len())].to_vec(),
        Compression::Lzw => lzw(stored, length)?,
        Compression::Deflate => deflate(stored, length)?,
        Compression::PackBits => pack_bits(stored, length),
        Compression::Jpeg { ycbcr } => {
            let file = jpeg::with_tables(stored, tables, ycbcr);
            return by_jpeg(&file, piece, kind, limits);
        }
        Compression::OldJpeg => return Err(strange(&"old-style JPEG in parts")),
        Compression::Huffman | Compression::Group3 { .. } | Compression::Group4 => {
            lines(stored, piece.size, kind.compression)?
        }
    };
    if kind.predictor != Predictor::None {
        let (samples, width) = (kind.together(), kind.bits / 8);
        for row in bytes.chunks_mut(piece.size.0 * samples * width) {
            match kind.predictor {
                Predictor::Float => add_bytes(row, samples, width, order),
                _ => add_values(row, samples, width, order),
            }
        }
    }
    Ok(bytes)
}

fn lzw(stored: &[u8], length: usize) -> Result<Vec<u8>> {
    let configuration = Configuration::with_tiff_size_switch(BitOrder::Msb, 8);
    let mut decoder = configuration.with_yield_on_full_buffer(true).build();
    let mut bytes = vec![0; length];
    let (mut read, mut written) = (0, 0);
    while written < length {
        let result = decoder.decode_bytes(&stored[read..], &mut bytes[written..]);
        read += result.consumed_in;
        written += result.consumed_out;
        match result.status {
            Ok(weezl::LzwStatus::Ok) => {}
            Ok(_) => break,
            Err(error) => return Err(broken(&error)),
        }
    }
    bytes.truncate(written);
    Ok(bytes)
}

fn deflate(stored: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut decoder = Decompressor::new();
    let mut bytes = vec![0; length];
    let (mut read, mut written) = (0, 0);
    while !decoder.is_done() && written < length {
        let step = decoder.read(&stored[read..], &mut bytes, written, false);
        let (consumed, produced) = step.map_err(|error| broken(&format_args!("{error:?}")))?;
        read += consumed;
        written += produced;
        if consumed == 0 && produced == 0 {
            break;
        }
    }
    bytes.truncate(written);
    Ok(bytes)
}

/// TIFF 6.0, section 9: a count, then that many bytes, or one byte to repeat.
fn pack_bits(stored: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    let mut rest = stored;
    while let Some((&count, after)) = rest.split_first()
        && bytes.len() < length
    {
        rest = match count as i8 {
            count @ 0.. => {
                let (run, after) = after.split_at(after.len().min(count as usize + 1));
                bytes.extend_from_slice(run);
                after
            }
            -128 => after,
            count => {
                let Some((&byte, after)) = after.split_first() else {
                    break;
                };
                bytes.extend(std::iter::repeat_n(
                    byte,
                    1 + usize::from(count.unsigned_abs()),
                ));
                after
            }
        };
    }
    bytes.truncate(length);
    bytes
}

/// Lines of black and white, as fax machines send them; one bit a pixel, black is 1.
fn lines(
    stored: &[u8],
    (columns, rows): (usize, usize),
    compression: Compression,
) -> Result<Vec<u8>> {
    struct Rows {
        columns: usize,
        bytes: Vec<u8>,
    }
    impl hayro_ccitt::Decoder for Rows {
        fn push_row(&mut self, changes: &[u32]) {
            let start = self.bytes.len();
            self.bytes.resize(start + self.columns.div_ceil(8), 0);
            let row = &mut self.bytes[start..];
            for black in changes.chunks(2) {
                let end = black.get(1).map_or(self.columns, |&end| end as usize);
                (black[0] as usize..end).for_each(|x| row[x / 8] |= 0x80 >> (x % 8));
            }
        }
    }
    let settings = DecodeSettings {
        columns: columns as u32,
        rows: rows as u32,
        end_of_block: compression != Compression::Huffman,
        end_of_line: matches!(compression, Compression::Group3 { .. }),
        rows_are_byte_aligned: compression == Compression::Huffman,
        encoding: match compression {
            Compression::Group4 => EncodingMode::Group4,
            Compression::Group3 {
                two_dimensional: true,
            } => EncodingMode::Group3_2D,
            _ => EncodingMode::Group3_1D,
        },
        strict: false,
    };
    let mut decoded = Rows {
        columns,
        bytes: Vec::with_capacity(columns.div_ceil(8) * rows),
    };
    let ended = hayro_ccitt::decode(stored, &mut decoded, &mut DecoderContext::new(settings));
    let length = columns.div_ceil(8) * rows;
    match ended {
        Err(error)
            if decoded.bytes.len() < length && error != hayro_ccitt::DecodeError::UnexpectedEof =>
        {
            Err(broken(&error))
        }
        _ => {
            decoded.bytes.truncate(length);
            Ok(decoded.bytes)
        }
    }
}

fn by_jpeg(file: &[u8], piece: &Piece, kind: &Kind, limits: &Limits) -> Result<Vec<u8>> {
    let (columns, rows) = piece.size;
    let channels = kind.together();
    let picture = jpeg::samples(file, limits)?;
    if picture.channels != channels || picture.columns < columns || kind.bits != 8 {
        let (found, wide) = (picture.channels, picture.columns);
        let what = format!(
            "a JPEG part of {found} channels and {wide} columns, expected {channels} and {columns}"
        );
        return Err(broken(&what));
    }
    let lines = picture.values.chunks(picture.columns * channels).take(rows);
    Ok(lines
        .flat_map(|line| &line[..columns * channels])
        .copied()
        .collect())
}

/// Differences → values, in place.
fn add_values(row: &mut [u8], samples: usize, width: usize, order: Order) {
    for at in (samples * width..row.len().saturating_sub(width - 1)).step_by(width) {
        let (before, after) = row.split_at_mut(at);
        let value = &mut after[..width];
        let sum = order
            .number(&before[at - samples * width..][..width])
            .wrapping_add(order.number(value));
        for (i, byte) in value.iter_mut().enumerate() {
            let place = if order == Order::Little {
                i
            } else {
                width - 1 - i
            };
            *byte = (sum >> (8 * place)) as u8;
        }
    }
}

/// Adobe's technical note 3: differences of bytes, all the highest ones first, → values in the file's order.
fn add_bytes(row: &mut [u8], samples: usize, width: usize, order: Order) {
    for at in samples..row.len() {
        row[at] = row[at].wrapping_add(row[at - samples]);
    }
    let sorted = row.to_vec();
    let values = sorted.len() / width;
    for (at, byte) in row.iter_mut().enumerate().take(values * width) {
        let place = if order == Order::Big {
            at % width
        } else {
            width - 1 - at % width
        };
        *byte = sorted[place * values + at / width];
    }
}
