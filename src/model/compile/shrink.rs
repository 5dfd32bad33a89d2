//! ONNX → ONNX as stored in a model folder: one file, folded, with weights in FP16.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use prost::Message;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use serde::Serialize;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, tensor_shape_proto, type_proto,
};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_hir::infer::Factoid;

use super::lead::{Lead, lead};
use super::quantised::{self, composite};
use super::write::BESIDE;
use super::{bounds, constants, layers, limits, onnx, plan_text, proto};
use crate::error::{Error, Result};
use crate::manifest::{Manifest, Precision};
use crate::model::error::contained;
use crate::model::layer::Candidates;
use crate::model::run::steps::record::Plan;
use crate::model::run::{self, File};
use crate::sniff;

/// What a graph says about itself.
#[derive(Debug, Clone, Serialize)]
pub struct Outline {
    /// Name of the program that wrote the file.
    pub producer: String,
    /// Version of ONNX's standard operators.
    pub opset: i64,
    /// Inputs that are not weights: the name, and the length of each axis if it is fixed.
    pub inputs: Vec<(String, Vec<Option<usize>>)>,
    /// Names of the outputs.
    pub outputs: Vec<String>,
    /// Operator → how often it occurs.
    pub operators: BTreeMap<String, usize>,
    /// Operators that cannot be run, each with the name of its node.
    pub unsupported: Vec<(String, String)>,
    /// Number of weights.
    pub parameters: usize,
    /// Whether weights or values are quantised.
    pub quantised: bool,
    /// Whether values are quantised, and not only weights.
    #[serde(skip)]
    pub quantises_values: bool,
    /// Notes of the program that wrote the file, by their keys: ONNX's `metadata_props`.
    #[serde(skip)]
    pub notes: BTreeMap<String, String>,
    /// Whether the input takes the image as bytes, 0 to 255.
    #[serde(skip)]
    pub takes_bytes: bool,
    /// What the graph first does to the values of its first input.
    #[serde(skip)]
    pub lead: Option<Lead>,
}

/// Reads what a graph says about itself; weights in other files are ignored.
///
/// # Errors
/// [`Error::NotAModel`], [`Error::Truncated`].
pub fn outline(onnx: &[u8]) -> Result<Outline> {
    let model = proto::decode(onnx)?;
    let graph = model.graph.unwrap_or_default();
    let weights: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let mut inputs = Vec::new();
    let mut takes_bytes = false;
    for input in graph
        .input
        .iter()
        .filter(|i| !weights.contains(i.name.as_str()))
    {
        let tensor = match input.r#type.as_ref().and_then(|t| t.value.as_ref()) {
            Some(type_proto::Value::TensorType(tensor)) => tensor,
            None => continue,
        };
        let axes = tensor.shape.iter().flat_map(|shape| &shape.dim);
        let lengths = axes.map(|axis| match axis.value {
            Some(tensor_shape_proto::dimension::Value::DimValue(length)) => {
                usize::try_from(length).ok().filter(|&length| length > 0)
            }
            _ => None,
        });
        takes_bytes |= tensor.elem_type == DataType::Uint8 as i32;
        inputs.push((input.name.clone(), lengths.collect()));
    }
    let lead = inputs.first().and_then(|(name, _)| lead(&graph, name));
    let notes = model.metadata_props.iter();
    let notes = notes.filter(|note| note.key != run::KEY);
    let mut operators = BTreeMap::new();
    for node in &graph.node {
        *operators.entry(node.op_type.clone()).or_default() += 1;
    }
    let unsupported = limits::unsupported(&graph).into_iter();
    let standard = model.opset_import.iter().find(|o| o.domain.is_empty());
    let parameters = composite::parameters(&graph);
    Ok(Outline {
        producer: format!("{} {}", model.producer_name, model.producer_version)
            .trim()
            .into(),
        opset: standard.map_or(0, |o| o.version),
        inputs,
        outputs: graph.output.iter().map(|o| o.name.clone()).collect(),
        operators,
        unsupported: unsupported
            .map(|node| (node.op_type.clone(), limits::label(node).to_string()))
            .collect(),
        parameters: usize::try_from(parameters).unwrap_or(usize::MAX),
        quantised: composite::is_quantised(&graph),
        quantises_values: composite::quantises_values(&graph),
        notes: notes.map(|n| (n.key.clone(), n.value.clone())).collect(),
        takes_bytes,
        lead,
    })
}

