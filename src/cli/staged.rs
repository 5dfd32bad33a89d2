//! files → a folder, whole: made beside the one that it replaces, then put in its place in one step.
//!
//! One step cannot be had for the current directory (a shell would be left in a folder that is gone), a
//! mount point, or a folder whose parent may not be written. These are changed file by file, each put in
//! its place whole, in the order in which they were written here; what is to go goes before the last.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use anyhow::{Context, Result, bail, ensure};

/// In the name of whatever is only there while a folder is written.
const OURS: &str = "whylens-";

/// Bytes of a name, beyond which it is cut: file systems take 255, with what is added.
const LONGEST: usize = 200;

/// A file that tells a folder that was left by a run that was killed from anybody else's.
const MARK: &str = "left-by-whylens.txt";
const NOTE: &str =
    "whylens makes a folder in here. If none runs, this can be removed; the next run does so.\n";

/// A folder in the making. Dropped without `commit`, it leaves the old one as it was.
pub struct Staged {
    target: PathBuf,
    /// Holds `new` until it takes the target's place, and `old` then.
    place: PathBuf,
    in_place: bool,
    written: Vec<PathBuf>,
    removed: BTreeSet<PathBuf>,
    locks: Vec<Lock>,
}

impl Staged {
    /// Begins a folder at `target`, or at what it links to. Waits for another whylens that writes it.
    pub fn begin(target: &Path) -> Result<Staged> {
        let cannot = || format!("cannot write {}", target.display());
        let target = resolve(target).with_context(cannot)?;
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            bail!("{} is no folder to write; name one in it", target.display());
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

    /// The folder as it is now, which may not be there yet: a real path.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The paths of everything in the folder as it is now, but of folders that can be read.
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

    /// Writes a file of the new folder, at a path with `/`. Whatever names others comes after them.
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
        // Ctrl-C waits: past here it would find more than one folder to tidy up.
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

    /// A folder where a file is to be, or a link where a folder is to be, belongs to somebody else.
    fn find_conflicts(&self) -> Result<()> {
        for path in &self.written {
            for part in path.ancestors().filter(|part| *part != Path::new("")) {
                let Ok(found) = self.target.join(part).symlink_metadata() else {
                    continue;
                };
                let (there, wanted) = match (found.is_dir(), part == path) {
                    (true, true) => ("a folder", "a file"),
                    (false, false) => ("no folder", "one"),
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

    /// File by file, for want of one step; the last one tells what there is, so that it comes after all.
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

    /// What somebody else put into the old folder after it was looked through is theirs.
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

/// Writes one file beside its place, then puts it there; a link stays one. What is no file, such as
/// /dev/stdout, is written as it is.
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
            // The file may be changed though its folder may not.
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

/// Where a folder is or will be, past all links; its parent is made.
fn resolve(target: &Path) -> Result<PathBuf> {
    let mut target = target.to_path_buf();
    for _ in 0..40 {
        let Ok(link) = fs::read_link(&target) else {
            break;
        };
        target = target.parent().unwrap_or(Path::new("")).join(link);
    }
    if let Ok(found) = target.canonicalize() {
        ensure!(found.is_dir(), "it is no folder");
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

/// How the names begin of what is only there while a file or folder of this name is written.
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
        "`{path}` is no path within a folder"
    );
    Ok(parts.collect())
}

/// Makes a folder to work in that nobody else may look into.
fn make(folder: &Path, prefix: &str) -> io::Result<PathBuf> {
    let place = folder.join(format!("{prefix}{}", std::process::id()));
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let mut leftovers = under_way();
    builder.create(&place)?;
    fs::write(place.join(MARK), NOTE)
        .and_then(|()| fs::create_dir(place.join("new")))
        .inspect_err(|_| drop(fs::remove_dir_all(&place)))?;
    leftovers.push(place.clone());
    Ok(place)
}

/// Removes what runs that were killed have left, and puts back a folder that one had moved away.
fn clear(folder: &Path, prefix: &str, target: Option<&Path>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let place = entry.path();
        let named = entry.file_name().to_string_lossy().starts_with(prefix);
        if !named
            || !entry
                .metadata()
                .is_ok_and(|found| found.is_dir() && is_own(&found))
        {
            continue;
        }
        if place.join(MARK).is_file() {
            if let Some(target) = target
                && !target.exists()
                && place.join("old").is_dir()
            {
                drop(fs::rename(place.join("old"), target));
            }
            drop(fs::remove_dir_all(&place));
        } else {
            // Killed before it was marked, it is empty.
            drop(fs::remove_dir(&place));
        }
    }
}

/// In a folder that is shared, somebody else may have made what looks like ours.
fn is_own(found: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        found.uid() == rustix::process::geteuid().as_raw()
    }
    #[cfg(not(unix))]
    {
        let _ = found;
        true
    }
}

/// Whether a folder cannot be exchanged, or must not be.
fn must_stay(target: &Path) -> bool {
    let here = std::env::current_dir().is_ok_and(|here| here.starts_with(target));
    let mounted = target.exists() && device(target) != target.parent().and_then(device);
    here || mounted
}

/// The file system that a path is on.
fn device(path: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        path.metadata().ok().map(|found| found.dev())
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Whether a folder is mounted where it is, of the same file system too, as by `mount --bind`: moved away with the
/// folder around it, it would be emptied.
fn is_mounted(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
        statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
            .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        false
    }
}

/// Brings everything of `old` into `new` but what is removed or written there already. Gives whether the
/// folder holds anything of somebody else's.
fn carry(old: &Path, new: &Path, removed: &BTreeSet<PathBuf>, inner: &Path) -> io::Result<bool> {
    let mut kept = false;
    let mut empty = true;
    for entry in fs::read_dir(old.join(inner))? {
        let entry = entry?;
        empty = false;
        let path = inner.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if device(&entry.path()) != device(old) || is_mounted(&entry.path()) {
                return Err(io::ErrorKind::CrossesDevices.into());
            }
            kept |= carry(old, new, removed, &path)?;
        } else if !removed.contains(&path) && new.join(&path).symlink_metadata().is_err() {
            kept = true;
            fs::create_dir_all(new.join(inner))?;
            link(&old.join(&path), &new.join(&path))?;
        }
    }
    if empty {
        fs::create_dir_all(new.join(inner))?;
    }
    if new.join(inner).is_dir() {
        take_after(&old.join(inner), &new.join(inner))?;
    }
    Ok(kept || empty)
}

/// The same file at another path, or a copy where the file system knows no links.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        // Mounted within the folder, it cannot be brought along.
        Err(error) if error.kind() != io::ErrorKind::CrossesDevices => {}
        done => return done,
    }
    let found = from.symlink_metadata()?;
    #[cfg(unix)]
    if found.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if !found.is_file() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    fs::copy(from, to)?;
    take_after(from, to)?;
    let times = fs::FileTimes::new().set_modified(found.modified()?);
    OpenOptions::new().append(true).open(to)?.set_times(times)
}

/// Gives a file or folder the owner and the permissions of another.
fn take_after(old: &Path, new: &Path) -> io::Result<()> {
    let before = old.metadata()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, chown};
        let after = new.metadata()?;
        if (before.uid(), before.gid()) != (after.uid(), after.gid()) {
            chown(new, Some(before.uid()), Some(before.gid()))?;
        }
    }
    fs::set_permissions(new, before.permissions())
}

