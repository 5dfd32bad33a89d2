//! `whylens pack` with graphs whose answers FP16 would change.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::Path;

use prost::Message;
use tract_onnx::pb::{ModelProto, NodeProto, TensorProto};
use whylens::manifest::Precision;
use whylens::pack::{self, Options};

/// A golden model whose scores are divided by a number that is 0 in FP16.
fn divided() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models/resnet.onnx");
    let mut model = ModelProto::decode(&*fs::read(path).unwrap()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let scores = graph.output[0].name.clone();
    for node in &mut graph.node {
        for output in node.output.iter_mut().filter(|output| **output == scores) {
            *output = "before".into();
        }
    }
    graph.initializer.push(TensorProto {
        name: "tiny".into(),
        dims: vec![1, 10],
        data_type: 1,
        raw_data: 1e-8f32.to_le_bytes().repeat(10),
        ..Default::default()
    });
    graph.node.push(NodeProto {
        op_type: "Div".into(),
        input: vec!["before".into(), "tiny".into()],
        output: vec![scores],
        ..Default::default()
    });
    model.encode_to_vec()
}

fn labels() -> String {
    (0..10).map(|class| format!("class {class}\n")).collect()
}

#[test]
fn scores_that_only_fp16_takes_beyond_all_numbers_are_kept_by_fp32() {
    let packed = pack::pack(divided(), &labels(), &Options::default(), &mut |_| ()).unwrap();
    assert_eq!(packed.report.precision, Precision::Fp32);
    assert!(packed.report.refused.is_some() && packed.report.difference.same_first);
    let half = Options {
        precision: Some(Precision::Fp16),
        ..Options::default()
    };
    let error = pack::pack(divided(), &labels(), &half, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("store it in FP32"), "{error}");
}