/// The most bytes of weights for each byte of their files: some weights may share bytes.
const MOST_SHARED: usize = 4;

/// Merges weights from other files into the model. `read` returns the bytes of a file, named relative
/// to the model. None: the model holds all of its weights.
///
/// # Errors
/// [`Error::ExternalData`] if they are not where the model says; those of `read`.
pub fn merge(
    onnx: &[u8],
    read: &mut dyn FnMut(&str) -> Result<Vec<u8>>,
) -> Result<Option<Vec<u8>>> {
    // Without decoding, which takes as much memory again.
    if sniff::onnx(onnx, "the file").is_ok() {
        return Ok(None);
    }
    let mut model = proto::decode(onnx)?;
    let mut merged = false;
    let graph = model.graph.get_or_insert_default();
    let mut files: HashMap<String, Vec<u8>> = HashMap::new();
    let (mut stored, mut taken) = (0usize, 0usize);
    for tensor in &mut graph.initializer {
        if tensor.external_data.is_empty() && tensor.data_location != Some(1) {
            continue;
        }
        let entry = |key: &str| {
            let entry = tensor.external_data.iter().find(|e| e.key == key);
            entry.map(|entry| entry.value.as_str())
        };
        let place =
            |text: String| Error::ExternalData(format!("weights `{}`: {text}", tensor.name));
        let file = entry("location").ok_or_else(|| place("no file is named".into()))?;
        if file.starts_with('/') || file.contains(['\\', ':']) || file.split('/').any(|p| p == "..")
        {
            return Err(place(format!("`{file}` is not beside the model")));
        }
        if !files.contains_key(file) {
            let bytes = read(file)?;
            stored += bytes.len();
            files.insert(file.into(), bytes);
        }
        let bytes = &files[file];
        let number = |key: &str| entry(key).map(str::parse::<usize>).transpose();
        let range = number("offset").ok().zip(number("length").ok());
        let held = range.and_then(|(offset, length)| {
            let rest = bytes.get(offset.unwrap_or(0)..)?;
            length.map_or(Some(rest), |length| rest.get(..length))
        });
        let held = held.ok_or_else(|| {
            place(format!(
                "`{file}` has {} bytes, which does not reach",
                bytes.len()
            ))
        })?;
        taken = taken.saturating_add(held.len());
        if taken > stored.saturating_mul(MOST_SHARED) {
            return Err(place(format!(
                "too many weights share the same bytes of `{file}`; export the model again"
            )));
        }
        merged = true;
        tensor.raw_data = held.to_vec();
        tensor.external_data.clear();
        tensor.data_location = None;
    }
    drop(files);
    Ok(merged.then(|| model.encode_to_vec()))
}

/// The files in which a model keeps weights, as it names them.
///
/// # Errors
/// [`Error::NotAModel`], [`Error::Truncated`].
pub fn outside(onnx: &[u8]) -> Result<BTreeSet<String>> {
    let graph = proto::decode(onnx)?.graph.unwrap_or_default();
    let entries = graph.initializer.iter().flat_map(|t| &t.external_data);
    let named = entries.filter(|entry| entry.key == "location");
    Ok(named.map(|entry| entry.value.clone()).collect())
}

