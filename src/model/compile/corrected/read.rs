//! Operators that tract reads, but not as each opset defines them.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_hir::internal::InferenceOp;

type Read = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert("Upsample", upsample);
    operators.insert("Resize", resize);
    for name in ["LSTM", "GRU", "RNN"] {
        operators.insert(name, recurrent);
    }
}

fn plain(name: &str, context: &ParsingContext, node: &NodeProto) -> Read {
    (tract_onnx::onnx().op_register.0[name])(context, node)
}

/// The forerunner of Resize (opset 10), which has attributes from opset 11 on for what was implied before.
fn upsample(context: &ParsingContext, node: &NodeProto) -> Read {
    ensure!(node.input.len() == 2, "its scales are not an input");
    let text = |name: &str, value: &str| AttributeProto {
        name: name.into(),
        r#type: 3,
        s: value.into(),
        ..AttributeProto::default()
    };
    let mut node = node.clone();
    for attribute in &mut node.attribute {
        let bilinear = attribute.name == "mode" && attribute.s == b"bilinear";
        if bilinear {
            attribute.s = b"linear".to_vec();
        }
    }
    node.attribute
        .push(text("coordinate_transformation_mode", "asymmetric"));
    node.attribute.push(text("nearest_mode", "floor"));
    node.input.insert(1, String::new());
    let onnx_operator_set_version = 13;
    let context = ParsingContext {
        onnx_operator_set_version,
        ..context.clone()
    };
    plain("Resize", &context, &node)
}

fn resize(context: &ParsingContext, node: &NodeProto) -> Read {
    match context.onnx_operator_set_version {
        10 => upsample(context, node),
        _ => plain("Resize", context, node),
    }
}

/// tract runs loops forwards that should only run backwards.
fn recurrent(context: &ParsingContext, node: &NodeProto) -> Read {
    let direction = node.attribute.iter().find(|a| a.name == "direction");
    ensure!(
        direction.is_none_or(|direction| direction.s != b"reverse"),
        "it only runs backwards"
    );
    plain(&node.op_type, context, node)
}
