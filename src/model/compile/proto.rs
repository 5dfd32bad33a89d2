//! ONNX bytes → checked protobuf: only what the scores need, in FP32 except for the weights.

use std::collections::{HashMap, HashSet};

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, tensor_shape_proto, type_proto,
};
use tract_onnx::prelude::*;

use super::fused;
use super::limits::{
    MOST_NODES, check_nested, check_nodes, check_tensor, count, label, short, tensors,
};
use crate::error::{Error, Result};
use crate::manifest::Activation;
use crate::sniff;

const FLOAT: i64 = DataType::Float as i64;
const HALF: i64 = DataType::Float16 as i64;

/// Decodes ONNX and checks that what it says about itself can be true.
pub fn read(onnx: &[u8]) -> Result<ModelProto> {
    let mut model = decode(onnx)?;
    for tensor in model.graph.iter().flat_map(tensors) {
        check_tensor(tensor)?;
    }
    let nodes: usize = model.graph.iter().map(count).sum();
    if nodes > MOST_NODES {
        return Err(Error::UnsupportedModel(format!(
            "the graph has {nodes} nodes, at most {MOST_NODES} are allowed; simplify it, for example with onnxsim"
        )));
    }
    model.graph.iter().try_for_each(check_nodes)?;
    model.graph.iter_mut().try_for_each(fused::part)?;
    model.graph.iter_mut().for_each(forget_symbols);
    Ok(model)
}

/// Decodes ONNX.
pub fn decode(onnx: &[u8]) -> Result<ModelProto> {
    sniff::head(onnx, "the file")?;
    let model = ModelProto::decode(onnx).map_err(|error| {
        // Field 1 as a varint is ir_version: the file starts like ONNX, so its end is missing.
        match onnx.first() {
            _ if error.to_string().contains("recursion limit") => Error::NotAModel(
                "the file is not an ONNX model: its graphs are nested without end".into(),
            ),
            Some(8) => Error::Truncated(format!(
                "the ONNX file is damaged or incomplete ({error}); get it again"
            )),
            _ => Error::NotAModel(format!("the file is not an ONNX model: {error}")),
        }
    })?;
    match &model.graph {
        Some(graph) if !graph.node.is_empty() && !graph.output.is_empty() => Ok(model),
        _ => Err(Error::NotAModel("the file holds no ONNX graph".into())),
    }
}

/// Drops names and formulas of axes: the manifest gives the lengths, and parsing a formula takes
/// unbounded stack and time.
fn forget_symbols(graph: &mut GraphProto) {
    for value in &mut graph.input {
        if let Some(type_proto::Value::TensorType(tensor)) =
            value.r#type.as_mut().and_then(|t| t.value.as_mut())
        {
            for dim in tensor.shape.iter_mut().flat_map(|shape| &mut shape.dim) {
                if let Some(tensor_shape_proto::dimension::Value::DimParam(_)) = dim.value {
                    dim.value = None;
                }
            }
        }
    }
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        let nested = attribute.g.iter_mut().chain(&mut attribute.graphs);
        nested.for_each(forget_symbols);
    }
}

/// The tensor of scores behind an output: the input of a softmax or sigmoid at the end, and which of
/// the two it is.
pub fn scores(graph: &GraphProto, output: &str) -> (String, Option<Activation>) {
    let Some(node) = end(graph, output) else {
        return (output.into(), None);
    };
    let activation = match node.op_type.as_str() {
        "Sigmoid" => Activation::Sigmoid,
        _ => Activation::Softmax,
    };
    (node.input[0].clone(), Some(activation))
}

/// The softmax, its logarithm or the sigmoid from which an output comes.
pub fn end<'a>(graph: &'a GraphProto, output: &str) -> Option<&'a NodeProto> {
    let producers = producers(graph);
    let mut name = output;
    // A cycle is refused later, but must end here.
    for _ in 0..=graph.node.len() {
        let node = *producers.get(name)?;
        let input = node.input.first()?;
        match node.op_type.as_str() {
            "Softmax" | "LogSoftmax" | "Sigmoid" => return Some(node),
            "Identity" | "Cast" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze"
            | "QuantizeLinear" | "DequantizeLinear" => name = input,
            _ => return None,
        }
    }
    None
}

fn producers(graph: &GraphProto) -> HashMap<&str, &NodeProto> {
    let nodes = graph.node.iter();
    nodes
        .flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)))
        .collect()
}

