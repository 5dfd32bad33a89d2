//! TIFF bytes → the tags of the first picture.

use std::collections::BTreeMap;

use image::ImageFormat;

use super::super::{cut, format};
use super::broken;
use crate::error::{Error, Result};

/// Bytes of a value, by the number of its type (TIFF 6.0, section 2; 13 from the supplement of 1995, 16 to 18 from
/// BigTIFF).
const SIZES: [usize; 19] = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8];

const RATIONAL: usize = 5;
const FLOAT: usize = 11;

pub struct Directory<'a> {
    pub order: Order,
    tags: BTreeMap<u16, Field<'a>>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Order {
    Little,
    Big,
}

struct Field<'a> {
    kind: usize,
    /// None: they lie outside of the file.
    values: Option<&'a [u8]>,
}

impl Order {
    /// At most eight bytes → their number.
    pub fn number(self, bytes: &[u8]) -> u64 {
        let join = |n: u64, byte: &u8| n << 8 | u64::from(*byte);
        match self {
            Order::Little => bytes.iter().rev().fold(0, join),
            Order::Big => bytes.iter().fold(0, join),
        }
    }
}

impl<'a> Directory<'a> {
    /// Reads the table that the header points to.
    pub fn read(bytes: &'a [u8]) -> Result<Directory<'a>> {
        let order = match bytes.starts_with(b"II") {
            true => Order::Little,
            false => Order::Big,
        };
        let number = |at: usize, length: usize| {
            let part = bytes.get(at..at.checked_add(length)?)?;
            usize::try_from(order.number(part)).ok()
        };
        // BigTIFF has offsets and counts of eight bytes; the version 43 tells it.
        let big = number(2, 2) == Some(43);
        let (start, counted, room) = if big { (8, 8, 8) } else { (4, 2, 4) };
        let table = number(start, room).ok_or_else(ended)?;
        let lines = number(table, counted).ok_or_else(ended)?;
        let mut tags = BTreeMap::new();
        for line in 0..lines.min(usize::from(u16::MAX)) {
            let at = table + counted + line * (4 + 2 * room);
            let (Some(tag), Some(kind), Some(count)) =
                (number(at, 2), number(at + 2, 2), number(at + 4, room))
            else {
                return Err(ended());
            };
            let length = count.checked_mul(SIZES.get(kind).copied().unwrap_or(0));
            let inside = at + 4 + room;
            let values = length.and_then(|length| {
                let from = match length <= room {
                    true => inside,
                    false => number(inside, room)?,
                };
                bytes.get(from..from.checked_add(length)?)
            });
            tags.entry(tag as u16).or_insert(Field { kind, values });
        }
        Ok(Directory { order, tags })
    }

    pub fn has(&self, tag: u16) -> bool {
        self.tags.contains_key(&tag)
    }

    /// The values of a tag as they are stored.
    pub fn bytes(&self, tag: u16) -> Result<Option<&'a [u8]>> {
        let Some(field) = self.tags.get(&tag) else {
            return Ok(None);
        };
        let outside = || broken(&format_args!("the values of tag {tag} are missing"));
        field.values.map(Some).ok_or_else(outside)
    }

    /// Whole numbers; none where the tag is absent or has values of another kind.
    pub fn numbers(&self, tag: u16) -> Result<Option<Vec<u64>>> {
        let Some(bytes) = self.bytes(tag)? else {
            return Ok(None);
        };
        let kind = self.tags[&tag].kind;
        if bytes.is_empty() || matches!(kind, RATIONAL | 10 | FLOAT | 12) {
            return Ok(None);
        }
        let values = bytes.chunks_exact(SIZES[kind]);
        Ok(Some(values.map(|value| self.order.number(value)).collect()))
    }

    pub fn number(&self, tag: u16) -> Result<Option<u64>> {
        Ok(self.numbers(tag)?.and_then(|all| all.first().copied()))
    }

    /// Fractions; none where the tag is absent or has values of another kind.
    pub fn fractions(&self, tag: u16) -> Result<Option<Vec<f32>>> {
        let Some(bytes) = self.bytes(tag)? else {
            return Ok(None);
        };
        let number = |bytes: &[u8]| self.order.number(bytes);
        Ok(match self.tags[&tag].kind {
            RATIONAL => Some(
                bytes
                    .chunks_exact(8)
                    .map(|value| number(&value[..4]) as f32 / number(&value[4..]).max(1) as f32)
                    .collect(),
            ),
            FLOAT => Some(
                bytes
                    .chunks_exact(4)
                    .map(|value| f32::from_bits(number(value) as u32))
                    .collect(),
            ),
            _ => None,
        })
    }
}

fn ended() -> Error {
    cut(format::name(ImageFormat::Tiff), None)
}
