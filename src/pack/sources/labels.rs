//! files of labels → one label per class, in class order.

use serde_json::Value;

use super::text::text;
use super::{Files, Said, json};
use crate::error::{Error, Result};

/// The most classes that are read.
const MOST_CLASSES: usize = 100_000;

/// Names of columns that hold a label, the best first, and of columns that hold an index.
const LABEL_COLUMNS: [&str; 10] = [
    "label",
    "labels",
    "name",
    "class_name",
    "classname",
    "class",
    "classes",
    "category",
    "display_name",
    "title",
];
const INDEX_COLUMNS: [&str; 7] = [
    "index",
    "idx",
    "id",
    "class_id",
    "class_index",
    "label_id",
    "number",
];

/// Plain files of labels: those named like labels, or else the only text that is not a note for people.
pub(super) fn files(files: &Files) -> Result<Vec<Said>> {
    let mut named: Vec<(&String, &Vec<u8>)> =
        files.iter().filter(|(name, _)| is_named(name)).collect();
    if named.is_empty() {
        let mut texts = files.iter().filter(|(name, _)| is_lone(name));
        if let (Some(one), None) = (texts.next(), texts.next()) {
            named.push(one);
        }
    }
    let mut said = Vec::new();
    for (name, bytes) in named {
        said.push(Said {
            labels: Some(read(name, bytes)?),
            ..Said::by(name)
        });
    }
    Ok(said)
}

/// Reads labels in class order from a file's bytes: by its name, JSON, a table (`.csv`, `.tsv`), or one label
/// per line.
///
/// # Errors
/// [`Error::BadManifest`] if they cannot be read.
pub fn read(name: &str, bytes: &[u8]) -> Result<Vec<String>> {
    let labels = match base(name).rsplit('.').next() {
        Some("json") => listed(&json(name, bytes)?),
        Some("csv" | "tsv") => table(name, &text(name, bytes)?)?,
        _ => Some(lines(&text(name, bytes)?)),
    };
    labels.filter(|labels| !labels.is_empty()).ok_or_else(|| {
        Error::BadManifest(format!(
            "{name} holds no labels that can be read; expected one per line, or a list in class order"
        ))
    })
}

fn base(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase()
}

/// Whether a file is named like one with labels.
pub(super) fn is_named(name: &str) -> bool {
    let base = base(name);
    let Some((stem, kind)) = base.rsplit_once('.') else {
        return false;
    };
    let words = ["label", "class", "categor", "synset"];
    matches!(kind, "txt" | "json" | "csv" | "tsv" | "names")
        && (words.iter().any(|word| stem.contains(word)) || kind == "names")
        && !stem.contains("classif")
}

/// Whether a file may hold labels under any name.
pub(super) fn is_lone(name: &str) -> bool {
    let base = base(name);
    let notes = [
        "readme",
        "license",
        "licence",
        "notice",
        "requirements",
        "changelog",
        "authors",
        "robots",
        "merges",
        "vocab",
    ];
    base.ends_with(".txt") && !notes.iter().any(|note| base.starts_with(note))
}

/// One label per line. Numbers before all of them (`0 tench`, `0: tench`) and WordNet's ids are left out.
pub(super) fn lines(text: &str) -> Vec<String> {
    let mut labels: Vec<&str> = text.trim_end().lines().map(str::trim).collect();
    if let Some(cut) = labels
        .iter()
        .enumerate()
        .map(|(at, line)| unnumbered(at, line))
        .collect()
    {
        labels = cut;
    }
    if let Some(cut) = labels.iter().map(|line| unidentified(line)).collect() {
        labels = cut;
    }
    labels.into_iter().map(String::from).collect()
}

fn unnumbered(at: usize, line: &str) -> Option<&str> {
    let rest = line.strip_prefix(&at.to_string())?;
    let cut = rest.trim_start_matches([' ', '\t', ':', ',', ';', '-', '.']);
    (cut.len() < rest.len() && !cut.is_empty()).then_some(cut)
}

fn unidentified(line: &str) -> Option<&str> {
    let (id, name) = line.split_once([' ', '\t', ','])?;
    is_wordnet(id).then_some(name.trim())
}

