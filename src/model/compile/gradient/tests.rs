//! Each rule against finite differences, on graphs of one operator.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::Downsample;
use tract_onnx::tract_core::ops::array::{
    Gather, MultiBroadcastTo, Pad, PadMode, Slice, Tile, TypedConcat,
};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::{
    Conv, KernelFormat, MaxPool, PaddingSpec, PoolSpec, SumPool,
};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::logic::{Iff, comp_gt};
use tract_onnx::tract_core::ops::math::*;
use tract_onnx::tract_core::ops::nn::gelu_approximate::gelu_approximate;
use tract_onnx::tract_core::ops::nn::gelu_exact::gelu_exact;
use tract_onnx::tract_core::ops::nn::silu::silu;
use tract_onnx::tract_core::ops::nn::{
    DataFormat, Reduce, Reducer, RmsNorm, Softmax, SoftmaxKind, hard_swish, leaky_relu, sigmoid,
};

use super::super::{barrier, split};
use super::differentiate;
use crate::model::compile::ops::{Fill, Fold, ScatterWindow};

/// Different numbers between `low` and `high` in no order.
fn numbers(count: usize, low: f32, high: f32) -> Vec<f32> {
    (0..count)
        .map(|i| low + (high - low) * (0.5 + i as f32 * 0.618_034).fract())
        .collect()
}

fn constant(shape: &[usize], low: f32, high: f32) -> Tensor {
    let count = shape.iter().product();
    Tensor::from_shape(shape, &numbers(count, low, high)).unwrap()
}

fn run(graph: &TypedModel, inputs: TVec<TValue>) -> TVec<TValue> {
    let plan = graph.clone().into_optimized().unwrap().into_runnable();
    plan.unwrap().run(inputs).unwrap()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    let plain = tensor.try_as_plain_ram().unwrap();
    plain.as_slice::<f32>().unwrap().to_vec()
}

/// Checks the gradient of Σ w · f(x) at the input x for a graph f, with values of x between `low` and
/// `high`, and some weights w.
#[track_caller]
fn check_between(
    low: f32,
    high: f32,
    shape: &[usize],
    wire: impl Fn(&mut TypedModel, OutletId) -> TractResult<OutletId>,
) {
    let mut graph = TypedModel::default();
    let source = graph.add_source("x", f32::fact(shape)).unwrap();
    // A separate tensor, so that the layer is not an input.
    let layer = graph.wire_node("layer", square(), &[source]).unwrap()[0];
    let output = wire(&mut graph, layer).unwrap();
    graph.select_output_outlets(&[output, layer]).unwrap();
    barrier::insert(&mut graph).unwrap();
    let (scores, layer) = (graph.outputs[0], graph.outputs[1]);
    let value = constant(shape, low, high);
    let root: Vec<f32> = floats(&value).iter().map(|v| v.sqrt()).collect();
    let input = Tensor::from_shape(shape, &root).unwrap();
    let gradients = differentiate(&mut graph, scores, &[layer]).unwrap();
    let halves = split::split(&graph, scores, &[layer], Some(&gradients)).unwrap();

    let outputs = run(&halves.forward, tvec!(input.into_tvalue()));
    let weights = constant(outputs[0].shape(), -1.0, 1.0);
    let mut inputs = tvec!(weights.clone().into_tvalue());
    inputs.extend(outputs.iter().skip(2).cloned());
    let pulled = run(halves.backward.as_ref().unwrap(), inputs).remove(0);
    let pulled = floats(&pulled.broadcast_to_shape(shape).unwrap());

    let mut alone = TypedModel::default();
    let source = alone.add_source("x", f32::fact(shape)).unwrap();
    let output = wire(&mut alone, source).unwrap();
    alone.select_output_outlets(&[output]).unwrap();
    let plan = alone.into_optimized().unwrap().into_runnable().unwrap();
    let sum = |values: &[f32]| -> f64 {
        let input = Tensor::from_shape(shape, values).unwrap();
        let output = plan.run(tvec!(input.into_tvalue())).unwrap().remove(0);
        let pairs = floats(&output).into_iter().zip(floats(&weights));
        pairs.map(|(a, b)| f64::from(a) * f64::from(b)).sum()
    };
    let values = floats(&value);
    let step = 2e-3 * (high - low);
    for (index, actual) in pulled.iter().enumerate() {
        let moved = |by: f32| {
            let mut values = values.clone();
            values[index] += by;
            sum(&values)
        };
        let expected = ((moved(step) - moved(-step)) / f64::from(2.0 * step)) as f32;
        let allowed = 0.01 * (1.0 + expected.abs());
        assert!(
            (actual - expected).abs() <= allowed,
            "at {index}: {actual}, by finite differences {expected}"
        );
    }
}

