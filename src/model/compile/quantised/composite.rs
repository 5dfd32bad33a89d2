//! ONNX nodes that compute with quantised numbers → DequantizeLinear, the plain operator, QuantizeLinear.
//!
//! The formulas are those of ONNX's operators and of `ContribOperators.md` of ONNX Runtime.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::super::limits;
use super::centred;
use super::floats::Floats;
use super::packed::{self, Weights};
use crate::error::{Error, Result};

/// Operators that are read here and not by tract.
pub const OPERATORS: [&str; 20] = [
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulBnb4",
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

/// The most operators into which the nodes of a graph are split.
const MOST_PARTS: usize = 16_000;

/// Operators that pass quantised numbers on unchanged.
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

/// Whether a graph quantises more than weights.
pub fn quantises_values(graph: &GraphProto) -> bool {
    let weights = ["DequantizeLinear", "MatMulBnb4", "MatMulNBits"];
    let mut nodes = graph.node.iter().map(|node| node.op_type.as_str());
    nodes.any(|operator| OPERATORS.contains(&operator) && !weights.contains(&operator))
}

/// The number of weights that a graph holds, however many share a byte.
pub fn parameters(graph: &GraphProto) -> u64 {
    let size = |node: &NodeProto, name: &str| {
        let attribute = node.attribute.iter().find(|a| a.name == name);
        attribute.map_or(0, |a| u64::try_from(a.i).unwrap_or(0))
    };
    let packed = graph
        .node
        .iter()
        .filter(|n| ["MatMulBnb4", "MatMulNBits"].contains(&n.op_type.as_str()));
    let (mut held, mut count) = (HashSet::new(), 0u64);
    for node in packed {
        held.extend(node.input.get(1));
        count = count.saturating_add(size(node, "K").saturating_mul(size(node, "N")));
    }
    let others = graph.initializer.iter();
    let others = others.filter(|t| t.dims.len() > 1 && !held.contains(&t.name));
    let elements = others.filter_map(|t| limits::elements(&t.dims));
    elements.fold(count, |sum, elements| sum.saturating_add(elements as u64))
}

/// Splits composite nodes. Returns the tensors whose numbers stand for others: a heatmap there would
/// include the zero points.
///
/// # Errors
/// [`Error::UnsupportedModel`] for weights whose sizes do not match.
pub fn expand(graph: &mut GraphProto) -> Result<HashSet<String>> {
    let mut nodes = std::mem::take(&mut graph.node);
    nodes.retain_mut(|node| match constant(node) {
        Some(tensor) => {
            graph.initializer.push(tensor);
            false
        }
        None => true,
    });
    graph.node = nodes;
    centred::centre(graph);
    let nodes = std::mem::take(&mut graph.node);
    let types = graph.initializer.iter();
    let types = types.map(|tensor| (tensor.name.clone(), tensor.data_type));
    let mut apart = Apart {
        types: types.collect(),
        graph,
        reals: HashMap::new(),
        names: HashSet::new(),
        numbers: HashSet::new(),
        one: None,
        unpacked: 0,
    };
    apart.graph.initializer.iter_mut().for_each(packed::unpack);
    for node in nodes {
        apart.node(node)?;
        let count = apart.graph.node.len();
        if count > MOST_PARTS {
            return Err(Error::UnsupportedModel(format!(
                "the quantised graph has more than {MOST_PARTS} operators once its nodes are split"
            )));
        }
    }
    Ok(apart.numbers)
}

pub struct Apart<'a> {
    /// Data types of initialisers.
    pub types: HashMap<String, i32>,
    pub graph: &'a mut GraphProto,
    /// What quantised tensors stand for: tensor, zero point → tensor.
    reals: HashMap<[String; 2], String>,
    /// The names of these tensors.
    names: HashSet<String>,
    pub numbers: HashSet<String>,
    /// The step 1.
    one: Option<String>,
    /// The number of weights of few bits that were widened to 32.
    pub unpacked: usize,
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
                let a = self.real(&input(0), &input(2), rows);
                let weights = (input(1), input(3), columns);
                self.whole_product(plain, vec![a], weights, node.attribute, &output);
            }
            operator if operator.starts_with("QLinear") || operator == "QGemm" => {
                self.linear(node, &given)?;
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
                let a = self.real(&a, &zero, 1);
                let weights = (input(1), input(3), -1);
                self.scaled_product(a, weights, [&step, &input(2)], input(4), &output);
            }
            "MatMulIntegerToFloat" => {
                let a = self.real(&input(0), &input(4), -2);
                let weights = (input(1), input(5), -1);
                self.scaled_product(a, weights, [&input(2), &input(3)], input(6), &output);
            }
            "MatMulNBits" => {
                let weights = Weights::of(&node, &given, &self.graph.initializer)?;
                let size = [weights.inputs, weights.outputs];
                let weights = self.few_bits(&node, size, || weights.matrix(), &output)?;
                self.product(input(0), weights, input(5), &output);
            }
            "MatMulBnb4" => {
                let weights = Floats::of(&node, &given, &self.graph.initializer)?;
                let size = [weights.inputs, weights.outputs];
                let weights = self.few_bits(&node, size, || weights.matrix(), &output)?;
                self.product(input(0), weights, String::new(), &output);
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

    pub fn push(
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

    /// What a quantised tensor stands for, in its steps: whole numbers, which are exact in FP32 up to 2²⁴.
    pub fn real(&mut self, tensor: &str, zero: &str, axis: i64) -> String {
        let key = [tensor, zero].map(String::from);
        if let Some(real) = self.reals.get(&key) {
            return real.clone();
        }
        let mut real = format!("{tensor}.real");
        if !self.names.insert(real.clone()) {
            real = format!("{real}.{}", self.reals.len());
        }
        self.reals.insert(key, real.clone());
        let inputs = vec![tensor.into(), self.one(), zero.into()];
        let axis = vec![number("axis", axis)];
        self.push("DequantizeLinear", inputs, &real, axis);
        real
    }

    pub fn one(&mut self) -> String {
        let graph = &mut self.graph;
        let one = self.one.get_or_insert_with(|| {
            let name = "whylens.one".to_string();
            graph.initializer.push(single(name.clone(), vec![], &[1.0]));
            name
        });
        one.clone()
    }
}

pub fn number(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: 2,
        i,
        ..Default::default()
    }
}

pub fn single(name: String, dims: Vec<i64>, values: &[f32]) -> TensorProto {
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
