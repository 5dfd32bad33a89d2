//! Operators that make each place along an axis from some of its places: resizing, padding with
//! existing values, tiling, gathering at known places, running sums.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::Downsample;
use tract_onnx::tract_core::ops::array::{CumSum, Gather, Pad, PadMode, Slice, Tile, TypedConcat};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::nn::resize::{NearestUpsample, Resize};

use super::Target;
use crate::model::compile::ops::{Fill, floats};

/// The most pieces that are cut out one by one.
const MOST_PIECES: usize = 32;
/// The most numbers of a matrix.
const MOST_NUMBERS: usize = 1 << 22;
/// The most numbers that are tried to find the matrix of an operator.
const MOST_PROBED: usize = 1 << 26;

pub fn rewrite(
    to: &mut Target,
    node: &TypedNode,
    inputs: &[OutletId],
) -> TractResult<Option<TVec<OutletId>>> {
    let shape = match inputs.first() {
        Some(&input) if to.made.outlet_fact(input)?.datum_type == f32::datum_type() => {
            to.shape(input)?
        }
        _ => return Ok(None),
    };
    // Below, the places along an axis are listed.
    let made = node.outputs[0].fact.shape.as_concrete();
    let longest = made.into_iter().flatten().max().copied();
    ensure!(
        longest.is_none_or(|longest| longest <= MOST_NUMBERS),
        "too long"
    );
    let mut outlet = inputs[0];
    if let Some(op) = node.op_as::<NearestUpsample>() {
        for (axis, &times) in op.scales.iter().enumerate() {
            let places = (0..shape[axis] * times).map(|at| at / times).collect();
            outlet = picked(to, outlet, axis, places)?;
        }
    } else if let Some(op) = node.op_as::<Tile>() {
        for (axis, times) in op.multipliers.iter().enumerate() {
            let (length, times) = (shape[axis], times.to_usize()?);
            let places = (0..length * times).map(|at| at % length).collect();
            outlet = picked(to, outlet, axis, places)?;
        }
    } else if let Some(op) = node.op_as::<Gather>() {
        outlet = gathered(to, node, outlet, op.axis, shape[op.axis])?;
    } else if let Some(matrices) = matrices(to, node, &shape)? {
        for (axis, matrix) in matrices {
            outlet = multiplied(to, outlet, axis, &matrix)?;
        }
    } else {
        return Ok(None);
    }
    Ok(Some(tvec!(outlet)))
}

/// Output places × input places, row-major.
struct Matrix {
    length: usize,
    values: Vec<f32>,
}

/// The matrix of an operator along each axis that it changes, found by applying it to ones and zeros.
fn matrices(
    to: &Target,
    node: &TypedNode,
    shape: &[usize],
) -> TractResult<Option<Vec<(usize, Matrix)>>> {
    let output = node.outputs[0]
        .fact
        .shape
        .as_concrete()
        .context("of open shape")?;
    let numbers = |axis: usize| shape[axis].saturating_mul(output[axis]);
    let mut found = Vec::new();
    if let Some(op) = node.op_as::<CumSum>() {
        ensure!(numbers(op.axis) <= MOST_NUMBERS, "too long");
        let alone = CumSum {
            axis: 1,
            ..op.clone()
        };
        found.push((op.axis, tried(&alone, shape[op.axis], None)?));
    } else if let Some(op) = node.op_as::<Downsample>() {
        // A positive stride has a derivative.
        if op.stride > 0 {
            return Ok(None);
        }
        ensure!(numbers(op.axis) <= MOST_NUMBERS, "too long");
        let alone = Downsample {
            axis: 1,
            ..op.clone()
        };
        found.push((op.axis, tried(&alone, shape[op.axis], None)?));
    } else if let Some(Pad { pads, mode }) = node.op_as::<Pad>() {
        if matches!(mode, PadMode::Constant(_)) {
            return Ok(None);
        }
        for (axis, &pair) in pads.iter().enumerate().filter(|&(_, &pair)| pair != (0, 0)) {
            ensure!(numbers(axis) <= MOST_NUMBERS, "too long");
            let alone = Pad::new(vec![(0, 0), pair], mode.clone());
            found.push((axis, tried(&alone, shape[axis], None)?));
        }
    } else if let Some(op) = node.op_as::<Resize>() {
        let scales = op.optional_scales_input.map(|slot| to.constant(node, slot));
        let scales = scales
            .transpose()?
            .filter(|scales| scales.volume() == shape.len());
        for axis in 0..shape.len() {
            let (given, by_scales) = match &scales {
                Some(scales) => {
                    let scale = floats(scales)?[axis];
                    (tensor1(&[1.0, scale]), true)
                }
                None => (tensor1(&[shape[axis] as i64, output[axis] as i64]), false),
            };
            if by_scales && floats(&given)?[1] == 1.0 || !by_scales && shape[axis] == output[axis] {
                continue;
            }
            ensure!(numbers(axis) <= MOST_NUMBERS, "too long");
            let alone = Resize {
                optional_scales_input: by_scales.then_some(1),
                optional_sizes_input: (!by_scales).then_some(1),
                ..op.clone()
            };
            found.push((axis, tried(&alone, shape[axis], Some(given))?));
        }
    } else if node.op.name() == "Resize" {
        // Resize is in a crate of tract's that this one does not name.
        for axis in 0..shape.len() {
            if shape[axis] != output[axis] {
                found.push((axis, probed(to, node, shape, output, axis)?));
            }
        }
    } else {
        return Ok(None);
    }
    Ok(Some(found))
}

