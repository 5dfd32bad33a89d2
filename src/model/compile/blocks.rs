//! The weights of MatMulNBits nodes, as they lie in a file: a plan refers to them there, so that the file holds them
//! once.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto};

use super::proto;
use crate::error::Result;
use crate::model::compile::ops::{Arrangement, Values};
use crate::model::run::File;
use crate::model::run::weights::Blocks;

/// A matrix whose rows are the outputs; rows are padded to whole blocks.
#[derive(Debug, Clone)]
pub struct Matrix {
    pub numbers: String,
    pub bits: usize,
    pub block: usize,
    /// Blocks of a row.
    pub row: usize,
    pub steps: String,
    pub zeros: Option<String>,
    inputs: usize,
    outputs: usize,
}

const OPERATOR: &str = "MatMulNBits";

/// The matrices of a file.
///
/// # Errors
/// Those of reading a damaged file.
pub fn matrices(onnx: &[u8]) -> Result<Vec<Matrix>> {
    // Decoding copies all weights.
    if !onnx
        .windows(OPERATOR.len())
        .any(|part| part == OPERATOR.as_bytes())
    {
        return Ok(Vec::new());
    }
    let graph = proto::decode(onnx)?.graph.unwrap_or_default();
    let nodes = graph.node.iter();
    let nodes = nodes.filter(|node| node.op_type == OPERATOR);
    let casts = casts(&graph);
    Ok(nodes.filter_map(|node| matrix(node, &casts)).collect())
}

/// What casts give → what they are given, such as steps that are stored in FP16.
fn casts(graph: &GraphProto) -> HashMap<&str, &str> {
    let casts = graph.node.iter().filter(|node| node.op_type == "Cast");
    let ends = casts.filter_map(|node| Some((&**node.output.first()?, &**node.input.first()?)));
    ends.collect()
}

fn matrix(node: &NodeProto, casts: &HashMap<&str, &str>) -> Option<Matrix> {
    let given = |at: usize| {
        let name = node.input.get(at).map_or("", String::as_str);
        let name = casts.get(name).copied().unwrap_or(name);
        (!name.is_empty()).then(|| name.to_string())
    };
    let number = |name: &str| {
        let found = node.attribute.iter().find(|a| a.name == name)?;
        usize::try_from(found.i).ok().filter(|&number| number > 0)
    };
    let (inputs, block) = (number("K")?, number("block_size")?);
    Some(Matrix {
        numbers: given(1)?,
        bits: number("bits").unwrap_or(4),
        block,
        row: inputs.div_ceil(block),
        steps: given(2)?,
        zeros: given(3),
        inputs,
        outputs: number("N")?,
    })
}

impl Matrix {
    /// Where these weights begin in it and how far apart outputs and inputs are; none if they are others. They may be
    /// some of its outputs, or in a gradient some of its inputs.
    pub fn holds(
        &self,
        values: &[f32],
        arrangement: &Arrangement,
        file: &File,
    ) -> Option<(usize, [usize; 3])> {
        if arrangement.groups != 1 {
            return None;
        }
        let find = |name: &String| file.tensors.get(&**name).copied();
        let Values::Unsigned(numbers) = find(&self.numbers)? else {
            return None;
        };
        let padded = self.row * self.block;
        let blocks = Blocks {
            numbers,
            bits: self.bits,
            block: self.block,
            row: self.row,
            steps: find(&self.steps)?,
            zeros: match &self.zeros {
                Some(zeros) => Some(find(zeros)?),
                None => None,
            },
            start: 0,
        };
        let held = Values::Blocks(&blocks);
        if held.len() != self.outputs * padded {
            return None;
        }
        let (outputs, inputs, taps) =
            (arrangement.bias.len(), arrangement.inputs, arrangement.taps);
        let [one, across, deep] = arrangement.strides;
        let made: Vec<usize> = (0..outputs).map(|output| output * one).collect();
        // Several taps are inputs that a graph had over two axes, such as heads.
        let outer = (0..taps).flat_map(|tap| (0..inputs).map(move |at| at * across + tap * deep));
        let inner = (0..inputs).flat_map(|at| (0..taps).map(move |tap| at * across + tap * deep));
        let [outer, inner]: [Vec<usize>; 2] = [outer.collect(), inner.collect()];
        let mut row = vec![0.0; self.inputs];
        for (rows, columns, strides) in [
            (&made, &outer, [padded, 1, inputs]),
            (&made, &inner, [padded, taps, 1]),
            (&outer, &made, [1, padded, inputs * padded]),
            (&inner, &made, [1, taps * padded, padded]),
        ] {
            if columns.len() != self.inputs || rows.len() > self.outputs {
                continue;
            }
            let mut same = |first: usize, at: usize| {
                held.read((first + at) * padded, &mut row);
                let mut pairs = row.iter().zip(columns);
                pairs.all(|(held, column)| values.get(rows[at] + column) == Some(held))
            };
            let mut starts = 0..=self.outputs - rows.len();
            let first = starts.find(|&first| (0..rows.len()).all(|at| same(first, at)));
            if let Some(first) = first {
                return Some((first * padded, strides));
            }
        }
        None
    }
}
