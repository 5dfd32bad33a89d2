//! Weights that share bytes → single numbers.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto};

use super::super::limits;
use super::super::proto::halves;
use crate::error::{Error, Result};
use crate::model::run::MOST_ELEMENTS;

/// Gives each four-bit number its own byte; they are stored in pairs, the first in the lower half.
pub fn unpack(tensor: &mut TensorProto) {
    let (wider, signed) = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Uint4) => (DataType::Uint8, false),
        Ok(DataType::Int4) => (DataType::Int8, true),
        _ => return,
    };
    let ints = tensor.int32_data.iter().map(|&int| int as u8);
    let bytes = tensor.raw_data.iter().copied().chain(ints);
    let nibbles = bytes.flat_map(|byte| [byte & 15, byte >> 4]);
    let elements = limits::elements(&tensor.dims).unwrap_or(0);
    tensor.raw_data = nibbles
        .take(elements)
        .map(|nibble| match signed && nibble > 7 {
            true => nibble | 0xf0,
            false => nibble,
        })
        .collect();
    tensor.int32_data.clear();
    tensor.data_type = wider as i32;
}

/// What a node says about its weights.
pub struct Reader<'a> {
    pub node: &'a NodeProto,
    pub given: &'a [String],
    pub held: &'a [TensorProto],
}

impl Reader<'_> {
    pub fn wrong(&self, text: &str) -> Error {
        let name = limits::label(self.node);
        Error::UnsupportedModel(format!("the weights of `{name}` cannot be read: {text}"))
    }

    pub fn attribute(&self, name: &str) -> Option<i64> {
        let mut attributes = self.node.attribute.iter();
        attributes.find(|a| a.name == name).map(|a| a.i)
    }

    pub fn size(&self, name: &str) -> Result<usize> {
        let size = self.attribute(name);
        let size = size.and_then(|size| usize::try_from(size).ok());
        size.filter(|&size| (1..=MOST_ELEMENTS).contains(&size))
            .ok_or_else(|| self.wrong(&format!("`{name}` is missing or absurd")))
    }

    /// The data type and the values of a constant input; none if there is no such input.
    pub fn tensor(&self, at: usize) -> Result<Option<(i32, Vec<f32>)>> {
        let name = self.given.get(at).filter(|name| !name.is_empty());
        let find = |name: &String| {
            let found = self.held.iter().find(|t| t.name == *name);
            let values = found.and_then(|t| Some((t.data_type, values(t)?)));
            values.ok_or_else(|| self.wrong(&format!("`{name}` is not constant")))
        };
        name.map(find).transpose()
    }
}

/// The weights of a MatMulNBits: for each output and each block of inputs, a step, a zero point, and
/// numbers of a few bits.
pub struct Weights {
    /// Rows of the matrix.
    pub inputs: usize,
    /// Columns of the matrix.
    pub outputs: usize,
    bits: usize,
    block: usize,
    bytes: Vec<f32>,
    steps: Vec<f32>,
    zeros: Zeros,
}

enum Zeros {
    /// The middle.
    Middle,
    /// Packed like the weights.
    Bytes(Vec<f32>),
    Single(Vec<f32>),
}

