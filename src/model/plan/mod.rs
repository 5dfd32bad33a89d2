//! lowered graphs ⇄ a plan in the ONNX file, so that loading does not prepare the model anew.
//!
//! A plan lists the operators of the forward and the backward graph; weights are named, not repeated.
//! It is JSON in the file's `metadata_props`, so that the file stays an ordinary ONNX model. A plan of
//! another version, for other inputs or layers, or with anything unsound in it is not used: the
//! graph of the file itself is then prepared.

mod file;
mod step;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::layer::Place;
use super::lower::{Arrangement, Constants, Filter, Product, Values};
use super::proto::MOST_ELEMENTS;
use crate::manifest::{Activation, Layout};

pub use file::File;
use step::{Numbers, Step, Weights};

/// Key of the plan in `metadata_props`.
pub const KEY: &str = "whylens.plan";

/// Raised with every change of what a plan means.
pub const VERSION: u32 = 1;

/// Constants of no more values are written out.
const MOST_WRITTEN: usize = 4096;

/// A model as it is run.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    version: u32,
    /// What the plan was made for.
    pub input: Vec<usize>,
    /// Axis order of the input.
    pub layout: Layout,
    /// Name of the output.
    pub output: String,
    /// Shape of the scores' tensor.
    pub scores: Vec<usize>,
    /// The softmax or sigmoid that is stepped over.
    pub activation: Option<Activation>,
    /// The layers that follow the scores in the outputs of `forward`.
    pub places: Vec<Place>,
    forward: Listing,
    backward: Option<Listing>,
}

/// Operators in order of computation, each with the numbers of those it reads.
#[derive(Serialize, Deserialize)]
struct Listing {
    steps: Vec<(Step, Vec<usize>)>,
    outputs: Vec<usize>,
}

/// A lowered graph and the constants that its kernels were packed of, by the names of the nodes.
pub struct Lowered {
    pub graph: TypedModel,
    pub constants: Constants,
}

impl Plan {
    /// Lists two lowered graphs; `file` is the ONNX file that they were made of, or one with the same
    /// weights.
    ///
    /// # Errors
    /// For operators and weights that cannot be listed.
    pub fn new(
        head: (Vec<usize>, Layout, String),
        (scores, activation, places): (Vec<usize>, Option<Activation>, Vec<Place>),
        forward: &Lowered,
        backward: Option<&Lowered>,
        file: &File,
    ) -> TractResult<Plan> {
        let (input, layout, output) = head;
        let writer = Writer::new(file);
        Ok(Plan {
            version: VERSION,
            input,
            layout,
            output,
            scores,
            activation,
            places,
            forward: writer.list(forward)?,
            backward: backward.map(|graph| writer.list(graph)).transpose()?,
        })
    }

    /// The plan of a file; none where there is none that can be read.
    pub fn find(file: &File) -> Option<Plan> {
        let plan: Plan = serde_json::from_str(file.notes.get(KEY)?).ok()?;
        (plan.version == VERSION).then_some(plan)
    }

    /// The text that is kept in the file.
    ///
    /// # Errors
    /// None that a plan can cause.
    pub fn text(&self) -> TractResult<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// The forward graph; without the layers and what the gradient needs unless `heatmap`.
    ///
    /// # Errors
    /// For a plan that does not fit the file.
    pub fn forward(&self, file: &File, heatmap: bool) -> TractResult<TypedModel> {
        let outputs = match heatmap {
            true => &self.forward.outputs[..],
            false => self.forward.outputs.get(..1).unwrap_or_default(),
        };
        let least = if heatmap { 1 + self.places.len() } else { 1 };
        ensure!(outputs.len() >= least, "outputs are missing");
        self.forward.graph(file, outputs)
    }

    /// The backward graph, if there is one.
    ///
    /// # Errors
    /// For a plan that does not fit the file.
    pub fn backward(&self, file: &File) -> TractResult<Option<TypedModel>> {
        let Some(listing) = &self.backward else {
            return Ok(None);
        };
        ensure!(
            listing.outputs.len() == self.places.len(),
            "gradients are missing"
        );
        listing.graph(file, &listing.outputs).map(Some)
    }
}

/// Finds the tensors of a file by their values.
struct Writer<'a> {
    names: HashMap<Vec<u32>, &'a str>,
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

