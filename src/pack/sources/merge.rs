//! what each source says → what is used: the first source decides, and the others must agree.

use super::{Conflict, Fact, Found, Pixels, Said, What};
use crate::manifest::{Activation, Channels, Resize, ResizeMode};
use crate::model::compile::shrink::Outline;
use crate::pack::Options;

struct Merged<'a> {
    said: &'a [Said],
    facts: Vec<Fact>,
    conflicts: Vec<Conflict>,
}

impl<'a> Merged<'a> {
    fn one<T>(
        &mut self,
        what: What,
        get: impl Fn(&'a Said) -> Option<&'a T>,
        same: impl Fn(&T, &T) -> bool,
        show: impl Fn(&T) -> String,
    ) -> Option<&'a T> {
        // Sources that only fill gaps come last.
        let strong = self.said.iter().filter(|said| !said.weak);
        let ordered = strong.chain(self.said.iter().filter(|said| said.weak));
        let mut values = ordered.filter_map(|said| get(said).map(|value| (said, value)));
        let (source, value) = values.next()?;
        let other = values.find(|(said, other)| !said.weak && !same(value, other));
        if let Some((said, other)) = other {
            self.conflicts.push(Conflict {
                what,
                said: [
                    (source.from.clone(), show(value)),
                    (said.from.clone(), show(other)),
                ],
            });
            return None;
        }
        self.facts.push(Fact {
            what,
            from: source.from.clone(),
        });
        Some(value)
    }
}

pub(super) fn merge(said: &[Said], outline: &Outline) -> Found {
    let mut merged = Merged {
        said,
        facts: Vec::new(),
        conflicts: Vec::new(),
    };
    let labels = merged.one(
        What::Labels,
        |s| s.labels.as_ref(),
        PartialEq::eq,
        |l| listed(l),
    );
    let resize = merged.one(What::Resize, |s| s.resize.as_ref(), PartialEq::eq, resized);
    let pixels = merged.one(What::Pixels, |s| s.pixels.as_ref(), alike, values);
    let channels = merged.one(What::Colours, |s| s.channels.as_ref(), PartialEq::eq, word);
    let activation = merged.one(
        What::Activation,
        |s| s.activation.as_ref(),
        PartialEq::eq,
        Activation::to_string,
    );
    let same = |_: &String, _: &String| true;
    let name = merged.one(What::Name, |s| s.name.as_ref(), same, String::clone);
    let license = merged.one(What::License, |s| s.license.as_ref(), same, String::clone);
    let by_files = |(width, height): &(u32, u32)| format!("{width} × {height}");
    let size = merged.one(What::Size, |s| s.size.as_ref(), PartialEq::eq, by_files);
    let fixed = sides(outline);
    if let (Some(&size), Some(fixed)) = (size, fixed) {
        let from = merged.facts.pop().map_or(String::new(), |fact| fact.from);
        let differs = said.iter().any(|s| !s.weak && s.size == Some(size)) && size != fixed;
        if differs {
            merged.conflicts.push(Conflict {
                what: What::Size,
                said: [
                    (from, by_files(&size)),
                    ("the graph".into(), by_files(&fixed)),
                ],
            });
        }
    }
    Found {
        labels: labels.cloned(),
        options: Options {
            name: name.cloned().unwrap_or_default(),
            license: license.cloned(),
            // A processor looks the same for grey photos: the graph knows better.
            channels: channels
                .copied()
                .filter(|c| colours(outline).is_none_or(|count| count == c.count())),
            size: size.copied().filter(|_| fixed.is_none()),
            resize: resize.cloned(),
            scale: pixels.map(|p| p.scale),
            mean: pixels.map(|p| p.mean.clone()),
            std: pixels.map(|p| p.std.clone()),
            activation: activation.copied(),
            ..Options::default()
        },
        facts: merged.facts,
        conflicts: merged.conflicts,
        limits: said.iter().flat_map(|s| s.limits.iter().cloned()).collect(),
    }
}

/// Width and height of the image, if the graph fixes them.
fn sides(outline: &Outline) -> Option<(u32, u32)> {
    let (_, shape) = outline.inputs.first()?;
    let &[_, a, b, c] = shape.as_slice() else {
        return None;
    };
    let last = matches!(c, Some(1 | 3)) && !matches!(a, Some(1 | 3));
    let (height, width) = if last { (a, b) } else { (b, c) };
    let side = |length: Option<usize>| u32::try_from(length?).ok();
    Some((side(width)?, side(height)?))
}

/// The number of colours in the image, if the graph gives it.
fn colours(outline: &Outline) -> Option<usize> {
    let (_, shape) = outline.inputs.first()?;
    let &[_, first, _, last] = shape.as_slice() else {
        return None;
    };
    let known = |length: Option<usize>| length.filter(|length| matches!(length, 1 | 3));
    known(first).or(known(last))
}

fn listed(labels: &[String]) -> String {
    let first: Vec<String> = labels.iter().take(2).map(|l| format!("`{l}`")).collect();
    format!("{} labels ({}, …)", labels.len(), first.join(", "))
}

fn resized(resize: &Resize) -> String {
    let filter = format!("{:?}", resize.filter).to_lowercase();
    let mode = match resize.mode {
        ResizeMode::ShorterSide => "shorter-side",
        ResizeMode::Exact => "exact",
        ResizeMode::Fit => "fit",
    };
    match resize.size {
        Some(size) => format!("{mode}:{size}, {filter}"),
        None => format!("{mode}, {filter}"),
    }
}

fn word(channels: &Channels) -> String {
    format!("{channels:?}").to_lowercase()
}

fn values(pixels: &Pixels) -> String {
    format!(
        "scale {:.6}, mean {:?}, std {:?}",
        pixels.scale, pixels.mean, pixels.std
    )
}

/// Whether both give the same values, however they are written.
fn alike(one: &Pixels, other: &Pixels) -> bool {
    let at = |values: &[f64], index: usize| values.get(index).or(values.first()).copied();
    (0..3).all(|index| {
        let line = |pixels: &Pixels| {
            let (mean, std) = (at(&pixels.mean, index)?, at(&pixels.std, index)?);
            Some((pixels.scale / std, mean / std))
        };
        let Some(((a, b), (c, d))) = line(one).zip(line(other)) else {
            return false;
        };
        (a - c).abs() <= 1e-3 * a.abs() && (b - d).abs() <= 1e-3 * b.abs().max(1.0)
    })
}
