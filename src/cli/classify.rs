//! photos → predictions and heatmaps on standard output.

use std::collections::{HashMap, HashSet};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use whylens::internal::rank;
use whylens::manifest::Activation;
use whylens::{
    Class, Classification, Classifier, Contrast, Error, Heatmap, HeatmapQuery, Image, Limits,
    Method, Options, Prediction, Query, Reason, Region, Sign, Style, decode, decode_partial,
};

use super::read::{self, Identity};
use super::{folder, npy, staged, terminal};

/// Most bytes of a tensor: those of the largest input, three colours of 4096 × 4096 pixels, and a header.
const MOST_TENSOR: u64 = 4 * 3 * 4096 * 4096 + (1 << 17);

/// Classify photos
#[derive(Args)]
pub struct Arguments {
    /// Model folder, or its model.json
    model: PathBuf,
    /// Photos: JPEG, PNG, WebP, GIF, BMP, …
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
    /// ONNX tensor that the heatmap explains; several are averaged [default: the manifest's]
    #[arg(long, value_name = "TENSOR")]
    layer: Vec<String>,
    /// Write the photo with its heatmap; with several photos, each one's name is added before the extension
    /// (OUT-NAME.png), with a number if two share a name
    #[arg(long, value_name = "OUT.png")]
    heatmap: Option<PathBuf>,
    /// Maximum number of pixels of a photo
    #[arg(long, value_name = "N", default_value_t = Limits::default().pixels)]
    max_pixels: u64,
    /// Threads that a model with a plan is run by, 1 to 64; results do not depend on it [default: one for each core, at
    /// most 8]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Classify what is there of a photo that is cut short
    #[arg(long)]
    partial: bool,
    /// Print one JSON object per line, heatmap included
    #[arg(long)]
    json: bool,
    /// Classify this input tensor (float32, in the model's layout) instead of photos
    #[arg(long, value_name = "IN.npy", conflicts_with_all = ["images", "heatmap"])]
    tensor: Option<PathBuf>,
    /// Write the scores of all classes, before softmax or sigmoid (float32)
    #[arg(long, value_name = "OUT.npy")]
    logits: Option<PathBuf>,
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
    let outputs = outputs(arguments)?;
    let asked = arguments.heatmap.is_some()
        || arguments.class.is_some()
        || arguments.sign != Sign::For
        || arguments.contrast.is_some()
        || arguments.method.is_some()
        || !arguments.layer.is_empty();
    let wanted = arguments.json || asked;
    let layers = arguments.layer.clone();
    let classifier = folder::read(&arguments.model)?.classifier(&Options {
        heatmap: wanted,
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
    };
    let query = Query {
        top_k: arguments.top_k as usize,
        threshold: arguments.threshold as f32,
        region: arguments.region,
        heatmap: wanted.then_some(heatmap),
    };
    let limits = Limits {
        pixels: arguments.max_pixels,
        ..Limits::default()
    };
    let (mut failed, mut written) = (false, HashSet::new());
    for (path, outputs) in inputs(arguments).zip(outputs) {
        let file = path.display().to_string();
        let done = photo(arguments, path, &limits).and_then(|photo| {
            let result = classify(&classifier, arguments, path, &photo, &limits, &query)?;
            print(&file, &result, arguments.json)?;
            if let Some(Reason { code, message }) = &result.no_heatmap {
                failed |= asked;
                eprintln!("whylens: {file}: no heatmap: {message} [{code}]");
            }
            if let Some(out) = &outputs.scores {
                write(out, &npy::write(result.run.scores())?, &mut written)?;
            }
            if let (Some(out), Some(heatmap)) = (&outputs.heatmap, &result.heatmap) {
                let picture = draw(image(arguments, &photo, &limits)?, heatmap)?;
                write(out, &picture, &mut written)?;
            }
            Ok(())
        });
        if let Err(error) = done {
            failed = true;
            let code = error.downcast_ref::<Error>().map_or("io", Error::code);
            let message = format!("{error:#}");
            // Errors of the file system already name the file.
            match code {
                "io" => eprintln!("whylens: {message} [{code}]"),
                _ => eprintln!("whylens: {file}: {message} [{code}]"),
            }
            if arguments.json {
                let object = json!({ "file": file, "error": { "code": code, "message": message } });
                println!("{}", terminal::json(&object));
            }
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn inputs(arguments: &Arguments) -> impl Iterator<Item = &PathBuf> {
    arguments.tensor.iter().chain(&arguments.images)
}

/// Where the outputs for a photo go.
struct Outputs {
    heatmap: Option<PathBuf>,
    scores: Option<PathBuf>,
}

/// The outputs for each photo. None overwrites another, a photo or the model.
fn outputs(arguments: &Arguments) -> Result<Vec<Outputs>> {
    let names = names(inputs(arguments));
    let several = names.len() > 1;
    let outputs = names.iter().map(|name| {
        let named = |out: &PathBuf| match several {
            true => beside(out, name),
            false => out.clone(),
        };
        Outputs {
            heatmap: arguments.heatmap.as_ref().map(named),
            scores: arguments.logits.as_ref().map(named),
        }
    });
    let outputs: Vec<Outputs> = outputs.collect();
    if arguments.heatmap.is_none() && arguments.logits.is_none() {
        return Ok(outputs);
    }
    let (manifest, _, _) = folder::manifest(&arguments.model)?;
    let folder = folder::of(&arguments.model);
    let mut kept = folder::files(folder, &manifest);
    kept.extend([folder.join("model.json"), arguments.model.clone()]);
    kept.extend(inputs(arguments).cloned());
    let mut taken: HashMap<_, &Path> = HashMap::new();
    for path in &kept {
        taken.extend(read::identity(path).map(|id| (id, path.as_path())));
    }
    let mut places = HashSet::new();
    for out in outputs
        .iter()
        .flat_map(|each| [&each.heatmap, &each.scores])
        .flatten()
    {
        let there = read::identity(out).and_then(|id| taken.insert(id, out));
        let twice = !places.insert(place(out));
        if let Some(there) = there.or(twice.then_some(out)) {
            return Err(Error::BadOption(format!(
                "{} would overwrite {}; name another file for it",
                out.display(),
                there.display()
            ))
            .into());
        }
    }
    Ok(outputs)
}

/// The real path of a file that need not exist yet, however its folder is named.
fn place(out: &Path) -> PathBuf {
    let whole = std::path::absolute(out).unwrap_or_else(|_| out.to_path_buf());
    let folder = whole.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, whole.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => whole,
    }
}

/// Writes an output, unless it turns out to be an earlier one: through links that were dangling before, or
/// where the file system takes two names as the same.
fn write(out: &Path, bytes: &[u8], written: &mut HashSet<Identity>) -> Result<()> {
    if read::identity(out).is_some_and(|there| written.contains(&there)) {
        return Err(Error::BadOption(format!(
            "{} was written for another photo; classify this one separately",
            out.display()
        ))
        .into());
    }
    staged::file(out, bytes)?;
    written.extend(read::identity(out));
    Ok(())
}

/// The bytes of a photo or a tensor.
fn photo(arguments: &Arguments, path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    if arguments.tensor.is_some() {
        return read::file(path, MOST_TENSOR, |text| {
            Error::BadOption(format!("{text} for a tensor"))
        });
    }
    read::file(path, limits.bytes, |text| {
        Error::ImageTooLarge(format!("{text}; make it smaller"))
    })
}

fn classify(
    classifier: &Classifier,
    arguments: &Arguments,
    path: &Path,
    photo: &[u8],
    limits: &Limits,
    query: &Query,
) -> Result<Classification> {
    let plain = Query {
        heatmap: None,
        ..query.clone()
    };
    let mut result = if arguments.tensor.is_some() {
        let tensor = npy::read(&mut &*photo)?;
        classifier.classify_tensor(&tensor, &plain)?
    } else {
        let start = Instant::now();
        let image = image(arguments, photo, limits)?;
        classifier.classify_image(image, start.elapsed().as_secs_f64() * 1000.0, &plain)?
    };
    explain(classifier, &mut result, path, query);
    Ok(result)
}

fn image(arguments: &Arguments, photo: &[u8], limits: &Limits) -> Result<Image> {
    Ok(match arguments.partial {
        true => decode_partial(photo, limits)?,
        false => decode(photo, limits)?,
    })
}

/// The photo with its heatmap over it, as PNG.
fn draw(image: Image, heatmap: &Heatmap) -> Result<Vec<u8>> {
    let style = Style {
        width: image.columns,
        height: image.rows,
        colormap: None,
        opacity: 0.7,
    };
    let overlay = Classifier::render(heatmap, &style)?;
    let mut rgb = image.rgb;
    for (under, over) in rgb.chunks_exact_mut(3).zip(overlay.chunks_exact(4)) {
        let alpha = u32::from(over[3]);
        for (under, &over) in under.iter_mut().zip(over) {
            *under =
                ((u32::from(over) * alpha + u32::from(*under) * (255 - alpha) + 127) / 255) as u8;
        }
    }
    let mut png = Cursor::new(Vec::new());
    image::write_buffer_with_format(
        &mut png,
        &rgb,
        style.width,
        style.height,
        image::ColorType::Rgb8,
        image::ImageFormat::Png,
    )?;
    Ok(png.into_inner())
}

/// Adds the heatmap if one is wanted; a slow method shows its progress on a terminal.
fn explain(classifier: &Classifier, result: &mut Classification, path: &Path, query: &Query) {
    let Some(query) = &query.heatmap else {
        return;
    };
    let start = Instant::now();
    let heatmap = classifier.heatmap_while(&result.run, query, |done, of| {
        terminal::progress(&format!("{}: heatmap {done} of {of}", path.display()));
        true
    });
    terminal::progress("");
    result.explained(heatmap, start.elapsed().as_secs_f64() * 1000.0);
}

fn print(file: &str, result: &Classification, json: bool) -> Result<()> {
    if json {
        let mut object = serde_json::to_value(result)?;
        object["file"] = file.into();
        println!("{}", terminal::json(&object));
        return Ok(());
    }
    println!("{file}");
    if let Some(percent) = result.partial {
        match percent {
            100 => println!("cut short: a coarse picture, without its detail"),
            _ => println!("cut short: {percent} % of its rows"),
        }
    }
    match (&result.not_recognised, result.recognised) {
        (Some(sentence), _) => println!("{sentence}"),
        (None, false) => println!("not recognised: no class reaches the threshold of the model"),
        (None, true) => {}
    }
    for Prediction {
        index,
        label,
        probability,
        score,
    } in &result.predictions
    {
        match result.model.activation {
            Activation::None => match &result.model.unit {
                None => println!("{score:9.3}  {label} ({index})"),
                Some(unit) => println!("{score:9.3} {unit}  {label} ({index})"),
            },
            _ => println!("{:7.2} %  {label} ({index})", probability * 100.0),
        }
    }
    Ok(())
}

/// A name for each photo: its file's, with a number if another photo has it.
fn names<'a>(photos: impl Iterator<Item = &'a PathBuf>) -> Vec<String> {
    let mut taken = HashSet::new();
    let unique = |photo: &PathBuf| {
        let stem = photo.file_stem().unwrap_or_default().to_string_lossy();
        let mut name = stem.to_string();
        // Some file systems ignore case.
        for number in 2.. {
            if taken.insert(name.to_lowercase()) {
                break;
            }
            name = format!("{stem}-{number}");
        }
        name
    };
    photos.map(unique).collect()
}

/// `out` with a photo's name added before the extension.
fn beside(out: &Path, name: &str) -> PathBuf {
    let mut file = out.file_stem().unwrap_or_default().to_os_string();
    file.push(format!("-{name}"));
    if let Some(extension) = out.extension() {
        file.push(".");
        file.push(extension);
    }
    out.with_file_name(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_photo_has_a_name_of_its_own() {
        let photos = ["a/x.jpg", "b/x.jpg", "x-2.jpg", "X.png", "x", ".."].map(PathBuf::from);
        let names = names(photos.iter());
        assert_eq!(names, ["x", "x-2", "x-2-2", "X-3", "x-4", ""]);
        assert_eq!(
            beside(Path::new("o/map.png"), "x"),
            Path::new("o/map-x.png")
        );
        assert_eq!(beside(Path::new("map"), "x"), Path::new("map-x"));
    }
}
