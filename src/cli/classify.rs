//! photos → predictions and heatmaps on standard output.

use std::fs::File;
use std::io::{BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use whylens::classifier::{Class, Classification, Heatmap, HeatmapQuery, Query, Reason, Size};
use whylens::decode::{self, Limits};
use whylens::heatmap::Method;
use whylens::manifest::Activation;
use whylens::model::Options;
use whylens::overlay::{Colormap, Style};
use whylens::rank::Prediction;
use whylens::{Classifier, Error};

use super::{folder, npy};

/// Classify photos
#[derive(Args)]
pub struct Arguments {
    /// Model folder, or its model.json
    model: PathBuf,
    /// Photos: JPEG, PNG, WebP, GIF, BMP, …
    #[arg(required_unless_present = "tensor")]
    images: Vec<PathBuf>,
    /// Most predictions given
    #[arg(long, value_name = "K", default_value_t = 5)]
    top_k: usize,
    /// Least probability of a prediction given
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    threshold: f32,
    /// Class the heatmap explains, by index or label [default: the most probable one]
    #[arg(long, value_name = "INDEX|LABEL")]
    class: Option<String>,
    /// How the heatmap is made [default: the first that works: gradcam, eigencam, occlusion]
    #[arg(long, value_name = "METHOD", value_parser = method)]
    method: Option<Method>,
    /// ONNX tensor the heatmap explains; several are averaged [default: the manifest's]
    #[arg(long, value_name = "TENSOR")]
    layer: Vec<String>,
    /// Write the photo with its heatmap; several photos: -NAME is put before the extension
    #[arg(long, value_name = "OUT.png")]
    heatmap: Option<PathBuf>,
    /// Most pixels of a photo
    #[arg(long, value_name = "N", default_value_t = Limits::default().pixels)]
    max_pixels: u64,
    /// One JSON object a line, heatmap included
    #[arg(long)]
    json: bool,
    /// Classify this input tensor (float32, in the model's layout) in place of photos
    #[arg(long, value_name = "IN.npy", conflicts_with_all = ["images", "heatmap"])]
    tensor: Option<PathBuf>,
    /// Write the scores of all classes, before softmax or sigmoid (float32)
    #[arg(long, value_name = "OUT.npy")]
    logits: Option<PathBuf>,
}

fn method(name: &str) -> Result<Method> {
    Ok(serde_json::from_value(json!(name))?)
}

/// Classifies each photo; one that cannot be read is reported, and the next one goes on. So is a heatmap
/// that cannot be made, which is a failure where it is asked for.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let asked = arguments.heatmap.is_some()
        || arguments.class.is_some()
        || arguments.method.is_some()
        || !arguments.layer.is_empty();
    let wanted = arguments.json || asked;
    let layers = arguments.layer.clone();
    let mut classifier = folder::load(
        &arguments.model,
        &Options {
            heatmap: wanted,
            layers,
            ..Options::default()
        },
    )?;
    if let (true, None, Err(error), [method, ..]) = (
        wanted,
        arguments.method,
        classifier.explainable(),
        &classifier.methods()[..],
    ) {
        eprintln!(
            "whylens: heatmaps are made by {method}: {error} [{}]",
            error.code()
        );
    }
    let class = arguments.class.as_ref().map(|class| match class.parse() {
        Ok(index) => Class::Index(index),
        Err(_) => Class::Label(class.clone()),
    });
    let heatmap = HeatmapQuery {
        class,
        method: arguments.method,
        layers: Vec::new(),
    };
    let query = Query {
        top_k: arguments.top_k,
        threshold: arguments.threshold,
        heatmap: wanted.then_some(heatmap),
    };
    let limits = Limits {
        pixels: arguments.max_pixels,
        ..Limits::default()
    };
    let several = arguments.images.len() > 1;
    let mut failed = false;
    for path in arguments.tensor.iter().chain(&arguments.images) {
        let file = path.display().to_string();
        let done = answer(
            &mut classifier,
            arguments.tensor.is_some(),
            path,
            &limits,
            &query,
        )
        .and_then(|result| {
            print(&file, &result, arguments.json)?;
            if let Some(Reason { code, message }) = &result.no_heatmap {
                failed |= asked;
                eprintln!("whylens: {file}: no heatmap: {message} [{code}]");
            }
            if let Some(out) = &arguments.logits {
                npy::write(&beside(out, path, several), classifier.scores())?;
            }
            if let (Some(out), Some(heatmap)) = (&arguments.heatmap, &result.heatmap) {
                draw(
                    &beside(out, path, several),
                    path,
                    &limits,
                    heatmap,
                    result.image,
                )?;
            }
            Ok(())
        });
        if let Err(error) = done {
            failed = true;
            let code = error.downcast_ref::<Error>().map_or("io", Error::code);
            eprintln!("whylens: {file}: {error:#} [{code}]");
            if arguments.json {
                let message = format!("{error:#}");
                println!(
                    "{}",
                    json!({ "file": file, "error": { "code": code, "message": message } })
                );
            }
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn answer(
    classifier: &mut Classifier,
    is_tensor: bool,
    path: &Path,
    limits: &Limits,
    query: &Query,
) -> Result<Classification> {
    let plain = Query {
        heatmap: None,
        ..query.clone()
    };
    let mut result = if is_tensor {
        let tensor = npy::read(&mut BufReader::new(File::open(path)?))?;
        classifier.classify_tensor(&tensor, &plain)?
    } else {
        classifier.classify(&std::fs::read(path)?, limits, &plain)?
    };
    explain(classifier, &mut result, path, query);
    Ok(result)
}

/// Writes the photo with its heatmap over it.
fn draw(out: &Path, path: &Path, limits: &Limits, heatmap: &Heatmap, size: Size) -> Result<()> {
    let image = decode::decode(&std::fs::read(path)?, limits)?;
    let style = Style {
        width: image.columns,
        height: image.rows,
        colormap: Colormap::default(),
        opacity: 0.7,
    };
    let overlay = Classifier::render(heatmap, size, &style)?;
    let mut rgb = image.rgb;
    for (under, over) in rgb.chunks_exact_mut(3).zip(overlay.chunks_exact(4)) {
        let alpha = u32::from(over[3]);
        for (under, &over) in under.iter_mut().zip(over) {
            *under =
                ((u32::from(over) * alpha + u32::from(*under) * (255 - alpha) + 127) / 255) as u8;
        }
    }
    image::save_buffer_with_format(
        out,
        &rgb,
        style.width,
        style.height,
        image::ColorType::Rgb8,
        image::ImageFormat::Png,
    )
    .with_context(|| format!("cannot write {}", out.display()))
}

/// Adds the heatmap, where one is wanted; what a slow method has done is shown on a terminal.
fn explain(classifier: &Classifier, result: &mut Classification, path: &Path, query: &Query) {
    let Some(query) = &query.heatmap else {
        return;
    };
    let (start, terminal) = (Instant::now(), std::io::stderr().is_terminal());
    let heatmap = classifier.heatmap_while(query, |done, of| {
        if terminal {
            eprint!("\r{}: heatmap {done} of {of}", path.display());
        }
        true
    });
    if terminal {
        eprint!("\r\x1b[K");
    }
    result.explained(heatmap, start.elapsed().as_secs_f64() * 1000.0);
}

fn print(file: &str, result: &Classification, json: bool) -> Result<()> {
    if json {
        let mut object = serde_json::to_value(result)?;
        object["file"] = file.into();
        println!("{object}");
        return Ok(());
    }
    println!("{file}");
    for Prediction {
        index,
        label,
        probability,
        score,
    } in &result.predictions
    {
        match result.model.activation {
            Activation::None => println!("{score:9.3}  {label} ({index})"),
            _ => println!("{:7.2} %  {label} ({index})", probability * 100.0),
        }
    }
    Ok(())
}

/// `out` itself for one photo, `out` with the photo's name before its extension for several.
fn beside(out: &Path, photo: &Path, several: bool) -> PathBuf {
    if !several {
        return out.to_path_buf();
    }
    let name = |path: &Path| {
        path.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let extension = out.extension().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!("{}-{}.{extension}", name(out), name(photo)))
}