/// Exchanges two folders and gives where the old one is now.
fn exchange(new: &Path, target: &Path, aside: &Path) -> io::Result<PathBuf> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, new, CWD, target, RenameFlags::EXCHANGE) {
            Ok(()) => return Ok(new.to_path_buf()),
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Killed between these two, the next run puts the old folder back.
    fs::rename(target, aside)?;
    fs::rename(new, target).inspect_err(|_| drop(fs::rename(aside, target)))?;
    Ok(aside.to_path_buf())
}

fn same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |path: &Path| {
            path.symlink_metadata()
                .ok()
                .map(|found| (found.dev(), found.ino()))
        };
        id(one).is_some() && id(one) == id(other)
    }
    #[cfg(not(unix))]
    {
        let _ = one;
        other.symlink_metadata().is_ok()
    }
}

/// Keeps the names of a folder and of the one that it is in through a power cut, where that can be had.
fn sync_names(folder: &Path) {
    for folder in [Some(folder), folder.parent()].into_iter().flatten() {
        drop(File::open(folder).and_then(|folder| folder.sync_all()));
    }
}

/// A hidden file that is there, and locked, while a folder is written.
struct Lock {
    path: PathBuf,
    // Closing it lets the next one in.
    _file: File,
}

impl Lock {
    /// None: one cannot be had here, such as in a folder that may not be written.
    fn take(path: &Path) -> Option<Lock> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use rustix::fs::OFlags;
            use std::os::unix::fs::OpenOptionsExt;
            options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        }
        let mut told = false;
        loop {
            let mut leftovers = under_way();
            let file = options.open(path).ok()?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    drop(leftovers);
                    if !told {
                        let folder = path.parent().unwrap_or(path).display();
                        eprintln!("whylens: waits for another whylens that writes into {folder}");
                        told = true;
                    }
                    file.lock().ok()?;
                    leftovers = under_way();
                }
                Err(TryLockError::Error(_)) => return None,
            }
            // The one before removed it with its lock.
            if is_at(&file, path) {
                leftovers.push(path.to_path_buf());
                return Some(Lock {
                    path: path.to_path_buf(),
                    _file: file,
                });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut leftovers = under_way();
        // Where open files cannot be removed, it stays, which does no harm.
        drop(fs::remove_file(&self.path));
        leftovers.retain(|path| *path != self.path);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |found: fs::Metadata| (found.dev(), found.ino());
        file.metadata().ok().map(id) == path.symlink_metadata().ok().map(id)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

/// What Ctrl-C removes. Held while something is written, so that it comes before or after that.
fn under_way() -> MutexGuard<'static, Vec<PathBuf>> {
    static LEFTOVERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets Ctrl-C, and what ends a process kindly, remove what is under way.
fn end_cleanly() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        else {
            return;
        };
        let end = {
            let _listening = runtime.enter();
            super::signals::end()
        };
        std::thread::spawn(move || {
            let code = runtime.block_on(end);
            let leftovers = under_way();
            for path in leftovers.iter().rev() {
                drop(fs::remove_dir_all(path));
                drop(fs::remove_file(path));
            }
            std::process::exit(code)
        });
    });
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    /// A folder of its own for each test, which goes with it.
    struct Place(PathBuf);

    impl std::ops::Deref for Place {
        type Target = Path;
        fn deref(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    /// With files in `old/`.
    fn workplace(name: &str, files: &[(&str, &str)]) -> Place {
        let place =
            std::env::temp_dir().join(format!("whylens-staged-{}-{name}", std::process::id()));
        drop(fs::remove_dir_all(&place));
        for (file, text) in files {
            let file = place.join("old").join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        fs::create_dir_all(&place).unwrap();
        Place(place.canonicalize().unwrap())
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_neither_written_nor_removed_stays_as_it_is() {
        let place = workplace(
            "stays",
            &[
                ("a", "1"),
                ("b", "1"),
                ("gone/only", "1"),
                (".git/HEAD", "ref"),
                ("both/theirs", "1"),
            ],
        );
        let old = place.join("old");
        symlink("nowhere", old.join("link")).unwrap();
        fs::create_dir_all(old.join("empty/inner")).unwrap();
        fs::set_permissions(&old, fs::Permissions::from_mode(0o750)).unwrap();
        fs::set_permissions(old.join(".git"), fs::Permissions::from_mode(0o700)).unwrap();
        let inode = old.join(".git/HEAD").metadata().unwrap().ino();

        let mut staged = Staged::begin(&old).unwrap();
        staged.write("b", b"2").unwrap();
        staged.write("both/ours", b"2").unwrap();
        staged.remove("gone/only").unwrap();
        assert_eq!(
            fs::read(old.join("b")).unwrap(),
            b"1",
            "the old folder, until then"
        );
        staged.commit().unwrap();

        assert_eq!(names(&place), ["old"]);
        assert_eq!(names(&old), [".git", "a", "b", "both", "empty", "link"]);
        assert_eq!(names(&old.join("both")), ["ours", "theirs"]);
        assert_eq!(fs::read(old.join("b")).unwrap(), b"2");
        assert_eq!(
            fs::read_link(old.join("link")).unwrap(),
            Path::new("nowhere")
        );
        assert!(old.join("empty/inner").is_dir());
        assert_eq!(old.metadata().unwrap().mode() & 0o777, 0o750);
        assert_eq!(old.join(".git").metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(old.join(".git/HEAD").metadata().unwrap().ino(), inode);
    }

    #[test]
    fn a_folder_that_is_not_finished_leaves_nothing() {
        let place = workplace("dropped", &[("a", "1")]);
        for target in ["old", "none"] {
            let mut staged = Staged::begin(&place.join(target)).unwrap();
            staged.write("a", b"2").unwrap();
            drop(staged);
        }
        assert_eq!(names(&place), ["old"]);
        assert_eq!(fs::read(place.join("old/a")).unwrap(), b"1");
    }

    #[test]
    fn a_link_to_the_folder_stays_a_link() {
        let place = workplace("link", &[("a", "1")]);
        symlink("old", place.join("link")).unwrap();
        symlink("deep/new", place.join("dangling")).unwrap();
        for (link, folder) in [("link", "old"), ("dangling", "deep/new")] {
            let mut staged = Staged::begin(&place.join(link)).unwrap();
            staged.write("a", b"2").unwrap();
            staged.commit().unwrap();
            assert!(place.join(link).is_symlink());
            assert_eq!(fs::read(place.join(folder).join("a")).unwrap(), b"2");
        }
    }

    #[test]
    fn what_killed_runs_left_is_cleared_and_nothing_else() {
        let place = workplace("killed", &[("a", "1")]);
        for (folder, file) in [
            (".old.whylens-1", MARK),
            (".old.whylens-2", "thesis"),
            (".gone.whylens-3", MARK),
            (".gone.whylens-3/old", "a"),
        ] {
            fs::create_dir_all(place.join(folder)).unwrap();
            fs::write(place.join(folder).join(file), "1").unwrap();
        }
        drop(Staged::begin(&place.join("old")).unwrap());
        assert_eq!(names(&place), [".gone.whylens-3", ".old.whylens-2", "old"]);
        drop(Staged::begin(&place.join("gone")).unwrap());
        assert_eq!(names(&place), [".old.whylens-2", "gone", "old"]);
        assert_eq!(
            fs::read(place.join("gone/a")).unwrap(),
            b"1",
            "moved away, put back"
        );
    }

    #[test]
    fn somebody_elses_folder_or_link_in_the_way_is_told() {
        let place = workplace("conflict", &[("page/theirs", "1"), ("models", "1")]);
        symlink(&*place, place.join("old/out")).unwrap();
        for path in ["page", "models/m", "out/m"] {
            let mut staged = Staged::begin(&place.join("old")).unwrap();
            staged.write(path, b"2").unwrap();
            let told = format!("{:#}", staged.commit().unwrap_err());
            assert!(told.contains("move it away"), "{path}: {told}");
        }
        assert_eq!(names(&place), ["old"]);
        assert_eq!(names(&place.join("old")), ["models", "out", "page"]);
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        let place = workplace("paths", &[]);
        let mut staged = Staged::begin(&place.join("old")).unwrap();
        for path in ["", "..", "../a", "/a", "a/../../b"] {
            assert!(staged.write(path, b"").is_err(), "{path}");
            assert!(staged.remove(path).is_err(), "{path}");
        }
    }

    #[test]
    fn what_comes_while_a_folder_is_replaced_is_kept() {
        let place = workplace("late", &[("a", "1"), ("b", "1"), ("c", "1")]);
        let mut staged = Staged::begin(&place.join("old")).unwrap();
        staged.write("a", b"2").unwrap();
        staged.remove("c").unwrap();
        let fresh = staged.fresh();
        carry(&staged.target, &fresh, &staged.removed, Path::new("")).unwrap();
        fs::write(place.join("old/late"), "3").unwrap();
        fs::write(place.join("old/saved"), "3").unwrap();
        fs::rename(place.join("old/saved"), place.join("old/b")).unwrap();
        let old = exchange(&fresh, &staged.target, &staged.place.join("old")).unwrap();
        staged.keep_late(&old, Path::new(""));
        drop(staged);
        let text = |name: &str| fs::read_to_string(place.join("old").join(name)).unwrap();
        assert_eq!(names(&place.join("old")), ["a", "b", "late"]);
        assert_eq!(
            (text("a"), text("b"), text("late")),
            ("2".into(), "3".into(), "3".into())
        );
    }

    #[test]
    fn names_may_be_as_long_as_the_file_system_takes() {
        let place = workplace("long", &[]);
        for letter in ["n", "猫"] {
            let name = letter.repeat(255 / letter.len());
            let target = place.join(&name);
            for text in ["1", "2"] {
                let mut staged = Staged::begin(&target).unwrap();
                staged.write("a", text.as_bytes()).unwrap();
                staged.commit().unwrap();
                assert_eq!(fs::read_to_string(target.join("a")).unwrap(), text);
            }
            file(&target.join(&name), b"1").unwrap();
            assert_eq!(names(&target), ["a", &name]);
            let begins = |name: &str| hidden(OsStr::new(name));
            assert_ne!(begins(&name), begins(&format!("{}x", &name[..252])));
        }
        assert_eq!(names(&place).len(), 2);
    }

    #[test]
    fn one_file_is_written_whole_through_a_link_and_with_its_permissions() {
        let place = workplace("file", &[("a", "1")]);
        let target = place.join("old/a");
        fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("old/a", place.join("link")).unwrap();
        file(&place.join("link"), b"2").unwrap();
        file(&place.join("new"), b"2").unwrap();
        file(Path::new("/dev/null"), b"2").unwrap();
        assert!(place.join("link").is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"2");
        assert_eq!(target.metadata().unwrap().mode() & 0o777, 0o640);
        assert_eq!(names(&place), ["link", "new", "old"]);
        assert_eq!(names(&place.join("old")), ["a"]);
        assert!(file(&place.join("none/a"), b"2").is_err());
    }
}
