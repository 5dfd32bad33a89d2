//! listing → lowered graph, with every record checked, and its needs counted before allocation.

use std::ops::RangeInclusive;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;

use super::File;
use super::file::Span;
use super::graphs::Listing;
use super::kernel::{Depthwise, Window};
use super::listed::{self, Weights};
use super::ops::{Arrangement, Filter, Packed, Product, Values};
use super::record::Numbers;
use super::step::Step;
use super::work::{self, Inputs, Run};
use super::{MOST_AXES, MOST_EDGES, MOST_ELEMENTS};

/// A graph whose weights are still in the file.
pub struct Sketch {
    /// All of it except the weights.
    pub graph: TypedModel,
    /// The weights to be read.
    pub unread: Vec<Unread>,
    order: Vec<usize>,
}

/// What a node needs from the file.
pub struct Unread {
    node: usize,
    /// Where in the file it ends; 0: it is in the plan.
    pub end: usize,
    /// Bytes that it takes permanently, and those that it takes meanwhile.
    pub bytes: [u64; 2],
    /// Bytes of what the plan says about it, which are taken from the start.
    pub told: u64,
    source: Source,
}

enum Source {
    Constant(TVec<usize>, Given),
    Product(Arrangement, Span, Option<Window>),
    Filter(Arrangement, Span),
}

/// Values of a plan, or of a tensor of the file.
enum Given {
    These(Vec<f32>),
    Of(Span),
}

impl Given {
    fn len(&self) -> usize {
        match self {
            Given::These(values) => values.len(),
            Given::Of(span) => span.len(),
        }
    }

    fn end(&self) -> usize {
        match self {
            Given::These(_) => 0,
            Given::Of(span) => span.bytes.end,
        }
    }

    fn read(self, onnx: &[u8]) -> Vec<f32> {
        match self {
            Given::These(values) => values,
            Given::Of(span) => {
                let mut all = vec![0.0; span.len()];
                span.values(onnx).read(0, &mut all);
                all
            }
        }
    }
}

impl Listing {
    /// Everything except the weights.
    ///
    /// # Errors
    /// For a listing that is not sound.
    pub fn sketch(&self, file: &File, outputs: &[usize]) -> TractResult<Sketch> {
        let mut sketch = Sketch {
            graph: TypedModel::default(),
            unread: Vec::new(),
            order: Vec::new(),
        };
        let mut outlets: Vec<OutletId> = Vec::new();
        let mut needed = vec![false; self.steps.len()];
        for &output in outputs {
            *needed.get_mut(output).context("an output is missing")? = true;
        }
        for (at, (step, inputs)) in self.steps.iter().enumerate().rev() {
            ensure!(
                arity(step).contains(&inputs.len()),
                "step {at} has {} inputs",
                inputs.len()
            );
            for &input in inputs {
                ensure!(input < at, "step {at} reads step {input}");
                needed[input] |= needed[at];
            }
        }
        // Each reading is a copy. A sound plan reads a tensor once, or twice where layers share it.
        let kept: usize = file.tensors.values().map(|tensor| tensor.len()).sum();
        let mut left = kept.saturating_mul(2);
        for (at, (step, inputs)) in self.steps.iter().enumerate() {
            for name in step.tensors().into_iter().filter(|_| needed[at]) {
                let rest = left.checked_sub(tensor(name, file)?.len());
                left = rest.context("it reads the file's tensors too often")?;
            }
            let inputs: TVec<OutletId> = inputs.iter().map(|&input| outlets[input]).collect();
            let wired = match needed[at] || matches!(step, Step::Source(_)) {
                true => sketch.add(at, step, &inputs, file),
                false => Ok(inputs.first().copied().unwrap_or(OutletId::new(0, 0))),
            };
            let outlet = wired.with_context(|| format!("step {at}"))?;
            outlets.push(outlet);
        }
        let outputs: Vec<OutletId> = outputs.iter().map(|&output| outlets[output]).collect();
        sketch.graph.select_output_outlets(&outputs)?;
        sketch.order = sketch.graph.eval_order()?;
        Ok(sketch)
    }
}

/// How many inputs a step has.
fn arity(step: &Step) -> RangeInclusive<usize> {
    match step {
        Step::Source(_) | Step::Constant { .. } => 0..=0,
        Step::Product { .. } => 1..=2,
        Step::Contract(_) | Step::Binary(_) | Step::Unpool(_) => 2..=2,
        Step::Choose => 3..=3,
        Step::Concat(_) => 1..=MOST_EDGES,
        _ => 1..=1,
    }
}

