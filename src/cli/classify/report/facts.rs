//! model → what a report says around its photos, as `www/page/report/facts.js`.

use serde_json::{Value, json};
use whylens::manifest::{Activation, Manifest};
use whylens::{Classifier, ModelName, Prediction};

use super::figures::{Words, clipped};

/// Whether a model gives one number, which no class is.
pub fn is_number(classifier: &Classifier) -> bool {
    classifier.activation() == Activation::None && classifier.labels().len() == 1
}

/// What a class is given.
pub fn given(prediction: &Prediction, model: &ModelName, words: &Words) -> String {
    match (model.activation, &model.unit) {
        (Activation::None, None) => words.fixed(prediction.score.into(), 2),
        (Activation::None, Some(unit)) => {
            format!("{} {unit}", words.fixed(prediction.score.into(), 2))
        }
        _ => words.percent(prediction.probability.into()),
    }
}

/// Terms and texts, without those that have none.
pub fn facts(all: &[(&str, String)], words: &Words) -> Value {
    let there = all.iter().filter(|(_, text)| !text.is_empty());
    there
        .map(|(name, text)| json!({ "term": words.text(&format!("facts.{name}")), "text": text }))
        .collect()
}

/// The model, and how it reads photos.
pub fn model(classifier: &Classifier, words: &Words) -> (Value, Value) {
    let manifest = classifier.manifest();
    let activation = classifier.activation().to_string();
    let threshold = manifest.output.threshold;
    let model = facts(
        &[
            ("name", manifest.name.clone()),
            ("version", manifest.version.clone()),
            ("license", manifest.license.clone()),
            ("source", manifest.source.clone()),
            ("weights", weights(manifest, words)),
            ("sha256", manifest.weights.sha256.clone()),
            (
                "output",
                words.text(&format!("activations.{activation}")).into(),
            ),
            ("classes", classifier.labels().len().to_string()),
            (
                "threshold",
                threshold
                    .map(|least| words.percent(least))
                    .unwrap_or_default(),
            ),
        ],
        words,
    );
    (model, reading(manifest, words))
}

fn weights(manifest: &Manifest, words: &Words) -> String {
    let megabytes = words.fixed(manifest.weights.bytes as f64 / 1e6, 1);
    let precision = json!(manifest.weights.precision);
    let precision = precision.as_str().unwrap_or_default().to_uppercase();
    words.said(
        "weights",
        &[("megabytes", &megabytes), ("precision", &precision)],
    )
}

fn reading(manifest: &Manifest, words: &Words) -> Value {
    let input = &manifest.input;
    let named = json!(input);
    let name = |path: &str| {
        named
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (width, height) = (input.width.to_string(), input.height.to_string());
    let side = |own: u32| input.resize.size.unwrap_or(own).to_string();
    let resized = words.said(
        &format!("resizes.{}", name("/resize/mode")),
        &[
            ("filter", name("/resize/filter")),
            ("size", &side(input.width.min(input.height))),
            ("width", &side(input.width)),
            ("height", &side(input.height)),
        ],
    );
    let channels = words.text(&format!("channels.{}", name("/channels")));
    let listed = |values: &[f64]| -> String {
        let values: Vec<String> = values.iter().map(|&value| words.exact(value)).collect();
        values.join(words.text("list"))
    };
    facts(
        &[
            (
                "input",
                words.said(
                    "input",
                    &[
                        ("width", &width),
                        ("height", &height),
                        ("channels", channels),
                    ],
                ),
            ),
            (
                "resize",
                match input.resize.antialias {
                    true => resized,
                    false => words.said("sharp", &[("resize", &resized)]),
                },
            ),
            (
                "crop",
                words.text(&format!("crops.{}", name("/crop"))).into(),
            ),
            (
                "values",
                words.said("values", &[("scale", &words.ratio(input.scale))]),
            ),
            ("mean", listed(&input.mean)),
            ("std", listed(&input.std)),
        ],
        words,
    )
}

/// The text of a whole report around its photos, of which there are `rows` (see [`super::view::row`]).
pub fn whole(
    classifier: &Classifier,
    words: &Words,
    created: &str,
    rows: &[Value],
    data: String,
) -> Value {
    let (model, reading) = model(classifier, words);
    let name = match rows {
        [only] => only["file"].as_str().unwrap_or_default().to_string(),
        _ => words.said("photos", &[("number", &rows.len().to_string())]),
    };
    let heading = clipped(words.text("heading"));
    json!({
        "words": words.0,
        "said": words.0["said"],
        "version": env!("CARGO_PKG_VERSION"),
        "created": created,
        "createdWords": date(created, words),
        "title": words.said("title", &[("name", &name), ("heading", &heading)]),
        "heading": heading,
        "disclaimer": classifier.manifest().disclaimer,
        "given": given_name(classifier, words),
        "overview": (rows.len() > 1).then(|| json!({ "rows": rows })),
        "model": model,
        "reading": reading,
        "data": data,
    })
}

/// What the values of classes are called.
pub fn given_name<'a>(classifier: &Classifier, words: &'a Words) -> &'a str {
    match classifier.activation() {
        Activation::None => words.text("said.value"),
        _ => words.text("said.probability"),
    }
}

/// A time in ISO 8601, in words.
fn date(iso: &str, words: &Words) -> String {
    let part = |range: std::ops::Range<usize>| iso.get(range).unwrap_or_default();
    let month: usize = part(5..7).parse().unwrap_or(0);
    let month = words.0["months"][month.wrapping_sub(1)].as_str();
    words.said(
        "date",
        &[
            ("year", part(0..4)),
            ("month", month.unwrap_or_default()),
            ("day", part(8..10).trim_start_matches('0')),
            ("time", part(11..16)),
        ],
    )
}