impl Weights {
    /// The weights of a node whose inputs are `given`.
    ///
    /// # Errors
    /// [`Error::UnsupportedModel`] for anything missing or of the wrong size.
    pub fn of(node: &NodeProto, given: &[String], held: &[TensorProto]) -> Result<Weights> {
        let reader = Reader { node, given, held };
        let (size, tensor) = (|name| reader.size(name), |at| reader.tensor(at));
        let wrong = |text: &str| reader.wrong(text);
        let (inputs, outputs, block) = (size("K")?, size("N")?, size("block_size")?);
        let bits = reader.attribute("bits").unwrap_or(4);
        let bits = usize::try_from(bits)
            .ok()
            .filter(|bits| [2, 4, 8].contains(bits))
            .ok_or_else(|| wrong(&format!("they have {bits} bits, expected 2, 4 or 8")))?;
        if given.get(4).is_some_and(|name| !name.is_empty()) {
            return Err(wrong("their groups are reordered (`g_idx`)"));
        }
        if inputs.saturating_mul(outputs) > MOST_ELEMENTS {
            return Err(wrong("there are too many"));
        }
        let missing = || wrong("weights or scales are missing");
        let (_, bytes) = tensor(1)?.ok_or_else(missing)?;
        let (_, steps) = tensor(2)?.ok_or_else(missing)?;
        let zeros = match tensor(3)? {
            None => Zeros::Middle,
            Some((kind, zeros)) if kind == DataType::Uint8 as i32 => Zeros::Bytes(zeros),
            Some((_, zeros)) => Zeros::Single(zeros),
        };
        let weights = Weights {
            inputs,
            outputs,
            bits,
            block,
            bytes,
            steps,
            zeros,
        };
        let (blocks, row) = (weights.blocks(), weights.across(block));
        let each = outputs.saturating_mul(blocks);
        let zeros = match &weights.zeros {
            Zeros::Middle => true,
            Zeros::Bytes(zeros) => zeros.len() == outputs.saturating_mul(weights.across(blocks)),
            Zeros::Single(zeros) => zeros.len() == each,
        };
        let fit = weights.bytes.len() == each.saturating_mul(row) && weights.steps.len() == each;
        match fit && zeros {
            true => Ok(weights),
            false => Err(wrong("their sizes do not fit `K`, `N` and `block_size`")),
        }
    }

    fn blocks(&self) -> usize {
        self.inputs.div_ceil(self.block)
    }

    /// Bytes that this many numbers take.
    fn across(&self, numbers: usize) -> usize {
        numbers.div_ceil(8 / self.bits)
    }

    /// The number at a place of a row of bytes, the first in the lowest bits.
    fn number(&self, row: &[f32], at: usize) -> f32 {
        let each = 8 / self.bits;
        let shifted = row[at / each] as u32 >> (self.bits * (at % each));
        (shifted & ((1 << self.bits) - 1)) as f32
    }

    /// `inputs × outputs` values, row-major.
    pub fn matrix(&self) -> Vec<f32> {
        let (blocks, row) = (self.blocks(), self.across(self.block));
        let mut matrix = vec![0f32; self.inputs * self.outputs];
        for column in 0..self.outputs {
            for input in 0..self.inputs {
                let block = input / self.block;
                let at = column * blocks + block;
                let zero = match &self.zeros {
                    Zeros::Middle => (1 << (self.bits - 1)) as f32,
                    Zeros::Single(zeros) => zeros[at],
                    Zeros::Bytes(zeros) => {
                        self.number(&zeros[column * self.across(blocks)..], block)
                    }
                };
                let number = self.number(&self.bytes[at * row..], input % self.block);
                matrix[input * self.outputs + column] = (number - zero) * self.steps[at];
            }
        }
        matrix
    }
}

/// The numbers of a tensor of floats or bytes.
pub fn values(tensor: &TensorProto) -> Option<Vec<f32>> {
    let raw = &tensor.raw_data;
    let ints = tensor.int32_data.iter();
    Some(match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) => {
            let bytes = raw.chunks_exact(4);
            let floats = bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            floats.chain(tensor.float_data.iter().copied()).collect()
        }
        Ok(DataType::Float16) => halves(tensor).map(|half| half.to_f32()).collect(),
        Ok(DataType::Uint8) => {
            let bytes = raw.iter().map(|&byte| f32::from(byte));
            bytes.chain(ints.map(|&int| int as f32)).collect()
        }
        Ok(DataType::Int8) => {
            let bytes = raw.iter().map(|&byte| f32::from(byte as i8));
            bytes.chain(ints.map(|&int| int as f32)).collect()
        }
        _ => return None,
    })
}
