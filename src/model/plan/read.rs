//! listing → lowered graph, with every record checked.

use tract_onnx::tract_core::internal::*;

use super::super::lower::{Arrangement, Filter, Product, Values};
use super::super::proto::MOST_ELEMENTS;
use super::record::{self, Numbers, Weights};
use super::step::Step;
use super::{File, Listing};

impl Listing {
    pub fn graph(&self, file: &File, outputs: &[usize]) -> TractResult<TypedModel> {
        let mut graph = TypedModel::default();
        let mut outlets: Vec<OutletId> = Vec::new();
        let mut needed = vec![false; self.steps.len()];
        for &output in outputs {
            *needed.get_mut(output).context("an output is missing")? = true;
        }
        for (at, (_, inputs)) in self.steps.iter().enumerate().rev() {
            for &input in inputs {
                ensure!(input < at, "step {at} reads step {input}");
                needed[input] |= needed[at];
            }
        }
        // Each reading is a copy. A sound plan reads a tensor once, or twice where layers share it.
        let kept: usize = file.tensors.values().map(|tensor| tensor.len()).sum();
        let mut left = 2 * kept;
        for (at, (step, inputs)) in self.steps.iter().enumerate() {
            for name in step.tensors().into_iter().filter(|_| needed[at]) {
                let rest = left.checked_sub(tensor(name, file)?.len());
                left = rest.context("it reads the file's tensors over and over")?;
            }
            let inputs: TVec<OutletId> = inputs.iter().map(|&input| outlets[input]).collect();
            let wired = match needed[at] || matches!(step, Step::Source(_)) {
                true => add(&mut graph, at, step, &inputs, file),
                false => Ok(inputs.first().copied().unwrap_or(OutletId::new(0, 0))),
            };
            let outlet = wired.with_context(|| format!("step {at}"))?;
            outlets.push(outlet);
        }
        let outputs: Vec<OutletId> = outputs.iter().map(|&output| outlets[output]).collect();
        graph.select_output_outlets(&outputs)?;
        Ok(graph)
    }
}

fn numbers(record: &Numbers, file: &File) -> TractResult<Vec<f32>> {
    match record {
        Numbers::These(values) => Ok(values.clone()),
        Numbers::Of(name) => {
            let values = tensor(name, file)?;
            let mut all = vec![0.0; values.len()];
            values.read(0, &mut all);
            Ok(all)
        }
    }
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
        scale: numbers(&record.scale, file)?,
        bias: numbers(&record.bias, file)?,
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

fn add(
    graph: &mut TypedModel,
    at: usize,
    step: &Step,
    inputs: &[OutletId],
    file: &File,
) -> TractResult<OutletId> {
    let name = at.to_string();
    let shape = |outlet: OutletId| -> TractResult<TVec<usize>> {
        let fact = graph.outlet_fact(outlet)?;
        Ok(fact.shape.as_concrete().context("of open shape")?.into())
    };
    let shapes: Vec<TVec<usize>> = inputs
        .iter()
        .map(|&o| shape(o))
        .collect::<TractResult<_>>()?;
    let volumes: Vec<usize> = shapes.iter().map(|shape| shape.iter().product()).collect();
    let bounded = |shape: &[usize]| {
        let volume = shape.iter().try_fold(1usize, |p, &n| p.checked_mul(n));
        volume.is_some_and(|volume| volume <= MOST_ELEMENTS)
    };
    let sound = |output: &[usize], residual: bool| {
        ensure!(bounded(output), "an output of absurd size");
        let volume = output.iter().product::<usize>();
        let fits = match volumes[..] {
            [_] => true,
            [_, added] => residual && added == volume,
            _ => false,
        };
        ensure!(fits, "{} inputs that do not fit", volumes.len());
        Ok(())
    };
    let op: Box<dyn TypedOp> = match step {
        Step::Source(shape) => {
            ensure!(
                inputs.is_empty() && bounded(shape),
                "a source of absurd size"
            );
            return graph.add_source(name, f32::fact(shape));
        }
        Step::Constant { shape, values } => {
            let values = numbers(values, file)?;
            return graph.add_const(name, Tensor::from_shape(shape, &values)?);
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
            let window = padding.as_ref().map(|(_, window)| window);
            Box::new(Product {
                weights: arrangement.pack(values, window),
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
            Box::new(Filter {
                filter: arrangement.filter(values),
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
        other => other.op(&shapes)?,
    };
    let outlets = graph.wire_node(name, op, inputs)?;
    let fact = graph.outlet_fact(outlets[0])?;
    ensure!(
        fact.shape.as_concrete().is_some_and(bounded),
        "an output of absurd size"
    );
    Ok(outlets[0])
}
