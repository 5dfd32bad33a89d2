//! the reader's own model, before it is packed, and a photo → what it would say, for JavaScript.

use std::cell::RefCell;

use js_sys::{Function, Object, Uint8Array};
use wasm_bindgen::prelude::*;

use super::pack::{Wanted, described, whole};
use super::{parse, plain, thrown};
use crate::decode::{self, Limits};
use crate::error::Result;
use crate::pack::{Original, Preview, Previewed};

thread_local! {
    static PREVIEW: RefCell<Option<Preview>> = const { RefCell::new(None) };
}

/// Classifies a photo with the model of `onnx` and `beside`, which is loaded by the first call, and again only if the
/// description changes what is loaded: `{ input, cropPercent, predictions, … }`, see [`Previewed`]. A worker has one
/// model for this.
#[wasm_bindgen(js_name = previewModel)]
pub fn preview_model(
    onnx: &Function,
    beside: &Object,
    photo: &Uint8Array,
    options: JsValue,
) -> std::result::Result<JsValue, JsValue> {
    let wanted: Wanted = parse(options).map_err(thrown)?;
    classify(onnx, beside, photo, &wanted)
        .map(|previewed| plain(&previewed))
        .map_err(thrown)
}

fn classify(
    onnx: &Function,
    beside: &Object,
    photo: &Uint8Array,
    wanted: &Wanted,
) -> Result<Previewed> {
    PREVIEW.with_borrow_mut(|kept| {
        let preview = match kept.take().filter(|preview| preview.fits(&wanted.options)) {
            Some(preview) => preview,
            None => {
                let (first, _) = whole(onnx, beside, wanted.memory_limit)?;
                described(&first, wanted.memory_limit)?;
                let mut read = || Ok(whole(onnx, beside, wanted.memory_limit)?.0);
                let onnx = Original::again(&mut read).begun(first);
                Preview::open(onnx, &wanted.options)?
            }
        };
        let image = decode::decode(&photo.to_vec(), &Limits::default())?;
        kept.insert(preview).classify(&image, &wanted.options)
    })
}