/// The result of an operator along the second of two axes, applied to the unit matrix.
fn tried(op: &dyn TypedOp, length: usize, given: Option<Tensor>) -> TractResult<Matrix> {
    ensure!(length.saturating_mul(length) <= MOST_NUMBERS, "too long");
    let mut unit = vec![0.0f32; length * length];
    unit.iter_mut()
        .step_by(length + 1)
        .for_each(|value| *value = 1.0);
    let mut inputs = tvec!(Tensor::from_shape(&[length, length], &unit)?.into_tvalue());
    inputs.extend(given.map(|given| given.into_tvalue()));
    let made = op.eval(&EvalContext::out_of_plan(), inputs)?;
    let made = made[0].clone().into_tensor().permute_axes(&[1, 0])?;
    let values = floats(&made)?.to_vec();
    Ok(Matrix { length, values })
}

/// The same for an operator that also changes other axes and whose weights add up to 1.
fn probed(
    to: &Target,
    node: &TypedNode,
    shape: &[usize],
    output: &[usize],
    axis: usize,
) -> TractResult<Matrix> {
    let length = shape[axis];
    let volume: usize = shape.iter().product();
    let largest = volume.max(output.iter().product());
    let numbers = length.saturating_mul(largest);
    ensure!(numbers <= MOST_PROBED, "too much to try");
    let inner: usize = shape[axis + 1..].iter().product();
    let step: usize = output[axis + 1..].iter().product();
    let mut values = vec![0.0; output[axis] * length];
    for place in 0..length {
        let probe: Vec<f32> = (0..volume)
            .map(|at| f32::from(at / inner % length == place))
            .collect();
        let mut inputs = tvec!(Tensor::from_shape(shape, &probe)?.into_tvalue());
        for slot in 1..node.inputs.len() {
            inputs.push(to.constant(node, slot)?.into_tvalue());
        }
        let made = node.op.eval(&EvalContext::out_of_plan(), inputs)?;
        let made = floats(&made[0])?;
        for row in 0..output[axis] {
            values[row * length + place] = made[row * step];
        }
    }
    let whole = |row: &[f32]| (row.iter().sum::<f32>() - 1.0).abs() < 1e-4;
    ensure!(
        values.chunks_exact(length).all(whole),
        "it is not a weighted sum"
    );
    Ok(Matrix { length, values })
}

fn multiplied(
    to: &mut Target,
    input: OutletId,
    axis: usize,
    matrix: &Matrix,
) -> TractResult<OutletId> {
    let rows = matrix.values.chunks_exact(matrix.length);
    let place = |row: &[f32]| {
        let only = row.iter().filter(|&&value| value != 0.0).count() == 1;
        row.iter().position(|&value| value == 1.0).filter(|_| only)
    };
    match rows.map(place).collect::<Option<Vec<usize>>>() {
        Some(places) => picked(to, input, axis, places),
        None => product(to, input, axis, matrix.length, &matrix.values),
    }
}

