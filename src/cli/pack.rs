//! classifier as its exporter left it → model folder.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::de::DeserializeOwned;
use serde_json::json;
use whylens::Error;
use whylens::internal::{estimate, shrink};
use whylens::manifest::{
    Activation, Channels, Filter, Layout, MOST_TEXT, Precision, Resize, ResizeMode, Text,
};
use whylens::pack::presets::PRESETS;
use whylens::pack::sources::{self, Found, What};
use whylens::pack::{self, Options, Packed};

use super::staged::Staged;
use super::{given, hub, plan, read};

/// Make a model folder from an ONNX classifier, or complete one made by hand
#[derive(Args)]
pub struct Arguments {
    /// An ONNX file, FP32 or FP16, or the folder or zip that an exporter made: the files in it or beside it are read
    /// for what they say about the model, and weights in separate files are merged. Or a model folder: a plan is
    /// added, so that pages load it faster. Or hf:ORG/NAME[@REVISION]: a model on the Hugging Face Hub, or on
    /// HF_ENDPOINT
    model: PathBuf,
    /// Folder to write; other files in it stay [default: the model's name with -whylens, which must be new]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite the given model or labels if they are in the folder to write
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    description: Description,
}

/// What its files do not say of a model.
#[derive(Args)]
pub struct Description {
    /// The ONNX file of a model on the Hub [default: onnx/model.onnx, model.onnx, or the only one]
    #[arg(long, value_name = "PATH")]
    file: Option<String>,
    /// Labels in class order, one per line or as JSON or CSV [default: as the files beside the model say]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Name shown to people [default: as the files say, or the name of the file]
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
    /// Sentence shown beside every result, such as that it is not a diagnosis
    #[arg(long, value_name = "TEXT")]
    disclaimer: Option<String>,
    /// Least probability, 0 to 1, of the first class of a photo that is recognised
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// Sentence shown for photos that are not recognised
    #[arg(long, value_name = "TEXT", requires = "threshold")]
    not_recognised: Option<String>,
    #[command(flatten)]
    reading: Reading,
    /// How weights are stored; in fp16, those that would change the answers stay in fp32 [default: fp16, or fp32 if
    /// values are quantised]
    #[arg(long, value_name = "fp16|fp32", value_parser = word::<Precision>)]
    precision: Option<Precision>,
}

/// What the graph does not say. Values = (pixel × scale − mean) / std.
#[derive(Args)]
pub struct Reading {
    /// Axis order of the input [default: read from the graph]
    #[arg(long, value_name = "nchw|nhwc", value_parser = word::<Layout>)]
    layout: Option<Layout>,
    /// Colours of the input [default: rgb, or grey for one channel]
    #[arg(long, value_name = "rgb|bgr|grey", value_parser = word::<Channels>)]
    channels: Option<Channels>,
    /// Width and height of the input, if the graph leaves them open
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(u32, u32)>,
    /// How a photo is resized: shorter-side:256, exact or fit
    #[arg(long, value_name = "MODE[:SIZE]")]
    resize: Option<String>,
    /// Share of the shorter side that the crop keeps, such as 87.5, in place of a SIZE
    #[arg(long, value_name = "PERCENT")]
    crop_percent: Option<f64>,
    /// Resampling filter [default: bilinear]
    #[arg(long, value_name = "nearest|box|bilinear|bicubic|lanczos|area", value_parser = word::<Filter>)]
    filter: Option<Filter>,
    /// Use only the nearest pixels, like torch's tensors, TensorFlow and OpenCV; the default is all, like Pillow
    #[arg(long)]
    no_antialias: bool,
    /// Scale, mean, std and order of colours of many classifiers; half and keras give -1 to 1, unit 0 to 1, raw 0 to
    /// 255, caffe bgr minus the mean
    #[arg(
        long,
        value_name = "NAME",
        value_parser = PossibleValuesParser::new(PRESETS.map(|preset| preset.name)),
        conflicts_with_all = ["scale", "mean", "std"]
    )]
    preset: Option<String>,
    /// Factor applied to pixels (0 to 255) first [default: 1/255]
    #[arg(long, value_name = "FACTOR", value_parser = number)]
    scale: Option<f64>,
    /// Subtracted after scaling: one value, or one per channel
    #[arg(
        long,
        value_name = "M[,M,M]",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    mean: Option<Vec<f64>>,
    /// Divided by last: one value, or one per channel
    #[arg(long, value_name = "S[,S,S]", value_delimiter = ',')]
    std: Option<Vec<f64>>,
    /// What turns the graph's output into probabilities [default: nothing if the graph ends in a softmax or
    /// sigmoid, sigmoid for one class, softmax otherwise]
    #[arg(long, value_name = "softmax|sigmoid|none", value_parser = word::<Activation>)]
    activation: Option<Activation>,
    /// Name of the output with the scores, if there are several
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
    /// Unit of an output that is a number, such as years
    #[arg(long, value_name = "TEXT")]
    unit: Option<String>,
    /// ONNX tensor at which heatmaps are taken [default: the first that `inspect` lists]
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

