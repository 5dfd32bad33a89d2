//! ONNX bytes → runnable model; tensor → scores + features (+ gradients). The only folder that
//! names tract.

mod bounds;
mod corrected;
mod cost;
mod flow;
mod gradient;
mod grid;
mod kernel;
mod layer;
mod lower;
mod onnx;
mod plan;
mod proto;
mod quantised;
mod seam;
mod simplify;
mod split;
pub mod store;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::*;

use bounds::{Inputs, Run};
use layer::Place;
use plan::{File, Lowered, Plan};

/// Version of the plans that are made and understood here; see [`store::prepare`].
pub const PLAN: u32 = plan::VERSION;

use crate::error::{Error, Result};
use crate::estimate;
use crate::manifest::{Activation, Manifest};
use crate::preprocess::Tensor as Input;

/// Classes whose gradients are looked at to tell whether a model has any.
const MOST_CHECKED: usize = 8;

/// How a model is made ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether heatmaps are wanted; without, no features are kept and no gradient is built.
    pub heatmap: bool,
    /// ONNX tensors to explain, in place of the manifest's; empty: the manifest's, or one
    /// that is found.
    pub layers: Vec<String>,
    /// Bytes that may be in use when it is loaded and run; none: as many as there are. On wasm32, those
    /// that are in use already count.
    pub memory: Option<u64>,
}

/// A model that is ready to run. Holds the only copy of the weights.
pub struct Model {
    forward: Arc<TypedSimplePlan>,
    /// Gives the gradients, or why there are none; absent without heatmaps.
    backward: Option<Result<Arc<TypedSimplePlan>>>,
    /// Shape of the scores' tensor.
    scores: Vec<usize>,
    layers: Vec<Layer>,
    places: Vec<Place>,
    activation: Option<Activation>,
    work: u64,
}

/// A spatial map inside the graph that heatmaps are taken at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Name of the ONNX tensor.
    pub name: String,
    /// Number of channels.
    pub channels: usize,
    /// Rows of the map.
    pub height: usize,
    /// Columns of the map.
    pub width: usize,
}

/// A layer that heatmaps can be taken at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// The layer.
    #[serde(flatten)]
    pub layer: Layer,
    /// How many matrix products and convolutions are computed from it.
    pub products: usize,
}

/// The layers that heatmaps can be taken at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidates {
    /// The latest of each size, the latest first.
    pub list: Vec<Candidate>,
    /// Whether everything that the scores know of the image has gone through each of them.
    pub whole: bool,
}

/// The values of one layer: channel, row, column, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureMap {
    /// Number of channels.
    pub channels: usize,
    /// Rows of the map.
    pub height: usize,
    /// Columns of the map.
    pub width: usize,
    /// `channels × height × width` values.
    pub values: Vec<f32>,
}

/// What one forward pass leaves behind: all that a gradient needs later.
pub struct Forward {
    /// One score a class, before softmax or sigmoid.
    pub scores: Vec<f32>,
    /// The activations of each of [`Model::layers`]; empty without heatmaps.
    pub features: Vec<FeatureMap>,
    /// What else the gradient needs.
    residuals: Vec<Arc<Tensor>>,
}

/// A model whose graphs are ready to be optimised.
struct Draft {
    forward: TypedModel,
    backward: Option<Result<TypedModel>>,
    scores: Vec<usize>,
    places: Vec<Place>,
    activation: Option<Activation>,
}

