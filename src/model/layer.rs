//! outlet of a graph → layer: where its channels, rows and columns are.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Gather, Pad, Slice};
use tract_onnx::tract_core::ops::cnn::{Conv, MaxPool, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::{FeatureMap, Layer};
use crate::error::{Error, Result};
use crate::manifest::Layout;

/// Most tokens before those of the grid: a class token and registers.
const MOST_PREFIX: usize = 16;

/// A layer and how it lies in its ONNX tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// What callers see.
    pub layer: Layer,
    /// Shape of the ONNX tensor.
    shape: Vec<usize>,
    axes: Axes,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Axes {
    ChannelsFirst,
    ChannelsLast,
    /// Rows of the grid one after the other, behind some tokens that have no place on it.
    Tokens {
        prefix: usize,
    },
}

impl Place {
    /// Reads the shape of a layer.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a tensor that is no map of an image.
    pub fn of(graph: &TypedModel, outlet: OutletId, name: String, input: Layout) -> Result<Place> {
        let shape = shape(graph, outlet).unwrap_or_default();
        let (axes, channels, height, width) = match *shape.as_slice() {
            [1, a, b, c] => {
                let guess = if input == Layout::Nhwc { 3 } else { 1 };
                match channel_axis(graph, outlet, input).unwrap_or(guess) {
                    3 => (Axes::ChannelsLast, c, a, b),
                    _ => (Axes::ChannelsFirst, a, b, c),
                }
            }
            [1, tokens, channels] | [tokens, 1, channels] => {
                let (height, width) = grid(graph, outlet, tokens, input).ok_or_else(|| {
                    Error::BadOption(format!(
                        "the {tokens} tokens of tensor `{name}` do not fill a grid"
                    ))
                })?;
                let prefix = tokens - height * width;
                (Axes::Tokens { prefix }, channels, height, width)
            }
            _ => {
                return Err(Error::BadOption(format!(
                    "tensor `{name}` has the shape {shape:?}, expected a map (1×C×H×W or 1×H×W×C) or tokens (1×T×C)"
                )));
            }
        };
        let layer = Layer {
            name,
            channels,
            height,
            width,
        };
        Ok(Place { layer, shape, axes })
    }

    /// Whether the shape holds what the layer says: a place may come from a file.
    pub fn is_sound(&self) -> bool {
        let Layer {
            channels,
            height,
            width,
            ..
        } = self.layer;
        let prefix = match self.axes {
            Axes::Tokens { prefix } => prefix,
            _ => 0,
        };
        let all = height
            .checked_mul(width)
            .and_then(|places| places.checked_add(prefix));
        let all = all.and_then(|places| places.checked_mul(channels));
        let held = self.shape.iter().try_fold(1usize, |p, &n| p.checked_mul(n));
        all.is_some() && all == held && all.is_some_and(|all| all <= super::proto::MOST_ELEMENTS)
    }

    /// The values of the layer in the order of [`FeatureMap`], of a tensor in ONNX's order that may
    /// have length 1 where a value repeats.
    pub fn map(&self, tensor: &Tensor) -> TractResult<FeatureMap> {
        let full = tensor.broadcast_to_shape(&self.shape)?;
        let plain = full.try_as_plain_ram()?;
        let given = plain.as_slice::<f32>()?;
        let &Layer {
            channels,
            height,
            width,
            ..
        } = &self.layer;
        let places = height * width;
        let values = match self.axes {
            Axes::ChannelsFirst => given.to_vec(),
            axes => {
                let prefix = match axes {
                    Axes::Tokens { prefix } => prefix * channels,
                    _ => 0,
                };
                (0..channels * places)
                    .map(|i| given[prefix + i % places * channels + i / places])
                    .collect()
            }
        };
        Ok(FeatureMap {
            channels,
            height,
            width,
            values,
        })
    }
}

fn shape(graph: &TypedModel, outlet: OutletId) -> Option<Vec<usize>> {
    let fact = graph.outlet_fact(outlet).ok()?;
    fact.shape.as_concrete().map(<[usize]>::to_vec)
}

/// Axis of the channels, 1 or 3, in a tensor of four axes: as the nearest operator before it says
/// that knows. Where axes are cut or merged, as in a group norm, it goes on at the next tensor that
/// has the shape from before; none when there is none on any way.
fn channel_axis(graph: &TypedModel, outlet: OutletId, input: Layout) -> Option<usize> {
    let mut seen = HashSet::new();
    // Each outlet with the axes of the tensor asked about that its own axes become, and the shape
    // that is looked for.
    let mut pending = vec![(outlet, [0, 1, 2, 3], None)];
    while let Some((outlet, axes, wanted)) = pending.pop() {
        let wanted = wanted.filter(|wanted| shape(graph, outlet).as_ref() != Some(wanted));
        let node = graph.node(outlet.node);
        let window = [
            node.op_as::<Conv>().map(|op| op.pool_spec.data_format),
            node.op_as::<MaxPool>().map(|op| op.pool_spec.data_format),
            node.op_as::<SumPool>().map(|op| op.pool_spec.data_format),
        ];
        let last = match window.into_iter().flatten().next() {
            Some(format) => Some(format.c_is_last()),
            None => node.op_is::<TypedSource>().then_some(input == Layout::Nhwc),
        };
        if let (Some(last), None) = (last, &wanted) {
            return Some(axes[if last { 3 } else { 1 }]);
        }
        let mut wanted = wanted;
        let axes = match node.op_as::<AxisOp>() {
            _ if wanted.is_some() => axes,
            Some(&AxisOp::Move(from, to)) => {
                let mut axes = axes.to_vec();
                let moved = axes.remove(to);
                axes.insert(from, moved);
                [axes[0], axes[1], axes[2], axes[3]]
            }
            Some(_) => {
                wanted = shape(graph, outlet);
                axes
            }
            None => axes,
        };
        for &input in node.inputs.iter().rev() {
            let fact = graph.outlet_fact(input);
            let follows = fact
                .is_ok_and(|fact| fact.konst.is_none() && (fact.rank() == 4 || wanted.is_some()));
            if follows && seen.insert(input) {
                pending.push((input, axes, wanted.clone()));
            }
        }
    }
    None
}

/// Rows and columns of the grid that tokens come from.
fn grid(
    graph: &TypedModel,
    outlet: OutletId,
    tokens: usize,
    input: Layout,
) -> Option<(usize, usize)> {
    let fits = |&(height, width): &(usize, usize)| {
        let places = height * width;
        places > 1 && places <= tokens && tokens - places <= MOST_PREFIX
    };
    let order = order(graph, &[outlet.node]);
    let maps = order.iter().rev().flat_map(|&id| {
        let sides = sides(graph, OutletId::from(id), input);
        sides.filter(fits)
    });
    let root = |tokens: usize| {
        let side = (tokens as f64).sqrt().round() as usize;
        (side * side == tokens && side > 1).then_some((side, side))
    };
    maps.into_iter()
        .next()
        .or_else(|| root(tokens))
        .or_else(|| root(tokens.checked_sub(1)?))
}

/// Rows and columns of a tensor that is a map.
fn sides(graph: &TypedModel, outlet: OutletId, input: Layout) -> Option<(usize, usize)> {
    match *shape(graph, outlet)?.as_slice() {
        [1, a, b, c] => {
            let last = channel_axis(graph, outlet, input)? == 3;
            let (height, width) = if last { (a, b) } else { (b, c) };
            (height * width > 1).then_some((height, width))
        }
        _ => None,
    }
}

/// Nodes that some nodes depend on, in order of computation, these included.
fn order(graph: &TypedModel, targets: &[usize]) -> Vec<usize> {
    let sources: Vec<usize> = graph.inputs.iter().map(|input| input.node).collect();
    tract_onnx::tract_core::model::order::eval_order_for_nodes(
        graph.nodes(),
        &sources,
        targets,
        &[],
    )
    .unwrap_or_default()
}

/// Those of the nodes that depend on the image.
fn active(graph: &TypedModel, order: &[usize]) -> HashSet<usize> {
    let mut active = HashSet::new();
    for &id in order {
        let node = graph.node(id);
        if node.op_is::<TypedSource>() || node.inputs.iter().any(|i| active.contains(&i.node)) {
            active.insert(id);
        }
    }
    active
}

/// Tensors that ONNX has a name for and that depend on the image, in order of computation.
fn named<'a>(
    graph: &'a TypedModel,
    order: &[usize],
    active: &HashSet<usize>,
) -> Vec<(OutletId, &'a str)> {
    let computed = order
        .iter()
        .filter(|id| active.contains(id) && !graph.node(**id).op_is::<TypedSource>());
    computed
        .flat_map(|&id| {
            let label = graph.outlet_label(id.into());
            label.map(|label| (OutletId::from(id), label))
        })
        .collect()
}