impl Description {
    /// Whether it says anything of a model that is packed already.
    pub fn says_more(&self) -> bool {
        let texts = [
            &self.name,
            &self.model_version,
            &self.license,
            &self.source,
            &self.disclaimer,
        ];
        let described = self
            .reading
            .options()
            .map(|options| options != Options::default());
        self.labels.is_some()
            || self.precision.is_some()
            || self.threshold.is_some()
            || texts.into_iter().any(Option::is_some)
            || described.unwrap_or(true)
    }

    fn options(&self) -> Result<Options> {
        Ok(Options {
            name: self.name.clone().unwrap_or_default(),
            version: self.model_version.clone(),
            license: self.license.clone(),
            source: self.source.clone(),
            disclaimer: self.disclaimer.clone(),
            threshold: self.threshold,
            not_recognised: self.not_recognised.as_deref().map(Text::from),
            precision: self.precision,
            ..self.reading.options()?
        })
    }
}

impl Reading {
    /// The options for reading a graph.
    pub fn options(&self) -> Result<Options> {
        let filter = self.filter.unwrap_or(Filter::Bilinear);
        let resize = match &self.resize {
            None if self.crop_percent.is_some() => Some(Resize {
                mode: ResizeMode::ShorterSide,
                size: None,
                filter,
                antialias: !self.no_antialias,
            }),
            None => None,
            Some(text) => {
                let (mode, size) = match text.split_once(':') {
                    Some((mode, size)) => (mode, size.parse().map(Some).ok()),
                    None => (text.as_str(), Some(None)),
                };
                let (Ok(mode), Some(size)) = (word(mode), size) else {
                    return Err(Error::BadOption(format!(
                        "--resize is `{text}`, expected shorter-side:SIZE, exact or fit"
                    ))
                    .into());
                };
                Some(Resize {
                    mode,
                    size,
                    filter,
                    antialias: !self.no_antialias,
                })
            }
        };
        if resize.is_none() && (self.filter.is_some() || self.no_antialias) {
            let option = if self.no_antialias {
                "--no-antialias"
            } else {
                "--filter"
            };
            let needs = "needs --resize or --crop-percent beside it";
            return Err(Error::BadOption(format!("{option} {needs}")).into());
        }
        if let (Some(Resize { size: Some(_), .. }), Some(_)) = (&resize, self.crop_percent) {
            return Err(Error::BadOption(
                "--crop-percent stands for the SIZE of --resize; leave one of the two out".into(),
            )
            .into());
        }
        Ok(Options {
            layout: self.layout,
            channels: self.channels,
            size: self.size,
            resize,
            crop_percent: self.crop_percent,
            preset: self.preset.clone(),
            scale: self.scale,
            mean: self.mean.clone(),
            std: self.std.clone(),
            activation: self.activation,
            output: self.output.clone(),
            unit: self.unit.clone(),
            layer: self.layer.clone(),
            ..Options::default()
        })
    }
}

