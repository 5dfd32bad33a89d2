//! graph → the paths from the image to the scores.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::TypedConcat;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::grid::{Grids, Line};
use super::links;
use super::quantised::Spread;

/// The nodes that depend on the image and on which the scores depend.
pub struct Flow {
    /// In order of computation, the image first and the scores last.
    pub order: Vec<usize>,
    active: Vec<bool>,
    /// The readers of each node.
    readers: Vec<Vec<usize>>,
    /// The readers that its grid reaches, or all if it has no grid that is heard.
    carried: Vec<Vec<usize>>,
    /// For each axis of a node that runs over places of the image: whether places reach the scores,
    /// and not only the tokens before them.
    heard: Vec<Vec<bool>>,
    /// Which nodes are matrix products or convolutions.
    products: Vec<bool>,
}

impl Flow {
    /// Reads the nodes of `order`: all on which the scores depend, in order of computation.
    pub fn of(graph: &TypedModel, order: &[usize], grids: &Grids) -> Flow {
        let count = graph.nodes().len();
        let mut active = vec![false; count];
        for &id in order {
            let node = graph.node(id);
            // Every place affects the step of a tensor quantised at run time, but no gradient passes there.
            active[id] = node.op_is::<TypedSource>()
                || !node.op_is::<Spread>() && node.inputs.iter().any(|i| active[i.node]);
        }
        let order: Vec<usize> = order.iter().copied().filter(|&id| active[id]).collect();
        let mut flow = Flow {
            readers: vec![Vec::new(); count],
            carried: vec![Vec::new(); count],
            heard: vec![Vec::new(); count],
            products: vec![false; count],
            order,
            active,
        };
        for id in flow.order.clone().into_iter().rev() {
            let node = graph.node(id);
            flow.products[id] = node.inputs.len() > 1
                && (node.op_is::<Conv>() || node.op_is::<Deconv>() || node.op_is::<EinSum>());
            flow.hear(graph, grids, id);
        }
        // What the image no longer reaches is skipped.
        let mut reached = vec![false; count];
        for &id in &flow.order {
            if graph.node(id).op_is::<TypedSource>() || reached[id] {
                reached[id] = true;
                let next = flow.carried[id].iter();
                next.for_each(|&next| reached[next] = true);
            } else {
                flow.carried[id].clear();
            }
        }
        flow
    }

    /// Finds what part of a node reaches the scores through its known readers, and makes it a
    /// reader of its inputs.
    fn hear(&mut self, graph: &TypedModel, grids: &Grids, id: usize) {
        let scores = graph.outputs[0].node == id;
        let mut heard = vec![scores; grids.lines(id.into()).len()];
        let mut through = Vec::new();
        for &reader in &self.readers[id] {
            let node = graph.node(reader);
            for (slot, _) in node.inputs.iter().enumerate().filter(|(_, i)| i.node == id) {
                let passed = passed(graph, grids, node, slot, &self.heard[reader]);
                heard
                    .iter_mut()
                    .zip(&passed)
                    .for_each(|(heard, &p)| *heard |= p);
                through.push((reader, passed.contains(&true)));
            }
        }
        // Tokens before a grid count on their own only if nothing of the grid is heard.
        let silent = !heard.contains(&true);
        let carried = through.into_iter().filter(|&(_, passes)| passes || silent);
        self.carried[id] = carried.map(|(reader, _)| reader).collect();
        self.heard[id] = heard;
        for input in &graph.node(id).inputs {
            if self.active[input.node] && !self.readers[input.node].contains(&id) {
                self.readers[input.node].push(id);
            }
        }
    }

    /// Whether places of the image reach the scores from a node, if it runs over any.
    pub fn is_heard(&self, id: usize) -> bool {
        self.heard[id].is_empty() || self.heard[id].contains(&true)
    }

    /// Whether a node is a matrix product or a convolution.
    pub fn is_product(&self, id: usize) -> bool {
        self.products[id]
    }

    /// The inputs of a node that depend on the image.
    pub fn inputs(&self, node: &TypedNode) -> TVec<usize> {
        let inputs = node.inputs.iter().map(|input| input.node);
        inputs.filter(|&id| self.active[id]).collect()
    }

