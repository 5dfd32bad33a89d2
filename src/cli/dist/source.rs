//! folder → the files of it that are published.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use whylens::Error;
use whylens::manifest::MOST_TEXT;

use super::Files;
use crate::{inside, read};

/// A folder whose files are published, but nothing elsewhere that a link in it leads to.
pub struct Source {
    pub folder: PathBuf,
    links: bool,
}

impl Source {
    /// A link that names the folder itself is followed; links within it only if `links` says so.
    pub fn new(folder: &Path, links: bool) -> Result<Source> {
        let cannot = || format!("cannot read {}", folder.display());
        let folder = Path::new(".").join(folder).canonicalize();
        let folder = folder.with_context(cannot)?;
        Ok(Source { folder, links })
    }

    /// The real path of the file or folder of this name.
    pub fn real(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        let cannot = || format!("cannot read {}", path.display());
        let real = path.canonicalize().with_context(cannot)?;
        ensure!(
            self.links || inside::resolve(&self.folder, &path).is_ok(),
            "{} leads to {}, which would be published; put a copy in its place, or add --follow-links",
            path.display(),
            real.display()
        );
        Ok(real)
    }

    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        read::file(&self.real(name)?, read::MOST_ONNX, Error::OverMemoryLimit)
    }

    /// `model.json`, or labels.
    pub fn text(&self, name: &str) -> Result<Vec<u8>> {
        read::file(&self.real(name)?, MOST_TEXT, Error::BadManifest)
    }

    /// A file, or all files below a folder that are not hidden. `above`: the folders that contain it.
    pub fn read_all(&self, name: &str, above: &mut Vec<PathBuf>, files: &mut Files) -> Result<()> {
        let real = self.real(name)?;
        if !real.is_dir() {
            files.insert(name.into(), self.read(name)?);
            return Ok(());
        }
        let path = self.folder.join(name);
        ensure!(
            !above.contains(&real),
            "{} leads to a folder that contains it; remove it",
            path.display()
        );
        above.push(real);
        let entries =
            fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for entry in entries {
            let path = entry?.path();
            let inner = path
                .file_name()
                .and_then(|name| name.to_str())
                .with_context(|| format!("the name of {} is not UTF-8", path.display()))?;
            if !inner.starts_with('.') {
                self.read_all(&format!("{name}/{inner}"), above, files)?;
            }
        }
        above.pop();
        Ok(())
    }
}
