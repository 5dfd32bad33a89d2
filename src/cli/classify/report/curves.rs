//! check of a map → sentences and curves of a report, as `www/page/report/curves.js`.

use serde_json::{Value, json};
use whylens::manifest::Activation;
use whylens::{Checked, Classifier, Steadiness};

use super::super::check::Found;
use super::facts::is_number;
use super::figures::{Words, point};

/// The sentence tells of the first share that is not less; of 32 bits.
const TOLD: f64 = 0.1 - 1e-6;
/// The shares of which the drawing's text tells.
const READ: [f64; 6] = [0.0, 0.1, 0.25, 0.5, 0.75, 1.0];
/// Where curves are drawn: left, top, width and height, as the template's axes.
const PLACE: [f64; 4] = [34.0, 6.0, 200.0, 84.0];

pub fn view(found: &Found, label: &str, classifier: &Classifier, words: &Words) -> Value {
    let Found { checked, stability } = found;
    let is_probability = classifier.activation() != Activation::None;
    let value = |each: f32| match is_probability {
        true => words.percent(each.into()),
        false => words.fixed(each.into(), 2),
    };
    let all = || {
        let random = checked.random.iter().flatten();
        let curves = checked.deletion.iter().chain(&checked.insertion);
        curves.chain(random).copied()
    };
    let (bottom, top) = match is_probability {
        true => (0.0, 1.0),
        false => (least(all()), most(all())),
    };
    let at = checked
        .shares
        .iter()
        .position(|&share| f64::from(share) >= TOLD);
    let at = at.unwrap_or_default();
    let read = |curve: &[f32], step: usize| curve.get(step).copied().unwrap_or_default();
    let share = words.whole(read(&checked.shares, at).into());
    let subject = match (is_number(classifier), is_probability) {
        (true, _) => "number",
        (_, true) => "class",
        _ => "score",
    };
    let subject = words.said(&format!("check.subjects.{subject}"), &[("label", label)]);
    let verdict = json!(checked.verdict);
    let verdict = format!("check.verdicts.{}", verdict.as_str().unwrap_or_default());
    let scale = Scale {
        checked,
        is_probability,
        bottom,
        top,
        words,
    };
    let plot = |name, curve, area, across, mirrored| {
        scale.plot(name, curve, area, across, mirrored, &value)
    };
    let hidden = words.said(
        "check.hidden",
        &[
            ("subject", &subject),
            ("share", &share),
            ("before", &value(read(&checked.deletion, 0))),
            ("after", &value(read(&checked.deletion, at))),
            ("random", &value(scale.mean(at) as f32)),
        ],
    );
    let verdict = words.said(
        &verdict,
        &[
            ("orders", &checked.random.len().to_string()),
            ("chance", &words.whole(checked.chance.into())),
        ],
    );
    let stable = stability.as_ref().map(|stability| {
        let name = match stability.verdict {
            Steadiness::Stable => "check.stable",
            Steadiness::Fragile => "check.fragile",
        };
        let correlation = words.fixed(stability.correlation.into(), 2);
        words.said(name, &[("correlation", &correlation)])
    });
    let sentences = [Some(hidden), Some(verdict), stable];
    json!({
        "title": words.text("check.title"),
        "sentences": sentences.into_iter().flatten().collect::<Vec<_>>(),
        "plots": [
            plot("check.deletion", &checked.deletion, checked.deletion_area, "check.hiddenShare", false),
            plot("check.insertion", &checked.insertion, checked.insertion_area, "check.shownShare", true),
        ],
        "key": words.text("check.key"),
    })
}

struct Scale<'a> {
    checked: &'a Checked,
    is_probability: bool,
    bottom: f32,
    top: f32,
    words: &'a Words,
}

impl Scale<'_> {
    fn others(&self, step: usize) -> impl Iterator<Item = f32> {
        let random = self.checked.random.iter();
        random.map(move |curve| curve.get(step).copied().unwrap_or_default())
    }

    fn mean(&self, step: usize) -> f64 {
        let sum: f64 = self.others(step).map(f64::from).sum();
        sum / self.checked.random.len() as f64
    }

    /// `mirrored`: the random curves are read from their end.
    fn plot(
        &self,
        name: &str,
        curve: &[f32],
        area: f32,
        across: &str,
        mirrored: bool,
        value: &dyn Fn(f32) -> String,
    ) -> Value {
        let (checked, words) = (self.checked, self.words);
        let [left, top, width, height] = PLACE;
        let span = match f64::from(self.top) - f64::from(self.bottom) {
            0.0 => 1.0,
            span => span,
        };
        let y = |value: f64| top + height - ((value - f64::from(self.bottom)) / span) * height;
        let last = checked.shares.len().saturating_sub(1);
        let from = |step: usize| if mirrored { last - step } else { step };
        let drawn = |heights: &dyn Fn(usize) -> f64| -> Vec<String> {
            let shares = checked.shares.iter().enumerate();
            shares
                .map(|(step, &share)| point(left + f64::from(share) * width, y(heights(step))))
                .collect()
        };
        let above = drawn(&|step| most(self.others(from(step))).into());
        let below = drawn(&|step| least(self.others(from(step))).into());
        let band: Vec<String> = above.into_iter().chain(below.into_iter().rev()).collect();
        let written = |area: f32| words.fixed(area.into(), 3);
        let areas = || checked.random_areas.iter().copied();
        let caption = words.said(
            name,
            &[
                ("area", &written(area)),
                ("least", &written(least(areas()))),
                ("most", &written(most(areas()))),
            ],
        );
        let end = |at: f32| match self.is_probability {
            true => words.whole(at.into()),
            false => value(at),
        };
        let points = READ.map(|share| {
            let step = nearest(checked.shares.iter(), share);
            let found = curve.get(step).copied().unwrap_or_default();
            let share = checked.shares.get(step).copied().unwrap_or_default();
            words.said(
                "check.point",
                &[
                    ("share", &words.whole(share.into())),
                    ("value", &value(found)),
                ],
            )
        });
        let points = points.join(words.text("list"));
        json!({
            "band": band.join(" "),
            "mean": drawn(&|step| self.mean(from(step))).join(" "),
            "curve": drawn(&|step| curve.get(step).copied().unwrap_or_default().into()).join(" "),
            "top": end(self.top),
            "bottom": end(self.bottom),
            "left": words.whole(0.0),
            "right": words.whole(1.0),
            "across": words.text(across),
            "caption": caption,
            "alt": words.said("check.alt", &[("caption", &caption), ("points", &points)]),
        })
    }
}

/// The place of the first nearest one.
fn nearest<'a>(values: impl Iterator<Item = &'a f32>, wanted: f64) -> usize {
    let distances = values.map(|&value| (f64::from(value) - wanted).abs());
    let nearest = distances
        .enumerate()
        .min_by(|(_, a), (_, b)| a.total_cmp(b));
    nearest.map_or(0, |(at, _)| at)
}

fn least(values: impl Iterator<Item = f32>) -> f32 {
    values.fold(f32::INFINITY, f32::min)
}

fn most(values: impl Iterator<Item = f32>) -> f32 {
    values.fold(f32::NEG_INFINITY, f32::max)
}
