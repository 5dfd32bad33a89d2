//! results → what the template of a report shows, as `www/page/report/view.js`.

use serde_json::{Value, json};
use whylens::manifest::Activation;
use whylens::{Classification, Classifier, Evidence, Heatmap, Method, Region, Side, Sign, Size};

use super::super::check::Found;
use super::curves;
use super::facts::{facts, given, is_number};
use super::figures::{Words, clipped, fixed};
use super::pictures::Drawn;

/// Rows of the table of predictions.
const ROWS: usize = 5;

/// A photo that was classified.
pub fn photo(
    id: &str,
    file: &str,
    result: &Classification,
    found: Option<&Found>,
    drawn: &Drawn,
    classifier: &Classifier,
    words: &Words,
) -> Value {
    let file = clipped(file);
    let seen = result.heatmap.as_ref().map(|heatmap| heatmap.region);
    let frame = seen
        .or(result.region)
        .and_then(|region| frame(&region, &result.image));
    let size = [
        ("width", &*result.image.width.to_string()),
        ("height", &*result.image.height.to_string()),
    ];
    let caption = match frame {
        Some(_) => words.text("framed"),
        None => words.text("photo"),
    };
    let maps: Vec<Value> = result
        .heatmap
        .iter()
        .map(|heatmap| map(heatmap, found, drawn, &file, classifier, words))
        .collect();
    json!({
        "id": id,
        "file": file,
        "size": words.said("size", &size),
        "notes": notes(result, words),
        "picture": {
            "src": drawn.src,
            "width": drawn.width.to_string(),
            "height": drawn.height.to_string(),
            "alt": words.said("photoAlt", &[("file", &file)]),
            "caption": caption,
            "frame": frame,
        },
        "maps": maps,
        "predictions": predictions(result, classifier, words),
    })
}

/// A photo that could not be classified.
pub fn failed(id: &str, file: &str, message: &str, words: &Words) -> Value {
    let note = words.said("notes.failed", &[("message", message)]);
    json!({ "id": id, "file": clipped(file), "notes": [note] })
}

/// A row of the table of all photos.
pub fn row(id: &str, file: &str, result: Result<&Classification, &str>, words: &Words) -> Value {
    let best = result.ok().and_then(|result| result.predictions.first());
    let label = match result {
        Err(message) => message,
        Ok(result) if !result.recognised => match &result.not_recognised {
            Some(sentence) => sentence,
            None => words.text("notes.unrecognised"),
        },
        Ok(_) => best.map_or("", |best| &best.label),
    };
    let value = match (result, best) {
        (Ok(result), Some(best)) => given(best, &result.model, words),
        _ => String::new(),
    };
    json!({ "id": id, "file": clipped(file), "label": clipped(label), "value": value })
}

fn predictions(result: &Classification, classifier: &Classifier, words: &Words) -> Value {
    if result.predictions.is_empty() {
        return Value::Null;
    }
    let is_probability = result.model.activation != Activation::None;
    let rows = result.predictions.iter().take(ROWS).enumerate();
    let rows: Vec<Value> = rows
        .map(|(at, found)| {
            let share = f64::from(found.probability) * 100.0;
            json!({
                "first": at == 0,
                "label": clipped(&found.label),
                "value": given(found, &result.model, words),
                "bar": (is_probability && !is_number(classifier)).then(|| fixed(share, 1, ".")),
                "score": is_probability.then(|| words.fixed(found.score.into(), 2)),
            })
        })
        .collect();
    json!({ "scored": is_probability, "rows": rows })
}

fn notes(result: &Classification, words: &Words) -> Vec<String> {
    let unrecognised = match (result.recognised, &result.not_recognised) {
        (true, _) => None,
        (false, Some(sentence)) => Some(sentence.clone()),
        (false, None) => Some(words.text("notes.unrecognised").into()),
    };
    let part = result.region.map(|region| {
        let region = placed(&region, words);
        words.said("notes.part", &[("region", &region)])
    });
    let partial = result.partial.map(|percent| {
        let percent = words.said("percent", &[("number", &percent.to_string())]);
        words.said("notes.partial", &[("percent", &percent)])
    });
    let reason = result.no_heatmap.as_ref();
    let no_heatmap =
        reason.map(|reason| words.said("notes.noHeatmap", &[("message", &reason.message)]));
    let all = [unrecognised, part, partial, no_heatmap];
    all.into_iter().flatten().collect()
}

