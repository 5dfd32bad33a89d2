//! listing → lowered graph, with every record checked, and what it needs counted before anything is taken.

use std::ops::RangeInclusive;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;

use super::kernel::{Depthwise, Window};
use super::ops::{Arrangement, Filter, Packed, Product, Values};
use super::record::{self, Numbers, Weights};
use super::step::Step;
use super::work::{self, Inputs, Run};
use super::{File, Listing};
use super::{MOST_AXES, MOST_EDGES, MOST_ELEMENTS};

/// A graph whose weights are still in the file.
pub struct Sketch<'a> {
    /// All of it but the weights.
    pub graph: TypedModel,
    unread: Vec<(usize, Unread<'a>)>,
    /// Bytes of the weights, packed.
    pub kept: u64,
    /// Bytes that it takes to pack them.
    pub moment: u64,
    order: Vec<usize>,
}

/// What a node needs of the file.
enum Unread<'a> {
    Constant(TVec<usize>, Given<'a>),
    Product(Arrangement, Values<'a>, Option<Window>),
    Filter(Arrangement, Values<'a>),
}

/// Values of a plan, or of a tensor of the file.
enum Given<'a> {
    These(Vec<f32>),
    Of(Values<'a>),
}

impl Given<'_> {
    fn len(&self) -> usize {
        match self {
            Given::These(values) => values.len(),
            Given::Of(values) => values.len(),
        }
    }

    fn read(self) -> Vec<f32> {
        match self {
            Given::These(values) => values,
            Given::Of(values) => {
                let mut all = vec![0.0; values.len()];
                values.read(0, &mut all);
                all
            }
        }
    }
}

impl Listing {
    /// Everything but the weights.
    ///
    /// # Errors
    /// For a listing that is not sound.
    pub fn sketch<'a>(&self, file: &File<'a>, outputs: &[usize]) -> TractResult<Sketch<'a>> {
        let mut sketch = Sketch {
            graph: TypedModel::default(),
            unread: Vec::new(),
            kept: 0,
            moment: 0,
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
                left = rest.context("it reads the file's tensors over and over")?;
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

/// Whether it computes with numbers, and not only moves them.
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

fn given<'a>(record: &Numbers, file: &File<'a>) -> TractResult<Given<'a>> {
    Ok(match record {
        Numbers::These(values) => Given::These(values.clone()),
        Numbers::Of(name) => Given::Of(tensor(name, file)?),
    })
}

fn tensor<'a>(name: &str, file: &File<'a>) -> TractResult<Values<'a>> {
    let values = file.tensors.get(name).copied();
    values.with_context(|| format!("there is no tensor `{name}`"))
}

fn weights<'a>(record: &Weights, file: &File<'a>) -> TractResult<(Arrangement, Values<'a>)> {
    let values = tensor(&record.tensor, file)?;
    let values = values
        .skip(record.start)
        .context("weights begin outside their tensor")?;
    let arrangement = Arrangement {
        groups: record.groups,
        inputs: record.inputs,
        taps: record.taps,
        strides: record.strides,
        scale: given(&record.scale, file)?.read(),
        bias: given(&record.bias, file)?.read(),
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
    Ok((arrangement, values))
}

/// Number of values; none of a shape that no sound plan has. No tensor is empty: the operators divide by
/// lengths.
fn volume(shape: &[usize]) -> Option<usize> {
    let volume = shape.iter().try_fold(1usize, |p, &n| p.checked_mul(n))?;
    let sound = shape.len() <= MOST_AXES && (1..=MOST_ELEMENTS).contains(&volume);
    sound.then_some(volume)
}

impl<'a> Sketch<'a> {
    /// What a run takes.
    ///
    /// # Errors
    /// Those of [`work::follow`].
    pub fn run(&self, whose: Inputs) -> crate::error::Result<Run> {
        work::follow(&self.graph, &self.order, whose)
    }

    /// Reads the weights.
    ///
    /// # Errors
    /// When the graph would be run in another order than the one that was followed.
    pub fn read(mut self) -> TractResult<Arc<TypedSimplePlan>> {
        for (node, unread) in self.unread {
            let node = self.graph.node_mut(node);
            match unread {
                Unread::Constant(shape, values) => {
                    let tensor = Tensor::from_shape(&shape, &values.read())?;
                    node.op = Box::new(Const::new(tensor.into_arc_tensor())?);
                }
                Unread::Product(arrangement, values, window) => {
                    let op = node.op_as_mut::<Product>().context("no product")?;
                    op.weights = arrangement.pack(values, window.as_ref());
                }
                Unread::Filter(arrangement, values) => {
                    let op = node.op_as_mut::<Filter>().context("no filter")?;
                    op.filter = arrangement.filter(values);
                }
            }
        }
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

    fn count(&mut self, [kept, moment]: [u64; 2], arrangement: &Arrangement) {
        self.kept = self.kept.saturating_add(kept);
        let numbers = arrangement.scale.len() + arrangement.bias.len();
        // Those of all are there from the beginning.
        self.moment = self.moment.max(moment).saturating_add(4 * numbers as u64);
    }

    fn add(
        &mut self,
        at: usize,
        step: &Step,
        inputs: &[OutletId],
        file: &File<'a>,
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
        let mut unread = None;
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
                self.kept = self.kept.saturating_add(bytes);
                self.moment = self.moment.max(bytes);
                let fact = f32::fact(shape);
                let empty = Const::new(Tensor::zero::<f32>(&[0])?.into_arc_tensor())?;
                let node = self.graph.add_node(name, empty, tvec!(fact))?;
                let shape = shape[..].into();
                self.unread.push((node, Unread::Constant(shape, values)));
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
                let (arrangement, values) = weights(record, file)?;
                let (patches, padding) =
                    record::product(&arrangement, (patches, padding), output, volumes[0])?;
                let window = padding.as_ref().map(|(_, window)| *window);
                self.count(
                    arrangement.bytes(values.len(), window.as_ref()),
                    &arrangement,
                );
                let winograd = arrangement.suits(window.as_ref());
                unread = Some(Unread::Product(arrangement, values, window));
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
                let (arrangement, values) = weights(record, file)?;
                let window = record::filter(&arrangement, window, output, volumes[0])?;
                let kept = Depthwise::bytes(arrangement.taps, arrangement.bias.len());
                self.count([kept, 4 * values.len() as u64], &arrangement);
                unread = Some(Unread::Filter(arrangement, values));
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
        // Not by `wire_node`, which compares each node with all others, and computes what is constant.
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
        self.unread.extend(unread.map(|unread| (node, unread)));
        Ok(node.into())
    }
}
