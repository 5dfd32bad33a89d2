//! node → what it takes to compute it, beside its inputs and outputs.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Pad, Slice, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::cnn::{PoolSpec, SumPool};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, RmsNorm, Softmax};
use tract_onnx::tract_core::ops::source::TypedSource;
use tract_onnx::tract_core::ops::{self, Downsample};

use super::ops::{Contract, Fill, Filter, Fold, Largest, Product, Unpool};
use crate::model::run::product;

/// Multiplications of a product that take as long as a value that goes through memory, perhaps through
/// a series.
const VALUE: u64 = 32;

/// Multiplications of a product that take as long as a value for which tract makes a view: 90 to 200 ns.
const VIEW: u64 = 1024;

/// What it takes to compute a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes that it takes meanwhile.
    pub scratch: u64,
    /// Multiplications of a product, or as many as take the same time.
    pub operations: u64,
    /// Whether the output takes the place of the first input if nobody else reads that.
    pub in_place: bool,
    /// Whether the output shares no tensor with another node.
    pub fresh: bool,
}

/// Number of values; an unknown length counts as one.
pub fn volume(fact: &TypedFact) -> u64 {
    let shape = fact.shape.as_concrete().unwrap_or(&[]);
    product(shape.iter().copied())
}

/// Bytes of a tensor.
pub fn bytes(fact: &TypedFact) -> u64 {
    let told = fact.mem_size().as_i64();
    let told = told.and_then(|bytes| u64::try_from(bytes).ok());
    let plain = volume(fact).saturating_mul(fact.datum_type.size_of() as u64);
    plain.max(told.unwrap_or(0))
}