impl<'a> Writer<'a> {
    fn new(file: &File<'a>) -> Writer<'a> {
        let mut sorted: Vec<_> = file.tensors.iter().collect();
        sorted.sort_by_key(|(name, _)| **name);
        let named = sorted.into_iter().rev().map(|(name, values)| {
            let mut all = vec![0.0; values.len()];
            values.read(0, &mut all);
            (bits(&all), *name)
        });
        Writer {
            names: named.collect(),
        }
    }

    fn name(&self, values: &[f32]) -> Option<String> {
        self.names.get(&bits(values)).map(|name| (*name).into())
    }

    /// The tensor that these weights are multiples of, with the factor of each output: that of a batch
    /// norm that was left in the file.
    fn scaled(&self, values: &[f32], arrangement: &Arrangement) -> Option<(String, Vec<f32>)> {
        let [out, across, deep] = arrangement.strides;
        let (inputs, taps) = (arrangement.inputs, arrangement.taps);
        if arrangement.reach()? > values.len() {
            return None;
        }
        let places = |output: usize| {
            let start = output * out;
            let rows = (0..inputs).map(move |input| start + input * across);
            rows.flat_map(move |row| (0..taps).map(move |tap| row + tap * deep))
        };
        let factor = |base: &[u32], output: usize| {
            let base = |at: usize| f32::from_bits(base[at]);
            let largest =
                places(output).max_by(|&a, &b| base(a).abs().total_cmp(&base(b).abs()))?;
            let factor = match base(largest) {
                0.0 => 0.0,
                value => values[largest] / value,
            };
            let near = 1e-6 * values[largest].abs();
            places(output)
                .all(|at| (values[at] - base(at) * factor).abs() <= near)
                .then_some(factor)
        };
        let mut alike: Vec<_> = self
            .names
            .iter()
            .filter(|(base, _)| base.len() == values.len())
            .collect();
        alike.sort_by_key(|(_, name)| **name);
        alike.into_iter().find_map(|(base, name)| {
            let factors = (0..arrangement.bias.len()).map(|output| factor(base, output));
            Some((name.to_string(), factors.collect::<Option<Vec<f32>>>()?))
        })
    }

    /// The tensor of which these weights are a part of every output's: those of one of the maps that were
    /// side by side before. With the place of the first, and the distance between outputs.
    fn part(&self, values: &[f32], arrangement: &Arrangement) -> Option<(String, [usize; 2])> {
        let outputs = arrangement.bias.len() / arrangement.groups;
        let row = arrangement.inputs * arrangement.taps;
        if !arrangement.in_rows() || arrangement.strides[0] != row || values.len() != outputs * row
        {
            return None;
        }
        let values = bits(values);
        let place = |base: &[u32]| {
            let whole = base.len() / outputs;
            if whole <= row || base.len() != whole * outputs {
                return None;
            }
            (0..=whole - row)
                .step_by(arrangement.taps)
                .find_map(|start| {
                    let rows = values.chunks_exact(row).zip(base.chunks_exact(whole));
                    let found = rows
                        .into_iter()
                        .all(|(part, all)| part == &all[start..start + row]);
                    found.then_some([start, whole])
                })
        };
        let mut all: Vec<_> = self.names.iter().collect();
        all.sort_by_key(|(_, name)| **name);
        all.into_iter()
            .find_map(|(base, name)| Some((name.to_string(), place(base)?)))
    }

    fn numbers(&self, values: &[f32]) -> TractResult<Numbers> {
        if values.len() > 8
            && let Some(name) = self.name(values)
        {
            return Ok(Numbers::Of(name));
        }
        ensure!(
            values.len() <= MOST_WRITTEN,
            "{} values are no weights of the file",
            values.len()
        );
        ensure!(
            values.iter().all(|value| value.is_finite()),
            "a constant is not finite"
        );
        Ok(Numbers::These(values.to_vec()))
    }

    fn weights(&self, constants: &Constants, node: &TypedNode) -> TractResult<Weights> {
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
        let (mut start, mut factors) = (0, Vec::new());
        let tensor = if let Some(name) = self.name(values) {
            name
        } else if let Some((name, place)) = self.part(values, arrangement) {
            [start, strides[0]] = place;
            name
        } else {
            let scaled = self.scaled(values, arrangement);
            let (name, scaled) = scaled.context("its weights are not those of the file")?;
            factors = scaled;
            name
        };
        let scale = match (scale.is_empty(), factors.is_empty()) {
            (_, true) => scale,
            (true, false) => &factors,
            (false, false) => &scale.iter().zip(&factors).map(|(a, b)| a * b).collect(),
        };
        Ok(Weights {
            tensor,
            start,
            groups,
            inputs,
            taps,
            strides,
            scale: self.numbers(scale)?,
            bias: self.numbers(bias)?,
        })
    }

    fn list(&self, lowered: &Lowered) -> TractResult<Listing> {
        let Lowered { graph, constants } = lowered;
        let mut numbers = HashMap::new();
        let mut steps = Vec::new();
        let sources = graph.inputs.iter().map(|input| input.node);
        let order = graph
            .eval_order()?
            .into_iter()
            .filter(|id| !graph.inputs.contains(&(*id).into()));
        for id in sources.chain(order) {
            let node = graph.node(id);
            let record = self.step(graph, constants, node);
            let step = record.with_context(|| format!("{node} cannot be kept in a plan"))?;
            let inputs = node.inputs.iter().map(|input| numbers[input]).collect();
            numbers.insert(OutletId::from(id), steps.len());
            steps.push((step, inputs));
        }
        let outputs = graph.outputs.iter().map(|output| numbers[output]).collect();
        Ok(Listing { steps, outputs })
    }

    fn step(
        &self,
        graph: &TypedModel,
        constants: &Constants,
        node: &TypedNode,
    ) -> TractResult<Step> {
        ensure!(
            node.outputs.len() == 1,
            "it has {} outputs",
            node.outputs.len()
        );
        if node.op_is::<TypedSource>() {
            let shape = &graph.outlet_fact(node.id.into())?.shape;
            return Ok(Step::Source(
                shape.as_concrete().context("of open shape")?.to_vec(),
            ));
        }
        if let Some(op) = node.op_as::<Const>() {
            let tensor = op.val();
            ensure!(
                tensor.datum_type() == f32::datum_type(),
                "it is {:?}",
                tensor.datum_type()
            );
            let values = self.numbers(tensor.try_as_plain_ram()?.as_slice::<f32>()?)?;
            let shape = tensor.shape().to_vec();
            return Ok(Step::Constant { shape, values });
        }
        if let Some(op) = node.op_as::<Product>() {
            return Ok(Step::Product {
                weights: self.weights(constants, node)?,
                patches: (&op.patches).into(),
                padding: op
                    .padding
                    .as_ref()
                    .map(|(channels, window)| (*channels, window.into())),
                activation: op.activation.into(),
                output: op.output.to_vec(),
            });
        }
        if let Some(op) = node.op_as::<Filter>() {
            return Ok(Step::Filter {
                weights: self.weights(constants, node)?,
                window: (&op.window).into(),
                activation: op.activation.into(),
                output: op.output.to_vec(),
            });
        }
        Step::of(node.op.as_ref())
    }
}

impl Listing {
    fn graph(&self, file: &File, outputs: &[usize]) -> TractResult<TypedModel> {
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
                step::product(&arrangement, (patches, padding), output, volumes[0])?;
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
            let window = step::filter(&arrangement, window, output, volumes[0])?;
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use prost::Message;
    use serde_json::{Value, json};

    use super::super::{Model, Options, store};
    use crate::manifest::{Manifest, Precision};
    use crate::preprocess::Tensor as Input;

    const HEATMAP: Options = Options {
        heatmap: true,
        layers: Vec::new(),
    };

    /// The golden models as they are kept in a model folder.
    fn golden() -> Vec<(String, Vec<u8>, Manifest)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models");
        let cases = fs::read(folder.join("cases.json")).unwrap();
        let cases: serde_json::Value = serde_json::from_slice(&cases).unwrap();
        let mut all = Vec::new();
        for case in cases["cases"].as_array().unwrap() {
            let name = case["model"].as_str().unwrap().to_string();
            let shape: Vec<u32> = serde_json::from_value(case["input"]["shape"].clone()).unwrap();
            let last = case["input"]["layout"] == "nhwc";
            let (channels, height, width) = match last {
                true => (shape[3], shape[1], shape[2]),
                false => (shape[1], shape[2], shape[3]),
            };
            let json = include_bytes!("../../../models/efficientnet-lite0/model.json");
            let (mut manifest, _) = Manifest::parse(json).unwrap();
            manifest.heatmap.layer = None;
            manifest.output.name = case["output"]["name"].as_str().unwrap().into();
            let input = &mut manifest.input;
            (input.width, input.height) = (width, height);
            if last {
                input.layout = crate::manifest::Layout::Nhwc;
            }
            if channels == 1 {
                input.channels = crate::manifest::Channels::Grey;
            }
            let onnx = fs::read(folder.join(&name)).unwrap();
            let kept = store::store(&onnx, &manifest, Precision::Fp16).unwrap();
            all.push((name, kept, manifest));
        }
        all
    }