/// `n01440764`
fn is_wordnet(text: &str) -> bool {
    let digits = text.strip_prefix('n').unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A table with a header, or with a label, or an index and a label, in each row.
fn table(name: &str, text: &str) -> Result<Option<Vec<String>>> {
    let first = text.lines().next().unwrap_or_default();
    let count = |separator: &u8| first.bytes().filter(|byte| byte == separator).count();
    let separator = *b",;\t"
        .iter()
        .max_by_key(|separator| count(separator))
        .unwrap_or(&b',');
    let mut reader = csv::ReaderBuilder::new();
    let reader = reader
        .delimiter(separator)
        .has_headers(false)
        .flexible(true);
    let mut rows: Vec<Vec<String>> = Vec::new();
    for row in reader.from_reader(text.as_bytes()).records() {
        let row = row.map_err(|error| Error::BadManifest(format!("{name}: {error}")))?;
        let row: Vec<String> = row.iter().map(|cell| cell.trim().to_string()).collect();
        if row.iter().any(|cell| !cell.is_empty()) {
            rows.push(row);
        }
    }
    let header: Vec<String> = rows
        .first()
        .map(|row| {
            row.iter()
                .map(|cell| cell.to_ascii_lowercase().replace([' ', '-'], "_"))
                .collect()
        })
        .unwrap_or_default();
    let column = |wanted: &[&str]| {
        wanted
            .iter()
            .find_map(|word| header.iter().position(|cell| cell == word))
    };
    let is_number = |cell: &String| cell.parse::<usize>().is_ok();
    let (mut label, mut index) = (column(&LABEL_COLUMNS), column(&INDEX_COLUMNS));
    if label.is_some() || index.is_some() {
        rows.remove(0);
    }
    // A column `class` may hold the number beside one with the name.
    if index.is_none() && header.len() > 1 {
        let numeric = |at: &usize| rows.iter().all(|row| row.get(*at).is_some_and(is_number));
        index = (0..header.len()).find(numeric);
        if label == index {
            label = LABEL_COLUMNS.iter().find_map(|word| {
                header
                    .iter()
                    .position(|cell| cell == word)
                    .filter(|at| Some(*at) != index)
            });
        }
    }
    let Some(label) = label.or((0..header.len()).find(|at| Some(*at) != index)) else {
        return Ok(None);
    };
    let mut pairs = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let place = match index {
            Some(index) => row.get(index).and_then(|cell| cell.parse().ok()),
            None => Some(at),
        };
        let Some((place, label)) = place.zip(row.get(label)) else {
            return Ok(None);
        };
        pairs.push((place, label.clone()));
    }
    Ok(ordered(pairs))
}

/// Labels in JSON: a list, an object by index or by label, or one of these under a known key.
pub(super) fn listed(json: &Value) -> Option<Vec<String>> {
    match json {
        Value::Array(list) if !list.is_empty() && list.len() <= MOST_CLASSES => {
            let pairs = list.iter().enumerate().map(|(at, value)| {
                let place = ["id", "index"]
                    .iter()
                    .find_map(|key| value.get(key)?.as_u64());
                let place = place.and_then(|place| usize::try_from(place).ok());
                Some((place.unwrap_or(at), label(value)?))
            });
            let pairs: Vec<(usize, String)> = pairs.collect::<Option<_>>()?;
            // If the ids are not 0, 1, 2, …, the order of the list counts.
            let in_order = pairs.iter().map(|(_, label)| label.clone()).collect();
            ordered(pairs).or(Some(in_order))
        }
        Value::Object(map) if !map.is_empty() && map.len() <= MOST_CLASSES => {
            let by_index = map
                .iter()
                .map(|(key, value)| Some((key.parse().ok()?, label(value)?)));
            if let Some(pairs) = by_index.collect() {
                return ordered(pairs);
            }
            let by_label = map
                .iter()
                .map(|(key, value)| Some((usize::try_from(value.as_u64()?).ok()?, key.clone())));
            if let Some(pairs) = by_label.collect() {
                return ordered(pairs);
            }
            let keys = [
                "labels",
                "classes",
                "class_names",
                "names",
                "id2label",
                "idx_to_class",
                "categories",
                "label2id",
                "class_to_idx",
            ];
            keys.iter().find_map(|key| listed(map.get(*key)?))
        }
        _ => None,
    }
}

/// A label: a string, the last of `["n01440764", "tench"]`, or the name in an object.
fn label(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_string()),
        Value::Array(list) => match list.as_slice() {
            [Value::String(id), Value::String(name)] if is_wordnet(id) => {
                Some(name.trim().to_string())
            }
            [one] => label(one),
            _ => None,
        },
        Value::Object(map) => {
            let keys = ["label", "name", "class_name", "display_name", "title"];
            keys.iter()
                .find_map(|key| map.get(*key)?.as_str())
                .map(|text| text.trim().to_string())
        }
        _ => None,
    }
}

