//! Weights of four-bit floats → single numbers.

use tract_onnx::pb::{NodeProto, TensorProto};

use super::packed::Reader;
use crate::error::Result;
use crate::model::run::MOST_ELEMENTS;

/// What the numbers stand for: 4-bit floats, or quantiles of a normal distribution. Dettmers et al., 2023,
/// arXiv:2305.14314, and bitsandbytes.
const FLOATS: [[f32; 16]; 2] = [
    [
        0.0,
        1.0 / 192.0,
        2.0 / 3.0,
        1.0,
        1.0 / 3.0,
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 4.0,
        -0.0,
        -1.0 / 192.0,
        -2.0 / 3.0,
        -1.0,
        -1.0 / 3.0,
        -1.0 / 2.0,
        -1.0 / 6.0,
        -1.0 / 4.0,
    ],
    [
        -1.0,
        -0.696_192_8,
        -0.525_073_05,
        -0.394_917_5,
        -0.284_441_38,
        -0.184_773_43,
        -0.091_050_036,
        0.0,
        0.079_580_3,
        0.160_930_2,
        0.246_112_3,
        0.337_915_24,
        0.440_709_83,
        0.562_617,
        0.722_956_84,
        1.0,
    ],
];

/// The weights of a MatMulBnb4: output by output, in pairs with the first in the upper half of a byte, and with a
/// factor for each block.
pub struct Floats {
    /// Rows of the matrix.
    pub inputs: usize,
    /// Columns of the matrix.
    pub outputs: usize,
    block: usize,
    bytes: Vec<f32>,
    steps: Vec<f32>,
    table: &'static [f32; 16],
}

impl Floats {
    /// The weights of a node whose inputs are `given`.
    ///
    /// # Errors
    /// [`Error::UnsupportedModel`](crate::Error::UnsupportedModel) for anything missing or of the wrong size.
    pub fn of(node: &NodeProto, given: &[String], held: &[TensorProto]) -> Result<Floats> {
        let reader = Reader { node, given, held };
        let (inputs, outputs) = (reader.size("K")?, reader.size("N")?);
        let block = reader.size("block_size")?;
        let kind = reader
            .attribute("quant_type")
            .and_then(|kind| usize::try_from(kind).ok());
        let table = kind.and_then(|kind| FLOATS.get(kind));
        let table = table.ok_or_else(|| reader.wrong("`quant_type` is not 0 or 1"))?;
        if reader.attribute("transB") == Some(0) {
            return Err(reader.wrong("they are stored input by input (`transB` of 0)"));
        }
        let count = inputs.saturating_mul(outputs);
        if count > MOST_ELEMENTS {
            return Err(reader.wrong("there are too many"));
        }
        let missing = || reader.wrong("weights or scales are missing");
        let (_, bytes) = reader.tensor(1)?.ok_or_else(missing)?;
        let (_, steps) = reader.tensor(2)?.ok_or_else(missing)?;
        match bytes.len() == count.div_ceil(2) && steps.len() == count.div_ceil(block) {
            true => Ok(Floats {
                inputs,
                outputs,
                block,
                bytes,
                steps,
                table,
            }),
            false => Err(reader.wrong("their sizes do not fit `K`, `N` and `block_size`")),
        }
    }

    /// `inputs × outputs` values, row-major.
    pub fn matrix(&self) -> Vec<f32> {
        let mut matrix = vec![0f32; self.inputs * self.outputs];
        for at in 0..matrix.len() {
            let byte = self.bytes[at / 2] as u8;
            let number = if at % 2 == 0 { byte >> 4 } else { byte & 15 };
            let (output, input) = (at / self.inputs, at % self.inputs);
            matrix[input * self.outputs + output] =
                self.table[usize::from(number)] * self.steps[at / self.block];
        }
        matrix
    }
}