impl Draft {
    fn new(onnx: &[u8], manifest: &Manifest, options: &Options) -> Result<Draft> {
        let wanted: Vec<String> = match (options.heatmap, options.layers.is_empty()) {
            (false, _) => Vec::new(),
            (true, true) => manifest.heatmap.layer.iter().cloned().collect(),
            (true, false) => options.layers.clone(),
        };
        // Without options, it is the manifest that names the layer.
        let named = |error| match error {
            Error::BadOption(text) if options.layers.is_empty() => {
                Error::BadManifest(format!("model.json at `heatmap.layer`: {text}"))
            }
            error => error,
        };
        let onnx::Parsed {
            mut graph,
            activation,
        } = onnx::parse(onnx, manifest, &wanted).map_err(named)?;
        let layout = manifest.input.layout;
        let mut places = Vec::new();
        let mut found = Ok(());
        if options.heatmap && wanted.is_empty() {
            let place = layer::find(&graph, layout).and_then(|(name, outlet)| {
                let unsuited = |error: Error| Error::UnsupportedModel(error.to_string());
                let place = Place::of(&graph, outlet, name, layout).map_err(unsuited)?;
                Ok((place, outlet))
            });
            found = place.map(|(place, outlet)| {
                places.push(place);
                graph.outputs.push(outlet);
            });
        }
        for (name, &outlet) in wanted.into_iter().zip(&graph.outputs[1..]) {
            places.push(Place::of(&graph, outlet, name, layout).map_err(named)?);
        }
        seam::sew(&mut graph).map_err(unusable)?;
        simplify::declutter(&mut graph).map_err(unusable)?;

        let (scores, maps) = (graph.outputs[0], graph.outputs[1..].to_vec());
        let gradients =
            (!maps.is_empty()).then(|| gradient::differentiate(&mut graph, scores, &maps));
        let gradients = found.and_then(|()| gradients.transpose());
        let appended = gradients.as_ref().ok().and_then(Option::as_ref);
        let halves = split::split(&graph, scores, &maps, appended).map_err(unusable)?;
        let scores = shape(&graph, scores)?;
        let backward = match gradients {
            Err(error) => Some(Err(error)),
            Ok(_) => halves.backward.map(Ok),
        };
        Ok(Draft {
            forward: halves.forward,
            backward,
            scores,
            places,
            activation,
        })
    }

    fn ready(self, kernels: Kernels) -> Result<Model> {
        let optimised = |graph| optimised(graph, kernels).map_err(unusable);
        let halves = [Some(&self.forward), ready(&self.backward)];
        halves
            .into_iter()
            .flatten()
            .try_for_each(bounds::check_work)?;
        let forward = optimised(self.forward)?;
        let backward = match self.backward {
            Some(Ok(graph)) => Some(optimised(graph)),
            Some(Err(error)) => Some(Err(error)),
            None => None,
        };
        let follow = |plan: &TypedSimplePlan, whose| {
            bounds::run(plan.model(), plan.order_without_consts(), whose)
        };
        let first = follow(&forward, Inputs::Given)?;
        let second = ready(&backward).map(|plan| follow(plan, Inputs::Lent));
        let work = work(&self.places, forward.model(), first, second.transpose()?);
        Ok(Model {
            forward,
            backward,
            scores: self.scores,
            layers: self
                .places
                .iter()
                .map(|place| place.layer.clone())
                .collect(),
            places: self.places,
            activation: self.activation,
            work,
        })
    }
}

/// The text of a plan for an ONNX file, see [`store::prepare`].
fn plan_text(onnx: &[u8], manifest: &Manifest) -> Result<String> {
    let options = Options {
        heatmap: true,
        ..Options::default()
    };
    let draft = Draft::new(onnx, manifest, &options)?;
    let lowered = |graph: &TypedModel| -> TractResult<Lowered> {
        let mut constants = lower::Constants::new();
        let graph = lower::lower(graph, Some(&mut constants))?;
        Ok(Lowered { graph, constants })
    };
    let unlisted = |error: TractError| Error::UnsupportedModel(format!("{error:#}"));
    let forward = lowered(&draft.forward).map_err(unlisted)?;
    let backward = draft.backward.transpose()?;
    let backward = backward
        .map(|graph| lowered(&graph))
        .transpose()
        .map_err(unlisted)?;
    let input = manifest.input.shape().to_vec();
    let head = (input, manifest.input.layout, manifest.output.name.clone());
    let tail = (draft.scores, draft.activation, draft.places);
    let file = File::read(onnx);
    Plan::new(head, tail, &forward, backward.as_ref(), &file)
        .and_then(|plan| plan.text())
        .map_err(unlisted)
}

impl Model {
    /// Parses, checks and prepares an ONNX file.
    ///
    /// # Errors
    /// [`Error::NotAModel`], [`Error::Truncated`], [`Error::ExternalData`],
    /// [`Error::UnsupportedOperator`], [`Error::UnsupportedModel`], [`Error::BadManifest`] when the
    /// manifest does not fit the graph or names a layer that is not there, [`Error::BadOption`] where the
    /// options name it,
    /// [`Error::Unplanned`] without the feature `prepare`.
    pub fn load(onnx: &[u8], manifest: &Manifest, options: &Options) -> Result<Model> {
        // Natively, tract has kernels for wider vectors than those that a plan is made for.
        if cfg!(target_arch = "wasm32")
            && let Some(model) = Model::planned(onnx, manifest, options)?
        {
            return Ok(model);
        }
        if !cfg!(feature = "prepare") {
            return Err(Error::Unplanned(None));
        }
        let kernels = match cfg!(target_arch = "wasm32") {
            true => Kernels::Own,
            false => Kernels::Tract,
        };
        let model = contained(|| Draft::new(onnx, manifest, options)?.ready(kernels))?;
        check_memory(manifest, options, model.work)?;
        Ok(model)
    }

