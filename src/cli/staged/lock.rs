//! path → a lock on it: one whylens at a time writes a folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::leftovers::under_way;
use crate::read::identity_of;

/// A hidden file that exists, locked, while a folder is being written.
pub struct Lock {
    path: PathBuf,
    // Closing it lets the next one in.
    _file: File,
}

impl Lock {
    /// None where there can be no lock, such as in a folder that is not writable.
    pub fn take(path: &Path) -> Option<Lock> {
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
                        eprintln!(
                            "whylens: waiting for another whylens that is writing into {folder}"
                        );
                        told = true;
                    }
                    file.lock().ok()?;
                    leftovers = under_way();
                }
                Err(TryLockError::Error(_)) => return None,
            }
            // The previous holder removed it with its lock.
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
        // Where open files cannot be removed, the file stays, which does no harm.
        drop(fs::remove_file(&self.path));
        leftovers.retain(|path| *path != self.path);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let there = path
        .symlink_metadata()
        .ok()
        .and_then(|found| identity_of(&found, path));
    let open = file
        .metadata()
        .ok()
        .and_then(|found| identity_of(&found, path));
    there.is_some() && there == open
}
