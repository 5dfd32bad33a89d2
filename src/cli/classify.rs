//! photos → predictions and heatmaps on standard output.

mod ahead;
mod bar;
mod check;
mod outputs;
mod photos;
mod report;
mod rows;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::slice;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use whylens::internal::{rank, threads};
use whylens::manifest::{Activation, Input};
use whylens::{
    CheckQuery, Class, Classification, Classifier, Contrast, Effort, Error, FeaturesQuery,
    HeatmapQuery, Image, Limits, Method, Options, Query, Reason, Region, Sign, Tensor, Waiting,
    decode, decode_partial,
};

use self::outputs::Outputs;
use self::photos::Candidate;
use self::report::{Report, pictures};
use self::rows::{Columns, Done, Format, Rows};
use super::read::{self, Identity};
use super::{folder, npy, terminal};

/// Most bytes of a tensor: those of the largest input, three colours of 4096 × 4096 pixels, and a header.
const MOST_TENSOR: u64 = 4 * 3 * 4096 * 4096 + (1 << 17);

/// Of the strongest evidence, over a photo.
const OPACITY: f32 = 0.7;

/// Classify photos
#[derive(Args)]
pub struct Arguments {
    /// Model folder, or its model.json
    model: PathBuf,
    /// Photos (JPEG, PNG, WebP, GIF, BMP, …), and folders: the photos in them and in their folders, known by their
    /// content; hidden files and other ones are skipped
    #[arg(required_unless_present = "tensor")]
    images: Vec<PathBuf>,
    /// Maximum number of predictions
    #[arg(
        long,
        value_name = "K",
        default_value_t = 5.0,
        allow_negative_numbers = true
    )]
    top_k: f64,
    /// Minimum probability of a prediction; a model without probabilities has none
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    threshold: f64,
    /// Part of each photo that is classified: left, top, width and height in pixels of the upright photo
    /// [default: all of it]
    #[arg(long, value_name = "X,Y,WIDTH,HEIGHT", value_parser = region, allow_hyphen_values = true,
        conflicts_with = "tensor")]
    region: Option<Region>,
    /// Class that the heatmap explains, by index or label [default: the most probable one]
    #[arg(long, value_name = "INDEX|LABEL")]
    class: Option<String>,
    /// What the heatmap shows: what raises the score of the class, what lowers it, or both
    #[arg(long, value_name = "for|against|both", default_value = "for", value_parser = sign)]
    sign: Sign,
    /// Explain why it is this class and not that one; `alike`: and not those with the scores nearest to its own
    #[arg(long, value_name = "INDEX|LABEL|alike")]
    contrast: Option<String>,
    /// How the heatmap is made [default: the first that works: gradcam, eigencam, occlusion]
    #[arg(long, value_name = "METHOD", value_parser = method)]
    method: Option<Method>,
    /// Rows and columns of an occlusion map, or of a mask of RISE before it is enlarged, 2 to 32 [default: 7]
    #[arg(long, value_name = "N")]
    grid: Option<usize>,
    /// Masks of RISE, each of which takes a run of the network [default: 500]
    #[arg(long, value_name = "N")]
    masks: Option<usize>,
    /// Points of integrated gradients, each of which takes a run with its gradient [default: 20]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Average the heatmap over mirrored and shifted inputs, which takes ten runs
    #[arg(long)]
    smooth: bool,
    /// ONNX tensor that the heatmap explains; several are averaged [default: the manifest's]
    #[arg(long, value_name = "TENSOR")]
    layer: Vec<String>,
    #[command(flatten)]
    check: check::Arguments,
    /// Write the photo with its heatmap; with several photos, each one's name is added before the extension
    /// (OUT-NAME.png), with a number if two share a name
    #[arg(long, value_name = "OUT.png")]
    heatmap: Option<PathBuf>,
    /// Write a report: one HTML file with all photos, their heatmaps, and how they were made, which needs nothing else
    #[arg(long, value_name = "OUT.html", conflicts_with_all = ["tensor", "resume"])]
    report: Option<PathBuf>,
    /// Maximum number of pixels of a photo
    #[arg(long, value_name = "N", default_value_t = Limits::default().pixels)]
    max_pixels: u64,
    /// Threads that a model with a plan is run by, and that decode the next photos meanwhile, 1 to 64; results do not
    /// depend on it [default: one for each core, at most 8]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Classify what is there of a photo that is cut short
    #[arg(long)]
    partial: bool,
    /// Print one JSON object per line, heatmap included
    #[arg(long)]
    json: bool,
    /// Print a table, one line per photo: the predictions, and the code of the error if it failed
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Write the results to a new file instead: JSON lines or a table, as its name ends in .jsonl or .csv. They hold no
    /// times
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Go on where an interrupted run stopped: what is in FILE already is not classified again
    #[arg(long, requires = "out")]
    resume: bool,
    /// Classify this input tensor (float32, in the model's layout) instead of photos
    #[arg(long, value_name = "IN.npy", conflicts_with_all = ["images", "heatmap"])]
    tensor: Option<PathBuf>,
    /// Write the scores of all classes, before softmax or sigmoid (float32)
    #[arg(long, value_name = "OUT.npy")]
    logits: Option<PathBuf>,
    /// Write what the layer holds, each channel averaged over the map: one row a photo, in their order; that of a photo
    /// that failed is NaN (float32)
    #[arg(long, value_name = "OUT.npy", conflicts_with = "resume")]
    features: Option<PathBuf>,
}