    /// As a page runs a model without a plan, whatever this machine has.
    ///
    /// # Errors
    /// Those of [`Model::load`].
    pub fn in_a_page(onnx: &[u8], manifest: &Manifest, options: &Options) -> Result<Model> {
        contained(|| Draft::new(onnx, manifest, options)?.ready(Kernels::Own))
    }

    /// A graph operator by operator, with nothing simplified and nothing to explain: what the other ways
    /// to run it are compared with.
    ///
    /// # Errors
    /// Those of [`Model::load`].
    pub fn as_given(onnx: &[u8], manifest: &Manifest) -> Result<Model> {
        contained(|| {
            let onnx::Parsed {
                mut graph,
                activation,
            } = onnx::parse(onnx, manifest, &[])?;
            bounds::check_work(&graph)?;
            let scores = shape(&graph, graph.outputs[0])?;
            simplify::keep(&mut graph).map_err(unusable)?;
            let forward = bounds::runnable(graph).map_err(unusable)?;
            let order = forward.order_without_consts();
            let run = bounds::run(forward.model(), order, Inputs::Given)?;
            Ok(Model {
                work: work(&[], forward.model(), run, None),
                forward,
                backward: None,
                scores,
                layers: Vec::new(),
                places: Vec::new(),
                activation,
            })
        })
    }

    /// A model by the plan in its file, without any preparation; none where there is no plan for this
    /// manifest and these options, or it is not sound.
    ///
    /// # Errors
    /// [`Error::OverMemoryLimit`] for one that needs more than `options.memory`, before any of it is taken.
    pub fn planned(onnx: &[u8], manifest: &Manifest, options: &Options) -> Result<Option<Model>> {
        let file = File::read(onnx);
        let Some(plan) = Plan::find(&file) else {
            return Ok(None);
        };
        let fits = plan.input == manifest.input.shape()
            && plan.layout == manifest.input.layout
            && plan.output == manifest.output.name
            && plan.places.iter().all(Place::is_sound);
        let names = || plan.places.iter().map(|place| &place.layer.name);
        let explains = match (options.heatmap, options.layers.is_empty()) {
            (false, _) => true,
            (true, true) => manifest
                .heatmap
                .layer
                .iter()
                .all(|layer| names().eq([layer])),
            (true, false) => names().eq(&options.layers),
        };
        if !fits || !explains || options.heatmap && plan.places.is_empty() {
            return Ok(None);
        }
        let Ok(halves) = plan.sketch(&file, options.heatmap) else {
            return Ok(None);
        };
        let places = if options.heatmap {
            plan.places
        } else {
            Vec::new()
        };
        let second = halves.backward.as_ref();
        let runs = halves.forward.run(Inputs::Given).and_then(|first| {
            let second = second.map(|second| second.run(Inputs::Lent));
            Ok((first, second.transpose()?))
        });
        let (first, second) = match runs {
            Ok(runs) => runs,
            Err(error @ Error::OverMemoryLimit(_)) => return Err(error),
            Err(_) => return Ok(None),
        };
        let work = work(&places, &halves.forward.graph, first, second);
        let [kept, moment] = halves.weights();
        check_memory(manifest, options, kept.saturating_add(work.max(moment)))?;
        let Ok(forward) = halves.forward.read() else {
            return Ok(None);
        };
        let backward = match halves.backward.map(plan::Sketch::read) {
            Some(Err(_)) => return Ok(None),
            Some(Ok(backward)) => Some(Ok(backward)),
            None => None,
        };
        Ok(Some(Model {
            work,
            forward,
            backward,
            scores: plan.scores,
            layers: places.iter().map(|place| place.layer.clone()).collect(),
            places,
            activation: plan.activation,
        }))
    }

