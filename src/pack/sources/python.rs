//! Python literal, such as a list or dictionary written by `str()` → JSON.

use serde_json::{Map, Number, Value};

/// The deepest nesting that is read.
const MOST_DEEP: usize = 8;

/// Reads strings, numbers, lists, tuples, dictionaries, `True`, `False` and `None`; keys become strings.
pub(super) fn literal(text: &str) -> Option<Value> {
    let mut reader = Reader {
        text: text.trim(),
        deep: 0,
    };
    let value = reader.value()?;
    reader.text.trim().is_empty().then_some(value)
}

struct Reader<'a> {
    text: &'a str,
    deep: usize,
}

impl Reader<'_> {
    fn take(&mut self, wanted: char) -> Option<()> {
        self.text = self.text.trim_start().strip_prefix(wanted)?;
        Some(())
    }

    fn value(&mut self) -> Option<Value> {
        self.text = self.text.trim_start();
        match self.text.chars().next()? {
            '{' => self.nested(|reader| {
                reader.take('{')?;
                let mut map = Map::new();
                while reader.take('}').is_none() {
                    let key = match reader.value()? {
                        Value::String(text) => text,
                        other => other.to_string(),
                    };
                    reader.take(':')?;
                    map.insert(key, reader.value()?);
                    if reader.take(',').is_none() {
                        reader.take('}')?;
                        break;
                    }
                }
                Some(Value::Object(map))
            }),
            open @ ('[' | '(') => self.nested(|reader| {
                reader.take(open)?;
                let close = if open == '[' { ']' } else { ')' };
                let mut list = Vec::new();
                while reader.take(close).is_none() {
                    list.push(reader.value()?);
                    if reader.take(',').is_none() {
                        reader.take(close)?;
                        break;
                    }
                }
                Some(Value::Array(list))
            }),
            quote @ ('\'' | '"') => self.string(quote),
            _ => self.word(),
        }
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Option<Value>) -> Option<Value> {
        self.deep += 1;
        let value = (self.deep <= MOST_DEEP).then(|| read(self)).flatten();
        self.deep -= 1;
        value
    }

    fn string(&mut self, quote: char) -> Option<Value> {
        let mut string = String::new();
        let mut chars = self.text.char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            match char {
                '\\' => {
                    let escaped = chars.next()?.1;
                    let digits = match escaped {
                        'x' => 2,
                        'u' => 4,
                        'U' => 8,
                        _ => 0,
                    };
                    let code: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                    string.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        _ if digits > 0 => char::from_u32(u32::from_str_radix(&code, 16).ok()?)?,
                        other => other,
                    });
                }
                char if char == quote => {
                    self.text = &self.text[at + char.len_utf8()..];
                    return Some(Value::String(string));
                }
                char => string.push(char),
            }
        }
        None
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.text.find([',', ']', ')', '}', ':']);
        let (word, rest) = self.text.split_at(end.unwrap_or(self.text.len()));
        self.text = rest;
        Some(match word.trim() {
            "True" | "true" => Value::Bool(true),
            "False" | "false" => Value::Bool(false),
            "None" | "null" => Value::Null,
            number => match number.parse::<i64>() {
                Ok(integer) => integer.into(),
                Err(_) => Value::Number(Number::from_f64(number.parse().ok()?)?),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_python_writes_is_read() {
        let dictionary = literal(r#"{0: 'tench', 1: "jack-o'-lantern", 2: 'a\\b\x41\u00e9\'', }"#);
        let expected = json!({"0": "tench", "1": "jack-o'-lantern", "2": "a\\bAé'"});
        assert_eq!(dictionary, Some(expected));
        assert_eq!(
            literal("[224, (1.5, None), True]"),
            Some(json!([224, [1.5, null], true]))
        );
        assert_eq!(literal("{'a': [1, 2"), None);
        assert_eq!(literal("'open"), None);
        assert_eq!(literal(&"[".repeat(100_000)), None);
    }
}