#[track_caller]
fn check(shape: &[usize], wire: impl Fn(&mut TypedModel, OutletId) -> TractResult<OutletId>) {
    check_between(0.3, 2.3, shape, wire);
}

#[track_caller]
fn check_op(shape: &[usize], op: impl Into<Box<dyn TypedOp>>) {
    let op = op.into();
    check(shape, |graph, x| {
        Ok(graph.wire_node("op", op.clone(), &[x])?[0])
    });
}

#[test]
fn functions_of_one_number() {
    for op in [
        neg(),
        abs(),
        square(),
        sqrt(),
        rsqrt(),
        recip(),
        exp(),
        ln(),
        sin(),
        cos(),
        atan(),
        sinh(),
        cosh(),
        tanh(),
        erf(),
        sigmoid(),
        hard_swish(),
        leaky_relu(0.1),
        silu(),
        gelu_exact(),
        gelu_approximate(false),
        gelu_approximate(true),
        pow_const(2.5),
    ] {
        println!("{op:?}");
        check_op(&[2, 7], op.clone());
        // The same left of zero, where it is defined.
        let name = op.0.name();
        if !["Sqrt", "Rsqrt", "Ln", "PowConst"].contains(&name.as_str()) {
            check(&[19], |graph, x| {
                let shift = graph.add_const("shift", constant(&[1], -4.1, -4.1))?;
                let two = graph.add_const("two", constant(&[1], 2.0, 2.0))?;
                let x = graph.wire_node("wide", mul(), &[x, two])?[0];
                let x = graph.wire_node("left", add(), &[x, shift])?[0];
                Ok(graph.wire_node("op", op.clone(), &[x])?[0])
            });
        }
    }
}

#[test]
fn steps_are_flat() {
    for op in [floor(), ceil(), sign()] {
        check_between(0.3, 0.9, &[9], |graph, x| {
            let step = graph.wire_node("op", op.clone(), &[x])?[0];
            Ok(graph.wire_node("beside", add(), &[x, step])?[0])
        });
    }
}

#[test]
fn functions_of_two_numbers_with_broadcasting() {
    for op in [add(), sub(), subf(), mul(), div(), max(), min(), pow()] {
        println!("{op:?}");
        for (shape, other) in [
            ([2, 3, 4], [2, 3, 4]),
            ([2, 3, 4], [1, 3, 1]),
            ([1, 3, 1], [2, 3, 4]),
        ] {
            let constant = constant(&other, 0.7, 1.9);
            check(&shape, |graph, x| {
                let other = graph.add_const("other", constant.clone())?;
                Ok(graph.wire_node("op", op.clone(), &[x, other])?[0])
            });
            if op.0.name() != "Pow" {
                check(&shape, |graph, x| {
                    let other = graph.add_const("other", constant.clone())?;
                    Ok(graph.wire_node("op", op.clone(), &[other, x])?[0])
                });
            }
        }
        if op.0.name() != "Pow" {
            check(&[3, 4], |graph, x| {
                let other = graph.wire_node("other", cos(), &[x])?[0];
                Ok(graph.wire_node("op", op.clone(), &[x, other])?[0])
            });
        }
    }
}

#[test]
fn choices_and_casts() {
    check(&[3, 5], |graph, x| {
        let bound = graph.add_const("bound", constant(&[1, 1], 1.1, 1.1))?;
        let large = graph.wire_node("large", TypedBinOp(comp_gt(), None), &[x, bound])?[0];
        let squared = graph.wire_node("square", square(), &[x])?[0];
        let to = f32::datum_type();
        let chosen = graph.wire_node("op", Iff, &[large, squared, x])?[0];
        Ok(graph.wire_node("cast", Cast { to }, &[chosen])?[0])
    });
}

#[test]
fn sums_and_extremes() {
    for reducer in [
        Reducer::Sum,
        Reducer::Max,
        Reducer::Min,
        Reducer::MeanOfSquares,
    ] {
        for axes in [tvec!(1), tvec!(0, 2)] {
            check_op(&[2, 3, 4], Reduce { axes, reducer });
        }
    }
}