/// The message if no layer sees everything.
pub const PARTIAL: &str = "none sees everything: no tensor with rows and columns lies on every path from the image to \
                           the scores; this is what most paths go through";

const MODEL: &str = "model.onnx";
const LABELS: &str = "labels.txt";
const MANIFEST: &str = "model.json";

/// Packs the model and reports what was found.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    if given::is_model_folder(&arguments.model) {
        if arguments.description.says_more() || arguments.out.is_some() {
            return Err(described(&arguments.model));
        }
        return plan::run(&arguments.model);
    }
    let source = Source::read(&arguments.model, &arguments.description)?;
    let out = &match &arguments.out {
        Some(out) => out.clone(),
        None => PathBuf::from(format!("{}-whylens", source.name)),
    };
    if !arguments.force {
        if arguments.out.is_none() && out.exists() {
            return Err(Error::BadOption(format!(
                "{} already exists; name another folder by --out, or add --force",
                out.display()
            ))
            .into());
        }
        spare(&source.files, out)?;
    }
    let packed = source.pack()?;
    let mut staged = Staged::begin(out)?;
    packed.write("", &mut staged)?;
    staged.commit()?;
    packed.report();
    println!("written     {}", out.display());
    Ok(ExitCode::SUCCESS)
}

/// For options that describe a model folder, which describes itself.
pub fn described(folder: &Path) -> anyhow::Error {
    Error::BadOption(format!(
        "{} is a model folder, described by its model.json; change that file and name only the folder",
        folder.display()
    ))
    .into()
}

/// A model with what its files and the options say of it.
pub struct Source {
    /// The name of its file or folder.
    pub name: String,
    model: PathBuf,
    onnx: Vec<u8>,
    /// The local files from which it was read.
    files: Vec<PathBuf>,
    labels: String,
    options: Options,
    found: Found,
}

impl Source {
    /// Reads a model that is not packed yet.
    pub fn read(model: &Path, description: &Description) -> Result<Source> {
        let mut given = match hub::read(model, description.file.as_deref())? {
            None => given::read(model)?,
            Some(given) => given,
        };
        let found = sources::find(&given.texts, &shrink::outline(&given.onnx)?)?;
        let own = description.options()?;
        found.decided(&own, description.labels.is_some())?;
        let labels = match (&description.labels, &found.labels) {
            (Some(file), _) => {
                let bytes = read::file(file, MOST_TEXT, Error::BadManifest)?;
                given.files.push(file.clone());
                sources::labels(&file.display().to_string(), &bytes)?
            }
            (None, Some(labels)) => labels.clone(),
            // The graph may hold them.
            (None, None) => Vec::new(),
        };
        if let Some(root) = &given.root {
            let taken = found
                .facts
                .iter()
                .filter(|fact| fact.what != What::Labels || description.labels.is_none());
            given.files.extend(taken.map(|fact| root.join(&fact.from)));
        }
        let mut options = found.fill(&own);
        if options.name.is_empty() {
            options.name = given.name.clone();
        }
        Ok(Source {
            name: given.name,
            model: model.into(),
            onnx: given.onnx,
            files: given.files,
            labels: labels.join("\n"),
            options,
            found,
        })
    }

    /// Packs it, and checks the result.
    pub fn pack(self) -> Result<Model> {
        if !self.found.facts.is_empty() {
            println!("read        {}", self.found.told());
        }
        for limit in &self.found.limits {
            println!("not read    {limit}");
        }
        let (labels, options) = (self.labels, self.options);
        let packed = pack::pack(self.onnx, &labels, &options, &mut |_| ()).map_err(|error| match error {
            Error::BadManifest(_) if labels.is_empty() => Error::BadOption(format!(
                "there are no labels in or beside {}; give them by --labels FILE, one per line in class order",
                self.model.display()
            )),
            error => error,
        })?;
        Ok(Model {
            packed,
            layer_named: options.layer.is_some(),
        })
    }
}

