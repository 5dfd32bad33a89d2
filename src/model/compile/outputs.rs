//! outputs of an ONNX graph → those that may hold the scores, the likeliest first.

use std::collections::HashMap;

use serde::Serialize;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto, tensor_shape_proto, type_proto};

use super::proto;

/// A tensor that may hold the scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Name of the tensor.
    pub name: String,
    /// Number of classes, if the graph gives it.
    pub classes: Option<usize>,
    /// Names of the classes in class order, if the graph holds them.
    #[serde(skip)]
    pub labels: Option<Vec<String>>,
    /// The two tensors of which it is the mean; none: it is in the graph.
    #[serde(skip)]
    pub mean_of: Option<[String; 2]>,
}

/// Parts of the names of outputs with scores.
const LIKELY: [&str; 6] = ["logit", "prob", "score", "softmax", "class", "pred"];

/// The most outputs that are examined, each with everything that it is computed from.
const MOST_HEADS: usize = 64;

/// An auxiliary head leaves the network before this share is computed; GoogLeNet's later one leaves at 0.75.
const AUXILIARY: f64 = 0.9;

/// Tensors that may hold the scores. Left out are outputs that are not lists of numbers (labels, maps, features),
/// those from which another is computed, and heads that leave the network early. The two heads of a distilled
/// network come with their mean, which such networks use as their answer.
pub fn find(graph: &GraphProto) -> Vec<Head> {
    let producers = producers(graph);
    let types = types(graph);
    let all: Vec<Head> = graph
        .output
        .iter()
        .map(|output| head(graph, &producers, &types, &output.name))
        .collect();
    if all.len() == 1 || all.len() > MOST_HEADS {
        return all;
    }
    let computed: Vec<&Head> = all
        .iter()
        .filter(|head| producers.contains_key(head.name.as_str()))
        .filter(|head| {
            types
                .get(head.name.as_str())
                .is_none_or(|kind| kind.is_list())
        })
        .collect();
    if computed.is_empty() {
        return all;
    }
    let upstream: Vec<Vec<bool>> = computed
        .iter()
        .map(|head| upstream(graph, &producers, &head.name))
        .collect();
    let answers: Vec<bool> = computed
        .iter()
        .map(|head| proto::end(graph, &head.name).is_some())
        .collect();
    let made_by = |at: usize| producers[computed[at].name.as_str()];
    // Features are only a step to other outputs, but the result of a softmax is an answer of its own.
    let passed_on = |at: usize| {
        (0..computed.len()).any(|by| {
            made_by(by) != made_by(at)
                && upstream[by][made_by(at)]
                && (computed[by].classes == computed[at].classes || !answers[at])
        })
    };
    let size = |at: usize| upstream[at].iter().filter(|&&is| is).count() as f64;
    let ends: Vec<usize> = (0..computed.len()).filter(|&at| !passed_on(at)).collect();
    let early = |at: usize| {
        let alike = ends
            .iter()
            .filter(|&&other| computed[other].classes == computed[at].classes);
        alike
            .into_iter()
            .any(|&other| size(at) < AUXILIARY * size(other))
    };
    let mut left: Vec<usize> = ends.iter().copied().filter(|&at| !early(at)).collect();
    let likely = |at: usize| {
        let name = computed[at].name.to_lowercase();
        LIKELY.iter().any(|part| name.contains(part))
    };
    left.sort_by_key(|&at| !likely(at));
    let mut heads: Vec<Head> = left.iter().map(|&at| computed[at].clone()).collect();
    if let [first, second] = heads.as_slice()
        && first.classes == second.classes
    {
        let distils = |head: &Head| {
            let node = &graph.node[producers[head.name.as_str()]];
            let mut names = node.input.iter().chain(&node.output).chain([&node.name]);
            names.any(|name| name.to_lowercase().contains("dist"))
        };
        if distils(first) != distils(second) {
            let mean = Head {
                name: format!("({} + {}) / 2", first.name, second.name),
                mean_of: Some([first.name.clone(), second.name.clone()]),
                ..first.clone()
            };
            heads.insert(0, mean);
        }
    }
    heads
}

/// Whether no question is needed: there is one head, or the mean of those of a distilled network.
pub fn is_certain(heads: &[Head]) -> bool {
    heads.len() == 1 || heads.iter().any(|head| head.mean_of.is_some())
}

