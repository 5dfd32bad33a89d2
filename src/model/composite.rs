//! ONNX nodes that compute with quantised numbers → DequantizeLinear, the plain operator, QuantizeLinear.
//!
//! The formulas are those of ONNX's operators and of `ContribOperators.md` of ONNX Runtime.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::proto::{self, MOST_ELEMENTS, halves};
use crate::error::{Error, Result};

/// Operators that are read here, whatever tract makes of them.
pub const OPERATORS: [&str; 19] = [
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "MatMulNBits",
    "QGemm",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearConcat",
    "QLinearConv",
    "QLinearGlobalAveragePool",
    "QLinearLeakyRelu",
    "QLinearMatMul",
    "QLinearMul",
    "QLinearSigmoid",
    "QLinearSoftmax",
    "QuantizeLinear",
];

/// Operators that hand quantised numbers on as they are.
const PASSING: [&str; 17] = [
    "Concat",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GlobalMaxPool",
    "Identity",
    "MaxPool",
    "Pad",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// Whether a graph holds quantised operators.
pub fn is_quantised(graph: &GraphProto) -> bool {
    let mut nodes = graph.node.iter();
    nodes.any(|node| OPERATORS.contains(&node.op_type.as_str()))
}

/// Whether it is more than weights that a graph quantises.
pub fn quantises_values(graph: &GraphProto) -> bool {
    let weights = ["DequantizeLinear", "MatMulNBits"];
    let mut nodes = graph.node.iter().map(|node| node.op_type.as_str());
    nodes.any(|operator| OPERATORS.contains(&operator) && !weights.contains(&operator))
}

/// Number of weights that a graph holds, however many lie in a byte.
pub fn parameters(graph: &GraphProto) -> u64 {
    let size = |node: &NodeProto, name: &str| {
        let attribute = node.attribute.iter().find(|a| a.name == name);
        attribute.map_or(0, |a| u64::try_from(a.i).unwrap_or(0))
    };
    let packed = graph.node.iter().filter(|n| n.op_type == "MatMulNBits");
    let (mut held, mut count) = (HashSet::new(), 0u64);
    for node in packed {
        held.extend(node.input.get(1));
        count = count.saturating_add(size(node, "K").saturating_mul(size(node, "N")));
    }
    let others = graph.initializer.iter();
    let others = others.filter(|t| t.dims.len() > 1 && !held.contains(&t.name));
    let elements = others.filter_map(|t| proto::elements(&t.dims));
    elements.fold(count, |sum, elements| sum.saturating_add(elements as u64))
}

/// Takes composite nodes apart. Gives the tensors of numbers that stand for others: a heatmap taken
/// there would be one of the zero points too.
///
/// # Errors
/// [`Error::UnsupportedModel`] for weights whose sizes do not fit each other.
pub fn expand(graph: &mut GraphProto) -> Result<HashSet<String>> {
    let mut nodes = std::mem::take(&mut graph.node);
    nodes.retain_mut(|node| match constant(node) {
        Some(tensor) => {
            graph.initializer.push(tensor);
            false
        }
        None => true,
    });
    let types = graph.initializer.iter();
    let types = types.map(|tensor| (tensor.name.clone(), tensor.data_type));
    let mut apart = Apart {
        types: types.collect(),
        graph,
        reals: HashMap::new(),
        numbers: HashSet::new(),
        one: None,
    };
    apart.graph.initializer.iter_mut().for_each(unpack);
    for node in nodes {
        apart.node(node)?;
    }
    Ok(apart.numbers)
}

struct Apart<'a> {
    /// Data types of initialisers.
    types: HashMap<String, i32>,
    graph: &'a mut GraphProto,
    /// What quantised tensors stand for: tensor, step, zero point → tensor.
    reals: HashMap<[String; 3], String>,
    numbers: HashSet<String>,
    /// The step 1.
    one: Option<String>,
}

