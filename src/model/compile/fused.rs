//! Nodes that ONNX Runtime's optimiser has joined → the nodes from which it joined them.
//!
//! After `ContribOperators.md` and the fusions of ONNX Runtime, whose offline optimiser writes such files.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::limits;
use crate::error::{Error, Result};

/// The domain of ONNX Runtime's own operators.
const MICROSOFT: &str = "com.microsoft";

/// Operators that are parted here and not known otherwise.
pub const OPERATORS: [&str; 2] = ["FusedConv", "FusedGemm"];

/// Parts all joined nodes.
///
/// # Errors
/// [`Error::UnsupportedOperator`] for an activation that is not known.
pub fn part(graph: &mut GraphProto) -> Result<()> {
    for node in std::mem::take(&mut graph.node) {
        match node.op_type.as_str() {
            "FusedConv" => activated(graph, node, "Conv")?,
            "FusedGemm" => activated(graph, node, "Gemm")?,
            "Attention" if node.domain == MICROSOFT => attention(graph, &node)?,
            _ => graph.node.push(node),
        }
    }
    Ok(())
}

/// The projections to queries, keys and values, side by side in one matrix, and ONNX's own Attention.
fn attention(graph: &mut GraphProto, node: &NodeProto) -> Result<()> {
    let found = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let whole = |name: &str| found(name).map_or(0, |a| a.i);
    let input = |at: usize| node.input.get(at).cloned().unwrap_or_default();
    let more = node.input.iter().skip(3).any(|name| !name.is_empty());
    let other = ["unidirectional", "do_rotary", "past_present_share_buffer"];
    let width = graph.initializer.iter().find(|t| t.name == input(1));
    let width = width.and_then(|weights| weights.dims.get(1).copied());
    let (Some(width), false) = (
        width,
        more || node.output.len() > 1 || other.iter().any(|name| whole(name) != 0),
    ) else {
        return Err(Error::UnsupportedOperator(format!(
            "operator Attention at `{}` has a mask, keeps earlier calls or computes its weights, which cannot be run \
             here; give the file from before it was optimised",
            limits::label(node)
        )));
    };
    let output = node.output.first().cloned().unwrap_or_default();
    let sizes = match found("qkv_hidden_sizes").map(|a| &a.ints[..]) {
        Some(&[query, key, value]) => [query, key, value],
        _ => [width / 3; 3],
    };
    let made = |operator: &str, input: Vec<String>, output: &str| NodeProto {
        op_type: operator.into(),
        name: output.into(),
        input,
        output: vec![output.into()],
        ..NodeProto::default()
    };
    let [product, all] = ["product", "all"].map(|part| format!("{output}.{part}"));
    graph
        .node
        .push(made("MatMul", vec![input(0), input(1)], &product));
    let all = match input(2).as_str() {
        "" => product,
        bias => {
            graph
                .node
                .push(made("Add", vec![product, bias.into()], &all));
            all
        }
    };
    let mut parts = Vec::new();
    let mut start = 0;
    for (word, size) in ["query", "key", "value"].into_iter().zip(sizes) {
        let part = format!("{output}.{word}");
        let mut inputs = vec![all.clone()];
        for (word, number) in [("start", start), ("end", start + size), ("axis", 2)] {
            let name = format!("{part}.{word}");
            graph.initializer.push(TensorProto {
                name: name.clone(),
                dims: vec![1],
                data_type: DataType::Int64 as i32,
                int64_data: vec![number],
                ..TensorProto::default()
            });
            inputs.push(name);
        }
        graph.node.push(made("Slice", inputs, &part));
        parts.push(part);
        start += size;
    }
    let heads = ["q_num_heads", "kv_num_heads"].map(|name| AttributeProto {
        name: name.into(),
        r#type: 2,
        i: whole("num_heads"),
        ..AttributeProto::default()
    });
    let scale = found("scale").filter(|scale| scale.f != 0.0).cloned();
    graph.node.push(NodeProto {
        attribute: heads.into_iter().chain(scale).collect(),
        ..made("Attention", parts, &output)
    });
    Ok(())
}