/// Labels by index; none if an index is missing or occurs twice.
fn ordered(mut pairs: Vec<(usize, String)>) -> Option<Vec<String>> {
    pairs.sort_by_key(|(index, _)| *index);
    let whole = pairs
        .iter()
        .enumerate()
        .all(|(at, (index, _))| at == *index);
    (whole && !pairs.is_empty()).then(|| pairs.into_iter().map(|(_, label)| label).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(name: &str, text: &str) -> Vec<String> {
        let files = Files::from([(name.to_string(), text.as_bytes().to_vec())]);
        super::files(&files).unwrap().remove(0).labels.unwrap()
    }

    #[test]
    fn lines_are_read_as_editors_and_exporters_write_them() {
        let expected = ["tench", "gold fish", "shark"];
        for text in [
            "tench\ngold fish\nshark",
            "\u{feff}tench\r\ngold fish\r\nshark\r\n\r\n",
            "0 tench\n1 gold fish\n2 shark\n",
            "0: tench\n1: gold fish\n2: shark\n",
            "n01440764 tench\nn01443537 gold fish\nn01484850 shark\n",
        ] {
            assert_eq!(of("labels.txt", text), expected, "{text:?}");
        }
        // Names that begin with a number by chance.
        assert_eq!(
            of("classes.txt", "0 degrees\n2 dogs\n"),
            ["0 degrees", "2 dogs"]
        );
        assert_eq!(of("classes.txt", "007\n1\n"), ["007", "1"]);
    }

    #[test]
    fn tables_are_read_by_their_header_or_without_one() {
        let expected = ["tench, the fish", "gold fish"];
        for (name, text) in [
            (
                "labels.csv",
                "index,label\n1,gold fish\n0,\"tench, the fish\"\n",
            ),
            (
                "labels.csv",
                "\u{feff}Class ID;Class Name\r\n0;tench, the fish\r\n1;gold fish\r\n\r\n",
            ),
            (
                "classes.csv",
                "class,name\n0,\"tench, the fish\"\n1,gold fish\n",
            ),
            ("classes.tsv", "0\ttench, the fish\n1\tgold fish\n"),
            ("classes.csv", "label\n\"tench, the fish\"\ngold fish\n"),
        ] {
            assert_eq!(of(name, text), expected, "{text:?}");
        }
    }

    #[test]
    fn json_is_read_as_exporters_write_it() {
        let expected = Some(vec!["tench".to_string(), "goldfish".to_string()]);
        for json in [
            json!(["tench", "goldfish"]),
            json!({"0": "tench", "1": "goldfish"}),
            json!({"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}),
            json!({"goldfish": 1, "tench": 0}),
            json!({"classes": ["tench", "goldfish"]}),
            json!({"id2label": {"1": "goldfish", "0": "tench"}}),
            json!([{"id": 1, "name": "goldfish"}, {"id": 0, "name": "tench"}]),
            json!([{"id": 1, "name": "tench"}, {"id": 2, "name": "goldfish"}]),
        ] {
            assert_eq!(listed(&json), expected, "{json}");
        }
        for json in [
            json!({"0": "tench", "2": "goldfish"}),
            json!([]),
            json!("tench"),
            json!([1, 2]),
        ] {
            assert_eq!(listed(&json), None, "{json}");
        }
    }

    #[test]
    fn what_is_no_list_of_labels_is_not_taken_for_one() {
        let said = |names: &[&str]| {
            let files = names
                .iter()
                .map(|name| (name.to_string(), b"one\ntwo\n".to_vec()));
            let said = super::files(&files.collect()).unwrap();
            said.into_iter().map(|said| said.from).collect::<Vec<_>>()
        };
        assert_eq!(
            said(&["requirements.txt", "README.txt", "species.txt"]),
            ["species.txt"]
        );
        assert_eq!(said(&["a.txt", "b.txt"]), [""; 0]);
        assert_eq!(said(&["labels.txt", "notes.txt"]), ["labels.txt"]);
        let broken = Files::from([("labels.json".into(), b"{\"size\": 5".to_vec())]);
        assert_eq!(super::files(&broken).unwrap_err().code(), "bad-manifest");
        let cut = Files::from([("labels.txt".into(), b"\xff\xfet\0e".to_vec())]);
        assert!(
            super::files(&cut)
                .unwrap_err()
                .to_string()
                .contains("save it as UTF-8")
        );
    }
}
