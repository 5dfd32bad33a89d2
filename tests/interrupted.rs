//! A command that is ended, or hindered, at each of its file operations in turn: what it writes is what was there
//! before, or what is there once the command went through, whole.
//!
//! strace counts the operations, ends the command before the one whose turn it is, or lets that fail.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const GOLDEN: &str = "tests/golden/heads/logits.onnx";

/// Whatever opens, changes or names a file. Those that a kernel does not have are left out by strace (`?`).
const OPERATIONS: &str = "?open,openat,?openat2,?creat,?mkdir,mkdirat,write,pwrite64,writev,?rename,renameat,\
    renameat2,?link,linkat,?symlink,symlinkat,?unlink,unlinkat,?rmdir,ftruncate,fallocate,fsync,fdatasync,\
    ?chmod,fchmod,fchmodat,?chown,fchown,fchownat,utimensat,flock,copy_file_range,sendfile,getdents64,close";

/// What a folder holds: path → bytes, the target of a link, or that it is a folder.
type Files = BTreeMap<String, Vec<u8>>;

fn files(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_string();
            if path.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                files.insert(
                    format!("{name}@"),
                    target.into_os_string().into_encoded_bytes(),
                );
            } else if path.is_dir() {
                files.insert(format!("{name}/"), Vec::new());
                folders.push(path);
            } else {
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Runs a command of whylens in a folder under strace, which writes into a log what it does.
fn traced(place: &Path, arguments: &[&str], trace: &str, inject: Option<&str>) -> Output {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(log(place));
    strace.arg(format!("--trace={trace}"));
    strace.args(inject.map(|what| format!("--inject={trace}:{what}")));
    strace.arg(env!("CARGO_BIN_EXE_whylens")).args(arguments);
    let output = strace.current_dir(place).stdin(Stdio::null()).output();
    output.expect("no strace: install Debian's package of that name")
}

fn log(place: &Path) -> PathBuf {
    place.with_extension("log")
}

/// The operations of the run before, and how often the busiest thread did each; strace counts so, too.
fn operations(place: &Path) -> BTreeMap<String, usize> {
    let mut threads: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in fs::read_to_string(log(place)).unwrap().lines() {
        let (thread, what) = line.split_once(' ').unwrap();
        if let Some((name, _)) = what.trim().split_once('(')
            && !name.contains(['<', '+', '-'])
        {
            *threads.entry((name.into(), thread.into())).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((name, _), times) in threads {
        let known = most.entry(name).or_default();
        *known = times.max(*known);
    }
    most
}

/// What is beside the folder that is written.
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

/// Ends the command before each operation in turn, or lets that fail. `lay` makes `place/target` as it was before.
fn interrupt(place: &Path, target: &str, arguments: &[&str], lay: &dyn Fn()) {
    let target = place.join(target);
    lay();
    let old = files(&target);
    let run = || traced(place, arguments, OPERATIONS, None);
    let output = run();
    assert!(output.status.success(), "{}", told(&output));
    let new = files(&target);
    let (around, operations) = (neighbours(place), operations(place));
    assert!(
        old != new && operations.values().sum::<usize>() > 40,
        "{operations:?}"
    );
    for means in ["signal=KILL", "signal=INT", "error=ENOSPC", "error=EIO"] {
        let (mut before, mut after) = (0, 0);
        for (operation, times) in &operations {
            // No file system lets it fail so, and Rust's library ends the program then.
            if operation == "close" && means.starts_with("error") {
                continue;
            }
            for turn in 1..=*times {
                lay();
                let inject = format!("{means}:when={turn}");
                let output = traced(place, arguments, operation, Some(&inject));
                let (found, told) = (files(&target), told(&output));
                let at = format!("{means} at {operation} {turn} of {times}");
                assert!(
                    found == old || found == new,
                    "{at} left {:?}\n{told}",
                    found.keys()
                );
                *if found == old {
                    &mut before
                } else {
                    &mut after
                } += 1;
                assert!(
                    !output.status.success() || found == new,
                    "{at}: says that it is done"
                );
                assert!(!told.contains("panicked"), "{at}: {told}");
                // Whatever is left, the next run goes through and leaves nothing.
                if means == "signal=KILL" && (before + after) % 4 == 0 {
                    let output = run();
                    assert!(
                        output.status.success(),
                        "{at}, and again: {}",
                        self::told(&output)
                    );
                    assert!(files(&target) == new, "{at}, and again");
                    assert_eq!(neighbours(place), around, "{at}, and again");
                }
            }
        }
        println!("{means}: {before} times as before, {after} times new");
        assert!(
            before > 10 && after > 2,
            "{means}: {before} times as before, {after} times new"
        );
    }
}

/// A folder of its own for each test, with a network, its labels, and a model folder that was made of them.
fn workplace(name: &str) -> PathBuf {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("interrupted-{name}"));
    drop(fs::remove_dir_all(&place));
    fs::create_dir_all(&place).unwrap();
    fs::copy(root().join(GOLDEN), place.join("given.onnx")).unwrap();
    fs::write(place.join("given.txt"), "a\nb\nc\nd\ne\n").unwrap();
    let output = traced(
        &place,
        &[
            "pack",
            "given.onnx",
            "--labels",
            "given.txt",
            "--out",
            "made",
        ],
        OPERATIONS,
        None,
    );
    assert!(output.status.success(), "{}", told(&output));
    fs::write(place.join("made/LICENSE"), "theirs").unwrap();
    place
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Copies a folder of files to where nothing, or another one, was.
fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    fs::create_dir(to).unwrap();
    for (name, bytes) in files(from) {
        fs::write(to.join(name), bytes).unwrap();
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
fn prepare_leaves_the_folder_as_it_was_or_writes_it_whole() {
    use sha2::{Digest, Sha256};
    let place = workplace("prepare");
    let (made, given) = (
        place.join("made"),
        fs::read(place.join("given.onnx")).unwrap(),
    );
    let json = fs::read(made.join("model.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let digest: String = Sha256::digest(&given)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json["weights"] = serde_json::json!({
        "file": "model.onnx", "bytes": given.len(), "sha256": digest, "precision": "fp32"
    });
    fs::write(
        made.join("model.json"),
        serde_json::to_string_pretty(&json).unwrap(),
    )
    .unwrap();
    fs::write(made.join("model.onnx"), given).unwrap();
    interrupt(&place, "out", &["prepare", "out"], &|| {
        copy(&made, &place.join("out"))
    });
}