/// What it takes to compute a node.
///
/// # Errors
/// For a node that is inconsistent.
pub fn cost(graph: &TypedModel, node: &TypedNode) -> TractResult<Cost> {
    if node.op_is::<Const>() || node.op_is::<TypedSource>() {
        return Ok(Cost::default());
    }
    let inputs = graph.node_input_facts(node.id)?;
    let outputs = node.outputs.iter().map(|output| &output.fact);
    let sum = |values: &mut dyn Iterator<Item = u64>| values.fold(0, u64::saturating_add);
    let made = sum(&mut outputs.clone().map(volume));
    let given = sum(&mut inputs.iter().map(|fact| volume(fact)));
    let largest = inputs.iter().map(|fact| bytes(fact)).max().unwrap_or(0);
    let values = made.saturating_add(given / 4).saturating_mul(VALUE);
    // Beside the values themselves, and whether it may write over its first input.
    let of = |scratch: u64, products: u64, in_place: bool| Cost {
        scratch,
        operations: values.saturating_add(products),
        in_place,
        fresh: true,
    };
    Ok(if let Some(op) = node.op_as::<Product>() {
        let (scratch, each) = op.cost();
        of(scratch, made.saturating_mul(each), false)
    } else if let Some(op) = node.op_as::<Filter>() {
        let taps = product(op.window.kernel);
        of(op.scratch(), made.saturating_mul(taps * 4), false)
    } else if let Some(op) = node.op_as::<Largest>() {
        let taps = product(op.window.kernel);
        of(0, made.saturating_mul(taps * 4), false)
    } else if let Some(op) = node.op_as::<Contract>() {
        let shapes = inputs.iter().map(|fact| fact.shape.as_concrete());
        let shapes: TVec<&[usize]> = shapes.collect::<Option<_>>().context("of open shape")?;
        let (scratch, products) = op.cost([shapes[0], shapes[1]]);
        of(scratch, products, false)
    } else if let Some(Fold(window)) = node.op_as::<Fold>() {
        let (scratch, places) = window.cost();
        of(
            scratch,
            places.saturating_add(given.saturating_mul(4)),
            false,
        )
    } else if let Some(Unpool(window)) = node.op_as::<Unpool>() {
        let (scratch, places) = window.cost();
        let planes = inputs[0].shape.as_concrete().unwrap_or(&[]);
        let planes = product(planes.iter().take(2).copied());
        let each = places.saturating_mul(planes).saturating_mul(4);
        of(scratch, places.saturating_add(each), false)
    } else if let Some(Reduce { reducer, .. }) = node.op_as::<Reduce>() {
        // Axes are summed one after the other.
        let copies = match reducer {
            Reducer::MeanOfSquares => 3,
            _ => 2,
        };
        let views = match reducer {
            Reducer::Sum | Reducer::MeanOfSquares => 0,
            _ => made,
        };
        let products = views.saturating_mul(VIEW);
        of(largest.saturating_mul(copies), products, false)
    } else if let Some(RmsNorm { axis, .. }) = node.op_as::<RmsNorm>() {
        match axis + 1 == inputs[0].rank() {
            true => of(0, 0, true),
            false => of(largest.saturating_mul(5), 0, false),
        }
    } else if let Some(op) = node.op_as::<SumPool>() {
        let shape = inputs[0].shape.as_concrete().context("of open shape")?;
        let (scratch, zones) = pool(&op.pool_spec, shape)?;
        let taps = product(op.pool_spec.kernel_shape.iter().copied());
        let visits = made.saturating_mul(taps).saturating_mul(4);
        of(scratch, visits.saturating_add(zones), false)
    } else if let Some(AxisOp::Move(..)) = node.op_as::<AxisOp>() {
        of(largest.saturating_mul(3), 0, false)
    } else if let Some(op) = node.op_as::<ElementWiseOp>() {
        of(0, 0, op.0.output_type(inputs[0].datum_type).is_none())
    } else if node.op_is::<TypedBinOp>() {
        let same = |fact: &TypedFact| {
            (&fact.shape, fact.datum_type) == (&inputs[0].shape, inputs[0].datum_type)
        };
        // Truth values are made by way of others.
        let numbers = node.outputs[0].fact.datum_type == inputs[0].datum_type;
        let scratch = if numbers {
            0
        } else {
            largest.saturating_mul(2)
        };
        of(scratch, 0, same(&node.outputs[0].fact))
    } else if let Some(Softmax { axes, .. }) = node.op_as::<Softmax>() {
        // Over neighbouring values, each row has a view; else, each value.
        let shape = inputs[0].shape.as_concrete().unwrap_or(&[]);
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        let first = shape.len().saturating_sub(axes.len());
        let views = match !axes.is_empty() && axes.into_iter().eq(first..shape.len()) {
            true => product(shape[..first].iter().copied()),
            false => made,
        };
        of(0, views.saturating_mul(VIEW), true)
    } else if node.op_is::<AxisOp>() {
        of(0, 0, true)
    } else if node.op_is::<Pad>() || node.op_is::<Downsample>() {
        // What ndarray makes is copied.
        of(made.saturating_mul(size_of::<f32>() as u64), 0, false)
    } else if node.op_is::<Fill>()
        || node.op_is::<Iff>()
        || node.op_is::<Slice>()
        || node.op_is::<TypedConcat>()
    {
        of(0, 0, false)
    } else if node.op_is::<Cast>() {
        // A cast to the type that it has already gives the same tensor.
        let fresh = inputs[0].datum_type != node.outputs[0].fact.datum_type;
        let made = bytes(&node.outputs[0].fact);
        let cost = of(made, 0, false);
        Cost { fresh, ..cost }
    } else {
        // An operator of tract's, in a graph without a plan.
        let told = node.op.cost(&inputs)?.into_iter();
        let told = told.filter(|(kind, _)| matches!(kind, ops::Cost::FMA(_)));
        let counts = told.map(|(_, n)| n.as_i64().map_or(0, i64::unsigned_abs));
        let around = inputs.iter().copied().chain(outputs).map(bytes);
        let cost = of(sum(&mut { around }), sum(&mut { counts }), false);
        Cost {
            fresh: false,
            ..cost
        }
    })
}

/// Bytes and operations that tract needs to find the values in the windows of a pooling: a list for each
/// place near a border.
fn pool(spec: &PoolSpec, input: &[usize]) -> TractResult<(u64, u64)> {
    let shape = spec.data_format.shape(input)?;
    let padding = spec.computed_padding(shape.hw_dims());
    let (strides, dilations) = (spec.strides(), spec.dilations());
    let (mut zones, mut masks) = (1u64, 0u64);
    for (axis, side) in padding.iter().enumerate() {
        let kernel = spec.kernel_shape[axis];
        let field = (kernel - 1) * dilations[axis] + 1;
        let (input, output) = (shape.hw_dims()[axis], side.convoluted);
        let first = side.pad_before.div_ceil(strides[axis]);
        let inside = (input + side.pad_before).saturating_sub(field) / strides[axis] + 1;
        let inside = inside.min(output).saturating_sub(first);
        let ranges = match field <= input && inside > 0 {
            true => output - inside + 1,
            false => output,
        };
        zones = zones.saturating_mul(ranges as u64);
        masks = masks.saturating_add(product([ranges, kernel]).saturating_add(64));
    }
    let taps = product(spec.kernel_shape.iter().copied());
    let all = zones.saturating_mul(taps.saturating_add(8));
    let coordinates = taps.saturating_mul(64 * (1 + padding.len() as u64));
    let lists = all
        .saturating_mul(40)
        .saturating_add(zones.saturating_mul(512));
    let scratch = lists.saturating_add(masks).saturating_add(coordinates);
    Ok((scratch, all.saturating_mul(VALUE)))
}