#[test]
fn products() {
    for (expression, shape, other) in [
        ("mk,kn->mn", &[2, 3][..], &[3, 4][..]),
        ("mk,nk->nm", &[2, 3], &[4, 3]),
        ("bhmk,bhnk->bhmn", &[1, 2, 3, 4], &[1, 2, 5, 4]),
        ("abk,kn->bn", &[2, 3, 4], &[4, 5]),
        ("bmk,bkn->bmn", &[1, 3, 4], &[2, 4, 5]),
    ] {
        let (inputs, output) = expression.split_once("->").unwrap();
        let (a, b) = inputs.split_once(',').unwrap();
        let constant = constant(other, -1.0, 1.0);
        let both = |swap: bool| {
            let names = if swap { [b, a] } else { [a, b] };
            let axes = AxesMapping::from_strs(&names, &[output]).unwrap();
            check(shape, |graph, x| {
                let other = graph.add_const("other", constant.clone())?;
                let inputs = if swap { [other, x] } else { [x, other] };
                Ok(
                    graph.wire_node("op", EinSum::new(axes.clone(), f32::datum_type()), &inputs)?
                        [0],
                )
            });
        };
        both(false);
        both(true);
    }
    check(&[3, 4], |graph, x| {
        let axes = AxesMapping::from_strs(&["mk", "nk"], &["mn"])?;
        Ok(graph.wire_node("op", EinSum::new(axes, f32::datum_type()), &[x, x])?[0])
    });
}

#[test]
fn norms() {
    for kind in [SoftmaxKind::Softmax, SoftmaxKind::LogSoftmax] {
        for axes in [tvec!(1), tvec!(0, 1)] {
            check_op(
                &[3, 4],
                Softmax {
                    axes,
                    quant_output_dt: None,
                    kind,
                },
            );
        }
    }
    let eps = Arc::new(tensor0(1e-3f32));
    for axis in [1, 2] {
        check_op(
            &[2, 3, 4],
            RmsNorm {
                axis,
                eps: eps.clone(),
            },
        );
    }
}

#[test]
fn moves() {
    let dims = |lengths: &[usize]| {
        lengths
            .iter()
            .map(|length| length.to_dim())
            .collect::<TVec<_>>()
    };
    for op in [
        AxisOp::Add(1),
        AxisOp::Rm(2),
        AxisOp::Move(0, 3),
        AxisOp::Move(3, 1),
        AxisOp::Reshape(0, dims(&[2, 3]), dims(&[6])),
        AxisOp::Reshape(3, dims(&[4]), dims(&[2, 2])),
    ] {
        check_op(&[2, 3, 1, 4], op);
    }
    check_op(
        &[1, 3, 1],
        MultiBroadcastTo {
            shape: ShapeFact::from_dims(dims(&[2, 3, 4])),
        },
    );
    check_op(
        &[3, 1],
        MultiBroadcastTo {
            shape: ShapeFact::from_dims(dims(&[2, 3, 4])),
        },
    );
    check_op(&[2, 5], Slice::new(1, 1, 4));
    check_op(
        &[2, 3],
        Tile {
            multipliers: dims(&[2, 3]),
        },
    );
    let mode = PadMode::Constant(Arc::new(tensor0(0.5f32)));
    check_op(
        &[2, 3],
        Pad {
            pads: vec![(1, 0), (2, 1)],
            mode,
        },
    );
    for (stride, modulo) in [(2, 0), (2, 1), (3, 2), (3, 0)] {
        check_op(
            &[2, 7],
            Downsample {
                axis: 1,
                stride,
                modulo,
            },
        );
    }
    check(&[2, 3], |graph, x| {
        let other = graph.add_const("other", constant(&[2, 2], 0.0, 1.0))?;
        let twice = graph.wire_node("twice", exp(), &[x])?[0];
        Ok(graph.wire_node("op", TypedConcat { axis: 1 }, &[other, x, twice])?[0])
    });
    for indices in [
        tensor0(1i64),
        tensor1(&[2i64]),
        tensor1(&[1i64, 2, 3]),
        tensor1(&[3i64, 0, 3, -1]),
        tensor2(&[[0i64, 2], [1, 1]]),
    ] {
        for axis in [0, 1] {
            check(&[4, 4, 2], |graph, x| {
                let indices = graph.add_const("indices", indices.clone())?;
                Ok(graph.wire_node("op", Gather::new(axis), &[x, indices])?[0])
            });
        }
    }
}

fn pool(
    format: DataFormat,
    kernel: [usize; 2],
    padding: PaddingSpec,
    dilations: [usize; 2],
    strides: [usize; 2],
    channels: (usize, usize),
) -> PoolSpec {
    let own = |pair: [usize; 2]| Some(TVec::from_slice(&pair));
    PoolSpec {
        data_format: format,
        kernel_shape: TVec::from_slice(&kernel),
        padding,
        dilations: own(dilations),
        strides: own(strides),
        input_channels: channels.0,
        output_channels: channels.1,
    }
}

