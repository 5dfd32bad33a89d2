//! Listed operators → the steps of a plan, over one arena.
//!
//! Every operator gives a view of a buffer. Those that only move values give another view of the same one; the others
//! add steps that write a new one. Values are copied where a step needs them side by side and they are not.
//! `arena.rs` then finds a place for each buffer.

mod arena;
mod operators;
mod products;
pub mod view;

use std::collections::{HashMap, HashSet};

use tract_onnx::tract_core::internal::*;

use self::operators::push_window;
use self::view::{View, over};
use super::listed::{self, Weights};
use crate::model::layer::Place;
use crate::model::run::kernel::Window;
use crate::model::run::record::Numbers;
use crate::model::run::steps::loops::Loops;
use crate::model::run::steps::record::{Blocks, Half, Kind};

/// An operator of a lowered graph, the numbers of those that it reads, and the shape of what it gives.
pub struct Entry {
    pub step: listed::Step,
    pub inputs: Vec<usize>,
    pub shape: Vec<usize>,
}

/// The operators of a lowered graph in order of computation, and the numbers of its outputs.
pub struct Entries {
    pub steps: Vec<Entry>,
    pub outputs: Vec<usize>,
}

/// All of a plan but its head.
pub struct Arranged {
    pub tensors: Vec<String>,
    pub blocks: Vec<Blocks>,
    pub numbers: Vec<Numbers>,
    pub spaces: [u32; 3],
    pub constants: Vec<[u32; 2]>,
    pub forward: Half,
    pub backward: Option<Half>,
    /// Weights that its products read.
    pub read: usize,
}

/// Arranges two graphs, of which the second reads the scores' weights and then what the first gives after scores and
/// layers.
///
/// # Errors
/// For an operator that has no step.
pub fn arrange(
    forward: &Entries,
    backward: Option<&Entries>,
    places: &[Place],
) -> TractResult<Arranged> {
    let mut arranger = Arranger::default();
    let outputs = arranger.pass(forward, &[])?;
    let (made, residuals) = outputs.split_at(1 + places.len());
    let residuals: Vec<View> = residuals
        .iter()
        .map(|view| arranger.cropped(view))
        .collect();
    let forward = arranger.end(made.to_vec());
    let backward = backward
        .map(|entries| -> TractResult<Pass> {
            let gradients = arranger.pass(entries, &residuals)?;
            let shapes = places.iter().map(|place| &place.shape);
            let full = gradients.iter().zip(shapes).map(|(view, shape)| {
                ensure!(
                    view.axes.len() == shape.len(),
                    "a gradient of another shape"
                );
                Ok(view.filled(shape))
            });
            let full = full.collect::<TractResult<Vec<View>>>()?;
            Ok(arranger.end(full))
        })
        .transpose()?;
    arena::place(arranger, [Some(forward), backward])
}

/// What a pass is given and makes, and where its steps begin and end.
struct Pass {
    given: usize,
    made: Vec<View>,
    steps: std::ops::Range<usize>,
}

/// Values of a plan.
struct Buffer {
    size: usize,
    /// The list of numbers that fills it.
    constant: Option<u32>,
}

