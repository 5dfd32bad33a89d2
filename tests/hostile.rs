//! Model folders made to do harm: each is refused with its code within two seconds and in little memory,
//! and the next call works. Prints the table; leaves the graphs in `target/hostile/` for the browser test
//! `tests/site/hostile.test.js`.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use prost::Message;
use serde_json::{Value, json};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType,
    type_proto,
};
use whylens::internal::{estimate, sniff};
use whylens::{Classifier, Manifest, Model, Options, Tensor};

#[path = "../src/memory.rs"]
#[allow(dead_code)] // the library uses more of it
mod memory;

const LONGEST: Duration = Duration::from_secs(2);

/// The library's default limit.
const MOST_MEMORY: usize = 512_000_000;

/// Smaller than a worker's.
const STACK: usize = 1 << 20;

fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: operator.into(),
        name: format!("{operator} {output}"),
        input: inputs.iter().map(|name| name.to_string()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

trait With {
    fn with(self, attribute: AttributeProto) -> Self;
}

impl With for NodeProto {
    fn with(mut self, attribute: AttributeProto) -> NodeProto {
        self.attribute.push(attribute);
        self
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: kind as i32,
        ..AttributeProto::default()
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    let plain = attribute(name, AttributeType::Int);
    AttributeProto { i, ..plain }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let plain = attribute(name, AttributeType::Ints);
    AttributeProto {
        ints: values.to_vec(),
        ..plain
    }
}

fn text(name: &str, value: &str) -> AttributeProto {
    let plain = attribute(name, AttributeType::String);
    AttributeProto {
        s: value.as_bytes().to_vec(),
        ..plain
    }
}

fn subgraph(name: &str, graph: GraphProto) -> AttributeProto {
    let plain = attribute(name, AttributeType::Graph);
    AttributeProto {
        g: Some(graph),
        ..plain
    }
}

fn int64(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: 7,
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn list(name: &str, values: &[i64]) -> TensorProto {
    int64(name, &[values.len() as i64], values)
}

fn float(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: 1,
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn value(name: &str, dims: Vec<dimension::Value>) -> ValueInfoProto {
    let dim = |value| Dimension {
        value: Some(value),
        ..Dimension::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: 1,
        shape: Some(TensorShapeProto {
            dim: dims.into_iter().map(dim).collect(),
        }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

fn fixed(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dims = dims.iter().map(|&dim| dimension::Value::DimValue(dim));
    value(name, dims.collect())
}

/// From `input`, 1 × 3 × 8 × 8, to `logits`.
fn graph(nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) -> GraphProto {
    GraphProto {
        name: "hostile".into(),
        node: nodes,
        initializer: initializers,
        input: vec![fixed("input", &[1, 3, 8, 8])],
        output: vec![ValueInfoProto {
            name: "logits".into(),
            ..ValueInfoProto::default()
        }],
        ..GraphProto::default()
    }
}

fn model(graph: GraphProto) -> Vec<u8> {
    let version = OperatorSetIdProto {
        version: 17,
        ..OperatorSetIdProto::default()
    };
    ModelProto {
        ir_version: 8,
        opset_import: vec![version],
        graph: Some(graph),
        ..ModelProto::default()
    }
    .encode_to_vec()
}

/// Three scores from the tensor `from`.
fn head(from: &str) -> Vec<NodeProto> {
    vec![
        node("GlobalAveragePool", &[from], "pooled"),
        node("Flatten", &["pooled"], "logits"),
    ]
}

/// `nodes` make `x` from the image; it is then pooled.
fn of_image(mut nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) -> Vec<u8> {
    nodes.extend(head("x"));
    model(graph(nodes, initializers))
}

/// `nodes` make `x` from constants; it is then reduced and added to the image.
fn of_constants(mut nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) -> Vec<u8> {
    nodes.push(node("Cast", &["x"], "real").with(int("to", 1)));
    nodes.push(node("ReduceMax", &["real"], "one").with(int("keepdims", 0)));
    nodes.push(node("Add", &["input", "one"], "sum"));
    nodes.extend(head("sum"));
    model(graph(nodes, initializers))
}

fn chain(operator: &str, length: usize) -> Vec<NodeProto> {
    let name = |at: usize| match at {
        0 => "input".to_string(),
        at if at == length => "x".to_string(),
        at => format!("t{at}"),
    };
    (0..length)
        .map(|at| node(operator, &[&name(at)], &name(at + 1)))
        .collect()
}

/// `If` in `If` in `If` …
fn nested(depth: usize) -> GraphProto {
    let mut inner = GraphProto {
        node: vec![node("Identity", &["input"], "y")],
        output: vec![fixed("y", &[1, 3, 8, 8])],
        ..GraphProto::default()
    };
    for _ in 0..depth {
        let branch = node("If", &["condition"], "y")
            .with(subgraph("then_branch", inner.clone()))
            .with(subgraph(
                "else_branch",
                GraphProto {
                    node: vec![node("Identity", &["input"], "y")],
                    output: vec![fixed("y", &[1, 3, 8, 8])],
                    ..GraphProto::default()
                },
            ));
        inner = GraphProto {
            node: vec![branch],
            output: vec![fixed("y", &[1, 3, 8, 8])],
            ..GraphProto::default()
        };
    }
    let mut nodes = inner.node;
    nodes[0].output = vec!["x".into()];
    nodes.extend(head("x"));
    let mut condition = int64("condition", &[], &[]);
    (condition.data_type, condition.int32_data) = (9, vec![1]);
    graph(nodes, vec![condition])
}

/// The name of the case, the file, and the code with which it is refused; `-`: it is accepted.
type Case = (&'static str, Vec<u8>, &'static str);

const SHAPE: &str = "unsupported-model";
const BROKEN: &str = "unsupported-model";

#[rustfmt::skip] // a table
fn graphs() -> Vec<Case> {
    const HUGE: i64 = 1 << 40;
    let weights = || float("w", &[3, 3, 1, 1], &[0.1; 9]);
    vec![
        ("sound", of_image(vec![node("Relu", &["input"], "x")], vec![]), "-"),
        // memory bombs of constants
        ("ConstantOfShape, 4 TiB", of_constants(vec![node("ConstantOfShape", &["n"], "x")], vec![list("n", &[1 << 20, 1 << 20])]), SHAPE),
        ("ConstantOfShape, more than 2^64", of_constants(vec![node("ConstantOfShape", &["n"], "x")], vec![list("n", &[1 << 62, 4])]), SHAPE),
        ("ConstantOfShape, negative", of_constants(vec![node("ConstantOfShape", &["n"], "x")], vec![list("n", &[-4, 4])]), SHAPE),
        ("ConstantOfShape, 200 of 64 MiB", of_constants(
            (0..200).map(|at| node("ConstantOfShape", &["n"], &format!("c{at}")))
                .chain([node("Sum", &(0..200).map(|at| format!("c{at}")).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>(), "x")]).collect(),
            vec![list("n", &[1 << 12, 1 << 12])]), SHAPE),
        ("Expand", of_constants(vec![node("Expand", &["c", "n"], "x")], vec![float("c", &[1], &[1.0]), list("n", &[1 << 20, 1 << 20])]), SHAPE),
        ("Tile", of_constants(vec![node("Tile", &["c", "n"], "x")], vec![float("c", &[1, 1], &[1.0]), list("n", &[1 << 20, 1 << 20])]), SHAPE),
        ("Tile, twenty times by eight", of_constants(
            (0..20).map(|at| node("Tile", &[&if at == 0 { "c".into() } else { format!("c{at}") }, "n"], &if at == 19 { "x".into() } else { format!("c{}", at + 1) })).collect(),
            vec![float("c", &[1, 1], &[1.0]), list("n", &[4, 2])]), SHAPE),
        ("Range", of_constants(vec![node("Range", &["a", "b", "c"], "x")], vec![int64("a", &[], &[0]), int64("b", &[], &[HUGE]), int64("c", &[], &[1])]), SHAPE),
        ("Range, step 0", of_constants(vec![node("Range", &["a", "b", "c"], "x")], vec![int64("a", &[], &[0]), int64("b", &[], &[HUGE]), int64("c", &[], &[0])]), BROKEN),
        ("Range, step 1e-30", of_constants(vec![node("Range", &["a", "b", "c"], "x")], vec![float("a", &[], &[0.0]), float("b", &[], &[1.0]), float("c", &[], &[1e-30])]), SHAPE),
        ("Range, backwards without end", of_constants(vec![node("Range", &["a", "b", "c"], "x")], vec![float("a", &[], &[0.0]), float("b", &[], &[f32::NEG_INFINITY]), float("c", &[], &[-1.0])]), SHAPE),
        ("Pad of a constant", of_constants(vec![node("Pad", &["c", "n"], "x")], vec![float("c", &[1], &[1.0]), list("n", &[HUGE, HUGE])]), SHAPE),
        ("OneHot", of_constants(vec![node("OneHot", &["i", "d", "v"], "x")], vec![list("i", &[1]), int64("d", &[], &[HUGE]), float("v", &[2], &[0.0, 1.0])]), SHAPE),
        ("Resize of a constant", of_constants(vec![node("Resize", &["c", "", "s"], "x")], vec![float("c", &[1, 1, 2, 2], &[1.0; 4]), float("s", &[4], &[1.0, 1.0, 1e6, 1e6])]), SHAPE),
        ("HannWindow", of_constants(vec![node("HannWindow", &["n"], "x")], vec![int64("n", &[], &[HUGE])]), SHAPE),
        ("EyeLike of 4 GiB", of_constants(vec![node("ConstantOfShape", &["n"], "c"), node("EyeLike", &["c"], "x")], vec![list("n", &[1 << 15, 1 << 15])]), "unsupported-model"),
        ("RandomNormal", of_constants(vec![node("RandomNormal", &[], "x").with(ints("shape", &[1 << 20, 1 << 20]))], vec![]), SHAPE),
        ("outer product of constants", of_constants(vec![node("ConstantOfShape", &["n"], "a"), node("Transpose", &["a"], "b"), node("MatMul", &["a", "b"], "x")], vec![list("n", &[1 << 19, 1])]), SHAPE),
        ("shape of the image, multiplied", of_constants(vec![node("Shape", &["input"], "s"), node("Mul", &["s", "n"], "m"), node("ConstantOfShape", &["m"], "x")], vec![int64("n", &[], &[1 << 12])]), SHAPE),
        ("attribute with a tensor of an absurd shape", of_constants(vec![node("Constant", &[], "x").with(AttributeProto { t: Some(float("", &[HUGE, HUGE], &[1.0])), ..attribute("value", AttributeType::Tensor) })], vec![]), SHAPE),
        // memory bombs of the image
        ("Tile of the image", of_image(vec![node("Tile", &["input", "n"], "x")], vec![list("n", &[1, 1, 1 << 16, 1 << 16])]), SHAPE),
        ("Tile of the image, overflowing", of_image(vec![node("Tile", &["input", "n"], "x")], vec![list("n", &[1, 1, 1 << 61, 1 << 61])]), SHAPE),
        ("Expand of the image", of_image(vec![node("Expand", &["input", "n"], "x")], vec![list("n", &[1 << 40, 3, 8, 8])]), "bad-manifest"),
        ("Resize of the image", of_image(vec![node("Resize", &["input", "", "s"], "x")], vec![float("s", &[4], &[1.0, 1.0, 1e6, 1e6])]), SHAPE),
        ("Resize, NaN", of_image(vec![node("Resize", &["input", "", "s"], "x")], vec![float("s", &[4], &[1.0, 1.0, f32::NAN, f32::INFINITY])]), SHAPE),
        ("Resize, sizes", of_image(vec![node("Resize", &["input", "", "", "s"], "x")], vec![list("s", &[1, 3, 1 << 30, 1 << 30])]), SHAPE),
        ("Pad of the image", of_image(vec![node("Pad", &["input", "n"], "x")], vec![list("n", &[0, 0, 1 << 30, 0, 0, 0, 0, 1 << 30])]), SHAPE),
        ("Pad, negative beyond", of_image(vec![node("Pad", &["input", "n"], "x")], vec![list("n", &[0, 0, -100, 0, 0, 0, 0, 0])]), SHAPE),
        ("doubled forty times", of_image((0..40).map(|at| { let from = if at == 0 { "input".into() } else { format!("t{at}") }; node("Concat", &[&from, &from], &if at == 39 { "x".into() } else { format!("t{}", at + 1) }).with(int("axis", 2)) }).collect(), vec![]), SHAPE),
        ("Conv, group of 0", of_image(vec![node("Conv", &["input", "w"], "x").with(int("group", 0))], vec![weights()]), BROKEN),
        ("Conv, absurd group", of_image(vec![node("Conv", &["input", "w"], "x").with(int("group", HUGE))], vec![weights()]), BROKEN),
        ("Conv, stride 0", of_image(vec![node("Conv", &["input", "w"], "x").with(ints("strides", &[0, 0]))], vec![weights()]), BROKEN),
        ("Conv, absurd dilation", of_image(vec![node("Conv", &["input", "w3"], "x").with(ints("dilations", &[HUGE, HUGE]))], vec![float("w3", &[1, 3, 3, 3], &[0.0; 27])]), BROKEN),
        ("Conv, absurd padding", of_image(vec![node("Conv", &["input", "w"], "x").with(ints("pads", &[HUGE, HUGE, HUGE, HUGE]))], vec![weights()]), SHAPE),
        ("Conv, negative padding", of_image(vec![node("Conv", &["input", "w"], "x").with(ints("pads", &[-9, -9, -9, -9]))], vec![weights()]), BROKEN),
        ("MaxPool, absurd kernel", of_image(vec![node("MaxPool", &["input"], "x").with(ints("kernel_shape", &[HUGE, HUGE]))], vec![]), BROKEN),
        ("MaxPool, kernel 0", of_image(vec![node("MaxPool", &["input"], "x").with(ints("kernel_shape", &[0, 0]))], vec![]), BROKEN),
        ("AveragePool, stride 0", of_image(vec![node("AveragePool", &["input"], "x").with(ints("kernel_shape", &[2, 2])).with(ints("strides", &[0, 0]))], vec![]), BROKEN),
        ("ConvTranspose, absurd stride", of_image(vec![node("ConvTranspose", &["input", "w"], "x").with(ints("strides", &[1 << 30, 1 << 30]))], vec![weights()]), SHAPE),
        ("Reshape, two unknown axes", of_image(vec![node("Reshape", &["input", "n"], "x")], vec![list("n", &[-1, -1, 3, 1])]), BROKEN),
        ("Reshape, another number of values", of_image(vec![node("Reshape", &["input", "n"], "x")], vec![list("n", &[1, 3, 1 << 30, 1 << 30])]), BROKEN),
        ("Reshape, 10,000 axes", of_image(vec![node("Reshape", &["input", "n"], "x")], vec![list("n", &[1; 10_000])]), SHAPE),
        ("Unsqueeze, 2000 axes", of_image(vec![node("Unsqueeze", &["input", "n"], "x")], vec![list("n", &(0..2000).collect::<Vec<_>>())]), SHAPE),
        ("Squeeze, absurd axis", of_image(vec![node("Squeeze", &["input", "n"], "x")], vec![list("n", &[99])]), BROKEN),
        ("Transpose, no permutation", of_image(vec![node("Transpose", &["input"], "x").with(ints("perm", &[0, 0, 9, -1]))], vec![]), BROKEN),
        ("Slice, step 0", of_image(vec![node("Slice", &["input", "a", "b", "c", "d"], "x")], vec![list("a", &[0]), list("b", &[8]), list("c", &[2]), list("d", &[0])]), BROKEN),
        ("Split into 2^40", of_image(vec![node("Split", &["input"], "x").with(int("num_outputs", HUGE)).with(int("axis", 2))], vec![]), "unsupported-model"),
        ("Gather, index out of range", of_image(vec![node("Gather", &["input", "i"], "x").with(int("axis", 1))], vec![list("i", &[HUGE, -HUGE])]), "bad-manifest"),
        ("Transpose, an axis twice", of_image(vec![node("Transpose", &["input"], "x").with(ints("perm", &[0, 2, 2, 1]))], vec![]), BROKEN),
        ("Flatten, absurd axis", of_image(vec![node("Flatten", &["input"], "f").with(int("axis", 99)), node("Relu", &["f"], "x")], vec![]), BROKEN),
        ("Softmax, absurd axis", of_image(vec![node("Softmax", &["input"], "s").with(int("axis", 99)), node("Relu", &["s"], "x")], vec![]), BROKEN),
        ("DepthToSpace, block of 0", of_image(vec![node("DepthToSpace", &["input"], "x").with(int("blocksize", 0))], vec![]), BROKEN),
        ("SpaceToDepth, absurd block", of_image(vec![node("SpaceToDepth", &["input"], "x").with(int("blocksize", HUGE))], vec![]), BROKEN),
        ("Einsum, no equation", of_image(vec![node("Einsum", &["input"], "x").with(text("equation", &"(".repeat(100_000)))], vec![]), BROKEN),
        ("Einsum, absurd product", of_image(vec![node("Einsum", &["input", "input", "input", "input"], "x").with(text("equation", "abcd,efgh,ijkl,mnop->abcdefghijklmnop"))], vec![]), "unsupported-model"),
        ("GroupNormalization, no group", of_image(vec![node("GroupNormalization", &["input", "s", "s"], "x").with(int("num_groups", 0))], vec![float("s", &[3], &[1.0; 3])]), BROKEN),
        ("TopK, absurd", of_image(vec![NodeProto { output: vec!["x".into(), "i".into()], ..node("TopK", &["input", "k"], "x") }], vec![list("k", &[HUGE])]), BROKEN),
        ("LSTM, absurd", of_image(vec![node("LSTM", &["input", "w", "w"], "x").with(int("hidden_size", HUGE))], vec![weights()]), BROKEN),
        ("NonMaxSuppression, absurd", of_image(vec![node("NonMaxSuppression", &["input", "input", "k"], "x")], vec![int64("k", &[], &[HUGE])]), BROKEN),
        ("2^27 classes", model(graph(vec![node("Expand", &["input", "n"], "e"), node("Flatten", &["e"], "logits")], vec![list("n", &[1 << 20, 3, 8, 8])])), "over-memory-limit"),
        // cycles
        ("Relu of itself", of_image(vec![node("Relu", &["x"], "x")], vec![]), BROKEN),
        ("a circle of two", of_image(vec![node("Relu", &["b"], "x"), node("Relu", &["x"], "b")], vec![]), BROKEN),
        ("a circle of Identity at the end", model(graph(vec![node("Identity", &["logits"], "a"), node("Identity", &["a"], "logits")], vec![])), BROKEN),
        ("a circle of Flatten at the end", model(graph(vec![node("Flatten", &["logits"], "logits")], vec![])), BROKEN),
        ("a circle of 3,000", of_image({ let mut nodes = chain("Relu", 3000); nodes[0].input = vec!["t2999".into()]; nodes }, vec![]), BROKEN),
        // deep and wide
        ("a chain of 500", of_image(chain("Relu", 500), vec![]), "-"),
        ("a chain of 9,000", of_image(chain("Relu", 9000), vec![]), BROKEN),
        ("a chain of 100,000", of_image(chain("Relu", 100_000), vec![]), BROKEN),
        ("a chain of 100,000 Identity", of_image(chain("Identity", 100_000), vec![]), BROKEN),
        ("If in If, 20 deep", model(nested(20)), "-"),
        ("If in If, 32 deep", model(nested(32)), "not-a-model"),
        ("If in If, 2,000 deep", { let mut bytes = vec![]; for _ in 0..2000 { bytes = [vec![], wrap(1, &wrap(5, &wrap(6, &bytes)))].concat(); } wrap(7, &bytes) }, "not-a-model"),
        ("nested graph without its output", model(graph({ let mut nodes = vec![node("If", &["c"], "x").with(subgraph("then_branch", GraphProto { output: vec![fixed("ghost", &[1])], ..GraphProto::default() })).with(subgraph("else_branch", GraphProto::default()))]; nodes.extend(head("x")); nodes }, vec![TensorProto { data_type: 9, int32_data: vec![1], ..int64("c", &[], &[]) }])), BROKEN),
        ("Scan of 2^40 steps", of_image(vec![node("Expand", &["input", "n"], "long"), node("Scan", &["long"], "x").with(int("num_scan_inputs", 1)).with(subgraph("body", GraphProto { input: vec![fixed("slice", &[3, 8, 8])], node: vec![node("Relu", &["slice"], "y")], output: vec![fixed("y", &[3, 8, 8])], ..GraphProto::default() }))], vec![list("n", &[HUGE, 3, 8, 8])]), "bad-manifest"),
        ("Scan with too few inputs", of_image(vec![node("Scan", &["input"], "x").with(int("num_scan_inputs", 9)).with(subgraph("body", GraphProto { input: vec![fixed("slice", &[3, 8, 8])], node: vec![node("Relu", &["slice"], "y")], output: vec![fixed("y", &[3, 8, 8])], ..GraphProto::default() }))], vec![]), BROKEN),
        ("one node with 100,000 inputs", of_image(vec![node("Sum", &["input"; 100_000], "x")], vec![]), BROKEN),
        ("100,000 weights", of_image(vec![node("Relu", &["input"], "x")], (0..100_000).map(|at| float(&format!("w{at}"), &[1], &[0.0])).collect()), "-"),
        ("a name of a million letters", of_image(vec![NodeProto { op_type: "<b>".repeat(300_000), ..node("", &["input"], "x") }], vec![]), "unsupported-operator"),
        ("formulas for axes, nested without end", model(GraphProto { input: vec![value("input", ["(", "floor(", "-", "1+(", "max(("].iter().map(|text| dimension::Value::DimParam(text.repeat(50_000))).take(4).collect())], ..graph(head("input"), vec![]) }), "-"),
        // tensors that are not what they say
        ("weights of an absurd shape", of_image(vec![node("Conv", &["input", "w"], "x")], vec![float("w", &[HUGE, HUGE, HUGE], &[0.0])]), SHAPE),
        ("weights of a negative shape", of_image(vec![node("Conv", &["input", "w"], "x")], vec![float("w", &[-3, 3, 1, 1], &[0.0; 9])]), SHAPE),
        ("weights of 100,000 axes", of_image(vec![node("Add", &["input", "w"], "x")], vec![float("w", &vec![1; 100_000], &[0.0])]), SHAPE),
        ("weights that end early", of_image(vec![node("Conv", &["input", "w"], "x")], vec![float("w", &[3, 3, 1, 1], &[0.0; 5])]), "truncated"),
        ("weights in /etc/passwd", of_image(vec![node("Conv", &["input", "w"], "x")], vec![TensorProto { data_location: Some(1), external_data: vec![StringStringEntryProto { key: "location".into(), value: "../../../../etc/passwd".into() }], ..float("w", &[3, 3, 1, 1], &[]) }]), "external-data"),
        ("weights of an unknown type", of_image(vec![node("Conv", &["input", "w"], "x")], vec![TensorProto { data_type: 99, ..weights() }]), BROKEN),
        ("weights of text", of_image(vec![node("Conv", &["input", "w"], "x")], vec![TensorProto { data_type: 8, string_data: vec![b"<script>".to_vec(); 9], ..float("w", &[3, 3, 1, 1], &[]) }]), BROKEN),
        // not classifiers
        ("an operator that does not exist", of_image(vec![node("<script>alert(1)</script>", &["input"], "x")], vec![]), "unsupported-operator"),
        ("no node", model(graph(vec![], vec![])), "not-a-model"),
        ("an output that nothing makes", model(graph(vec![node("Relu", &["input"], "x")], vec![])), BROKEN),
        ("two tensors of one name", of_image(vec![node("Relu", &["input"], "x"), node("Relu", &["input"], "x")], vec![]), BROKEN),
        ("an input that is not there", of_image(vec![node("Add", &["input", "ghost"], "x")], vec![]), BROKEN),
        ("nodes without inputs", of_image(vec![node("Conv", &[], "x")], vec![]), BROKEN),
        ("nodes without outputs", { let mut nodes = head("input"); nodes.push(NodeProto { output: vec![], ..node("Relu", &["input"], "x") }); model(graph(nodes, vec![])) }, "-"),
        ("two images", model(GraphProto { input: vec![fixed("input", &[1, 3, 8, 8]), fixed("other", &[1, 3, 8, 8])], ..graph([vec![node("Add", &["input", "other"], "x")], head("x")].concat(), vec![]) }), "unsupported-model"),
        ("an image of five axes", model(GraphProto { input: vec![fixed("input", &[1, 3, 8, 8, 8])], ..graph(head("input"), vec![]) }), "bad-manifest"),
        ("an image of another size", model(GraphProto { input: vec![fixed("input", &[1, 3, HUGE, HUGE])], ..graph(head("input"), vec![]) }), "bad-manifest"),
        ("a map in place of scores", model(graph(vec![node("Relu", &["input"], "logits")], vec![])), "bad-manifest"),
        ("one byte", vec![8], "truncated"),
        ("a web page", b"<!doctype html><script>alert(1)</script>".to_vec(), "not-a-model"),
    ]
}

/// The sound graph, with a plan: the layer is at 192, the scores are at 384.
fn planned(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut plan = json!({
        "version": whylens::internal::PLAN, "input": [1, 3, 8, 8], "layout": "nchw", "output": "logits", "scores": [1, 3], "activation": null,
        "places": [{ "layer": { "name": "x", "channels": 3, "height": 8, "width": 8 },
                     "shape": [1, 3, 8, 8], "axes": "channels-first" }],
        "tensors": ["w"], "numbers": ["w", [0.5, 1.5]], "spaces": [0, 0, 1024], "constants": [],
        "forward": {
            "given": 0, "made": [[384, 1, 3, 1, 1], [192, 1, 192, 1, 1]],
            "steps": [["map", [192, 0, 0, 0, 1, 192, 1, 1]], ["reduce", [384, 192, 0, 1, 3, 1, 64, 1, 64, 1]]],
        },
        "backward": { "given": 0, "made": [[0, 2, 3, 64, 1, 64, 1, 0]], "steps": [] },
    });
    change(&mut plan);
    let onnx = of_image(vec![node("Relu", &["input"], "x")], vec![]);
    let mut model = ModelProto::decode(onnx.as_slice()).unwrap();
    let graph = model.graph.get_or_insert_default();
    let bytes = (0..64).flat_map(|_| 0.5f32.to_le_bytes()).collect();
    graph.initializer.push(TensorProto {
        raw_data: bytes,
        ..float("w", &[64], &[])
    });
    model.metadata_props.push(StringStringEntryProto {
        key: "whylens.plan".into(),
        value: plan.to_string(),
    });
    model.encode_to_vec()
}

#[rustfmt::skip] // a table
fn plans() -> Vec<Case> {
    const OVER: &str = "over-memory-limit";
    // With every place behind constants and what is kept.
    let spaces = |sizes: [u64; 3]| planned(|plan| {
        plan["spaces"] = json!(sizes);
        let shift = |place: &mut Value| *place = (place.as_u64().unwrap() + sizes[0] + sizes[1]).into();
        for half in ["forward", "backward"] {
            let half = &mut plan[half];
            shift(&mut half["given"]);
            half["made"].as_array_mut().unwrap().iter_mut().for_each(|made| shift(&mut made[0]));
            for step in half["steps"].as_array_mut().unwrap() {
                [0, 1].into_iter().for_each(|at| shift(&mut step[1][at]));
            }
        }
    });
    // Behind the sound ones, where nothing reads what they make.
    let more = |steps: Vec<Value>| planned(|plan| {
        let list = plan["forward"]["steps"].as_array_mut().unwrap();
        list.extend(steps);
    });
    let in_gradient = |steps: Vec<Value>| planned(|plan| plan["backward"]["steps"] = steps.into());
    let abs = || json!(["map", [512, 0, 0, 0, 1, 192, 1, 1]]);
    // Sums of 2 × `inputs` weights that are all the same one.
    let product = |sums: u32, inputs: u32| json!(["product", [512, 0, 0, sums, 0, 0, 1, sums, inputs, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, inputs, 1, 0, 0, 0, 0]]);
    let pool = |kernel: u32, before: u32| json!(["pool", [512, 0, 3, 1, 1, 8, 8, 1, 1, kernel, kernel, 1, 1, 1, 1, before, before]]);
    let filter = |before: u32| json!(["filter", [512, 0, 0, 0, 8, 8, 1, 1, 0, 0, 0, 0, 0, 3, 8, 1, 8, 1, 1, 1, 1, 1, 1, before, before, 0, 0, 0]]);
    let reduced = |count: usize| json!(["reduce", [512, 0, 0, 1, 1, 1, 1, count, (0..count).flat_map(|_| [1 << 28, 0]).collect::<Vec<_>>()]]);
    let flat = |step: Value| {
        let fields = step[1].as_array().unwrap().iter();
        let fields: Vec<Value> = fields.flat_map(|one| one.as_array().cloned().unwrap_or_else(|| vec![one.clone()])).collect();
        json!([step[0], fields])
    };
    vec![
        ("a plan, sound", planned(|_| ()), "-"),
        ("a plan, more steps", more(vec![abs(), product(3, 8), pool(3, 1), filter(0)]), "-"),
        ("a plan of version 1", planned(|plan| plan["version"] = 1.into()), "-"),
        ("a plan, work of 600 MB", spaces([0, 0, 150_000_000]), OVER),
        ("a plan, twice 300 MB that are kept for the gradient", spaces([0, 75_000_000, 1024]), OVER),
        ("a plan, constants of 800 MB", spaces([200_000_000, 0, 1024]), OVER),
        ("a plan, an arena of 8 GB", spaces([0, 0, (1 << 31) - 1]), OVER),
        ("a plan, an arena of 2^33 values", spaces([u32::MAX.into(), u32::MAX.into(), 1024]), "-"),
        ("a plan, 7,000 steps", more((0..7000).map(|_| abs()).collect()), "-"),
        ("a plan, 100,000 steps", more((0..100_000).map(|_| abs()).collect()), "-"),
        ("a plan, 100,000 steps in the gradient", in_gradient((0..100_000).map(|_| abs()).collect()), "-"),
        ("a plan, a million fields", more(vec![json!(["map", vec![1; 1_000_000]])]), "-"),
        ("a plan, a million constants", planned(|plan| plan["constants"] = vec![json!([0, 1]); 1_000_000].into()), "-"),
        ("a plan, a million lists", planned(|plan| plan["numbers"] = vec![json!([0.5]); 1_000_000].into()), "-"),
        ("a plan, a million numbers in a list", planned(|plan| plan["numbers"][1] = vec![0.5; 1_000_000].into()), "-"),
        ("a plan, a constant beside its space", planned(|plan| { plan["spaces"] = json!([1, 0, 1024]); plan["constants"] = json!([[0, 1]]); }), "-"),
        ("a plan, weights read without end", more(vec![product(1 << 20, 1 << 20)]), "-"),
        ("a plan, weights read a thousand times", more((0..1000).map(|_| product(8, 8)).collect()), "-"),
        ("a plan, a pooling of 2^28 taps", more(vec![pool(16384, 8192)]), "-"),
        ("a plan, 7,000 poolings of 2^28 taps", more((0..7000).map(|_| pool(16384, 8192)).collect()), "-"),
        ("a plan, a filter beside its image", more(vec![filter(16384)]), "-"),
        ("a plan, a sum of 2^56 values", more(vec![flat(reduced(2))]), "-"),
        ("a plan, a sum of 2^224 values", more(vec![flat(reduced(8))]), "-"),
        ("a plan, a sum of 2^252 values", more(vec![flat(reduced(9))]), "-"),
        ("a plan, a step that writes what it reads", more(vec![json!(["map", [1, 0, 0, 0, 1, 192, 1, 1]])]), "-"),
        ("a plan, a step that turns round what it reads", more(vec![json!(["map", [0, 0, 0, 0, 2, 8, 1, 8, 8, 8, 1]])]), "-"),
        ("a plan, a step that writes a place twice", more(vec![json!(["copy", [512, 0, 1, 8, 0, 1]])]), "-"),
        ("a plan, a step beyond the arena", more(vec![json!(["copy", [1000, 0, 1, 64, 1, 1]])]), "-"),
        ("a plan, a step that begins beyond the arena", more(vec![json!(["copy", [u32::MAX, 0, 1, 64, 1, 1]])]), "-"),
        ("a plan, a step that reads beyond the arena", more(vec![json!(["copy", [512, 0, 2, 64, 1, 1 << 28, 1, 1, 1]])]), "-"),
        ("a plan, a gradient that writes what is kept", planned(|plan| {
            plan["spaces"] = json!([0, 512, 1024]);
            for (half, at) in [("forward", 512), ("backward", 512)] {
                plan[half]["given"] = at.into();
            }
            plan["forward"]["steps"] = json!([["map", [704, 512, 0, 0, 1, 192, 1, 1]], ["reduce", [896, 704, 0, 1, 3, 1, 64, 1, 64, 1]]]);
            plan["forward"]["made"] = json!([[896, 1, 3, 1, 1], [704, 1, 192, 1, 1]]);
            plan["backward"]["steps"] = json!([["set", [0, 64, 0]]]);
            plan["backward"]["made"] = json!([[512, 2, 3, 64, 1, 64, 1, 0]]);
        }), "-"),
        ("a plan, a function that is not known", more(vec![json!(["map", [512, 0, 99, 0, 1, 192, 1, 1]])]), "-"),
        ("a plan, scores of another size", planned(|plan| plan["forward"]["made"][0] = json!([384, 1, 4, 1, 1])), "-"),
        ("a plan, a layer of 2^56 values", planned(|plan| plan["forward"]["made"][1] = json!([192, 2, 1 << 28, 0, 0, 1 << 28, 0, 0])), "-"),
        ("a plan, a number below 0", more(vec![json!(["set", [512, -1, 0]])]), "-"),
    ]
}

/// Otherwise the others would be refused for a reason that is not theirs.
#[test]
fn the_sound_plans_are_used() {
    let (manifest, _) = Manifest::parse(&changed(|_| ())).unwrap();
    let options = Options {
        heatmap: true,
        ..Options::default()
    };
    for (name, onnx, _) in plans().into_iter().take(2) {
        let model = Model::planned(&onnx, &manifest, &options).unwrap();
        assert!(model.is_some(), "{name}");
    }
}

/// A protobuf field that holds a message.
fn wrap(field: u8, inner: &[u8]) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
    bytes.extend(inner);
    bytes
}

fn manifest() -> Value {
    json!({
        "format": 1, "name": "hostile", "version": "1", "license": "MIT", "source": "tests/hostile.rs", "disclaimer": null,
        "weights": { "file": "model.onnx", "bytes": 1, "sha256": "0".repeat(64), "precision": "fp32" },
        "input": { "name": "input", "layout": "nchw", "channels": "rgb", "width": 8, "height": 8,
                   "resize": { "mode": "exact", "filter": "bilinear" }, "crop": "none",
                   "scale": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1] },
        "output": { "name": "logits", "activation": "softmax" },
        "heatmap": { "layer": null },
        "labels": { "en": "labels.txt" }
    })
}

fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut json = manifest();
    change(&mut json);
    json.to_string().into_bytes()
}

/// The manifest with a field's value replaced by text, which serde need not be able to write.
fn spelled(field: &str, text: &str) -> Vec<u8> {
    let mark = "a mark that is nowhere else";
    let (parent, name) = field.split_once('.').unwrap();
    let json = changed(|json| json[parent][name] = mark.into());
    let json = String::from_utf8(json).unwrap();
    json.replace(&format!("\"{mark}\""), text).into_bytes()
}

#[rustfmt::skip] // a table
fn manifests() -> Vec<Case> {
    const BAD: &str = "bad-manifest";
    vec![
        ("model.json, sound", changed(|_| ()), "-"),
        ("model.json, empty", vec![], BAD),
        ("model.json, 16 MB of spaces", vec![b' '; 16_000_000], BAD),
        ("model.json, not UTF-8", [b"{\"name\": \"".as_slice(), &[0xff, 0xfe], b"\"}"].concat(), BAD),
        ("model.json, half a surrogate", spelled("output.name", r#""\ud800""#), BAD),
        ("model.json, arrays nested 5 million deep", vec![b'['; 5_000_000], BAD),
        ("model.json, an unknown field nested 5 million deep", [b"{\"x\": ".as_slice(), &vec![b'['; 5_000_000]].concat(), BAD),
        ("model.json, a name twice", br#"{"format": 1, "format": 1}"#.to_vec(), BAD),
        ("model.json, 500,000 unknown fields", changed(|json| for at in 0..500_000 { json[format!("x{at}")] = 1.into(); }), "-"),
        ("model.json, a mean of a million values", changed(|json| json["input"]["mean"] = vec![0; 1_000_000].into()), BAD),
        ("model.json, a scale of 1e999", spelled("input.scale", "1e999"), BAD),
        ("model.json, a scale of 1e300", spelled("input.scale", "1e300"), BAD),
        ("model.json, a scale of NaN", spelled("input.scale", "NaN"), BAD),
        ("model.json, a width of -1", spelled("input.width", "-1"), BAD),
        ("model.json, a width of 1e5", spelled("input.width", "100000"), BAD),
        ("model.json, a width of 2^32", spelled("input.width", "4294967296"), BAD),
        ("model.json, a width of 1.5", spelled("input.width", "1.5"), BAD),
        ("model.json, weights of 2^64 - 1 bytes", spelled("weights.bytes", "18446744073709551615"), "over-memory-limit"),
        ("model.json, weights of 2^64 bytes", spelled("weights.bytes", "18446744073709551616"), BAD),
        ("model.json, an image of 4096 × 4096", changed(|json| (json["input"]["width"], json["input"]["height"]) = (4096.into(), 4096.into())), "over-memory-limit"),
        ("model.json, parts that overflow", changed(|json| json["weights"]["parts"] = json!([{ "file": "a", "bytes": u64::MAX }, { "file": "b", "bytes": u64::MAX }])), BAD),
        ("model.json, parts that are one file", changed(|json| json["weights"]["parts"] = json!([{ "file": "a", "bytes": 1 }, { "file": "a", "bytes": 0 }])), BAD),
        ("model.json, weights in ../secret", spelled("weights.file", r#""../secret""#), BAD),
        ("model.json, weights in C:\\secret", spelled("weights.file", r#""C:\\secret""#), BAD),
        ("model.json, weights at another site", spelled("weights.file", r#""https://evil.example/model.onnx""#), BAD),
        ("model.json, weights in %2e%2e%2fsecret", spelled("weights.file", r#""%2e%2e%2fsecret""#), BAD),
        ("model.json, weights in a name with NUL", spelled("weights.file", r#""a\u0000b""#), BAD),
        ("model.json, weights in blob:…", spelled("weights.file", r#""blob:null/1""#), BAD),
        ("model.json, labels in ..", spelled("labels.en", r#""..""#), BAD),
        ("model.json, no labels", changed(|json| json["labels"] = json!({})), BAD),
        ("model.json, a SHA-256 of markup", spelled("weights.sha256", r#""<img src=x onerror=alert(1)>""#), BAD),
        ("model.json, markup in every text", changed(|json| for field in ["name", "version", "license", "source", "disclaimer"] { json[field] = "<img src=x onerror=alert(1)>".into(); }), "-"),
    ]
}

#[rustfmt::skip] // a table
fn labels() -> Vec<Case> {
    const BAD: &str = "bad-manifest";
    vec![
        ("labels, markup", b"<img src=x onerror=alert(1)>\n<script>alert(1)</script>\n\"'&lt;".to_vec(), "-"),
        ("labels, written from right to left", "\u{202e}abc\n\u{2066}\u{200b}\nx".as_bytes().to_vec(), "-"),
        ("labels, too few", b"one\ntwo".to_vec(), BAD),
        ("labels, eight million", b"a\n".repeat(8_000_000), BAD),
        ("labels, one of 16 MB", vec![b'a'; 16_000_000], BAD),
        ("labels, not UTF-8", vec![0xff; 100], BAD),
        ("labels, NUL", vec![0; 100], BAD),
        ("labels, none", vec![], BAD),
    ]
}

const SOUND: &[u8] = b"one\ntwo\nthree";

/// Loads a model folder as the page does, and classifies a tensor.
fn attempt(json: &[u8], labels: &[u8], onnx: &[u8]) -> whylens::Result<()> {
    let (manifest, warnings) = Manifest::parse(json)?;
    assert!(warnings.len() < 30);
    estimate::check(&manifest, (true, 1), 0, MOST_MEMORY as f64)?;
    sniff::onnx(onnx, "the file")?;
    let options = Options {
        heatmap: true,
        memory: Some(MOST_MEMORY as u64),
        ..Options::default()
    };
    let tensor = Tensor {
        shape: vec![1, 3, 8, 8],
        values: vec![0.5; 192],
    };
    // Pages run it; a plan that is not sound is not used.
    if let Some(model) = Model::planned(onnx, &manifest, &options)? {
        let forward = model.forward(&tensor)?;
        model.gradients(&forward, 0)?;
    }
    let classifier = Classifier::new(manifest, labels, onnx, &options)?;
    let result = classifier.classify_tensor(&tensor, &whylens::Query::default())?;
    assert_eq!(result.predictions.len(), 3);
    Ok(())
}

#[test]
fn model_folders_made_to_do_harm_are_refused() {
    std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(refuse_all)
        .unwrap()
        .join()
        .unwrap();
}

fn refuse_all() {
    let json = changed(|_| ());
    let sound = graphs().swap_remove(0).1;
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/hostile");
    drop(fs::remove_dir_all(&kept));
    fs::create_dir_all(&kept).unwrap();
    let mut listed = Vec::new();
    let mut wrong = Vec::new();
    println!("| hostile input | bytes | code | ms | MB |\n|---|---:|---|---:|---:|");
    let only = std::env::var("WHYLENS_HOSTILE").ok();
    let cases = graphs()
        .into_iter()
        .chain(plans())
        .map(|case| (case, "model.onnx"));
    let cases = cases.chain(manifests().into_iter().map(|case| (case, "model.json")));
    let cases = cases.chain(labels().into_iter().map(|case| (case, "labels.txt")));
    for (at, ((name, bytes, expected), file)) in cases.enumerate() {
        if only
            .as_ref()
            .is_some_and(|only| !name.contains(only.as_str()))
        {
            continue;
        }
        fs::write(kept.join(format!("{at}")), &bytes).unwrap();
        listed.push(json!({ "name": name, "file": file, "at": at, "code": expected }));
        let before = memory::live();
        memory::forget_peak();
        let start = Instant::now();
        let result = match file {
            "model.onnx" => attempt(&json, SOUND, &bytes),
            "model.json" => attempt(&bytes, SOUND, &sound),
            _ => attempt(&json, &bytes, &sound),
        };
        let took = start.elapsed();
        let used = memory::peak() - before;
        let code = result.as_ref().map_or_else(|error| error.code(), |()| "-");
        let (size, megabytes) = (bytes.len(), used as f64 / 1e6);
        println!(
            "| {name} | {size} | `{code}` | {} | {megabytes:.1} |",
            took.as_millis()
        );
        if let Err(error) = &result {
            let text = error.to_string();
            println!("<!-- {} -->", &text[..text.floor_char_boundary(300)]);
        }
        let slow = took > LONGEST && (result.is_err() || name.contains("steps"));
        if code != expected || slow || used > MOST_MEMORY {
            wrong.push(format!(
                "{name}: {result:?}, expected {expected}, {took:?}, {used} bytes"
            ));
        }
        attempt(&json, SOUND, &sound).unwrap();
    }
    fs::write(kept.join("cases.json"), Value::from(listed).to_string()).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