fn paddings() -> Vec<PaddingSpec> {
    let ceil = |ceil| PaddingSpec::ExplicitOnnxPool(tvec!(1, 0), tvec!(1, 1), ceil);
    vec![
        PaddingSpec::Valid,
        PaddingSpec::SameUpper,
        PaddingSpec::SameLower,
        PaddingSpec::Explicit(tvec!(1, 1), tvec!(0, 1)),
        ceil(false),
        ceil(true),
    ]
}

#[test]
fn convolutions() {
    for (format, shape) in [
        (DataFormat::NCHW, &[1, 4, 6, 5][..]),
        (DataFormat::NHWC, &[1, 6, 5, 4]),
        (DataFormat::CHW, &[4, 6, 5]),
    ] {
        for padding in &paddings()[..4] {
            for (group, of) in [(1, 3), (2, 6), (4, 4), (4, 8)] {
                for (strides, dilations) in [([1, 1], [1, 1]), ([2, 1], [1, 2])] {
                    let channels = (4, of);
                    let pool_spec = pool(
                        format,
                        [3, 2],
                        padding.clone(),
                        dilations,
                        strides,
                        channels,
                    );
                    let kernel = constant(&[of, 4 / group, 3, 2], -1.0, 1.0);
                    let conv = Conv {
                        pool_spec,
                        kernel_fmt: KernelFormat::OIHW,
                        group,
                        q_params: None,
                    };
                    check(shape, |graph, x| {
                        let kernel = graph.add_const("kernel", kernel.clone())?;
                        let bias = graph.add_const("bias", constant(&[of], 0.0, 1.0))?;
                        Ok(graph.wire_node("op", conv.clone(), &[x, kernel, bias])?[0])
                    });
                }
            }
        }
    }
}

#[test]
fn pools() {
    for (format, shape) in [
        (DataFormat::NCHW, [1, 2, 6, 5]),
        (DataFormat::NHWC, [1, 6, 5, 2]),
    ] {
        for padding in paddings() {
            for strides in [[1, 1], [2, 3]] {
                println!("{format:?} {padding:?} {strides:?}");
                let pool_spec = pool(format, [3, 2], padding.clone(), [1, 1], strides, (2, 2));
                check_op(
                    &shape,
                    MaxPool {
                        pool_spec: pool_spec.clone(),
                        with_index_outputs: None,
                    },
                );
                for (count_include_pad, normalize) in [(false, true), (true, true), (false, false)]
                {
                    let pool_spec = pool_spec.clone();
                    check_op(
                        &shape,
                        SumPool {
                            pool_spec,
                            count_include_pad,
                            normalize,
                        },
                    );
                }
            }
        }
    }
}

#[test]
fn windows_that_overlap() {
    let window = |strides: [usize; 2], dilations: [usize; 2], before: [usize; 2]| ScatterWindow {
        input: tvec!(5, 4),
        output: tvec!(2, 3),
        kernel: tvec!(3, 2),
        strides: strides[..].into(),
        dilations: dilations[..].into(),
        before: before[..].into(),
    };
    for window in [
        window([1, 1], [1, 1], [0, 0]),
        window([2, 1], [1, 2], [1, 0]),
        window([2, 2], [1, 1], [0, 1]),
    ] {
        println!("{window:?}");
        check_op(&[1, 2, 6, 6], Fold(window.clone()));
        // One tap stands for all.
        check_op(&[1, 2, 1, 6], Fold(window));
    }
    check_op(&[2, 1, 3], Fill(tvec!(2, 4, 3)));
}

#[test]
fn an_operator_without_a_rule_is_named_with_its_place() {
    let mut graph = TypedModel::default();
    let x = graph.add_source("x", f32::fact([3])).unwrap();
    let layer = graph.wire_node("layer", exp(), &[x]).unwrap()[0];
    let odd = graph.wire_node("odd one", acosh(), &[layer]).unwrap()[0];
    graph.select_output_outlets(&[odd, layer]).unwrap();
    barrier::insert(&mut graph).unwrap();
    let (scores, layer) = (graph.outputs[0], graph.outputs[1]);
    let error = differentiate(&mut graph, scores, &[layer]).err().unwrap();
    assert_eq!(error.code(), "unsupported-operator");
    let text = error.to_string();
    assert!(text.contains("Acosh") && text.contains("odd one"), "{text}");
}
