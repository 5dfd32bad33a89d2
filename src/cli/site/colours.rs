//! colours that an owner chose → rules for the page's style sheet, in which everything can be read.
//!
//! Contrast is that of WCAG 2.2: 4.5 for text (1.4.3), 3 for what is no text (1.4.11).

use std::fmt::Write;

use anyhow::{Context, Result};
use csscolorparser::Color;
use serde::Deserialize;

use super::wrong;

/// Least contrast of text, and of other things that must be seen.
const TEXT: f32 = 4.5;
/// Less contrast at most by writing colours in 256 steps.
const ROUNDED: f32 = 0.05;
const SHAPE: f32 = 3.0;

/// Least lightness, 0 to 1, of a background that is called light.
const LIGHT: f32 = 0.85;

/// Two colours whose hues differ by less, in degrees, are taken for the same.
const ALIKE: f32 = 35.0;

/// Colours as CSS writes them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Colours {
    accent: Option<String>,
    accent_dark: Option<String>,
    background: Option<String>,
}

/// The page's colours in one of its two themes, by the names of its variables.
struct Theme {
    name: &'static str,
    ground: Color,
    raised: Color,
    sunken: Color,
    line: Color,
    edge: Color,
    ink: Color,
    soft: Color,
    accent: Color,
    on_accent: Color,
    tint: Color,
    second: Color,
    second_tint: Color,
}

/// What the owner's colours change.
pub struct Painted {
    /// To be put after the page's own rules.
    pub rules: String,
    /// Colours that had to be changed, in words.
    pub notes: Vec<String>,
    /// The accent, and what is read on it, in the light theme.
    pub accent: Color,
    pub on_accent: Color,
    /// The grounds of the light and of the dark theme.
    pub grounds: [Color; 2],
}

impl Colours {
    /// Paints the page; `css` is its own style sheet.
    pub fn paint(&self, css: &str) -> Result<Painted> {
        let [mut light, mut dark] = themes(css)?;
        let mut notes = Vec::new();
        if let Some(text) = &self.background {
            let ground = colour("background", text)?;
            let [lightness, ..] = ground.to_oklaba();
            if lightness < LIGHT {
                return Err(wrong(&format!(
                    "colours.background is {text}, which is too dark to read dark text on; choose a lighter one, such as \
                     {}",
                    hex(&with_lightness(&ground, 0.96))
                )));
            }
            light.lay(ground);
        }
        let accent = self.accent.as_deref();
        let accents = [
            ("accent", accent),
            ("accent-dark", self.accent_dark.as_deref().or(accent)),
        ];
        for ((key, text), theme) in accents.into_iter().zip([&mut light, &mut dark]) {
            let wanted = match text {
                Some(text) => colour(key, text)?,
                None => theme.accent,
            };
            let accent = theme.accentuate(&wanted, text.is_some());
            // What was made for the dark theme was not asked for.
            let asked = key == "accent" || self.accent_dark.is_some();
            if asked && hex(&accent) != hex(&wanted) {
                notes.push(format!(
                    "colours.{key} {} could hardly be read on the {} page (contrast {:.1}, least {TEXT}): {} is used",
                    hex(&wanted),
                    theme.name,
                    contrast(&wanted, &theme.ground),
                    hex(&accent),
                ));
            }
        }
        Ok(Painted {
            rules: rules(&light, &dark, accent.is_some()),
            notes,
            accent: light.accent,
            on_accent: light.on_accent,
            grounds: [light.ground, dark.ground],
        })
    }
}

impl Theme {
    /// Another background, with all neutral tones made from it and from the ink.
    fn lay(&mut self, ground: Color) {
        let ink = &self.ink;
        self.raised = ground.interpolate_oklab(&Color::new(1.0, 1.0, 1.0, 1.0), 0.5);
        self.sunken = ground.interpolate_oklab(ink, 0.05);
        self.line = ground.interpolate_oklab(ink, 0.14);
        self.edge = reach(&ground.interpolate_oklab(ink, 0.45), ink, |mixed| {
            contrast(mixed, &ground) >= SHAPE + ROUNDED
        });
        let sunken = self.sunken;
        self.soft = reach(&ground.interpolate_oklab(ink, 0.6), ink, |mixed| {
            contrast(mixed, &sunken) >= TEXT + ROUNDED
        });
        self.ground = ground;
    }