    /// The readers of a node.
    pub fn readers(&self, id: usize) -> &[usize] {
        &self.readers[id]
    }

    /// The nodes on every path from the image to the scores, or on every such path through `by`, in
    /// order of computation. A path over tokens without a place on the grid does not count.
    pub fn cuts(&self, by: Option<usize>) -> Vec<usize> {
        let part = by.map(|by| self.around(by));
        let within = |id: usize| part.as_ref().is_none_or(|part| part[id]);
        let mut place = vec![0; self.readers.len()];
        for (at, &id) in self.order.iter().enumerate() {
            place[id] = at;
        }
        let scores = self.order.last().copied();
        let mut furthest = 0;
        let mut cuts = Vec::new();
        for (at, &id) in self.order.iter().enumerate() {
            let carries = !self.carried[id].is_empty() || Some(id) == scores;
            if !carries || !within(id) {
                continue;
            }
            if furthest <= at {
                cuts.push(id);
            }
            let next = self.carried[id].iter().filter(|next| within(**next));
            furthest = next.map(|&next| place[next]).fold(furthest, usize::max);
        }
        cuts
    }

    /// The node, and all before and after it.
    fn around(&self, id: usize) -> Vec<bool> {
        let around = self.behind(id).into_iter().zip(self.before(id));
        around.map(|(behind, before)| behind || before).collect()
    }

    /// Which nodes a node depends on, including itself.
    fn before(&self, id: usize) -> Vec<bool> {
        let mut before = vec![false; self.readers.len()];
        before[id] = true;
        for &other in self.order.iter().rev() {
            before[other] |= self.carried[other].iter().any(|&next| before[next]);
        }
        before
    }

    /// Which nodes depend on a node.
    fn behind(&self, id: usize) -> Vec<bool> {
        let mut behind = vec![false; self.readers.len()];
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            for &reader in &self.readers[id] {
                if !std::mem::replace(&mut behind[reader], true) {
                    pending.push(reader);
                }
            }
        }
        behind
    }

    /// Number of products that depend on a node.
    pub fn products_behind(&self, id: usize) -> usize {
        let behind = self.behind(id);
        behind
            .iter()
            .zip(&self.products)
            .filter(|&(&b, &p)| b && p)
            .count()
    }

    /// Number of products that a node depends on, including itself.
    pub fn products_before(&self, id: usize) -> usize {
        let before = self.before(id);
        let products = before.iter().zip(&self.products);
        products
            .filter(|&(&before, &product)| before && product)
            .count()
    }
}

/// For each line of an input: whether its places are heard through a node, for whose own lines
/// `heard` says the same.
fn passed(
    graph: &TypedModel,
    grids: &Grids,
    node: &TypedNode,
    slot: usize,
    heard: &[bool],
) -> Vec<bool> {
    let given = grids.lines(node.inputs[slot]);
    let made = grids.lines(node.id.into());
    if node.outputs.len() > 1 {
        return vec![true; given.len()];
    }
    if let Some(AxisOp::Reshape(..)) = node.op_as() {
        return match made.len() == given.len() {
            true => heard.to_vec(),
            false => vec![made.is_empty() || heard.contains(&true); given.len()],
        };
    }
    let at = |axis: usize| {
        let line = made.iter().position(|line| line.axis == axis);
        line.is_none_or(|line| heard[line])
    };
    let ranges = links::ranges(graph, node).unwrap_or_default();
    let joined = node.op_as::<TypedConcat>().map(|op| op.axis);
    let links = links::links(graph, node);
    let passes = |line: &Line| {
        if let Some(range) = ranges.iter().find(|range| range.axis == line.axis) {
            return range.end > line.prefix && at(line.axis);
        }
        if joined == Some(line.axis) {
            return at(line.axis);
        }
        let link = links
            .iter()
            .find(|l| (l.slot, l.input) == (slot, line.axis));
        link.is_none_or(|link| at(link.output))
    };
    given.iter().map(passes).collect()
}