/// Folds constants, drops what the output does not need, fixes the input's shape, and stores matrices
/// and kernels in the wanted precision; FP16 is followed by a cast to FP32. Arithmetic becomes FP32.
///
/// # Errors
/// Those of [`Model::load`](crate::model::Model::load).
pub fn shrink<'a>(
    onnx: impl Into<Cow<'a, [u8]>>,
    manifest: &Manifest,
    precision: Precision,
) -> Result<Vec<u8>> {
    let mut model = folded(onnx.into(), manifest)?;
    if precision == Precision::Fp16 {
        model
            .graph
            .iter_mut()
            .for_each(|graph| halve(graph, &BTreeSet::new()));
    }
    Ok(model.encode_to_vec())
}

/// [`shrink`] in FP16, except for these matrices and kernels, which stay in FP32.
///
/// # Errors
/// Those of [`Model::load`](crate::model::Model::load).
pub fn shrink_but<'a>(
    onnx: impl Into<Cow<'a, [u8]>>,
    manifest: &Manifest,
    single: &BTreeSet<String>,
) -> Result<Vec<u8>> {
    let mut model = folded(onnx.into(), manifest)?;
    model
        .graph
        .iter_mut()
        .for_each(|graph| halve(graph, single));
    Ok(model.encode_to_vec())
}

fn folded(onnx: Cow<[u8]>, manifest: &Manifest) -> Result<ModelProto> {
    let mut model = proto::read(&onnx)?;
    drop(onnx);
    let graph = model.graph.get_or_insert_default();
    let output = onnx::output(graph, manifest)?;
    proto::prune(graph, &output)?;
    limits::check_operators(graph)?;
    proto::widen(graph);
    for tensor in &mut graph.initializer {
        proto::widen_tensor(tensor);
    }
    shape_input(graph, &manifest.input.shape());
    contained(|| fold(&mut model, &manifest.input.shape()))?;
    let graph = model.graph.get_or_insert_default();
    drop_identities(graph);
    quantised::centre(graph);
    proto::prune(graph, &output)?;
    for node in &mut graph.node {
        node.doc_string.clear();
    }
    model.doc_string.clear();
    model.metadata_props.clear();
    model.training_info.clear();
    model.functions.clear();
    Ok(model)
}

/// The file before a plan was added: a file planned twice is the same to the last byte.
fn without_plan(onnx: &[u8]) -> Result<Vec<u8>> {
    let mut kept = Vec::with_capacity(onnx.len());
    let (mut rest, mut graphs) = (onnx, 0);
    while !rest.is_empty() {
        let before = rest;
        let mut skip = || {
            let (tag, wire) = decode_key(&mut rest)?;
            skip_field(wire, tag, &mut rest, DecodeContext::default()).map(|()| tag)
        };
        let Ok(tag) = skip() else {
            // Damage is reported when the file is read.
            return Ok(onnx.to_vec());
        };
        let field = &before[..before.len() - rest.len()];
        let alone = run::File::read(field);
        graphs += usize::from(tag == 7);
        let mut names = alone.tensors.keys();
        let added = match tag {
            7 => graphs > 1 && names.all(|name| name.starts_with(BESIDE)),
            _ => alone.notes.contains_key(run::KEY),
        };
        if !added {
            kept.extend_from_slice(field);
        }
    }
    let left = run::File::read(&kept);
    if !left.tensors.keys().any(|name| name.starts_with(BESIDE)) {
        return Ok(kept);
    }
    // Another program has rewritten the file since.
    let mut model = proto::read(&kept)?;
    let graph = model.graph.get_or_insert_default();
    graph
        .initializer
        .retain(|tensor| !tensor.name.starts_with(BESIDE));
    Ok(model.encode_to_vec())
}

/// Adds the plan with which a page loads the model without compiling it, replacing an older one.
///
/// # Errors
/// Those of [`Model::load`](crate::model::Model::load); [`Error::UnsupportedModel`] names what cannot be planned: such
/// a model is compiled at every load.
pub fn with_plan(onnx: &[u8], manifest: &Manifest) -> Result<Vec<u8>> {
    let mut planned = without_plan(onnx)?;
    let plan = plan_of(&planned, manifest)?;
    planned.reserve_exact(plan.len());
    planned.extend(plan);
    read_back(&planned)?;
    Ok(planned)
}

