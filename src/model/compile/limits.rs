//! protobuf → whether it stays within limits, checked before anything is made from it.

use std::collections::HashSet;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::quantised::composite;
use super::{fused, onnx};
use crate::error::{Error, Result};
use crate::model::run::{MOST_AXES, MOST_EDGES, MOST_ELEMENTS};

/// The most nodes of a graph, with nested graphs: twice those of a Swin-S from torch's older exporter,
/// which computes shapes node by node.
pub const MOST_NODES: usize = 24_000;
/// The most nodes that depend on the image: with more, the engine's passes take minutes.
pub const MOST_COMPUTED: usize = 4000;
/// Attributes that must be at least 1.
const SIZES: &[&str] = &[
    "blocksize",
    "dilations",
    "group",
    "hidden_size",
    "kernel_shape",
    "num_groups",
    "strides",
];
/// The most letters of an Einsum's equation.
const LONGEST_EQUATION: usize = 200;
/// The most bytes of a name in a message.
const LONGEST_NAME: usize = 200;

/// Initialisers and constants of a graph and its nested graphs.
pub fn tensors(graph: &GraphProto) -> Vec<&TensorProto> {
    let mut found: Vec<&TensorProto> = graph.initializer.iter().collect();
    for attribute in graph.node.iter().flat_map(|node| &node.attribute) {
        found.extend(&attribute.t);
        found.extend(&attribute.tensors);
        for nested in attribute.g.iter().chain(&attribute.graphs) {
            found.extend(tensors(nested));
        }
    }
    found
}

/// The number of nodes of a graph and its nested graphs.
pub fn count(graph: &GraphProto) -> usize {
    let nested = graph.node.iter().flat_map(|node| &node.attribute);
    let nested = nested.flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
    graph.node.len() + nested.map(count).sum::<usize>()
}

/// Refuses what would take the engine unbounded time or memory before it knows any shape.
pub fn check_nodes(graph: &GraphProto) -> Result<()> {
    for node in &graph.node {
        let absurd = |text: String| {
            let name = label(node);
            Err(Error::UnsupportedModel(format!("node `{name}` {text}")))
        };
        let edges = node.input.len().max(node.output.len());
        if edges > MOST_EDGES {
            return absurd(format!(
                "has {edges} inputs or outputs, at most {MOST_EDGES} are allowed"
            ));
        }
        // The end of a slice may be the largest integer.
        let sizes = !matches!(node.op_type.as_str(), "Slice" | "Constant");
        for attribute in &node.attribute {
            let mut numbers = attribute.ints.iter().chain([&attribute.i]);
            if let Some(number) = numbers.find(|n| sizes && n.unsigned_abs() >= 1 << 31) {
                return absurd(format!("has an attribute of the absurd value {number}"));
            }
            if SIZES.contains(&attribute.name.as_str()) {
                let mut sizes = attribute.ints.iter().chain([&attribute.i]);
                // With a list, the single number stays 0.
                let single = attribute.ints.is_empty();
                if let Some(size) = sizes.find(|&&n| n < i64::from(single)) {
                    return absurd(format!("has a `{}` of {size}", attribute.name));
                }
                if attribute.ints.contains(&0) {
                    return absurd(format!("has a `{}` of 0", attribute.name));
                }
            }
            let inputs = attribute.g.as_ref().map_or(0, |body| body.input.len());
            if node.op_type == "Scan" && attribute.g.is_some() {
                let scanned = node.attribute.iter().find(|a| a.name == "num_scan_inputs");
                let scanned = scanned.map_or(-1, |a| a.i);
                if !(0..=inputs as i64).contains(&scanned) {
                    return absurd(format!("scans {scanned} of {inputs} inputs"));
                }
            }
            // Some operators count from the axis to the last one.
            let axes = matches!(attribute.name.as_str(), "axis" | "axes");
            let mut numbers = attribute.ints.iter().chain([&attribute.i]);
            if let Some(axis) = numbers.find(|n| axes && n.unsigned_abs() > MOST_AXES as u64) {
                return absurd(format!("names the absurd axis {axis}"));
            }
            if attribute.ints.len() > 1024 && sizes {
                return absurd(format!(
                    "has an attribute of {} numbers",
                    attribute.ints.len()
                ));
            }
            if node.op_type == "Transpose" && attribute.name == "perm" {
                let mut axes = attribute.ints.clone();
                axes.sort_unstable();
                if axes.iter().zip(0..).any(|(&axis, wanted)| axis != wanted) {
                    let perm = &attribute.ints;
                    return absurd(format!(
                        "has a `perm` of {perm:?}, which is not a permutation"
                    ));
                }
            }
            if node.op_type == "Einsum" && attribute.s.len() > LONGEST_EQUATION {
                return absurd(format!("has an equation of {} letters", attribute.s.len()));
            }
            let nested = attribute.g.iter().chain(&attribute.graphs);
            nested.into_iter().try_for_each(check_nodes)?;
        }
    }
    Ok(())
}

