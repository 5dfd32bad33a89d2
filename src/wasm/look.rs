//! photo → predictions, heatmaps and pixels, asked for by JavaScript.

use js_sys::{Float32Array, Function, Uint8Array, Uint8ClampedArray};
use serde::Deserialize;
use wasm_bindgen::Clamped;
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;
use web_time::Instant;

use super::{Loaded, loaded, milliseconds, parse, plain, set, thrown};
use crate::classifier::{Class, Heatmap, HeatmapQuery, Query, Size};
use crate::decode::{self, Image, Limits};
use crate::error::{Error, Result};
use crate::fetch;
use crate::heatmap::Method;
use crate::overlay::{Colormap, Style};
use crate::preprocess::{self, Region};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClassifyOptions {
    top_k: usize,
    threshold: f32,
    heatmap: Option<HeatmapOptions>,
    scores: bool,
    max_pixels: f64,
    max_bytes: f64,
    /// Longest side of the picture of what was classified; none: no picture.
    view: Option<f64>,
}

impl ClassifyOptions {
    fn limits(&self) -> Limits {
        Limits {
            // The cast saturates: a limit of Infinity is none.
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
    method: Option<Method>,
    #[serde(default)]
    layers: Vec<String>,
}

impl From<HeatmapOptions> for HeatmapQuery {
    fn from(options: HeatmapOptions) -> HeatmapQuery {
        let label = options.label.map(Class::Label);
        HeatmapQuery {
            class: options.class_index.map(Class::Index).or(label),
            method: options.method,
            layers: options.layers,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenderOptions {
    width: u32,
    height: u32,
    #[serde(default)]
    colormap: Colormap,
    opacity: f32,
    image: Size,
}

/// Classifies an encoded photo; `progress(done, total)` is that of a slow heatmap.
#[wasm_bindgen]
pub async fn classify(
    url: String,
    photo: Uint8Array,
    options: JsValue,
    progress: Function,
    signal: AbortSignal,
) -> std::result::Result<JsValue, JsValue> {
    let options: ClassifyOptions = parse(options).map_err(thrown)?;
    let limits = options.limits();
    if u64::from(photo.length()) > limits.bytes {
        let (actual, most) = (photo.length(), limits.bytes);
        return Err(thrown(Error::ImageTooLarge(format!(
            "the file has {actual} bytes, at most {most} are read; make it smaller first, or raise `maxBytes`"
        ))));
    }
    let read = || {
        let start = Instant::now();
        let image = decode::decode(&photo.to_vec(), &limits)?;
        Ok((image, milliseconds(start)))
    };
    answer(url, options, read, progress, signal).await
}

/// Classifies pixels: RGBA, straight alpha, sRGB, row-major. `decode` is the time in ms that it took
/// to get them.
#[wasm_bindgen(js_name = classifyPixels)]
#[allow(clippy::too_many_arguments)] // one crossing from JavaScript
pub async fn classify_pixels(
    url: String,
    rgba: Uint8Array,
    width: u32,
    height: u32,
    decode: f64,
    options: JsValue,
    progress: Function,
    signal: AbortSignal,
) -> std::result::Result<JsValue, JsValue> {
    let options: ClassifyOptions = parse(options).map_err(thrown)?;
    let limits = options.limits();
    let read = || {
        let image = decode::from_rgba(rgba.to_vec(), width, height, &limits)?;
        Ok((image, decode))
    };
    answer(url, options, read, progress, signal).await
}

async fn answer(
    url: String,
    options: ClassifyOptions,
    read: impl FnOnce() -> Result<(Image, f64)>,
    progress: Function,
    signal: AbortSignal,
) -> std::result::Result<JsValue, JsValue> {
    let query = Query {
        top_k: options.top_k,
        threshold: options.threshold,
        heatmap: None,
    };
    let loaded = loaded(&url).map_err(thrown)?;
    let (image, decode) = read().map_err(thrown)?;
    let view = options.view.map(|longest| picture(&image, longest));
    let (mut result, scores) = {
        let mut classifier = loaded.classifier.borrow_mut();
        let result = classifier
            .classify_image(image, decode, &query)
            .map_err(thrown)?;
        let scores = options
            .scores
            .then(|| Float32Array::from(classifier.scores()));
        (result, scores)
    };
    if let Some(query) = options.heatmap {
        let start = Instant::now();
        let query = HeatmapQuery::from(query);
        let heatmap = explain(&loaded, &query, &progress, &signal).await;
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
    if let Some(scores) = scores {
        set(&object, "scores", &scores);
    }
    if let Some(view) = view {
        set(&object, "view", &view);
    }
    Ok(object)
}

/// Decodes a photo as [`classify`] does: `{ rgba, width, height }`, upright, of `longest` pixels a side at
/// the most; a huge one at half its size.
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

/// `{ rgba, width, height }`, of `longest` pixels a side at the most.
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

/// The heatmap of a class of the last photo; `progress(done, total)` is that of a slow one.
#[wasm_bindgen]
pub async fn heatmap(
    url: String,
    options: JsValue,
    progress: Function,
    signal: AbortSignal,
) -> std::result::Result<JsValue, JsValue> {
    let options: HeatmapOptions = parse(options).map_err(thrown)?;
    let loaded = loaded(&url).map_err(thrown)?;
    let heatmap = explain(&loaded, &options.into(), &progress, &signal).await;
    Ok(heatmap_object(&heatmap.map_err(thrown)?))
}

/// Between two runs of the network other messages are heard, among them that the caller gives up.
async fn explain(
    loaded: &Loaded,
    query: &HeatmapQuery,
    progress: &Function,
    signal: &AbortSignal,
) -> Result<Heatmap> {
    let mut explaining = loaded.classifier.borrow().explain(query)?;
    while !loaded.classifier.borrow().step(&mut explaining)? {
        let (done, total) = explaining.progress();
        let _ = progress.call2(&JsValue::UNDEFINED, &done.into(), &total.into());
        fetch::sleep(0.0).await;
        if signal.aborted() {
            return Err(Error::Cancelled);
        }
    }
    Ok(loaded.classifier.borrow().finish(explaining))
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
        region: Region,
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
    };
    let style = Style {
        width: options.width,
        height: options.height,
        colormap: options.colormap,
        opacity: options.opacity,
    };
    let image = (options.image.width, options.image.height);
    crate::overlay::overlay(&map, &shape.region, image, &style)
        .map(Clamped)
        .map_err(thrown)
}
