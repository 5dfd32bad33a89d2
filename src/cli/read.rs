//! path → the bytes of a plain file, up to a limit.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result};
use whylens::Error;

/// Most bytes of an ONNX file, together with the files beside it that hold its weights: a protobuf's limit.
pub const MOST_ONNX: u64 = (1 << 31) - 1;

/// Reads a whole file; `over` makes the error for one with more than `most` bytes, which is not read at
/// all.
pub fn file(path: &Path, most: u64, over: fn(String) -> Error) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    append(&mut content, path, most, over)?;
    Ok(content)
}

/// The first bytes of a file, by which its kind is known.
pub fn beginning(path: &Path) -> Result<Vec<u8>> {
    let failed = || format!("cannot read {}", path.display());
    let (file, _) = open(path).with_context(failed)?;
    let mut bytes = Vec::new();
    file.take(4096)
        .read_to_end(&mut bytes)
        .with_context(failed)?;
    Ok(bytes)
}

/// Appends a whole file to the bytes that are there already.
pub fn append(
    content: &mut Vec<u8>,
    path: &Path,
    most: u64,
    over: fn(String) -> Error,
) -> Result<()> {
    let failed = || format!("cannot read {}", path.display());
    let (file, bytes) = open(path).with_context(failed)?;
    if bytes > most {
        let name = path.display();
        return Err(over(format!(
            "{name} has {bytes} bytes, at most {most} are allowed"
        ))
        .into());
    }
    let before = content.len() as u64;
    content
        .try_reserve(usize::try_from(bytes)?)
        .map_err(|_| Error::OutOfMemory(format!("no memory for {}", path.display())))?;
    // One more, so that a file that grows meanwhile is noticed.
    file.take(bytes + 1)
        .read_to_end(content)
        .with_context(failed)?;
    if content.len() as u64 - before != bytes {
        let changed = "it changed while it was being read; try again once nothing writes to it";
        return Err(io::Error::other(changed)).with_context(failed);
    }
    Ok(())
}

#[cfg(unix)]
pub type Identity = (u64, u64);
#[cfg(not(unix))]
pub type Identity = std::path::PathBuf;

/// What identifies a plain file, whatever spelling or links name it.
pub fn identity(path: &Path) -> Option<Identity> {
    let found = path.metadata().ok().filter(Metadata::is_file)?;
    identity_of(&found, path)
}

/// What identifies the file whose metadata was read; `path` serves where metadata does not tell.
pub fn identity_of(found: &Metadata, path: &Path) -> Option<Identity> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let _ = path;
        Some((found.dev(), found.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = found;
        path.canonicalize().ok()
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    // Merely opening a device may have an effect.
    plain(&fs::metadata(path)?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    // Opening a pipe that was put there since would block.
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    plain(&metadata)?;
    Ok((file, metadata.len()))
}

fn plain(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::other(if metadata.is_dir() {
        "it is a folder, expected a file"
    } else {
        "it is a pipe or a device; save its contents to a file first"
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("whylens-{}-{name}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn no_more_is_read_than_is_wanted() {
        let folder = folder("most");
        let path = folder.join("file");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(file(&path, 5, Error::BadManifest).unwrap(), b"12345");
        let error = file(&path, 4, Error::BadManifest).unwrap_err();
        assert_eq!(
            error.downcast_ref::<Error>().unwrap().code(),
            "bad-manifest"
        );
        // A sparse file; it takes no memory either.
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        file(&path, 4, Error::BadManifest).unwrap_err();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_grows_without_end_is_not_read_without_end() {
        let folder = folder("grows");
        let path = folder.join("file");
        fs::write(&path, b"1").unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut file = File::options().append(true).open(&path).unwrap();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    file.write_all(&[0; 1000]).unwrap();
                    std::thread::yield_now();
                }
            });
            for _ in 0..100 {
                let most = 100_000;
                let read = file(&path, most, Error::BadManifest);
                assert!(read.is_err() || read.unwrap().len() as u64 <= most);
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        fs::remove_dir_all(folder).unwrap();
    }
}
