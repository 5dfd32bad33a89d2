//! graph → what it first does to the values of its input.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};
use tract_onnx::prelude::f16;

use super::proto;

/// The most values of a constant with one per channel.
const MOST_CHANNELS: usize = 4;

/// Value × scale + offset: one of each, or one per channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Lead {
    /// Factor of the values.
    pub scale: Vec<f64>,
    /// Added to the product.
    pub offset: Vec<f64>,
}

/// Combines the sums, products and normalisation at the start of the graph; none: it begins with something
/// else.
pub(super) fn lead(graph: &GraphProto, input: &str) -> Option<Lead> {
    let mut found = None;
    let mut name = input;
    // A cycle is refused later, but must end here.
    for _ in 0..graph.node.len() {
        let mut readers = graph
            .node
            .iter()
            .filter(|n| n.input.iter().any(|i| i == name));
        let (Some(node), None) = (readers.next(), readers.next()) else {
            break;
        };
        if !matches!(
            node.op_type.as_str(),
            "Identity" | "Cast" | "Transpose" | "Dropout"
        ) {
            let Some(step) = step(graph, node, name) else {
                break;
            };
            found = Some(match found {
                None => step,
                Some(before) => after(&before, &step)?,
            });
        }
        name = node.output.first()?;
    }
    found
}

fn step(graph: &GraphProto, node: &NodeProto, name: &str) -> Option<Lead> {
    let constant = |at: usize| values(graph, node.input.get(at)?);
    if node.op_type == "BatchNormalization" {
        let [scale, bias, mean, variance] =
            [constant(1)?, constant(2)?, constant(3)?, constant(4)?];
        let epsilon = node.attribute.iter().find(|a| a.name == "epsilon");
        let epsilon = epsilon.map_or(1e-5, |a| f64::from(a.f));
        let factors = scale.iter().zip(&variance);
        let factors: Vec<f64> = factors.map(|(s, v)| s / (v + epsilon).sqrt()).collect();
        let offset = bias.iter().zip(&mean).zip(&factors);
        return Some(Lead {
            offset: offset.map(|((b, m), f)| b - m * f).collect(),
            scale: factors,
        });
    }
    let first = node.input.first()? == name;
    let other = constant(usize::from(first))?;
    let (scale, offset) = match (node.op_type.as_str(), first) {
        ("Add", _) => (vec![1.0], other),
        ("Sub", true) => (vec![1.0], other.iter().map(|v| -v).collect()),
        ("Mul", _) => (other, vec![0.0]),
        ("Div", true) => (other.iter().map(|v| 1.0 / v).collect(), vec![0.0]),
        _ => return None,
    };
    Some(Lead { scale, offset })
}

/// Both steps as one; none: their numbers of channels differ.
fn after(first: &Lead, then: &Lead) -> Option<Lead> {
    let both = |a: &[f64], b: &[f64], join: fn(f64, f64) -> f64| {
        let count = a.len().max(b.len());
        let at = |values: &[f64], index: usize| match values.len() {
            1 => Some(values[0]),
            length if length == count => Some(values[index]),
            _ => None,
        };
        let joined = (0..count).map(|index| Some(join(at(a, index)?, at(b, index)?)));
        joined.collect::<Option<Vec<f64>>>()
    };
    let moved = both(&first.offset, &then.scale, |a, b| a * b)?;
    let scale = both(&first.scale, &then.scale, |a, b| a * b)?;
    let offset = both(&moved, &then.offset, |a, b| a + b)?;
    both(&scale, &offset, |a, _| a)?;
    Some(Lead { scale, offset })
}

/// The numbers of a small constant.
fn values(graph: &GraphProto, name: &str) -> Option<Vec<f64>> {
    let stored = graph.initializer.iter().find(|tensor| tensor.name == name);
    if let Some(tensor) = stored {
        return numbers(tensor);
    }
    let node = graph
        .node
        .iter()
        .find(|node| node.output.iter().any(|output| output == name))?;
    match node.op_type.as_str() {
        "Constant" => numbers(node.attribute.iter().find_map(|a| a.t.as_ref())?),
        "Cast" | "Identity" => {
            let input = node.input.first()?;
            numbers(graph.initializer.iter().find(|t| &t.name == input)?)
        }
        _ => None,
    }
}

