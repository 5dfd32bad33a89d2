//! Models that tract runs: those without a plan.

use std::sync::{Arc, OnceLock};

use tract_onnx::prelude::*;

use super::compile::Kernels;
use super::compile::cost::bytes;
use super::compile::ops::floats;
use super::compile::work::Run;
use super::error::{contained, failed};
use super::layer::Place;
use super::{Engine, FeatureMap, Forward, Kept, Model};
use crate::error::{Error, Result};
use crate::preprocess::Tensor as Input;

/// Graphs as tract runs them.
pub(super) struct Graphs {
    forward: Arc<TypedSimplePlan>,
    /// Computes the gradients.
    backward: Option<Arc<TypedSimplePlan>>,
    tails: Vec<Tail>,
}

/// What is computed from a layer on: image and layer → scores. Made ready when it is first wanted.
pub(super) struct Tail {
    pub graph: TypedModel,
    pub kernels: Kernels,
    pub ready: OnceLock<Result<Arc<TypedSimplePlan>>>,
}

/// A run that stopped at a layer.
pub(super) struct Halfway {
    input: TValue,
    shape: Vec<usize>,
    layer: Vec<f32>,
}

/// What the second graph needs of the first.
pub(super) type Tensors = Vec<Arc<Tensor>>;

impl Engine {
    /// Of graphs, and whether they explain anything.
    pub(super) fn graphs(
        forward: Arc<TypedSimplePlan>,
        backward: Option<Result<Arc<TypedSimplePlan>>>,
        tails: Vec<Tail>,
    ) -> (Engine, Option<Result<()>>) {
        let explains = match &backward {
            Some(Err(error)) => Some(Err(error.clone())),
            Some(Ok(_)) => Some(Ok(())),
            None => None,
        };
        let backward = backward.and_then(Result::ok);
        let graphs = Graphs {
            forward,
            backward,
            tails,
        };
        (Engine::Graphs(graphs), explains)
    }
}

impl Model {
    pub(super) fn run_graph(&self, graphs: &Graphs, input: &Input) -> Result<Forward> {
        let tensor = Tensor::from_shape(&input.shape, &input.values).map_err(|error| {
            Error::BadOption(format!("the input tensor is not sound: {error:#}"))
        })?;
        let inputs = tvec!(tensor.into_tvalue());
        let mut outputs = contained(|| graphs.forward.run(inputs).map_err(failed))?;
        let residuals = outputs
            .drain(1 + self.layers.len()..)
            .map(TValue::into_arc_tensor)
            .collect();
        Ok(Forward {
            scores: floats(&outputs[0]).map_err(failed)?.to_vec(),
            features: self.maps(&outputs[1..])?,
            kept: Kept::Tensors(residuals),
        })
    }

    pub(super) fn pull(
        &self,
        graphs: &Graphs,
        kept: &Tensors,
        weights: &[f32],
    ) -> Result<Vec<FeatureMap>> {
        let Some(backward) = &graphs.backward else {
            return Err(Error::BadOption("a run without heatmaps".into()));
        };
        let cotangent = Tensor::from_shape(&self.scores, weights).map_err(failed)?;
        let mut inputs = tvec!(cotangent.into_tvalue());
        inputs.extend(kept.iter().map(|tensor| tensor.clone().into_tvalue()));
        self.maps(&contained(|| backward.run(inputs).map_err(failed))?)
    }

    pub(super) fn graph_until(
        &self,
        graphs: &Graphs,
        input: &Input,
        layer: usize,
    ) -> Result<Option<Halfway>> {
        let (Some(_), Some(place)) = (graphs.tails.get(layer), self.places.get(layer)) else {
            return Ok(None);
        };
        let tensor = Tensor::from_shape(&input.shape, &input.values).map_err(|error| {
            Error::BadOption(format!("the input tensor is not sound: {error:#}"))
        })?;
        let input = tensor.into_tvalue();
        let inputs = tvec!(input.clone());
        let outputs = contained(|| graphs.forward.run(inputs).map_err(failed))?;
        let full = outputs[1 + layer].broadcast_to_shape(&place.shape);
        Ok(Some(Halfway {
            input,
            shape: place.shape.clone(),
            layer: full
                .and_then(|full| floats(&full).map(<[f32]>::to_vec))
                .map_err(failed)?,
        }))
    }

    pub(super) fn graph_onwards(
        &self,
        graphs: &Graphs,
        layer: usize,
        halfway: &Halfway,
        values: impl Iterator<Item = usize>,
    ) -> Result<Vec<f32>> {
        let Some(tail) = graphs.tails.get(layer) else {
            return Err(Error::BadOption("a run of another model".into()));
        };
        let ready = tail.ready.get_or_init(|| tail.optimised());
        let mut changed = halfway.layer.clone();
        for at in values {
            changed[at] = 0.0;
        }
        let changed = Tensor::from_shape(&halfway.shape, &changed).map_err(failed)?;
        let inputs = tvec!(halfway.input.clone(), changed.into_tvalue());
        let ready = ready.as_ref().map_err(Error::clone)?;
        let outputs = contained(|| ready.run(inputs).map_err(failed))?;
        Ok(floats(&outputs[0]).map_err(failed)?.to_vec())
    }

    fn maps(&self, tensors: &[TValue]) -> Result<Vec<FeatureMap>> {
        let maps = self.places.iter().zip(tensors);
        maps.map(|(place, tensor)| place.map(tensor).map_err(failed))
            .collect()
    }
}

/// Most bytes in use at once, from one photo to the next with its heatmap.
pub(super) fn work(places: &[Place], forward: &TypedModel, first: Run, second: Option<Run>) -> u64 {
    let facts = forward.inputs.iter().chain(&forward.outputs[..1]);
    let sizes = facts.map(|&outlet| forward.outlet_fact(outlet).map_or(0, bytes));
    let sizes: Vec<u64> = sizes.collect();
    let (input, scores) = (sizes[0], sizes.last().copied().unwrap_or(0));
    let sum = |all: &[u64]| all.iter().copied().fold(0, u64::saturating_add);
    let maps: Vec<u64> = places.iter().map(Place::bytes).collect();
    let (all, largest) = (sum(&maps), maps.iter().copied().max().unwrap_or(0));
    // A map is brought into the tensor's order, and then into rows.
    let told = |run: Run| run.most.max(sum(&[run.outputs, all, largest]));
    let forward = sum(&[told(first), input, scores, scores]);
    let backward = second.map_or(0, |run| sum(&[told(run), scores, scores]));
    // Kept from the previous photo and, where a gradient explains nothing, from this one while another is
    // tried.
    let kept = sum(&[input, scores, first.outputs, all]);
    let most = sum(&[forward, input, all]).max(backward);
    sum(&[kept, most.max(sum(&[all, all, all]))])
}
