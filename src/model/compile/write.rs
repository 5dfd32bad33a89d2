//! lowered graphs → a plan.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::arrange::{Arranged, Entries, Entry, arrange};
use super::blocks::Matrix;
use super::listed::{Step, Weights};
use super::lower::Constants;
use crate::manifest::{Activation, Layout};
use crate::model::compile::ops::{Arrangement, Filter, Product, Values};
use crate::model::layer::Place;
use crate::model::run::record::Numbers;
use crate::model::run::steps::functions::Binary;
use crate::model::run::steps::record::{Plan, VERSION};
use crate::model::run::{File, MOST_STEPS, MOST_WRITTEN};

/// A lowered graph and the constants from which its kernels were packed, by the names of the nodes.
pub struct Lowered {
    pub graph: TypedModel,
    pub constants: Constants,
}

/// Numbers that a plan needs and the file does not hold, by the names under which they are to be stored.
pub type Beside = Vec<(String, Vec<f32>)>;

/// Shape of the scores, the activation that is stepped over, layers, and why there is no gradient.
type Head = (
    Vec<usize>,
    Option<Activation>,
    Vec<Place>,
    Option<(String, String)>,
);

/// How these names begin.
pub const BESIDE: &str = "whylens.plan.";

/// Arranges two lowered graphs; `file` is the ONNX file from which they were made, or one with the same
/// weights. Also returns what the file must hold besides: transposed, cut or multiplied weights.
///
/// # Errors
/// If an operator or a weight cannot be listed.
pub fn plan(
    (input, layout, output): (Vec<usize>, Layout, String),
    (scores, activation, places, unexplained): Head,
    forward: &Lowered,
    backward: Option<&Lowered>,
    (file, matrices): (&File, Vec<Matrix>),
) -> TractResult<(Plan, Beside)> {
    let writer = Writer::new(file, matrices);
    let forward = writer.entries(forward)?;
    let backward = backward.map(|graph| writer.entries(graph)).transpose()?;
    let Arranged {
        tensors,
        blocks,
        numbers,
        spaces,
        constants,
        forward,
        backward,
        read,
    } = arrange(&forward, backward.as_ref(), &places)?;
    let halves = [Some(&forward), backward.as_ref()].into_iter().flatten();
    let most = halves.map(|half| half.steps.len()).max().unwrap_or(0);
    ensure!(
        most <= MOST_STEPS,
        "{most} steps, at most {MOST_STEPS} are kept in a plan"
    );
    // Readers have the same limit: an unrolled loop would hold its weights in memory once for each step.
    let beside = writer.beside.into_inner();
    let kept = beside.iter().map(|(_, values)| values.len());
    let held = file.held() + kept.sum::<usize>();
    ensure!(
        read <= held.saturating_mul(2),
        "its weights are read too often"
    );
    let plan = Plan {
        version: VERSION,
        input,
        layout,
        output,
        scores,
        activation,
        places,
        tensors,
        blocks,
        numbers,
        spaces,
        constants,
        forward,
        backward,
        unexplained,
    };
    Ok((plan, beside))
}

/// The most bytes stored beside the weights: an eighth of theirs, or as much as suits a small file.
fn most_beside(file: &File) -> usize {
    let held: usize = file.tensors.values().map(Values::len).sum();
    (held / 2).max(1 << 18)
}

/// Finds the tensors of a file by their values, which are read from it each time: holding all of them would take as
/// much memory as the model.
pub struct Writer<'a> {
    file: &'a File<'a>,
    matrices: Vec<Matrix>,
    /// Sorted by name, so that a plan is the same each time.
    tensors: Vec<(&'a str, Values<'a>)>,
    /// Places in `tensors`, by the hash of the values.
    alike: HashMap<u64, Vec<usize>>,
    most: usize,
    beside: RefCell<Beside>,
}

/// Values that are read at a time.
const CHUNK: usize = 4096;

