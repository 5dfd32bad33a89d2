//! `whylens pack` with graphs whose answers FP16 would change: the weights that cause it stay in FP32.
//!
//! Each is a golden network, changed so that FP32 computes the same: ONNX Runtime's scores of it are those expected.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::Path;

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};
use whylens::manifest::Precision;
use whylens::pack::{self, Options, Packed};
use whylens::{Model, Tensor};

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models");
    fs::read(folder.join(name)).unwrap()
}

/// The values of an array in FP32.
fn npy(name: &str) -> Vec<f32> {
    let bytes = golden(name);
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let values = bytes[start..].chunks_exact(4);
    values
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

/// ONNX Runtime's scores of the network.
fn expected() -> Vec<f32> {
    npy("resnet.npy")[16768..16778].to_vec()
}

fn changed(change: impl FnOnce(&mut GraphProto)) -> Vec<u8> {
    let mut model = ModelProto::decode(&*golden("resnet.onnx")).unwrap();
    change(model.graph.as_mut().unwrap());
    model.encode_to_vec()
}

fn constant(name: &str, dims: &[i64], value: f32) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: 1,
        raw_data: value.to_le_bytes().repeat(count),
        ..Default::default()
    }
}

/// Appends an operator to what computes a tensor.
fn follow(graph: &mut GraphProto, tensor: &str, operator: &str, other: TensorProto) {
    let at = graph.node.iter().position(|node| node.output[0] == tensor);
    let at = at.expect(tensor);
    let before = format!("{tensor}.before");
    graph.node[at].output[0] = before.clone();
    let node = NodeProto {
        op_type: operator.into(),
        name: format!("{tensor}.after"),
        input: vec![before, other.name.clone()],
        output: vec![tensor.into()],
        ..Default::default()
    };
    graph.initializer.push(other);
    graph.node.insert(at + 1, node);
}

/// Weights that are nearly all 0 in FP16, as if a batch norm made up for them.
const TINY: f32 = 1.0 / (1u64 << 32) as f32;

/// Makes the weights of a convolution tiny, and its result what it was.
fn shrunk(graph: &mut GraphProto, weights: &str) {
    let tensor = graph.initializer.iter_mut().find(|t| t.name == weights);
    let tensor = tensor.expect(weights);
    let values = tensor.raw_data.chunks_exact(4);
    let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]) * TINY);
    tensor.raw_data = values.flat_map(f32::to_le_bytes).collect();
    let node = graph
        .node
        .iter()
        .find(|n| n.input.get(1).is_some_and(|name| name == weights));
    let output = node.unwrap().output[0].clone();
    let factor = constant(&format!("{weights}.factor"), &[1], 1.0 / TINY);
    follow(graph, &output, "Mul", factor);
}

fn packed(onnx: Vec<u8>, precision: Option<Precision>) -> Packed {
    let labels: String = (0..10).map(|class| format!("class {class}\n")).collect();
    let options = Options {
        precision,
        ..Options::default()
    };
    pack::pack(onnx, &labels, &options, &mut |_| ()).unwrap()
}

/// Checks the scores of what was packed, which differ from these by a factor.
#[track_caller]
fn check(packed: &Packed, factor: f32) {
    let model = Model::load(&packed.onnx, &packed.manifest, &whylens::Options::default()).unwrap();
    let input = Tensor {
        shape: vec![1, 3, 64, 64],
        values: npy("resnet.input.npy"),
    };
    let expected: Vec<f32> = expected().iter().map(|score| score * factor).collect();
    let span = |all: &[f32]| {
        all.iter().fold(f32::MIN, |a, &b| a.max(b)) - all.iter().fold(f32::MAX, |a, &b| a.min(b))
    };
    let scores = model.forward(&input).unwrap().scores;
    for (score, expected_score) in scores.iter().zip(&expected) {
        let apart = (score - expected_score).abs() / span(&expected);
        assert!(apart < 0.01, "{scores:?}, expected {expected:?}");
    }
}

#[test]
fn only_the_weights_that_fp16_spoils_stay_in_fp32() {
    let tiny = |names: &'static [&str]| {
        let onnx = changed(|graph| names.iter().for_each(|name| shrunk(graph, name)));
        (onnx, names, 1.0)
    };
    let divided = changed(|graph| {
        follow(graph, "output", "Div", constant("tiny", &[1, 10], 1e-8));
    });
    let cases = [
        tiny(&["0.weight"]),
        tiny(&["4.conv2.weight"]),
        tiny(&["3.conv1.weight", "5.skip.0.weight"]),
        // The scores are beyond all numbers in FP16.
        (divided, &["tiny"], 1e8),
    ];
    for (onnx, names, factor) in cases {
        for precision in [None, Some(Precision::Fp16)] {
            let packed = packed(onnx.clone(), precision);
            assert_eq!(packed.report.single, names);
            assert_eq!(packed.report.precision, Precision::Fp16);
            assert!(packed.report.weights > 8 && packed.report.refused.is_some());
            assert_eq!(packed.report.unplanned, None);
            assert!(packed.report.difference.same_first);
            check(&packed, factor);
        }
    }
}

#[test]
fn all_weights_stay_in_fp32_where_fp16_spoils_most() {
    let onnx = changed(|graph| {
        let convolutions = graph.node.iter().filter(|node| node.op_type == "Conv");
        let names: Vec<String> = convolutions.map(|node| node.input[1].clone()).collect();
        names.iter().for_each(|name| shrunk(graph, name));
    });
    for precision in [None, Some(Precision::Fp16)] {
        let packed = packed(onnx.clone(), precision);
        assert_eq!(packed.report.precision, Precision::Fp32);
        assert!(packed.report.refused.is_some() && packed.report.single.is_empty());
        check(&packed, 1.0);
    }
}

#[test]
fn a_folder_that_holds_both_is_packed_anew_to_the_same_scores() {
    let onnx = changed(|graph| shrunk(graph, "4.conv2.weight"));
    let first = packed(onnx, None);
    let Packed {
        manifest,
        onnx,
        labels,
        ..
    } = first.clone();
    let again = pack::repack(onnx, &labels, manifest, &mut |_| ()).unwrap();
    assert_eq!(again.report.single, first.report.single);
    assert_eq!(
        again.manifest.weights.parameters,
        first.manifest.weights.parameters
    );
    assert!(first.manifest.weights.parameters.is_some());
    check(&again, 1.0);
}
