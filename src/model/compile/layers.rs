//! outlet of a graph → layer: where its channels, rows and columns are.

use std::collections::HashSet;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Pad, Slice};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::{MaxPool, SumPool};
use tract_onnx::tract_core::ops::nn::Reduce;
use tract_onnx::tract_core::ops::nn::resize::{NearestUpsample, Resize};

use super::flow::Flow;
use super::grid::{Grids, MOST_PREFIX, Map};
use super::links::shape;
use super::quantised::Quantise;
use crate::error::{Error, Result};
use crate::manifest::Layout;
use crate::model::layer::{Axes, Candidate, Candidates, Layer, Place};

/// Reads the shape of a layer.
///
/// # Errors
/// [`Error::BadOption`] for a tensor that is not a map of an image.
pub fn place(graph: &TypedModel, outlet: OutletId, name: String, input: Layout) -> Result<Place> {
    let order = order(graph, outlet.node);
    let grids = Grids::of(graph, &order, input);
    let shape = shape(graph, outlet).unwrap_or_default();
    let known = grids.map(outlet);
    let Map {
        axes,
        channels,
        height,
        width,
    } = match known.or_else(|| guess(&grids, &order, outlet, &shape, input)) {
        Some(map) => map,
        None if grids.is_spread(outlet) => {
            return Err(Error::BadOption(format!(
                "tensor `{name}` of shape {shape:?} holds parts of the image, but not in rows and columns; name a \
                 layer before or after it"
            )));
        }
        None => match *shape.as_slice() {
            [1, tokens, _] | [tokens, 1, _] => {
                return Err(Error::BadOption(format!(
                    "the {tokens} tokens of tensor `{name}` do not fill a grid"
                )));
            }
            _ => {
                return Err(Error::BadOption(format!(
                    "tensor `{name}` has the shape {shape:?}, expected a map (1×C×H×W or 1×H×W×C) or tokens \
                     (1×T×C)"
                )));
            }
        },
    };
    let layer = Layer {
        name,
        channels,
        height,
        width,
    };
    Ok(Place { layer, shape, axes })
}

/// Reads a tensor by its shape alone, if the image could not be followed to it.
fn guess(
    grids: &Grids,
    order: &[usize],
    outlet: OutletId,
    shape: &[usize],
    input: Layout,
) -> Option<Map> {
    let map = |axes, channels, height, width| Map {
        axes,
        channels,
        height,
        width,
    };
    match *shape {
        [1, height, width, channels] if input == Layout::Nhwc => {
            Some(map(Axes::ChannelsLast, channels, height, width))
        }
        [1, channels, height, width] => Some(map(Axes::ChannelsFirst, channels, height, width)),
        [1, tokens, channels] | [tokens, 1, channels] if !grids.is_spread(outlet) => {
            let fits = |height: usize, width: usize| {
                let places = height * width;
                places > 1 && places <= tokens && tokens - places <= MOST_PREFIX
            };
            let root = |tokens: usize| {
                let side = (tokens as f64).sqrt().round() as usize;
                (side * side == tokens && side > 1).then_some((side, side))
            };
            let (height, width) = grids
                .last(order, fits)
                .or_else(|| root(tokens))
                .or_else(|| root(tokens.checked_sub(1)?))?;
            let prefix = tokens - height * width;
            Some(map(Axes::Tokens { prefix }, channels, height, width))
        }
        _ => None,
    }
}

/// The nodes on which a node depends, in order of computation, including itself.
fn order(graph: &TypedModel, target: usize) -> Vec<usize> {
    let sources: Vec<usize> = graph.inputs.iter().map(|input| input.node).collect();
    tract_onnx::tract_core::model::order::eval_order_for_nodes(
        graph.nodes(),
        &sources,
        &[target],
        &[],
    )
    .unwrap_or_default()
}

/// The layers to explain: tensors with a grid on every path from the image to the scores, the latest
/// of each size, the latest first. If there are none, those on every path through the tensor with the
/// most products before it.
pub fn candidates(graph: &TypedModel, input: Layout) -> Candidates {
    let order = order(graph, graph.outputs[0].node);
    let grids = Grids::of(graph, &order, input);
    let flow = Flow::of(graph, &order, &grids);
    let choice = Choice::new(graph, &grids, &flow);
    let through = |by| {
        let cuts = flow.cuts(by).into_iter();
        cuts.filter(|&id| choice.is_layer(id)).collect::<Vec<_>>()
    };
    let mut whole = true;
    let mut found = through(None);
    if found.is_empty() {
        let layers = flow.order.iter().filter(|&&id| choice.is_layer(id));
        let main = layers.copied().max_by_key(|&id| flow.products_before(id));
        whole = main.is_none();
        found = match main {
            Some(main) => through(Some(main)),
            None => {
                let cuts = flow.cuts(None).into_iter();
                cuts.filter(|&id| choice.is_map(id)).collect()
            }
        };
    }
    let mut sizes = HashSet::new();
    let listed = found.into_iter().rev().filter_map(|id| {
        let map = grids.map(id.into())?;
        let name = graph.outlet_label(id.into())?.to_string();
        let new = sizes.insert((map.height, map.width));
        new.then(|| Candidate {
            layer: Layer {
                name,
                channels: map.channels,
                height: map.height,
                width: map.width,
            },
            products: flow.products_behind(id),
        })
    });
    Candidates {
        list: listed.collect(),
        whole,
    }
}