/// Checks that the plan in a file can be used.
///
/// # Errors
/// [`Error::UnsupportedModel`] says why not.
pub fn read_back(planned: &[u8]) -> Result<()> {
    let file = File::read(planned);
    let read = match Plan::find(&file) {
        Some(plan) => plan.draft(&file, true).map(drop),
        None => Err("it is too long"),
    };
    read.map_err(|what| Error::UnsupportedModel(format!("the plan cannot be read back: {what}")))
}

/// What is appended to a file without a plan, so that it has one.
///
/// # Errors
/// Those of [`with_plan`].
pub fn plan_of(onnx: &[u8], manifest: &Manifest) -> Result<Vec<u8>> {
    let (value, beside) = contained(|| plan_text(onnx, manifest))?;
    let key = run::KEY.into();
    let kept = |(name, values): (String, Vec<f32>)| TensorProto {
        name,
        dims: vec![values.len() as i64],
        data_type: DataType::Float as i32,
        raw_data: values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        ..Default::default()
    };
    // Consecutive protobuf messages are merged when they are read.
    let note = ModelProto {
        graph: (!beside.is_empty()).then(|| GraphProto {
            initializer: beside.into_iter().map(kept).collect(),
            ..Default::default()
        }),
        metadata_props: vec![StringStringEntryProto { key, value }],
        ..Default::default()
    };
    Ok(note.encode_to_vec())
}

/// Whether the output holds the logarithms of probabilities.
///
/// # Errors
/// Those of [`Model::load`](crate::model::Model::load).
pub fn ends_in_logarithms(onnx: &[u8], manifest: &Manifest) -> Result<bool> {
    let file = proto::decode(onnx)?;
    let graph = file.graph.unwrap_or_default();
    let output = onnx::output(&graph, manifest)?;
    Ok(proto::end(&graph, &output).is_some_and(|node| node.op_type == "LogSoftmax"))
}

/// The layers at which heatmaps can be taken.
///
/// # Errors
/// Those of [`Model::load`](crate::model::Model::load).
pub fn layers<'a>(onnx: impl Into<Cow<'a, [u8]>>, manifest: &Manifest) -> Result<Candidates> {
    contained(|| {
        let graph = onnx::parse(onnx.into(), manifest, &[])?.graph;
        Ok(layers::candidates(&graph, manifest.input.layout))
    })
}

fn shape_input(graph: &mut GraphProto, shape: &[usize; 4]) {
    let weights: HashSet<String> = graph.initializer.iter().map(|t| t.name.clone()).collect();
    graph.input.retain(|input| !weights.contains(&input.name));
    for input in &mut graph.input {
        if let Some(type_proto::Value::TensorType(tensor)) =
            input.r#type.as_mut().and_then(|t| t.value.as_mut())
        {
            let dim = |&length: &usize| tensor_shape_proto::Dimension {
                value: Some(tensor_shape_proto::dimension::Value::DimValue(
                    length as i64,
                )),
                ..Default::default()
            };
            tensor.shape = Some(TensorShapeProto {
                dim: shape.iter().map(dim).collect(),
            });
        }
    }
}