    fn model(name: &str) -> (Vec<u8>, Manifest) {
        let found = golden().into_iter().find(|(found, ..)| found == name);
        let (_, kept, manifest) = found.unwrap();
        (kept, manifest)
    }

    fn noise(manifest: &Manifest) -> Input {
        let shape = manifest.input.shape().to_vec();
        let value = |i: usize| ((i * 7919) % 1000) as f32 / 500.0 - 1.0;
        let values = (0..shape.iter().product()).map(value).collect();
        Input { shape, values }
    }

    #[track_caller]
    fn agree(actual: &[f32], expected: &[f32], what: &str) {
        assert_eq!(actual.len(), expected.len(), "{what}");
        let largest = expected.iter().fold(1e-3f32, |most, e| most.max(e.abs()));
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() <= 1e-3 * largest, "{what}: {a}, expected {e}");
        }
    }

    #[test]
    fn a_plan_gives_what_the_graph_gives() {
        for (name, kept, manifest) in golden() {
            let onnx = store::prepare(&kept, &manifest).expect(&name);
            let input = noise(&manifest);
            let graph = Model::load(&kept, &manifest, &HEATMAP).unwrap();
            let plan = Model::planned(&onnx, &manifest, &HEATMAP).expect(&name);
            assert_eq!(plan.layers(), graph.layers(), "{name}");
            let (expected, actual) = (
                graph.forward(&input).unwrap(),
                plan.forward(&input).unwrap(),
            );
            agree(&actual.scores, &expected.scores, &name);
            agree(
                &actual.features[0].values,
                &expected.features[0].values,
                &name,
            );
            let gradient = |model: &Model, forward| model.gradients(forward, 1).unwrap().remove(0);
            let (expected, actual) = (gradient(&graph, &expected), gradient(&plan, &actual));
            agree(&actual.values, &expected.values, &name);
            let plain = Model::planned(&onnx, &manifest, &Options::default()).unwrap();
            let scores = plain.forward(&input).unwrap().scores;
            agree(&scores, &graph.forward(&input).unwrap().scores, &name);
        }
    }

    /// The plan of the file with another text.
    fn with_plan(onnx: &[u8], text: &str) -> Vec<u8> {
        let mut model = super::super::proto::read(onnx).unwrap();
        let mut notes = model.metadata_props.iter_mut();
        let note = notes.find(|note| note.key == super::KEY).unwrap();
        note.value = text.into();
        model.encode_to_vec()
    }

    #[test]
    fn hostile_plans_are_refused() {
        let (kept, manifest) = model("mobilenet-v2.onnx");
        let onnx = store::prepare(&kept, &manifest).unwrap();
        let file = super::File::read(&onnx);
        let plan: Value = serde_json::from_str(file.notes[super::KEY]).unwrap();
        let steps = plan["forward"]["steps"].as_array().unwrap();
        let first = |kind: &str| steps.iter().position(|step| !step[0][kind].is_null());
        let (product, filter) = (first("product").unwrap(), first("filter").unwrap());
        let (huge, most) = (1u64 << 40, u64::MAX);
        let at = |path: &str| -> String {
            let path = path.replace("PRODUCT", &format!("forward/steps/{product}/0/product"));
            format!(
                "/{}",
                path.replace("FILTER", &format!("forward/steps/{filter}/0/filter"))
            )
        };
        let reads = |count: usize| {
            let largest = file.tensors.iter().max_by_key(|(_, tensor)| tensor.len());
            let (name, tensor) = largest.unwrap();
            let constant = json!({"constant": {"shape": [tensor.len()], "values": name}});
            let from = steps.len();
            let mut steps = steps.clone();
            steps.extend((0..count).map(|_| json!([constant, []])));
            steps.push(json!([{"concat": 0}, (from..from + count).collect::<Vec<_>>()]));
            steps
        };
        let cases = [
            ("version", json!(super::VERSION + 1)),
            ("input", json!([1, 3, 1, 1])),
            ("input", json!([huge, huge, huge, huge])),
            ("scores", json!([1, 11])),
            ("places", json!([])),
            ("backward", Value::Null),
            ("forward/outputs", json!([])),
            ("forward/outputs/0", json!(most)),
            ("forward/outputs/1", json!(0)),
            ("forward/steps", json!([])),
            ("forward/steps/0/0/source", json!([huge, huge])),
            ("forward/steps/0/0/source", json!([1, 3, 0, 0])),
            ("forward/steps/1/1", json!([1])),
            ("forward/steps/1/1", json!([most])),
            ("forward/steps/1/1", json!([])),
            ("PRODUCT/weights/tensor", json!("nothing")),
            ("PRODUCT/weights/groups", json!(0)),
            ("PRODUCT/weights/groups", json!(huge)),
            ("PRODUCT/weights/inputs", json!(huge)),
            ("PRODUCT/weights/taps", json!(most)),
            ("PRODUCT/weights/strides", json!([most, most, most])),
            ("PRODUCT/weights/bias", json!([])),
            ("PRODUCT/weights/scale", json!([1.0])),
            ("PRODUCT/patches/output", json!([huge, huge])),
            ("PRODUCT/patches/row", json!(huge)),
            ("PRODUCT/patches/column", json!(most)),
            ("PRODUCT/patches/runs", json!([huge])),
            ("PRODUCT/patches/runs", json!([])),
            ("PRODUCT/patches/length", json!(most)),
            ("PRODUCT/output", json!([huge, huge])),
            ("PRODUCT/output", json!([])),
            ("FILTER/weights/tensor", json!("nothing")),
            ("FILTER/weights/taps", json!(huge)),
            ("FILTER/window/input", json!([huge, huge])),
            ("FILTER/window/output", json!([huge, huge])),
            ("FILTER/window/kernel", json!([most, most])),
            ("FILTER/window/kernel", json!([0, 0])),
            ("FILTER/window/stride", json!([most, most])),
            ("FILTER/window/dilation", json!([most, most])),
            ("FILTER/window/before", json!([most, most])),
            ("FILTER/output", json!([1, 1, 1, huge])),
        ];
        let mut texts = vec![
            ("nothing".to_string(), String::new()),
            ("no JSON".into(), "{".repeat(100)),
            ("nested deeply".into(), "[".repeat(1_000_000)),
        ];
        for (path, value) in cases {
            let mut plan = plan.clone();
            *plan.pointer_mut(&at(path)).expect(path) = value.clone();
            texts.push((format!("{path} {value}"), plan.to_string()));
        }
        for count in [3, 1000] {
            let mut plan = plan.clone();
            let steps = reads(count);
            let outputs = plan["forward"]["outputs"].as_array_mut().unwrap();
            outputs.push(json!(steps.len() - 1));
            plan["forward"]["steps"] = steps.into();
            texts.push((format!("a tensor read {count} times"), plan.to_string()));
        }
        assert!(
            Model::planned(&with_plan(&onnx, &plan.to_string()), &manifest, &HEATMAP).is_some()
        );
        let mut used = Vec::new();
        for (what, text) in texts {
            if let Some(model) = Model::planned(&with_plan(&onnx, &text), &manifest, &HEATMAP) {
                // Wrong it may be, but it must do no harm.
                let forward = model.forward(&noise(&manifest));
                let _ = forward.and_then(|forward| model.gradients(&forward, 0));
                used.push(what);
            }
        }
        assert_eq!(used, ["forward/outputs/1 0", "a tensor read 3 times"]);
    }

    /// Records that MobileNetV2 has none of.
    #[test]
    fn hostile_records_of_other_networks_are_refused() {
        let (huge, most) = (json!([1u64 << 40, 1u64 << 40]), u64::MAX);
        let window = [
            ("input", huge.clone()),
            ("input", json!([1, 1])),
            ("output", huge.clone()),
            ("output", json!([1, 1])),
            ("kernel", huge.clone()),
            ("kernel", json!([16384, 16384])),
            ("kernel", json!([1, 1])),
        ];
        let with = |prefix: &str| {
            window
                .clone()
                .map(|(field, value)| (format!("{prefix}{field}"), value))
        };
        let all = [
            // A convolution with a window, which may be multiplied by Winograd's way.
            ("resnet.onnx", "forward", "product", "padding", {
                let mut cases = with("product/padding/1/").to_vec();
                cases.push(("product/padding/0".into(), json!(1)));
                cases.push(("product/weights/start".into(), json!(most)));
                cases.push(("product/weights/start".into(), json!(1)));
                cases
            }),
            (
                "vgg.onnx",
                "backward",
                "unpool",
                "kernel",
                // Another kernel is wrong, but does no harm.
                with("unpool/")[..6].to_vec(),
            ),
            (
                "strided.onnx",
                "backward",
                "fold",
                "kernel",
                with("fold/")[..6].to_vec(),
            ),
            (
                "vit.onnx",
                "forward",
                "contract",
                "",
                vec![
                    ("contract".into(), json!([])),
                    ("contract".into(), json!([[most, most, most]])),
                    ("contract".into(), json!([[0, 0, 0], [0, 1, 1]])),
                    ("contract/0/0".into(), Value::Null),
                    ("contract/0".into(), json!([null, null, null])),
                ],
            ),
        ];
        for (name, graph, kind, field, cases) in all {
            let (kept, manifest) = model(name);
            let onnx = store::prepare(&kept, &manifest).unwrap();
            let file = super::File::read(&onnx);
            let plan: Value = serde_json::from_str(file.notes[super::KEY]).unwrap();
            let steps = plan[graph]["steps"].as_array().unwrap();
            let wanted = |step: &Value| {
                let record = &step[0][kind];
                !record.is_null() && (field.is_empty() || !record[field].is_null())
            };
            let step = steps.iter().rposition(wanted).expect(name);
            for (path, value) in cases {
                let mut plan = plan.clone();
                let record = &mut plan[graph]["steps"][step][0];
                let what = format!("{name}: {path} {value}");
                match path.rsplit_once('/') {
                    // May be left out where it is 0.
                    Some((at, "start")) => {
                        record.pointer_mut(&format!("/{at}")).unwrap()["start"] = value;
                    }
                    _ => *record.pointer_mut(&format!("/{path}")).expect(&what) = value,
                }
                let onnx = with_plan(&onnx, &plan.to_string());
                let used = Model::planned(&onnx, &manifest, &HEATMAP);
                assert!(used.is_none(), "{what}");
            }
        }
    }

    #[test]
    fn a_plan_that_is_not_sound_is_not_used() {
        let (kept, manifest) = model("mobilenet-v2.onnx");
        let onnx = store::prepare(&kept, &manifest).unwrap();
        let text = String::from_utf8_lossy(&onnx).into_owned();
        let start = text.find("{\"version\"").unwrap();
        let length = text[start..].len().min(20_000);
        let from = onnx
            .windows(10)
            .position(|w| w == b"{\"version\"".get(..10).unwrap())
            .unwrap();
        let mut used = 0;
        // Every digit of the plan in turn becomes another one: whatever is left must do no harm.
        let digits =
            (from..(from + length).min(onnx.len())).filter(|&at| onnx[at].is_ascii_digit());
        for at in digits.step_by(5) {
            for digit in *b"09" {
                let mut broken = onnx.clone();
                broken[at] = digit;
                if let Some(model) = Model::planned(&broken, &manifest, &HEATMAP) {
                    used += 1;
                    if used % 50 == 0 {
                        let forward = model.forward(&noise(&manifest));
                        let _ = forward.and_then(|forward| model.gradients(&forward, 0));
                    }
                }
            }
        }
        assert!(Model::planned(&kept, &manifest, &HEATMAP).is_none());
    }
}