/// A step whose tensors have no place yet.
struct Draft {
    kind: Kind,
    output: Operand,
    inputs: Vec<Operand>,
    /// Whether a tensor that may be missing comes after these, and it.
    residual: Option<Option<Operand>>,
    fields: Vec<u32>,
    /// Whether it may write over its first input.
    in_place: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Operand {
    buffer: usize,
    start: usize,
}

#[derive(Default)]
struct Arranger {
    buffers: Vec<Buffer>,
    drafts: Vec<Draft>,
    /// Where the current pass begins, and the buffer that it is given.
    begin: usize,
    given: Option<usize>,
    /// Copies that were made already.
    copies: HashMap<View, View>,
    tensors: Vec<String>,
    named: HashMap<String, u32>,
    blocks: Vec<Blocks>,
    numbers: Vec<Numbers>,
    lists: HashMap<String, u32>,
    constants: HashMap<u32, usize>,
    /// Weights that are read, each once for all steps that have them in the same form.
    read: usize,
    packed: HashSet<Vec<u32>>,
    /// Operators whose results are parts of a concatenation: which, along which axis, and from where on.
    joined: HashMap<usize, (usize, usize, usize)>,
    /// Results of concatenations of the current pass.
    wholes: HashMap<usize, View>,
    /// Where the result of the current operator belongs.
    target: Option<View>,
    /// That of the current concatenation, if some of its parts are there.
    joining: Option<View>,
}

/// The operators that can write their results where a concatenation wants them: along the axis stored last, or as
/// neighbouring blocks.
fn joins(entries: &Entries) -> HashMap<usize, (usize, usize, usize)> {
    use listed::Step;
    let mut joined = HashMap::new();
    for (at, entry) in entries.steps.iter().enumerate() {
        let Step::Concat(axis) = entry.step else {
            continue;
        };
        let last = axis + 1 == entry.shape.len();
        if !last && entry.shape[..axis].iter().any(|&length| length != 1) {
            continue;
        }
        let mut start = 0;
        for &input in &entry.inputs {
            let part = &entries.steps[input];
            let anywhere = match &part.step {
                Step::Product { padding, .. } => padding.is_none(),
                Step::Unary(..) | Step::Binary(_) | Step::Concat(_) => true,
                _ => false,
            };
            if anywhere {
                joined.entry(input).or_insert((at, axis, start));
            }
            start += part.shape[axis];
        }
    }
    joined
}

fn number(value: usize) -> TractResult<u32> {
    u32::try_from(value).context("a number that is too large for a plan")
}

/// Appends numbers to a record.
fn push(fields: &mut Vec<u32>, values: impl IntoIterator<Item = usize>) -> TractResult<()> {
    for value in values {
        fields.push(number(value)?);
    }
    Ok(())
}

fn push_loops<const N: usize>(fields: &mut Vec<u32>, loops: &Loops<N>) -> TractResult<()> {
    let most = crate::model::run::steps::loops::MOST_LOOPS;
    ensure!(loops.0.len() <= most, "more than {most} loops");
    push(fields, [loops.0.len()])?;
    for one in &loops.0 {
        push(fields, [one.length])?;
        push(fields, one.strides)?;
    }
    Ok(())
}

impl From<&View> for Operand {
    fn from(view: &View) -> Operand {
        Operand {
            buffer: view.buffer,
            start: view.start,
        }
    }
}

impl Arranger {
    fn pass(&mut self, entries: &Entries, residuals: &[View]) -> TractResult<Vec<View>> {
        self.begin = self.drafts.len();
        self.given = None;
        self.joined = joins(entries);
        self.wholes.clear();
        let mut residuals = residuals.iter();
        let mut views: Vec<View> = Vec::new();
        for (at, entry) in entries.steps.iter().enumerate() {
            let inputs: Vec<View> = entry
                .inputs
                .iter()
                .map(|&input| views[input].clone())
                .collect();
            let view = match (&entry.step, self.given) {
                (listed::Step::Source(shape), None) => {
                    let view = self.buffer(shape);
                    self.given = Some(view.buffer);
                    view
                }
                (listed::Step::Source(shape), Some(_)) => {
                    let view = residuals.next().context("a source without values")?;
                    ensure!(view.shape() == *shape, "a source of another shape");
                    view.clone()
                }
                (step, _) => {
                    self.target = self.part(entries, at);
                    self.joining = self.wholes.get(&at).cloned();
                    let made = self.operator(step, &inputs, &entry.shape);
                    made.with_context(|| format!("step {at}"))?
                }
            };
            ensure!(view.shape() == entry.shape, "step {at} has another shape");
            views.push(view);
        }
        Ok(entries
            .outputs
            .iter()
            .map(|&output| views[output].clone())
            .collect())
    }

    /// Where in a concatenation the result of an operator belongs.
    fn part(&mut self, entries: &Entries, at: usize) -> Option<View> {
        let &(whole, axis, start) = self.joined.get(&at)?;
        let length = entries.steps[at].shape[axis];
        Some(self.whole(entries, whole).cut(axis, start, 1, length))
    }

    /// The result of a concatenation, before its parts are computed.
    fn whole(&mut self, entries: &Entries, at: usize) -> View {
        if let Some(view) = self.wholes.get(&at) {
            return view.clone();
        }
        let part = self.part(entries, at);
        let view = part.unwrap_or_else(|| self.buffer(&entries.steps[at].shape));
        self.wholes.insert(at, view.clone());
        view
    }

    fn end(&mut self, made: Vec<View>) -> Pass {
        // Copies belong to the pass that makes them.
        self.copies.clear();
        Pass {
            given: self.given.unwrap_or_default(),
            made,
            steps: self.begin..self.drafts.len(),
        }
    }

    /// The place in a concatenation for what is computed now, if there is one and nothing else of it is read.
    fn targeted(&mut self, shape: &[usize], inputs: &[View]) -> Option<View> {
        let apart = |view: &View| inputs.iter().all(|input| input.buffer != view.buffer);
        let target = self.target.take();
        target.filter(|view| view.shape() == shape && apart(view))
    }

    /// A new buffer for a tensor of this shape.
    fn buffer(&mut self, shape: &[usize]) -> View {
        self.buffers.push(Buffer {
            size: shape.iter().product(),
            constant: None,
        });
        View::whole(self.buffers.len() - 1, shape)
    }

