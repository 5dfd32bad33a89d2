//! what exists only while a folder is being written → removed, by this run or the next one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// A file that marks a folder as left by a killed run, and not anybody else's.
pub const MARK: &str = "left-by-whylens.txt";

const NOTE: &str = "whylens is making a folder in here. If none is running, this can be removed; \
    the next run does so.\n";

/// Makes a folder to work in that nobody else can read.
pub fn make(folder: &Path, prefix: &str) -> io::Result<PathBuf> {
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

/// Removes what killed runs have left, and puts back a folder that one had moved away.
pub fn clear(folder: &Path, prefix: &str, target: Option<&Path>) {
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
            // If the run was killed before it set the mark, it is empty.
            drop(fs::remove_dir(&place));
        }
    }
}

/// In a shared folder, somebody else may have made what looks like ours.
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

/// What Ctrl-C removes. Held during a write, so that Ctrl-C comes before or after it.
pub fn under_way() -> MutexGuard<'static, Vec<PathBuf>> {
    static LEFTOVERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets Ctrl-C, and other requests to end, remove what is under way.
pub fn end_cleanly() {
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
            crate::signals::end()
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