    /// Another accent, as near to the wanted one as can be read, and what depends on it.
    fn accentuate(&mut self, wanted: &Color, chosen: bool) -> Color {
        let end = &self.ink;
        let tint = |accent: &Color| self.raised.interpolate_oklab(accent, 0.1);
        let grounds = [&self.ground, &self.raised, &self.sunken];
        let accent = reach(wanted, end, |accent| {
            let on_tint = contrast(accent, &tint(accent)) >= TEXT + ROUNDED;
            on_tint
                && grounds
                    .iter()
                    .all(|ground| contrast(accent, ground) >= TEXT + ROUNDED)
        });
        if chosen {
            // What is compared must not look like what it is compared with.
            let [.., hue, _] = accent.to_oklcha();
            let [.., second, _] = self.second.to_oklcha();
            let apart = (hue - second).to_degrees().rem_euclid(360.0);
            if apart.min(360.0 - apart) < ALIKE {
                self.second = self.accent;
                self.second_tint = self.tint;
            }
            self.tint = tint(&accent);
            let ends = [
                Color::new(1.0, 1.0, 1.0, 1.0),
                Color::new(0.0, 0.0, 0.0, 1.0),
            ];
            let [white, black] = ends;
            self.on_accent = if contrast(&white, &accent) >= TEXT + ROUNDED {
                white
            } else {
                black
            };
            self.accent = accent;
        }
        accent
    }
}

/// The first colour on the way to `end` that is good enough.
fn reach(from: &Color, end: &Color, good: impl Fn(&Color) -> bool) -> Color {
    let [goal, ..] = end.to_oklaba();
    let [lightness, ..] = from.to_oklaba();
    (0..=100)
        .map(|step| with_lightness(from, lightness + (goal - lightness) * step as f32 / 100.0))
        .find(good)
        .unwrap_or(*end)
}

/// The colour as screens can show it.
fn with_lightness(colour: &Color, lightness: f32) -> Color {
    let [_, chroma, hue, _] = colour.to_oklcha();
    // Less colourful where no screen could show it.
    let shown = (0..=20)
        .map(|step| Color::from_oklcha(lightness, chroma * (1.0 - step as f32 / 20.0), hue, 1.0));
    let inside = |colour: &Color| {
        colour
            .to_array()
            .iter()
            .all(|part| (-1e-3..=1.001).contains(part))
    };
    let found = shown.into_iter().find(inside);
    // Rounded as it is written.
    let [r, g, b, _] = found.unwrap_or(*colour).clamp().to_rgba8();
    Color::from_rgba8(r, g, b, 255)
}

