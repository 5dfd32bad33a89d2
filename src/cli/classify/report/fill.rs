//! template + values → text: the part of Mustache that `www/page/report/fill.js` has too.

use serde_json::Value;

/// Fills `{{name}}`, `{{{name}}}`, `{{#name}}…{{/name}}` and `{{^name}}…{{/name}}`; names are looked up in `views`, the
/// last one first. A section holds none of its own name.
pub fn fill(template: &str, views: &[&Value]) -> String {
    let mut filled = String::with_capacity(template.len());
    fill_into(template, views, &mut filled);
    filled
}

fn fill_into(template: &str, views: &[&Value], filled: &mut String) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        rest = match section(after).or_else(|| variable(after)) {
            Some((tag, rest)) => {
                tag.fill_into(views, filled);
                rest
            }
            None => {
                filled.push_str("{{");
                after
            }
        };
    }
    filled.push_str(rest);
}

enum Tag<'a> {
    Escaped(&'a str),
    Raw(&'a str),
    Section {
        name: &'a str,
        inverted: bool,
        inside: &'a str,
    },
}

fn section(after: &str) -> Option<(Tag<'_>, &str)> {
    let inverted = after.starts_with('^');
    let (name, after) = after.strip_prefix(['#', '^'])?.split_once("}}")?;
    let (inside, rest) = after.split_once(&format!("{{{{/{name}}}}}"))?;
    let tag = Tag::Section {
        name,
        inverted,
        inside,
    };
    Some((tag, rest))
}

fn variable(after: &str) -> Option<(Tag<'_>, &str)> {
    match after.strip_prefix('{') {
        Some(raw) => raw
            .split_once("}}}")
            .map(|(name, rest)| (Tag::Raw(name), rest)),
        None => after
            .split_once("}}")
            .map(|(name, rest)| (Tag::Escaped(name), rest)),
    }
}

impl Tag<'_> {
    fn fill_into(&self, views: &[&Value], filled: &mut String) {
        match *self {
            Tag::Raw(name) => filled.push_str(&text(found(name, views))),
            Tag::Escaped(name) => {
                for letter in text(found(name, views)).chars() {
                    match letter {
                        '&' => filled.push_str("&amp;"),
                        '<' => filled.push_str("&lt;"),
                        '>' => filled.push_str("&gt;"),
                        '"' => filled.push_str("&quot;"),
                        '\'' => filled.push_str("&#39;"),
                        _ => filled.push(letter),
                    }
                }
            }
            Tag::Section {
                name,
                inverted,
                inside,
            } => {
                let value = found(name, views);
                if inverted {
                    if !is_there(value) {
                        fill_into(inside, views, filled);
                    }
                } else if is_there(value) {
                    let each = value
                        .as_array()
                        .map_or(std::slice::from_ref(value), |all| all);
                    for view in each {
                        fill_into(inside, &[views, &[view]].concat(), filled);
                    }
                }
            }
        }
    }
}

const NOTHING: &Value = &Value::Null;

fn found<'a>(name: &str, views: &[&'a Value]) -> &'a Value {
    if name == "." {
        return views.last().copied().unwrap_or(NOTHING);
    }
    let (first, rest) = match name.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (name, None),
    };
    let value = views.iter().rev().find_map(|view| view.get(first));
    let value = value.unwrap_or(NOTHING);
    rest.into_iter()
        .flat_map(|rest| rest.split('.'))
        .fold(value, |value, name| value.get(name).unwrap_or(NOTHING))
}

fn is_there(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(all) => !all.is_empty(),
        Value::Object(_) => true,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The same cases as in tests/page/report.test.js.
    #[test]
    fn tags_are_filled() {
        let cases: Value =
            serde_json::from_str(include_str!("../../../../tests/page/report/fill.json")).unwrap();
        for case in cases.as_array().unwrap() {
            let template = case["template"].as_str().unwrap();
            assert_eq!(
                fill(template, &[&case["view"]]),
                case["filled"],
                "{template}"
            );
        }
        let (outer, inner) = (json!({ "a": 1, "b": 2 }), json!({ "b": 3 }));
        assert_eq!(fill("{{a}}{{b}}", &[&outer, &inner]), "13");
    }
}