/// The head with this name: one that was found, or any output.
pub fn named(graph: &GraphProto, heads: &[Head], name: &str) -> Option<Head> {
    let found = heads.iter().find(|head| head.name == name).cloned();
    found.or_else(|| {
        let is_output = graph.output.iter().any(|output| output.name == name);
        is_output.then(|| head(graph, &producers(graph), &types(graph), name))
    })
}

/// The head behind an output, without the dictionary that is made from it for people.
fn head(
    graph: &GraphProto,
    producers: &HashMap<&str, usize>,
    types: &HashMap<&str, Kind>,
    output: &str,
) -> Head {
    let (mut name, mut labels) = (output, None);
    // A cycle is refused later, but must end here.
    for _ in 0..=graph.node.len() {
        match producers.get(name).map(|&at| &graph.node[at]) {
            Some(node) if node.op_type == "ZipMap" && !node.input.is_empty() => {
                labels = class_names(node);
                name = &node.input[0];
            }
            _ => break,
        }
    }
    let known = types.get(name).and_then(Kind::classes);
    Head {
        name: name.into(),
        classes: known.or(labels.as_ref().map(Vec::len)),
        labels,
        mean_of: None,
    }
}

/// The keys of a ZipMap.
fn class_names(node: &NodeProto) -> Option<Vec<String>> {
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let texts = attribute("classlabels_strings").map(|a| {
        let texts = a
            .strings
            .iter()
            .map(|text| String::from_utf8_lossy(text).replace(['\r', '\n'], " "));
        texts.collect()
    });
    texts.or_else(|| {
        let numbers = attribute("classlabels_int64s")?;
        Some(numbers.ints.iter().map(i64::to_string).collect())
    })
}

/// Not a tensor.
const OTHER: i32 = -1;

/// Type of a tensor's elements and the lengths of its axes, as far as they are known.
struct Kind {
    element: i32,
    axes: Option<Vec<Option<usize>>>,
}

impl Kind {
    /// The lengths of the axes after the batch that are not 1.
    fn lengths(&self) -> Option<Vec<Option<usize>>> {
        let axes = self.axes.as_ref()?;
        let behind = axes.iter().skip(1).filter(|length| **length != Some(1));
        Some(behind.copied().collect())
    }

    /// Whether it can be a list of numbers for each photo.
    fn is_list(&self) -> bool {
        let floats = [
            DataType::Undefined,
            DataType::Float,
            DataType::Float16,
            DataType::Double,
        ];
        floats.iter().any(|&kind| kind as i32 == self.element)
            && self.lengths().is_none_or(|lengths| lengths.len() < 2)
    }

    fn classes(&self) -> Option<usize> {
        match self.lengths()?.as_slice() {
            [] => Some(1),
            &[length] => length,
            _ => None,
        }
    }
}

fn types(graph: &GraphProto) -> HashMap<&str, Kind> {
    let values = graph.output.iter().chain(&graph.value_info);
    values
        .map(|value| (value.name.as_str(), kind(value)))
        .collect()
}

fn kind(value: &ValueInfoProto) -> Kind {
    match value.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => Kind {
            element: tensor.elem_type,
            axes: tensor.shape.as_ref().map(|shape| {
                let lengths = shape.dim.iter().map(|axis| match axis.value {
                    Some(tensor_shape_proto::dimension::Value::DimValue(length)) => {
                        usize::try_from(length).ok().filter(|&length| length > 0)
                    }
                    _ => None,
                });
                lengths.collect()
            }),
        },
        // tract's protobuf does not know sequences and maps: they are types without a value.
        None => Kind {
            element: match value.r#type {
                Some(_) => OTHER,
                None => DataType::Undefined as i32,
            },
            axes: None,
        },
    }
}

fn producers(graph: &GraphProto) -> HashMap<&str, usize> {
    let nodes = graph.node.iter().enumerate();
    nodes
        .flat_map(|(at, node)| node.output.iter().map(move |name| (name.as_str(), at)))
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

/// Which nodes compute a tensor.
fn upstream(graph: &GraphProto, producers: &HashMap<&str, usize>, name: &str) -> Vec<bool> {
    let mut found = vec![false; graph.node.len()];
    let mut pending: Vec<usize> = producers.get(name).copied().into_iter().collect();
    while let Some(at) = pending.pop() {
        if !std::mem::replace(&mut found[at], true) {
            let inputs = graph.node[at].input.iter();
            pending.extend(inputs.filter_map(|input| producers.get(input.as_str())));
        }
    }
    found
}