/// A node that follows: its operator, its attributes, and its inputs besides what comes before.
type Follows<'a> = (&'a str, Vec<(&'a str, f32)>, Vec<String>);

/// A convolution or product, for FusedConv plus a map, with an activation.
fn activated(graph: &mut GraphProto, mut node: NodeProto, plain: &str) -> Result<()> {
    let attributes = std::mem::take(&mut node.attribute).into_iter();
    let (told, kept): (Vec<_>, _) = attributes.partition(|a| a.name.starts_with("activation"));
    let find = |name: &str| told.iter().find(|a| a.name == name);
    let activation = find("activation").map(|a| String::from_utf8_lossy(&a.s).into_owned());
    let activation = activation.unwrap_or_default();
    let listed = find("activation_params").map_or(&[][..], |a| &a.floats);
    let parameter = |name: &str, at: usize| {
        let named = find(&format!("activation_{name}")).map(|a| a.f);
        named.or_else(|| listed.get(at).copied())
    };
    let output = node.output.first().cloned().unwrap_or_default();
    let mut steps: Vec<Follows> = Vec::new();
    let added = (plain == "Conv")
        .then(|| node.input.get(3).cloned())
        .flatten();
    node.input.truncate(3);
    if let Some(map) = added.filter(|map| !map.is_empty()) {
        steps.push(("Add", Vec::new(), vec![map]));
    }
    let named = |names: [&'static str; 2]| {
        let given = names.into_iter().enumerate();
        let given = given.filter_map(|(at, name)| Some((name, parameter(name, at)?)));
        given.collect::<Vec<_>>()
    };
    match activation.as_str() {
        "" => {}
        "Relu" | "Sigmoid" | "Tanh" | "Softplus" | "Softsign" => {
            steps.push((&activation, Vec::new(), Vec::new()));
        }
        "LeakyRelu" | "HardSigmoid" | "Elu" | "ThresholdedRelu" => {
            steps.push((&activation, named(["alpha", "beta"]), Vec::new()));
        }
        "Clip" => {
            for (operator, at) in [("Max", 0), ("Min", 1)] {
                let bound = format!("{output}.{operator}");
                let value = listed.get(at).copied();
                let Some(value) = value.filter(|value| value.abs() < f32::MAX) else {
                    continue;
                };
                graph.initializer.push(TensorProto {
                    name: bound.clone(),
                    data_type: DataType::Float as i32,
                    float_data: vec![value],
                    ..TensorProto::default()
                });
                steps.push((operator, Vec::new(), vec![bound]));
            }
        }
        other => {
            return Err(Error::UnsupportedOperator(format!(
                "operator {} at `{}` ends in {}, which cannot be run here; \
                 give the file from before it was optimised",
                node.op_type,
                limits::label(&node),
                limits::short(other)
            )));
        }
    }
    let mut made = output.clone();
    if !steps.is_empty() {
        made = format!("{output}.{plain}");
    }
    node.op_type = plain.into();
    node.domain.clear();
    node.attribute = kept;
    node.output = vec![made.clone()];
    graph.node.push(node);
    let count = steps.len();
    for (at, (operator, attributes, more)) in steps.into_iter().enumerate() {
        let next = match at + 1 == count {
            true => output.clone(),
            false => format!("{output}.{at}"),
        };
        let attribute = attributes.into_iter().map(|(name, f)| AttributeProto {
            name: name.into(),
            r#type: 1,
            f,
            ..AttributeProto::default()
        });
        graph.node.push(NodeProto {
            op_type: operator.into(),
            name: next.clone(),
            input: [vec![made], more].concat(),
            output: vec![next.clone()],
            attribute: attribute.collect(),
            ..NodeProto::default()
        });
        made = next;
    }
    Ok(())
}