fn product(
    to: &mut Target,
    input: OutletId,
    axis: usize,
    length: usize,
    values: &[f32],
) -> TractResult<OutletId> {
    let matrix = Tensor::from_shape(&[values.len() / length, length], values)?;
    let matrix = to.add_const(matrix)?;
    let letters: Vec<char> = ('a'..'x').take(to.shape(input)?.len()).collect();
    let named = |letter: char| -> String {
        let mut letters = letters.clone();
        letters[axis] = letter;
        letters.into_iter().collect()
    };
    let axes = AxesMapping::from_strs(&[named('x'), "yx".to_string()], &[named('y')])?;
    to.wire(EinSum::new(axes, f32::datum_type()), &[input, matrix])
}

/// The values at some places of an axis: repeated, cut out, or multiplied by a matrix of zeros and ones.
pub fn picked(
    to: &mut Target,
    input: OutletId,
    axis: usize,
    places: Vec<usize>,
) -> TractResult<OutletId> {
    let shape = to.shape(input)?;
    let length = shape[axis];
    let times = places.len() / length.max(1);
    if times > 1
        && (0..length * times)
            .map(|at| at / times)
            .eq(places.iter().copied())
    {
        let mut outlet = to.wire(AxisOp::Add(axis + 1), &[input])?;
        let mut filled = to.shape(outlet)?;
        filled[axis + 1] = times;
        outlet = to.wire(Fill(filled), &[outlet])?;
        let mut merged = shape;
        merged[axis] *= times;
        return to.reshape(outlet, &merged);
    }
    let pieces = pieces(&places);
    if pieces.len() <= MOST_PIECES {
        return joined(to, input, axis, &pieces);
    }
    let numbers = places.len().saturating_mul(length);
    ensure!(numbers <= MOST_NUMBERS, "too many places");
    let mut values = vec![0.0; numbers];
    for (row, &place) in places.iter().enumerate() {
        values[row * length + place] = 1.0;
    }
    product(to, input, axis, length, &values)
}

/// Places as ranges of neighbours.
pub fn pieces(places: &[usize]) -> Vec<std::ops::Range<usize>> {
    let mut pieces: Vec<std::ops::Range<usize>> = Vec::new();
    for &place in places {
        match pieces.last_mut() {
            Some(last) if last.end == place => last.end += 1,
            _ => pieces.push(place..place + 1),
        }
    }
    pieces
}

/// Slices side by side.
pub fn joined(
    to: &mut Target,
    input: OutletId,
    axis: usize,
    pieces: &[std::ops::Range<usize>],
) -> TractResult<OutletId> {
    let length = to.shape(input)?[axis];
    if let [only] = pieces
        && *only == (0..length)
    {
        return Ok(input);
    }
    let mut parts = Vec::new();
    for piece in pieces {
        let slice = Slice::new(axis, piece.start, piece.end);
        parts.push(to.wire(slice, &[input])?);
    }
    match *parts {
        [only] => Ok(only),
        _ => to.wire(TypedConcat::new(axis), &parts),
    }
}

fn gathered(
    to: &mut Target,
    node: &TypedNode,
    input: OutletId,
    axis: usize,
    length: usize,
) -> TractResult<OutletId> {
    let indices = to.constant(node, 1)?;
    let wide = indices.cast_to::<i64>()?;
    let places: Vec<usize> = wide
        .try_as_plain_ram()?
        .as_slice::<i64>()?
        .iter()
        .map(|&at| {
            Ok(usize::try_from(if at < 0 {
                at + length as i64
            } else {
                at
            })?)
        })
        .collect::<TractResult<_>>()?;
    ensure!(
        !places.is_empty() && places.iter().all(|&at| at < length),
        "a place outside the axis"
    );
    let outlet = picked(to, input, axis, places)?;
    let mut shape = to.shape(outlet)?;
    shape.remove(axis);
    shape.insert_many(axis, indices.shape().iter().copied());
    to.reshape(outlet, &shape)
}
