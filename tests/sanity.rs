//! Checks of heatmaps whose verdict is known beforehand, through the public API: of a network whose weights are
//! shuffled, and of one that looks at one square.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::Path;

use prost::Message;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, type_proto,
};
use whylens::{
    CheckQuery, Checked, Classifier, Limits, Manifest, Options, Query, Run, Tensor, Verdict, decode,
};

fn file(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Numbers of a linear congruential generator (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % most
    }
}

/// The network with the values of each of its weights in another order.
fn shuffled(onnx: &[u8]) -> Vec<u8> {
    let mut model = ModelProto::decode(onnx).unwrap();
    // The plan has weights of its own.
    model.metadata_props.clear();
    let mut random = Random(19);
    let mut changed = 0;
    for tensor in &mut model.graph.as_mut().unwrap().initializer {
        let size = match tensor.data_type {
            1 => 4,
            10 => 2,
            _ => continue,
        };
        let count = tensor.raw_data.len() / size;
        for at in (1..count).rev() {
            let other = random.below(at + 1);
            for byte in 0..size {
                tensor.raw_data.swap(at * size + byte, other * size + byte);
            }
        }
        changed += usize::from(count > 1);
    }
    assert!(changed > 50, "{changed} weights are shuffled");
    model.encode_to_vec()
}

fn check(classifier: &Classifier, run: &Run, query: &CheckQuery) -> Checked {
    let heatmap = classifier.heatmap(run, &Default::default()).unwrap();
    assert!(heatmap.max > 0.0, "there is a map to check");
    let mut checking = classifier.check(run, &heatmap, query).unwrap();
    while !classifier.check_step(&mut checking).unwrap() {}
    checking.finish().unwrap()
}

/// A map that tells nothing gets another verdict by luck with a probability of at most 2 / (`orders` + 1) a photo, for
/// better and worse: on one of the four photos at most 8 %.
#[test]
fn the_maps_of_a_network_with_shuffled_weights_are_no_better_than_chance() {
    let folder = "models/efficientnet-lite0";
    let manifest = Manifest::parse(&file(&format!("{folder}/model.json")))
        .unwrap()
        .0;
    let classifier = Classifier::new(
        manifest,
        &file(&format!("{folder}/labels.txt")),
        shuffled(&file(&format!("{folder}/model.onnx"))),
        &Options {
            heatmap: true,
            ..Options::default()
        },
    )
    .unwrap();
    let query = CheckQuery {
        steps: 5,
        orders: 99,
        ..CheckQuery::default()
    };
    for photo in ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"] {
        let image = decode(&file(&format!("tests/photos/{photo}")), &Limits::default()).unwrap();
        let query_of_photo = Query {
            heatmap: None,
            ..Query::default()
        };
        let run = classifier
            .classify_image(image, 0.0, &query_of_photo)
            .unwrap()
            .run;
        let found = check(&classifier, &run, &query);
        println!(
            "{photo}: {:?}, deletion {:.4}, insertion {:.4}",
            found.verdict, found.deletion_area, found.insertion_area
        );
        assert_eq!(found.verdict, Verdict::Chance, "{photo}");
    }
}

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = dims.iter().map(|&dim| Dimension {
        value: Some(dimension::Value::DimValue(dim)),
        ..Dimension::default()
    });
    let tensor = type_proto::Tensor {
        elem_type: 1,
        shape: Some(TensorShapeProto { dim: dim.collect() }),
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

fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: 1,
        raw_data: values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        ..TensorProto::default()
    }
}

fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: operator.into(),
        name: output.into(),
        input: inputs.iter().map(|name| name.to_string()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

/// A network for inputs of 64 × 64 that sees contrast in the 8 × 8 pixels of row 2 and column 5 alone.
fn looking_at_one_square() -> Classifier {
    let eight = |name: &str| AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: vec![8, 8],
        ..AttributeProto::default()
    };
    let mut pool = node("AveragePool", &["bright"], "squares");
    pool.attribute = vec![eight("kernel_shape"), eight("strides")];
    let mut square = [0.0; 64];
    square[2 * 8 + 5] = 1.0;
    let mut weights = vec![0.0; 2 * 3];
    weights[..3].fill(256.0);
    let mut gemm = node("Gemm", &["flat", "weights", "bias"], "output");
    gemm.attribute.push(AttributeProto {
        name: "transB".into(),
        r#type: AttributeType::Int as i32,
        i: 1,
        ..AttributeProto::default()
    });
    let graph = GraphProto {
        name: "square".into(),
        node: vec![
            node("Relu", &["input"], "bright"),
            pool,
            node("Mul", &["squares", "square"], "features"),
            node("GlobalAveragePool", &["features"], "mean"),
            node("Flatten", &["mean"], "flat"),
            gemm,
        ],
        initializer: vec![
            floats("square", &[1, 1, 8, 8], &square),
            floats("weights", &[2, 3], &weights),
            floats("bias", &[2], &[-3.0, 0.0]),
        ],
        input: vec![value("input", &[1, 3, 64, 64])],
        output: vec![value("output", &[1, 2])],
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    let json = serde_json::json!({
        "format": 1, "name": "square", "version": "1", "license": "MIT", "source": "made by the tests",
        "disclaimer": null,
        "weights": { "file": "square.onnx", "bytes": 1, "sha256": "0".repeat(64), "precision": "fp32" },
        "input": { "name": "input", "layout": "nchw", "channels": "rgb", "width": 64, "height": 64,
                   "resize": { "mode": "exact", "filter": "bilinear" }, "crop": "none",
                   "scale": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1] },
        "output": { "name": "output", "activation": "softmax" },
        "heatmap": { "layer": "features" }, "labels": { "en": "labels.txt" }
    });
    let manifest = Manifest::parse(json.to_string().as_bytes()).unwrap().0;
    let options = Options {
        heatmap: true,
        ..Options::default()
    };
    Classifier::new(manifest, b"square\nnone\n", model.encode_to_vec(), &options).unwrap()
}

#[test]
fn the_map_of_a_network_that_looks_at_one_square_is_better_than_chance() {
    let classifier = looking_at_one_square();
    let board = |at: usize| {
        if (at / 64 + at).is_multiple_of(2) {
            1.0
        } else {
            -1.0
        }
    };
    let tensor = Tensor {
        shape: vec![1, 3, 64, 64],
        values: (0..3 * 64 * 64).map(board).collect(),
    };
    let query = Query {
        heatmap: None,
        ..Query::default()
    };
    let run = classifier.classify_tensor(&tensor, &query).unwrap().run;
    // A cell a step, for no random order may hide the square as early.
    let query = CheckQuery {
        steps: 64,
        ..CheckQuery::default()
    };
    let found = check(&classifier, &run, &query);
    let [deletion, insertion] = [&found.deletion, &found.insertion];
    assert!(deletion[0] > 0.9 && deletion[1] < 0.1, "{deletion:?}");
    assert!(insertion[0] < 0.1 && insertion[1] > 0.9, "{insertion:?}");
    assert_eq!(found.verdict, Verdict::Better, "{found:?}");
}
