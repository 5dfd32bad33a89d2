//! ONNX file + labels → model folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::json;
use whylens::Error;
use whylens::manifest::{Activation, Channels, Filter, Layout, Precision, Resize};
use whylens::model::store;
use whylens::pack::{self, Options, Packed};

use super::folder::coded;

/// Make a model folder of an ONNX classifier
#[derive(Args)]
pub struct Arguments {
    /// The ONNX file, FP32 or FP16; weights in files beside it are brought in
    model: PathBuf,
    /// One label a line, in class order
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Name shown to people [default: the file's]
    #[arg(long)]
    name: Option<String>,
    /// Version of the model [default: 1]
    #[arg(long, value_name = "TEXT")]
    model_version: Option<String>,
    /// SPDX licence expression of the weights [default: unknown]
    #[arg(long)]
    license: Option<String>,
    /// Where the weights come from
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
    /// Sentence shown beside every result, such as that it is no diagnosis
    #[arg(long, value_name = "TEXT")]
    disclaimer: Option<String>,
    #[command(flatten)]
    reading: Reading,
    /// How weights are stored [default: fp16 where the answers stay the same, fp32 otherwise]
    #[arg(long, value_name = "fp16|fp32", value_parser = word::<Precision>)]
    precision: Option<Precision>,
}

/// What the graph itself does not tell. Values = (pixel × scale − mean) / std.
#[derive(Args)]
pub struct Reading {
    /// Axis order of the input [default: read from the graph]
    #[arg(long, value_name = "nchw|nhwc", value_parser = word::<Layout>)]
    layout: Option<Layout>,
    /// Colours of the input [default: rgb, or grey for one channel]
    #[arg(long, value_name = "rgb|bgr|grey", value_parser = word::<Channels>)]
    channels: Option<Channels>,
    /// Width and height of the input, where the graph leaves them open
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(u32, u32)>,
    /// How a photo is brought to size: shorter-side:256, exact or fit
    #[arg(long, value_name = "MODE[:SIZE]")]
    resize: Option<String>,
    /// Resampling filter [default: bilinear]
    #[arg(long, value_name = "nearest|box|bilinear|bicubic|lanczos", value_parser = word::<Filter>)]
    filter: Option<Filter>,
    /// Factor applied to pixels (0 to 255) first [default: 1/255]
    #[arg(long, value_name = "FACTOR", value_parser = number)]
    scale: Option<f64>,
    /// Subtracted after scaling: one value, or one a channel
    #[arg(
        long,
        value_name = "M[,M,M]",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    mean: Option<Vec<f64>>,
    /// Divided by last: one value, or one a channel
    #[arg(long, value_name = "S[,S,S]", value_delimiter = ',')]
    std: Option<Vec<f64>>,
    /// What makes probabilities of the graph's output [default: nothing where the graph ends in a softmax or
    /// sigmoid, sigmoid for one class, softmax otherwise]
    #[arg(long, value_name = "softmax|sigmoid|none", value_parser = word::<Activation>)]
    activation: Option<Activation>,
    /// Name of the output with the scores, where there are several
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
    /// ONNX tensor that heatmaps are taken at [default: the first that `inspect` lists]
    #[arg(long, value_name = "TENSOR")]
    layer: Option<String>,
}

fn word<T: DeserializeOwned>(text: &str) -> Result<T> {
    Ok(serde_json::from_value(json!(text))?)
}

/// A number, or a fraction such as 1/255.
fn number(text: &str) -> Result<f64> {
    Ok(match text.split_once('/') {
        Some((top, bottom)) => top.parse::<f64>()? / bottom.parse::<f64>()?,
        None => text.parse()?,
    })
}

fn size(text: &str) -> Result<(u32, u32)> {
    let (width, height) = text.split_once('x').unwrap_or((text, text));
    Ok((width.parse()?, height.parse()?))
}

impl Reading {
    /// The options that a graph is read with.
    pub fn options(&self) -> Result<Options> {
        let filter = self.filter.unwrap_or(Filter::Bilinear);
        let resize = match &self.resize {
            None => None,
            Some(text) => {
                let (mode, size) = match text.split_once(':') {
                    Some((mode, size)) => (mode, Some(size.parse().context("--resize MODE:SIZE")?)),
                    None => (text.as_str(), None),
                };
                let mode = word(mode).context("--resize shorter-side:SIZE|exact|fit")?;
                Some(Resize { mode, size, filter })
            }
        };
        ensure!(
            resize.is_some() || self.filter.is_none(),
            "bad-option: --filter needs --resize beside it"
        );
        Ok(Options {
            layout: self.layout,
            channels: self.channels,
            size: self.size,
            resize,
            scale: self.scale,
            mean: self.mean.clone(),
            std: self.std.clone(),
            activation: self.activation,
            output: self.output.clone(),
            layer: self.layer.clone(),
            ..Options::default()
        })
    }
}

/// What is said where no layer sees everything.
pub const PARTIAL: &str = "none sees everything: no tensor with rows and columns lies on every way from the image to the scores; this is what most of it goes through";

/// Packs the model and tells what was found out.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let onnx = whole(&arguments.model)?;
    let labels = fs::read_to_string(&arguments.labels)
        .with_context(|| format!("cannot read {}", arguments.labels.display()))?;
    let stem = arguments.model.file_stem().unwrap_or_default();
    let given = Options {
        name: match &arguments.name {
            Some(name) => name.clone(),
            None => stem.to_string_lossy().into_owned(),
        },
        version: arguments.model_version.clone(),
        license: arguments.license.clone(),
        source: arguments.source.clone(),
        disclaimer: arguments.disclaimer.clone(),
        precision: arguments.precision,
        ..arguments.reading.options()?
    };
    let Packed {
        manifest,
        onnx,
        report,
    } = pack::pack(onnx, &labels, &given, &mut |_| ()).map_err(coded)?;
    let out = &arguments.out;
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    write("model.onnx", &onnx)?;
    write("labels.txt", labels.as_bytes())?;
    write(
        "model.json",
        format!("{}\n", serde_json::to_string_pretty(&manifest)?).as_bytes(),
    )?;

