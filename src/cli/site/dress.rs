//! the page + what its owner says → the owner's page: words, colours, logo, icons, samples.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use whylens::manifest::Text;
use whylens::{Error, Limits};

use super::colours::{Painted, hex};
use super::logo::{self, Logo};
use super::{Site, wrong};
use crate::dist::Files;
use crate::read;

const INDEX: &str = "index.html";
const STYLES: &str = "www/page/page.css";
const WORKER: &str = "www/sw.js";
const MANIFEST: &str = "www/manifest.webmanifest";
/// What the page's scripts know of the site.
const SAID: &str = "www/page/site.js";

/// Most bytes of a sample: a visitor waits for it.
const MOST_SAMPLE: u64 = 5_000_000;

/// Icons of the manifest, in pixels: with little room around the logo, and with room for a round mask, which leaves
/// the middle four fifths.
const ICONS: [(&str, u32, f32); 3] = [
    ("www/icons/icon-192.png", 192, 0.84),
    ("www/icons/icon-512.png", 512, 0.84),
    ("www/icons/icon-maskable-512.png", 512, 0.56),
];

/// Makes the page its owner's. Colours that had to be changed are told on standard error.
pub fn dress(page: &mut Files, site: &Site, folder: &Path) -> Result<()> {
    let languages = languages(page, site)?;
    site.check_languages(&languages)?;
    let styles = text(page, STYLES)?;
    let painted = site.colours.paint(&styles)?;
    for note in &painted.notes {
        eprintln!("whylens: {note}");
    }
    page.insert(STYLES.into(), (styles + &painted.rules).into_bytes());
    let samples = samples(page, site, folder)?;
    let said = json!({
        "file": file_name(spoken(&site.title, &languages[0])),
        "said": said(site, &languages),
        "samples": samples,
    });
    let script = format!("// of site.toml, by `whylens build`\nexport const site = {said:#};\n");
    page.insert(SAID.into(), script.into_bytes());
    let logo = icons(page, site, folder, &painted)?;
    let first = &languages[0];
    manifest(page, site, first, &painted, &logo)?;
    let worker = between(
        &text(page, WORKER)?,
        "<title>",
        "</title>",
        &in_script(spoken(&site.title, first)),
    )?;
    page.insert(WORKER.into(), worker.into_bytes());
    let index = index(&text(page, INDEX)?, site, first, &painted, &logo)?;
    page.insert(INDEX.into(), index.into_bytes());
    Ok(())
}

/// The languages of the site, of those that the page has; never none.
fn languages(page: &Files, site: &Site) -> Result<Vec<String>> {
    // Words of parts of the page lie in a folder of their own, in all languages.
    let tag = |path: &String| {
        let name = path.strip_prefix("www/page/words/")?.strip_suffix(".js")?;
        (!name.contains('/')).then(|| name.to_string())
    };
    let all: Vec<_> = page.keys().filter_map(tag).collect();
    ensure!(
        !all.is_empty(),
        "the page has no languages in www/page/words"
    );
    let Some(wanted) = &site.languages else {
        return Ok(all);
    };
    let unknown = wanted.iter().find(|tag| !all.contains(tag));
    if unknown.is_some() || wanted.is_empty() {
        let unknown = unknown.map_or("nothing", String::as_str);
        let all = all.join(", ");
        return Err(wrong(&format!(
            "`languages` names {unknown}; the page has {all}"
        )));
    }
    Ok(wanted.clone())
}

fn spoken<'a>(text: &'a Text, language: &str) -> &'a str {
    text.spoken(&[language.to_string()]).unwrap_or_default()
}

/// By language, in their order: the texts that take the place of the page's own.
fn said(site: &Site, languages: &[String]) -> Vec<Value> {
    let texts = [
        ("title", Some(&site.title)),
        ("disclaimer", site.disclaimer.as_ref()),
        ("headline", site.text.headline.as_ref()),
        ("lead", site.text.lead.as_ref()),
        ("footer", site.text.footer.as_ref()),
    ];
    let of = |language: &String| {
        let said = texts
            .iter()
            .filter_map(|(key, text)| Some((*key, spoken((*text)?, language))));
        let said: BTreeMap<_, _> = [("code", language.as_str())]
            .into_iter()
            .chain(said)
            .collect();
        json!(said)
    };
    languages.iter().map(of).collect()
}

