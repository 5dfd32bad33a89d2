//! files → a folder, whole: made beside the one that it replaces, then put in its place in one step.
//!
//! One step is impossible for the current directory (a shell would be left in a folder that is gone), a
//! mount point, or a folder whose parent is not writable. These are changed file by file, each put in its
//! place whole, in the order in which they were written here; files are removed before the last one is put
//! there.

mod exchange;
mod leftovers;
mod lock;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use self::exchange::{carry, exchange, must_stay, same_file, sync_names};
use self::leftovers::{clear, end_cleanly, make, under_way};
use self::lock::Lock;

/// Part of every name that exists only while a folder is being written.
const OURS: &str = "whylens-";

/// Names are cut to this many bytes: file systems allow 255, with what is added.
const LONGEST: usize = 200;

/// A folder in the making. Dropped without `commit`, it leaves the old one as it was.
pub struct Staged {
    target: PathBuf,
    /// Holds `new` until it takes the target's place, and then `old`.
    place: PathBuf,
    in_place: bool,
    written: Vec<PathBuf>,
    removed: BTreeSet<PathBuf>,
    locks: Vec<Lock>,
}

impl Staged {
    /// Starts a folder at `target`, or at what it links to. Waits for another whylens that is writing it.
    pub fn begin(target: &Path) -> Result<Staged> {
        let cannot = || format!("cannot write {}", target.display());
        let target = resolve(target).with_context(cannot)?;
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            bail!(
                "{} is not a folder that can be written; name one inside it",
                target.display()
            );
        };
        end_cleanly();
        let prefix = hidden(name);
        let inner = format!(".{OURS}");
        let mut locks = Vec::from_iter(Lock::take(&parent.join(format!("{prefix}lock"))));
        if !locks.is_empty() {
            clear(parent, &prefix, Some(&target));
        }
        let beside = if must_stay(&target) {
            None
        } else {
            make(parent, &prefix).ok()
        };
        let in_place = beside.is_none() && target.is_dir();
        let place = match beside {
            Some(place) => place,
            None if in_place => {
                let lock = Lock::take(&target.join(format!("{inner}lock")));
                if lock.is_some() {
                    clear(&target, &inner, None);
                }
                locks.extend(lock);
                make(&target, &inner).with_context(cannot)?
            }
            None => make(parent, &prefix).with_context(cannot)?,
        };
        Ok(Staged {
            target,
            place,
            in_place,
            written: Vec::new(),
            removed: BTreeSet::new(),
            locks,
        })
    }

    /// The real path of the folder as it is now; it may not exist yet.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The paths of everything in the folder as it is now, except folders that can be read.
    pub fn before(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        if self.target.exists() {
            list(&self.target, Path::new(""), &mut found)
                .with_context(|| format!("cannot read {}", self.target.display()))?;
        }
        Ok(found)
    }

    fn fresh(&self) -> PathBuf {
        self.place.join("new")
    }

    /// Writes a file of the new folder, at a path with `/`. Files that name others come after them.
    pub fn write(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = plain(path)?;
        let _whole = under_way();
        let file = self.fresh().join(&path);
        let cannot = || format!("cannot write {}", self.target.join(&path).display());
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(cannot)?;
        }
        fs::write(&file, bytes).with_context(cannot)?;
        self.written.push(path);
        Ok(())
    }

    /// Leaves a file of the old folder out of the new one. All others stay.
    pub fn remove(&mut self, path: &str) -> Result<()> {
        self.removed.insert(plain(path)?);
        Ok(())
    }

    /// Puts the new folder in place of the old one.
    pub fn commit(mut self) -> Result<()> {
        // Ctrl-C waits: from here on it would find more than one folder to tidy up.
        let whole = under_way();
        let done = self.put();
        drop(whole);
        done.with_context(|| format!("cannot write {}", self.target.display()))
    }

    fn put(&mut self) -> Result<()> {
        let fresh = self.fresh();
        for path in &self.written {
            self.removed.remove(path);
        }
        self.find_conflicts()?;
        for path in &self.written {
            let file = OpenOptions::new().write(true).open(fresh.join(path))?;
            file.sync_all()?;
        }
        if !self.target.exists() {
            fs::rename(&fresh, &self.target)?;
            sync_names(&self.target);
            return Ok(());
        }
        let whole =
            !self.in_place && carry(&self.target, &fresh, &self.removed, Path::new("")).is_ok();
        match whole.then(|| exchange(&fresh, &self.target, &self.place.join("old"))) {
            Some(Ok(old)) => {
                sync_names(&self.target);
                self.keep_late(&old, Path::new(""));
            }
            Some(Err(_)) | None => self.put_each()?,
        }
        Ok(())
    }

    /// A folder in place of a file, or a link in place of a folder, belongs to somebody else.
    fn find_conflicts(&self) -> Result<()> {
        for path in &self.written {
            for part in path.ancestors().filter(|part| *part != Path::new("")) {
                let Ok(found) = self.target.join(part).symlink_metadata() else {
                    continue;
                };
                let (there, wanted) = match (found.is_dir(), part == path) {
                    (true, true) => ("a folder", "a file"),
                    (false, false) => ("not a folder", "one"),
                    _ => continue,
                };
                ensure!(
                    self.removed.contains(part),
                    "{} is {there}, where {wanted} is to be written; move it away",
                    self.target.join(part).display()
                );
            }
        }
        Ok(())
    }

    /// File by file, where one step is impossible; the last one lists the others, so it comes after them.
    fn put_each(&self) -> Result<()> {
        let Some((last, others)) = self.written.split_last() else {
            return self.take_away();
        };
        for path in others {
            self.put_one(path)?;
        }
        self.take_away()?;
        self.put_one(last)?;
        sync_names(&self.target);
        Ok(())
    }

    fn put_one(&self, path: &Path) -> Result<()> {
        let (from, to) = (self.fresh().join(path), self.target.join(path));
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        // Another file system may be mounted within the folder.
        if fs::rename(&from, &to).is_err() {
            file(&to, &fs::read(&from)?)?;
        }
        Ok(())
    }

    fn take_away(&self) -> Result<()> {
        for path in &self.removed {
            match fs::remove_file(self.target.join(path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
            let folders = path.ancestors().skip(1);
            for folder in folders.filter(|folder| *folder != Path::new("")) {
                if fs::remove_dir(self.target.join(folder)).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Keeps what somebody else put into the old folder after it was listed.
    fn keep_late(&self, old: &Path, inner: &Path) {
        for entry in fs::read_dir(old.join(inner))
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = inner.join(entry.file_name());
            let (from, to) = (old.join(&path), self.target.join(&path));
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.keep_late(old, &path);
            } else if !self.written.contains(&path)
                && !self.removed.contains(&path)
                && !same_file(&from, &to)
            {
                drop(to.parent().map(fs::create_dir_all));
                drop(fs::rename(&from, &to));
            }
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let mut leftovers = under_way();
        drop(fs::remove_dir_all(&self.place));
        leftovers.retain(|path| *path != self.place);
        drop(leftovers);
        self.locks.clear();
    }
}

/// Writes one file beside its place, then puts it there; a link stays a link. What is not a file, such as
/// /dev/stdout, is written directly.
pub fn file(path: &Path, bytes: &[u8]) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let target = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let before = target.metadata().ok();
    if path.is_symlink() && before.is_none()
        || before.as_ref().is_some_and(|found| !found.is_file())
    {
        return fs::write(path, bytes).with_context(cannot);
    }
    let name = hidden(target.file_name().with_context(cannot)?);
    let fresh = target.with_file_name(format!("{name}{}", std::process::id()));
    let written = || -> io::Result<()> {
        drop(fs::remove_file(&fresh));
        let mut options = OpenOptions::new();
        let mut file = match options.write(true).create_new(true).open(&fresh) {
            // The file may be writable although its folder is not.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return fs::write(&target, bytes);
            }
            opened => opened?,
        };
        file.write_all(bytes)?;
        if let Some(before) = before {
            file.set_permissions(before.permissions())?;
        }
        file.sync_all()?;
        drop(file);
        fs::rename(&fresh, &target)
    };
    written()
        .with_context(cannot)
        .inspect_err(|_| drop(fs::remove_file(&fresh)))
}

fn list(folder: &Path, inner: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder.join(inner))? {
        let entry = entry?;
        let path = inner.join(entry.file_name());
        let ours = path.to_string_lossy().starts_with(&format!(".{OURS}"));
        if ours || entry.file_type()?.is_dir() && list(folder, &path, found).is_ok() {
            continue;
        }
        found.push(path);
    }
    Ok(())
}

