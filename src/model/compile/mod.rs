//! ONNX → a model that can be run, or its plan.

pub mod adapt;
mod arrange;
mod barrier;
mod batch;
mod blocks;
mod bounds;
mod constants;
mod corrected;
pub mod cost;
mod express;
mod flow;
mod fused;
mod gradient;
mod grid;
mod layers;
pub mod lead;
mod limits;
mod links;
mod listed;
mod lower;
mod onnx;
pub mod ops;
pub mod outputs;
#[cfg(test)]
mod plan_tests;
mod proto;
mod quantised;
mod records;
pub mod rounded;
pub mod shrink;
mod simplify;
mod split;
mod weights;
pub mod work;
mod write;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use tract_onnx::prelude::*;

use self::work::Inputs;
use super::error::{contained, failed};
use super::graphs::{Tail, work};
use super::layer::Place;
use super::run::File;
use super::{Engine, Model, Options, check_memory};
use crate::error::{Error, Result};
use crate::manifest::{Activation, Manifest};
use write::Lowered;

/// A model whose graphs are ready to be optimised.
struct Draft {
    forward: TypedModel,
    backward: Option<Result<TypedModel>>,
    /// Image and layer → scores, for each layer.
    tails: Vec<TypedModel>,
    scores: Vec<usize>,
    places: Vec<Place>,
    activation: Option<Activation>,
}

impl Draft {
    fn new(onnx: Cow<[u8]>, manifest: &Manifest, options: &Options) -> Result<Draft> {
        let wanted: Vec<String> = match (options.heatmap, options.layers.is_empty()) {
            (false, _) => Vec::new(),
            (true, true) => manifest.heatmap.layer.iter().cloned().collect(),
            (true, false) => options.layers.clone(),
        };
        // Without options, the manifest names the layer.
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
            let place = layers::find(&graph, layout).and_then(|(name, outlet)| {
                let unsuited = |error: Error| Error::UnsupportedModel(error.to_string());
                let place = layers::place(&graph, outlet, name, layout).map_err(unsuited)?;
                Ok((place, outlet))
            });
            found = place.map(|(place, outlet)| {
                places.push(place);
                graph.outputs.push(outlet);
            });
        }
        for (name, &outlet) in wanted.into_iter().zip(&graph.outputs[1..]) {
            places.push(layers::place(&graph, outlet, name, layout).map_err(named)?);
        }
        barrier::insert(&mut graph).map_err(unusable)?;
        simplify::declutter(&mut graph).map_err(unusable)?;
        let mut graph = express::express(&graph).map_err(unusable)?;
        simplify::declutter(&mut graph).map_err(unusable)?;

