//! graph → where the rows and columns of the image lie in each tensor.
//!
//! Each axis is a product of parts, the slowest first: 56 rows are cut into 8 windows of 7, tokens
//! are rows times columns. So a grid is followed through windows and back, through tokens, rolls
//! and merged patches, and tokens that are not in the order of the grid are recognised.

use std::collections::HashMap;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Gather, Pad, TypedConcat};
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, MaxPool, SumPool};
use tract_onnx::tract_core::ops::downsample::Downsample;
use tract_onnx::tract_core::ops::nn::DataFormat;
use tract_onnx::tract_core::ops::nn::resize::{NearestUpsample, Resize};
use tract_onnx::tract_core::ops::source::TypedSource;

mod axis;

pub use self::axis::MOST_PREFIX;
use self::axis::{
    Axis, Of, Part, cut, grid, length, lengths, merge, other, part, resized, tokens, turned,
    windows,
};
use super::links::{constant, links, ranges, shape};
use crate::manifest::Layout;
use crate::model::layer::Axes;

/// How the image lies in the tensors of a graph.
pub struct Grids(HashMap<usize, Vec<Axis>>);

/// How a tensor is read as a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Map {
    /// The order of its axes.
    pub axes: Axes,
    /// Number of channels.
    pub channels: usize,
    /// Rows of the grid.
    pub height: usize,
    /// Columns of the grid.
    pub width: usize,
}

impl Grids {
    /// Follows the image through the nodes of `order`.
    pub fn of(graph: &TypedModel, order: &[usize], input: Layout) -> Grids {
        let mut grids = Grids(HashMap::new());
        for &id in order {
            let node = graph.node(id);
            let Some(shape) = shape(graph, id.into()) else {
                continue;
            };
            let axes = if node.op_is::<TypedSource>() {
                photo(&shape, input)
            } else if !node.inputs.iter().any(|i| grids.knows(*i)) {
                continue;
            } else {
                let single = node.outputs.len() == 1;
                single.then(|| grids.follow(graph, node, &shape)).flatten()
            };
            let tidy = axes.map(|axes| axes.into_iter().map(merge).collect::<Vec<_>>());
            let whole = tidy.filter(|axes| lengths(axes) == shape);
            let axes = whole.unwrap_or_else(|| shape.iter().map(|&n| other(n)).collect());
            grids.0.insert(id, axes);
        }
        grids
    }

    fn knows(&self, outlet: OutletId) -> bool {
        self.0.contains_key(&outlet.node)
    }

    fn axes(&self, outlet: OutletId) -> Option<&Vec<Axis>> {
        self.0.get(&outlet.node).filter(|_| outlet.slot == 0)
    }

    /// The tensor as a map, if it is one: channels and one grid of more than one place, in an order
    /// of [`Axes`].
    pub fn map(&self, outlet: OutletId) -> Option<Map> {
        let axes = self.axes(outlet).filter(|axes| axes.len() <= 4)?;
        let mut axes: Vec<&[Part]> = axes.iter().map(|axis| axis.as_slice()).collect();
        axes.retain(|axis| !axis.is_empty());
        let first = axes.iter().position(|axis| grid(axis).is_some())?;
        let count = axes[first..]
            .iter()
            .take_while(|axis| grid(axis).is_some())
            .count();
        let places = axes[first..first + count].concat();
        let (prefix, height, width) = grid(&places)?;
        let channels = match (&axes[..first], &axes[first + count..]) {
            ([], []) => &[],
            ([channels], []) | ([], [channels]) => *channels,
            _ => return None,
        };
        // What lies inside a place of the grid may be among the channels; what lies around it may not.
        let inside = channels.iter().all(|part| {
            let around = places.iter().find(|place| place.of == part.of);
            part.of == Of::Other || around.is_some_and(|place| part.step < place.step)
        });
        let axes = match (prefix, first) {
            (0, 0) if !channels.is_empty() => Axes::ChannelsLast,
            (0, _) => Axes::ChannelsFirst,
            (prefix, 0) => Axes::Tokens { prefix },
            _ => return None,
        };
        inside.then_some(Map {
            axes,
            channels: channels.iter().map(|part| part.length).product(),
            height,
            width,
        })
    }

