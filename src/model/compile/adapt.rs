//! ONNX as it was exported → a classifier of one photo: one input of numbers, one list of scores.

use std::borrow::Cow;
use std::collections::HashSet;

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto,
    ValueInfoProto, tensor_shape_proto, type_proto,
};

use super::batch;
use super::limits::{check_tensor, short};
use super::outputs::{self, Head};
use super::proto;
use crate::error::{Error, Result};
use crate::manifest::{Activation, Layout};

/// What is known about a graph besides its file.
#[derive(Debug, Clone, Default)]
pub struct Known<'a> {
    /// Name of the output with the scores.
    pub output: Option<&'a str>,
    /// Number of labels.
    pub labels: Option<usize>,
    /// Axis order of the input.
    pub layout: Option<Layout>,
    /// Value of a fourth channel: opacity, full everywhere.
    pub opacity: f32,
}

/// An adapted graph.
#[derive(Debug, Clone)]
pub struct Adapted {
    /// The file, if it was changed; its only output holds the scores or the probabilities made from them.
    pub onnx: Option<Vec<u8>>,
    /// The tensors that may hold the scores, beginning with the one that is used; a single one is certain.
    pub heads: Vec<Head>,
    /// Whether the input takes pixels from 0 to 255.
    pub pixels: bool,
    /// Whether a fourth channel was filled in.
    pub opacity: bool,
    /// The batch that the graph was made for, if it is not 1, and the file before the batch was changed.
    pub batch: Option<(usize, Vec<u8>)>,
}

/// Adapts a graph.
///
/// # Errors
/// [`Error::NotAModel`], [`Error::Truncated`]; [`Error::BadOption`] for an output that does not exist.
pub fn adapt<'a>(onnx: impl Into<Cow<'a, [u8]>>, known: &Known) -> Result<Adapted> {
    let onnx = onnx.into();
    let mut model = proto::decode(&onnx)?;
    drop(onnx);
    let opset = model.opset_import.iter().find(|o| o.domain.is_empty());
    let opset = opset.map_or(0, |opset| opset.version);
    let graph = model.graph.get_or_insert_default();
    let heads = choose(graph, known)?;
    let mut changed = take(graph, &heads[0])?;
    let (mut pixels, mut opacity, mut batch) = (false, false, None);
    if let Some(at) = image(graph) {
        pixels = take_pixels(graph, at);
        opacity = fill_opacity(graph, at, opset, known);
        changed |= pixels || opacity;
        if let Some(size) = batch::of(&graph.input[at]) {
            let before = model.encode_to_vec();
            let graph = model.graph.get_or_insert_default();
            graph.initializer.iter().try_for_each(check_tensor)?;
            batch::single(graph, at, size as i64);
            batch = Some((size, before));
            changed = true;
        }
    }
    Ok(Adapted {
        onnx: changed.then(|| model.encode_to_vec()),
        heads,
        pixels,
        opacity,
        batch,
    })
}

/// The tensors that may hold the scores, beginning with the one to use.
fn choose(graph: &GraphProto, known: &Known) -> Result<Vec<Head>> {
    let found = outputs::find(graph);
    if let Some(name) = known.output {
        let head = outputs::named(graph, &found, name).ok_or_else(|| {
            Error::BadOption(format!(
                "the graph has no output `{}`; name one of {}",
                short(name),
                list(&found)
            ))
        })?;
        return Ok(vec![head]);
    }
    let fits = |head: &&Head| {
        let single = head.classes == Some(1) && known.labels == Some(2);
        head.classes == known.labels || single
    };
    let fitting: Vec<&Head> = found.iter().filter(fits).collect();
    match (known.labels, fitting.as_slice()) {
        (Some(_), &[only]) => Ok(vec![only.clone()]),
        _ => Ok(found),
    }
}

/// The most heads that a message names.
const MOST_LISTED: usize = 8;

/// The names of heads, each with its number of classes.
pub fn list(heads: &[Head]) -> String {
    let names = heads
        .iter()
        .take(MOST_LISTED)
        .map(|head| match head.classes {
            Some(1) => format!("`{}` (1 value)", short(&head.name)),
            Some(classes) => format!("`{}` ({classes} classes)", short(&head.name)),
            None => format!("`{}`", short(&head.name)),
        });
    names.collect::<Vec<_>>().join(", ")
}

/// Makes a head the only output; returns whether anything changed.
fn take(graph: &mut GraphProto, head: &Head) -> Result<bool> {
    if let Some(two) = &head.mean_of {
        let half = format!("{}.half", head.name);
        let sum = format!("{}.sum", head.name);
        graph.initializer.push(floats(&half, &[], &[0.5]));
        graph.node.push(node("Add", two, &sum));
        graph.node.push(node("Mul", &[sum, half], &head.name));
    } else if matches!(graph.output.as_slice(), [only] if only.name == head.name) {
        return Ok(false);
    }
    let inputs = graph.input.clone();
    proto::prune(graph, &head.name)?;
    // If the head does not need the image, a later error names it.
    if graph.input.is_empty() {
        graph.input = inputs;
    }
    Ok(true)
}

/// The input that is not a weight.
fn image(graph: &GraphProto) -> Option<usize> {
    let weights: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let is_given = |input: &&ValueInfoProto| !weights.contains(input.name.as_str());
    let mut given = graph.input.iter().filter(is_given);
    let (first, second) = (given.next()?, given.next());
    let at = graph
        .input
        .iter()
        .position(|input| input.name == first.name);
    at.filter(|_| second.is_none())
}

fn tensor_type(value: &mut ValueInfoProto) -> Option<&mut type_proto::Tensor> {
    match value.r#type.as_mut()?.value.as_mut()? {
        type_proto::Value::TensorType(tensor) => Some(tensor),
    }
}