    /// Runs the network on one input.
    ///
    /// # Errors
    /// [`Error::BadOption`] when the tensor has another shape than the graph's input.
    pub fn forward(&self, input: &Input) -> Result<Forward> {
        let tensor = Tensor::from_shape(&input.shape, &input.values).map_err(|error| {
            Error::BadOption(format!("the input tensor is not sound: {error:#}"))
        })?;
        let inputs = tvec!(tensor.into_tvalue());
        let mut outputs = contained(|| self.forward.run(inputs).map_err(failed))?;
        let residuals = outputs
            .drain(1 + self.layers.len()..)
            .map(TValue::into_arc_tensor)
            .collect();
        Ok(Forward {
            scores: floats(&outputs[0])?.to_vec(),
            features: self.maps(&outputs[1..])?,
            residuals,
        })
    }

    /// Gradient of the score of `class` with respect to the features of each layer.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a class that is not there, and those of [`Model::explainable`].
    pub fn gradients(&self, forward: &Forward, class: usize) -> Result<Vec<FeatureMap>> {
        let backward = self.backward()?;
        let mut cotangent = vec![0.0f32; self.classes()];
        let most = cotangent.len() - 1;
        *cotangent.get_mut(class).ok_or_else(|| {
            Error::BadOption(format!("class {class} is not there, expected 0 to {most}"))
        })? = 1.0;
        let cotangent = Tensor::from_shape(&self.scores, &cotangent).map_err(failed)?;
        let mut inputs = tvec!(cotangent.into_tvalue());
        inputs.extend(forward.residuals.iter().map(|r| r.clone().into_tvalue()));
        self.maps(&contained(|| backward.run(inputs).map_err(failed))?)
    }

    /// Whether the gradients of what [`Model::forward`] made of `input` tell anything: zero everywhere,
    /// for every class looked at, while the scores change with the image, they do not.
    ///
    /// # Errors
    /// [`Error::UnsupportedOperator`] when they tell nothing, and those of [`Model::gradients`].
    pub fn check_gradients(&self, input: &Input, forward: &Forward) -> Result<()> {
        for class in 0..self.classes().min(MOST_CHECKED) {
            let gradients = self.gradients(forward, class)?;
            if self
                .check_gradient(input, forward, class, &gradients)
                .is_ok()
            {
                return Ok(());
            }
        }
        Err(self.silent())
    }

    /// [`Model::check_gradients`] for one class, whose gradients are known.
    ///
    /// # Errors
    /// As there.
    pub fn check_gradient(
        &self,
        input: &Input,
        forward: &Forward,
        class: usize,
        gradients: &[FeatureMap],
    ) -> Result<()> {
        let told = |map: &FeatureMap| map.values.iter().any(|&value| value != 0.0);
        if gradients.iter().any(told) {
            return Ok(());
        }
        let blank = Input {
            shape: input.shape.clone(),
            values: vec![0.0; input.values.len()],
        };
        let other = self.forward(&blank)?.scores;
        match other.get(class) == forward.scores.get(class) {
            true => Ok(()),
            false => Err(self.silent()),
        }
    }

    fn silent(&self) -> Error {
        let names: Vec<_> = self
            .layers
            .iter()
            .map(|layer| layer.name.as_str())
            .collect();
        Error::UnsupportedOperator(format!(
            "the gradient at `{}` is zero everywhere, although the scores change with the photo; name another layer, or use the method eigencam or occlusion",
            names.join("`, `")
        ))
    }

    /// Whether there are gradients, and why not.
    ///
    /// # Errors
    /// [`Error::BadOption`] when the model was loaded without heatmaps,
    /// [`Error::UnsupportedOperator`] when an operator between the layer and the scores has no
    /// derivative here, or one that is zero everywhere; [`Error::UnsupportedModel`] when no layer was named
    /// and none was found.
    pub fn explainable(&self) -> Result<()> {
        self.backward().map(drop)
    }

    /// Whether the model was loaded with heatmaps.
    pub fn explains(&self) -> bool {
        self.backward.is_some()
    }

    fn backward(&self) -> Result<&Arc<TypedSimplePlan>> {
        match &self.backward {
            Some(backward) => backward.as_ref().map_err(Error::clone),
            None => Err(Error::BadOption(
                "the model was loaded without heatmaps; load it with `heatmap: true`".into(),
            )),
        }
    }

    fn maps(&self, tensors: &[TValue]) -> Result<Vec<FeatureMap>> {
        let maps = self.places.iter().zip(tensors);
        maps.map(|(place, tensor)| place.map(tensor).map_err(failed))
            .collect()
    }

