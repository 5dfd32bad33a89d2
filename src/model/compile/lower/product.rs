//! An einsum with constant weights → a product over patches, if it is one.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::Downsample;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::contract::positions;
use super::fused::{Fused, Root, Weights};
use super::{Arrangement, Lowering};
use crate::model::run::kernel::{Activation, Patches};

impl Lowering<'_> {
    pub(super) fn product(&self, node: &TypedNode, einsum: &EinSum) -> TractResult<Option<Fused>> {
        if einsum.q_params.is_some() || node.inputs.len() != 2 {
            return Ok(None);
        }
        let constants = [
            self.constant(node.inputs[0])?,
            self.constant(node.inputs[1])?,
        ];
        let (data, tensor) = match constants {
            [None, Some(tensor)] => (0, tensor),
            [Some(tensor), None] => (1, tensor),
            _ => return Ok(None),
        };
        let (Some(input), Some(output)) =
            (self.shape(node.inputs[data])?, self.shape(node.id.into())?)
        else {
            return Ok(None);
        };
        let Some(axes) = Axes::new(einsum, data, &input, tensor.shape(), &output) else {
            return Ok(None);
        };

        // A stride is a downsampling before the product, which is skipped here.
        let (mut source, mut steps) = (node.inputs[data], vec![1; input.len()]);
        while let Some(downsample) = self.graph.node(source.node).op_as::<Downsample>() {
            let whole = downsample.modulo == 0 && downsample.stride > 0;
            if !whole || axes.inputs.iter().any(|&[i, _]| i == downsample.axis) {
                break;
            }
            steps[downsample.axis] *= downsample.stride as usize;
            source = self.graph.node(source.node).inputs[0];
        }
        let Some(full) = self.shape(source)? else {
            return Ok(None);
        };
        let kept = self.wires.get(&source).map(|wire| wire.last);
        let Some((last, taps, deep)) = axes.taps(kept, tensor.shape()) else {
            return Ok(None);
        };

        // Distances in the image if `last` is stored last.
        let length = full[last[0]];
        let apart = |axis: usize| -> usize {
            let inner = (axis + 1..full.len()).filter(|&a| a != last[0]);
            inner.map(|a| full[a]).product::<usize>() * length
        };
        let mut runs = vec![0];
        for &[axis, _] in &taps {
            let step = |start: usize| (0..full[axis]).map(move |at| start + at * apart(axis));
            runs = runs.into_iter().flat_map(step).collect();
        }
        let spatial: Vec<usize> = (0..input.len())
            .filter(|&axis| axes.inputs.iter().all(|&[i, _]| i != axis) && full[axis] != 1)
            .collect();
        let (output_pixels, row, column) = match *spatial {
            [rows, columns] => (
                [input[rows], input[columns]],
                steps[rows] * apart(rows),
                steps[columns] * apart(columns),
            ),
            [pixels] => ([1, input[pixels]], 0, steps[pixels] * apart(pixels)),
            [] => ([1, 1], 0, length),
            _ if taps.is_empty() && steps.iter().all(|&step| step == 1) => {
                let pixels = spatial.iter().map(|&axis| input[axis]).product();
                ([1, pixels], 0, length)
            }
            _ => return Ok(None),
        };
        let sums = axes.outputs.iter().map(|&[_, o]| output[o]).product();
        let inner = |axis: usize| tensor.shape()[axis + 1..].iter().product();
        Ok(Some(Fused {
            root: Root::Product(
                Patches {
                    output: output_pixels,
                    row,
                    column,
                    runs: runs.clone().into(),
                    length,
                },
                None,
            ),
            weights: Weights {
                arrangement: Arrangement {
                    groups: 1,
                    inputs: length,
                    taps: runs.len(),
                    strides: [axes.out, inner(last[1]), deep],
                    scale: Vec::new(),
                    bias: vec![0.0; sums],
                },
                tensor,
            },
            input: (source, last[0]),
            last: axes.last,
            residual: None,
            activation: Activation::NONE,
        }))
    }
}

/// The axes of a product with constant weights that are summed over or made; axes of length 1 count
/// only if there is no other, and then one of them.
struct Axes {
    /// Summed over: in the data, in the weights.
    inputs: Vec<[usize; 2]>,
    /// Made: in the weights, in the output.
    outputs: Vec<[usize; 2]>,
    /// Distance between neighbouring outputs in the weights.
    out: usize,
    /// The axis of the output that is stored last.
    last: usize,
}

impl Axes {
    /// None if the product is more than a matrix product per pixel, with the pixels in order.
    fn new(
        einsum: &EinSum,
        data: usize,
        input: &[usize],
        weights: &[usize],
        output: &[usize],
    ) -> Option<Axes> {
        let (mut inputs, mut outputs, mut pixels) = (Vec::new(), Vec::new(), Vec::new());
        for [i, w, o] in positions(einsum, [data, 1 - data])? {
            let unit = [(i, input), (w, weights), (o, output)]
                .iter()
                .all(|(at, shape)| at.is_none_or(|at| shape[at] == 1));
            match (i, w, o) {
                (Some(i), Some(w), None) => inputs.push([i, w]),
                (None, Some(w), Some(o)) => outputs.push([w, o]),
                (Some(i), None, Some(o)) if !unit => pixels.push((i, o)),
                _ if !unit => return None,
                _ => {}
            }
        }
        let long = |list: &mut Vec<[usize; 2]>, shape: &[usize], slot: usize| {
            list.sort_unstable_by_key(|axes| axes[slot]);
            let first = list.first().copied();
            list.retain(|axes| shape[axes[slot]] != 1);
            if list.is_empty() {
                list.extend(first);
            }
        };
        long(&mut inputs, input, 0);
        long(&mut outputs, output, 1);
        pixels.sort_unstable();
        if inputs.is_empty() || !pixels.is_sorted_by_key(|&(_, o)| o) {
            return None;
        }
        let last = match *outputs {
            [] => return None,
            [[_, o]] => o,
            // They stay as they are in the output, after the pixels.
            [[_, first], ..] if pixels.iter().all(|&(_, o)| o < first) => output.len() - 1,
            _ => return None,
        };
        let made: Vec<usize> = outputs.iter().map(|&[w, _]| w).collect();
        Some(Axes {
            out: even(&made, weights)?,
            inputs,
            outputs,
            last,
        })
    }

    /// The summed axis that is stored last (`kept` if possible), the others, and the distance between
    /// neighbours along all of them in the weights.
    fn taps(
        &self,
        kept: Option<usize>,
        weights: &[usize],
    ) -> Option<([usize; 2], Vec<[usize; 2]>, usize)> {
        let mut candidates = self.inputs.clone();
        candidates.sort_by_key(|&[i, _]| Some(i) != kept);
        candidates.into_iter().find_map(|last| {
            let taps: Vec<_> = self.inputs.iter().copied().filter(|&a| a != last).collect();
            let deep: Vec<usize> = taps.iter().map(|&[_, w]| w).collect();
            let deep = if deep.is_empty() {
                0
            } else {
                even(&deep, weights)?
            };
            Some((last, taps, deep))
        })
    }
}

/// The distance between neighbours along some axes of a tensor, row-major; none if it varies.
fn even(axes: &[usize], shape: &[usize]) -> Option<usize> {
    let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
    let follows = |pair: &[usize]| stride(pair[0]) == stride(pair[1]) * shape[pair[1]];
    axes.windows(2)
        .all(follows)
        .then_some(stride(*axes.last()?))
}
