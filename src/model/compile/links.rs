//! node of a graph → which axes of its output run with which axes of its inputs, and over which places.

use std::sync::Arc;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Gather, Slice, StridedSlice};

/// The most numbers of a table of places that is computed.
const MOST_PLACES: usize = 1 << 16;
/// The most operators that compute one.
const MOST_STEPS: usize = 64;

/// An axis of an output that runs with one of an input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Number of the input.
    pub slot: usize,
    /// Axis of the input.
    pub input: usize,
    /// Axis of the output.
    pub output: usize,
}

/// The axes of a node's first output that run with axes of its inputs.
pub fn links(graph: &TypedModel, node: &TypedNode) -> Vec<Link> {
    let Ok((inputs, outputs)) = graph.node_facts(node.id) else {
        return Vec::new();
    };
    if inputs.len() == 1 && node.op_as::<AxisOp>().is_none() {
        // Some operators say nothing about their axes, such as a plugged-in activation.
        let told = node.op.axes_mapping(&inputs, &outputs);
        let silent = told.is_ok_and(|m| {
            m.iter_all_axes()
                .all(|a| a.outputs[0].is_empty() || a.inputs[0].is_empty())
        });
        if silent && inputs[0].shape == outputs[0].shape {
            let rank = 0..inputs[0].rank();
            return rank
                .map(|axis| Link {
                    slot: 0,
                    input: axis,
                    output: axis,
                })
                .collect();
        }
    }
    let Ok(mapping) = node.op.axes_mapping(&inputs, &outputs) else {
        return Vec::new();
    };
    let mut links = Vec::new();
    for axis in mapping.iter_all_axes() {
        for (slot, from) in axis.inputs.iter().enumerate() {
            for (&input, &output) in from.iter().zip(axis.outputs[0].iter()) {
                links.push(Link {
                    slot,
                    input,
                    output,
                });
            }
        }
    }
    links
}

/// Evenly spaced places of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The axis.
    pub axis: usize,
    /// The first place.
    pub start: usize,
    /// The place after the last.
    pub end: usize,
    /// The distance; 0 if it varies or is negative.
    pub step: usize,
}

/// The places that a slice or a gather takes; none for other operators.
pub fn ranges(graph: &TypedModel, node: &TypedNode) -> Option<TVec<Range>> {
    let constant = |slot: usize| constant(graph, *node.inputs.get(slot)?);
    let whole = |slot: usize| constant(slot).and_then(|table| whole(&table));
    let from = shape(graph, *node.inputs.first()?)?;
    if let Some(op) = node.op_as::<Slice>() {
        let (start, end) = (op.start.to_usize().ok()?, op.end.to_usize().ok()?);
        return Some(tvec!(Range {
            axis: op.axis,
            start,
            end,
            step: 1
        }));
    }
    if let Some(op) = node.op_as::<StridedSlice>() {
        let (begin, end) = (constant(1)?, constant(2)?);
        let steps = op.optional_steps_input.map_or(Some(Vec::new()), whole)?;
        let steps: Vec<i32> = steps.into_iter().map(|step| step as i32).collect();
        let axes = match op.optional_axes_input {
            Some(slot) => whole(slot)?,
            None => (0..from.len() as i64).collect(),
        };
        let ranges = axes.iter().enumerate().map(|(ix, &axis)| {
            let axis = axis.rem_euclid(from.len() as i64) as usize;
            let dim = op.prepare_one_dim(ix, &from[axis].to_dim(), &begin, &end, &steps);
            let dim = dim.ok()?;
            let (begin, end) = (dim.begin.to_i64().ok()?, dim.end.to_i64().ok()?);
            Some(match dim.stride {
                step @ 1.. => Range {
                    axis,
                    start: begin as usize,
                    end: end as usize,
                    step: step as usize,
                },
                _ => Range {
                    axis,
                    start: (end + 1) as usize,
                    end: (begin + 1) as usize,
                    step: 0,
                },
            })
        });
        return ranges.collect();
    }
    let op = node.op_as::<Gather>()?;
    let length = *from.get(op.axis)? as i64;
    let places: Vec<i64> = whole(1)?
        .iter()
        .map(|place| place.rem_euclid(length))
        .collect();
    let (start, end) = (*places.iter().min()?, *places.iter().max()? + 1);
    let row = places.iter().copied().eq(start..end);
    let step = row.into();
    let rank = graph.outlet_fact(node.inputs[1]).ok()?.rank();
    (rank < 2).then(|| {
        tvec!(Range {
            axis: op.axis,
            start: start as usize,
            end: end as usize,
            step
        })
    })
}

/// The value of a tensor that does not depend on the image. Small whole numbers, such as tables of
/// places, are computed as in the graph.
pub fn constant(graph: &TypedModel, outlet: OutletId) -> Option<Arc<Tensor>> {
    computed(graph, outlet, &mut 0)
}

fn computed(graph: &TypedModel, outlet: OutletId, steps: &mut usize) -> Option<Arc<Tensor>> {
    let fact = graph.outlet_fact(outlet).ok()?;
    if let Some(value) = &fact.konst {
        return Some(value.clone());
    }
    let node = graph.node(outlet.node);
    let count = fact.shape.as_concrete()?.iter().product::<usize>();
    let whole = fact.datum_type.is_integer() || fact.datum_type == TDim::datum_type();
    *steps += 1;
    if node.inputs.is_empty() || !whole || count > MOST_PLACES || *steps > MOST_STEPS {
        return None;
    }
    let mut inputs = tvec!();
    for &input in &node.inputs {
        inputs.push(computed(graph, input, steps)?.into_tvalue());
    }
    let outputs = node.op.eval(&EvalContext::out_of_plan(), inputs).ok()?;
    Some(outputs.get(outlet.slot)?.clone().into_arc_tensor())
}

pub fn whole(tensor: &Tensor) -> Option<Vec<i64>> {
    let values = tensor.cast_to::<i64>().ok()?;
    let values = values.try_as_plain_ram().ok()?;
    Some(values.as_slice::<i64>().ok()?.to_vec())
}

pub fn shape(graph: &TypedModel, outlet: OutletId) -> Option<Vec<usize>> {
    let fact = graph.outlet_fact(outlet).ok()?;
    fact.shape.as_concrete().map(<[usize]>::to_vec)
}