/// Puts the owner's samples in place of the page's, and names them.
fn samples(page: &mut Files, site: &Site, folder: &Path) -> Result<Vec<Value>> {
    page.retain(|path, _| !path.starts_with("www/samples/"));
    let mut samples = Vec::new();
    for (at, path) in site.samples.iter().enumerate() {
        let shown = path.display();
        let bytes = read::file(&folder.join(path), MOST_SAMPLE, Error::BadOption)?;
        let format = image::guess_format(&bytes).ok();
        let ending =
            format.filter(|format| format.can_read() || format.extensions_str() == ["jpg", "jpeg"]);
        let ending = ending.and_then(|format| format.extensions_str().first());
        let ending = ending
            .with_context(|| format!("the sample {shown} is not a JPEG, PNG or WebP file"))?;
        whylens::decode(&bytes, &Limits::default())
            .with_context(|| format!("the sample {shown}"))?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .replace(['_', '-'], " ");
        let file = format!("{at}.{ending}");
        page.insert(format!("www/samples/{file}"), bytes);
        samples.push(json!({ "name": name, "file": file }));
    }
    Ok(samples)
}

/// Puts the logo in place of the page's icons. Its path and type.
fn icons(
    page: &mut Files,
    site: &Site,
    folder: &Path,
    painted: &Painted,
) -> Result<(String, &'static str)> {
    let logo = match &site.logo {
        Some(path) => {
            let bytes = read::file(&folder.join(path), logo::MOST_BYTES, Error::BadOption)
                .context("the logo")?;
            Logo::read(&path.display().to_string(), bytes)?
        }
        None => Logo::drawn(lens(painted))?,
    };
    page.remove("www/icons/icon.svg");
    let (ending, kind, bytes) = logo.published()?;
    let path = format!("www/icons/logo.{ending}");
    page.insert(path.clone(), bytes);
    let [r, g, b, _] = painted.grounds[0].to_rgba8();
    for (path, side, share) in ICONS {
        page.insert(path.into(), logo.icon(side, share, [r, g, b])?);
    }
    Ok((path, kind))
}

/// A plain lens, for a site without a logo.
fn lens(painted: &Painted) -> String {
    let (accent, inner) = (hex(&painted.accent), hex(&painted.on_accent));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><circle cx=\"16\" cy=\"16\" r=\"16\" \
         fill=\"{accent}\"/><circle cx=\"16\" cy=\"16\" r=\"8\" fill=\"none\" stroke=\"{inner}\" stroke-width=\"3\"/></svg>"
    )
}

/// The manifest of the installed page.
fn manifest(
    page: &mut Files,
    site: &Site,
    first: &str,
    painted: &Painted,
    (logo, kind): &(String, &str),
) -> Result<()> {
    let mut manifest: Value = serde_json::from_str(&text(page, MANIFEST)?)
        .with_context(|| format!("{MANIFEST} is not JSON"))?;
    let title = spoken(&site.title, first);
    manifest["name"] = title.into();
    manifest["short_name"] = site
        .short_title
        .as_ref()
        .map_or(title, |text| spoken(text, first))
        .into();
    manifest["lang"] = first.into();
    manifest["description"] = description(site, first).into();
    let ground = hex(&painted.grounds[0]);
    manifest["background_color"] = ground.clone().into();
    manifest["theme_color"] = ground.into();
    let icons = manifest["icons"]
        .as_array_mut()
        .context("the manifest has no icons")?;
    for icon in icons
        .iter_mut()
        .filter(|icon| icon["src"] == "icons/icon.svg")
    {
        icon["src"] = logo.trim_start_matches("www/").into();
        icon["type"] = (*kind).into();
    }
    // One of pixels is not of any size; the others are made from it.
    if *kind == "image/png" {
        icons.retain(|icon| icon["sizes"] != "any");
    }
    page.insert(MANIFEST.into(), serde_json::to_vec_pretty(&manifest)?);
    Ok(())
}