/// The last map of each size, in order of computation.
pub fn candidates(graph: &TypedModel, input: Layout) -> Vec<Layer> {
    let order = order(graph, &[graph.outputs[0].node]);
    let named = named(graph, &order, &active(graph, &order));
    let mut seen = HashSet::new();
    let mut found: Vec<Layer> = named
        .into_iter()
        .rev()
        .filter(|&(outlet, _)| {
            let size = sides(graph, outlet, input);
            size.is_some_and(|size| seen.insert(size))
        })
        .filter_map(|(outlet, name)| Place::of(graph, outlet, name.into(), input).ok())
        .map(|place| place.layer)
        .collect();
    found.reverse();
    found
}

/// Finds the layer to explain: the last map before pooling or flattening; in a transformer the last
/// tokens that all reach the scores.
///
/// # Errors
/// [`Error::UnsupportedModel`] when there is none.
pub fn find(graph: &TypedModel, input: Layout) -> Result<(String, OutletId)> {
    let scores = graph.outputs[0];
    let order = order(graph, &[scores.node]);
    let active = active(graph, &order);
    let named = named(graph, &order, &active);
    let maps = || {
        let maps = named.iter().rev();
        maps.filter(|(outlet, _)| sides(graph, *outlet, input).is_some())
    };
    // A map of the classes themselves is a result, and pooling and padding only blur or frame.
    let classes: usize = shape(graph, scores).unwrap_or_default().iter().product();
    let sound = |(outlet, _): &&(OutletId, &str)| {
        let node = graph.node(outlet.node);
        let axis = channel_axis(graph, *outlet, input).unwrap_or(1);
        let channels = shape(graph, *outlet).unwrap_or_default()[axis];
        let frame = node.op_is::<MaxPool>() || node.op_is::<SumPool>() || node.op_is::<Pad>();
        !frame && channels != classes
    };
    let map = maps().find(sound).or_else(|| maps().next());
    let tokens = map.and_then(|&(map, _)| last_tokens(graph, map, &named, &order, &active, input));
    match tokens.or(map.copied()) {
        Some((outlet, name)) => Ok((name.into(), outlet)),
        None => Err(Error::UnsupportedModel(
            "no heatmap: the graph has no spatial map to explain; name a layer".into(),
        )),
    }
}