impl Apart<'_> {
    fn node(&mut self, mut node: NodeProto) -> Result<()> {
        let given = std::mem::take(&mut node.input);
        let input = |at: usize| given.get(at).cloned().unwrap_or_default();
        let output = node.output.first().cloned().unwrap_or_default();
        match node.op_type.as_str() {
            "QuantizeLinear" => {
                let tells = node.attribute.iter().any(|a| a.name == "output_dtype");
                if let Some(&told) = self.types.get(&input(2)).filter(|_| !tells) {
                    node.attribute.push(number("output_dtype", i64::from(told)));
                }
                self.numbers.insert(output);
                node.input = given;
                self.graph.node.push(node);
            }
            "DynamicQuantizeLinear" => {
                self.numbers.insert(output);
                node.input = given;
                self.graph.node.push(node);
            }
            "ConvInteger" | "MatMulInteger" => {
                let convolution = node.op_type == "ConvInteger";
                let (rows, columns, plain) = match convolution {
                    true => (1, 0, "Conv"),
                    false => (-2, -1, "MatMul"),
                };
                let one = self.one();
                let a = self.real(&input(0), &one, &input(2), rows);
                let b = self.real(&input(1), &one, &input(3), columns);
                self.push(plain, vec![a, b], &output, node.attribute);
            }
            "QLinearConv" => {
                let x = self.real(&input(0), &input(1), &input(2), 1);
                let w = self.real(&input(3), &input(4), &input(5), 0);
                let mut inputs = vec![x, w];
                if !input(8).is_empty() {
                    inputs.push(self.bias(&output, &input(8), &input(1), &input(4)));
                }
                let real = format!("{output}.exact");
                self.push("Conv", inputs, &real, node.attribute);
                self.quantised(real, [input(6), input(7)], &output);
            }
            "QLinearMatMul" => {
                let a = self.real(&input(0), &input(1), &input(2), -2);
                let b = self.real(&input(3), &input(4), &input(5), -1);
                let real = format!("{output}.exact");
                self.push("MatMul", vec![a, b], &real, node.attribute);
                self.quantised(real, [input(6), input(7)], &output);
            }
            "QGemm" => {
                let transposed = node
                    .attribute
                    .iter()
                    .any(|a| a.name == "transB" && a.i != 0);
                let a = self.real(&input(0), &input(1), &input(2), 1);
                let b = self.real(&input(3), &input(4), &input(5), i64::from(!transposed));
                let mut inputs = vec![a, b];
                if !input(6).is_empty() {
                    inputs.push(self.bias(&output, &input(6), &input(1), &input(4)));
                }
                if input(7).is_empty() {
                    self.push("Gemm", inputs, &output, node.attribute);
                } else {
                    let real = format!("{output}.exact");
                    self.push("Gemm", inputs, &real, node.attribute);
                    self.quantised(real, [input(7), input(8)], &output);
                }
            }
            "QLinearAdd" | "QLinearMul" => {
                let a = self.real(&input(0), &input(1), &input(2), 1);
                let b = self.real(&input(3), &input(4), &input(5), 1);
                let real = format!("{output}.exact");
                self.push(&node.op_type[7..], vec![a, b], &real, Vec::new());
                self.quantised(real, [input(6), input(7)], &output);
            }
            "QLinearSigmoid"
            | "QLinearLeakyRelu"
            | "QLinearAveragePool"
            | "QLinearGlobalAveragePool"
            | "QLinearSoftmax" => {
                // Before opset 13 a Softmax took all axes from the named one on for one.
                let opset = node.attribute.iter().find(|a| a.name == "opset");
                let axis = node.attribute.iter().find(|a| a.name == "axis");
                if opset.is_some_and(|opset| opset.i < 13) && axis.is_some_and(|axis| axis.i != -1)
                {
                    return Err(Error::UnsupportedOperator(format!(
                        "operator QLinearSoftmax at `{}` is of an opset before 13, whose axis cannot be run here",
                        proto::label(&node)
                    )));
                }
                node.attribute.retain(|a| a.name != "opset");
                if node
                    .attribute
                    .iter()
                    .any(|a| a.name == "channels_last" && a.i != 0)
                {
                    return Err(Error::UnsupportedOperator(format!(
                        "operator {} at `{}` keeps its channels last, which cannot be run here",
                        node.op_type,
                        proto::label(&node)
                    )));
                }
                node.attribute.retain(|a| a.name != "channels_last");
                let x = self.real(&input(0), &input(1), &input(2), 1);
                let real = format!("{output}.exact");
                self.push(&node.op_type[7..], vec![x], &real, node.attribute);
                self.quantised(real, [input(3), input(4)], &output);
            }
            "QLinearConcat" => {
                let parts = given.get(2..).unwrap_or_default().chunks_exact(3);
                let parts: Vec<[String; 3]> = parts
                    .map(|part| [part[0].clone(), part[1].clone(), part[2].clone()])
                    .collect();
                let parts = parts
                    .iter()
                    .map(|[x, step, zero]| self.real(x, step, zero, 1));
                let parts = parts.collect();
                let real = format!("{output}.exact");
                self.push("Concat", parts, &real, node.attribute);
                self.quantised(real, [input(0), input(1)], &output);
            }
            "DynamicQuantizeMatMul" => {
                let [a, step, zero] = ["a", "step", "zero"].map(|part| format!("{output}.{part}"));
                self.graph.node.push(NodeProto {
                    op_type: "DynamicQuantizeLinear".into(),
                    name: a.clone(),
                    input: vec![input(0)],
                    output: vec![a.clone(), step.clone(), zero.clone()],
                    ..NodeProto::default()
                });
                self.numbers.insert(a.clone());
                let a = self.real(&a, &step, &zero, 1);
                let b = self.real(&input(1), &input(2), &input(3), -1);
                self.product(a, b, input(4), &output);
            }
            "MatMulIntegerToFloat" => {
                let a = self.real(&input(0), &input(2), &input(4), -2);
                let b = self.real(&input(1), &input(3), &input(5), -1);
                self.product(a, b, input(6), &output);
            }
            "MatMulNBits" => {
                let weights = self.few_bits(&node, &given)?;
                self.product(input(0), weights, input(5), &output);
            }
            operator => {
                let mut images = given.iter().filter(|name| !self.types.contains_key(*name));
                if PASSING.contains(&operator)
                    && images
                        .next()
                        .is_some_and(|name| self.numbers.contains(name))
                {
                    self.numbers.extend(node.output.iter().cloned());
                }
                node.input = given;
                self.graph.node.push(node);
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        operator: &str,
        mut inputs: Vec<String>,
        output: &str,
        attribute: Vec<AttributeProto>,
    ) {
        while inputs.last().is_some_and(String::is_empty) {
            inputs.pop();
        }
        self.graph.node.push(NodeProto {
            op_type: operator.into(),
            name: output.into(),
            input: inputs,
            output: vec![output.into()],
            attribute,
            ..NodeProto::default()
        });
    }

    /// What a quantised tensor stands for.
    fn real(&mut self, tensor: &str, step: &str, zero: &str, axis: i64) -> String {
        let key = [tensor, step, zero].map(String::from);
        if let Some(real) = self.reals.get(&key) {
            return real.clone();
        }
        let mut real = format!("{tensor}.real");
        while self.reals.values().any(|taken| *taken == real) {
            real.push('\'');
        }
        self.reals.insert(key.clone(), real.clone());
        self.push(
            "DequantizeLinear",
            key.into(),
            &real,
            vec![number("axis", axis)],
        );
        real
    }

    fn quantised(&mut self, real: String, [step, zero]: [String; 2], output: &str) {
        let mut attributes = Vec::new();
        if let Some(&told) = self.types.get(&zero) {
            attributes.push(number("output_dtype", i64::from(told)));
        }
        self.push("QuantizeLinear", vec![real, step, zero], output, attributes);
        self.numbers.insert(output.into());
    }

    /// A bias in steps of the product of two others.
    fn bias(&mut self, output: &str, bias: &str, a: &str, b: &str) -> String {
        let step = format!("{output}.step");
        self.push("Mul", vec![a.into(), b.into()], &step, Vec::new());
        self.real(bias, &step, "", 0)
    }

    fn product(&mut self, a: String, b: String, bias: String, output: &str) {
        if bias.is_empty() {
            return self.push("MatMul", vec![a, b], output, Vec::new());
        }
        let product = format!("{output}.product");
        self.push("MatMul", vec![a, b], &product, Vec::new());
        self.push("Add", vec![product, bias], output, Vec::new());
    }

    fn one(&mut self) -> String {
        let graph = &mut self.graph;
        let one = self.one.get_or_insert_with(|| {
            let name = "whylens.one".to_string();
            graph.initializer.push(single(name.clone(), vec![], &[1.0]));
            name
        });
        one.clone()
    }

    /// The weights of a MatMulNBits, inputs × outputs.
    fn few_bits(&mut self, node: &NodeProto, given: &[String]) -> Result<String> {
        let wrong = |text: &str| {
            let name = proto::label(node);
            Error::UnsupportedModel(format!("the weights of `{name}` cannot be read: {text}"))
        };
        let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name).map(|a| a.i);
        let size = |name: &str| {
            let size = attribute(name).and_then(|size| usize::try_from(size).ok());
            size.filter(|&size| (1..=MOST_ELEMENTS).contains(&size))
                .ok_or_else(|| wrong(&format!("`{name}` is missing")))
        };
        let (inputs, outputs, block) = (size("K")?, size("N")?, size("block_size")?);
        let bits = attribute("bits").unwrap_or(4) as usize;
        if ![2, 4, 8].contains(&bits) {
            return Err(wrong(&format!("they have {bits} bits, expected 2, 4 or 8")));
        }
        if given.get(4).is_some_and(|name| !name.is_empty()) {
            return Err(wrong("their groups are in an order of their own (`g_idx`)"));
        }
        if inputs.saturating_mul(outputs) > MOST_ELEMENTS {
            return Err(wrong("they are too many"));
        }
        let tensor = |at: usize| {
            let name = given.get(at).filter(|name| !name.is_empty());
            name.map(|name| {
                let found = self.graph.initializer.iter().find(|t| t.name == *name);
                found.ok_or_else(|| wrong(&format!("`{name}` is not constant")))
            })
        };
        let missing = || wrong("weights or scales are missing");
        let packed = values(tensor(1).ok_or_else(missing)??).ok_or_else(missing)?;
        let steps = values(tensor(2).ok_or_else(missing)??).ok_or_else(missing)?;
        let zeros = tensor(3).transpose()?;
        let (blocks, per_byte) = (inputs.div_ceil(block), 8 / bits);
        let (row, zero_row) = (block.div_ceil(per_byte), blocks.div_ceil(per_byte));
        let field = |byte: f32, at: usize| {
            let mask = (1u32 << bits) - 1;
            ((byte as u32 >> (bits * (at % per_byte))) & mask) as f32
        };
        let float = zeros.is_some_and(|zeros| zeros.data_type != DataType::Uint8 as i32);
        let zeros = zeros
            .map(|zeros| values(zeros).ok_or_else(missing))
            .transpose()?;
        let expected = zeros
            .as_ref()
            .map_or(0, |_| outputs * if float { blocks } else { zero_row });
        if packed.len() != outputs * blocks * row
            || steps.len() != outputs * blocks
            || zeros.as_ref().map_or(0, Vec::len) != expected
        {
            return Err(wrong("their sizes do not fit `K`, `N` and `block_size`"));
        }
        let mut weights = vec![0f32; inputs * outputs];
        for output in 0..outputs {
            for input in 0..inputs {
                let (at, within) = (input / block, input % block);
                let zero = match &zeros {
                    None => (1 << (bits - 1)) as f32,
                    Some(zeros) if float => zeros[output * blocks + at],
                    Some(zeros) => field(zeros[output * zero_row + at / per_byte], at),
                };
                let byte = packed[(output * blocks + at) * row + within / per_byte];
                weights[input * outputs + output] =
                    (field(byte, within) - zero) * steps[output * blocks + at];
            }
        }
        let name = format!("{}.real", node.output[0]);
        let shape = vec![inputs as i64, outputs as i64];
        self.graph
            .initializer
            .push(single(name.clone(), shape, &weights));
        Ok(name)
    }
}

