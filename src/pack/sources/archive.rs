//! bytes of a zip → its files, by name; nothing is written anywhere.

use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::{Error, Result};

/// Most files in a zip.
const MOST_FILES: usize = 20_000;

/// A zip in memory.
pub struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    names: Vec<String>,
}

/// Whether bytes begin like a zip.
pub fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06")
}

impl<'a> Archive<'a> {
    /// Reads the list of files. Folders, links and names that lead out of the zip are left out.
    ///
    /// # Errors
    /// [`Error::Truncated`] for a zip that is cut short, [`Error::NotAModel`] for one that cannot be read.
    pub fn open(bytes: &'a [u8]) -> Result<Archive<'a>> {
        let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)?;
        if zip.len() > MOST_FILES {
            return Err(Error::NotAModel(format!(
                "the zip holds {} files, at most {MOST_FILES} are allowed",
                zip.len()
            )));
        }
        let mut names = Vec::new();
        for at in 0..zip.len() {
            let file = zip.by_index_raw(at).map_err(unreadable)?;
            let Ok(name) = file.name() else {
                continue;
            };
            let outside = name.starts_with('/') || name.contains(['\\', ':']);
            let safe = file.enclosed_name().is_some() && !outside;
            if file.is_file() && !file.is_symlink() && safe {
                names.push(name.into_owned());
            }
        }
        Ok(Archive { zip, names })
    }

    /// Names of the files, with `/` between folders.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The size in bytes that a file claims.
    ///
    /// # Errors
    /// Those of [`Archive::read`].
    pub fn size(&mut self, name: &str) -> Result<u64> {
        Ok(self.zip.by_name(name).map_err(unreadable)?.size())
    }

    /// The bytes of a file, at most `most`.
    ///
    /// # Errors
    /// [`Error::OverMemoryLimit`] if it has more, [`Error::Truncated`] if it is damaged.
    pub fn read(&mut self, name: &str, most: u64) -> Result<Vec<u8>> {
        let file = self.zip.by_name(name).map_err(unreadable)?;
        let size = file.size();
        let over = |size: u64| {
            Error::OverMemoryLimit(format!(
                "{name} in the zip has {size} bytes, at most {most} are allowed"
            ))
        };
        if size > most {
            return Err(over(size));
        }
        let mut bytes = Vec::new();
        // The size that it claims may be false: memory is taken as bytes arrive.
        let read = file.take(size + 1).read_to_end(&mut bytes);
        let read = read.map_err(|error| {
            Error::Truncated(format!(
                "{name} in the zip is damaged ({error}); make the zip again"
            ))
        })?;
        if read as u64 != size {
            return Err(Error::Truncated(format!(
                "{name} in the zip has {} {size} bytes that it claims; make the zip again",
                if read as u64 > size {
                    "more than the"
                } else {
                    "fewer than the"
                }
            )));
        }
        Ok(bytes)
    }
}

fn unreadable(error: ZipError) -> Error {
    match error {
        ZipError::UnsupportedArchive(reason) => {
            let next = "make it without a password and with the usual method (deflate)";
            Error::NotAModel(format!("the zip cannot be read: {reason}; {next}"))
        }
        error => Error::Truncated(format!(
            "the zip is damaged or incomplete ({error}); get it again"
        )),
    }
}
