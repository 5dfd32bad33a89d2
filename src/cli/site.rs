//! site.toml → what the owner of a site says of it, checked.

pub mod colours;
pub mod dress;
pub mod logo;

use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use serde::Deserialize;
use whylens::Error;
use whylens::manifest::{MOST_TEXT, Text};

use self::colours::Colours;
use super::read;

/// The file, and what `new` makes of it; every key stands there with what it does.
pub const FILE: &str = "site.toml";
pub const TEMPLATE: &str = include_str!("site/site.toml");

/// Every key, by its table.
const KEYS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "title",
            "short-title",
            "description",
            "models",
            "languages",
            "logo",
            "disclaimer",
            "samples",
            "text",
            "colours",
            "hosting",
        ],
    ),
    ("text", &["headline", "lead", "footer"]),
    ("colours", &["accent", "accent-dark", "background"]),
    (
        "hosting",
        &["closed", "offline", "isolate", "memory-limit", "split"],
    ),
];

/// Texts may be one for all languages, or one for each.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Site {
    pub title: Text,
    pub short_title: Option<Text>,
    pub description: Option<Text>,
    /// Model folders, relative to the file; the page starts with the first.
    pub models: Vec<PathBuf>,
    /// Tags; none: all that the page has.
    pub languages: Option<Vec<String>>,
    pub logo: Option<PathBuf>,
    pub disclaimer: Option<Text>,
    #[serde(default)]
    pub samples: Vec<PathBuf>,
    #[serde(default)]
    pub text: Texts,
    #[serde(default)]
    pub colours: Colours,
    #[serde(default)]
    pub hosting: Hosting,
}

/// Texts in place of the page's own.
#[derive(Default, Deserialize)]
pub struct Texts {
    pub headline: Option<Text>,
    pub lead: Option<Text>,
    pub footer: Option<Text>,
}

/// Options of `dist`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Hosting {
    pub closed: bool,
    pub offline: Option<bool>,
    pub isolate: Option<bool>,
    pub memory_limit: Option<String>,
    pub split: Option<String>,
}

impl Hosting {
    /// As they are given to `dist`.
    pub fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        if self.closed {
            options.push("--closed".into());
        }
        // Both are on unless the owner says otherwise.
        for (name, said) in [("offline", self.offline), ("isolate", self.isolate)] {
            if said == Some(false) {
                options.push(format!("--no-{name}"));
            }
        }
        let sizes = [("memory-limit", &self.memory_limit), ("split", &self.split)];
        for (name, size) in sizes {
            options.extend(size.iter().map(|size| format!("--{name}={size}")));
        }
        options
    }
}

impl Site {
    /// Reads the site.toml of a folder.
    pub fn read(folder: &Path) -> Result<Site> {
        let path = folder.join(FILE);
        if !path.is_file() {
            let (file, folder) = (path.display(), folder.display());
            return Err(Error::BadOption(format!(
                "there is no {file}; name a folder that `whylens new` made, or make one by `whylens new {folder} MODEL`"
            ))
            .into());
        }
        let bytes = read::file(&path, MOST_TEXT, Error::BadOption)?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8; save it as UTF-8"))?;
        Site::parse(&text)
    }

    fn parse(text: &str) -> Result<Site> {
        let mut unknown = Vec::new();
        let site: Site = toml::Deserializer::parse(text)
            .and_then(|toml| {
                serde_ignored::deserialize(toml, |path| unknown.push(path.to_string()))
            })
            .map_err(|error| wrong(error.to_string().trim_end()))?;
        if let Some(path) = unknown.first() {
            return Err(wrong(&told(path)));
        }
        site.check()?;
        Ok(site)
    }

    fn check(&self) -> Result<()> {
        let texts = [
            ("title", Some(&self.title)),
            ("short-title", self.short_title.as_ref()),
            ("description", self.description.as_ref()),
            ("disclaimer", self.disclaimer.as_ref()),
            ("text.headline", self.text.headline.as_ref()),
            ("text.lead", self.text.lead.as_ref()),
            ("text.footer", self.text.footer.as_ref()),
        ];
        for (key, text) in texts {
            let empty = text.is_some_and(|Text(by)| {
                by.is_empty() || by.values().any(|text| text.trim().is_empty())
            });
            if empty {
                return Err(wrong(&format!(
                    "`{key}` is empty; write a text, or put a # before it"
                )));
            }
        }
        if self.models.is_empty() {
            return Err(wrong(
                "`models` is empty; name the folder of a model, such as \"models/mine\"",
            ));
        }
        let files = self.models.iter().chain(&self.samples).chain(&self.logo);
        for file in files {
            let inside = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
            if !file.components().all(inside) {
                return Err(wrong(&format!(
                    "{} is not in the folder of the site; copy it there, and name it by its path from there",
                    file.display()
                )));
            }
        }
        Ok(())
    }

