//! What exporters write, packed without options: the answers are those of the exporters' own Python code
//! (`tests/golden/sources/make.py`).

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use whylens::pack::sources::archive::Archive;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/sources");
const PHOTOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/photos");
const LABELS: &str = "tench, a fish\ngold fish\njack-o'-lantern\nété\nespresso\n";

fn whylens(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whylens"));
    command.current_dir(place).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An empty folder of this test's own.
fn place(name: &str) -> PathBuf {
    let place = std::env::temp_dir().join(format!("whylens-sources-{}-{name}", std::process::id()));
    drop(fs::remove_dir_all(&place));
    fs::create_dir_all(&place).unwrap();
    place
}

fn copy(from: &str, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(Path::new(GOLDEN).join(from), to).unwrap();
}

/// Packs what is at `what` without options, and returns what the tool prints.
fn packed(place: &Path, what: &str, name: &str) -> String {
    let output = whylens(place, &["pack", what]);
    let said = text(&output.stdout);
    assert!(
        output.status.success(),
        "{what}: {said}{}",
        text(&output.stderr)
    );
    let folder = place.join(format!("{name}-whylens"));
    assert_eq!(
        fs::read_to_string(folder.join("labels.txt")).unwrap(),
        LABELS,
        "{what}"
    );
    said
}

/// Checks that the answers to four photos are those of the exporter's own code.
fn agrees(place: &Path, folder: &str, kind: &str) {
    let answers = fs::read_to_string(format!("{GOLDEN}/answers.json")).unwrap();
    let answers: BTreeMap<String, BTreeMap<String, Vec<f64>>> =
        serde_json::from_str(&answers).unwrap();
    let expected = &answers[kind];
    assert_eq!(expected.len(), 4);
    let photos: Vec<String> = expected
        .keys()
        .map(|name| format!("{PHOTOS}/{name}"))
        .collect();
    let mut arguments = vec!["classify", folder, "--json", "--top-k", "5"];
    arguments.extend(photos.iter().map(String::as_str));
    let output = whylens(place, &arguments);
    assert!(output.status.success(), "{kind}: {}", text(&output.stderr));
    for (line, (photo, expected)) in text(&output.stdout).lines().zip(expected) {
        let result: Value = serde_json::from_str(line).unwrap();
        let predictions = result["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), expected.len());
        for prediction in predictions {
            let index = prediction["index"].as_u64().unwrap() as usize;
            let actual = prediction["probability"].as_f64().unwrap();
            let wanted = expected[index];
            assert!(
                (actual - wanted).abs() < 0.01,
                "{kind}, {photo}, class {index}: {actual}, the exporter's code says {wanted}"
            );
        }
    }
}

#[test]
fn a_folder_of_optimum_says_all() {
    let place = place("optimum");
    for file in [
        "config.json",
        "preprocessor_config.json",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
    ] {
        copy(&format!("optimum/{file}"), &place.join("birds").join(file));
    }
    let said = packed(&place, "birds", "birds");
    assert!(
        said.contains("labels and activation from config.json"),
        "{said}"
    );
    assert!(
        said.contains(
            "resize, scale, mean and std and order of colours from preprocessor_config.json"
        ),
        "{said}"
    );
    assert!(!said.contains("guessed"), "{said}");
    agrees(&place, "birds-whylens", "optimum");
    // For the ONNX file alone, the texts are one level up.
    packed(&place, "birds/onnx/model.onnx", "model");
    agrees(&place, "model-whylens", "optimum");
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn a_model_of_several_classes_a_photo_says_so() {
    let place = place("multi-label");
    copy("multi-label/config.json", &place.join("birds/config.json"));
    copy(
        "optimum/preprocessor_config.json",
        &place.join("birds/preprocessor_config.json"),
    );
    copy("optimum/onnx/model.onnx", &place.join("birds/model.onnx"));
    let said = packed(&place, "birds", "birds");
    assert!(
        said.contains("a sigmoid turns them into probabilities"),
        "{said}"
    );
    agrees(&place, "birds-whylens", "multi-label");
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn every_image_processor_of_transformers_is_followed() {
    let place = place("processors");
    let mut seen = 0;
    for file in fs::read_dir(format!("{GOLDEN}/processors")).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".json") else {
            continue;
        };
        let folder = place.join(name);
        copy(
            &format!("processors/{file}"),
            &folder.join("preprocessor_config.json"),
        );
        copy("processors/model.onnx", &folder.join("model.onnx"));
        fs::write(folder.join("labels.txt"), LABELS).unwrap();
        let said = packed(&place, name, name);
        assert!(
            !said.contains("not read") && !said.contains("resized"),
            "{name}: {said}"
        );
        agrees(
            &place,
            &format!("{name}-whylens"),
            &format!("processors/{name}"),
        );
        seen += 1;
    }
    assert_eq!(seen, 17);
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn timm_ultralytics_optimum_lobe_and_keras_are_read() {
    let place = place("folders");
    for (kind, files, from) in [
        (
            "timm",
            ["config.json", "model.onnx"].as_slice(),
            "from config.json",
        ),
        ("ultralytics", &["birds.onnx"], "from the model's own notes"),
        (
            "optimum-cli",
            &["config.json", "preprocessor_config.json", "model.onnx"],
            "from preprocessor_config.json",
        ),
        (
            "lobe",
            &["labels.txt", "signature.json", "model.onnx"],
            "from signature.json",
        ),
        (
            "keras",
            &["imagenet_class_index.json", "efficientnet.onnx"],
            "scale, mean and std and order of colours from the graph",
        ),
    ] {
        for file in files {
            copy(&format!("{kind}/{file}"), &place.join(kind).join(file));
        }
        let said = packed(&place, kind, kind);
        assert!(said.contains(from), "{kind}: {said}");
        assert_eq!(said.contains("guessed"), kind == "keras", "{kind}: {said}");
        agrees(&place, &format!("{kind}-whylens"), kind);
    }
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn zips_are_read_as_teachable_machine_and_custom_vision_make_them() {
    let place = place("zips");
    for (name, from) in [
        ("teachable-machine", "from my model/metadata.json"),
        ("custom-vision", "from the model's own notes"),
    ] {
        let zip = format!("{name}.zip");
        copy(&zip, &place.join(&zip));
        let said = packed(&place, &zip, name);
        assert!(
            said.contains(from) && !said.contains("guessed"),
            "{name}: {said}"
        );
        agrees(&place, &format!("{name}-whylens"), &zip);
    }
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn a_model_json_of_tensorflow_is_none_of_ours_and_one_of_ours_is_not_packed_out_of_a_zip() {
    let place = place("model-json");
    for file in ["labels.txt", "signature.json", "model.onnx"] {
        copy(&format!("lobe/{file}"), &place.join("birds").join(file));
    }
    let json = r#"{"format":"layers-model","modelTopology":{},"weightsManifest":[]}"#;
    fs::write(place.join("birds/model.json"), json).unwrap();
    packed(&place, "birds", "birds");
    let onnx = fs::read(place.join("birds/model.onnx")).unwrap();
    let manifest = fs::read(place.join("birds-whylens/model.json")).unwrap();
    let foreign = [
        plain("a/model.onnx", &onnx),
        plain("a/model.json", json.as_bytes()),
    ];
    fs::write(place.join("foreign.zip"), zip(&foreign)).unwrap();
    let output = whylens(&place, &["pack", "foreign.zip"]);
    assert!(
        text(&output.stderr).contains("there are no labels in or beside"),
        "{}",
        text(&output.stderr)
    );
    let own = [
        plain("a/model.onnx", &onnx),
        plain("a/model.json", &manifest),
    ];
    fs::write(place.join("own.zip"), zip(&own)).unwrap();
    let output = whylens(&place, &["pack", "own.zip"]);
    assert!(
        text(&output.stderr).contains("unpack it"),
        "{}",
        text(&output.stderr)
    );
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn files_that_contradict_each_other_are_told_and_an_option_decides() {
    let place = place("conflict");
    for file in ["config.json", "preprocessor_config.json", "onnx/model.onnx"] {
        copy(&format!("optimum/{file}"), &place.join("birds").join(file));
    }
    fs::write(
        place.join("birds/labels.txt"),
        "one\ntwo\nthree\nfour\nfive\n",
    )
    .unwrap();
    let output = whylens(&place, &["pack", "birds"]);
    let said = text(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("bad-option")
            && said.contains("config.json")
            && said.contains("labels.txt")
            && said.contains("--labels"),
        "{said}"
    );
    let output = whylens(&place, &["pack", "birds", "--labels", "birds/labels.txt"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let labels = fs::read_to_string(place.join("birds-whylens/labels.txt")).unwrap();
    assert_eq!(labels, "one\ntwo\nthree\nfour\nfive\n");
    // Without --force, nothing is overwritten.
    let output = whylens(&place, &["pack", "birds", "--labels", "birds/labels.txt"]);
    assert!(
        text(&output.stderr).contains("already exists"),
        "{}",
        text(&output.stderr)
    );
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn what_model_json_cannot_say_is_told() {
    let place = place("limits");
    let json = fs::read_to_string(format!("{GOLDEN}/processors/deit.json")).unwrap();
    let mut json: Value = serde_json::from_str(&json).unwrap();
    json["do_pad"] = true.into();
    fs::create_dir_all(place.join("birds")).unwrap();
    fs::write(
        place.join("birds/preprocessor_config.json"),
        json.to_string(),
    )
    .unwrap();
    fs::write(place.join("birds/labels.txt"), LABELS).unwrap();
    copy("processors/model.onnx", &place.join("birds/model.onnx"));
    let said = packed(&place, "birds", "birds");
    assert!(
        said.contains("requires `do_pad`, which model.json cannot express"),
        "{said}"
    );
    assert!(said.contains("guessed     the shorter side"), "{said}");
    fs::remove_dir_all(place).unwrap();
}

/// A file in a zip, by its fields (APPNOTE.TXT 4.3), so that these can be false.
struct Entry<'a> {
    name: &'a str,
    /// Deflated or stored.
    deflated: bool,
    content: &'a [u8],
    /// The size that it claims.
    size: u32,
    /// Unix mode, such as that of a link.
    mode: u32,
}

fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut zip = Vec::new();
    let mut list = Vec::new();
    for entry in entries {
        let packed = match entry.deflated {
            false => entry.content.to_vec(),
            true => {
                let mut encoder =
                    flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(entry.content).unwrap();
                encoder.finish().unwrap()
            }
        };
        let mut crc = flate2::Crc::new();
        crc.update(entry.content);
        let method: u16 = if entry.deflated { 8 } else { 0 };
        let mut common = Vec::new();
        common.extend([20, 0, 0, 0]);
        common.extend(method.to_le_bytes());
        common.extend([0; 4]);
        common.extend(crc.sum().to_le_bytes());
        common.extend((packed.len() as u32).to_le_bytes());
        common.extend(entry.size.to_le_bytes());
        common.extend((entry.name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        list.extend(b"PK\x01\x02\x14\x03");
        list.extend(&common);
        list.extend([0; 6]);
        list.extend((entry.mode << 16).to_le_bytes());
        list.extend((zip.len() as u32).to_le_bytes());
        list.extend(entry.name.as_bytes());
        zip.extend(b"PK\x03\x04");
        zip.extend(&common);
        zip.extend(entry.name.as_bytes());
        zip.extend(&packed);
    }
    let (start, length) = (zip.len() as u32, list.len() as u32);
    zip.extend(&list);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    let count = entries.len() as u16;
    zip.extend(count.to_le_bytes());
    zip.extend(count.to_le_bytes());
    zip.extend(length.to_le_bytes());
    zip.extend(start.to_le_bytes());
    zip.extend([0, 0]);
    zip
}

fn plain<'a>(name: &'a str, content: &'a [u8]) -> Entry<'a> {
    Entry {
        name,
        deflated: true,
        content,
        size: content.len() as u32,
        mode: 0o100_644,
    }
}

#[test]
fn names_and_links_of_a_zip_lead_nowhere() {
    let link = Entry {
        mode: 0o120_777,
        ..plain("link.onnx", b"/etc/passwd")
    };
    let bytes = zip(&[
        plain("../up.onnx", b"1"),
        plain("a/../../up.onnx", b"1"),
        plain("/absolute.onnx", b"1"),
        plain("a\\..\\back.onnx", b"1"),
        plain("model/labels.txt", b"one\n"),
        link,
    ]);
    let mut archive = Archive::open(&bytes).unwrap();
    assert_eq!(archive.names(), ["model/labels.txt"]);
    assert_eq!(archive.read("model/labels.txt", 4).unwrap(), b"one\n");
    assert_eq!(
        archive.read("model/labels.txt", 3).unwrap_err().code(),
        "over-memory-limit"
    );
}

#[test]
fn a_zip_that_grows_beyond_what_it_says_is_refused_before_it_is_held() {
    let zeros = vec![0; 50_000_000];
    let bomb = zip(&[Entry {
        size: 10,
        ..plain("model.onnx", &zeros)
    }]);
    assert!(bomb.len() < 100_000);
    let mut archive = Archive::open(&bomb).unwrap();
    assert_eq!(
        archive.read("model.onnx", 1 << 31).unwrap_err().code(),
        "truncated"
    );
    let honest = zip(&[plain("model.onnx", &zeros)]);
    let mut archive = Archive::open(&honest).unwrap();
    let error = archive.read("model.onnx", 1_000_000).unwrap_err();
    assert_eq!(error.code(), "over-memory-limit");
    let vast = zip(&[Entry {
        size: u32::MAX - 1,
        ..plain("model.onnx", b"8")
    }]);
    let mut archive = Archive::open(&vast).unwrap();
    assert_eq!(
        archive.read("model.onnx", 1 << 31).unwrap_err().code(),
        "over-memory-limit"
    );
}

#[test]
fn a_damaged_zip_is_an_error_wherever_it_is_damaged() {
    let whole = fs::read(format!("{GOLDEN}/lobe/model.onnx")).unwrap();
    let bytes = zip(&[
        plain("model.onnx", &whole),
        plain("labels.txt", LABELS.as_bytes()),
    ]);
    let mut opened = 0;
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        if let Ok(mut archive) = Archive::open(&damaged) {
            opened += 1;
            for name in archive.names().to_vec() {
                drop(archive.read(&name, 1 << 20));
            }
        }
        if let Ok(mut archive) = Archive::open(&bytes[..at]) {
            panic!(
                "cut at {at}, it has {:?}",
                archive.read("model.onnx", 1 << 20)
            );
        }
    }
    assert!(opened > 0);
}
