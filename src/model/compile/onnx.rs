//! ONNX bytes → typed graph with the wanted tensors as outputs.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use tract_onnx::Onnx;
use tract_onnx::pb::GraphProto;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_hir::infer::{Factoid, InferenceModel, InferenceModelExt};

use super::quantised::{self, composite};
use super::{bounds, corrected, limits, proto, weights};
use crate::error::{Error, Result};
use crate::manifest::{Activation, Manifest};

/// A graph read from ONNX.
pub struct Parsed {
    /// Its outputs are the scores, then the wanted layers. Outlets are labelled with ONNX names.
    pub graph: TypedModel,
    /// The softmax or sigmoid at the end of the file, which is left out.
    pub activation: Option<Activation>,
}

/// A graph as tract reads it, with its weights in FP32.
#[derive(Clone)]
pub struct Read {
    pub graph: InferenceModel,
    /// Names of quantised tensors that stand for numbers here.
    numbers: HashSet<String>,
    axes: HashMap<String, i64>,
    activation: Option<Activation>,
}

/// Parses ONNX into a graph whose outputs are the scores and then `layers`.
pub fn parse(onnx: Cow<[u8]>, manifest: &Manifest, layers: &[String]) -> Result<Parsed> {
    read(onnx, manifest)?.typed(manifest, layers, 1)
}

/// Reads ONNX; an owned file is freed first.
pub fn read(onnx: Cow<[u8]>, manifest: &Manifest) -> Result<Read> {
    let mut file = proto::read(&onnx)?;
    drop(onnx);
    let graph = file.graph.get_or_insert_default();
    let output = output(graph, manifest)?;
    let (scores, activation) = proto::scores(graph, &output);
    proto::prune(graph, &scores)?;
    limits::check_operators(graph)?;
    proto::widen(graph);
    let numbers = composite::expand(graph)?;
    let axes = proto::axes(graph);
    let large = weights::take(graph).map_err(unusable)?;
    let mut graph = engine().model_for_proto_model(&file).map_err(unusable)?;
    drop(file);
    weights::put(&mut graph, large).map_err(unusable)?;
    Ok(Read {
        graph,
        numbers,
        axes,
        activation,
    })
}

fn unusable(error: TractError) -> Error {
    Error::UnsupportedModel(format!("the graph cannot be compiled: {error:#}"))
}

impl Read {
    /// The graph for a batch of photos; its outputs are the scores and then `layers`.
    pub fn typed(self, manifest: &Manifest, layers: &[String], batch: usize) -> Result<Parsed> {
        let Read {
            mut graph,
            numbers,
            axes,
            activation,
        } = self;
        let inputs = graph.input_outlets().map_err(unusable)?.to_vec();
        let &[input] = inputs.as_slice() else {
            let names: Vec<_> = inputs.iter().map(|i| &graph.node(i.node).name).collect();
            return Err(Error::UnsupportedModel(format!(
                "the graph has the inputs {names:?}, expected only the image"
            )));
        };
        let mut shape = manifest.input.shape();
        shape[0] = batch;
        let declared = &graph.outlet_fact(input).map_err(unusable)?.shape;
        let fits = declared.dims().zip(&shape).all(|(dim, &wanted)| {
            dim.concretize()
                .and_then(|d| d.to_usize().ok())
                .is_none_or(|d| d == wanted)
        });
        if !fits || declared.rank().concretize().is_some_and(|rank| rank != 4) {
            return Err(Error::BadManifest(format!(
                "the graph's input has the shape {declared:?}, but `input` in model.json gives {shape:?}"
            )));
        }
        graph
            .set_input_fact(0, f32::fact(shape).into())
            .map_err(unusable)?;
        let mut outputs = graph.output_outlets().map_err(unusable)?.to_vec();
        for layer in layers {
            let whole = (*layer == manifest.input.name).then_some(input);
            let outlet = graph.find_outlet_label(layer).or(whole).ok_or_else(|| {
                Error::BadOption(format!(
                    "the graph has no tensor named `{layer}` that the scores depend on"
                ))
            })?;
            outputs.push(outlet);
        }
        graph.select_output_outlets(&outputs).map_err(unusable)?;
        bounds::analyse(&mut graph, &axes)?;
        let mut graph = graph.into_typed().map_err(unusable)?;
        let outputs = graph.outputs.clone();
        graph
            .outlet_labels
            .retain(|outlet, name| outputs.contains(outlet) || !numbers.contains(name));
        // A length that depends on values becomes a formula, and tract may take minutes to compare two of them.
        let mut outlets = graph
            .nodes
            .iter()
            .flat_map(|node| node.outputs.iter().map(move |o| (node, o)));
        if let Some((node, outlet)) = outlets.find(|(_, outlet)| !outlet.fact.shape.is_concrete()) {
            return Err(Error::UnsupportedModel(format!(
                "the shape {:?} of `{}` is not known in advance",
                outlet.fact.shape, node.name
            )));
        }
        Ok(Parsed { graph, activation })
    }
}

/// tract's reader, with the quantised operators of this crate.
pub fn engine() -> Onnx {
    let mut engine = tract_onnx::onnx();
    corrected::register(&mut engine.op_register);
    quantised::register(&mut engine.op_register);
    engine
}

/// The graph's output that the manifest names, or its only one.
pub fn output(graph: &GraphProto, manifest: &Manifest) -> Result<String> {
    let wanted = &manifest.output.name;
    let names: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    match names.as_slice() {
        &[only] => Ok(only.into()),
        names if names.contains(&wanted.as_str()) => Ok(wanted.clone()),
        names => Err(Error::BadManifest(format!(
            "the graph has the outputs {names:?}, but not `{wanted}`, which `output.name` gives"
        ))),
    }
}