/// The real path that a folder has or will have; its parent is created.
fn resolve(target: &Path) -> Result<PathBuf> {
    let mut target = target.to_path_buf();
    for _ in 0..40 {
        let Ok(link) = fs::read_link(&target) else {
            break;
        };
        target = target.parent().unwrap_or(Path::new("")).join(link);
    }
    if let Ok(found) = target.canonicalize() {
        ensure!(found.is_dir(), "it is not a folder");
        return Ok(found);
    }
    let name = target.file_name().context("it has no name of its own")?;
    let parent = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent)?;
    Ok(parent.canonicalize()?.join(name))
}

/// The beginning of names that exist only while a file or folder of this name is being written.
fn hidden(name: &OsStr) -> String {
    let name = name.to_string_lossy();
    if name.len() <= LONGEST {
        return format!(".{name}.{OURS}");
    }
    let mut hash = DefaultHasher::new();
    name.hash(&mut hash);
    let mut end = LONGEST;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!(".{}~{:016x}.{OURS}", &name[..end], hash.finish())
}

/// A path that stays in its folder.
fn plain(path: &str) -> Result<PathBuf> {
    let parts = Path::new(path).components();
    ensure!(
        !path.is_empty()
            && parts
                .clone()
                .all(|part| matches!(part, Component::Normal(_))),
        "`{path}` is not a path within a folder"
    );
    Ok(parts.collect())
}

#[cfg(all(test, unix))]
mod tests;
