//! photo → predictions, heatmaps and pixels, for JavaScript.

use std::sync::Arc;

use js_sys::{Float32Array, Function, Reflect, Uint8Array, Uint8ClampedArray};
use serde::{Deserialize, Serialize};
use wasm_bindgen::Clamped;
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;
use web_time::Instant;

use super::pace::{Pace, tell};
use super::{Loaded, loaded, milliseconds, parse, plain, set, thrown};
use crate::classifier::Waiting;
use crate::decode::{self, Image, Limits};
use crate::error::{Error, Result};
use crate::heatmap::{Effort, Fill, Method, Sign};
use crate::manifest;
use crate::overlay::{Colormap, Style};
use crate::preprocess::{self, Region, Tensor};
use crate::result::{
    Class, Contrast, FeaturesQuery, Heatmap, HeatmapQuery, Photo, Query, Run, Size, Timing,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClassifyOptions {
    top_k: usize,
    threshold: f32,
    region: Option<Region>,
    heatmap: Option<HeatmapOptions>,
    scores: bool,
    max_pixels: f64,
    max_bytes: f64,
    /// Whether what is there of a photo that is cut short is classified.
    partial: bool,
    /// Longest side of the picture that shows what was classified; none: no picture.
    view: Option<f64>,
}

impl ClassifyOptions {
    fn limits(&self) -> Limits {
        Limits {
            // The cast saturates: Infinity means no limit.
            pixels: self.max_pixels as u64,
            bytes: self.max_bytes as u64,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeatmapOptions {
    class_index: Option<usize>,
    label: Option<String>,
    sign: Sign,
    contrast: Option<ContrastOption>,
    method: Option<Method>,
    #[serde(default)]
    layers: Vec<String>,
    grid: Option<usize>,
    masks: Option<usize>,
    steps: Option<usize>,
    seed: Option<u32>,
    fill: Option<Fill>,
    #[serde(default)]
    smooth: bool,
}

/// A class, or with neither the classes that are most alike.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContrastOption {
    class_index: Option<usize>,
    label: Option<String>,
}

fn class(index: Option<usize>, label: Option<String>) -> Option<Class> {
    index.map(Class::Index).or(label.map(Class::Label))
}

impl From<HeatmapOptions> for HeatmapQuery {
    fn from(options: HeatmapOptions) -> HeatmapQuery {
        let contrast = |ContrastOption { class_index, label }| {
            class(class_index, label).map_or(Contrast::Alike, Contrast::Class)
        };
        HeatmapQuery {
            class: class(options.class_index, options.label),
            sign: options.sign,
            contrast: options.contrast.map(contrast),
            method: options.method,
            layers: options.layers,
            effort: Effort {
                grid: options.grid,
                masks: options.masks,
                steps: options.steps,
                seed: options.seed.map(u64::from),
                fill: options.fill,
                smooth: options.smooth,
            },
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenderOptions {
    width: u32,
    height: u32,
    colormap: Option<Colormap>,
    opacity: f32,
}

/// A photo as the network saw it, except its values, which cross as a separate typed array.
#[derive(Serialize, Deserialize)]
struct Input {
    shape: Vec<usize>,
    image: Size,
    region: Region,
    part: Option<Region>,
}

/// Classifies an encoded photo and calls its result `id`. Where heatmaps can be made, the returned object
/// holds `input`: the photo as the network saw it, for [`heatmap`]. A slow heatmap calls
/// `progress(done, total)`.
#[wasm_bindgen]
pub async fn classify(
    url: String,
    id: String,
    photo: Uint8Array,
    options: JsValue,
    progress: Function,
    signal: AbortSignal,
) -> std::result::Result<JsValue, JsValue> {
    let options: ClassifyOptions = parse(options).map_err(thrown)?;
    let read = || decoded(&photo, &options);
    let loaded = loaded(&url).map_err(thrown)?;
    let (waiting, view) = read_for(&loaded, read, &options).map_err(thrown)?;
    finish(&loaded, id, waiting, view, options, progress, signal).await
}

/// Classifies pixels: RGBA, straight alpha, sRGB, row-major. `decode` is the time in ms that decoding took.
#[wasm_bindgen(js_name = classifyPixels)]
#[allow(clippy::too_many_arguments)] // one crossing from JavaScript
pub async fn classify_pixels(
    url: String,
    id: String,
    rgba: Uint8Array,
    width: u32,
    height: u32,
    decode: f64,
    options: JsValue,
    progress: Function,
    signal: AbortSignal,
) -> std::result::Result<JsValue, JsValue> {
    let options: ClassifyOptions = parse(options).map_err(thrown)?;
    let read = || {
        let image = decode::from_rgba(rgba.to_vec(), width, height, &options.limits())?;
        Ok((image, decode))
    };
    let loaded = loaded(&url).map_err(thrown)?;
    let (waiting, view) = read_for(&loaded, read, &options).map_err(thrown)?;
    finish(&loaded, id, waiting, view, options, progress, signal).await
}

/// An encoded photo as an image, and the ms that this took.
fn decoded(photo: &Uint8Array, options: &ClassifyOptions) -> Result<(Image, f64)> {
    let limits = options.limits();
    if u64::from(photo.length()) > limits.bytes {
        let (actual, most) = (photo.length(), limits.bytes);
        return Err(Error::ImageTooLarge(format!(
            "the file has {actual} bytes, at most {most} are read; make it smaller first, or raise `maxBytes`"
        )));
    }
    let start = Instant::now();
    let photo = photo.to_vec();
    let image = match options.partial {
        true => decode::decode_partial(&photo, &limits)?,
        false => decode::decode(&photo, &limits)?,
    };
    Ok((image, milliseconds(start)))
}

fn read_for(
    loaded: &Loaded,
    read: impl FnOnce() -> Result<(Image, f64)>,
    options: &ClassifyOptions,
) -> Result<(Waiting, Option<JsValue>)> {
    let (image, decode) = read()?;
    let classifier = loaded.classifier.borrow();
    waiting(image, decode, &classifier.manifest().input, options)
}

/// All that is needed of an image: the model's input, and the picture that shows it.
fn waiting(
    image: Image,
    decode: f64,
    input: &manifest::Input,
    options: &ClassifyOptions,
) -> Result<(Waiting, Option<JsValue>)> {
    let view = options.view.map(|longest| picture(&image, longest));
    let waiting = Waiting::new(image, decode, options.region.as_ref(), input)?;
    Ok((waiting, view))
}

/// What a module without the model needs to decode and resize its photos: `input` of `model.json`.
#[wasm_bindgen(js_name = inputOf)]
pub fn input_of(url: &str) -> std::result::Result<JsValue, JsValue> {
    let loaded = loaded(url).map_err(thrown)?;
    let classifier = loaded.classifier.borrow();
    Ok(plain(&classifier.manifest().input))
}

/// This module, for another worker: `WebAssembly.Module`.
#[wasm_bindgen]
pub fn compiled() -> JsValue {
    wasm_bindgen::module()
}

/// Decodes and resizes an encoded photo as [`classify`] does, for a model in another worker; `input` is what
/// [`input_of`] gave there. Returns what [`classify_waiting`] takes, and `view` where it is wanted.
#[wasm_bindgen(js_name = readAhead)]
pub fn read_ahead(
    photo: &Uint8Array,
    input: JsValue,
    options: JsValue,
) -> std::result::Result<JsValue, JsValue> {
    ahead(input, options, |options| decoded(photo, options)).map_err(thrown)
}

/// As [`read_ahead`], of pixels: RGBA, straight alpha, sRGB, row-major.
#[wasm_bindgen(js_name = readPixelsAhead)]
pub fn read_pixels_ahead(
    rgba: &Uint8Array,
    width: u32,
    height: u32,
    decode: f64,
    input: JsValue,
    options: JsValue,
) -> std::result::Result<JsValue, JsValue> {
    let read = |options: &ClassifyOptions| {
        let image = decode::from_rgba(rgba.to_vec(), width, height, &options.limits())?;
        Ok((image, decode))
    };
    ahead(input, options, read).map_err(thrown)
}

fn ahead(
    input: JsValue,
    options: JsValue,
    read: impl FnOnce(&ClassifyOptions) -> Result<(Image, f64)>,
) -> Result<JsValue> {
    let options: ClassifyOptions = parse(options)?;
    let (image, decode) = read(&options)?;
    let (waiting, view) = waiting(image, decode, &parse(input)?, &options)?;
    let object = plain(&Times {
        decode: waiting.timing.decode,
        preprocess: waiting.timing.preprocess,
        partial: waiting.partial,
    });
    set(&object, "input", &input_object(&waiting.photo));
    if let Some(view) = view {
        set(&object, "view", &view);
    }
    Ok(object)
}

/// What is known of a photo that was read elsewhere, beside its input.
#[derive(Serialize, Deserialize)]
struct Times {
    decode: f64,
    preprocess: f64,
    partial: Option<u8>,
}

/// Classifies what [`read_ahead`] gave.
#[wasm_bindgen(js_name = classifyWaiting)]
pub async fn classify_waiting(
    url: String,
    id: String,
    waiting: JsValue,
    options: JsValue,
    progress: Function,
    signal: AbortSignal,
) -> std::result::Result<JsValue, JsValue> {
    let options: ClassifyOptions = parse(options).map_err(thrown)?;
    let input = Reflect::get(&waiting, &"input".into()).unwrap_or_default();
    let times: Times = parse(waiting).map_err(thrown)?;
    let timing = Timing {
        decode: times.decode,
        preprocess: times.preprocess,
        ..Timing::default()
    };
    let waiting = Waiting {
        photo: photo_of(input).map_err(thrown)?,
        timing,
        partial: times.partial,
    };
    let loaded = loaded(&url).map_err(thrown)?;
    finish(&loaded, id, waiting, None, options, progress, signal).await
}

async fn finish(
    loaded: &Loaded,
    id: String,
    waiting: Waiting,
    view: Option<JsValue>,
    options: ClassifyOptions,
    progress: Function,
    signal: AbortSignal,
) -> std::result::Result<JsValue, JsValue> {
    let query = Query {
        top_k: options.top_k,
        threshold: options.threshold,
        region: options.region,
        heatmap: None,
    };
    let classified = loaded.classifier.borrow().classify_waiting(waiting, &query);
    let mut result = classified.map_err(thrown)?;
    let run = Arc::clone(&result.run);
    loaded.newest.replace(Some((id, Arc::clone(&run))));
    if let Some(query) = options.heatmap {
        let start = Instant::now();
        let query = HeatmapQuery::from(query);
        let heatmap = explain(loaded, &run, &query, &progress, &signal).await;
        if let Err(error) = &heatmap
            && (query.is_certain() || *error == Error::Cancelled)
        {
            return Err(thrown(error.clone()));
        }
        result.explained(heatmap, milliseconds(start));
    }
    let object = plain(&result);
    if let Some(heatmap) = &result.heatmap {
        set(&object, "heatmap", &heatmap_object(heatmap));
    }
    if options.scores {
        let probabilities = loaded.classifier.borrow().probabilities(run.scores());
        set(&object, "scores", &Float32Array::from(run.scores()));
        set(
            &object,
            "probabilities",
            &Float32Array::from(&probabilities[..]),
        );
    }
    if loaded.options.heatmap {
        set(&object, "input", &input_object(run.photo()));
    }
    if let Some(view) = view {
        set(&object, "view", &view);
    }
    Ok(object)
}

/// Decodes a photo as [`classify`] does: `{ rgba, width, height }`, upright, of at most `longest` pixels
/// per side; a huge one at half its size.
#[wasm_bindgen(js_name = decodePhoto)]
pub fn decode_photo(
    photo: &Uint8Array,
    max_pixels: f64,
    longest: f64,
) -> std::result::Result<JsValue, JsValue> {
    let limits = Limits {
        pixels: max_pixels as u64,
        ..Limits::default()
    };
    let image = decode::decode(&photo.to_vec(), &limits).map_err(thrown)?;
    Ok(picture(&image, longest))
}

/// `{ rgba, width, height }`, of at most `longest` pixels per side.
fn picture(image: &Image, longest: f64) -> JsValue {
    // The cast saturates: a longest side of Infinity leaves the image as it is.
    let (rgb, width, height) = preprocess::shrink(image, longest as u32);
    let object = plain(&Size { width, height });
    let rgba: Vec<u8> = rgb
        .chunks_exact(3)
        .flat_map(|p| [p[0], p[1], p[2], 255])
        .collect();
    set(&object, "rgba", &Uint8ClampedArray::from(&rgba[..]));
    object
}

/// The heatmap of a class of the result `id`, whose `input` [`classify`] returned; the network runs again
/// if it has seen another photo since. A slow heatmap calls `progress(done, total)`.
#[wasm_bindgen]
pub async fn heatmap(
    url: String,
    id: String,
    input: JsValue,
    options: JsValue,
    progress: Function,
    signal: AbortSignal,
) -> std::result::Result<JsValue, JsValue> {
    let options: HeatmapOptions = parse(options).map_err(thrown)?;
    let loaded = loaded(&url).map_err(thrown)?;
    let run = run(&loaded, id, input).map_err(thrown)?;
    let heatmap = explain(&loaded, &run, &options.into(), &progress, &signal).await;
    Ok(heatmap_object(&heatmap.map_err(thrown)?))
}

/// The run behind a result: the newest one, or else a new one.
pub(super) fn run(loaded: &Loaded, id: String, input: JsValue) -> Result<Arc<Run>> {
    if let Some((newest, run)) = &*loaded.newest.borrow()
        && *newest == id
    {
        return Ok(Arc::clone(run));
    }
    let run = Arc::new(loaded.classifier.borrow().run(photo_of(input)?)?);
    loaded.newest.replace(Some((id, Arc::clone(&run))));
    Ok(run)
}

fn photo_of(input: JsValue) -> Result<Photo> {
    let values = Reflect::get(&input, &"values".into()).unwrap_or_default();
    let values = values
        .dyn_into::<Float32Array>()
        .map_err(|_| Error::Disposed)?
        .to_vec();
    let Input {
        shape,
        image,
        region,
        part,
    } = parse(input)?;
    let input = Tensor { shape, values };
    Ok(Photo {
        input,
        image,
        region,
        part,
    })
}

fn input_object(photo: &Photo) -> JsValue {
    let object = plain(&Input {
        shape: photo.input.shape.clone(),
        image: photo.image,
        region: photo.region,
        part: photo.part,
    });
    set(
        &object,
        "values",
        &Float32Array::from(&photo.input.values[..]),
    );
    object
}

async fn explain(
    loaded: &Loaded,
    run: &Run,
    query: &HeatmapQuery,
    progress: &Function,
    signal: &AbortSignal,
) -> Result<Heatmap> {
    let mut explaining = loaded.classifier.borrow().explain(run, query)?;
    let mut pace = Pace::default();
    loop {
        let (done, total) = explaining.progress();
        if done == total {
            return Ok(loaded.classifier.borrow().finish(explaining));
        }
        if pace.is_due() {
            tell(progress, done, total);
            pace.pause(signal).await?;
        }
        loaded.classifier.borrow().step(&mut explaining)?;
    }
}

/// The activations of a layer for the photo of the result `id`, whose `input` [`classify`] returned: `{ values, shape,
/// layer }`. The network runs again if it has seen another photo since.
#[wasm_bindgen]
pub fn features(
    url: String,
    id: String,
    input: JsValue,
    layer: Option<String>,
    pooled: bool,
) -> std::result::Result<JsValue, JsValue> {
    let loaded = loaded(&url).map_err(thrown)?;
    let run = run(&loaded, id, input).map_err(thrown)?;
    let query = FeaturesQuery { layer, pooled };
    let features = loaded.classifier.borrow().features(&run, &query);
    let features = features.map_err(thrown)?;
    let object = plain(&features);
    set(&object, "values", &Float32Array::from(&features.values[..]));
    Ok(object)
}

fn heatmap_object(heatmap: &Heatmap) -> JsValue {
    let object = plain(heatmap);
    set(&object, "values", &Float32Array::from(&heatmap.values[..]));
    object
}

/// Draws a heatmap: RGBA, straight alpha, row-major.
#[wasm_bindgen]
pub fn render(
    values: &Float32Array,
    heatmap: JsValue,
    options: JsValue,
) -> std::result::Result<Clamped<Vec<u8>>, JsValue> {
    #[derive(Deserialize)]
    struct Shape {
        width: usize,
        height: usize,
        max: f32,
        sign: Sign,
        region: Region,
        part: Option<Region>,
        image: Size,
    }
    let shape: Shape = parse(heatmap).map_err(thrown)?;
    let options: RenderOptions = parse(options).map_err(thrown)?;
    let values = values.to_vec();
    if shape.width.checked_mul(shape.height) != Some(values.len()) || values.is_empty() {
        let (actual, width, height) = (values.len(), shape.width, shape.height);
        return Err(thrown(Error::BadOption(format!(
            "the heatmap has {actual} values, expected {width} × {height}"
        ))));
    }
    let map = crate::heatmap::Map {
        width: shape.width,
        height: shape.height,
        values,
        max: shape.max,
        signed: shape.sign == Sign::Both,
    };
    let style = Style {
        width: options.width,
        height: options.height,
        colormap: options.colormap,
        opacity: options.opacity,
    };
    let image = (shape.image.width, shape.image.height);
    crate::overlay::overlay(&map, &shape.region, shape.part.as_ref(), image, &style)
        .map(Clamped)
        .map_err(thrown)
}