/// Finds the layer to explain, the first of [`candidates`].
///
/// # Errors
/// [`Error::UnsupportedModel`] if there is none.
pub fn find(graph: &TypedModel, input: Layout) -> Result<(String, OutletId)> {
    let found = candidates(graph, input).list.into_iter().next();
    let name = found.map(|candidate| candidate.layer.name);
    let outlet = name.as_ref().and_then(|name| graph.find_outlet_label(name));
    name.zip(outlet).ok_or_else(|| {
        Error::UnsupportedModel("the graph has no spatial map to explain; name a layer".into())
    })
}

/// What makes a tensor a layer.
struct Choice<'a> {
    graph: &'a TypedModel,
    grids: &'a Grids,
    flow: &'a Flow,
    /// Nodes that are a product or come after one.
    made: HashSet<usize>,
    /// Nodes that only blur or pad what the last products made.
    framed: HashSet<usize>,
}

impl<'a> Choice<'a> {
    fn new(graph: &'a TypedModel, grids: &'a Grids, flow: &'a Flow) -> Choice<'a> {
        let (mut made, mut framed) = (HashSet::new(), HashSet::new());
        for &id in &flow.order {
            let node = graph.node(id);
            let mut inputs = node.inputs.iter().map(|input| input.node);
            if flow.is_product(id) || inputs.any(|input| made.contains(&input)) {
                made.insert(id);
            }
            let mut sources = node.inputs.iter().filter(|input| grids.is_spread(**input));
            let all = sources.clone().next().is_some()
                && sources.all(|input| framed.contains(&input.node));
            if !flow.is_product(id) && (all || frames(grids, node)) {
                framed.insert(id);
            }
        }
        Choice {
            graph,
            grids,
            flow,
            made,
            framed,
        }
    }

    /// Whether a node's output is a map that products have made from the photo.
    fn is_map(&self, id: usize) -> bool {
        let fact = self.graph.outlet_fact(id.into());
        let photo = self
            .flow
            .order
            .first()
            .and_then(|&id| self.grids.map(id.into()));
        let map = self.grids.map(id.into());
        let photo = |map: Map| {
            let like = |photo: Map| {
                map.channels <= photo.channels
                    && (map.height, map.width) == (photo.height, photo.width)
            };
            photo.is_some_and(like)
        };
        map.is_some_and(|map| map.height * map.width > 1 && !photo(map))
            && self.graph.node(id).outputs.len() == 1
            && self.graph.outlet_label(id.into()).is_some()
            && fact.is_ok_and(|fact| fact.datum_type.is_float())
            && self.flow.is_heard(id)
            && self.made.contains(&id)
            && !self.framed.contains(&id)
    }

    /// Whether it is a map from which something is still made: neither a map of the classes nor a
    /// part of an attention.
    fn is_layer(&self, id: usize) -> bool {
        self.is_map(id) && self.flow.products_behind(id) > 0 && !self.is_projection(id)
    }

    /// Whether it is a linear projection that attention cuts into keys and values.
    fn is_projection(&self, id: usize) -> bool {
        let active = |id: usize| self.flow.inputs(self.graph.node(id));
        let mut source = id;
        while !self.flow.is_product(source) {
            let node = self.graph.node(source);
            let linear = node.op_is::<AxisOp>()
                || node.op_is::<Quantise>()
                || node.op_is::<Cast>()
                || node.op_is::<Slice>()
                || node
                    .op_as::<TypedBinOp>()
                    .is_some_and(|op| ["Add", "Sub", "Mul", "Div"].contains(&op.0.name()));
            match active(source)[..] {
                [only] if linear => source = only,
                _ => return false,
            }
        }
        if active(source).len() > 1 {
            return false;
        }
        let (mut seen, mut pending) = (HashSet::new(), vec![id]);
        while let Some(id) = pending.pop() {
            for &reader in self.flow.readers(id) {
                if !self.flow.is_product(reader) {
                    if seen.insert(reader) {
                        pending.push(reader);
                    }
                } else if active(reader).len() > 1 {
                    return true;
                }
            }
        }
        false
    }
}

/// Whether an operator only blurs or pads a map.
fn frames(grids: &Grids, node: &TypedNode) -> bool {
    let over = |op: &Reduce| {
        op.axes
            .iter()
            .any(|&axis| grids.runs_over(node.inputs[0], axis))
    };
    node.op_is::<MaxPool>()
        || node.op_is::<SumPool>()
        || node.op_is::<Pad>()
        || node.op_is::<Resize>()
        || node.op_is::<NearestUpsample>()
        || node.op_as::<Reduce>().is_some_and(over)
}

#[cfg(test)]
mod tests;
