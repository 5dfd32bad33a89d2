//! model folder or ONNX file → its contents, on standard output.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use whylens::internal::{adapt, estimate, shrink};
use whylens::pack::{self, sources};
use whylens::{Candidate, Layer, Method};

use super::folder;
use super::given;
use super::pack::{PARTIAL, Reading};

/// Show what an ONNX file contains and whether it can be used
#[derive(Args)]
pub struct Arguments {
    /// Model folder, ONNX file, or the folder or zip that an exporter put it in
    model: PathBuf,
    #[command(flatten)]
    reading: Reading,
}

/// Prints the outline, then what compiling the model finds.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let path = &arguments.model;
    let mut options = arguments.reading.options()?;
    let mut found = None;
    let onnx = if given::is_model_folder(path) {
        let (manifest, _, _) = folder::manifest(path)?;
        let onnx = folder::weights(path, &manifest)?;
        options.layout = options.layout.or(Some(manifest.input.layout));
        options.channels = options.channels.or(Some(manifest.input.channels));
        options.size = options
            .size
            .or(Some((manifest.input.width, manifest.input.height)));
        options.output = options.output.or(Some(manifest.output.name));
        options.layer = options.layer.or(manifest.heatmap.layer);
        onnx
    } else {
        let given = given::read(path)?;
        let says = sources::find(&given.texts, &shrink::outline(&given.onnx)?)?;
        options = says.fill(&options);
        found = Some(says);
        given.onnx
    };
    let outline = shrink::outline(&onnx)?;
    println!("file        {} bytes, {}", onnx.len(), outline.producer);
    println!("opset       {}", outline.opset);
    println!("parameters  {}", outline.parameters);
    for (name, shape) in &outline.inputs {
        let axes: Vec<String> = shape
            .iter()
            .map(|length| length.map_or("?".into(), |length| length.to_string()))
            .collect();
        println!("input       `{name}` {}", axes.join("×"));
    }
    for name in &outline.outputs {
        println!("output      `{name}`");
    }
    let bytes = onnx.len() as u64;
    let operators: Vec<String> = outline
        .operators
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    println!("operators   {}", operators.join(", "));
    for (operator, node) in &outline.unsupported {
        println!("unsupported {operator} at `{node}`");
    }
    if let Some(found) = found.filter(|found| !found.facts.is_empty()) {
        println!("read        {}", found.told());
    }
    let found = match pack::inspect(onnx, &options) {
        Ok(found) => found,
        Err(error) => {
            println!("usable      no: {}: {error}", error.code());
            return Ok(ExitCode::FAILURE);
        }
    };
    println!("usable      yes: {} classes", found.classes);
    match found.heads.as_slice() {
        [only] => println!("scores      `{}`", only.name),
        several => println!(
            "scores      one of {}; name it with --output",
            adapt::list(several)
        ),
    }
    if let Some(activation) = found.activation {
        println!("ends in     {activation:?}, which is stepped over for scores and heatmaps");
    }
    let map = |layer: &Layer| {
        let (channels, height, width) = (layer.channels, layer.height, layer.width);
        format!("`{}` {channels}×{height}×{width}", layer.name)
    };
    for Candidate { layer, products } in &found.layers {
        let plural = if *products == 1 { "" } else { "s" };
        println!(
            "layer       {}, {products} product{plural} behind it",
            map(layer)
        );
    }
    if !found.whole {
        println!("layers      {PARTIAL}");
    }
    match (&found.no_gradients, &found.layer) {
        (None, Some(layer)) => println!("heatmaps    at {}", map(layer)),
        (Some((code, message)), _) => {
            let methods: Vec<String> = found.methods.iter().map(Method::to_string).collect();
            let methods = match methods.split_last() {
                Some((last, [])) => last.clone(),
                Some((last, others)) => format!("{} and {last}", others.join(", ")),
                None => String::new(),
            };
            println!("heatmaps    by {methods} only: {code}: {message}");
        }
        _ => println!("heatmaps    none"),
    }
    let mut manifest = found.manifest;
    manifest.weights.bytes = bytes;
    for (name, heatmap) in [("with", true), ("without", false)] {
        let bytes = estimate::estimate(&manifest, heatmap, 1);
        println!("memory      about {} MB {name} heatmaps", bytes / 1_000_000);
    }
    Ok(ExitCode::SUCCESS)
}