/// Whether it computes with numbers, rather than only moving them.
fn computes(step: &Step) -> bool {
    !matches!(
        step,
        Step::AddAxis(_)
            | Step::RemoveAxis(_)
            | Step::MoveAxis(..)
            | Step::Reshape(..)
            | Step::Choose
            | Step::TruthToNumber
            | Step::Fill(_)
            | Step::Concat(_)
            | Step::Slice(..)
            | Step::Downsample(..)
    )
}

fn given(record: &Numbers, file: &File) -> TractResult<Given> {
    Ok(match record {
        Numbers::These(values) => Given::These(values.clone()),
        Numbers::Of(name) => Given::Of(span(tensor(name, file)?, file)?),
    })
}

fn tensor<'a>(name: &str, file: &File<'a>) -> TractResult<Values<'a>> {
    let values = file.tensors.get(name).copied();
    values.with_context(|| format!("there is no tensor `{name}`"))
}

fn span(values: Values, file: &File) -> TractResult<Span> {
    Span::of(values, file.onnx).context("a tensor that is not in the file")
}

fn weights(record: &Weights, file: &File) -> TractResult<(Arrangement, Span)> {
    let values = tensor(&record.tensor, file)?;
    let values = values
        .skip(record.start)
        .context("weights begin outside their tensor")?;
    let arrangement = Arrangement {
        groups: record.groups,
        inputs: record.inputs,
        taps: record.taps,
        strides: record.strides,
        scale: given(&record.scale, file)?.read(file.onnx),
        bias: given(&record.bias, file)?.read(file.onnx),
    };
    let (sums, scale) = (arrangement.bias.len(), arrangement.scale.len());
    ensure!(
        scale == 0 || scale == sums,
        "{scale} factors for {sums} sums"
    );
    ensure!(
        arrangement.groups > 0 && sums.is_multiple_of(arrangement.groups),
        "{} groups for {sums} sums",
        arrangement.groups
    );
    let reach = arrangement.reach();
    ensure!(
        reach.is_some_and(|reach| reach <= values.len()),
        "weights reach outside their tensor"
    );
    Ok((arrangement, span(values, file)?))
}

/// Bytes of the lists of an arrangement.
fn numbers(arrangement: &Arrangement) -> u64 {
    4 * (arrangement.scale.len() + arrangement.bias.len()) as u64
}

/// Number of values; none for a shape that no sound plan has. No tensor is empty: the operators divide by
/// lengths.
fn volume(shape: &[usize]) -> Option<usize> {
    let volume = shape.iter().try_fold(1usize, |p, &n| p.checked_mul(n))?;
    let sound = shape.len() <= MOST_AXES && (1..=MOST_ELEMENTS).contains(&volume);
    sound.then_some(volume)
}

impl Sketch {
    /// What a run takes.
    ///
    /// # Errors
    /// Those of [`work::follow`].
    pub fn run(&self, whose: Inputs) -> crate::error::Result<Run> {
        work::follow(&self.graph, &self.order, whose)
    }

    /// Reads what a node needs.
    ///
    /// # Errors
    /// When the node is not of the kind that it was read for.
    pub fn read(&mut self, unread: Unread, onnx: &[u8]) -> TractResult<()> {
        let node = self.graph.node_mut(unread.node);
        match unread.source {
            Source::Constant(shape, values) => {
                let tensor = Tensor::from_shape(&shape, &values.read(onnx))?;
                node.op = Box::new(Const::new(tensor.into_arc_tensor())?);
            }
            Source::Product(arrangement, span, window) => {
                let op = node.op_as_mut::<Product>().context("no product")?;
                op.weights = arrangement.pack(span.values(onnx), window.as_ref());
            }
            Source::Filter(arrangement, span) => {
                let op = node.op_as_mut::<Filter>().context("no filter")?;
                op.filter = arrangement.filter(span.values(onnx));
            }
        }
        Ok(())
    }

    /// The graph, once everything is read.
    ///
    /// # Errors
    /// When it would not be run in the order that was followed.
    pub fn ready(self) -> TractResult<Arc<TypedSimplePlan>> {
        let runnable = work::runnable(self.graph)?;
        let model = runnable.model();
        let order = self.order.into_iter();
        let order = order.filter(|&id| !model.node(id).op_is::<Const>());
        ensure!(
            order.eq(runnable.order_without_consts().iter().copied()),
            "its nodes are computed in another order"
        );
        Ok(runnable)
    }

