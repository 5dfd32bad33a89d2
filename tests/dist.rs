//! `whylens dist` as the owner of a site runs it, on a page of a few lines.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest, Sha256};

const MODEL: &str = "models/efficientnet-lite0";

const INDEX: &str = r#"<!doctype html>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; connect-src 'self' https: data: blob:">
<link rel="stylesheet" href="www/page.css">
<script type="module" src="www/main.js"></script>
"#;

/// A folder of its own for each test, with a page in it.
fn workplace(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("dist-{name}"));
    drop(fs::remove_dir_all(&folder));
    let page = folder.join("page");
    fs::create_dir_all(page.join("www/pkg")).unwrap();
    for (file, text) in [
        ("index.html", INDEX.to_string()),
        ("www/main.js", "import './whylens.js';".repeat(100)),
        ("www/whylens.js", "export const load = 1;".into()),
        ("www/page.css", "p {}".into()),
        ("www/sw.js", "// the worker".into()),
        ("www/.hidden", "no".into()),
        ("www/pkg/whylens_bg.wasm", "\0asm".repeat(1000)),
    ] {
        fs::write(page.join(file), text).unwrap();
    }
    folder
}

fn run(folder: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whylens"))
        .args(["dist", MODEL, "--compress", "fast", "--page"])
        .arg(folder.join("page"))
        .arg("--out")
        .arg(folder.join("site"))
        .args(options)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

#[track_caller]
fn dist(folder: &Path, options: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let output = run(folder, options);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut files = BTreeMap::new();
    read(&folder.join("site"), "", &mut files);
    files
}

fn read(folder: &Path, name: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let inner = format!("{name}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            read(&path, &format!("{inner}/"), files);
        } else {
            files.insert(inner, fs::read(&path).unwrap());
        }
    }
}

fn text<'a>(files: &'a BTreeMap<String, Vec<u8>>, path: &str) -> &'a str {
    std::str::from_utf8(&files[path]).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

#[test]
fn the_page_points_into_one_folder_named_by_its_content() {
    let folder = workplace("names");
    let files = dist(&folder, &[]);
    let index = text(&files, "index.html");
    let www = files
        .keys()
        .find_map(|path| path.strip_suffix("/main.js"))
        .unwrap();
    assert!(www.starts_with("www.") && www.len() == 20, "{www}");
    assert!(index.contains(&format!("src=\"{www}/main.js\"")), "{index}");
    assert!(index.contains(&format!("href=\"{www}/page.css\"")));
    assert!(index.contains("data-models=\"models/efficientnet-lite0/\" data-offline=\"sw.js\""));
    assert!(!index.contains("\"www/") && !index.contains("=\"/"));
    assert_eq!(
        text(&files, "whylens.js"),
        format!("export * from './{www}/whylens.js';\n")
    );
    assert!(!files.keys().any(|path| path.contains("hidden")));

    fs::write(folder.join("page/www/page.css"), "p { color: red }").unwrap();
    let changed = dist(&folder, &[]);
    assert!(
        !changed.contains_key(&format!("{www}/main.js")),
        "no file of the earlier version is left"
    );
    assert_ne!(text(&files, "sw.js"), text(&changed, "sw.js"));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let folder = workplace("same");
    assert_eq!(dist(&folder, &[]), dist(&folder, &[]));
}

#[test]
fn every_file_is_in_the_integrity_list() {
    let files = dist(&workplace("integrity"), &[]);
    let list: Value = serde_json::from_slice(&files["integrity.json"]).unwrap();
    let list = list["files"].as_object().unwrap();
    for (path, bytes) in &files {
        if path == "integrity.json" || path.ends_with(".br") || path.ends_with(".gz") {
            continue;
        }
        assert_eq!(list[path]["sha256"], sha256(bytes), "{path}");
        assert_eq!(list[path]["bytes"], bytes.len(), "{path}");
    }
}