fn numbers(tensor: &TensorProto) -> Option<Vec<f64>> {
    let raw = &tensor.raw_data;
    let kind = DataType::try_from(tensor.data_type).ok()?;
    if raw.len() > MOST_CHANNELS * 8 || tensor.int32_data.len() > MOST_CHANNELS {
        return None;
    }
    let values: Vec<f64> = match kind {
        DataType::Float => {
            let bytes = raw.chunks_exact(4);
            let bytes = bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let listed = tensor.float_data.iter().take(MOST_CHANNELS + 1).copied();
            bytes.chain(listed).map(f64::from).collect()
        }
        DataType::Double => {
            let bytes = raw.chunks_exact(8);
            let bytes = bytes.map(|b| f64::from_le_bytes(b.try_into().unwrap_or_default()));
            let listed = tensor.double_data.iter().take(MOST_CHANNELS + 1).copied();
            bytes.chain(listed).collect()
        }
        DataType::Float16 => proto::halves(tensor).map(f16::to_f64).collect(),
        _ => return None,
    };
    let fits = (1..=MOST_CHANNELS).contains(&values.len());
    (fits && values.iter().all(|value| value.is_finite())).then_some(values)
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::AttributeProto;

    use super::*;

    fn graph(nodes: &[(&str, &[&str])], constants: &[(&str, &[f32])]) -> GraphProto {
        let constant = |(name, values): &(&str, &[f32])| TensorProto {
            name: (*name).into(),
            dims: vec![values.len() as i64],
            data_type: DataType::Float as i32,
            float_data: values.to_vec(),
            ..TensorProto::default()
        };
        let node = |(at, (operator, inputs)): (usize, &(&str, &[&str]))| NodeProto {
            op_type: (*operator).into(),
            input: inputs.iter().map(|name| name.to_string()).collect(),
            output: vec![format!("x{}", at + 1)],
            attribute: match *operator {
                "BatchNormalization" => vec![AttributeProto {
                    name: "epsilon".into(),
                    f: 0.0,
                    ..AttributeProto::default()
                }],
                _ => Vec::new(),
            },
            ..NodeProto::default()
        };
        GraphProto {
            node: nodes.iter().enumerate().map(node).collect(),
            initializer: constants.iter().map(constant).collect(),
            ..GraphProto::default()
        }
    }

    #[test]
    fn what_is_done_to_pixels_first_is_one_product_and_one_sum() {
        let found = lead(
            &graph(
                &[
                    ("Cast", &["x"]),
                    ("Div", &["x1", "size"]),
                    ("Sub", &["x2", "mean"]),
                    ("Transpose", &["x3"]),
                    ("Conv", &["x4", "w"]),
                ],
                &[("size", &[200.0]), ("mean", &[0.25, 0.5, 0.75])],
            ),
            "x",
        );
        let expected = Lead {
            scale: vec![0.005],
            offset: vec![-0.25, -0.5, -0.75],
        };
        assert_eq!(found, Some(expected));
        // scale 2, bias 1, mean 3, variance 4: (x − 3) / 2 × 2 + 1
        let constants: [(&str, &[f32]); 4] =
            [("s", &[2.0]), ("b", &[1.0]), ("m", &[3.0]), ("v", &[4.0])];
        let nodes: [(&str, &[&str]); 1] = [("BatchNormalization", &["x", "s", "b", "m", "v"])];
        let expected = Lead {
            scale: vec![1.0],
            offset: vec![-2.0],
        };
        assert_eq!(lead(&graph(&nodes, &constants), "x"), Some(expected));
    }

    #[test]
    fn what_is_read_twice_or_goes_in_a_circle_ends_the_search() {
        let twice: [(&str, &[&str]); 2] = [("Mul", &["x", "c"]), ("Relu", &["x"])];
        assert_eq!(lead(&graph(&twice, &[("c", &[2.0])]), "x"), None);
        let mut circle = graph(&[("Mul", &["x", "c"])], &[("c", &[1.0])]);
        circle.node[0].output = vec!["x".into()];
        assert!(lead(&circle, "x").is_some());
        let unequal: [(&str, &[&str]); 2] = [("Mul", &["x", "c"]), ("Add", &["x1", "d"])];
        let constants: [(&str, &[f32]); 2] = [("c", &[1.0, 1.0]), ("d", &[1.0, 1.0, 1.0])];
        assert_eq!(lead(&graph(&unequal, &constants), "x"), None);
    }
}