    /// Whether parts of the image are spread over the tensor, in any order.
    pub fn is_spread(&self, outlet: OutletId) -> bool {
        let axes = self.axes(outlet);
        axes.is_some_and(|axes| axes.iter().flatten().any(|part| part.of != Of::Other))
    }

    /// The last grid of rows and columns in `order` that `fits`.
    pub fn last(
        &self,
        order: &[usize],
        fits: impl Fn(usize, usize) -> bool,
    ) -> Option<(usize, usize)> {
        let maps = order.iter().rev().flat_map(|&id| self.map(id.into()));
        maps.map(|map| (map.height, map.width))
            .find(|&(height, width)| fits(height, width))
    }

    /// Axes that run over places of the image.
    pub fn lines(&self, outlet: OutletId) -> TVec<Line> {
        let axes = self.axes(outlet).into_iter().flatten().enumerate();
        let line = |(axis, parts): (usize, &Axis)| {
            let over = parts.iter().find(|part| part.of != Of::Other)?;
            let prefix = match over.of {
                Of::Tokens { prefix, .. } => prefix,
                _ => 0,
            };
            Some(Line { axis, prefix })
        };
        axes.filter_map(line).collect()
    }

    /// Whether an axis runs over rows or columns.
    pub fn runs_over(&self, outlet: OutletId, axis: usize) -> bool {
        let axis = self.axes(outlet).and_then(|axes| axes.get(axis));
        axis.is_some_and(|parts| parts.iter().any(|part| part.of != Of::Other))
    }

    fn follow(&self, graph: &TypedModel, node: &TypedNode, shape: &[usize]) -> Option<Vec<Axis>> {
        if let Some(op) = node.op_as::<AxisOp>() {
            return turned(op, self.axes(node.inputs[0])?, shape);
        }
        if let Some(op) = node.op_as::<TypedConcat>() {
            return Some(self.joined(graph, node, op.axis, shape));
        }
        if let Some(ranges) = ranges(graph, node) {
            let mut axes = self.axes(node.inputs[0])?.clone();
            let gone = axes.len() > shape.len();
            for range in &ranges {
                let length = if gone { 1 } else { shape[range.axis] };
                axes[range.axis] = cut(&axes[range.axis], range, length);
            }
            if gone {
                axes.remove(ranges[0].axis);
            }
            return Some(axes);
        }
        if let Some(op) = node.op_as::<Gather>() {
            let mut axes = self.axes(node.inputs[0])?.clone();
            let new = shape.len() + 1 - axes.len();
            let lengths = &shape[op.axis..op.axis + new];
            let windows = windows(&axes[op.axis], constant(graph, node.inputs[1]));
            let windows = windows.filter(|axes| self::lengths(axes) == lengths);
            let new = windows.unwrap_or_else(|| lengths.iter().map(|&n| other(n)).collect());
            axes.splice(op.axis..=op.axis, new);
            return Some(axes);
        }
        if let Some(channels) = local(node) {
            if self.map(node.inputs[0]).is_none()
                && let Some(layout) = seen(node, shape)
            {
                return photo(shape, layout);
            }
            let axes = self.axes(node.inputs[0])?.iter().zip(shape).enumerate();
            return Some(
                axes.map(|(axis, (parts, &length))| match channels {
                    Some(channels) if axis == channels => other(length),
                    _ => resized(parts, length),
                })
                .collect(),
            );
        }
        Some(self.linked(graph, node, shape))
    }