fn map(
    heatmap: &Heatmap,
    found: Option<&Found>,
    drawn: &Drawn,
    file: &str,
    classifier: &Classifier,
    words: &Words,
) -> Value {
    let title = called(heatmap, classifier, words);
    let value = words.brief(heatmap.max.into());
    let is_empty = heatmap.max <= 0.0;
    let both = heatmap.sign == Sign::Both;
    let nothing = match is_number(classifier) {
        true => words.text("numberNothing"),
        false => words.text(&format!("nothing.{}", sign(heatmap))),
    };
    let sentences = match is_empty {
        true => vec![nothing.to_string()],
        false => evidence(heatmap, words),
    };
    let method = method(heatmap.method, words);
    let grid = [
        ("width", &*heatmap.width.to_string()),
        ("height", &*heatmap.height.to_string()),
    ];
    let most = if both { "for" } else { "most" };
    let (src, legend) = drawn
        .map
        .as_ref()
        .map_or(("", ""), |map| (&*map.src, &*map.legend));
    json!({
        "title": title,
        "src": src,
        "width": drawn.width.to_string(),
        "height": drawn.height.to_string(),
        "legend": legend,
        "alt": words.said("mapAlt", &[("title", &title), ("file", file)]),
        "caption": title,
        "legendAlt": words.text("legendAlt"),
        "least": match both {
            true => words.said("against", &[("value", &value)]),
            false => words.text("least").to_string(),
        },
        "most": words.said(most, &[("value", &value)]),
        "sentences": sentences,
        "facts": facts(
            &[
                ("method", method),
                ("layer", clipped(&heatmap.layer)),
                ("grid", words.said("grid", &grid)),
                ("region", placed(&heatmap.region, words)),
                ("most", value),
            ],
            words,
        ),
        "check": found.map(|found| curves::view(found, &clipped(&heatmap.label), classifier, words)),
    })
}

fn method(method: Method, words: &Words) -> String {
    let name = method.to_string();
    match words.0["methods"].get(&name).and_then(Value::as_str) {
        Some(said) => said.to_string(),
        None => name,
    }
}

/// Where the evidence lies, in figures.
fn evidence(heatmap: &Heatmap, words: &Words) -> Vec<String> {
    let [own, opposing] = [&heatmap.evidence, &heatmap.opposing]
        .map(|found| found.as_ref().map(|it| lies(it, words)));
    match heatmap.sign {
        Sign::Both => [("for", own), ("against", opposing)]
            .into_iter()
            .filter_map(|(side, text)| {
                let side = format!("evidence.{side}");
                text.map(|text| words.said(&side, &[("text", &text)]))
            })
            .collect(),
        Sign::For | Sign::Against => own.into_iter().collect(),
    }
}

fn lies(found: &Evidence, words: &Words) -> String {
    let half = words.said(
        "evidence.half",
        &[
            ("share", &words.percent(found.share.into())),
            ("x", &words.whole(found.x.into())),
            ("y", &words.whole(found.y.into())),
        ],
    );
    let spots = match found.spots {
        1 => words.text("evidence.spot").to_string(),
        count => words.said("evidence.spots", &[("number", &count.to_string())]),
    };
    let sides = found.border.iter().map(|side| match side {
        Side::Top => words.text("evidence.sides.top"),
        Side::Right => words.text("evidence.sides.right"),
        Side::Bottom => words.text("evidence.sides.bottom"),
        Side::Left => words.text("evidence.sides.left"),
    });
    let sides: Vec<&str> = sides.collect();
    let list = sides.join(words.text("list"));
    let border = (!sides.is_empty()).then(|| words.said("evidence.border", &[("sides", &list)]));
    let all = [Some(half), Some(spots), border];
    all.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn sign(heatmap: &Heatmap) -> &'static str {
    match heatmap.sign {
        Sign::For => "for",
        Sign::Against => "against",
        Sign::Both => "both",
    }
}

fn called(heatmap: &Heatmap, classifier: &Classifier, words: &Words) -> String {
    let sign = sign(heatmap);
    if is_number(classifier) {
        return words.text(&format!("numberMaps.{sign}")).to_string();
    }
    let others: Vec<String> = heatmap
        .contrast
        .iter()
        .map(|other| clipped(&other.label))
        .collect();
    let not = if others.is_empty() { "" } else { "Not" };
    let (label, other) = (clipped(&heatmap.label), others.join("”, “"));
    words.said(
        &format!("maps.{sign}{not}"),
        &[("label", &label), ("other", &other)],
    )
}

fn placed(region: &Region, words: &Words) -> String {
    let whole = |value| fixed(value, 0, ".");
    words.said(
        "region",
        &[
            ("x", &whole(region.x)),
            ("y", &whole(region.y)),
            ("width", &whole(region.width)),
            ("height", &whole(region.height)),
        ],
    )
}

/// What of the photo lies in a region; none: all.
fn frame(region: &Region, image: &Size) -> Option<Value> {
    let (columns, rows) = (f64::from(image.width), f64::from(image.height));
    let (left, top) = (region.x.max(0.0), region.y.max(0.0));
    let right = columns.min(region.x + region.width);
    let bottom = rows.min(region.y + region.height);
    if left < 0.5 && top < 0.5 && right > columns - 0.5 && bottom > rows - 0.5 {
        return None;
    }
    Some(json!({
        "box": format!("0 0 {columns} {rows}"),
        "x": fixed(left, 1, "."),
        "y": fixed(top, 1, "."),
        "width": fixed(right - left, 1, "."),
        "height": fixed(bottom - top, 1, "."),
    }))
}