/// The number of elements of a tensor with these dimensions.
pub fn elements(dims: &[i64]) -> Option<usize> {
    dims.iter()
        .try_fold(1usize, |product, &dim| {
            product.checked_mul(usize::try_from(dim).ok()?)
        })
        .filter(|&elements| elements <= MOST_ELEMENTS && dims.len() <= MOST_AXES)
}

pub fn check_tensor(tensor: &TensorProto) -> Result<()> {
    let name = short(&tensor.name);
    if tensor.data_location == Some(1) || !tensor.external_data.is_empty() {
        let file = tensor.external_data.iter().find(|e| e.key == "location");
        let file = file.map_or("another file", |entry| short(&entry.value));
        return Err(Error::ExternalData(format!(
            "the weights `{name}` are in `{file}`; merge them into one file with `whylens pack`"
        )));
    }
    let Some(elements) = elements(&tensor.dims) else {
        return Err(Error::UnsupportedModel(format!(
            "tensor `{name}` has the absurd shape {:?}, {} axes",
            &tensor.dims[..tensor.dims.len().min(MOST_AXES)],
            tensor.dims.len()
        )));
    };
    let size = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Bool | DataType::Int8 | DataType::Uint8) => 1,
        Ok(DataType::Float16 | DataType::Int16 | DataType::Uint16) => 2,
        Ok(DataType::Float | DataType::Int32 | DataType::Uint32) => 4,
        Ok(DataType::Double | DataType::Int64 | DataType::Uint64) => 8,
        // A byte holds two.
        Ok(DataType::Uint4 | DataType::Int4) => 1,
        Ok(DataType::String) if tensor.raw_data.is_empty() => return Ok(()),
        _ => {
            return Err(Error::UnsupportedModel(format!(
                "tensor `{name}` has the data type {}, which cannot be read; convert it to FP32",
                tensor.data_type
            )));
        }
    };
    let held = if tensor.raw_data.is_empty() {
        let values = tensor.float_data.len()
            + tensor.int32_data.len()
            + tensor.int64_data.len()
            + tensor.double_data.len()
            + tensor.uint64_data.len();
        values * size
    } else {
        tensor.raw_data.len()
    };
    let four_bits = [DataType::Uint4 as i32, DataType::Int4 as i32].contains(&tensor.data_type);
    let expected = match four_bits {
        true => elements.div_ceil(2),
        false => elements * size,
    };
    if held != expected {
        return Err(Error::Truncated(format!(
            "tensor `{name}` of shape {:?} has {held} bytes, expected {expected}",
            tensor.dims
        )));
    }
    Ok(())
}

/// Refuses nested graphs whose outputs nothing computes.
pub fn check_nested(graph: &GraphProto) -> Result<()> {
    let attributes = graph.node.iter().flat_map(|node| &node.attribute);
    for nested in attributes.flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)) {
        let made = nested.node.iter().flat_map(|node| &node.output);
        let given = nested.input.iter().map(|input| &input.name);
        let held = nested.initializer.iter().map(|tensor| &tensor.name);
        let names: HashSet<&String> = made.chain(given).chain(held).collect();
        if let Some(output) = nested.output.iter().find(|o| !names.contains(&o.name)) {
            return Err(Error::UnsupportedModel(format!(
                "the graph is broken: nothing computes `{}`, the output of a nested graph",
                short(&output.name)
            )));
        }
        check_nested(nested)?;
    }
    Ok(())
}

/// Refuses operators that cannot be run, naming the first.
pub fn check_operators(graph: &GraphProto) -> Result<()> {
    match unsupported(graph).first() {
        None => Ok(()),
        Some(node) => Err(Error::UnsupportedOperator(format!(
            "operator {} at `{}` cannot be run here{}",
            short(&node.op_type),
            label(node),
            match node.domain.as_str() {
                BLOCKED => {
                    ": ONNX Runtime optimised the file for one kind of processor; \
                     give the file from before, or optimise it up to ORT_ENABLE_EXTENDED"
                }
                _ => "",
            }
        ))),
    }
}

/// Known to tract, but its results were not compared with ONNX Runtime's: no classifier of the zoo has them.
const LEFT_OUT: [&str; 2] = ["DFT", "STFT"];

/// Operators whose channels lie in blocks as wide as a processor's vectors.
const BLOCKED: &str = "com.microsoft.nchwc";

/// Nodes whose operator cannot be run.
pub fn unsupported(graph: &GraphProto) -> Vec<&NodeProto> {
    let known = onnx::engine().op_register;
    let unknown = |node: &&NodeProto| {
        let name = node.op_type.as_str();
        !known.0.contains_key(name)
            && !composite::OPERATORS.contains(&name)
            && !fused::OPERATORS.contains(&name)
            || node.domain == BLOCKED
            || LEFT_OUT.contains(&node.op_type.as_str())
            || node.domain.starts_with("ai.onnx.ml")
    };
    graph.node.iter().filter(unknown).collect()
}

/// The name of a node, or else of its first output.
pub fn label(node: &NodeProto) -> &str {
    short(match node.output.first() {
        Some(output) if node.name.is_empty() => output,
        _ => &node.name,
    })
}

/// As much of a name as a message holds.
pub fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST_NAME)]
}
