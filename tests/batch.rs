//! Many photos by `whylens classify`: folders, rows in a file, and what is left when it is interrupted.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

const PHOTO: &str = "tests/photos/rocket.jpg";

fn tool(place: &Path, arguments: &[&str]) -> Command {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_whylens"));
    tool.args(arguments).current_dir(place);
    tool
}

fn whylens(place: &Path, arguments: &[&str]) -> Output {
    tool(place, arguments).output().unwrap()
}

#[track_caller]
fn succeeds(place: &Path, arguments: &[&str]) -> Output {
    let output = whylens(place, arguments);
    assert!(output.status.success(), "{}", told(&output));
    output
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder for each test, with the model folder `model` of a small network.
fn workplace(name: &str) -> PathBuf {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("batch-{name}"));
    drop(fs::remove_dir_all(&place));
    fs::create_dir_all(&place).unwrap();
    fs::copy(
        root().join("tests/golden/heads/logits.onnx"),
        place.join("given.onnx"),
    )
    .unwrap();
    fs::write(place.join("given.txt"), "a\nb, or \"B\"\nc\nd\ne\n").unwrap();
    let labels = ["--labels", "given.txt", "--out", "model"];
    succeeds(&place, &[&["pack", "given.onnx"][..], &labels].concat());
    place
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Photos in two folders, every tenth damaged.
fn photos(place: &Path, count: usize) {
    let photo = fs::read(root().join(PHOTO)).unwrap();
    for at in 0..count {
        let folder = place.join(format!("photos/{}", at % 2));
        fs::create_dir_all(&folder).unwrap();
        let bytes = match at % 10 {
            9 => &photo[..photo.len() / 3],
            _ => &photo,
        };
        fs::write(folder.join(format!("{at:04}.jpg")), bytes).unwrap();
    }
}

fn lines(file: &Path) -> usize {
    let text = fs::read(file).unwrap_or_default();
    text.iter().filter(|&&byte| byte == b'\n').count()
}

/// Runs a command until its file has so many lines, and kills it.
fn kill_at(place: &Path, arguments: &[&str], file: &Path, count: usize) {
    let mut child = tool(place, arguments)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while lines(file) < count && child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_was_killed_is_continued_to_the_file_of_one_run() {
    let place = workplace("killed");
    photos(&place, 300);
    for out in ["rows.csv", "rows.jsonl"] {
        let whole = format!("whole-{out}");
        let output = whylens(&place, &["classify", "model", "photos", "--out", &whole]);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        assert!(
            told(&output).contains("270 photos classified, 30 failed"),
            "{}",
            told(&output)
        );
        let expected = fs::read(place.join(&whole)).unwrap();
        let file = place.join(out);
        let command = ["classify", "model", "photos", "--out", out, "--resume"];
        for count in [0, 1, 60, 150] {
            kill_at(&place, &command, &file, count);
            let found = fs::read(&file).unwrap_or_default();
            assert!(
                expected.starts_with(&found),
                "killed at {count} lines of {out}"
            );
        }
        let found = fs::read(&file).unwrap();
        assert!(
            (150..300).contains(&lines(&file)),
            "it was to be killed in the middle"
        );
        // Cut in a line, in a file's name, and where the line is whole but for its end.
        let last = found.len()
            - 1
            - found[..found.len() - 1]
                .iter()
                .rev()
                .position(|&b| b == b'\n')
                .unwrap();
        for cut in [last + 1, last + 12, found.len() - 1] {
            fs::write(&file, &found[..cut]).unwrap();
            let output = whylens(&place, &command);
            // The failures of the earlier run count.
            assert_eq!(output.status.code(), Some(1), "{}", told(&output));
            assert!(
                told(&output).contains("270 photos classified, 30 failed"),
                "{}",
                told(&output)
            );
            assert!(
                fs::read(&file).unwrap() == expected,
                "{out} continued from byte {cut}"
            );
        }
        // All are there: nothing is done.
        whylens(&place, &command);
        assert!(fs::read(&file).unwrap() == expected);
    }
}

#[test]
fn a_folder_is_read_by_content_and_other_files_are_counted() {
    let place = workplace("folder");
    let folder = place.join("holiday");
    for name in [
        "b/no-ending",
        "a, \"the\" first.jpg",
        "broken.png",
        "notes.txt",
        "Thumbs.db",
        ".hidden.jpg",
    ] {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        match name {
            "broken.png" => fs::write(file, b"\x89PNG\r\n\x1a\n").unwrap(),
            "notes.txt" => fs::write(file, "no picture").unwrap(),
            "Thumbs.db" => fs::write(file, [0xd0, 0xcf, 0x11, 0xe0, 0]).unwrap(),
            _ => drop(fs::copy(root().join(PHOTO), file).unwrap()),
        }
    }
    let output = whylens(
        &place,
        &[
            "classify",
            "model",
            "holiday",
            "--csv",
            "--top-k",
            "5",
            "--threads",
            "2",
        ],
    );
    assert_eq!(output.status.code(), Some(1));
    let told = told(&output);
    assert!(
        told.contains("2 photos classified, 1 failed, 2 other files skipped"),
        "{told}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<&str> = text.split('\n').collect();
    let [head, first, second, broken, ""] = rows[..] else {
        panic!("{text}")
    };
    let columns: String = (1..=5)
        .map(|rank| format!("label_{rank},probability_{rank},score_{rank},"))
        .collect();
    assert_eq!(
        head,
        format!("file,width,height,{columns}region,recognised,error")
    );
    assert!(
        first.starts_with("\"holiday/a, \"\"the\"\" first.jpg\",640,427,"),
        "{first}"
    );
    assert!(first.ends_with(",true,"), "{first}");
    assert!(first.contains("\"b, or \"\"B\"\"\""), "{first}");
    assert!(
        second.starts_with("holiday/b/no-ending,640,427,"),
        "{second}"
    );
    assert_eq!(
        broken,
        format!("holiday/broken.png{}image-corrupt", ",".repeat(20))
    );

    // JSON lines say the same.
    let output = whylens(&place, &["classify", "model", "holiday", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows[2]["error"]["code"], "image-corrupt");
    assert_eq!(rows[0]["predictions"].as_array().unwrap().len(), 5);
    let best = &rows[0]["predictions"][0];
    let [probability, score] =
        ["probability", "score"].map(|name| best[name].as_f64().unwrap() as f32);
    let label = best["label"].as_str().unwrap();
    let expected = format!("\",640,427,{label},{probability},{score},");
    assert!(first.contains(&expected), "{first}, expected {expected}");
}

#[test]
fn a_folder_without_photos_is_a_failure() {
    let place = workplace("none");
    fs::create_dir(place.join("empty")).unwrap();
    let output = whylens(&place, &["classify", "model", "empty"]);
    assert!(!output.status.success());
    assert!(
        told(&output).contains("no photo was found"),
        "{}",
        told(&output)
    );
}

#[test]
fn a_file_is_neither_overwritten_nor_mixed() {
    let place = workplace("mixed");
    photos(&place, 3);
    let classify = |more: &[&str]| {
        whylens(
            &place,
            &[&["classify", "model", "photos"][..], more].concat(),
        )
    };
    let refused = |more: &[&str], says: &str| {
        let output = classify(more);
        assert_eq!(output.status.code(), Some(1));
        assert!(told(&output).contains(says), "{}", told(&output));
    };
    assert!(classify(&["--out", "rows.csv"]).status.success());
    let rows = fs::read(place.join("rows.csv")).unwrap();
    refused(
        &["--out", "rows.csv"],
        "bad-option: rows.csv exists already; --resume continues it",
    );
    refused(
        &["--out", "rows.csv", "--resume", "--top-k", "3"],
        "its columns are others; give the same --top-k",
    );
    refused(
        &["--out", "rows.csv", "--resume", "--json"],
        "line 1 is no result of a photo",
    );
    refused(&["--out", "rows"], "does not say what it holds");
    refused(
        &["--out", "given.txt", "--csv", "--resume"],
        "given.txt cannot be continued",
    );
    assert_eq!(fs::read(place.join("rows.csv")).unwrap(), rows);
    assert_eq!(
        fs::read_to_string(place.join("given.txt")).unwrap(),
        "a\nb, or \"B\"\nc\nd\ne\n"
    );

    // Rows of another model.
    assert!(classify(&["--out", "rows.jsonl"]).status.success());
    let other = [
        "--labels",
        "given.txt",
        "--out",
        "other",
        "--name",
        "Another",
    ];
    succeeds(&place, &[&["pack", "given.onnx"][..], &other].concat());
    let output = whylens(
        &place,
        &[
            "classify",
            "other",
            "photos",
            "--out",
            "rows.jsonl",
            "--resume",
        ],
    );
    assert!(
        told(&output).contains("its results are of the model"),
        "{}",
        told(&output)
    );
}

/// Kilobytes that a process has had at most, when it has ended.
fn peak(mut child: Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok());
        most = most.max(peak.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            return most;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn memory_does_not_grow_with_the_number_of_photos() {
    let place = workplace("memory");
    let photo = fs::canonicalize(root().join(PHOTO)).unwrap();
    let run = |folder: &str, count: usize| {
        fs::create_dir(place.join(folder)).unwrap();
        for at in 0..count {
            let link = place.join(folder).join(format!("{at}.jpg"));
            std::os::unix::fs::symlink(&photo, link).unwrap();
        }
        let out = format!("{folder}.jsonl");
        let arguments = ["classify", "model", folder, "--out", &out, "--threads", "2"];
        let peak = peak(
            tool(&place, &arguments)
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        assert_eq!(lines(&place.join(&out)), count);
        peak
    };
    let (few, many) = (run("few", 200), run("many", 2000));
    println!("200 photos: {few} kB, 2000 photos: {many} kB");
    assert!(
        few > 1000 && many < few + 16_000,
        "{few} kB, then {many} kB"
    );
}