/// All names that a node reads, also in nested graphs.
fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).collect();
    for attribute in &node.attribute {
        for nested in attribute.g.iter().chain(&attribute.graphs) {
            names.extend(nested.node.iter().flat_map(reads));
            names.extend(nested.output.iter().map(|output| output.name.as_str()));
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Leaves only what `output` needs in the graph, in order of computation, with `output` as its only
/// output.
pub fn prune(graph: &mut GraphProto, output: &str) -> Result<()> {
    let broken = |text: String| {
        Err(Error::UnsupportedModel(format!(
            "the graph is broken: {text}"
        )))
    };
    check_nested(graph)?;
    let mut producer = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if producer.insert(name.as_str(), index).is_some() {
                return broken(format!("tensor `{}` is computed twice", short(name)));
            }
        }
    }
    let given: HashSet<&str> = graph
        .input
        .iter()
        .map(|input| input.name.as_str())
        .chain(graph.initializer.iter().map(|tensor| tensor.name.as_str()))
        .collect();
    if !producer.contains_key(output) {
        return broken(format!("nothing computes its output `{}`", short(output)));
    }
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        Open,
        Done,
    }
    let mut seen = vec![Seen::No; graph.node.len()];
    let mut order = Vec::new();
    let mut used = HashSet::new();
    let mut pending = vec![producer[output]];
    while let Some(&index) = pending.last() {
        let node = &graph.node[index];
        if seen[index] != Seen::No {
            pending.pop();
            if seen[index] == Seen::Open {
                seen[index] = Seen::Done;
                order.push(index);
            }
            continue;
        }
        seen[index] = Seen::Open;
        let nested = node.attribute.iter().any(|a| a.g.is_some());
        for name in reads(node) {
            used.insert(name.to_string());
            match producer.get(name) {
                Some(&from) if seen[from] == Seen::Open => {
                    return broken(format!("tensor `{}` depends on itself", short(name)));
                }
                Some(&from) => pending.push(from),
                None if given.contains(name) || nested => (),
                None => {
                    return broken(format!(
                        "node `{}` reads `{}`, which does not exist",
                        label(node),
                        short(name)
                    ));
                }
            }
        }
    }
    let mut nodes: Vec<Option<NodeProto>> = graph.node.drain(..).map(Some).collect();
    graph.node = order
        .iter()
        .filter_map(|&index| nodes[index].take())
        .collect();
    graph
        .initializer
        .retain(|tensor| used.contains(&tensor.name));
    // In files of IR 3 every initialiser is an input too.
    graph.input.retain(|input| used.contains(&input.name));
    graph.value_info.clear();
    graph.quantization_annotation.clear();
    let kept = graph.output.iter().position(|o| o.name == output);
    let mut kept = kept.map_or_else(Default::default, |at| graph.output.swap_remove(at));
    kept.name = output.into();
    kept.r#type = None;
    graph.output = vec![kept];
    Ok(())
}

/// The axes at which normalisations begin, by the names of nodes in tract.
pub fn axes(graph: &GraphProto) -> HashMap<String, i64> {
    let nodes = graph.node.iter();
    let nodes = nodes.filter(|node| node.op_type.ends_with("Normalization"));
    let named = nodes.filter_map(|node| {
        let axis = node.attribute.iter().find(|a| a.name == "axis")?.i;
        let output = node.output.first()?;
        let name = if node.name.is_empty() {
            output
        } else {
            &node.name
        };
        Some((name.clone(), axis))
    });
    named.collect()
}

/// Turns FP16 arithmetic into FP32 arithmetic. FP16 initialisers stay as they are, and casts of them
/// are dropped: they are widened one by one once the protobuf is freed; see
/// [`super::onnx::parse`].
pub fn widen(graph: &mut GraphProto) {
    let halves: HashSet<String> = graph
        .initializer
        .iter()
        .filter(|tensor| i64::from(tensor.data_type) == HALF)
        .map(|tensor| tensor.name.clone())
        .collect();
    let outputs: HashSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    let mut renamed = HashMap::new();
    graph.node.retain(|node| {
        let cast = node.op_type == "Cast"
            && node.input.first().is_some_and(|name| halves.contains(name))
            && node
                .attribute
                .iter()
                .any(|a| a.name == "to" && [FLOAT, HALF].contains(&a.i))
            && !outputs.contains(&node.output[0]);
        if cast {
            renamed.insert(node.output[0].clone(), node.input[0].clone());
        }
        !cast
    });
    for node in &mut graph.node {
        for input in &mut node.input {
            if let Some(name) = renamed.get(input) {
                input.clone_from(name);
            }
        }
        // ONNX's default; tract's is an FP64 zero.
        if node.op_type == "ConstantOfShape" && node.attribute.is_empty() {
            node.attribute.push(AttributeProto {
                name: "value".into(),
                r#type: 4,
                t: Some(TensorProto {
                    dims: vec![1],
                    data_type: FLOAT as i32,
                    raw_data: vec![0; 4],
                    ..TensorProto::default()
                }),
                ..AttributeProto::default()
            });
        }
        for attribute in &mut node.attribute {
            if node.op_type == "Cast" && attribute.name == "to" && attribute.i == HALF {
                attribute.i = FLOAT;
            }
            if let Some(tensor) = &mut attribute.t {
                widen_tensor(tensor);
            }
            if let Some(nested) = &mut attribute.g {
                widen(nested);
            }
        }
    }
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        if let Some(type_proto::Value::TensorType(tensor)) =
            value.r#type.as_mut().and_then(|t| t.value.as_mut())
            && i64::from(tensor.elem_type) == HALF
        {
            tensor.elem_type = FLOAT as i32;
        }
    }
}

/// Turns an FP16 tensor into FP32.
pub fn widen_tensor(tensor: &mut TensorProto) {
    if i64::from(tensor.data_type) == HALF {
        let values = halves(tensor);
        tensor.raw_data = values.flat_map(|v| v.to_f32().to_le_bytes()).collect();
        tensor.int32_data.clear();
        tensor.data_type = FLOAT as i32;
    }
}

/// The values of an FP16 tensor, which ONNX stores as bytes or in the lower half of an int32.
pub fn halves(tensor: &TensorProto) -> impl Iterator<Item = f16> + use<> {
    let bytes = tensor.raw_data.chunks_exact(2);
    let bytes: Vec<u16> = bytes.map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    let ints = tensor.int32_data.iter().map(|&int| int as u16);
    let bits: Vec<u16> = bytes.into_iter().chain(ints).collect();
    bits.into_iter().map(f16::from_bits)
}
