//! two folders → one in the place of the other, with what somebody else put there.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::read::identity_of;

/// Whether a folder cannot be exchanged, or must not be.
pub fn must_stay(target: &Path) -> bool {
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

/// Whether a folder is a mount point, even of the same file system as by `mount --bind`: moved away with
/// its parent, it would be emptied.
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

/// Brings everything from `old` into `new` except what is removed or already written there. Returns whether
/// the folder holds anything of somebody else's.
pub fn carry(
    old: &Path,
    new: &Path,
    removed: &BTreeSet<PathBuf>,
    inner: &Path,
) -> io::Result<bool> {
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

/// The same file at another path, or a copy where the file system has no links.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        // What is mounted within the folder cannot be brought along.
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

/// Exchanges two folders and returns where the old one is now.
pub fn exchange(new: &Path, target: &Path, aside: &Path) -> io::Result<PathBuf> {
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
    // If it is killed between these two, the next run puts the old folder back.
    fs::rename(target, aside)?;
    fs::rename(new, target).inspect_err(|_| drop(fs::rename(aside, target)))?;
    Ok(aside.to_path_buf())
}

/// Whether two paths name one file, or one link.
pub fn same_file(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| identity_of(&path.symlink_metadata().ok()?, path);
    id(one).is_some_and(|one| id(other) == Some(one))
}

/// Makes the names in a folder and in its parent survive a power cut, where the system can.
pub fn sync_names(folder: &Path) {
    for folder in [Some(folder), folder.parent()].into_iter().flatten() {
        drop(File::open(folder).and_then(|folder| folder.sync_all()));
    }
}