    /// Checks that every text is in a language of the site, whose tags are given.
    pub fn check_languages(&self, languages: &[String]) -> Result<()> {
        let texts = [
            &Some(self.title.clone()),
            &self.short_title,
            &self.description,
            &self.disclaimer,
            &self.text.headline,
            &self.text.lead,
            &self.text.footer,
        ];
        for Text(by) in texts.into_iter().flatten() {
            if let Some(tag) = by
                .keys()
                .find(|tag| !tag.is_empty() && !languages.contains(tag))
            {
                return Err(wrong(&format!(
                    "there is a text in `{tag}`, but the languages of the site are {}; change `languages`, or the text",
                    languages.join(", ")
                )));
            }
        }
        Ok(())
    }
}

/// An error of the file.
pub fn wrong(what: &str) -> anyhow::Error {
    Error::BadOption(format!("{FILE}: {what}")).into()
}

/// What is wrong with an unknown key, and the key that was probably meant.
fn told(path: &str) -> String {
    let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
    let known = KEYS
        .iter()
        .find(|(name, _)| *name == table)
        .map(|(_, keys)| *keys);
    let alike = |other: &str| strsim::damerau_levenshtein(key, other);
    let near = known
        .unwrap_or_default()
        .iter()
        .map(|other| (alike(other), *other))
        .min()
        .filter(|(changes, other)| *changes <= other.len().max(key.len()) / 2);
    // A key below a [table] belongs to that table.
    let elsewhere = KEYS
        .iter()
        .find(|(name, keys)| *name != table && keys.contains(&key));
    match (elsewhere, near) {
        (Some(("", _)), _) => {
            format!("`{key}` stands below [{table}]; put it above the first line with brackets")
        }
        (Some((other, _)), _) => format!("`{key}` belongs below [{other}]"),
        (None, Some((_, near))) => format!("there is no key `{path}`; did you mean `{near}`?"),
        (None, None) => format!(
            "there is no key `{path}`; the keys here are {}",
            known.unwrap_or_default().join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_says_every_key_and_no_other() {
        let on: String = TEMPLATE
            .replace("TITLE", "\"A\"")
            .replace("MODELS", "[\"models/a\"]")
            .replace("DISCLAIMER", "disclaimer = \"B\"")
            .lines()
            .map(|line| {
                let key = line.strip_prefix("# ").filter(|rest| {
                    let (name, value) = rest.split_once(" = ").unwrap_or_default();
                    !value.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
                });
                format!("{}\n", key.unwrap_or(line))
            })
            .collect();
        Site::parse(&on).unwrap();
        let table: toml::Table = toml::from_str(&on).unwrap();
        for (name, keys) in KEYS {
            let found = match *name {
                "" => &table,
                name => table[name].as_table().unwrap(),
            };
            let mut found: Vec<_> = found.keys().map(String::as_str).collect();
            let mut keys = keys.to_vec();
            found.sort_unstable();
            keys.sort_unstable();
            assert_eq!(found, keys, "[{name}]");
        }
    }

    #[test]
    fn what_the_owner_turns_off_is_off() {
        let options = |text: &str| toml::from_str::<Hosting>(text).unwrap().options();
        assert_eq!(options("offline = true\nisolate = true"), [""; 0]);
        assert_eq!(
            options("closed = true\noffline = false\nisolate = false\nsplit = \"9MB\""),
            ["--closed", "--no-offline", "--no-isolate", "--split=9MB"]
        );
    }

    #[test]
    fn a_wrong_key_is_named_with_the_one_that_was_meant() {
        let refused = |rest: &str| {
            let text = format!("title = \"A\"\nmodels = [\"models/a\"]\n{rest}\n");
            Site::parse(&text).map(|_| ()).unwrap_err().to_string()
        };
        for (text, said) in [
            (
                "discliamer = \"no\"",
                "no key `discliamer`; did you mean `disclaimer`?",
            ),
            (
                "[colors]\naccent = \"#123\"",
                "no key `colors`; did you mean `colours`?",
            ),
            (
                "[text]\nheading = \"A\"",
                "no key `text.heading`; did you mean `headline`?",
            ),
            (
                "[text]\nlogo = \"a.svg\"",
                "`logo` stands below [text]; put it above",
            ),
            ("accent = \"#123\"", "`accent` belongs below [colours]"),
            (
                "favourite = 1",
                "no key `favourite`; the keys here are title, short-title",
            ),
            (
                "logo = \"../a.svg\"",
                "../a.svg is not in the folder of the site",
            ),
            ("disclaimer = \" \"", "`disclaimer` is empty"),
            ("samples = 3", "line 3"),
            ("title = \"B\"", "duplicate key"),
        ] {
            let error = refused(text);
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
