//! text → standard output and standard error, with nothing in it that a terminal would obey.
//!
//! `println!` and `eprintln!` are these throughout the tool. Each prints one line, whatever is in its values.

use std::io::{self, ErrorKind, IsTerminal, Write};

use serde_json::Value;

macro_rules! println {
    ($($text:tt)*) => { $crate::terminal::out(&format!($($text)*)) };
}

macro_rules! eprintln {
    ($($text:tt)*) => { $crate::terminal::err(&format!($($text)*)) };
}

/// Prints a line; ends the program if nobody reads any more.
pub fn out(text: &str) {
    let Err(error) = writeln!(io::stdout(), "{}", shown(text)) else {
        return;
    };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    err(&format!(
        "whylens: io: cannot write to standard output: {error}"
    ));
    std::process::exit(1);
}

/// Prints a line on standard error, where that can be written to.
pub fn err(text: &str) {
    drop(writeln!(io::stderr(), "{}", shown(text)));
}

/// Shows progress on a terminal, in place of what was shown before; an empty text shows nothing.
pub fn progress(text: &str) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        drop(write!(stderr, "\r{}\x1b[K", shown(text)));
    }
}

/// The text, with each character that moves, hides or commands written as `\u{…}`.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_active(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// JSON on one line; serde_json leaves DEL, the C1 controls and the bidirectional ones as they are.
pub fn json(value: &Value) -> String {
    let mut text = String::new();
    for letter in value.to_string().chars() {
        if is_active(letter) {
            text += &format!("\\u{:04x}", u32::from(letter));
        } else {
            text.push(letter);
        }
    }
    text
}

/// C0, DEL and C1; line and paragraph separators; what changes the direction of the text around it (Unicode
/// Standard Annex 9).
fn is_active(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str =
        "\x1b]52;c;ZXZpbA==\x07\x1b[2J\u{9b}2J\x7f\r\n\t\0\u{202e}\u{2066}\u{2028}";

    #[test]
    fn control_characters_are_shown_as_such() {
        assert_eq!(
            shown(HOSTILE),
            r"\u{1b}]52;c;ZXZpbA==\u{7}\u{1b}[2J\u{9b}2J\u{7f}\r\n\t\u{0}\u{202e}\u{2066}\u{2028}"
        );
        let plain = r"Ägyptische Katze 猫 🐈 עברית C:\photos\x.png";
        assert_eq!(shown(plain), plain);
    }

    #[test]
    fn json_stays_json() {
        let value = serde_json::json!({ HOSTILE: [HOSTILE, "Größe"] });
        let text = json(&value);
        assert!(!text.chars().any(is_active), "{text}");
        assert!(text.contains("Größe"));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
