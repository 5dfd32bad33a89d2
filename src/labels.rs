//! bytes of a file of labels → the labels, in class order.

use crate::error::{Error, Result};

const MOST_LABELS: usize = 1_000_000;

/// One label per line; a byte order mark, carriage returns and blank lines at the end are dropped.
///
/// # Errors
/// [`Error::BadManifest`] when they are not UTF-8, or too many.
pub fn parse(bytes: &[u8]) -> Result<Vec<String>> {
    let text = std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
        .map_err(|error| Error::BadManifest(format!("the labels are not UTF-8: {error}")))?;
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
        assert_eq!(parse(b"\xff").unwrap_err().code(), "bad-manifest");
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
