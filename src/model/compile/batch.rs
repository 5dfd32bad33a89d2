//! ONNX graph for several images at once → the same for one.

use std::collections::HashMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

use super::adapt::{integers, length, set_length};

/// The batch of an input of images, if it is fixed to several.
pub fn of(input: &ValueInfoProto) -> Option<usize> {
    let is_image = (0..5).map(|axis| length(input, axis)).collect::<Vec<_>>();
    let size = is_image[0].filter(|&size| size > 1 && is_image[4].is_none())?;
    usize::try_from(size).ok()
}

/// The role of an operator's input in the shape of a tensor.
enum Part {
    Whole,
    /// The whole shape, or parts that begin with the first axis.
    Start,
}

fn part(operator: &str, number: usize) -> Option<Part> {
    match (operator, number) {
        ("Reshape" | "Expand" | "Tile", 1) | ("ConstantOfShape", 0) | ("Resize", 3) => {
            Some(Part::Whole)
        }
        ("Concat", 0) | ("Equal", 0 | 1) | ("Where", 1 | 2) => Some(Part::Start),
        _ => None,
    }
}

/// Operators that combine constants of the whole batch with computed values.
const MIXING: [&str; 7] = ["Add", "Concat", "Div", "Mul", "Sub", "Where", "Expand"];

/// Turns a fixed batch into a batch of one: in the input, in shapes that name it, and in constants that hold
/// the same values for each image.
pub fn single(graph: &mut GraphProto, at: usize, batch: i64) {
    set_length(&mut graph.input[at], 0, 1);
    graph.value_info.clear();
    for output in &mut graph.output {
        output.r#type = None;
    }
    let held: HashMap<String, TensorProto> = graph
        .initializer
        .iter()
        .map(|tensor| (tensor.name.clone(), tensor.clone()))
        .filter(|(_, tensor)| tensor.dims.len() < 2 || tensor.dims[0] == batch)
        .chain(graph.node.iter().filter_map(constant))
        .collect();
    let mut made: Vec<TensorProto> = Vec::new();
    for node in &mut graph.node {
        for (number, name) in node.input.iter_mut().enumerate() {
            let Some(tensor) = held.get(name.as_str()) else {
                continue;
            };
            let shape =
                part(&node.op_type, number).and_then(|part| single_shape(tensor, batch, part));
            let mixes = MIXING.contains(&node.op_type.as_str());
            let one = shape.or_else(|| {
                if mixes {
                    single_rows(tensor, batch)
                } else {
                    None
                }
            });
            if let Some(mut one) = one {
                one.name = format!("{name}.single.{}", made.len());
                name.clone_from(&one.name);
                made.push(one);
            }
        }
    }
    graph.initializer.extend(made);
}

/// The tensor of a Constant node.
fn constant(node: &NodeProto) -> Option<(String, TensorProto)> {
    let value = |name: &str| node.attribute.iter().find(|a| a.name == name);
    if node.op_type != "Constant" {
        return None;
    }
    let tensor = match value("value_ints") {
        Some(list) => integers("", &list.ints),
        None => value("value")?.t.clone()?,
    };
    Some((node.output.first()?.clone(), tensor))
}

/// A shape for one image: changes the first axis that is as long as the batch or else, if no axis is open, the
/// first that is a multiple of it.
fn single_shape(tensor: &TensorProto, batch: i64, part: Part) -> Option<TensorProto> {
    let mut lengths = match tensor.raw_data.is_empty() {
        true => tensor.int64_data.clone(),
        false => {
            let numbers = tensor.raw_data.chunks_exact(8);
            numbers
                .map(|bytes| bytes.iter().rev().fold(0i64, |n, &b| n << 8 | i64::from(b)))
                .collect()
        }
    };
    let is_whole = tensor.data_type == DataType::Int64 as i32;
    if !is_whole || lengths.first().is_none_or(|&first| first < 1) {
        return None;
    }
    let exact = lengths.iter().position(|&length| length == batch);
    let multiple = lengths.iter().position(|&length| length % batch == 0);
    let at = match part {
        Part::Start => exact.filter(|&at| at == 0),
        Part::Whole if lengths.contains(&-1) => exact,
        Part::Whole => exact.or(multiple),
    }?;
    lengths[at] /= batch;
    Some(integers("", &lengths))
}

/// The row of one image, if all rows are the same.
fn single_rows(tensor: &TensorProto, batch: i64) -> Option<TensorProto> {
    let count = usize::try_from(batch).ok()?;
    let is_batch = tensor.dims.len() > 1 && tensor.dims[0] == batch;
    if !is_batch || tensor.raw_data.is_empty() || !tensor.raw_data.len().is_multiple_of(count) {
        return None;
    }
    let mut rows = tensor.raw_data.chunks_exact(tensor.raw_data.len() / count);
    let first = rows.next()?.to_vec();
    if !rows.all(|row| row == first) {
        return None;
    }
    let mut one = tensor.clone();
    one.dims[0] = 1;
    one.raw_data = first;
    Some(one)
}
