//! Quantised weights → the same in signed bytes around zero, to which a plan can refer.

use std::collections::HashMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, TensorProto};

/// Operator, the input with its weights, the input with their zero points.
const WEIGHTS: [(&str, usize, usize); 8] = [
    ("ConvInteger", 1, 3),
    ("DequantizeLinear", 0, 2),
    ("DynamicQuantizeMatMul", 1, 3),
    ("MatMulInteger", 1, 3),
    ("MatMulIntegerToFloat", 1, 5),
    ("QGemm", 3, 5),
    ("QLinearConv", 3, 5),
    ("QLinearMatMul", 3, 5),
];

/// Half of a byte's numbers.
const MIDDLE: i32 = 128;

/// Subtracts the zero point from weights that have a single one, if a byte holds the difference; else half of a
/// byte's numbers from both.
pub fn centre(graph: &mut GraphProto) {
    let places = WEIGHTS
        .iter()
        .map(|&(operator, weights, zero)| (operator, (weights, zero)));
    let places: HashMap<&str, (usize, usize)> = places.collect();
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for name in graph.node.iter().flat_map(|node| &node.input) {
        *uses.entry(name.as_str()).or_default() += 1;
    }
    let held = graph.initializer.iter().enumerate();
    let held: HashMap<&str, usize> = held.map(|(at, t)| (t.name.as_str(), at)).collect();
    let mut centred = Vec::new();
    for (id, node) in graph.node.iter().enumerate() {
        let Some(&(weights, zero)) = places.get(node.op_type.as_str()) else {
            continue;
        };
        let input = |at: usize| node.input.get(at).map_or("", String::as_str);
        let Some(&at) = held
            .get(input(weights))
            .filter(|_| uses[input(weights)] == 1)
        else {
            continue;
        };
        let zeros = match held.get(input(zero)) {
            Some(&at) => numbers(&graph.initializer[at]),
            None if input(zero).is_empty() => Some(vec![0]),
            None => None,
        };
        let signed = graph.initializer[at].data_type == DataType::Int8 as i32;
        let Some(&[first, ref others @ ..]) = zeros.as_deref() else {
            continue;
        };
        if others.iter().any(|&zero| zero != first) || signed && first == 0 {
            continue;
        }
        let Some(numbers) = numbers(&graph.initializer[at]) else {
            continue;
        };
        let less = |by: i32| {
            let bytes = numbers.iter().map(|&number| i8::try_from(number - by));
            bytes.collect::<Result<Vec<i8>, _>>()
        };
        // Sums of signed numbers are smaller, so that FP32 holds them.
        let moved = !signed && !input(zero).is_empty() && node.op_type != "DequantizeLinear";
        let (by, bytes) = match (less(first), less(MIDDLE)) {
            (Ok(bytes), _) => (first, bytes),
            (_, Ok(bytes)) if moved => (MIDDLE, bytes),
            _ => continue,
        };
        centred.push((id, zero, at, bytes, first - by));
    }
    for (id, zero, at, bytes, left) in centred {
        let tensor = &mut graph.initializer[at];
        tensor.data_type = DataType::Int8 as i32;
        tensor.int32_data.clear();
        tensor.raw_data = bytes.into_iter().map(|byte| byte as u8).collect();
        if let Some(name) = graph.node[id]
            .input
            .get_mut(zero)
            .filter(|name| !name.is_empty())
        {
            let given = graph.initializer.iter().find(|tensor| tensor.name == *name);
            let dims = given.map(|tensor| tensor.dims.clone()).unwrap_or_default();
            let count = dims.iter().product::<i64>();
            *name = format!("{name}.centred.{id}");
            graph.initializer.push(TensorProto {
                name: name.clone(),
                data_type: DataType::Int8 as i32,
                raw_data: vec![left as i8 as u8; usize::try_from(count).unwrap_or_default()],
                dims,
                ..TensorProto::default()
            });
        }
    }
}

/// The numbers of a tensor of bytes.
fn numbers(tensor: &TensorProto) -> Option<Vec<i32>> {
    let number: fn(u8) -> i32 = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Uint8) => i32::from,
        Ok(DataType::Int8) => |byte| i32::from(byte as i8),
        _ => return None,
    };
    let bytes = tensor.raw_data.iter().map(|&byte| number(byte));
    Some(bytes.chain(tensor.int32_data.iter().copied()).collect())
}