    /// For each axis, the axis of an input from which it is computed, place by place.
    fn linked(&self, graph: &TypedModel, node: &TypedNode, shape: &[usize]) -> Vec<Axis> {
        let links = links(graph, node);
        let axis = |axis: usize| {
            let sources = node.inputs.iter().enumerate().filter_map(|(slot, &input)| {
                let from = links.iter().find(|l| l.slot == slot && l.output == axis)?;
                let parts = self.axes(input)?.get(from.input)?;
                (length(parts) == shape[axis]).then_some(parts)
            });
            let known = |parts: &&Axis| parts.iter().any(|part| part.of != Of::Other);
            let mut sources = sources.collect::<TVec<_>>().into_iter();
            let first = sources.clone().next();
            sources.find(known).or(first).cloned()
        };
        (0..shape.len())
            .map(|a| axis(a).unwrap_or_else(|| other(shape[a])))
            .collect()
    }

    fn joined(
        &self,
        graph: &TypedModel,
        node: &TypedNode,
        axis: usize,
        shape: &[usize],
    ) -> Vec<Axis> {
        let mut axes = self.linked(graph, node, shape);
        let pieces: TVec<Axis> = node
            .inputs
            .iter()
            .map(|&input| match self.axes(input) {
                Some(axes) => axes[axis].clone(),
                None => other(self::shape(graph, input).map_or(1, |shape| shape[axis])),
            })
            .collect();
        let constant = |slot: usize| !self.knows(node.inputs[slot]);
        let same = pieces.iter().enumerate().all(|(slot, piece)| {
            constant(slot)
                || piece.is_empty()
                || matches!(
                    piece[..],
                    [Part {
                        of: Of::Row | Of::Column,
                        ..
                    }]
                )
        });
        let line = pieces.iter().flatten().find(|part| part.of != Of::Other);
        axes[axis] = match (line, pieces.split_last()) {
            (Some(&line), _) if same => tvec!(Part {
                length: shape[axis],
                ..line
            }),
            (_, Some((last, before))) => {
                let prefix = before.iter().map(length).sum::<usize>();
                let plain = before.iter().flatten().all(|part| part.of == Of::Other);
                grid(last)
                    .filter(|_| plain)
                    .and_then(|(own, height, width)| tokens(prefix + own, height, width))
                    .unwrap_or_else(|| other(shape[axis]))
            }
            _ => other(shape[axis]),
        };
        axes
    }
}

/// An axis that runs over places of the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Where it is.
    pub axis: usize,
    /// Tokens before those that have a place.
    pub prefix: usize,
}

fn photo(shape: &[usize], input: Layout) -> Option<Vec<Axis>> {
    let kinds = match input {
        Layout::Nchw => [Of::Other, Of::Other, Of::Row, Of::Column],
        Layout::Nhwc => [Of::Other, Of::Row, Of::Column, Of::Other],
    };
    (shape.len() == 4).then(|| {
        let axes = kinds.iter().zip(shape);
        axes.map(|(&of, &length)| part(of, length)).collect()
    })
}

/// If the grid was lost, a kernel with a height and a width finds it again.
fn seen(node: &TypedNode, shape: &[usize]) -> Option<Layout> {
    let pool = &node.op_as::<Conv>()?.pool_spec;
    let kernel = pool.kernel_shape.iter().all(|&side| side > 1);
    (kernel && shape.first() == Some(&1)).then_some(match pool.data_format.c_is_last() {
        true => Layout::Nhwc,
        false => Layout::Nchw,
    })
}

/// For an operator that computes each place of its output from the places around it: the axis of
/// the channels, if they are mixed.
fn local(node: &TypedNode) -> Option<Option<usize>> {
    let channels = |format: DataFormat| {
        let last = node.outputs[0].fact.rank().checked_sub(1)?;
        Some(if format.c_is_last() {
            last
        } else {
            format.has_n().into()
        })
    };
    if let Some(op) = node.op_as::<Conv>() {
        return Some(channels(op.pool_spec.data_format));
    }
    if let Some(op) = node.op_as::<Deconv>() {
        return Some(channels(op.pool_spec.data_format));
    }
    let plain = node.op_is::<MaxPool>()
        || node.op_is::<SumPool>()
        || node.op_is::<Pad>()
        || node.op_is::<Resize>()
        || node.op_is::<NearestUpsample>()
        || node.op_is::<Downsample>();
    plain.then_some(None)
}