    fn add(
        &mut self,
        at: usize,
        step: &Step,
        inputs: &[OutletId],
        file: &File,
    ) -> TractResult<OutletId> {
        let name = at.to_string();
        let facts: TVec<TypedFact> = inputs
            .iter()
            .map(|&outlet| self.graph.outlet_fact(outlet).cloned())
            .collect::<TractResult<_>>()?;
        let shapes: Vec<TVec<usize>> = facts
            .iter()
            .map(|fact| Ok(fact.shape.as_concrete().context("of open shape")?.into()))
            .collect::<TractResult<_>>()?;
        let is_number = |fact: &TypedFact| fact.datum_type == f32::datum_type();
        ensure!(
            !computes(step) || facts.iter().all(is_number),
            "it computes with truth values"
        );
        let volumes: Vec<usize> = shapes.iter().map(|shape| shape.iter().product()).collect();
        let sound = |output: &[usize], residual: bool| {
            let volume = volume(output).context("an output of absurd size")?;
            let fits = match volumes[..] {
                [_] => true,
                [_, added] => residual && added == volume,
                _ => false,
            };
            ensure!(fits, "{} inputs that do not fit", volumes.len());
            Ok(())
        };
        let at = self.graph.nodes().len();
        let op: Box<dyn TypedOp> = match step {
            Step::Source(shape) => {
                ensure!(volume(shape).is_some(), "a source of absurd size");
                return self.graph.add_source(name, f32::fact(shape));
            }
            Step::Constant { shape, values } => {
                let values = given(values, file)?;
                ensure!(
                    volume(shape) == Some(values.len()),
                    "{} values for {shape:?}",
                    values.len()
                );
                let bytes = 4 * values.len() as u64;
                let fact = f32::fact(shape);
                let empty = Const::new(Tensor::zero::<f32>(&[0])?.into_arc_tensor())?;
                let node = self.graph.add_node(name, empty, tvec!(fact))?;
                self.unread.push(Unread {
                    node,
                    end: values.end(),
                    bytes: [bytes; 2],
                    told: 0,
                    source: Source::Constant(shape[..].into(), values),
                });
                return Ok(node.into());
            }
            Step::Product {
                weights: record,
                patches,
                padding,
                activation,
                output,
            } => {
                sound(output, true)?;
                let (arrangement, span) = weights(record, file)?;
                let (patches, padding) =
                    listed::product(&arrangement, (patches, padding), output, volumes[0])?;
                let window = padding.as_ref().map(|(_, window)| *window);
                let bytes = arrangement.bytes(span.len(), window.as_ref());
                let winograd = arrangement.suits(window.as_ref());
                self.unread.push(Unread {
                    node: at,
                    end: span.bytes.end,
                    bytes,
                    told: numbers(&arrangement),
                    source: Source::Product(arrangement, span, window),
                });
                Box::new(Product {
                    weights: Packed::Unread { winograd },
                    patches,
                    padding,
                    activation: activation.into(),
                    output: output[..].into(),
                })
            }
            Step::Filter {
                weights: record,
                window,
                activation,
                output,
            } => {
                sound(output, false)?;
                let (arrangement, span) = weights(record, file)?;
                let window = listed::filter(&arrangement, window, output, volumes[0])?;
                let kept = Depthwise::bytes(arrangement.taps, arrangement.bias.len());
                self.unread.push(Unread {
                    node: at,
                    end: span.bytes.end,
                    bytes: [kept, 4 * span.len() as u64],
                    told: numbers(&arrangement),
                    source: Source::Filter(arrangement, span),
                });
                Box::new(Filter {
                    filter: Arc::new(Depthwise::new(0, &[], |_, _| 0.0)),
                    window,
                    activation: activation.into(),
                    output: output[..].into(),
                })
            }
            Step::Largest {
                channels,
                window,
                output,
            } => {
                sound(output, false)?;
                Box::new(Step::largest(*channels, window, output, volumes[0])?)
            }
            other => {
                if let Step::Fill(shape) | Step::Reshape(_, _, shape) = other {
                    ensure!(volume(shape).is_some(), "an output of absurd size");
                }
                other.op(&shapes)?
            }
        };
        // Not by `wire_node`, which compares each node with all others and computes constants.
        let facts: TVec<TypedFact> = op.output_facts(&facts.iter().collect::<TVec<_>>())?;
        let [fact] = &facts[..] else {
            bail!("{} outputs", facts.len());
        };
        let shape = fact.shape.as_concrete().context("of open shape")?;
        ensure!(volume(shape).is_some(), "an output of absurd size");
        let node = self.graph.add_node(name, op, facts)?;
        for (slot, &input) in inputs.iter().enumerate() {
            self.graph.add_edge(input, InletId::new(node, slot))?;
        }
        Ok(node.into())
    }
}