/// Turns all tensors whose value does not depend on the image into initialisers.
fn fold(model: &mut ModelProto, shape: &[usize; 4]) -> Result<()> {
    let unusable = |error: TractError| {
        Error::UnsupportedModel(format!("the graph cannot be compiled: {error:#}"))
    };
    let mut apart = None;
    if model.graph.as_ref().is_some_and(composite::is_quantised) {
        let copy = apart.insert(model.clone());
        composite::expand(copy.graph.get_or_insert_default())?;
    }
    let readable = apart.as_ref().unwrap_or(model);
    let mut known = onnx::engine()
        .model_for_proto_model(readable)
        .map_err(unusable)?;
    drop(apart);
    known
        .set_input_fact(0, f32::fact(shape).into())
        .map_err(unusable)?;
    let axes = model.graph.as_ref().map(proto::axes).unwrap_or_default();
    bounds::analyse(&mut known, &axes)?;
    // Quantised weights stay as they are.
    let left = match model.graph.as_ref().is_some_and(composite::is_quantised) {
        true => HashMap::new(),
        false => constants::left(&known).map_err(unusable)?,
    };
    let graph = model.graph.get_or_insert_default();
    let outputs: HashSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    let mut made = Vec::new();
    let tensors = graph.initializer.iter();
    let mut kinds: HashMap<String, i32> = tensors.map(|t| (t.name.clone(), t.data_type)).collect();
    let mut small: HashSet<String> = HashSet::new();
    graph.node.retain_mut(|node| {
        let kind = |at: usize| node.input.get(at).and_then(|name| kinds.get(name));
        // Weights with few bits are smaller as they are, and exact; the same holds for rearrangements of them.
        let kept = match node.op_type.as_str() {
            "DequantizeLinear" => kind(0).is_some_and(|&kind| has_few_bits(kind)),
            operator => {
                ARRANGING.contains(&operator)
                    && node.input.first().is_some_and(|name| small.contains(name))
            }
        };
        if kept {
            small.extend(node.output.iter().cloned());
            return true;
        }
        let whole = (node.op_type == "QuantizeLinear").then(|| {
            let told = node.attribute.iter().find(|a| a.name == "output_dtype");
            let told = told.map(|told| told.i as i32).filter(|&told| told != 0);
            let kind = told.or_else(|| kind(2).copied());
            kind.unwrap_or(DataType::Uint8 as i32)
        });
        let held = node.attribute.iter_mut().find_map(|a| a.t.as_mut());
        let held = held.filter(|t| node.op_type == "Constant" && has_few_bits(t.data_type));
        let values: Option<Vec<TensorProto>> = match held {
            Some(tensor) => {
                let name = node.output.first().cloned().unwrap_or_default();
                let tensor = std::mem::take(tensor);
                Some(vec![TensorProto { name, ..tensor }])
            }
            None => (node.output.iter().filter(|name| !name.is_empty()))
                .map(|name| {
                    let outlet = known.find_outlet_label(name)?;
                    let value = known.outlet_fact(outlet).ok()?.value.concretize();
                    let mut value = value.or_else(|| left.get(&outlet).cloned())?;
                    if let Some(whole) = whole {
                        value = in_bytes(&value, whole)?;
                    }
                    initialiser(name, &value).filter(|_| !outputs.contains(name))
                })
                .collect(),
        };
        let folded = values.filter(|values| !values.is_empty());
        let keep = folded.is_none();
        for tensor in folded.into_iter().flatten() {
            kinds.insert(tensor.name.clone(), tensor.data_type);
            made.push(tensor);
        }
        keep
    });
    graph.initializer.extend(made);
    Ok(())
}

