//! bytes of a file of labels → the labels, in class order.

use crate::error::{Error, Result};

const MOST_LABELS: usize = 1_000_000;

/// What to do about a wrong encoding.
const SAVE: &str = "save the file of labels as UTF-8";

/// One label per line; a byte order mark, carriage returns and blank lines at the end are dropped.
///
/// # Errors
/// [`Error::BadManifest`] when they are not UTF-8, were read in another encoding before, or are too many.
pub fn parse(bytes: &[u8]) -> Result<Vec<String>> {
    let text = std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).map_err(
        |error| Error::BadManifest(format!("the labels are not UTF-8: {error}; {SAVE}")),
    )?;
    // UTF-16 of English letters is valid UTF-8 with zeros, and U+FFFD stands where a letter was lost.
    if text.contains(['\0', '\u{fffd}']) {
        return Err(Error::BadManifest(format!(
            "the labels are not UTF-8, or were read in a wrong encoding before; {SAVE}"
        )));
    }
    let lines = text.trim_end().lines();
    let count = lines.clone().count();
    if count > MOST_LABELS {
        return Err(Error::BadManifest(format!(
            "there are {count} labels, at most {MOST_LABELS} are allowed"
        )));
    }
    Ok(lines.map(|line| line.trim().to_string()).collect())
}

/// Checks that every class has a label.
///
/// # Errors
/// [`Error::BadManifest`].
pub fn check(labels: usize, classes: usize) -> Result<()> {
    if labels == classes {
        return Ok(());
    }
    Err(Error::BadManifest(format!(
        "there are {labels} labels for {classes} classes"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_lines_without_their_surroundings() {
        assert_eq!(
            parse(b"\xef\xbb\xbfcat\r\n dog \n\n\n").unwrap(),
            ["cat", "dog"]
        );
        // A class in between may have no label.
        assert_eq!(parse(b"cat\n\ndog").unwrap(), ["cat", "", "dog"]);
        for bytes in [
            &b"\xff"[..],
            b"caf\xe9\n",
            b"\xff\xfec\0a\0t\0\n\0",
            b"c\0a\0t\0\n\0",
            "caf\u{fffd}".as_bytes(),
        ] {
            assert_eq!(parse(bytes).unwrap_err().code(), "bad-manifest");
        }
        let many = "a\n".repeat(MOST_LABELS + 1);
        assert_eq!(parse(many.as_bytes()).unwrap_err().code(), "bad-manifest");
    }

    #[test]
    fn there_is_one_label_for_each_class() {
        check(2, 2).unwrap();
        assert_eq!(check(1, 2).unwrap_err().code(), "bad-manifest");
        assert_eq!(check(3, 2).unwrap_err().code(), "bad-manifest");
    }
}
