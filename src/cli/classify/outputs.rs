//! photos → the files of their heatmaps and scores, none of which overwrites another, a photo or the model.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use whylens::Error;

use super::Arguments;
use super::photos::Candidate;
use crate::read::{self, Identity};
use crate::{folder, staged};

/// Where the outputs for a photo go.
pub struct Outputs {
    pub heatmap: Option<PathBuf>,
    pub scores: Option<PathBuf>,
}

/// The outputs for each photo. None overwrites another, a photo or the model.
pub fn outputs(arguments: &Arguments, candidates: &[Candidate]) -> Result<Vec<Outputs>> {
    let inputs = || candidates.iter().map(|candidate| &candidate.path);
    let names = names(inputs());
    let several = names.len() > 1;
    let outputs = names.iter().map(|name| {
        let named = |out: &PathBuf| match several {
            true => beside(out, name),
            false => out.clone(),
        };
        Outputs {
            heatmap: arguments.heatmap.as_ref().map(named),
            scores: arguments.logits.as_ref().map(named),
        }
    });
    let outputs: Vec<Outputs> = outputs.collect();
    let (heatmap, scores) = (&arguments.heatmap, &arguments.logits);
    let (report, features) = (&arguments.report, &arguments.features);
    if [heatmap, scores, report, features]
        .iter()
        .all(|out| out.is_none())
    {
        return Ok(outputs);
    }
    let (manifest, _, _) = folder::manifest(&arguments.model)?;
    let folder = folder::of(&arguments.model);
    let mut kept = folder::files(folder, &manifest);
    kept.extend([folder.join("model.json"), arguments.model.clone()]);
    kept.extend(arguments.out.clone());
    kept.extend(inputs().cloned());
    let mut taken: HashMap<_, &Path> = HashMap::new();
    for path in &kept {
        taken.extend(read::identity(path).map(|id| (id, path.as_path())));
    }
    let mut places = HashSet::new();
    for out in outputs
        .iter()
        .flat_map(|each| [&each.heatmap, &each.scores])
        .chain([report, features])
        .flatten()
    {
        let there = read::identity(out).and_then(|id| taken.insert(id, out));
        let twice = !places.insert(place(out));
        if let Some(there) = there.or(twice.then_some(out)) {
            return Err(Error::BadOption(format!(
                "{} would overwrite {}; name another file for it",
                out.display(),
                there.display()
            ))
            .into());
        }
    }
    Ok(outputs)
}

/// The real path of a file that need not exist yet, however its folder is named.
fn place(out: &Path) -> PathBuf {
    let whole = std::path::absolute(out).unwrap_or_else(|_| out.to_path_buf());
    let folder = whole.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, whole.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => whole,
    }
}

/// Writes an output, unless it turns out to be an earlier one: through links that were dangling before, or
/// where the file system takes two names as the same.
pub fn write(out: &Path, bytes: &[u8], written: &mut HashSet<Identity>) -> Result<()> {
    if read::identity(out).is_some_and(|there| written.contains(&there)) {
        return Err(Error::BadOption(format!(
            "{} was written for another photo; classify this one separately",
            out.display()
        ))
        .into());
    }
    staged::file(out, bytes)?;
    written.extend(read::identity(out));
    Ok(())
}

/// A name for each photo: its file's, with a number if another photo has it.
fn names<'a>(photos: impl Iterator<Item = &'a PathBuf>) -> Vec<String> {
    let mut taken = HashSet::new();
    let unique = |photo: &PathBuf| {
        let stem = photo.file_stem().unwrap_or_default().to_string_lossy();
        let mut name = stem.to_string();
        // Some file systems ignore case.
        for number in 2.. {
            if taken.insert(name.to_lowercase()) {
                break;
            }
            name = format!("{stem}-{number}");
        }
        name
    };
    photos.map(unique).collect()
}

/// `out` with a photo's name added before the extension.
fn beside(out: &Path, name: &str) -> PathBuf {
    let mut file = out.file_stem().unwrap_or_default().to_os_string();
    file.push(format!("-{name}"));
    if let Some(extension) = out.extension() {
        file.push(".");
        file.push(extension);
    }
    out.with_file_name(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_photo_has_a_name_of_its_own() {
        let photos = ["a/x.jpg", "b/x.jpg", "x-2.jpg", "X.png", "x", ".."].map(PathBuf::from);
        let names = names(photos.iter());
        assert_eq!(names, ["x", "x-2", "x-2-2", "X-3", "x-4", ""]);
        assert_eq!(
            beside(Path::new("o/map.png"), "x"),
            Path::new("o/map-x.png")
        );
        assert_eq!(beside(Path::new("map"), "x"), Path::new("map-x"));
    }
}
