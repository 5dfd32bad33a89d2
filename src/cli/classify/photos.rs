//! paths that were given → the files to look at, in an order that stays.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use walkdir::{DirEntry, WalkDir};

/// A file that may be a photo.
pub struct Candidate {
    pub path: PathBuf,
    /// Whether it was found in a folder, where not every file has to be a photo.
    pub found: bool,
}

/// The files as they were given; a folder stands for all files in it and in its folders, by name, without hidden ones.
/// Links are followed.
pub fn candidates(given: &[PathBuf]) -> Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for path in given {
        if path.is_dir() {
            candidates.extend(walk(path)?);
        } else {
            candidates.push(Candidate {
                path: path.clone(),
                found: false,
            });
        }
    }
    Ok(candidates)
}

fn walk(folder: &Path) -> Result<Vec<Candidate>> {
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name();
    let shown = |entry: &DirEntry| entry.depth() == 0 || !is_hidden(entry);
    let mut files = Vec::new();
    for entry in walk.into_iter().filter_entry(shown) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => files.push(Candidate {
                path: entry.into_path(),
                found: true,
            }),
            Ok(_) => {}
            // A link to a folder around it, or to nothing.
            Err(error) if error.loop_ancestor().is_some() || is_dangling(&error) => {}
            Err(error) => {
                let at = error.path().unwrap_or(folder).display().to_string();
                return Err(error).with_context(|| format!("cannot read the folder {at}"));
            }
        }
    }
    Ok(files)
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn is_dangling(error: &walkdir::Error) -> bool {
    error.path().is_some_and(Path::is_symlink)
}

/// Whether a file found in a folder counts as a photo: by its first bytes, or because its name says so, for one that is
/// damaged has to be told.
pub fn is_photo(path: &Path, bytes: &[u8]) -> bool {
    let named = || {
        mime_guess::from_path(path)
            .first()
            .is_some_and(|kind| kind.type_() == "image")
    };
    whylens::internal::decode::is_picture(bytes) || named()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn folders_are_walked_by_name_without_hidden_files() {
        let folder = std::env::temp_dir().join(format!("whylens-{}-walk", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        for name in ["b/2.jpg", "b/10.jpg", "a.png", ".hidden/x.jpg", "b/.x.jpg"] {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&folder, folder.join("b/round")).unwrap();
            std::os::unix::fs::symlink("nowhere", folder.join("c.jpg")).unwrap();
        }
        let found = candidates(&[folder.join("b/2.jpg"), folder.clone()]).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|file| {
                (
                    file.path.strip_prefix(&folder).unwrap().to_str().unwrap(),
                    file.found,
                )
            })
            .collect();
        let expected = [
            ("b/2.jpg", false),
            ("a.png", true),
            ("b/10.jpg", true),
            ("b/2.jpg", true),
        ];
        assert_eq!(names, expected);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_photo_is_known_by_its_content_or_its_name() {
        let is = |name: &str, bytes: &[u8]| is_photo(Path::new(name), bytes);
        assert!(is("no ending", b"\x89PNG\r\n\x1a\n"));
        assert!(is("x.bin", b"\0\0\0\x18ftypheic\0\0\0\0heic"));
        assert!(is("empty.JPG", b""));
        assert!(!is("notes.txt", b"the second photo is blurred"));
        assert!(!is("Thumbs.db", b"\xd0\xcf\x11\xe0"));
        assert!(!is("clip.mp4", b"\0\0\0\x18ftypisom"));
    }
}