/// Operators whose output has no more values than their input.
const ARRANGING: [&str; 9] = [
    "Cast",
    "Flatten",
    "Identity",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// Whether a data type stands for steps and takes fewer bytes than FP32.
fn has_few_bits(kind: i32) -> bool {
    use DataType::*;
    [Uint4, Int4, Uint8, Int8, Uint16, Int16]
        .contains(&DataType::try_from(kind).unwrap_or(Undefined))
}

/// Whole numbers held as FP32 → the same in bytes of this data type.
fn in_bytes(value: &Tensor, kind: i32) -> Option<Arc<Tensor>> {
    let to = match DataType::try_from(kind).ok()? {
        DataType::Uint4 | DataType::Uint8 => u8::datum_type(),
        DataType::Int4 | DataType::Int8 => i8::datum_type(),
        _ => return None,
    };
    Some(value.cast_to_dt(to).ok()?.into_owned().into_arc_tensor())
}

fn initialiser(name: &str, value: &Tensor) -> Option<TensorProto> {
    let bytes = |value: &Tensor| -> Option<Vec<u8>> {
        let plain = value.try_as_plain_ram().ok()?;
        Some(match value.datum_type() {
            DatumType::F32 => plain
                .as_slice::<f32>()
                .ok()?
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect(),
            DatumType::I64 => plain
                .as_slice::<i64>()
                .ok()?
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect(),
            DatumType::I32 => plain
                .as_slice::<i32>()
                .ok()?
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect(),
            DatumType::I8 => plain
                .as_slice::<i8>()
                .ok()?
                .iter()
                .map(|&v| v as u8)
                .collect(),
            DatumType::U8 => plain.as_slice::<u8>().ok()?.to_vec(),
            DatumType::Bool => plain
                .as_slice::<bool>()
                .ok()?
                .iter()
                .map(|&v| v.into())
                .collect(),
            _ => return None,
        })
    };
    let (data_type, raw_data) = match value.datum_type() {
        DatumType::F32 => (DataType::Float, bytes(value)?),
        DatumType::I32 => (DataType::Int32, bytes(value)?),
        DatumType::I8 => (DataType::Int8, bytes(value)?),
        DatumType::U8 => (DataType::Uint8, bytes(value)?),
        DatumType::Bool => (DataType::Bool, bytes(value)?),
        // What tract computes as dimensions are shapes.
        _ => (
            DataType::Int64,
            bytes(value.cast_to::<i64>().ok()?.as_ref())?,
        ),
    };
    Some(TensorProto {
        name: name.into(),
        dims: value.shape().iter().map(|&length| length as i64).collect(),
        data_type: data_type as i32,
        raw_data,
        ..Default::default()
    })
}

fn drop_identities(graph: &mut GraphProto) {
    let outputs: HashSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    let mut renamed: HashMap<String, String> = HashMap::new();
    graph.node.retain_mut(|node| {
        for input in &mut node.input {
            if let Some(name) = renamed.get(input) {
                input.clone_from(name);
            }
        }
        let idle = matches!(node.op_type.as_str(), "Identity" | "Dropout")
            && node.output.iter().all(|name| !outputs.contains(name));
        if idle {
            renamed.insert(node.output[0].clone(), node.input[0].clone());
        }
        !idle
    });
}

/// Stores weights of two and more axes as FP16, except these and those that would overflow.
fn halve(graph: &mut GraphProto, single: &BTreeSet<String>) {
    let mut casts = Vec::new();
    for tensor in &mut graph.initializer {
        let fits = tensor.data_type == DataType::Float as i32 && tensor.dims.len() > 1;
        if !fits || single.contains(&tensor.name) {
            continue;
        }
        let bytes = tensor.raw_data.chunks_exact(4);
        let raw = bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let values = raw.chain(tensor.float_data.iter().copied());
        let halves: Vec<f16> = values.map(f16::from_f32).collect();
        if !halves.iter().all(|value| value.is_finite()) {
            continue;
        }
        let name = std::mem::take(&mut tensor.name);
        tensor.name = format!("{name}.fp16");
        tensor.raw_data = halves
            .iter()
            .flat_map(|v| v.to_bits().to_le_bytes())
            .collect();
        tensor.float_data.clear();
        tensor.data_type = DataType::Float16 as i32;
        casts.push(NodeProto {
            op_type: "Cast".into(),
            name: name.clone(),
            input: vec![tensor.name.clone()],
            output: vec![name],
            attribute: vec![AttributeProto {
                name: "to".into(),
                r#type: 2,
                i: DataType::Float as i64,
                ..Default::default()
            }],
            ..Default::default()
        });
    }
    graph.node.splice(0..0, casts);
}
