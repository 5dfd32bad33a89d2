//! Operators that tract reads, but not as each opset means them.

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

/// What became Resize in opset 10, and in opset 11 with attributes for what was understood before.
fn upsample(context: &ParsingContext, node: &NodeProto) -> Read {
    ensure!(node.input.len() == 2, "its scales are no input");
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

/// tract reads a loop that runs backwards only, and runs it forwards.
fn recurrent(context: &ParsingContext, node: &NodeProto) -> Read {
    let direction = node.attribute.iter().find(|a| a.name == "direction");
    ensure!(
        direction.is_none_or(|direction| direction.s != b"reverse"),
        "it runs backwards only"
    );
    plain(&node.op_type, context, node)
}
