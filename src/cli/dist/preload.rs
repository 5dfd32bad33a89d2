//! a site → what its page asks for at once: the scripts that its scripts import, and the weights of its first model.

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use super::Files;
use super::scripts::imports;

/// Lines for the page's head: without them, a browser learns of a script only from the one that imports it.
///
/// `entries` are paths of scripts; those that are missing are passed over. What is imported by `import()` is for later.
/// Only the first entry and its scripts are urgent: over HTTP/1.1 a browser has six requests under way, and those of the
/// others would keep waiting what the first one requests.
pub fn links(site: &Files, entries: &[String]) -> String {
    let mut seen = BTreeSet::new();
    let mut lines = String::new();
    for (at, entry) in entries.iter().enumerate() {
        let hint = match at {
            0 => "",
            _ => " fetchpriority=\"low\"",
        };
        for path in reached(site, entry, &mut seen) {
            lines += &format!("<link rel=\"modulepreload\" href=\"{path}\"{hint}>\n  ");
        }
    }
    lines
}

/// A script at the top of the site that exports what the one at `entry` does. It names all that this one imports, so that a
/// browser does not learn of it level by level.
pub fn alias(site: &Files, entry: &str) -> String {
    let mut lines = format!("export * from './{entry}';\n");
    for path in reached(site, entry, &mut BTreeSet::new()).iter().skip(1) {
        lines += &format!("import './{path}';\n");
    }
    lines
}

/// The script at `entry` and all that it imports, level by level, without those in `seen`, which they join.
fn reached(site: &Files, entry: &str, seen: &mut BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = VecDeque::from([entry.to_string()]);
    while let Some(path) = next.pop_front() {
        let script = site.get(&path).and_then(|it| str::from_utf8(it).ok());
        let Some(script) = script.filter(|_| seen.insert(path.clone())) else {
            continue;
        };
        let names = imports(script)
            .into_iter()
            .filter(|name| name.starts_with('.'));
        next.extend(names.filter_map(|name| beside(&path, &name)));
        found.push(path);
    }
    found
}

/// The path that a relative address in the file at `path` leads to; none outside of the site.
fn beside(path: &str, name: &str) -> Option<String> {
    let mut folders: Vec<&str> = path.split('/').collect();
    folders.pop();
    for piece in name.split('/') {
        match piece {
            "." => {}
            ".." => drop(folders.pop()?),
            piece => folders.push(piece),
        }
    }
    Some(folders.join("/"))
}

/// What `www/page/early.js` reads of a model's weights: file, bytes, what is requested first, and its planes if it has
/// some; addresses relative to the page. `model`: folder with a `/`.
pub fn weights(site: &Files, model: &str) -> Option<String> {
    let manifest: Value = serde_json::from_slice(site.get(&format!("{model}model.json"))?).ok()?;
    let weights = &manifest["weights"];
    let file = weights["file"].as_str()?;
    let first = weights["parts"][0]["file"].as_str().unwrap_or(file);
    let planes = weights["planes"]["file"].as_str();
    let planes = planes.map(|planes| format!(" {model}{planes}"));
    let bytes = weights["bytes"].as_u64()?;
    let planes = planes.unwrap_or_default();
    let told = format!("{model}{file} {bytes} {model}{first}{planes}");
    // A name with a space or a quote would end the value early; such weights are asked for once `model.json` is there.
    let is_plain = |c: char| !matches!(c, '"' | '&' | '<' | '>') && !c.is_control();
    let whole = told.split(' ').count() == 3 + usize::from(!planes.is_empty());
    (whole && told.chars().all(is_plain)).then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(files: &[(&str, &str)]) -> Files {
        let own = |(path, text): &(&str, &str)| (path.to_string(), text.as_bytes().to_vec());
        files.iter().map(own).collect()
    }

    #[test]
    fn every_imported_script_is_linked_once() {
        let site = site(&[
            (
                "w/page/main.js",
                "// import './no.js';\nimport './a.js';\nimport {\n  b,\n} from '../library/b.js';\nexport * from './a.js';\n\
                 const c = await import('./later.js');\nimport * as d from './d.js';\n",
            ),
            ("w/page/a.js", "import { b } from '../library/b.js';\n"),
            (
                "w/library/b.js",
                "/** @typedef {import('./types.js').T} T */\n",
            ),
            (
                "w/page/d.js",
                "import './main.js';\nimport 'elsewhere.js';\nimport '../../../up.js';\n",
            ),
            ("w/page/later.js", ""),
            ("w/page/no.js", ""),
        ]);
        let entries = ["w/page/a.js", "w/page/none.js", "w/page/main.js"].map(String::from);
        let link = |path, hint| format!("<link rel=\"modulepreload\" href=\"w/{path}\"{hint}>\n  ");
        let low = " fetchpriority=\"low\"";
        let expected = [
            link("page/a.js", ""),
            link("library/b.js", ""),
            link("page/main.js", low),
            link("page/d.js", low),
        ];
        assert_eq!(links(&site, &entries), expected.concat());
        assert_eq!(
            alias(&site, "w/page/a.js"),
            "export * from './w/page/a.js';\nimport './w/library/b.js';\n"
        );
    }

    #[test]
    fn weights_are_told_as_the_page_reads_them() {
        let told = |text: &str| {
            let json = format!("{{\"weights\": {text}}}");
            weights(&site(&[("m/model.json", &json)]), "m/")
        };
        assert_eq!(
            told(r#"{"file": "a.onnx", "bytes": 5}"#).unwrap(),
            "m/a.onnx 5 m/a.onnx"
        );
        assert_eq!(
            told(r#"{"file": "a.onnx", "bytes": 5, "parts": [{"file": "a.0"}], "planes": {"file": "p"}}"#).unwrap(),
            "m/a.onnx 5 m/a.0 m/p"
        );
        assert_eq!(told(r#"{"file": "a b.onnx", "bytes": 5}"#), None);
        assert_eq!(told(r#"{"file": "\".onnx", "bytes": 5}"#), None);
    }
}