fn axes(value: &mut ValueInfoProto) -> Option<&mut TensorShapeProto> {
    tensor_type(value)?.shape.as_mut()
}

pub(super) fn length(value: &ValueInfoProto, axis: usize) -> Option<i64> {
    let mut value = value.clone();
    match axes(&mut value)?.dim.get(axis)?.value {
        Some(tensor_shape_proto::dimension::Value::DimValue(length)) => Some(length),
        _ => None,
    }
}

pub(super) fn set_length(value: &mut ValueInfoProto, axis: usize, length: i64) {
    if let Some(dim) = axes(value).and_then(|shape| shape.dim.get_mut(axis)) {
        dim.value = Some(tensor_shape_proto::dimension::Value::DimValue(length));
    }
}

/// Operators that pass numbers on unchanged.
const MOVING: [&str; 8] = [
    "Identity",
    "Transpose",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "Gather",
];

/// Makes an input of whole numbers take floating-point ones, as everything else here does; returns whether it
/// was one.
fn take_pixels(graph: &mut GraphProto, at: usize) -> bool {
    let whole = [DataType::Uint8, DataType::Int32, DataType::Int64].map(|kind| kind as i32);
    let name = graph.input[at].name.clone();
    let Some(given) = tensor_type(&mut graph.input[at]).filter(|t| whole.contains(&t.elem_type))
    else {
        return false;
    };
    let kind = std::mem::replace(&mut given.elem_type, DataType::Float as i32);
    // After a cast to floating point, the type makes no difference.
    let mut moved = HashSet::from([name.clone()]);
    let mut exact = true;
    for node in &graph.node {
        let reads = node
            .input
            .first()
            .is_some_and(|input| moved.contains(input));
        let elsewhere = node.input.iter().skip(1).any(|input| moved.contains(input));
        match node.op_type.as_str() {
            "Cast" => {}
            operator if reads && MOVING.contains(&operator) => moved.extend(node.output.clone()),
            _ => exact &= !reads,
        }
        exact &= !elsewhere;
    }
    if !exact {
        let numbers = format!("{name}.whole");
        rename(graph, &name, &numbers);
        let mut cast = node("Cast", &[name], &numbers);
        cast.attribute.push(AttributeProto {
            name: "to".into(),
            r#type: 2,
            i: i64::from(kind),
            ..AttributeProto::default()
        });
        graph.node.insert(0, cast);
    }
    true
}

/// Adds the fourth channel to the three colours for an input of four; returns whether it has four.
fn fill_opacity(graph: &mut GraphProto, at: usize, opset: i64, known: &Known) -> bool {
    let is_four = |axis: usize| length(&graph.input[at], axis) == Some(4);
    let axis = match known.layout {
        Some(Layout::Nchw) => 1,
        Some(Layout::Nhwc) => 3,
        None if is_four(1) => 1,
        None => 3,
    };
    if !is_four(axis) {
        return false;
    }
    let name = graph.input[at].name.clone();
    let four = format!("{name}.opaque");
    set_length(&mut graph.input[at], axis, 3);
    rename(graph, &name, &four);
    let mut pads = vec![0; 8];
    pads[4 + axis] = 1;
    let mut pad = node("Pad", std::slice::from_ref(&name), &four);
    if opset < 11 {
        pad.attribute.push(AttributeProto {
            name: "pads".into(),
            r#type: 7,
            ints: pads,
            ..AttributeProto::default()
        });
        pad.attribute.push(AttributeProto {
            name: "value".into(),
            r#type: 1,
            f: known.opacity,
            ..AttributeProto::default()
        });
    } else {
        let (by, value) = (format!("{four}.pads"), format!("{four}.value"));
        graph.initializer.push(integers(&by, &pads));
        graph
            .initializer
            .push(floats(&value, &[], &[known.opacity]));
        pad.input.extend([by, value]);
    }
    graph.node.insert(0, pad);
    true
}

/// Turns a single score into two: its negative, which speaks for the first class, and itself. A softmax or
/// sigmoid at the end of the graph then applies to both. Also returns the name of the new output.
///
/// # Errors
/// [`Error::NotAModel`], [`Error::Truncated`]; [`Error::UnsupportedModel`] for a broken graph.
pub fn two_sides(onnx: &[u8], output: &str) -> Result<(Vec<u8>, String)> {
    let mut model: ModelProto = proto::decode(onnx)?;
    let graph = model.graph.get_or_insert_default();
    let (score, ends) = proto::scores(graph, output);
    let name = |part: &str| format!("{output}.{part}");
    let (shape, signs) = (name("shape"), name("signs"));
    graph.initializer.push(integers(&shape, &[1, 1]));
    graph
        .initializer
        .push(floats(&signs, &[1, 2], &[-1.0, 1.0]));
    let (one, mut last) = (name("one"), name("sides"));
    graph.node.push(node("Reshape", &[score, shape], &one));
    graph.node.push(node("Mul", &[one, signs], &last));
    if let Some(Activation::Sigmoid | Activation::Softmax) = ends {
        let shares = name("shares");
        graph.node.push(node("Sigmoid", &[last], &shares));
        last = shares;
    }
    proto::prune(graph, &last)?;
    Ok((model.encode_to_vec(), last))
}

/// Makes all nodes read `to` instead of `from`.
fn rename(graph: &mut GraphProto, from: &str, to: &str) {
    for input in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if input == from {
            *input = to.into();
        }
    }
}

fn node(operator: &str, inputs: &[String], output: &str) -> NodeProto {
    NodeProto {
        op_type: operator.into(),
        name: output.into(),
        input: inputs.to_vec(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

pub(super) fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}
