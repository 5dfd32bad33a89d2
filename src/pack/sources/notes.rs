//! notes inside an ONNX file (`metadata_props`) → what Ultralytics, Custom Vision, WinML and others write there.

use serde_json::Value;

use super::{Pixels, Said, custom_vision, labels, python, shorter_side};
use crate::error::{Error, Result};
use crate::manifest::{Channels, Filter};
use crate::model::compile::shrink::Outline;

/// Keys under which exporters store the names of classes.
const LABELS: [&str; 7] = [
    "names",
    "labels",
    "class_names",
    "classes",
    "id2label",
    "categories",
    "class_labels",
];

pub(super) fn read(outline: &Outline) -> Result<Vec<Said>> {
    let note = |key: &str| outline.notes.get(key).map(String::as_str);
    let mut said = Said::by("the model's own notes");
    said.labels = LABELS
        .iter()
        .find_map(|key| labels::listed(&value(note(key)?)));
    if let (Some(task), Some("Ultralytics")) = (note("task"), note("author")) {
        if task != "classify" {
            return Err(Error::UnsupportedModel(format!(
                "the file says that its task is `{task}`; export a classifier, whose task is `classify`"
            )));
        }
        ultralytics(&mut said, note("imgsz").and_then(python::literal));
        said.license = note("license").and_then(|text| text.split(' ').next().map(String::from));
    }
    custom_vision::image(&mut said, &note);
    Ok(vec![said])
}

/// Like `classify_transforms` of Ultralytics.
fn ultralytics(said: &mut Said, size: Option<Value>) {
    said.channels = Some(Channels::Rgb);
    said.pixels = Some(Pixels::scaled(1.0 / 255.0));
    let side = |value: &Value| u32::try_from(value.as_u64()?).ok();
    let sides = match &size {
        Some(Value::Array(list)) => list.first().and_then(side).zip(list.get(1).and_then(side)),
        Some(one) => side(one).zip(side(one)),
        None => None,
    };
    if let Some((height, width)) = sides {
        said.size = Some((width, height));
        said.resize = Some(match height == width {
            true => shorter_side(height, Filter::Bilinear),
            false => super::exact(None, Filter::Bilinear),
        });
    }
}

/// JSON, the output of Python's `str()`, or names separated by commas or line ends.
fn value(text: &str) -> Value {
    let read = serde_json::from_str(text)
        .ok()
        .or_else(|| python::literal(text));
    read.unwrap_or_else(|| {
        let separator = if text.contains('\n') { '\n' } else { ',' };
        let names: Vec<&str> = text.split(separator).map(str::trim).collect();
        // A single word may be anything.
        match names.len() {
            1 => Value::Null,
            _ => names.into(),
        }
    })
}