#[test]
fn compressed_neighbours_hold_the_same_bytes() {
    let files = dist(&workplace("compressed"), &[]);
    let mut seen = 0;
    for (path, bytes) in &files {
        let mut plain = Vec::new();
        let original = if let Some(original) = path.strip_suffix(".br") {
            brotli::Decompressor::new(&bytes[..], 4096)
                .read_to_end(&mut plain)
                .unwrap();
            original
        } else if let Some(original) = path.strip_suffix(".gz") {
            flate2::read::GzDecoder::new(&bytes[..])
                .read_to_end(&mut plain)
                .unwrap();
            original
        } else {
            continue;
        };
        seen += 1;
        assert!(plain == files[original], "{path}");
        assert!(bytes.len() < plain.len());
    }
    assert!(seen >= 4, "{seen} compressed files");
}

#[test]
fn large_weights_are_cut_into_parts_that_make_up_the_whole() {
    let folder = workplace("parts");
    let files = dist(&folder, &["--split", "2MB"]);
    let manifest: Value =
        serde_json::from_slice(&files["models/efficientnet-lite0/model.json"]).unwrap();
    let parts = manifest["weights"]["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 5);
    let mut whole = Vec::new();
    for part in parts {
        let file = part["file"].as_str().unwrap();
        let bytes = &files[&format!("models/efficientnet-lite0/{file}")];
        assert_eq!(part["bytes"], bytes.len());
        assert!(bytes.len() <= 2_000_000);
        whole.extend_from_slice(bytes);
    }
    assert_eq!(manifest["weights"]["sha256"], sha256(&whole));
    let again = workplace("parts-again");
    fs::rename(folder.join("site"), again.join("made")).unwrap();
    let model = again.join("made/models/efficientnet-lite0");
    let output = Command::new(env!("CARGO_BIN_EXE_whylens"))
        .args(["dist", "--compress", "none", "--page"])
        .arg(again.join("page"))
        .arg("--out")
        .arg(again.join("site"))
        .arg(&model)
        .output()
        .unwrap();
    assert!(output.status.success(), "a folder of parts is joined again");
    let joined = fs::read_to_string(again.join("site/models/efficientnet-lite0/model.json"));
    assert!(!joined.unwrap().contains("parts"));
    let one = dist(&folder, &["--split", "0"]);
    assert!(!text(&one, "models/efficientnet-lite0/model.json").contains("parts"));
    assert!(
        !text(&one, "sw.js").contains(".onnx\""),
        "the library keeps weights itself"
    );
}

#[test]
fn a_closed_site_may_talk_to_itself_only() {
    let files = dist(&workplace("closed"), &["--closed"]);
    for path in ["index.html", "sw.js", "_headers"] {
        assert!(!text(&files, path).contains("https:"), "{path}");
    }
    assert!(text(&files, "index.html").contains("connect-src 'self' data:"));
}

#[test]
fn offline_and_isolation_are_the_owners_choice() {
    let folder = workplace("choice");
    assert!(text(&dist(&folder, &["--isolate"]), "sw.js").contains("require-corp"));
    let without = dist(&folder, &["--no-offline"]);
    assert!(text(&without, "index.html").contains("data-offline=\"off\""));
    assert!(text(&without, "sw.js").contains("\"offline\":false"));
    assert!(!text(&without, "sw.js").contains("require-corp"));
}

#[test]
fn a_folder_of_other_files_is_left_alone() {
    let folder = workplace("other");
    fs::create_dir(folder.join("site")).unwrap();
    fs::write(folder.join("site/thesis.txt"), "years of work").unwrap();
    let output = run(&folder, &[]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("holds other files"));
    assert!(folder.join("site/thesis.txt").is_file());
}

#[test]
fn a_damaged_model_is_not_published() {
    let folder = workplace("damaged");
    let model = folder.join("model");
    fs::create_dir(&model).unwrap();
    for file in ["model.json", "labels.txt"] {
        fs::copy(format!("{MODEL}/{file}"), model.join(file)).unwrap();
    }
    let mut weights = fs::read(format!("{MODEL}/model.onnx")).unwrap();
    *weights.last_mut().unwrap() ^= 1;
    fs::write(model.join("model.onnx"), weights).unwrap();
    let output = run(&folder, &[model.to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("integrity:"));
    assert!(!folder.join("site").exists());
}

#[test]
fn a_page_that_was_not_built_is_told_how() {
    let folder = workplace("unbuilt");
    fs::remove_file(folder.join("page/www/pkg/whylens_bg.wasm")).unwrap();
    let output = run(&folder, &[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("make build"));
}
