//! texts by language → the one for the reader.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text in one or several languages, by their tags; in `model.json`, a text alone stands for all languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub BTreeMap<String, String>);

/// The tag of a text for all languages.
const ANY: &str = "";

impl Text {
    /// The text for the first of `languages` that has one; otherwise that in English, or the first.
    pub fn spoken(&self, languages: &[String]) -> Option<&str> {
        spoken(&self.0, languages).map(|(_, text)| text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text([(ANY.to_string(), text.to_string())].into())
    }
}

/// The entry for the first of `languages` that has one; otherwise that for English, or the first.
///
/// A language matches by its primary tag: `en-GB` takes `en`.
pub fn spoken<'a>(
    texts: &'a BTreeMap<String, String>,
    languages: &[String],
) -> Option<(&'a str, &'a str)> {
    let primary = |tag: &str| {
        tag.split('-')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    let wanted = languages
        .iter()
        .map(|tag| primary(tag))
        .chain(["en".to_string()]);
    for tag in wanted {
        if let Some((language, text)) = texts.iter().find(|(language, _)| primary(language) == tag)
        {
            return Some((language, text));
        }
    }
    let (language, text) = texts.iter().next()?;
    Some((language, text))
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.get(ANY) {
            Some(text) if self.0.len() == 1 => serializer.serialize_str(text),
            _ => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Text;
            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a text, or texts by language")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(text.into())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((language, text)) = map.next_entry()? {
                    texts.insert(language, text);
                }
                Ok(Text(texts))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_follows_the_reader_then_english() {
        let text: Text =
            serde_json::from_str(r#"{"de": "nichts", "en": "nothing", "vi": "không có gì"}"#)
                .unwrap();
        assert_eq!(text.spoken(&["vi-VN".into()]), Some("không có gì"));
        assert_eq!(text.spoken(&["fr".into(), "de".into()]), Some("nichts"));
        assert_eq!(text.spoken(&[]), Some("nothing"));
        let german: Text = serde_json::from_str(r#"{"de": "nichts"}"#).unwrap();
        assert_eq!(german.spoken(&["fr".into()]), Some("nichts"));
        let none: Text = serde_json::from_str("{}").unwrap();
        assert_eq!(none.spoken(&[]), None);
    }

    #[test]
    fn a_text_alone_is_for_everybody_and_stays_as_it_is_written() {
        for json in [r#""nothing""#, r#"{"en":"nothing","vi":"không"}"#] {
            let text: Text = serde_json::from_str(json).unwrap();
            assert_eq!(text.spoken(&["fr".into()]), Some("nothing"));
            assert_eq!(serde_json::to_string(&text).unwrap(), json);
        }
        serde_json::from_str::<Text>("5").unwrap_err();
        serde_json::from_str::<Text>(r#"{"en": 5}"#).unwrap_err();
    }
}
