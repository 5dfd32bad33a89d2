//! The report of `whylens classify --report`; that it is the page's, and opens without complaint, is tested in
//! tests/page/report.test.js.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/efficientnet-lite0");

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn photo(name: &str, to: &Path) {
    let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/photos");
    fs::copy(photo.join(name), to).unwrap();
}

fn classify(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whylens"))
        .args(["classify", MODEL])
        .args(arguments)
        .env("LANG", "en_US.UTF-8")
        .current_dir(folder)
        .output()
        .unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The data in a report, by the ids of its elements.
fn data(html: &str) -> Vec<(String, Value)> {
    let blocks = html.split("<script type=\"application/json\" id=\"");
    blocks
        .skip(1)
        .map(|block| {
            let (id, rest) = block.split_once("\">").unwrap();
            let (text, _) = rest.split_once("</script>").unwrap();
            (id.to_string(), serde_json::from_str(text).unwrap())
        })
        .collect()
}

#[test]
fn its_data_is_that_of_json_with_the_scores_of_all_classes() {
    let folder = folder("report-data");
    photo("coffee.png", &folder.join("coffee.png"));
    let arguments = ["coffee.png", "--report", "out.html", "--json"];
    let output = classify(&folder, &arguments);
    assert!(output.status.success(), "{}", errors(&output));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let html = fs::read_to_string(folder.join("out.html")).unwrap();
    let [(photo, record), (report, whole)] = &data(&html)[..] else {
        panic!("expected one photo")
    };
    assert_eq!((&photo[..], &report[..]), ("photo-1-data", "report-data"));
    for (field, value) in printed.as_object().unwrap() {
        same(&record[field], value, field);
    }
    assert_eq!(record["scores"].as_array().unwrap().len(), 1000);
    same(
        &record["scores"][967],
        &record["predictions"][0]["score"],
        "score",
    );
    assert_eq!(whole["model"]["labels"][967], "espresso");
    assert_eq!(whole["whylens"], env!("CARGO_PKG_VERSION"));
    assert_eq!(whole["language"], "en");
}

/// Equal as numbers of 32 bits.
#[track_caller]
fn same(actual: &Value, expected: &Value, path: &str) {
    match (actual, expected) {
        (Value::Number(actual), Value::Number(expected)) => {
            let [actual, expected] = [actual, expected].map(|number| number.as_f64().unwrap());
            assert_eq!(actual as f32, expected as f32, "{path}");
        }
        (Value::Array(actual), Value::Array(expected)) => {
            assert_eq!(actual.len(), expected.len(), "{path}");
            for (actual, expected) in actual.iter().zip(expected) {
                same(actual, expected, path);
            }
        }
        (Value::Object(actual), Value::Object(expected)) => {
            for (name, expected) in expected {
                same(&actual[name], expected, &format!("{path}.{name}"));
            }
        }
        _ => assert_eq!(actual, expected, "{path}"),
    }
}

#[test]
fn hostile_names_are_text_and_failures_are_told() {
    let folder = folder("report-names");
    let hostile = "\"><script>alert(1)<&'{{said.model}}.png";
    photo("coffee.png", &folder.join(hostile));
    fs::write(folder.join("words.jpg"), "only words").unwrap();
    let output = classify(&folder, &[hostile, "words.jpg", "--report", "out.html"]);
    assert_eq!(output.status.code(), Some(1), "a photo failed");
    let html = fs::read_to_string(folder.join("out.html")).unwrap();
    assert!(!html.contains("<script>"), "no element comes from a name");
    assert!(
        html.contains(
            "<bdi>&quot;&gt;&lt;script&gt;alert(1)&lt;&amp;&#39;{{said.model}}.png</bdi>"
        )
    );
    let data = data(&html);
    assert_eq!(data[0].1["file"], hostile);
    assert_eq!(data[1].1["error"]["code"], "image-format");
    assert!(html.contains("This photo could not be classified: "));
}

#[test]
fn it_overwrites_no_photo_and_holds_only_so_many() {
    let folder = folder("report-limits");
    photo("coffee.png", &folder.join("coffee.png"));
    let output = classify(&folder, &["coffee.png", "--report", "./coffee.png"]);
    assert!(
        errors(&output).contains("would overwrite coffee.png"),
        "{}",
        errors(&output)
    );
    let many = vec!["coffee.png"; 1001];
    let output = classify(&folder, &[&many[..], &["--report", "out.html"]].concat());
    assert!(
        errors(&output).contains("a report holds 1000 photos at most, these are 1001"),
        "{}",
        errors(&output)
    );
    assert!(!folder.join("out.html").exists());
    let output = classify(
        &folder,
        &[
            "coffee.png",
            "--out",
            "rows.csv",
            "--resume",
            "--report",
            "out.html",
        ],
    );
    assert_eq!(
        output.status.code(),
        Some(2),
        "rows of an earlier run are in no report"
    );
}