        let (scores, maps) = (graph.outputs[0], graph.outputs[1..].to_vec());
        let gradients =
            (!maps.is_empty()).then(|| gradient::differentiate(&mut graph, scores, &maps));
        let gradients = found.and_then(|()| gradients.transpose());
        let appended = gradients.as_ref().ok().and_then(Option::as_ref);
        let halves = split::split(&graph, scores, &maps, appended).map_err(unusable)?;
        let image = graph.inputs[0];
        let tails = maps
            .iter()
            .map(|&map| split::tail(&graph, image, map, scores));
        let tails = tails.collect::<TractResult<_>>().map_err(unusable)?;
        let scores = shape(&graph, scores)?;
        let backward = match gradients {
            Err(error) => Some(Err(error)),
            Ok(_) => halves.backward.map(Ok),
        };
        Ok(Draft {
            forward: halves.forward,
            backward,
            tails,
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
        let follow = |graph: &TypedSimplePlan, whose| {
            work::follow(graph.model(), graph.order_without_consts(), whose)
        };
        let first = follow(&forward, Inputs::Given)?;
        let second = ready(&backward).map(|graph| follow(graph, Inputs::Lent));
        let work = work(&self.places, forward.model(), first, second.transpose()?);
        let tails = self.tails.into_iter();
        let tails = tails.map(|graph| Tail::new(graph, kernels)).collect();
        let (engine, explains) = Engine::graphs(forward, backward, tails);
        Ok(Model {
            engine,
            explains,
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

/// The text of a plan for an ONNX file, and what the file must hold for it; see [`shrink::with_plan`].
fn plan_text(onnx: &[u8], manifest: &Manifest) -> Result<(String, write::Beside)> {
    let options = Options {
        heatmap: true,
        ..Options::default()
    };
    let draft = Draft::new(onnx.into(), manifest, &options)?;
    let lowered = |graph: &TypedModel| -> TractResult<Lowered> {
        let mut constants = lower::Constants::new();
        let graph = quantised::spell_out(graph)?;
        let graph = lower::lower(&graph, Some(&mut constants))?;
        Ok(Lowered { graph, constants })
    };
    let unlisted = |error: TractError| Error::UnsupportedModel(format!("{error:#}"));
    let forward = lowered(&draft.forward).map_err(unlisted)?;
    // Without a gradient, a plan still classifies and maps by the methods that need none.
    let (backward, unexplained) = match draft.backward {
        Some(Err(error)) => (None, Some((error.code().into(), error.to_string()))),
        Some(Ok(graph)) => (Some(graph), None),
        None => (None, None),
    };
    let backward = backward
        .map(|graph| lowered(&graph))
        .transpose()
        .map_err(unlisted)?;
    let input = manifest.input.shape().to_vec();
    let head = (input, manifest.input.layout, manifest.output.name.clone());
    let tail = (draft.scores, draft.activation, draft.places, unexplained);
    let file = File::read(onnx);
    let matrices = blocks::matrices(onnx)?;
    write::plan(head, tail, &forward, backward.as_ref(), (&file, matrices))
        .and_then(|(plan, beside)| Ok((serde_json::to_string(&plan)?, beside)))
        .map_err(unlisted)
}

impl Model {
    /// A model by the graph in its file, with the kernels that are best on this machine.
    ///
    /// # Errors
    /// Those of [`Model::load`].
    pub(super) fn compiled(
        onnx: Cow<[u8]>,
        manifest: &Manifest,
        options: &Options,
    ) -> Result<Model> {
        let kernels = match cfg!(target_arch = "wasm32") {
            true => Kernels::Own,
            false => Kernels::Tract,
        };
        let model = contained(|| Draft::new(onnx, manifest, options)?.ready(kernels))?;
        check_memory(manifest, options, model.work, 0)?;
        Ok(model)
    }

    /// A model without a plan as a page runs it, on any machine.
    ///
    /// # Errors
    /// Those of [`Model::load`].
    pub fn in_a_page(onnx: &[u8], manifest: &Manifest, options: &Options) -> Result<Model> {
        Model::in_a_page_of(onnx.into(), manifest, options)
    }

    /// Like [`Model::in_a_page`]; an owned file is freed once it is read.
    pub(crate) fn in_a_page_of(
        onnx: Cow<[u8]>,
        manifest: &Manifest,
        options: &Options,
    ) -> Result<Model> {
        contained(|| Draft::new(onnx, manifest, options)?.ready(Kernels::Own))
    }

    /// A graph operator by operator, neither simplified nor explained: the reference for the other ways
    /// to run it.
    ///
    /// # Errors
    /// Those of [`Model::load`].
    pub fn as_given<'a>(onnx: impl Into<Cow<'a, [u8]>>, manifest: &Manifest) -> Result<Model> {
        Model::in_batches(onnx, manifest, 1)
    }

    /// [`Model::as_given`] for several photos at once; all their scores count as one photo's.
    ///
    /// # Errors
    /// Those of [`Model::load`].
    pub fn in_batches<'a>(
        onnx: impl Into<Cow<'a, [u8]>>,
        manifest: &Manifest,
        batch: usize,
    ) -> Result<Model> {
        contained(|| Model::kept(onnx::read(onnx.into(), manifest)?.typed(manifest, &[], batch)?))
    }

    fn kept(parsed: onnx::Parsed) -> Result<Model> {
        let onnx::Parsed {
            mut graph,
            activation,
        } = parsed;
        bounds::check_work(&graph)?;
        let scores = shape(&graph, graph.outputs[0])?;
        simplify::keep(&mut graph).map_err(unusable)?;
        let forward = work::runnable(graph).map_err(unusable)?;
        let order = forward.order_without_consts();
        let run = work::follow(forward.model(), order, Inputs::Given)?;
        let work = work(&[], forward.model(), run, None);
        let (engine, explains) = Engine::graphs(forward, None, Vec::new());
        Ok(Model {
            work,
            engine,
            explains,
            scores,
            layers: Vec::new(),
            places: Vec::new(),
            activation,
        })
    }
}

/// Whose kernels run a graph.
#[derive(Clone, Copy)]
pub(super) enum Kernels {
    /// Those of this crate.
    Own,
    /// tract's: natively, some use wider vectors.
    Tract,
}

/// A graph, differentiated or not → optimised and ready to run.
fn optimised(graph: TypedModel, kernels: Kernels) -> TractResult<Arc<TypedSimplePlan>> {
    let mut graph = match kernels {
        Kernels::Own => lower::lower(&graph, None)?,
        Kernels::Tract => graph,
    };
    simplify::declutter(&mut graph)?;
    simplify::optimise(&mut graph)?;
    work::runnable(graph)
}

impl Tail {
    fn new(graph: TypedModel, kernels: Kernels) -> Tail {
        Tail {
            graph,
            kernels,
            ready: OnceLock::new(),
        }
    }

    /// Ready to run.
    ///
    /// # Errors
    /// [`Error::UnsupportedModel`].
    pub(super) fn optimised(&self) -> Result<Arc<TypedSimplePlan>> {
        contained(|| optimised(self.graph.clone(), self.kernels).map_err(unusable))
    }
}

fn ready<T>(backward: &Option<Result<T>>) -> Option<&T> {
    backward.as_ref().and_then(|graph| graph.as_ref().ok())
}

fn unusable(error: TractError) -> Error {
    Error::UnsupportedModel(format!("the graph cannot be compiled: {error:#}"))
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