fn number(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: 2,
        i,
        ..Default::default()
    }
}

fn single(name: String, dims: Vec<i64>, values: &[f32]) -> TensorProto {
    TensorProto {
        name,
        dims,
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    }
}

/// The tensor of a Constant, under the name of its output.
fn constant(node: &mut NodeProto) -> Option<TensorProto> {
    let held = node.op_type == "Constant" && node.attribute.iter().any(|a| a.t.is_some());
    let attribute = node.attribute.iter_mut().find(|_| held)?;
    let mut tensor = attribute.t.take()?;
    tensor.name.clone_from(node.output.first()?);
    Some(tensor)
}

/// Gives each number of four bits a byte of its own; they lie in pairs, the first in the lower half.
fn unpack(tensor: &mut TensorProto) {
    let (wider, signed) = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Uint4) => (DataType::Uint8, false),
        Ok(DataType::Int4) => (DataType::Int8, true),
        _ => return,
    };
    let ints = tensor.int32_data.iter().map(|&int| int as u8);
    let bytes = tensor.raw_data.iter().copied().chain(ints);
    let nibbles = bytes.flat_map(|byte| [byte & 15, byte >> 4]);
    let elements = proto::elements(&tensor.dims).unwrap_or(0);
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

/// The numbers of a tensor of floats or bytes.
fn values(tensor: &TensorProto) -> Option<Vec<f32>> {
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
