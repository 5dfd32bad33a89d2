//! options and a heatmap → what a check of it finds, as text, JSON and cells of a table.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use whylens::{
    CheckQuery, Checked, Classifier, Error, Fill, Heatmap, Reason, Run, Sign, Stability,
    Steadiness, Verdict,
};

/// How heatmaps are checked.
#[derive(Args)]
pub struct Arguments {
    /// Check each heatmap: hide what it marks in this many steps, 1 to 1000 [20 without a number], and compare what that
    /// does to the prediction with places at random; then whether it stays the same under small changes of the photo
    #[arg(long, value_name = "STEPS", num_args = 0..=1, require_equals = true, default_missing_value = "20")]
    check: Option<usize>,
    /// Random orders that a heatmap is compared with, 2 to 1000
    #[arg(long, value_name = "N", default_value_t = 5, requires = "check")]
    orders: usize,
    /// What hidden parts show: the photo blurred, its mean colour, or means of what is next to them (ROAD)
    #[arg(long, value_name = "blur|mean|linear", default_value = "blur", value_parser = fill, requires = "check")]
    fill: Fill,
    /// Which random orders; the same number gives the same ones
    #[arg(long, value_name = "N", default_value_t = 1, requires = "check")]
    seed: u64,
}

fn fill(name: &str) -> Result<Fill> {
    Ok(serde_json::from_value(json!(name))?)
}

impl Arguments {
    /// The check that is wanted of heatmaps of this sign.
    pub fn query(&self, sign: Sign) -> Result<Option<CheckQuery>> {
        let Some(steps) = self.check else {
            return Ok(None);
        };
        let query = CheckQuery {
            steps,
            orders: self.orders,
            fill: self.fill,
            seed: self.seed,
        };
        query.validate()?;
        if sign == Sign::Against {
            let what = "a map of what speaks against a class cannot be checked; give --sign both";
            return Err(Error::BadOption(what.into()).into());
        }
        Ok(Some(query))
    }
}

/// What is found out about a heatmap.
#[derive(Serialize)]
pub struct Found {
    /// Whether it is better than chance.
    #[serde(rename = "check")]
    pub checked: Checked,
    /// Whether it stays the same under small changes of the photo; none: it takes many runs of the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stability: Option<Stability>,
}

/// What a check found, or why it could not be made.
pub type Outcome = std::result::Result<Found, Reason>;

/// Checks a heatmap, and unless it took many runs, whether it is stable; `tell` is given the runs done and in all.
pub fn check(
    classifier: &Classifier,
    run: &Run,
    (heatmap, smooth): (&Heatmap, bool),
    query: &CheckQuery,
    tell: impl Fn(usize, usize),
) -> Outcome {
    let stability = || {
        if smooth || heatmap.method.is_slow() {
            return Ok(None);
        }
        let mut steadying = classifier.stability(run, heatmap)?;
        while !classifier.stability_step(run, &mut steadying)? {}
        steadying.finish().map(Some)
    };
    let found = || {
        let mut checking = classifier.check(run, heatmap, query)?;
        while !classifier.check_step(&mut checking)? {
            let (done, of) = checking.progress();
            tell(done, of);
        }
        let checked = checking.finish()?;
        let stability = stability()?;
        Ok(Found { checked, stability })
    };
    found().map_err(|error: Error| Reason {
        code: error.code(),
        message: error.to_string(),
    })
}

/// The least and the greatest area of the random orders.
fn random(checked: &Checked) -> (f32, f32) {
    let areas = checked.random_areas.iter();
    areas.fold(
        (f32::INFINITY, f32::NEG_INFINITY),
        |(least, most), &area| (least.min(area), most.max(area)),
    )
}

/// For people.
pub fn text(Found { checked, stability }: &Found) -> String {
    let verdict = match checked.verdict {
        Verdict::Better => "better than chance",
        Verdict::Chance => "no better than chance",
        Verdict::Worse => "worse than chance",
    };
    let (least, most) = random(checked);
    let stable = stability.as_ref().map(|stability| {
        let verdict = match stability.verdict {
            Steadiness::Stable => "stable",
            Steadiness::Fragile => "fragile",
        };
        format!(
            "; {verdict} (lowest correlation {:.2})",
            stability.correlation
        )
    });
    format!(
        "check: {verdict} (area of deletion {:.3}, of insertion {:.3}, of random orders {least:.3} to {most:.3}){}",
        checked.deletion_area,
        checked.insertion_area,
        stable.unwrap_or_default()
    )
}

/// Adds `check` and `stability`, or `noCheck` with the reason, to the JSON of a result.
pub fn json(object: &mut Value, outcome: &Outcome) {
    match outcome {
        Ok(found) => {
            if let (Some(fields), Value::Object(found)) = (object.as_object_mut(), json!(found)) {
                fields.extend(found);
            }
        }
        Err(reason) => object["noCheck"] = json!(reason),
    }
}

/// Names of the columns of [`cells`].
pub const COLUMNS: [&str; 5] = [
    "check",
    "deletion_area",
    "insertion_area",
    "random_area_least",
    "random_area_most",
];

/// Cells of a table, empty where nothing was checked.
pub fn cells(outcome: Option<&Outcome>) -> [String; 5] {
    let Some(Ok(Found { checked, .. })) = outcome else {
        return Default::default();
    };
    let verdict = match checked.verdict {
        Verdict::Better => "better",
        Verdict::Chance => "chance",
        Verdict::Worse => "worse",
    };
    let (least, most) = random(checked);
    let areas = [checked.deletion_area, checked.insertion_area, least, most];
    let [deletion, insertion, least, most] = areas.map(|area| area.to_string());
    [verdict.to_string(), deletion, insertion, least, most]
}