    let (before, after) = (report.bytes_given, report.bytes_kept);
    let megabytes = |bytes: f64| bytes / 1e6;
    println!("{}: {} classes", manifest.name, report.classes);
    match (manifest.output.activation, manifest.output.applied) {
        (_, Some(applied)) => println!("output      probabilities by the graph's own {applied}"),
        (Activation::None, None) => println!("output      scores, which are no probabilities"),
        (activation, None) => {
            println!("output      scores; a {activation} makes probabilities of them")
        }
    }
    println!(
        "weights     {:.2} MB, from {:.2} MB",
        megabytes(after as f64),
        megabytes(before as f64)
    );
    println!(
        "memory      about {:.0} MB while it loads",
        megabytes(report.memory as f64)
    );
    match (&report.layer, &report.no_gradients) {
        (Some(layer), None) => println!("heatmaps    at `{layer}`"),
        (_, reason) => println!(
            "heatmaps    without gradients only: {}",
            reason.as_deref().unwrap_or("no layer")
        ),
    }
    if !report.whole && given.layer.is_none() {
        println!("layer       {PARTIAL}");
    }
    match &report.unplanned {
        None => println!("plan        in the file: pages load it without preparing it anew"),
        Some(reason) => println!("plan        none, so that loading takes longer: {reason}"),
    }
    let pack::Difference {
        score,
        probability,
        same_first,
    } = report.difference;
    let first = if same_first { "the same" } else { "ANOTHER" };
    println!(
        "agreement   scores within {score:.1e}, probabilities within {probability:.1e}, {first} first class"
    );
    if let Some(refused) = &report.refused {
        println!(
            "precision   FP32: in FP16 a probability would differ by {:.1e}, a score by {:.1e}",
            refused.probability, refused.score
        );
    }
    for guess in &report.guesses {
        println!("guessed     {guess}");
    }
    println!("written     {}", out.display());
    Ok(ExitCode::SUCCESS)
}

/// The model with the weights that are beside it.
pub fn whole(path: &Path) -> Result<Vec<u8>> {
    let onnx = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut read = |name: &str| {
        let file = folder.join(name);
        fs::read(&file).map_err(|error| {
            Error::ExternalData(format!(
                "the weights are in {}, which cannot be read: {error}",
                file.display()
            ))
        })
    };
    match store::merge(&onnx, &mut read) {
        Ok(None) => Ok(onnx),
        Ok(Some(merged)) => Ok(merged),
        Err(error) => bail!(coded(error)),
    }
}