    /// A new buffer for a tensor of this shape whose axes lie as those of `like`.
    fn buffer_like(&mut self, shape: &[usize], like: &View) -> View {
        let view = self.buffer(shape);
        View::ordered(view.buffer, shape, like)
    }

    fn list(&mut self, numbers: &Numbers) -> u32 {
        let key = match numbers {
            Numbers::Of(name) => format!("of {name}"),
            Numbers::These(values) => {
                let bits: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
                format!("{bits:?}")
            }
        };
        let next = self.numbers.len() as u32;
        *self.lists.entry(key).or_insert_with(|| {
            self.numbers.push(numbers.clone());
            next
        })
    }

    fn constant(&mut self, shape: &[usize], values: &Numbers) -> View {
        let list = self.list(values);
        let next = self.buffers.len();
        let buffer = *self.constants.entry(list).or_insert(next);
        if buffer == next {
            let size = shape.iter().product();
            self.buffers.push(Buffer {
                size,
                constant: Some(list),
            });
        }
        View::whole(buffer, shape)
    }

    fn draft(
        &mut self,
        kind: Kind,
        output: &View,
        inputs: &[&View],
        fields: Vec<u32>,
    ) -> &mut Draft {
        self.drafts.push(Draft {
            kind,
            output: output.into(),
            inputs: inputs.iter().map(|&view| view.into()).collect(),
            residual: None,
            fields,
            in_place: false,
        });
        let last = self.drafts.len() - 1;
        &mut self.drafts[last]
    }

    fn copy(&mut self, from: &View, to: &View) -> TractResult<()> {
        let mut fields = Vec::new();
        push_loops(&mut fields, &over([to, from]))?;
        self.draft(Kind::Copy, to, &[from], fields);
        Ok(())
    }

    /// The same values side by side, row-major.
    fn dense(&mut self, view: &View) -> TractResult<View> {
        if view.is_dense() {
            return Ok(view.clone());
        }
        if let Some(copy) = self.copies.get(view) {
            return Ok(copy.clone());
        }
        let copy = self.buffer(&view.shape());
        self.copy(view, &copy)?;
        self.copies.insert(view.clone(), copy.clone());
        Ok(copy)
    }

    /// What is kept for the gradient: a copy where it is a small part of its buffer, which would be kept as a whole.
    fn cropped(&mut self, view: &View) -> View {
        let buffer = &self.buffers[view.buffer];
        if buffer.constant.is_some() || 2 * view.volume() > buffer.size {
            return view.clone();
        }
        let copy = self.buffer_like(&view.shape(), view);
        match self.copy(view, &copy) {
            Ok(()) => copy,
            Err(_) => view.clone(),
        }
    }

    /// The number of a tensor of the file.
    fn named(&mut self, tensor: &str) -> u32 {
        let next = self.tensors.len() as u32;
        let number = *self.named.entry(tensor.into()).or_insert(next);
        if number == next {
            self.tensors.push(tensor.into());
        }
        number
    }

    /// The numbers of weights in a record of this kind, and of the window for which they are packed.
    fn weights(
        &mut self,
        kind: Kind,
        weights: &Weights,
        sums: usize,
        window: Option<&Window>,
    ) -> TractResult<Vec<u32>> {
        let name = self.named(&weights.tensor);
        if let Some(matrix) = &weights.blocks
            && !self.blocks.iter().any(|blocks| blocks[0] == name)
        {
            let sizes = [matrix.bits, matrix.block, matrix.row].map(number);
            let [bits, block, row] = sizes;
            let steps = self.named(&matrix.steps);
            let zeros = matrix.zeros.as_ref();
            let zeros = zeros.map_or(0, |zeros| 1 + self.named(zeros));
            self.blocks.push([name, bits?, block?, row?, steps, zeros]);
        }
        let scale = match &weights.scale {
            Numbers::These(values) if values.is_empty() => 0,
            scale => 1 + self.list(scale),
        };
        let bias = match &weights.bias {
            Numbers::These(values) if values.iter().all(|value| value.to_bits() == 0) => 0,
            bias => 1 + self.list(bias),
        };
        let mut fields = vec![name];
        push(
            &mut fields,
            [
                weights.start,
                weights.groups,
                sums,
                weights.inputs,
                weights.taps,
            ],
        )?;
        push(&mut fields, weights.strides)?;
        fields.extend([scale, bias]);
        if let Some(window) = window {
            push_window(&mut fields, window)?;
        }
        let record = [kind as u32].iter().chain(&fields).copied().collect();
        if self.packed.insert(record) {
            self.read += sums * weights.inputs * weights.taps;
        }
        Ok(fields)
    }
}
