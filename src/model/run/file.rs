//! ONNX bytes → the tensors and the plan in them, where they lie: nothing is copied.
//!
//! Field numbers are those of onnx.proto3: ModelProto.graph 7, .metadata_props 14;
//! GraphProto.initializer 5; TensorProto.dims 1, .data_type 2, .name 8, .raw_data 9; TensorProto.DataType.FLOAT 1,
//! .INT8 3, .FLOAT16 10;
//! StringStringEntryProto.key 1, .value 2.

use std::collections::HashMap;
use std::ops::Range;

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::weights::Values;

/// What a plan needs from an ONNX file.
pub struct File<'a> {
    /// The whole file.
    pub onnx: &'a [u8],
    /// Initialisers that hold FP32, FP16 or INT8 as bytes.
    pub tensors: HashMap<&'a str, Values<'a>>,
    /// `metadata_props`.
    pub notes: HashMap<&'a str, &'a str>,
}

/// Where the values of a tensor lie in a file: these bytes, as INT8, FP16 or FP32.
#[derive(Debug, Clone)]
pub struct Span {
    /// Bytes of a value.
    width: usize,
    pub bytes: Range<usize>,
}

impl Span {
    /// The span of values that are a part of this file.
    pub fn of(values: Values, onnx: &[u8]) -> Option<Span> {
        let (width, bytes) = match values {
            Values::Bytes(bytes) => (1, bytes),
            Values::HalfBytes(bytes) => (2, bytes),
            Values::SingleBytes(bytes) => (4, bytes),
            #[cfg(feature = "compile")]
            Values::Single(_) => return None,
        };
        let start = (bytes.as_ptr() as usize).checked_sub(onnx.as_ptr() as usize)?;
        let bytes = start..start + bytes.len();
        Some(Span { width, bytes })
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.width
    }

    /// The values.
    ///
    /// # Panics
    /// When the file no longer reaches that far.
    pub fn values<'a>(&self, onnx: &'a [u8]) -> Values<'a> {
        let bytes = &onnx[self.bytes.clone()];
        match self.width {
            1 => Values::Bytes(bytes),
            2 => Values::HalfBytes(bytes),
            _ => Values::SingleBytes(bytes),
        }
    }
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

impl<'a> File<'a> {
    /// Reads a file; damaged parts count as missing.
    pub fn read(onnx: &'a [u8]) -> File<'a> {
        let mut file = File {
            onnx,
            tensors: HashMap::new(),
            notes: HashMap::new(),
        };
        let _ = fields(onnx, |number, field| match (number, field) {
            (7, Field::Bytes(graph)) => fields(graph, |number, field| match (number, field) {
                (5, Field::Bytes(tensor)) => file.tensor(tensor),
                _ => Ok(()),
            }),
            (14, Field::Bytes(entry)) => file.note(entry),
            _ => Ok(()),
        });
        file
    }

    fn tensor(&mut self, message: &'a [u8]) -> Result<(), DecodeError> {
        let (mut name, mut raw, mut kind) = ("", &[][..], 0);
        fields(message, |number, field| {
            match (number, field) {
                (2, Field::Number(number)) => kind = number,
                (8, Field::Bytes(bytes)) => name = text(bytes),
                (9, Field::Bytes(bytes)) => raw = bytes,
                _ => (),
            }
            Ok(())
        })?;
        const SINGLE: u64 = 1;
        const WHOLE: u64 = 3;
        const HALF: u64 = 10;
        let values = match kind {
            SINGLE if raw.len().is_multiple_of(4) => Values::SingleBytes(raw),
            HALF if raw.len().is_multiple_of(2) => Values::HalfBytes(raw),
            WHOLE => Values::Bytes(raw),
            _ => return Ok(()),
        };
        self.tensors.insert(name, values);
        Ok(())
    }

    fn note(&mut self, message: &'a [u8]) -> Result<(), DecodeError> {
        let (mut key, mut value) = ("", "");
        fields(message, |number, field| {
            match (number, field) {
                (1, Field::Bytes(bytes)) => key = text(bytes),
                (2, Field::Bytes(bytes)) => value = text(bytes),
                _ => (),
            }
            Ok(())
        })?;
        self.notes.insert(key, value);
        Ok(())
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn fields<'a>(
    mut message: &'a [u8],
    mut each: impl FnMut(u32, Field<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while !message.is_empty() {
        let (number, wire) = decode_key(&mut message)?;
        let field = match wire {
            WireType::Varint => Field::Number(decode_varint(&mut message)?),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut message)?).unwrap_or(usize::MAX);
                let Some((bytes, rest)) = message.split_at_checked(length) else {
                    return Ok(());
                };
                message = rest;
                Field::Bytes(bytes)
            }
            _ => {
                skip_field(wire, number, &mut message, DecodeContext::default())?;
                Field::Other
            }
        };
        each(number, field)?;
    }
    Ok(())
}