/// Passes the values of a tensor to `each`, some at a time, until it returns false.
fn read(tensor: &Values, mut each: impl FnMut(usize, &[f32]) -> bool) -> bool {
    let mut chunk = [0.0; CHUNK];
    (0..tensor.len()).step_by(CHUNK).all(|at| {
        let chunk = &mut chunk[..CHUNK.min(tensor.len() - at)];
        tensor.read(at, chunk);
        each(at, chunk)
    })
}

fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn hash(values: &[f32], hasher: &mut DefaultHasher) {
    values.iter().for_each(|value| value.to_bits().hash(hasher));
}

/// The values of a constant as FP32, if they are exact in it.
fn numbers(tensor: &Tensor) -> TractResult<Cow<'_, Tensor>> {
    let kind = tensor.datum_type();
    let numbers = tensor.cast_to::<f32>()?;
    let exact = |value: &f32| value.abs() <= (1 << f32::MANTISSA_DIGITS) as f32;
    let whole = kind == bool::datum_type() || kind.is_integer();
    let exact = whole
        && numbers
            .try_as_plain_ram()?
            .as_slice::<f32>()?
            .iter()
            .all(exact);
    ensure!(exact || kind == f32::datum_type(), "it is {kind:?}");
    Ok(numbers)
}

/// Whether each input has a row of outputs, as in MatMul.
fn in_columns(arrangement: &Arrangement) -> bool {
    let beside = [1, arrangement.bias.len()];
    arrangement.taps == 1 && arrangement.groups == 1 && arrangement.strides[..2] == beside
}

