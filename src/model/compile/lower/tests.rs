use tract_onnx::prelude::*;

use super::*;
use crate::model::compile::ops::Contract;

fn graph(path: &str, shape: &[usize]) -> TractResult<TypedModel> {
    let mut graph = tract_onnx::onnx().model_for_path(path)?;
    graph.set_input_fact(0, f32::fact(shape).into())?;
    graph.into_typed()?.into_decluttered()
}

/// Values in -1..1 without a pattern that a wrong order could preserve.
fn noise(shape: &[usize]) -> Tensor {
    let mut state = 1u32;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_shape(shape, &values).unwrap()
}

fn run(graph: TypedModel, input: &Tensor) -> TVec<TValue> {
    let runnable = graph.into_optimized().unwrap().into_runnable().unwrap();
    runnable.run(tvec!(input.clone().into_tvalue())).unwrap()
}

#[track_caller]
fn agrees(graph: TypedModel, lowered: TypedModel, shape: &[usize]) {
    let input = noise(shape);
    let (expected, actual) = (run(graph, &input), run(lowered, &input));
    assert_eq!(actual.len(), expected.len());
    for (actual, expected) in actual.iter().zip(&expected) {
        assert_eq!(actual.shape(), expected.shape());
        let (actual, expected) = (floats(actual).unwrap(), floats(expected).unwrap());
        let largest = expected
            .iter()
            .fold(0f32, |most, value| most.max(value.abs()));
        for (at, (a, e)) in actual.iter().zip(expected).enumerate() {
            assert!(
                (a - e).abs() <= 1e-4 * largest,
                "at {at}: {a}, expected {e}"
            );
        }
    }
}

fn names(graph: &TypedModel) -> Vec<String> {
    graph
        .nodes()
        .iter()
        .map(|node| node.op.name().into_owned())
        .collect()
}

#[test]
fn golden_models_give_the_same_scores() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/models");
    let cases = std::fs::read(format!("{folder}/cases.json")).unwrap();
    let cases: serde_json::Value = serde_json::from_slice(&cases).unwrap();
    let mut seen = 0;
    for case in cases["cases"].as_array().unwrap() {
        let shape: Vec<usize> = serde_json::from_value(case["input"]["shape"].clone()).unwrap();
        let path = format!("{folder}/{}", case["model"].as_str().unwrap());
        // tract alone cannot type a graph that is FP16 throughout or has a symbolic batch.
        let Ok(graph) = graph(&path, &shape) else {
            continue;
        };
        let lowered = lower(&graph, None).unwrap();
        agrees(graph, lowered, &shape);
        seen += 1;
    }
    assert!(seen > 10);
}

/// Every kind of axis: moved, missing and of length 1.
#[test]
fn contractions_of_two_maps_give_the_same() {
    let size = |letter: char| match letter {
        'b' => 2,
        'h' => 3,
        'm' => 5,
        'n' => 7,
        'k' => 11,
        'l' => 4,
        _ => 1,
    };
    let shape = |letters: &str| -> Vec<usize> { letters.chars().map(size).collect() };
    for (inputs, output) in [
        (["mk", "nk"], "mn"),
        (["km", "kn"], "nm"),
        (["bhmk", "bhnk"], "bhmn"),
        (["mbhk", "nbhk"], "hmbn"),
        (["mckl", "nakl"], "mn"),
        (["bmk", "bk"], "bm"),
        (["mk", "n"], "kmn"),
        (["k", "k"], ""),
    ] {
        let mut graph = TypedModel::default();
        let [a, b] = inputs.map(|letters| {
            let outlet = graph.add_source(
                format!("{letters} {}", graph.nodes().len()),
                f32::fact(shape(letters)),
            );
            outlet.unwrap()
        });
        let axes = AxesMapping::from_strs(&inputs, &[output]).unwrap();
        let op = EinSum::new(axes, f32::datum_type());
        let outlets = graph.wire_node("einsum", op, &[a, b]).unwrap();
        graph.select_output_outlets(&outlets).unwrap();
        let lowered = lower(&graph, None).unwrap();
        assert!(
            lowered.nodes().iter().any(|node| node.op_is::<Contract>()),
            "{inputs:?}"
        );
        let run = |graph: TypedModel| {
            let values = inputs.map(|letters| noise(&shape(letters)).into_tvalue());
            let runnable = graph.into_runnable().unwrap();
            runnable
                .run(values.into_iter().collect())
                .unwrap()
                .remove(0)
        };
        let (expected, actual) = (run(graph), run(lowered));
        let close = actual.close_enough(&expected, Approximation::Approximate);
        close.unwrap_or_else(|error| panic!("{inputs:?} → {output}: {error}"));
    }
}

#[test]
fn inputs_keep_their_order() {
    let mut graph = TypedModel::default();
    let [first, second, unused] =
        ["first", "second", "unused"].map(|name| graph.add_source(name, f32::fact([2])).unwrap());
    let sub = tract_onnx::tract_core::ops::math::sub();
    let outputs = graph.wire_node("sub", sub, &[second, first]).unwrap();
    graph.select_output_outlets(&outputs).unwrap();
    let lowered = lower(&graph, None).unwrap();
    let name = |outlet: &OutletId| &*lowered.node(outlet.node).name;
    let names: Vec<&str> = lowered.inputs.iter().map(name).collect();
    assert_eq!(names, ["first", "second", "unused"]);
    assert_eq!(graph.inputs, [first, second, unused]);
    let runnable = lowered.into_runnable().unwrap();
    let inputs = [[1f32, 2.0], [10.0, 30.0], [0.0, 0.0]];
    let inputs = inputs.map(|values| tensor1(&values).into_tvalue());
    let outputs = runnable.run(inputs.into_iter().collect()).unwrap();
    assert_eq!(floats(&outputs[0]).unwrap(), [9.0, 28.0]);
}

#[test]
fn the_default_model_runs_on_kernels_alone() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/models/efficientnet-lite0/model.onnx"
    );
    let graph = graph(path, &[1, 3, 224, 224]).unwrap();
    let lowered = lower(&graph, None).unwrap();
    let names = names(&lowered);
    for name in ["Conv", "EinSum", "Max", "Min", "Add"] {
        assert!(
            !names.iter().any(|n| n == name),
            "{name} is left in {names:?}"
        );
    }
    agrees(graph, lowered, &[1, 3, 224, 224]);
}
