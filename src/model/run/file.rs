//! ONNX bytes → the tensors and the plan in them, where they lie: nothing is copied.
//!
//! Field numbers are those of onnx.proto3: ModelProto.graph 7, .metadata_props 14;
//! GraphProto.initializer 5; TensorProto.dims 1, .data_type 2, .name 8, .raw_data 9; TensorProto.DataType.FLOAT 1,
//! .UINT8 2, .INT8 3, .FLOAT16 10; StringStringEntryProto.key 1, .value 2.

use std::collections::HashMap;
use std::ops::Range;

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::weights::{MOST_IN_A_BYTE, Values};

/// What a plan needs from an ONNX file.
pub struct File<'a> {
    /// The whole file.
    pub onnx: &'a [u8],
    /// Initialisers that hold FP32, FP16, INT8 or UINT8 as bytes.
    pub tensors: HashMap<&'a str, Values<'a>>,
    /// `metadata_props`.
    pub notes: HashMap<&'a str, &'a str>,
}

/// Where the values of a tensor lie in a file, and what its bytes are.
#[derive(Debug, Clone)]
pub struct Span {
    form: Form,
    pub bytes: Range<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Signed,
    Unsigned,
    Half,
    Single,
}

impl Span {
    /// The span of values that are a part of this file.
    pub fn of(values: Values, onnx: &[u8]) -> Option<Span> {
        let (form, bytes) = match values {
            Values::Bytes(bytes) => (Form::Signed, bytes),
            Values::Unsigned(bytes) => (Form::Unsigned, bytes),
            Values::HalfBytes(bytes) => (Form::Half, bytes),
            Values::SingleBytes(bytes) => (Form::Single, bytes),
            Values::Blocks(_) => return None,
            #[cfg(feature = "compile")]
            Values::Single(_) => return None,
        };
        let start = (bytes.as_ptr() as usize).checked_sub(onnx.as_ptr() as usize)?;
        let bytes = start..start + bytes.len();
        Some(Span { form, bytes })
    }

    pub fn is_unsigned(&self) -> bool {
        matches!(self.form, Form::Unsigned)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        let width = match self.form {
            Form::Signed | Form::Unsigned => 1,
            Form::Half => 2,
            Form::Single => 4,
        };
        self.bytes.len() / width
    }

    /// The values.
    ///
    /// # Panics
    /// When the file no longer reaches that far.
    pub fn values<'a>(&self, onnx: &'a [u8]) -> Values<'a> {
        let bytes = &onnx[self.bytes.clone()];
        match self.form {
            Form::Signed => Values::Bytes(bytes),
            Form::Unsigned => Values::Unsigned(bytes),
            Form::Half => Values::HalfBytes(bytes),
            Form::Single => Values::SingleBytes(bytes),
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

    /// The most values that its tensors stand for: a byte may hold several.
    pub fn held(&self) -> usize {
        let held = self.tensors.values().map(|values| match values {
            Values::Unsigned(bytes) => MOST_IN_A_BYTE * bytes.len(),
            values => values.len(),
        });
        held.fold(0, usize::saturating_add)
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
        const UNSIGNED: u64 = 2;
        const WHOLE: u64 = 3;
        const HALF: u64 = 10;
        let values = match kind {
            SINGLE if raw.len().is_multiple_of(4) => Values::SingleBytes(raw),
            HALF if raw.len().is_multiple_of(2) => Values::HalfBytes(raw),
            WHOLE => Values::Bytes(raw),
            UNSIGNED => Values::Unsigned(raw),
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
