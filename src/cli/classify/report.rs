//! photos → a report: one HTML file that needs nothing else, by the template and the words of the page
//! (`www/page/report/`, docs/report.md).

mod curves;
mod facts;
mod figures;
mod fill;
pub mod pictures;
mod view;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use whylens::{Classification, Classifier, Error, Image};

use self::figures::Words;
use self::fill::fill;
use super::check::Found;

const TEMPLATE: &str = include_str!("../../../www/page/report/template.mustache");
/// In the language for those that none of them is for first.
const WORDS: [&str; 2] = [
    include_str!("../../../www/page/report/en.json"),
    include_str!("../../../www/page/report/vi.json"),
];

/// Photos of one report.
const MOST: usize = 1000;
/// Longest sides of pictures: of a photo alone, and of one among others.
const ALONE: u32 = 900;
const AMONG: u32 = 480;

/// A report in the making.
pub struct Report {
    words: Words,
    side: u32,
    sections: Vec<String>,
    rows: Vec<Value>,
}

/// A photo in it, as data.
#[derive(Serialize)]
struct Record<'a> {
    file: &'a str,
    #[serde(flatten)]
    result: &'a Classification,
    scores: &'a [f32],
    #[serde(flatten)]
    found: Option<&'a Found>,
}

impl Report {
    /// A report of so many photos, in the language of `LANG` if it has words for that.
    pub fn new(photos: usize) -> Result<Report> {
        let language = std::env::var("LANG").unwrap_or_default().to_lowercase();
        let mut all = WORDS.iter().map(|words| serde_json::from_str(words));
        let mut words: Value = all.next().context("a report has no words")??;
        for other in all {
            let other: Value = other?;
            if other["code"]
                .as_str()
                .is_some_and(|code| language.starts_with(code))
            {
                words = other;
            }
        }
        Ok(Report {
            words: Words(words),
            side: if photos == 1 { ALONE } else { AMONG },
            sections: Vec::new(),
            rows: Vec::new(),
        })
    }

    /// Adds a photo that was classified.
    pub fn add(
        &mut self,
        file: &str,
        result: &Classification,
        found: Option<&Found>,
        image: &Image,
        classifier: &Classifier,
    ) -> Result<()> {
        let drawn = pictures::draw(image, result.heatmap.as_ref(), self.side)?;
        let id = self.id();
        let words = &self.words;
        let view = view::photo(&id, file, result, found, &drawn, classifier, words);
        let row = view::row(&id, file, Ok(result), words);
        let record = Record {
            file,
            result,
            scores: result.run.scores(),
            found,
        };
        self.push(view, row, &json(&record)?, classifier);
        Ok(())
    }

    /// Adds a photo that could not be classified.
    pub fn add_failed(
        &mut self,
        file: &str,
        (code, message): (&str, &str),
        classifier: &Classifier,
    ) -> Result<()> {
        let id = self.id();
        let view = view::failed(&id, file, message, &self.words);
        let row = view::row(&id, file, Err(message), &self.words);
        let error = json!({ "code": code, "message": message });
        let record = json!({ "file": file, "error": error });
        self.push(view, row, &json(&record)?, classifier);
        Ok(())
    }

    fn id(&self) -> String {
        format!("photo-{}", self.rows.len() + 1)
    }

    fn push(&mut self, mut view: Value, row: Value, data: &str, classifier: &Classifier) {
        view["data"] = data.into();
        let words = &self.words;
        let around = json!({
            "words": words.0,
            "said": words.0["said"],
            "given": facts::given_name(classifier, words),
        });
        let [_, section, _] = parts();
        if self.sections.len() < MOST {
            self.sections.push(fill(section, &[&around, &view]));
        }
        self.rows.push(row);
    }

    /// The file.
    ///
    /// # Errors
    /// [`Error::BadOption`] for more photos than a report holds.
    pub fn finish(&self, classifier: &Classifier) -> Result<String> {
        check(self.rows.len())?;
        let now = OffsetDateTime::now_utc();
        let created = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            now.year(),
            u8::from(now.month()),
            now.day(),
            now.hour(),
            now.minute(),
            now.second()
        );
        let data = json(&common(classifier, &created, self.words.text("code")))?;
        let whole = facts::whole(classifier, &self.words, &created, &self.rows, data);
        let [head, _, foot] = parts();
        let (head, foot) = (fill(head, &[&whole]), fill(foot, &[&whole]));
        Ok([head, self.sections.concat(), foot].concat())
    }
}

/// Whether a report holds so many photos.
pub fn check(photos: usize) -> whylens::Result<()> {
    match photos {
        ..=MOST => Ok(()),
        _ => Err(Error::BadOption(format!(
            "a report holds {MOST} photos at most, these are {photos}; make one for a part of them"
        ))),
    }
}

/// The template before its photos, for each of them, and after them.
fn parts() -> [&'static str; 3] {
    let (head, rest) = TEMPLATE.split_once("{{#photos}}").unwrap_or((TEMPLATE, ""));
    let (section, foot) = rest.split_once("{{/photos}}").unwrap_or(("", rest));
    [head, section, foot]
}

/// What a report holds beside its photos, as data.
fn common(classifier: &Classifier, created: &str, language: &str) -> Value {
    let manifest = classifier.manifest();
    json!({
        "format": 1,
        "whylens": env!("CARGO_PKG_VERSION"),
        "created": created,
        "language": language,
        "title": null,
        "disclaimer": manifest.disclaimer,
        "model": {
            "name": manifest.name,
            "version": manifest.version,
            "license": manifest.license,
            "source": manifest.source,
            "threshold": manifest.output.threshold,
            "bytes": manifest.weights.bytes,
            "sha256": manifest.weights.sha256,
            "precision": manifest.weights.precision,
            "activation": classifier.activation(),
            "labels": classifier.labels(),
        },
        "input": manifest.input,
    })
}

/// For a script element: nothing in it ends one.
fn json(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string(value)?.replace('<', "\\u003c"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;

    #[test]
    fn the_policy_of_the_template_lets_its_style_in_and_nothing_else() {
        let (_, style) = TEMPLATE.split_once("<style>").unwrap();
        let (style, _) = style.split_once("</style>").unwrap();
        let digest = whylens::internal::sha256(style.as_bytes());
        let bytes: Vec<u8> = (0..64)
            .step_by(2)
            .map(|at| u8::from_str_radix(&digest[at..at + 2], 16).unwrap())
            .collect();
        let hash = base64::engine::general_purpose::STANDARD.encode(bytes);
        let policy = format!(
            "content=\"default-src 'none'; img-src data:; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'\""
        );
        assert!(TEMPLATE.contains(&policy), "expected {policy}");
    }
}