fn sign(name: &str) -> Result<Sign> {
    Ok(serde_json::from_value(json!(name))?)
}

fn method(name: &str) -> Result<Method> {
    Ok(serde_json::from_value(json!(name))?)
}

fn region(text: &str) -> Result<Region> {
    let numbers = text.split(',').map(|number| number.trim().parse());
    match numbers
        .collect::<std::result::Result<Vec<f64>, _>>()
        .as_deref()
    {
        Ok(&[x, y, width, height]) => Ok(Region {
            x,
            y,
            width,
            height,
        }),
        _ => {
            anyhow::bail!("expected four numbers with commas between them, such as 120,40,300,300")
        }
    }
}

/// Classifies each photo. One that cannot be read is reported, and the next one follows. So is a heatmap
/// that cannot be made, which is a failure if it was requested.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    rank::check(arguments.top_k, arguments.threshold)?;
    if let Some(threads) = arguments.threads
        && !(1..=64).contains(&threads)
    {
        let what = format!("--threads is {threads}, expected 1 to 64");
        return Err(Error::BadOption(what).into());
    }
    let format = arguments.format()?;
    let candidates = match &arguments.tensor {
        Some(tensor) => photos::candidates(slice::from_ref(tensor))?,
        None => photos::candidates(&arguments.images)?,
    };
    let outputs = outputs::outputs(arguments, &candidates)?;
    let check = arguments.check.query(arguments.sign)?;
    let asked = arguments.heatmap.is_some()
        || check.is_some()
        || arguments.class.is_some()
        || arguments.sign != Sign::For
        || arguments.contrast.is_some()
        || arguments.method.is_some()
        || arguments.effort() != Effort::default()
        || !arguments.layer.is_empty() && arguments.features.is_none();
    let wanted = format == Format::Json || arguments.report.is_some() || asked;
    let model = folder::read(&arguments.model)?;
    let layers = match arguments.method {
        // The layer is the input.
        Some(Method::IntegratedGradients) => vec![model.manifest.input.name.clone()],
        _ => arguments.layer.clone(),
    };
    let classifier = model.classifier(&Options {
        heatmap: wanted || arguments.features.is_some(),
        layers,
        threads: arguments.threads,
        ..Options::default()
    })?;
    if classifier.activation() == Activation::None && arguments.threshold > 0.0 {
        eprintln!(
            "whylens: the model gives scores, which are no probabilities; --threshold leaves none of them out"
        );
    }
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
    let class = |class: &String| match class.parse() {
        Ok(index) => Class::Index(index),
        Err(_) => Class::Label(class.clone()),
    };
    let contrast = |other: &String| match other.as_str() {
        "alike" => Contrast::Alike,
        _ => Contrast::Class(class(other)),
    };
    let heatmap = HeatmapQuery {
        class: arguments.class.as_ref().map(class),
        sign: arguments.sign,
        contrast: arguments.contrast.as_ref().map(contrast),
        method: arguments.method,
        layers: Vec::new(),
        effort: arguments.effort(),
    };
    let query = Query {
        top_k: arguments.top_k as usize,
        threshold: arguments.threshold as f32,
        region: arguments.region,
        heatmap: wanted.then_some(heatmap),
    };
    let columns = Columns {
        predictions: query.top_k,
        check: check.is_some(),
    };
    let (rows, mut done) = match &arguments.out {
        Some(out) => {
            let manifest = classifier.manifest();
            let model = (&manifest.name[..], &manifest.version[..]);
            let model = arguments.resume.then_some(model);
            Rows::kept(format, columns, out, model)?
        }
        None => (Rows::printed(format, columns)?, Done::default()),
    };
    let before = (done.count(), done.failed);
    let all = candidates.len();
    let left: Vec<_> = candidates
        .into_iter()
        .zip(outputs)
        .filter(|(candidate, _)| !done.take(&candidate.path.display().to_string()))
        .collect();
    let report = match arguments.report {
        Some(_) => {
            let named = left.iter().filter(|(candidate, _)| !candidate.found);
            report::check(named.count())?;
            Some(Report::new(left.len())?)
        }
        None => None,
    };
    let bar = match all > 1 && !rows.are_shown() {
        true => bar::bar(all as u64, (all - left.len()) as u64),
        false => ProgressBar::hidden(),
    };
    let mut batch = Batch {
        arguments,
        classifier: &classifier,
        query,
        check,
        asked,
        rows,
        report,
        written: HashSet::new(),
        features: Rowed::default(),
        bar,
        classified: before.0 - before.1,
        failed: before.1,
        skipped: 0,
        incomplete: false,
    };
    let input = &classifier.manifest().input;
    let threads = threads(arguments.threads).min(left.len());
    let read = |(candidate, outputs): &(Candidate, Outputs)| {
        let keep = outputs.heatmap.is_some() || arguments.report.is_some();
        read(arguments, candidate, input, keep)
    };
    let done = ahead::ahead(threads, left, read, |(candidate, outputs), seen| {
        batch.take(&candidate.path, &outputs, seen)
    });
    batch.bar.finish_and_clear();
    done?;
    if let (Some(out), Some(report)) = (&arguments.report, &batch.report) {
        let html = report.finish(&classifier)?;
        outputs::write(out, html.as_bytes(), &mut batch.written)?;
    }
    if let Some(out) = &arguments.features {
        batch.features.write(out, &mut batch.written)?;
    }
    if all > 1 && arguments.tensor.is_none() {
        batch.tell(before.0);
    }
    let nothing = batch.classified + batch.failed == 0;
    if nothing {
        eprintln!("whylens: no photo was found");
    }
    Ok(if nothing || batch.failed > 0 || batch.incomplete {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

impl Arguments {
    fn limits(&self) -> Limits {
        Limits {
            pixels: self.max_pixels,
            ..Limits::default()
        }
    }

    fn effort(&self) -> Effort {
        Effort {
            grid: self.grid,
            masks: self.masks,
            steps: self.steps,
            smooth: self.smooth,
            ..Effort::default()
        }
    }

    /// How results are written: as asked for, or as the name of their file says.
    fn format(&self) -> Result<Format> {
        let ending = self.out.as_deref().and_then(Path::extension);
        let ending = ending.map(|ending| ending.to_string_lossy().to_lowercase());
        match (self.json, self.csv, &self.out, ending.as_deref()) {
            (true, ..) => Ok(Format::Json),
            (_, true, ..) => Ok(Format::Csv),
            (_, _, None, _) => Ok(Format::Text),
            (_, _, _, Some("csv")) => Ok(Format::Csv),
            (_, _, _, Some("jsonl" | "ndjson" | "json")) => Ok(Format::Json),
            (_, _, Some(out), _) => Err(Error::BadOption(format!(
                "the name of {} does not say what it holds; end it in .csv or .jsonl, or add --csv or --json",
                out.display()
            ))
            .into()),
        }
    }
}

/// What one thread makes of a file while another photo is classified.
enum Seen {
    Photo {
        waiting: Waiting,
        /// Its bytes, where the photo is needed for a picture of its heatmap.
        bytes: Option<Vec<u8>>,
    },
    Tensor(Tensor),
    /// A file of a folder that is no picture.
    Other,
}

fn read(arguments: &Arguments, candidate: &Candidate, input: &Input, keep: bool) -> Result<Seen> {
    let path = &candidate.path;
    if arguments.tensor.is_some() {
        let bytes = read::file(path, MOST_TENSOR, |text| {
            Error::BadOption(format!("{text} for a tensor"))
        })?;
        return Ok(Seen::Tensor(npy::read(&mut &*bytes)?));
    }
    if candidate.found && !photos::is_photo(path, &read::beginning(path)?) {
        return Ok(Seen::Other);
    }
    let bytes = read::file(path, arguments.limits().bytes, |text| {
        Error::ImageTooLarge(format!("{text}; make it smaller"))
    })?;
    let start = Instant::now();
    let image = image(arguments, &bytes)?;
    let decode = start.elapsed().as_secs_f64() * 1000.0;
    Ok(Seen::Photo {
        waiting: Waiting::new(image, decode, arguments.region.as_ref(), input)?,
        bytes: keep.then_some(bytes),
    })
}

/// Features of photos, one row each; a row is none if the photo failed.
#[derive(Default)]
struct Rowed(Vec<Option<Vec<f32>>>);

impl Rowed {
    fn write(&self, out: &Path, written: &mut HashSet<Identity>) -> Result<()> {
        let channels = self.0.iter().flatten().map(Vec::len).max().unwrap_or(0);
        let missing = vec![f32::NAN; channels];
        let rows = self.0.iter().map(|row| row.as_deref().unwrap_or(&missing));
        let values: Vec<f32> = rows.flatten().copied().collect();
        outputs::write(
            out,
            &npy::write(&values, &[self.0.len(), channels])?,
            written,
        )
    }
}

/// The photos of a command, one after the other.
struct Batch<'a> {
    arguments: &'a Arguments,
    classifier: &'a Classifier,
    query: Query,
    check: Option<CheckQuery>,
    /// Whether a heatmap was asked for, so that the photo failed without it.
    asked: bool,
    rows: Rows,
    report: Option<Report>,
    /// Pictures and scores, see [`outputs::write`].
    written: HashSet<Identity>,
    features: Rowed,
    bar: ProgressBar,
    classified: usize,
    failed: usize,
    skipped: usize,
    /// Whether a heatmap that was asked for, or a file of one, could not be made.
    incomplete: bool,
}

impl Batch<'_> {
    /// Writes what comes of a file. Fails only if no row can be written.
    fn take(&mut self, path: &Path, outputs: &Outputs, seen: Result<Seen>) -> Result<()> {
        let file = path.display().to_string();
        match seen.and_then(|seen| self.classify(path, seen)) {
            Ok(Some((result, bytes))) => {
                let checked = self.check(&result, path);
                let kept = self.keep(&result);
                let written = self.write(&file, outputs, &result, checked.as_ref(), bytes);
                let written = kept.and(written);
                self.classified += 1;
                self.rows.result(&file, &result, checked.as_ref())?;
                if let Some(Err(Reason { code, message })) = &checked {
                    self.incomplete = true;
                    self.complain(&format!("{file}: no check: {message} [{code}]"));
                }
                if let Some(Reason { code, message }) = &result.no_heatmap {
                    self.incomplete |= self.asked;
                    self.complain(&format!("{file}: no heatmap: {message} [{code}]"));
                }
                if let Err(error) = written {
                    self.incomplete = true;
                    self.report(&file, &error);
                }
            }
            Ok(None) => self.skipped += 1,
            Err(error) => {
                self.failed += 1;
                self.features.0.push(None);
                let (code, message) = self.report(&file, &error);
                self.rows.failure(&file, code, &message)?;
                if let Some(report) = &mut self.report {
                    report.add_failed(&file, (code, &message), self.classifier)?;
                }
            }
        }
        self.bar.inc(1);
        Ok(())
    }

    /// The result, and the bytes of the photo where they are needed; none: the file is no photo.
    fn classify(
        &self,
        path: &Path,
        seen: Seen,
    ) -> Result<Option<(Classification, Option<Vec<u8>>)>> {
        let plain = Query {
            heatmap: None,
            ..self.query.clone()
        };
        let (mut result, bytes) = match seen {
            Seen::Other => return Ok(None),
            Seen::Tensor(tensor) => (self.classifier.classify_tensor(&tensor, &plain)?, None),
            Seen::Photo { waiting, bytes } => {
                (self.classifier.classify_waiting(waiting, &plain)?, bytes)
            }
        };
        self.explain(&mut result, path);
        Ok(Some((result, bytes)))
    }

    /// Keeps the features where they are wanted.
    fn keep(&mut self, result: &Classification) -> Result<()> {
        if self.arguments.features.is_none() {
            return Ok(());
        }
        let query = FeaturesQuery {
            layer: self.arguments.layer.first().cloned(),
            pooled: true,
        };
        let features = self.classifier.features(&result.run, &query);
        let (row, outcome) = match features {
            Ok(features) => (Some(features.values), Ok(())),
            Err(error) => (None, Err(error)),
        };
        self.features.0.push(row);
        Ok(outcome?)
    }

    /// Writes scores and picture, before the row that says that the photo is done, and adds it to the report.
    fn write(
        &mut self,
        file: &str,
        outputs: &Outputs,
        result: &Classification,
        checked: Option<&check::Outcome>,
        bytes: Option<Vec<u8>>,
    ) -> Result<()> {
        if let Some(out) = &outputs.scores {
            let scores = result.run.scores();
            outputs::write(
                out,
                &npy::write(scores, &[scores.len()])?,
                &mut self.written,
            )?;
        }
        let Some(bytes) = bytes else {
            return Ok(());
        };
        let image = image(self.arguments, &bytes)?;
        if let (Some(out), Some(heatmap)) = (&outputs.heatmap, &result.heatmap) {
            let (columns, rows) = (image.columns, image.rows);
            let drawn = pictures::over(&image.rgb, heatmap, columns, rows, OPACITY)?;
            let picture = pictures::png(&drawn, columns, rows)?;
            outputs::write(out, &picture, &mut self.written)?;
        }
        if let Some(report) = &mut self.report {
            let found = checked.and_then(|outcome| outcome.as_ref().ok());
            report.add(file, result, found, &image, self.classifier)?;
        }
        Ok(())
    }

    /// Adds the heatmap if one is wanted; a slow method shows its progress on a terminal.
    fn explain(&self, result: &mut Classification, path: &Path) {
        let Some(query) = &self.query.heatmap else {
            return;
        };
        let start = Instant::now();
        let heatmap = self
            .classifier
            .heatmap_while(&result.run, query, |done, of| {
                self.progress(format!("{}: heatmap {done} of {of}", path.display()));
                true
            });
        self.progress(String::new());
        result.explained(heatmap, start.elapsed().as_secs_f64() * 1000.0);
    }

    /// Checks the heatmap if there is one and that is wanted; shows its progress on a terminal.
    fn check(&self, result: &Classification, path: &Path) -> Option<check::Outcome> {
        let (query, heatmap) = (self.check.as_ref()?, result.heatmap.as_ref()?);
        let tell = |done, of| self.progress(format!("{}: check {done} of {of}", path.display()));
        let made = (heatmap, self.arguments.smooth);
        let outcome = check::check(self.classifier, &result.run, made, query, tell);
        self.progress(String::new());
        Some(outcome)
    }

    fn progress(&self, text: String) {
        match self.bar.is_hidden() {
            true => terminal::progress(&text),
            false => self.bar.set_message(terminal::shown(&text)),
        }
    }

    /// Tells of an error, and gives its code and its text.
    fn report(&self, file: &str, error: &anyhow::Error) -> (&'static str, String) {
        let code = error.downcast_ref::<Error>().map_or("io", Error::code);
        let message = format!("{error:#}");
        // Errors of the file system already name the file.
        match code {
            "io" => self.complain(&format!("{message} [{code}]")),
            _ => self.complain(&format!("{file}: {message} [{code}]")),
        }
        (code, message)
    }

    fn complain(&self, text: &str) {
        self.bar.suspend(|| eprintln!("whylens: {text}"));
    }

    /// What became of all files, of which results were there `before`.
    fn tell(&self, before: usize) {
        let earlier = match before {
            0 => String::new(),
            count => format!(" ({count} by an earlier run)"),
        };
        let skipped = match self.skipped {
            0 => String::new(),
            count => format!(", {count} other files skipped"),
        };
        let (classified, failed) = (self.classified, self.failed);
        eprintln!("whylens: {classified} photos classified, {failed} failed{earlier}{skipped}");
    }
}

fn image(arguments: &Arguments, photo: &[u8]) -> Result<Image> {
    let limits = arguments.limits();
    Ok(match arguments.partial {
        true => decode_partial(photo, &limits)?,
        false => decode(photo, &limits)?,
    })
}
