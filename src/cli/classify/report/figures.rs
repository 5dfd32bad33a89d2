//! numbers → text of a report, by the rules of `www/page/report/figures.js`.

use serde_json::Value;

/// The words of a report in one language.
pub struct Words(pub Value);

impl Words {
    /// A text by its path, such as `notes.part`.
    pub fn text(&self, path: &str) -> &str {
        let found = path
            .split('.')
            .try_fold(&self.0, |value, name| value.get(name));
        found.and_then(Value::as_str).unwrap_or_default()
    }

    /// The text of that path, with its blanks filled.
    pub fn said(&self, path: &str, values: &[(&str, &str)]) -> String {
        said(self.text(path), values)
    }

    pub fn fixed(&self, value: f64, digits: u32) -> String {
        fixed(value, digits, self.text("decimal"))
    }

    /// Three digits that count.
    pub fn brief(&self, value: f64) -> String {
        let mut digits = 2;
        let mut size = value.abs();
        while size >= 10.0 && digits > 0 {
            digits -= 1;
            size /= 10.0;
        }
        size = value.abs();
        while size > 0.0 && size < 1.0 && digits < 9 {
            digits += 1;
            size *= 10.0;
        }
        self.fixed(value, digits)
    }

    /// As many digits as tell the number from all others.
    pub fn exact(&self, value: f64) -> String {
        value
            .to_string()
            .replace('.', self.text("decimal"))
            .replace('-', "−")
    }

    /// A scale such as 1/255.
    pub fn ratio(&self, scale: f64) -> String {
        let parts = (1.0 / scale).round();
        match parts > 1.0 && (1.0 / scale - parts).abs() < 1e-6 {
            true => format!("1/{parts}"),
            false => self.exact(scale),
        }
    }

    /// A part of 1 in whole percent.
    pub fn whole(&self, part: f64) -> String {
        self.said("percent", &[("number", &self.fixed(part * 100.0, 0))])
    }

    /// A part of 1, to a tenth of a percent.
    pub fn percent(&self, part: f64) -> String {
        let number = self.fixed(part * 100.0, 1);
        let said = |number: &str| self.said("percent", &[("number", number)]);
        if part > 0.0 && number == self.fixed(0.0, 1) {
            format!("< {}", said(&self.fixed(0.1, 1)))
        } else if part < 1.0 && number == self.fixed(100.0, 1) {
            format!("> {}", said(&self.fixed(99.9, 1)))
        } else {
            said(&number)
        }
    }
}

/// A sentence with its blanks, such as `{share}`, filled.
pub fn said(sentence: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let blank = after.split_once('}');
        let value = blank.and_then(|(name, rest)| {
            let found = values.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value, rest))
        });
        match value {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// Rounded half away from zero.
pub fn fixed(value: f64, digits: u32, point: &str) -> String {
    let scaled = (value.abs() * 10_f64.powi(digits as i32) + 0.5).floor();
    if !scaled.is_finite() || scaled > 9_007_199_254_740_991.0 {
        return value.to_string();
    }
    let scaled = scaled as u64;
    let sign = if value < 0.0 && scaled > 0 { "−" } else { "" };
    let ten = 10_u64.pow(digits);
    match digits {
        0 => format!("{sign}{scaled}"),
        _ => format!(
            "{sign}{}{point}{:0width$}",
            scaled / ten,
            scaled % ten,
            width = digits as usize
        ),
    }
}

/// A point in a drawing.
pub fn point(x: f64, y: f64) -> String {
    format!("{},{}", fixed(x, 1, "."), fixed(y, 1, "."))
}

/// Letters of a name that are shown.
const MOST: usize = 160;

/// A name without what moves or breaks lines, and no longer than fits.
pub fn clipped(name: &str) -> String {
    let plain = name.chars().map(|letter| match letter.is_control() {
        true => '\u{fffd}',
        false => letter,
    });
    match name.chars().count() > MOST {
        true => plain.take(MOST - 1).chain(['…']).collect(),
        false => plain.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_written_as_on_the_page() {
        let words = Words(json!({ "decimal": ",", "percent": "{number}%" }));
        for (value, digits, expected) in [
            (0.0, 1, "0,0"),
            (0.125, 2, "0,13"),
            (-0.004, 2, "0,00"),
            (-1.005, 1, "−1,0"),
            (12.34, 0, "12"),
        ] {
            assert_eq!(words.fixed(value, digits), expected);
        }
        for (value, expected) in [
            (0.0004, "< 0,1%"),
            (0.3925, "39,3%"),
            (0.99996, "> 99,9%"),
            (1.0, "100,0%"),
        ] {
            assert_eq!(words.percent(value), expected);
        }
        for (value, expected) in [(3.21456, "3,21"), (0.001_234, "0,00123"), (1234.5, "1235")] {
            assert_eq!(words.brief(value), expected);
        }
        assert_eq!(
            (words.ratio(1.0 / 255.0), words.ratio(1.0)),
            ("1/255".into(), "1".into())
        );
        assert_eq!(said("{a} {b} {c", &[("a", "{b}"), ("b", "x")]), "{b} x {c");
        assert_eq!(clipped("a\nb"), "a\u{fffd}b");
        assert_eq!(clipped(&"x".repeat(200)).chars().count(), 160);
    }
}