    /// The layers that heatmaps are taken at; empty without heatmaps.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Bytes of the values that one run holds at once, at the most; weights are not among them.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.scores.iter().product()
    }

    /// The softmax or sigmoid that ends the graph itself and is stepped over: it is still to be
    /// applied to the scores, whatever the manifest says.
    pub fn activation(&self) -> Option<Activation> {
        self.activation
    }
}

/// Chooses the kernels that suit this machine by measuring them, in a few milliseconds; says whether
/// tiles for many vector registers are the faster ones. Until then, those for few are used.
pub fn tune() -> bool {
    let start = web_time::Instant::now();
    kernel::tune(8, || start.elapsed().as_secs_f64())
}

/// Whose kernels run a graph.
#[derive(Clone, Copy)]
enum Kernels {
    /// Those of this crate.
    Own,
    /// tract's: natively, it has some for wider vectors.
    Tract,
}

/// Differentiated or not: optimised and ready to run.
fn optimised(graph: TypedModel, kernels: Kernels) -> TractResult<Arc<TypedSimplePlan>> {
    let mut graph = match kernels {
        Kernels::Own => lower::lower(&graph, None)?,
        Kernels::Tract => graph,
    };
    simplify::declutter(&mut graph)?;
    simplify::optimise(&mut graph)?;
    bounds::runnable(graph)
}

fn ready<T>(backward: &Option<Result<T>>) -> Option<&T> {
    backward.as_ref().and_then(|graph| graph.as_ref().ok())
}

/// Bytes that are in use at once, at the most, from one photo to the next with its heatmap.
fn work(places: &[Place], forward: &TypedModel, first: Run, second: Option<Run>) -> u64 {
    let facts = forward.inputs.iter().chain(&forward.outputs[..1]);
    let sizes = facts.map(|&outlet| forward.outlet_fact(outlet).map_or(0, cost::bytes));
    let sizes: Vec<u64> = sizes.collect();
    let (input, scores) = (sizes[0], sizes.last().copied().unwrap_or(0));
    let sum = |all: &[u64]| all.iter().copied().fold(0, u64::saturating_add);
    let maps: Vec<u64> = places.iter().map(Place::bytes).collect();
    let (all, largest) = (sum(&maps), maps.iter().copied().max().unwrap_or(0));
    // A map is brought into the order of the tensor and then into that of the rows.
    let told = |run: Run| run.most.max(sum(&[run.outputs, all, largest]));
    let forward = sum(&[told(first), input, scores, scores]);
    let backward = second.map_or(0, |run| sum(&[told(run), scores, scores]));
    // Of the photo before, and, where a gradient tells nothing, that one too while another photo is looked at.
    let kept = sum(&[input, scores, first.outputs, all]);
    let most = sum(&[forward, input, all]).max(backward);
    sum(&[kept, most.max(sum(&[all, all, all]))])
}

/// Refuses a model that would take more than it may.
fn check_memory(manifest: &Manifest, options: &Options, needed: u64) -> Result<()> {
    #[cfg(target_arch = "wasm32")]
    let used = crate::memory::live() as u64;
    #[cfg(not(target_arch = "wasm32"))]
    let used = 0;
    match options.memory {
        Some(memory) => estimate::check_run(&manifest.name, needed, used, memory as f64),
        None => Ok(()),
    }
}

fn unusable(error: TractError) -> Error {
    Error::UnsupportedModel(format!("the graph cannot be prepared: {error:#}"))
}

/// Makes an error of a panic, in which graphs end that are unsound in a way that tract does not look
/// for. In WebAssembly it ends the worker, and the next call gets a new one.
fn contained<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        Err(Error::UnsupportedModel(format!(
            "the graph is broken: {}",
            text.unwrap_or("it cannot be run")
        )))
    })
}

fn shape(graph: &TypedModel, outlet: OutletId) -> Result<Vec<usize>> {
    let fact = graph.outlet_fact(outlet).map_err(failed)?;
    let shape = fact.shape.as_concrete().ok_or_else(|| {
        Error::UnsupportedModel(format!(
            "the shape {:?} is not known in advance",
            fact.shape
        ))
    })?;
    Ok(shape.to_vec())
}

fn floats(tensor: &Tensor) -> Result<&[f32]> {
    tensor
        .try_as_plain_ram()
        .and_then(|values| values.as_slice())
        .map_err(failed)
}

fn failed(error: TractError) -> Error {
    Error::UnsupportedModel(format!("the graph cannot be run: {error:#}"))
}