impl<'a> Writer<'a> {
    pub fn new(file: &'a File<'a>, matrices: Vec<Matrix>) -> Writer<'a> {
        let named = file.tensors.iter();
        let mut tensors: Vec<_> = named.map(|(name, values)| (*name, *values)).collect();
        tensors.sort_by_key(|(name, _)| *name);
        let mut alike: HashMap<u64, Vec<usize>> = HashMap::new();
        for (at, (_, tensor)) in tensors.iter().enumerate() {
            let mut hasher = DefaultHasher::new();
            read(tensor, |_, chunk| {
                hash(chunk, &mut hasher);
                true
            });
            alike.entry(hasher.finish()).or_default().push(at);
        }
        Writer {
            file,
            matrices,
            tensors,
            alike,
            most: most_beside(file),
            beside: RefCell::default(),
        }
    }

    fn name(&self, values: &[f32]) -> Option<String> {
        self.held(values).or_else(|| {
            let beside = self.beside.borrow();
            let mut kept = beside.iter();
            kept.find_map(|(name, kept)| same(kept, values).then(|| name.clone()))
        })
    }

    /// Stores numbers and returns their name; none if they are too many.
    fn keep(&self, values: &[f32]) -> Option<String> {
        let mut beside = self.beside.borrow_mut();
        let held: usize = beside.iter().map(|(_, kept)| kept.len()).sum();
        let fits = 4 * (held + values.len()) <= self.most;
        let sound = values.iter().all(|value| value.is_finite());
        (fits && sound).then(|| {
            let name = format!("{BESIDE}{}", beside.len());
            beside.push((name.clone(), values.to_vec()));
            name
        })
    }

    /// The tensor of the file with these values.
    fn held(&self, values: &[f32]) -> Option<String> {
        let mut hasher = DefaultHasher::new();
        hash(values, &mut hasher);
        let found = self.alike.get(&hasher.finish())?.iter();
        let mut found = found.map(|&at| &self.tensors[at]);
        let is_it = |tensor: &Values| {
            let part = |at: usize, chunk: &[f32]| same(chunk, &values[at..at + chunk.len()]);
            tensor.len() == values.len() && read(tensor, part)
        };
        let (name, _) = found.find(|(_, tensor)| is_it(tensor))?;
        Some((*name).into())
    }

    /// The tensor of which these weights are multiples, with the factor of each output, or of each input where
    /// `inputs`: that of a batch norm that was left in the file, or the steps of quantised weights.
    fn scaled(
        &self,
        values: &[f32],
        arrangement: &Arrangement,
        inputs: bool,
    ) -> Option<(String, Vec<f32>)> {
        let [mut one, mut across, deep] = arrangement.strides;
        let mut sizes = [arrangement.bias.len(), arrangement.inputs];
        if arrangement.reach()? > values.len() {
            return None;
        }
        if inputs {
            (one, across) = (across, one);
            sizes.reverse();
        }
        let [all, others] = sizes;
        let places = |at: usize| {
            let start = at * one;
            let rows = (0..others).map(move |other| start + other * across);
            rows.flat_map(move |row| (0..arrangement.taps).map(move |tap| row + tap * deep))
        };
        let factor = |base: &[f32], at: usize| {
            let base = |at: usize| base[at];
            let largest = places(at).max_by(|&a, &b| base(a).abs().total_cmp(&base(b).abs()))?;
            let factor = match base(largest) {
                0.0 => 0.0,
                value => values[largest] / value,
            };
            let near = 1e-6 * values[largest].abs();
            places(at)
                .all(|at| (values[at] - base(at) * factor).abs() <= near)
                .then_some(factor)
        };
        let mut base = vec![0.0; values.len()];
        let named = self.tensors.iter();
        let mut alike = named.filter(|(_, tensor)| tensor.len() == values.len());
        alike.find_map(|(name, tensor)| {
            tensor.read(0, &mut base);
            let factors = (0..all).map(|at| factor(&base, at));
            Some((name.to_string(), factors.collect::<Option<Vec<f32>>>()?))
        })
    }

    /// The tensor that holds these weights as a part of every output's: those of one of several maps that
    /// were side by side before. With the place of the first and the distance between outputs.
    fn part(&self, values: &[f32], arrangement: &Arrangement) -> Option<(String, [usize; 2])> {
        let outputs = arrangement.bias.len();
        let row = arrangement.inputs * arrangement.taps;
        let whole = arrangement.in_rows() && arrangement.strides[0] == row;
        if !whole || values.is_empty() || values.len() != outputs * row {
            return None;
        }
        let place = |tensor: &Values| {
            let whole = tensor.len() / outputs;
            if whole <= row || tensor.len() != whole * outputs {
                return None;
            }
            let mut first = vec![0.0; whole];
            tensor.read(0, &mut first);
            let mut part = vec![0.0; row];
            (0..=whole - row)
                .step_by(arrangement.taps)
                .filter(|&start| same(&first[start..start + row], &values[..row]))
                .find_map(|start| {
                    let found = values
                        .chunks_exact(row)
                        .enumerate()
                        .all(|(output, values)| {
                            tensor.read(output * whole + start, &mut part);
                            same(&part, values)
                        });
                    found.then_some([start, whole])
                })
        };
        let mut named = self.tensors.iter();
        named.find_map(|(name, tensor)| Some((name.to_string(), place(tensor)?)))
    }

    /// The tensor that holds these weights as consecutive outputs, or as in MatMul as consecutive inputs: those
    /// of one of several maps that were cut apart or side by side. With the place of the first.
    fn some(&self, values: &[f32], arrangement: &Arrangement) -> Option<(String, usize)> {
        let outputs = arrangement.bias.len();
        let mut row = arrangement.inputs * arrangement.taps;
        if row == 0 || values.len() != outputs * row {
            return None;
        }
        if in_columns(arrangement) {
            row = outputs;
        } else if !arrangement.in_rows() || arrangement.strides[0] != row {
            return None;
        }
        let mut part = vec![0.0; row];
        let mut named = self.tensors.iter();
        named.find_map(|(name, tensor)| {
            let last = tensor.len().checked_sub(values.len())?;
            let mut starts = (0..=last).step_by(row);
            let start = starts.find(|start| {
                let mut rows = values.chunks_exact(row).enumerate();
                rows.all(|(at, values)| {
                    tensor.read(start + at * row, &mut part);
                    same(&part, values)
                })
            })?;
            Some((name.to_string(), start))
        })
    }

    /// The tensor that holds these weights as some outputs of every input, as in MatMul. With the place of the
    /// first and the distance between inputs.
    fn columns(&self, values: &[f32], arrangement: &Arrangement) -> Option<(String, [usize; 2])> {
        let (outputs, inputs) = (arrangement.bias.len(), arrangement.inputs);
        let plain = in_columns(arrangement);
        if !plain || values.is_empty() || values.len() != inputs * outputs {
            return None;
        }
        let mut part = vec![0.0; outputs];
        let mut named = self.tensors.iter();
        named.find_map(|(name, tensor)| {
            let whole = tensor.len() / inputs;
            if whole <= outputs || tensor.len() != whole * inputs {
                return None;
            }
            let mut first = vec![0.0; whole];
            tensor.read(0, &mut first);
            let mut starts = 0..=whole - outputs;
            let start = starts.find(|&start| {
                same(&first[start..start + outputs], &values[..outputs])
                    && values
                        .chunks_exact(outputs)
                        .enumerate()
                        .all(|(input, values)| {
                            tensor.read(input * whole + start, &mut part);
                            same(&part, values)
                        })
            })?;
            Some((name.to_string(), [start, whole]))
        })
    }

    /// The matrix of few bits of which these weights are a part, where they begin and how far apart they lie.
    fn blocks(
        &self,
        values: &[f32],
        arrangement: &Arrangement,
    ) -> Option<(&Matrix, (usize, [usize; 3]))> {
        let mut matrices = self.matrices.iter();
        matrices.find_map(|matrix| Some((matrix, matrix.holds(values, arrangement, self.file)?)))
    }

    fn numbers(&self, values: &[f32]) -> TractResult<Numbers> {
        if values.len() > 8
            && let Some(name) = self.name(values)
        {
            return Ok(Numbers::Of(name));
        }
        if values.len() > MOST_WRITTEN {
            let name = self.keep(values);
            let count = values.len();
            let name = name.with_context(|| format!("{count} values are not weights of the file"));
            return Ok(Numbers::Of(name?));
        }
        ensure!(
            values.iter().all(|value| value.is_finite()),
            "a constant is not finite"
        );
        Ok(Numbers::These(values.to_vec()))
    }

    /// Weights of the file, and the factors of what they are multiplied with; empty: all 1.
    fn weights(&self, constants: &Constants, node: &TypedNode) -> TractResult<(Weights, Vec<f32>)> {
        let (tensor, arrangement) = constants
            .get(&node.name)
            .context("its weights are not known")?;
        let values = tensor.try_as_plain_ram()?.as_slice::<f32>()?;
        let Arrangement {
            groups,
            inputs,
            taps,
            mut strides,
            ref scale,
            ref bias,
        } = *arrangement;
        let (mut start, mut factors, mut before) = (0, Vec::new(), Vec::new());
        let mut blocks = None;
        let tensor = if let Some(name) = self.name(values) {
            name
        } else if let Some((name, place)) = self.part(values, arrangement) {
            [start, strides[0]] = place;
            name
        } else if let Some((name, place)) = self.some(values, arrangement) {
            start = place;
            name
        } else if let Some((name, place)) = self.columns(values, arrangement) {
            [start, strides[1]] = place;
            name
        } else if let Some((matrix, place)) = self.blocks(values, arrangement) {
            (start, strides) = place;
            blocks = Some(matrix.clone());
            matrix.numbers.clone()
        } else if let Some((name, scaled)) = self.scaled(values, arrangement, false) {
            factors = scaled;
            name
        } else if groups == 1
            && let Some((name, scaled)) = self.scaled(values, arrangement, true)
        {
            before = scaled;
            name
        } else {
            let name = self.keep(values);
            name.context("its weights are not those of the file")?
        };
        let scale = match (scale.is_empty(), factors.is_empty()) {
            (_, true) => scale,
            (true, false) => &factors,
            (false, false) => &scale.iter().zip(&factors).map(|(a, b)| a * b).collect(),
        };
        let weights = Weights {
            tensor,
            blocks,
            start,
            groups,
            inputs,
            taps,
            strides,
            scale: self.numbers(scale)?,
            bias: self.numbers(bias)?,
        };
        Ok((weights, before))
    }

    /// The operators of a lowered graph.
    ///
    /// # Errors
    /// If an operator or a weight has no record.
    pub fn entries(&self, lowered: &Lowered) -> TractResult<Entries> {
        let graph = &lowered.graph;
        let mut numbers = HashMap::new();
        let mut steps: Vec<Entry> = Vec::new();
        let sources = graph.inputs.iter().map(|input| input.node);
        let order = graph
            .eval_order()?
            .into_iter()
            .filter(|id| !graph.inputs.contains(&(*id).into()));
        for id in sources.chain(order) {
            let node = graph.node(id);
            let mut inputs: Vec<usize> = node.inputs.iter().map(|input| numbers[input]).collect();
            let record = self.step(graph, &lowered.constants, node);
            let record = record.and_then(|(step, before)| {
                if !before.is_empty() {
                    inputs[0] = self.multiplied(&mut steps, inputs[0], &before)?;
                }
                Ok(step)
            });
            let step = record.with_context(|| format!("{node} cannot be kept in a plan"))?;
            let shape = &graph.outlet_fact(id.into())?.shape;
            let shape = shape.as_concrete().context("of open shape")?.to_vec();
            numbers.insert(OutletId::from(id), steps.len());
            steps.push(Entry {
                step,
                inputs,
                shape,
            });
        }
        let outputs = graph.outputs.iter().map(|output| numbers[output]).collect();
        Ok(Entries { steps, outputs })
    }

    /// Appends the product of a tensor with a factor for each place along the axis stored last.
    fn multiplied(
        &self,
        steps: &mut Vec<Entry>,
        input: usize,
        factors: &[f32],
    ) -> TractResult<usize> {
        let shape = steps[input].shape.clone();
        let along = shape.last() == Some(&factors.len());
        ensure!(along, "its weights are not those of the file");
        let mut one = vec![1; shape.len()];
        one[shape.len() - 1] = factors.len();
        let values = self.numbers(factors)?;
        let factors = steps.len();
        steps.push(Entry {
            step: Step::Constant {
                shape: one.clone(),
                values,
            },
            inputs: Vec::new(),
            shape: one,
        });
        steps.push(Entry {
            step: Step::Binary(Binary::Mul),
            inputs: vec![input, factors],
            shape,
        });
        Ok(factors + 1)
    }

    /// The record of an operator, and the factors of its first input; none if they are all 1.
    fn step(
        &self,
        graph: &TypedModel,
        constants: &Constants,
        node: &TypedNode,
    ) -> TractResult<(Step, Vec<f32>)> {
        ensure!(
            node.outputs.len() == 1,
            "it has {} outputs",
            node.outputs.len()
        );
        if node.op_is::<TypedSource>() {
            let shape = &graph.outlet_fact(node.id.into())?.shape;
            let shape = shape.as_concrete().context("of open shape")?.to_vec();
            return Ok((Step::Source(shape), Vec::new()));
        }
        if let Some(op) = node.op_as::<Const>() {
            let tensor = op.val();
            let values = numbers(tensor)?;
            let values = self.numbers(values.try_as_plain_ram()?.as_slice::<f32>()?)?;
            let shape = tensor.shape().to_vec();
            return Ok((Step::Constant { shape, values }, Vec::new()));
        }
        if let Some(op) = node.op_as::<Product>() {
            let (weights, before) = self.weights(constants, node)?;
            let padding = op.padding.as_ref();
            let step = Step::Product {
                weights,
                patches: op.patches.clone(),
                padding: padding.map(|(channels, window)| (*channels, *window)),
                activation: op.activation,
                output: op.output.to_vec(),
            };
            return Ok((step, before));
        }
        if let Some(op) = node.op_as::<Filter>() {
            let (weights, before) = self.weights(constants, node)?;
            let step = Step::Filter {
                weights,
                window: op.window,
                activation: op.activation,
                output: op.output.to_vec(),
            };
            return Ok((step, before));
        }
        let first = node.inputs.first().context("it has no input")?;
        let step = Step::of(node.op.as_ref(), graph.outlet_fact(*first)?.datum_type)?;
        Ok((step, Vec::new()))
    }
}