/// The last tokens that all reach the scores, if the map `from` is cut into tokens.
fn last_tokens<'a>(
    graph: &TypedModel,
    from: OutletId,
    named: &[(OutletId, &'a str)],
    order: &[usize],
    active: &HashSet<usize>,
    input: Layout,
) -> Option<(OutletId, &'a str)> {
    let (height, width) = sides(graph, from, input)?;
    let places = height * width;
    let axis = channel_axis(graph, from, input)?;
    let channels = shape(graph, from)?[axis];
    let is_token = |outlet: OutletId| match shape(graph, outlet).unwrap_or_default()[..] {
        [1, tokens, c] => {
            c == channels && tokens >= places && tokens - places <= MOST_PREFIX && tokens > 1
        }
        _ => false,
    };
    let last = named.iter().rev().find(|(outlet, _)| is_token(*outlet))?;
    // A head that picks the class token: only attention lets the others speak.
    let behind = &order[order.iter().position(|&id| id == last.0.node)?..];
    let picks = behind.iter().any(|&id| {
        let node = graph.node(id);
        (node.op_is::<Slice>() || node.op_is::<Gather>()) && is_token(node.inputs[0])
    });
    if !picks {
        return Some(*last);
    }
    let attention = order.iter().rev().find(|&&id| {
        let node = graph.node(id);
        node.op_is::<EinSum>() && node.inputs.iter().all(|i| active.contains(&i.node))
    })?;
    let mut sources = graph.node(*attention).inputs.iter().map(|operand| {
        self::order(graph, &[operand.node])
            .into_iter()
            .collect::<HashSet<_>>()
    });
    let first = sources.next()?;
    let shared = sources.fold(first, |a, b| &a & &b);
    let shared = named
        .iter()
        .rev()
        .find(|(outlet, _)| shared.contains(&outlet.node) && is_token(*outlet));
    shared.copied()
}
