//! A command that is killed, or fails, at each of its file operations in turn leaves either what was there
//! before, or the complete result.
#![cfg(target_os = "linux")]

mod killed;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use killed::{Snapshot, at_every_call, snapshot};

const GOLDEN: &str = "tests/golden/heads/logits.onnx";

fn whylens(place: &Path, arguments: &[&str]) -> Output {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_whylens"));
    tool.args(arguments).current_dir(place).output().unwrap()
}

/// What is beside the folder being written.
fn neighbours(place: &Path) -> Vec<String> {
    let entries = fs::read_dir(place).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Kills the command before each operation in turn, or makes the operation fail. `lay` restores
/// `place/target`.
fn interrupt(place: &Path, target: &str, arguments: &[&str], lay: &dyn Fn()) {
    let target = place.join(target);
    let look = || match target.is_dir() {
        true => snapshot(&target),
        false => Snapshot::new(),
    };
    let again = |when: &str| {
        let output = whylens(place, arguments);
        assert!(
            output.status.success(),
            "{when}, and again: {}",
            told(&output)
        );
    };
    lay();
    let old = look();
    again("first");
    let (new, around) = (look(), neighbours(place));
    assert_ne!(old, new);
    for fault in ["signal=KILL", "signal=INT", "error=ENOSPC", "error=EIO"] {
        at_every_call(fault, place, arguments, lay, &|when, ended| {
            let (found, told) = (look(), told(ended));
            assert!(
                found == old || found == new,
                "{when} left {:?}\n{told}",
                found.keys()
            );
            assert!(
                !ended.status.success() || found == new,
                "{when}: says that it is done"
            );
            assert!(!told.contains("panicked"), "{when}: {told}");
            // Whatever is left, the next run succeeds and leaves nothing behind.
            if fault == "signal=KILL" {
                again(when);
                assert!(look() == new, "{when}, and again");
                assert_eq!(neighbours(place), around, "{when}, and again");
            }
        });
    }
}

/// A separate folder for each test, with a network, its labels, and a model folder made from them.
fn workplace(name: &str) -> PathBuf {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("interrupted-{name}"));
    drop(fs::remove_dir_all(&place));
    fs::create_dir_all(&place).unwrap();
    fs::copy(root().join(GOLDEN), place.join("given.onnx")).unwrap();
    fs::write(place.join("given.txt"), "a\nb\nc\nd\ne\n").unwrap();
    let arguments = [
        "pack",
        "given.onnx",
        "--labels",
        "given.txt",
        "--out",
        "made",
    ];
    let output = whylens(&place, &arguments);
    assert!(output.status.success(), "{}", told(&output));
    fs::write(place.join("made/LICENSE"), "theirs").unwrap();
    place
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Copies a folder of files, in place of another if there is one.
fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn pack_leaves_the_folder_as_it_was_or_writes_it_whole() {
    let place = workplace("pack");
    let arguments = [
        "pack",
        "given.onnx",
        "--labels",
        "given.txt",
        "--out",
        "out",
        "--name",
        "another",
    ];
    interrupt(&place, "out", &arguments, &|| {
        copy(&place.join("made"), &place.join("out"))
    });
}

#[test]
fn pack_makes_a_new_folder_whole_or_not_at_all() {
    let place = workplace("pack-new");
    let arguments = [
        "pack",
        "given.onnx",
        "--labels",
        "given.txt",
        "--out",
        "out",
    ];
    interrupt(&place, "out", &arguments, &|| {
        drop(fs::remove_dir_all(place.join("out")))
    });
}

#[test]
fn pack_of_a_folder_leaves_the_folder_as_it_was_or_writes_it_whole() {
    let place = workplace("pack-folder");
    let (made, given) = (
        place.join("made"),
        fs::read(place.join("given.onnx")).unwrap(),
    );
    let json = fs::read(made.join("model.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let digest: String = whylens::internal::sha256(&given);
    json["weights"] = serde_json::json!({
        "file": "model.onnx", "bytes": given.len(), "sha256": digest, "precision": "fp32"
    });
    fs::write(
        made.join("model.json"),
        serde_json::to_string_pretty(&json).unwrap(),
    )
    .unwrap();
    fs::write(made.join("model.onnx"), given).unwrap();
    interrupt(&place, "out", &["pack", "out"], &|| {
        copy(&made, &place.join("out"))
    });
}