/// Relative luminance, 0 to 1.
fn luminance(colour: &Color) -> f32 {
    let [r, g, b, _] = colour.to_linear_rgba();
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

/// From 1 to 21.
pub fn contrast(one: &Color, other: &Color) -> f32 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn colour(key: &str, text: &str) -> Result<Color> {
    let colour: Color = text.parse().map_err(|_| {
        wrong(&format!(
            "colours.{key} is `{text}`, expected a colour as in CSS, such as \"#0f6674\""
        ))
    })?;
    if colour.a < 1.0 {
        return Err(wrong(&format!(
            "colours.{key} is `{text}`, which is transparent; choose an opaque colour"
        )));
    }
    Ok(colour)
}

pub fn hex(colour: &Color) -> String {
    colour.to_css_hex().to_string()
}

/// The themes that a style sheet defines by `--name: light-dark(…, …);`.
fn themes(css: &str) -> Result<[Theme; 2]> {
    let pair = |name: &str| -> Option<[Color; 2]> {
        let (_, rest) = css.split_once(&format!("--{name}: light-dark("))?;
        let (light, rest) = rest.split_once(',')?;
        let (dark, _) = rest.split_once(')')?;
        Some([light.trim().parse().ok()?, dark.trim().parse().ok()?])
    };
    let theme = |at: usize, name| -> Option<Theme> {
        let one = |name: &str| pair(name).map(|pair| pair[at]);
        Some(Theme {
            name,
            ground: one("ground")?,
            raised: one("raised")?,
            sunken: one("sunken")?,
            line: one("line")?,
            edge: one("edge")?,
            ink: one("ink")?,
            soft: one("soft")?,
            accent: one("accent")?,
            on_accent: one("on-accent")?,
            tint: one("tint")?,
            second: one("second")?,
            second_tint: one("second-tint")?,
        })
    };
    let both = theme(0, "light").zip(theme(1, "dark"));
    let (light, dark) = both.context("the page's style sheet does not name its colours")?;
    Ok([light, dark])
}

fn rules(light: &Theme, dark: &Theme, accented: bool) -> String {
    let mut rules = String::from("\n:root {\n");
    type Part = (&'static str, fn(&Theme) -> &Color);
    let parts: [Part; 12] = [
        ("ground", |t| &t.ground),
        ("raised", |t| &t.raised),
        ("sunken", |t| &t.sunken),
        ("line", |t| &t.line),
        ("edge", |t| &t.edge),
        ("ink", |t| &t.ink),
        ("soft", |t| &t.soft),
        ("accent", |t| &t.accent),
        ("on-accent", |t| &t.on_accent),
        ("tint", |t| &t.tint),
        ("second", |t| &t.second),
        ("second-tint", |t| &t.second_tint),
    ];
    for (name, part) in parts {
        let (light, dark) = (hex(part(light)), hex(part(dark)));
        let _ = writeln!(rules, "  --{name}: light-dark({light}, {dark});");
    }
    if accented {
        rules += "  --ember: var(--accent);\n";
    }
    rules + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSS: &str = include_str!("../../../www/page/page.css");

    fn painted(accent: &str, background: Option<&str>) -> Result<Painted> {
        let colours = Colours {
            accent: Some(accent.into()),
            background: background.map(Into::into),
            ..Colours::default()
        };
        colours.paint(CSS)
    }

    #[test]
    fn contrast_is_that_of_wcag() {
        let of = |one: &str, other: &str| contrast(&one.parse().unwrap(), &other.parse().unwrap());
        // From the tables of webaim.org/resources/contrastchecker.
        for (one, other, ratio) in [
            ("#000", "#fff", 21.0),
            ("#777777", "#ffffff", 4.48),
            ("#0000ff", "#ffffff", 8.59),
            ("#ff0000", "#ffffff", 4.0),
        ] {
            assert!(
                (of(one, other) - ratio).abs() < 0.01,
                "{one} {}",
                of(one, other)
            );
        }
    }

    #[test]
    fn every_accent_can_be_read_in_both_themes_as_it_is_written() {
        for background in [None, Some("#ffffff"), Some("#fdf6e3"), Some("#e8f4f8")] {
            for accent in [
                "#fc0", "teal", "#8f1d5b", "navy", "white", "black", "#0f0", "hotpink", "#777",
            ] {
                let Painted { rules, .. } = painted(accent, background).unwrap();
                for theme in themes(&rules).unwrap() {
                    let readable = |one: &Color, other: &Color, what: &str| {
                        let ratio = contrast(one, other);
                        let told =
                            format!("{accent} on {background:?}, {}: {what} {ratio}", theme.name);
                        assert!(ratio >= TEXT, "{told}");
                    };
                    for ground in [&theme.ground, &theme.raised, &theme.sunken, &theme.tint] {
                        readable(&theme.accent, ground, "accent");
                        readable(&theme.ink, ground, "ink");
                    }
                    for ground in [&theme.ground, &theme.raised, &theme.sunken] {
                        readable(&theme.soft, ground, "soft");
                    }
                    readable(&theme.on_accent, &theme.accent, "on the accent");
                    assert!(contrast(&theme.edge, &theme.ground) >= SHAPE, "{accent}");
                    assert_ne!(hex(&theme.accent), hex(&theme.second));
                }
            }
        }
    }

    #[test]
    fn a_colour_that_can_be_read_stays_and_others_are_told() {
        let kept = painted("#0f6674", None).unwrap();
        assert!(kept.notes.is_empty(), "{:?}", kept.notes);
        assert_eq!(hex(&kept.accent), "#0f6674");
        let changed = painted("#ffcc00", None).unwrap();
        let [note] = &changed.notes[..] else {
            panic!("{:?}", changed.notes)
        };
        assert!(
            note.contains("#ffcc00") && note.contains(&hex(&changed.accent)),
            "{note}"
        );
    }

    #[test]
    fn what_is_no_colour_or_too_dark_is_refused() {
        for (accent, background, said) in [
            ("greenish", None, "expected a colour as in CSS"),
            ("#0f667480", None, "transparent"),
            ("teal", Some("#336"), "too dark"),
        ] {
            let error = painted(accent, background)
                .map(|_| ())
                .unwrap_err()
                .to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