/// What search engines show.
fn description<'a>(site: &'a Site, first: &str) -> &'a str {
    let given = site.description.as_ref().or(site.text.lead.as_ref());
    given.map_or(
        "Classifies a photo on your own device and shows which parts of it decided.",
        |text| spoken(text, first),
    )
}

fn index(
    html: &str,
    site: &Site,
    first: &str,
    painted: &Painted,
    (logo, kind): &(String, &str),
) -> Result<String> {
    let title = escaped(spoken(&site.title, first));
    let mut html = between(html, "<html lang=\"", "\"", &escaped(first))?;
    html = between(&html, "<title>", "</title>", &title)?;
    html = between(
        &html,
        "<meta name=\"description\" content=\"",
        "\"",
        &escaped(description(site, first)),
    )?;
    html = between(
        &html,
        "<link rel=\"icon\" href=\"",
        ">",
        &format!("{logo}\" type=\"{kind}\""),
    )?;
    let [light, dark] = painted.grounds.each_ref().map(hex);
    for (theme, colour) in [("light", light), ("dark", dark)] {
        let media = format!("\" media=\"(prefers-color-scheme: {theme})\">");
        let (before, after) = html.split_once(&media).with_context(|| missing(&media))?;
        let start = before
            .rfind("content=\"")
            .with_context(|| missing(&media))?;
        html = format!("{}content=\"{colour}{media}{after}", &before[..start]);
    }
    let mark = "<svg class=\"mark\"";
    let start = html.find(mark).with_context(|| missing(mark))?;
    let length = html[start..]
        .find("</svg>")
        .with_context(|| missing(mark))?;
    let picture = format!("<img class=\"mark\" src=\"{logo}\" alt=\"\">");
    html.replace_range(start..start + length + "</svg>".len(), &picture);
    html = between(
        &html,
        &format!("{picture}\n      <span>"),
        "</span>",
        &title,
    )?;
    // What only a developer can do.
    Ok(html.replace(", for example by <code>whylens serve</code>", ""))
}

fn missing(what: &str) -> String {
    format!("the page's own files have no {what}; use the page of this version")
}

/// Replaces what stands between two marks, the first of which stands there once.
fn between(text: &str, start: &str, end: &str, inner: &str) -> Result<String> {
    let found = text.match_indices(start).count();
    ensure!(found == 1, missing(start));
    let (before, rest) = text.split_once(start).with_context(|| missing(start))?;
    let at = rest.find(end).with_context(|| missing(end))?;
    Ok(format!("{before}{start}{inner}{}", &rest[at..]))
}

fn escaped(text: &str) -> String {
    let special = |c: char| match c {
        '&' => "&amp;".into(),
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        '"' => "&quot;".into(),
        c => c.to_string(),
    };
    text.chars().map(special).collect()
}

/// HTML within a template literal of JavaScript.
fn in_script(text: &str) -> String {
    escaped(text)
        .replace('\\', "&#92;")
        .replace('`', "&#96;")
        .replace('$', "&#36;")
}

/// What saved files are named after: `Dr. Müller` → `dr-müller`.
fn file_name(title: &str) -> String {
    let words = title.to_lowercase();
    let words = words
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("-");
    if name.is_empty() {
        "photo".into()
    } else {
        name
    }
}

fn text(page: &Files, path: &str) -> Result<String> {
    let bytes = page
        .get(path)
        .with_context(|| format!("the page has no {path}"))?;
    String::from_utf8(bytes.clone()).with_context(|| format!("{path} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_can_be_no_more_than_text() {
        let title = "</title><script>`${alert(1)}`\\";
        assert_eq!(
            in_script(title),
            "&lt;/title&gt;&lt;script&gt;&#96;&#36;{alert(1)}&#96;&#92;"
        );
        assert_eq!(file_name("Dr. Müller & Co."), "dr-müller-co");
        assert_eq!(file_name("…"), "photo");
    }
}