/// A packed model, not yet written.
pub struct Model {
    pub packed: Packed,
    /// Whether the options name the layer.
    layer_named: bool,
}

impl Model {
    /// Writes the model folder; `place` is where in the staged one, empty or with `/` at its end.
    pub fn write(&self, place: &str, staged: &mut Staged) -> Result<()> {
        let Packed {
            manifest,
            onnx,
            labels,
            ..
        } = &self.packed;
        let mut write = |name: &str, bytes: &[u8]| staged.write(&format!("{place}{name}"), bytes);
        write(MODEL, onnx)?;
        write(LABELS, format!("{}\n", labels.trim_end()).as_bytes())?;
        let json = serde_json::to_string_pretty(manifest)?;
        write(MANIFEST, format!("{json}\n").as_bytes())
    }

    /// Tells what packing it found.
    pub fn report(&self) {
        let Packed {
            manifest, report, ..
        } = &self.packed;
        let (before, after) = (report.bytes_given, report.bytes_kept);
        let megabytes = |bytes: f64| bytes / 1e6;
        println!("{}: {} classes", manifest.name, report.classes);
        match (manifest.output.activation, manifest.output.applied) {
            (_, Some(applied)) => {
                println!("output      probabilities by the graph's own {applied}")
            }
            (Activation::None, None) => println!(
                "output      {}, no probabilities",
                manifest.output.unit.as_deref().unwrap_or("scores")
            ),
            (activation, None) => {
                println!("output      scores; a {activation} turns them into probabilities")
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
        if let Some(warning) = estimate::warning(manifest, None) {
            println!("memory      {warning}");
        }
        match (&report.layer, &report.no_gradients) {
            (Some(layer), None) => println!("heatmaps    at `{layer}`"),
            (_, reason) => println!(
                "heatmaps    only without gradients: {}",
                reason.as_deref().unwrap_or("no layer")
            ),
        }
        if !report.whole && !self.layer_named {
            println!("layer       {PARTIAL}");
        }
        match &report.unplanned {
            None => println!("plan        in the file: pages load it without compiling it"),
            Some(reason) => println!("plan        none, so that loading takes longer: {reason}"),
        }
        let pack::Difference {
            score,
            probability,
            same_first,
        } = report.difference;
        let first = if same_first {
            "the same"
        } else {
            "A DIFFERENT"
        };
        println!(
            "agreement   scores within {score:.1e}, probabilities within {probability:.1e}, {first} first class"
        );
        if let Some(refused) = &report.refused {
            let what = match &*report.single {
                [] => "FP32".into(),
                single => format!("FP32 for {} of {} weights", single.len(), report.weights),
            };
            println!(
                "precision   {what}: all in FP16, a probability would differ by {:.1e}, a score by {:.1e}",
                refused.probability, refused.score
            );
            for name in report.single.iter().take(MOST_NAMED) {
                println!("            FP32 for `{name}`");
            }
            if let Some(more @ 1..) = report.single.len().checked_sub(MOST_NAMED) {
                println!("            and {more} more");
            }
        }
        for guess in &report.guesses {
            println!("guessed     {guess}");
        }
    }
}

/// Most weights that are listed by name.
const MOST_NAMED: usize = 8;

/// Refuses to overwrite what is packed.
fn spare(given: &[PathBuf], out: &Path) -> Result<()> {
    for name in [MODEL, LABELS, MANIFEST] {
        let Some(written) = read::identity(&out.join(name)) else {
            continue;
        };
        let is_written = |input: &&PathBuf| read::identity(input).is_some_and(|id| id == written);
        if let Some(input) = given.iter().find(is_written) {
            return Err(Error::BadOption(format!(
                "{} would be overwritten by the result; name another folder, or add --force",
                input.display()
            ))
            .into());
        }
    }
    Ok(())
}
