//! path in a folder → the file that it leads to, if that is in the folder too.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Where a path leads once all links are followed: within the folder, and to nothing hidden there. The
/// folder's own path has no links.
pub fn resolve(folder: &Path, path: &Path) -> io::Result<PathBuf> {
    // A link to itself is not the server's fault.
    let real = path.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => error,
        _ => io::ErrorKind::PermissionDenied.into(),
    })?;
    let inner = real
        .strip_prefix(folder)
        .map_err(|_| io::ErrorKind::PermissionDenied)?;
    if inner
        .iter()
        .any(|part| part.as_encoded_bytes().starts_with(b"."))
    {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(real)
}

/// Opens what a path leads to. Devices, and pipes that nobody writes to, are not files.
pub fn open(folder: &Path, path: &Path) -> io::Result<File> {
    let real = resolve(folder, path)?;
    if !real.metadata()?.is_file() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let file = open_resolved(folder, &real)?;
    // It may have been replaced since.
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(file)
}

/// Opens folder by folder, as each may have become a link since.
#[cfg(unix)]
fn open_resolved(folder: &Path, real: &Path) -> io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut at = openat(CWD, folder, flags, Mode::empty())?;
    for part in real.strip_prefix(folder).unwrap_or(real) {
        at = openat(&at, part, flags, Mode::empty())?;
    }
    Ok(at.into())
}

#[cfg(not(unix))]
fn open_resolved(_folder: &Path, real: &Path) -> io::Result<File> {
    File::open(real)
}
