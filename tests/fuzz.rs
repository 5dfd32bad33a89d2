//! Damaged files of everything that is parsed: manifests, labels, ONNX before and through the engine,
//! `.npy`, and folders of pipes, devices, links and files of wrong sizes: no crash, no hang, no more memory
//! than allowed, a code for each failure.
//!
//! Runs for a few seconds; `WHYLENS_FUZZ=600 cargo test --release --test fuzz` for ten minutes for each
//! kind; `WHYLENS_SEED=7` sets another seed. A file that fails is left in `target/tmp`; after the fix, it
//! belongs in `tests/fuzz/KIND/`, whose files are tried first every time.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prost::Message;
use serde_json::{Value, json};
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto};
use whylens::internal::{estimate, shrink, sniff};
use whylens::{Classifier, Error, Manifest, Model, Options, Tensor};

mod planned;

#[path = "../src/memory.rs"]
#[allow(dead_code)] // the library uses more of it
mod memory;

#[path = "../src/cli/folder.rs"]
#[allow(dead_code)] // the tool uses more of it
mod folder;

#[path = "../src/cli/read.rs"]
#[allow(dead_code)] // the tool uses more of it
mod read;

#[path = "../src/cli/npy.rs"]
#[allow(dead_code)] // the tool writes too
mod npy;

const LONGEST: Duration = Duration::from_secs(10);

/// The library's default limit, plus what a file of the corpus takes.
const MOST_MEMORY: usize = 600_000_000;

/// Memory is measured for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// Where panics that the library contained came from.
static PANICS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files in a folder with this ending, sorted by name.
fn files(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(root().join(folder)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.is_file() && path.to_string_lossy().ends_with(ending));
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Changes a file, perhaps with parts of another.
type Change<'a> = &'a dyn Fn(&mut Vec<u8>, &[u8], &mut Random);

/// How an attempt fails: the code of an error.
struct Code(&'static str);

impl From<Error> for Code {
    fn from(error: Error) -> Code {
        Code(error.code())
    }
}

/// When the attempt began, and its file.
type UnderWay = Option<(Instant, Vec<u8>)>;

/// Changes bytes, without knowing what they mean.
fn mutate(file: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        if file.is_empty() {
            return;
        }
        let at = random.below(file.len());
        match random.below(8) {
            0 => file[at] ^= 1 << random.below(8),
            1 => file[at] = random.below(256) as u8,
            2 => file[at] = *random.one(&[0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'\n']),
            3 => {
                let at = random.below(file.len().min(64));
                file[at] = random.below(256) as u8;
            }
            4 if at > 0 => file.truncate(at),
            5 => {
                let end = (at + random.below(64)).min(file.len());
                let part = file[at..end].to_vec();
                let to = random.below(file.len());
                file.splice(to..to, part);
            }
            6 => {
                let end = (at + random.below(32)).min(file.len());
                file.drain(at..end);
            }
            _ => {
                let from = random.below(other.len());
                let end = (from + random.below(256)).min(other.len());
                let room = (at + end - from).min(file.len());
                file.splice(at..room, other[from..end].iter().copied());
            }
        }
    }
}

/// Tries the files of a corpus, first those that once failed, then changed ones, for the time that is set.
fn fuzz(
    kind: &str,
    corpus: &[Vec<u8>],
    change: Change,
    attempt: &dyn Fn(&[u8]) -> Result<(), Code>,
) -> BTreeMap<&'static str, u64> {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, |l| {
            let file = l.file().rsplit("registry/src/").next().unwrap_or_default();
            format!("{file}:{}", l.line())
        });
        *PANICS.lock().unwrap().entry(place).or_default() += 1;
    }));
    assert!(!corpus.is_empty(), "no {kind}");
    let mut random = Random(setting("WHYLENS_SEED", 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{kind}"));
    // A hang cannot be stopped from within, so it ends the test and keeps the file.
    let under_way: Arc<Mutex<UnderWay>> = Arc::default();
    let watched = Arc::clone(&under_way);
    let (watch, name) = (Arc::downgrade(&watched), kept.clone());
    drop(watched);
    std::thread::spawn(move || {
        while let Some(under_way) = watch.upgrade() {
            if let Some((start, file)) = &*under_way.lock().unwrap()
                && start.elapsed() > 3 * LONGEST
            {
                fs::write(&name, file).unwrap();
                eprintln!("{}: does not end", name.display());
                std::process::abort();
            }
            drop(under_way);
            std::thread::sleep(Duration::from_millis(200));
        }
    });

    let mut outcomes: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut slowest, mut largest) = (Duration::ZERO, 0);
    let mut failures = Vec::new();
    let mut try_one = |file: Vec<u8>, label: &str| {
        let panics = || PANICS.lock().unwrap().values().sum::<u64>();
        let (before, panicked) = (memory::live(), panics());
        memory::forget_peak();
        let start = Instant::now();
        *under_way.lock().unwrap() = Some((start, file.clone()));
        let outcome = catch_unwind(AssertUnwindSafe(|| attempt(&file)));
        *under_way.lock().unwrap() = None;
        let (took, used) = (start.elapsed(), memory::peak().saturating_sub(before));
        (slowest, largest) = (slowest.max(took), largest.max(used));
        // In a page, a panic that the library contains natively ends the worker; no checked plan may cause
        // one.
        let contained = kind.starts_with("plan") && panics() > panicked;
        let panicked = outcome.is_err() || contained;
        if panicked || took > LONGEST || used > MOST_MEMORY {
            let kept = kept.with_extension(failures.len().to_string());
            fs::write(&kept, &file).unwrap();
            failures.push(format!(
                "{label}, {}: {took:?}, {used} bytes, panicked: {panicked}",
                kept.display()
            ));
        }
        if let Ok(outcome) = outcome {
            let code = outcome.map_or_else(|Code(code)| code, |()| "read");
            *outcomes.entry(code).or_default() += 1;
        }
    };
    for file in files(&format!("tests/fuzz/{kind}"), "") {
        try_one(file, "once failed");
    }
    let end = Instant::now() + Duration::from_secs(setting("WHYLENS_FUZZ", 3));
    while Instant::now() < end {
        let mut file = random.one(corpus).clone();
        let other = random.one(corpus);
        change(&mut file, other, &mut random);
        try_one(file, "changed");
    }
    drop(std::panic::take_hook());
    println!("{kind}: {outcomes:?}, slowest {slowest:?}, most memory {largest} bytes");
    let panics = std::mem::take(&mut *PANICS.lock().unwrap());
    println!("contained panics: {panics:#?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    outcomes
}

#[track_caller]
fn only(outcomes: &BTreeMap<&str, u64>, codes: &[&str]) {
    let unknown: Vec<_> = outcomes
        .keys()
        .filter(|code| !codes.contains(code))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?} among {outcomes:?}");
    assert!(
        outcomes.contains_key("read") && outcomes.len() > 1,
        "{outcomes:?}"
    );
}

#[test]
fn damaged_manifests_do_no_harm() {
    let corpus = files("models/efficientnet-lite0", "model.json");
    let attempt = |file: &[u8]| {
        let (manifest, _) = Manifest::parse(file)?;
        let (language, labels) = manifest.label_file(&["vi-VN".into(), String::new()]);
        assert!(!labels.is_empty() || language.is_empty());
        estimate::check(&manifest, (true, 1), 0, 512e6)?;
        let again = serde_json::to_vec(&manifest).unwrap();
        let mut again = Manifest::parse(&again)?.0;
        // serde_json may be off in the last digit of a number.
        assert!((again.input.scale / manifest.input.scale - 1.0).abs() < 1e-12);
        again.input.scale = manifest.input.scale;
        again.input.mean.clone_from(&manifest.input.mean);
        again.input.std.clone_from(&manifest.input.std);
        assert_eq!(again, manifest);
        Ok(())
    };
    let words = [
        "1e999",
        "-1",
        "18446744073709551616",
        "null",
        "\"\\ud800\"",
        "[[[[",
        "{\"a\":",
        "\"..\"",
        "\"\\u0000\"",
        "4294967296",
        "NaN",
        "true",
        "1e-400",
        "\"blob:x\"",
    ];
    let change = |file: &mut Vec<u8>, other: &[u8], random: &mut Random| {
        if random.below(2) == 0 {
            return mutate(file, other, random);
        }
        // In place of a value.
        let colons: Vec<usize> = (0..file.len()).filter(|&at| file[at] == b':').collect();
        let at = random.one(&colons) + 1;
        let end = file[at..]
            .iter()
            .position(|byte| b",}]".contains(byte))
            .map_or(file.len(), |n| at + n);
        file.splice(at..end, random.one(&words).bytes());
    };
    only(
        &fuzz("manifest", &corpus, &change, &attempt),
        &["read", "bad-manifest", "over-memory-limit"],
    );
}

/// A network of one layer, for files that go with a network.
fn tiny() -> (Manifest, Vec<u8>) {
    let json = serde_json::json!({
        "format": 1, "name": "tiny", "version": "1", "license": "MIT", "source": "tests/fuzz.rs", "disclaimer": null,
        "weights": { "file": "model.onnx", "bytes": 1, "sha256": "0".repeat(64), "precision": "fp32" },
        "input": { "name": "input", "layout": "nchw", "channels": "rgb", "width": 8, "height": 8,
                   "resize": { "mode": "exact", "filter": "bilinear" }, "crop": "none",
                   "scale": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1] },
        "output": { "name": "logits", "activation": "softmax" },
        "heatmap": { "layer": null },
        "labels": { "en": "labels.txt" }
    });
    let node = |operator: &str, from: &str, to: &str| NodeProto {
        op_type: operator.into(),
        name: to.into(),
        input: vec![from.into()],
        output: vec![to.into()],
        ..NodeProto::default()
    };
    let value = |name: &str| tract_onnx::pb::ValueInfoProto {
        name: name.into(),
        r#type: Some(tract_onnx::pb::TypeProto {
            value: Some(tract_onnx::pb::type_proto::Value::TensorType(
                tract_onnx::pb::type_proto::Tensor {
                    elem_type: 1,
                    shape: None,
                },
            )),
            ..Default::default()
        }),
        ..Default::default()
    };
    let graph = tract_onnx::pb::GraphProto {
        node: vec![
            node("Relu", "input", "x"),
            node("GlobalAveragePool", "x", "pooled"),
            node("Flatten", "pooled", "logits"),
        ],
        input: vec![value("input")],
        output: vec![value("logits")],
        ..Default::default()
    };
    let version = tract_onnx::pb::OperatorSetIdProto {
        version: 17,
        ..Default::default()
    };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![version],
        graph: Some(graph),
        ..Default::default()
    };
    let manifest = Manifest::parse(json.to_string().as_bytes()).unwrap().0;
    (manifest, model.encode_to_vec())
}

#[test]
fn damaged_labels_do_no_harm() {
    let (manifest, onnx) = tiny();
    let corpus = vec![
        b"one\ntwo\nthree".to_vec(),
        "\u{feff}einz\r\nzwei\r\nGröße <b>\r\n\r\n".into(),
        "một\nhai\n\u{202e}ba".into(),
    ];
    let attempt = |file: &[u8]| {
        let options = Options::default();
        let classifier = Classifier::new(manifest.clone(), file, &onnx, &options)?;
        assert_eq!(classifier.labels().len(), 3);
        Ok(())
    };
    only(
        &fuzz("labels", &corpus, &mutate, &attempt),
        &["read", "bad-manifest"],
    );
}

#[test]
fn damaged_tensors_do_no_harm() {
    let corpus: Vec<_> = files("tests/golden/models", "input.npy")
        .into_iter()
        .filter(|file| file.len() < 50_000)
        .collect();
    let attempt = |mut file: &[u8]| {
        let tensor = npy::read(&mut file)?;
        let most = 1 << 24;
        assert!(tensor.values.len() <= most && tensor.shape.len() <= 64);
        Ok(())
    };
    let change = |file: &mut Vec<u8>, other: &[u8], random: &mut Random| {
        let end = file.iter().position(|&byte| byte == b'\n').unwrap_or(0);
        if random.below(2) == 0 || end < 12 {
            return mutate(file, other, random);
        }
        // The header is short, and would seldom be hit.
        let words = [
            "<f8",
            "|O",
            ">f4",
            "True",
            "(1, 3",
            "99999999999999999999",
            "(",
            "{",
            "'shape'",
            "-1",
            ",",
        ];
        let at = 10 + random.below(end - 10);
        let until = (at + random.below(8)).min(end);
        file.splice(at..until, random.one(&words).bytes());
    };
    only(
        &fuzz("npy", &corpus, &change, &attempt),
        &["read", "bad-option"],
    );
}

/// The choices in a file, one per byte; the first one when there are no more.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn below(&mut self, end: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % end
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Puts something at a path: mostly the file itself.
#[cfg(unix)]
fn lay(path: &Path, content: &[u8], choices: &mut Choices) {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;
    let folder = path.parent().unwrap();
    if path.symlink_metadata().is_ok() {
        return;
    }
    // An impossible name, such as one that is too long, leaves nothing there.
    let done = match choices.below(32) {
        0 => Ok(()),
        1 => fs::create_dir(path),
        2 => Command::new("mkfifo").arg(path).output().map(drop),
        3 => symlink(
            choices.one(&["/dev/zero", "/dev/full", "/dev/stdin", "/dev/tty"]),
            path,
        ),
        4 => symlink(
            choices.one(&["/proc/self/mem", "/proc/self/maps", "/sys/kernel/notes"]),
            path,
        ),
        5 => symlink(path.file_name().unwrap(), path),
        6 => symlink(
            choices.one(&[".", "..", "nowhere", "../../../../../../etc"]),
            path,
        ),
        7 => fs::write(path, content).and_then(|()| {
            let longer = [1u64 << 40, 50_000_000, 16_000_001, content.len() as u64 + 1];
            let file = fs::File::options().write(true).open(path)?;
            file.set_len(choices.one(&longer))
        }),
        8 => fs::write(path, &content[..content.len() / 2]),
        9 => fs::write(path, b""),
        10 => UnixListener::bind(path).map(drop),
        11..16 => {
            let held = folder.join(format!("held-{}", choices.below(4)));
            fs::write(&held, content).and_then(|()| match choices.below(2) {
                0 => symlink(&held, path),
                _ => fs::hard_link(&held, path),
            })
        }
        _ => fs::write(path, content),
    };
    drop(done);
}

/// Model folders with every kind of file that a name can stand for, under manifests that describe them
/// rightly or wrongly.
#[cfg(unix)]
#[test]
fn odd_folders_do_no_harm() {
    const NAMES: &[&str] = &[
        "model.onnx",
        "labels.txt",
        "model.json",
        "a",
        "A",
        "b",
        "...",
        "a b",
        "\u{202e}x",
        "\u{1b}[2J",
        "..",
        ".",
        "",
        "/etc/passwd",
        "../a",
        "a/b",
        "a\\b",
        "C:x",
        "CON",
        "a\0",
        "-",
        "~",
    ];
    const NUMBERS: &[u64] = &[0, 1, 50_000_000, 1 << 31, (1 << 31) - 1, 1 << 40, u64::MAX];
    let (tiny, onnx) = tiny();
    let place = std::env::temp_dir().join(format!("whylens-fuzz-{}", std::process::id()));
    let attempt = |file: &[u8]| {
        let choices = &mut Choices(file.iter());
        drop(fs::remove_dir_all(&place));
        fs::create_dir_all(&place).unwrap();
        let name = |choices: &mut Choices, usual: &str| match choices.below(6) {
            0 if choices.below(8) == 0 => "n".repeat(300),
            0 => choices.one(NAMES).to_string(),
            _ => usual.to_string(),
        };
        let number = |choices: &mut Choices, usual: usize| match choices.below(16) {
            0 => choices.one(NUMBERS),
            1 => usual as u64 + 1,
            _ => usual as u64,
        };
        let mut json = serde_json::to_value(&tiny).unwrap();
        let digest: String = whylens::internal::sha256(&onnx);
        let (weights, labels) = (name(choices, "model.onnx"), name(choices, "labels.txt"));
        json["weights"]["file"] = weights.as_str().into();
        json["weights"]["bytes"] = number(choices, onnx.len()).into();
        json["weights"]["sha256"] = digest.into();
        json["labels"]["en"] = labels.as_str().into();
        let put = |name: &str, content: &[u8], choices: &mut Choices| {
            if !name.is_empty() && !name.contains(['/', '\0']) && !matches!(name, "." | "..") {
                lay(&place.join(name), content, choices);
            }
        };
        match choices.below(3) {
            0 => {
                let count = [1, 2, 3, 7, 200][choices.below(5)];
                let mut parts = Vec::new();
                for (at, part) in onnx.chunks(onnx.len().div_ceil(count)).enumerate() {
                    let file = name(choices, &format!("model.onnx.{at}"));
                    put(&file, part, choices);
                    parts.push(
                        serde_json::json!({ "file": file, "bytes": number(choices, part.len()) }),
                    );
                }
                // The same file many times, with sizes that add up.
                if choices.below(8) == 0 {
                    let (count, bytes) = (8000u64, 1_000_000u64);
                    parts = vec![serde_json::json!({ "file": "held-0", "bytes": bytes }); 8000];
                    json["weights"]["bytes"] = (count * bytes).into();
                }
                json["weights"]["parts"] = parts.into();
            }
            _ => put(&weights, &onnx, choices),
        }
        put(&labels, b"one\ntwo\nthree", choices);
        put("model.json", json.to_string().as_bytes(), choices);
        let path = match choices.below(4) {
            0 => place.join("model.json"),
            _ => place.clone(),
        };
        match folder::read(&path).and_then(|model| model.classifier(&Options::default())) {
            Ok(classifier) => {
                assert_eq!(classifier.labels().len(), 3);
                Ok(())
            }
            Err(error) => {
                let code = error.downcast_ref::<Error>().map(Error::code);
                let system = || error.downcast_ref::<std::io::Error>().map(|_| "io");
                Err(Code(code.or_else(system).unwrap_or("none")))
            }
        }
    };
    let change = |file: &mut Vec<u8>, _: &[u8], random: &mut Random| {
        // All zero, which makes most choices unusual, is one in many.
        *file = (0..random.below(400))
            .map(|_| random.below(256) as u8)
            .collect();
    };
    let outcomes = fuzz("folder", &[Vec::new()], &change, &attempt);
    drop(fs::remove_dir_all(&place));
    let codes = [
        "read",
        "io",
        "bad-manifest",
        "integrity",
        "truncated",
        "over-memory-limit",
    ];
    only(&outcomes, &codes);
    if outcomes.values().sum::<u64>() > 300 {
        assert_eq!(outcomes.len(), codes.len(), "each is met: {outcomes:?}");
    }
}

#[derive(serde::Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    model: String,
    input: CaseInput,
}

#[derive(serde::Deserialize)]
struct CaseInput {
    shape: Vec<usize>,
    layout: String,
}

/// The small golden networks, each with a manifest that fits it.
fn networks() -> Vec<(Manifest, Vec<u8>)> {
    let folder = root().join("tests/golden/models");
    let golden: Golden =
        serde_json::from_slice(&fs::read(folder.join("cases.json")).unwrap()).unwrap();
    let mut found: BTreeMap<String, (Manifest, Vec<u8>)> = BTreeMap::new();
    for case in golden.cases {
        let onnx = fs::read(folder.join(&case.model)).unwrap();
        if onnx.len() > 100_000 {
            continue;
        }
        let mut manifest = tiny().0;
        let chw = case.input.layout == "nchw";
        let at = |nchw: usize, nhwc: usize| case.input.shape[if chw { nchw } else { nhwc }];
        (manifest.input.height, manifest.input.width) = (at(2, 1) as u32, at(3, 2) as u32);
        if !chw {
            manifest.input.layout = whylens::manifest::Layout::Nhwc;
        }
        if at(1, 3) == 1 {
            manifest.input.channels = whylens::manifest::Channels::Grey;
        }
        found.insert(case.model, (manifest, onnx));
    }
    found.into_values().collect()
}

/// Small graphs of operators whose weights lie in a file in ways that those of the golden networks do not.
fn operators() -> Vec<(Manifest, Vec<u8>)> {
    let manifest = || {
        let mut manifest = tiny().0;
        manifest.input.name = "x".into();
        manifest.output.name = "scores".into();
        manifest
    };
    let names = ["lstm", "matmul_4_bits", "weights_int8_per_channel"];
    let onnx = |name: &&str| {
        let file = root().join(format!("tests/golden/operators/{name}.onnx"));
        (manifest(), fs::read(file).unwrap())
    };
    names.iter().map(onnx).collect()
}

const OPERATORS: &[&str] = &[
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "ConstantOfShape",
    "Conv",
    "ConvTranspose",
    "CumSum",
    "DepthToSpace",
    "Dropout",
    "Einsum",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gemm",
    "GlobalAveragePool",
    "GridSample",
    "GroupNormalization",
    "Identity",
    "If",
    "InstanceNormalization",
    "LRN",
    "LSTM",
    "LayerNormalization",
    "LeakyRelu",
    "LpNormalization",
    "MatMul",
    "MaxPool",
    "NonMaxSuppression",
    "NonZero",
    "OneHot",
    "PRelu",
    "Pad",
    "Pow",
    "QLinearConv",
    "Range",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Resize",
    "Scan",
    "ScatterElements",
    "ScatterND",
    "Shape",
    "Slice",
    "Softmax",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "TopK",
    "Transpose",
    "Trilu",
    "Unsqueeze",
    "Upsample",
    "Where",
    "GRU",
    "DequantizeLinear",
    "QuantizeLinear",
    "Multinomial",
    "RandomNormalLike",
    "BlackmanWindow",
    "DFT",
    "Attention",
    "Gelu",
    "HardSigmoid",
    "IsNaN",
    "Mod",
    "Not",
    "Size",
];

const NUMBERS: &[i64] = &[
    0,
    1,
    -1,
    2,
    3,
    7,
    64,
    1000,
    -2,
    i64::MAX,
    i64::MIN,
    1 << 31,
    (1 << 31) - 1,
    -(1 << 31),
    1 << 32,
    1 << 40,
    1 << 62,
];

/// Changes a graph that stays one.
fn rewrite(model: &mut ModelProto, random: &mut Random) {
    let Some(graph) = &mut model.graph else {
        return;
    };
    let names: Vec<String> = graph
        .node
        .iter()
        .flat_map(|node| node.output.clone())
        .collect();
    for _ in 0..=random.below(3) {
        if graph.node.is_empty() {
            return;
        }
        let at = random.below(graph.node.len());
        let node = &mut graph.node[at];
        match random.below(14) {
            0 | 1 => node.op_type = random.one(OPERATORS).to_string(),
            2 if !node.input.is_empty() => {
                let which = random.below(node.input.len());
                node.input[which] = random.one(&names).clone();
            }
            3 => node.input.push(random.one(&names).clone()),
            4 => drop(node.input.pop()),
            5 => node.output.push(format!("extra{at}")),
            6 if !node.attribute.is_empty() => {
                let which = random.below(node.attribute.len());
                damage(&mut node.attribute[which], random);
            }
            7 if !node.attribute.is_empty() => {
                let which = random.below(node.attribute.len());
                node.attribute.remove(which);
            }
            8 => {
                let name = *random.one(&[
                    "axis",
                    "axes",
                    "group",
                    "strides",
                    "pads",
                    "kernel_shape",
                    "perm",
                    "keepdims",
                    "to",
                    "blocksize",
                    "num_outputs",
                    "ceil_mode",
                ]);
                let kind = if random.below(2) == 0 { 2 } else { 7 };
                node.attribute.push(AttributeProto {
                    name: name.into(),
                    r#type: kind,
                    i: *random.one(NUMBERS),
                    ints: (0..random.below(5)).map(|_| *random.one(NUMBERS)).collect(),
                    ..AttributeProto::default()
                });
            }
            9 => drop(graph.node.remove(at)),
            10 => {
                let mut copy = node.clone();
                for name in &mut copy.output {
                    name.push_str(".copy");
                }
                graph.node.insert(at, copy);
            }
            _ if !graph.initializer.is_empty() => {
                let which = random.below(graph.initializer.len());
                damage_tensor(&mut graph.initializer[which], random);
            }
            _ => {}
        }
    }
}

fn damage(attribute: &mut AttributeProto, random: &mut Random) {
    match random.below(5) {
        0 => attribute.i = *random.one(NUMBERS),
        1 if !attribute.ints.is_empty() => {
            let which = random.below(attribute.ints.len());
            attribute.ints[which] = *random.one(NUMBERS);
        }
        2 => attribute.ints.push(*random.one(NUMBERS)),
        3 => attribute.f = *random.one(&[0.0, -1.0, f32::NAN, f32::INFINITY, 1e30]),
        _ => {
            if let Some(tensor) = &mut attribute.t {
                damage_tensor(tensor, random);
            } else {
                attribute.r#type = random.below(12) as i32;
            }
        }
    }
}

fn damage_tensor(tensor: &mut TensorProto, random: &mut Random) {
    match random.below(5) {
        0 if !tensor.dims.is_empty() => {
            let which = random.below(tensor.dims.len());
            tensor.dims[which] = *random.one(NUMBERS);
        }
        1 => tensor.dims.reverse(),
        2 => tensor.data_type = random.below(17) as i32,
        // Numbers that are shapes, axes and indices.
        _ if tensor.data_type == 7 && tensor.raw_data.len() >= 8 => {
            let which = random.below(tensor.raw_data.len() / 8) * 8;
            tensor.raw_data[which..which + 8].copy_from_slice(&random.one(NUMBERS).to_le_bytes());
        }
        _ if !tensor.int64_data.is_empty() => {
            let which = random.below(tensor.int64_data.len());
            tensor.int64_data[which] = *random.one(NUMBERS);
        }
        _ if tensor.raw_data.len() >= 4 => {
            let which = random.below(tensor.raw_data.len() / 4) * 4;
            let value = *random.one(&[f32::NAN, f32::INFINITY, 1e30, 0.0, -0.0]);
            tensor.raw_data[which..which + 4].copy_from_slice(&value.to_le_bytes());
        }
        _ => tensor.dims.push(1),
    }
}

/// Replaces a number of a plan with another.
fn disturb(plan: &mut String, random: &mut Random) {
    let digits = |at: &usize| plan.as_bytes()[*at].is_ascii_digit();
    let starts: Vec<usize> = (1..plan.len()).filter(digits).collect();
    let at = *random.one(&starts);
    let end = (at..plan.len()).find(|at| !digits(at)).unwrap_or(at);
    let words = [
        "0",
        "1",
        "2",
        "7",
        "64",
        "1000",
        "16384",
        "300000000",
        "18446744073709551615",
        "null",
        "[]",
    ];
    plan.replace_range(at..end, random.one::<&str>(&words));
}

/// A step of a plan, mostly sound on its own.
fn random_step(random: &mut Random) -> Value {
    let mut size = || *random.one(&[1, 2, 3, 4, 5, 8, 12, 16]);
    let [a, b, c, d] = std::array::from_fn(|_| size());
    let [side, kernel, channels] = [size(), size().min(5), size()];
    let stride = 1 + random.below(2);
    // It reads in one half of the arena and writes into the other, but not into constants and what is kept.
    let halves = [
        64 * (80 + random.below(110)),
        64 * (250 + random.below(130)),
    ];
    let written = random.below(2);
    let out = halves[written];
    let [one, two, three] = std::array::from_fn(|_| match written {
        0 => 64 * (250 + random.below(130)),
        _ => 64 * random.below(190),
    });
    // In place at times.
    let one = if random.below(4) == 0 { out } else { one };
    let window = |padded: usize| {
        let reach = side + 2 * padded;
        let made = (reach.max(kernel) - kernel) / stride + 1;
        vec![
            side, side, made, made, kernel, kernel, stride, stride, 1, 1, padded, padded,
        ]
    };
    let padded = random.below(kernel);
    let activation = match random.below(3) {
        0 => vec![0, 0xff80_0000, 0x7f80_0000],
        1 => vec![0, 0, 0x40c0_0000],
        _ => vec![1, 0, 0],
    };
    // Over a × b, both or one of them in the other order.
    let loops = |tensors: usize, random: &mut Random| {
        let mut all = vec![2, a, b];
        all.extend((1..tensors).map(|_| *random.one(&[b, 0, 1])));
        all.extend([b, 1]);
        all.extend((1..tensors).map(|_| *random.one(&[1, 0, a])));
        all
    };
    let weights = |groups: usize, sums: usize, inputs: usize, taps: usize| {
        vec![0, 0, groups, sums, inputs, taps, 1, 1, 1, 0, 0]
    };
    let (kind, fields): (&str, Vec<Vec<usize>>) = match random.below(16) {
        0 => ("set", vec![vec![out, a * b, 0x3f00_0000]]),
        1 | 2 => (
            "map",
            vec![
                vec![out, one, random.below(26), 0x4000_0000],
                loops(2, random),
            ],
        ),
        3 => (
            "slope",
            vec![
                vec![out, one, random.below(26), 0x4000_0000],
                loops(2, random),
            ],
        ),
        4 | 5 => (
            "pair",
            vec![vec![out, one, two, random.below(14)], loops(3, random)],
        ),
        6 => ("choose", vec![vec![out, one, two, three], loops(4, random)]),
        7 => (
            "reduce",
            vec![
                vec![out, one, random.below(4)],
                loops(2, random),
                vec![1, c, d],
            ],
        ),
        8 => (
            *random.one(&["softmax", "copy"]),
            vec![vec![out, one, a, b]],
        ),
        9 => ("normalise", vec![vec![out, one, a, b, 0x3a83_126f]]),
        10 => {
            let residual = [0, two + 1][random.below(2)];
            let patches = vec![a, b, b * c, c, c, 1, 0];
            (
                "product",
                vec![
                    vec![out, one, residual, d + *random.one(&[0, 0, 5])],
                    weights(1, d, c, 1),
                    patches,
                    activation,
                ],
            )
        }
        11 => (
            "filter",
            vec![
                vec![out, one],
                weights(channels, channels, 1, kernel * kernel),
                window(padded),
                activation,
            ],
        ),
        12 => {
            let tiles = vec![8, 9, 8, 9, 3, 3, 1, 1, 1, 1, 1, 1];
            (
                "tiles",
                vec![vec![out, one, 0], weights(1, 16, 16, 9), tiles, activation],
            )
        }
        13 => match random.below(2) {
            0 => ("pack", vec![vec![out, one, c, d, d, 1], vec![1, a, c * d]]),
            _ => (
                "multiply",
                vec![
                    vec![out, one, two, 1, b, 0, c, c, d],
                    vec![1, a, b * c, 24 * c],
                ],
            ),
        },
        14 => match random.below(2) {
            0 => ("largest", vec![vec![out, one, channels], window(padded)]),
            _ => (
                "pool",
                vec![vec![out, one, channels, 1, random.below(2)], window(padded)],
            ),
        },
        _ => match random.below(2) {
            0 => (
                "fold",
                vec![vec![out, one, channels, random.below(2)], window(padded)],
            ),
            _ => (
                "unpool",
                vec![vec![out, one, two, channels], window(padded)],
            ),
        },
    };
    serde_json::json!([kind, fields.concat()])
}

/// A plan of random steps for [`tiny`].
fn random_plan(random: &mut Random) -> Value {
    let mut list = |most: usize| -> Vec<Value> {
        let count = random.below(most);
        (0..count).map(|_| random_step(random)).collect()
    };
    let (forward, backward) = (list(24), list(12));
    let [given, scores, layer, gradient] = std::array::from_fn(|_| 4096 + 64 * random.below(300));
    json!({
        "version": whylens::internal::PLAN, "input": [1, 3, 8, 8], "layout": "nchw", "output": "logits", "scores": [1, 3], "activation": null,
        "places": [{ "layer": { "name": "x", "channels": 3, "height": 8, "width": 8 }, "shape": [1, 3, 8, 8],
                     "axes": "channels-first" }],
        "tensors": ["w"], "numbers": ["w", [0.5, 1.5]], "spaces": [1024, 4096, 25_600], "constants": [[0, 0], [600, 1]],
        "forward": { "given": given, "made": [[scores, 1, 3, 1, 1], [layer, 2, 3, 64, 1, 64, 1, 3]], "steps": forward },
        "backward": { "given": 6000, "made": [[gradient, 1, 192, 1, 1]], "steps": backward },
    })
}

#[test]
fn plans_of_random_steps_do_no_harm() {
    let (manifest, onnx) = tiny();
    let change = |file: &mut Vec<u8>, _: &[u8], random: &mut Random| {
        let mut plan = random_plan(random).to_string();
        for _ in 0..random.below(2) * random.below(4) {
            disturb(&mut plan, random);
        }
        let mut model = ModelProto::decode(onnx.as_slice()).unwrap();
        let graph = model.graph.get_or_insert_default();
        graph.initializer.push(TensorProto {
            name: "w".into(),
            dims: vec![512],
            data_type: 1,
            raw_data: (0..512)
                .flat_map(|at| (at as f32 / 512.0).to_le_bytes())
                .collect(),
            ..TensorProto::default()
        });
        model
            .metadata_props
            .push(tract_onnx::pb::StringStringEntryProto {
                key: "whylens.plan".into(),
                value: plan,
            });
        *file = model.encode_to_vec();
    };
    // The largest tensors are of 1 MB, so that the slowest plan is far from the limit on a busy machine.
    let memory = 32_000_000;
    let tightness = Mutex::new((0u64, 0u64));
    let attempt = |file: &[u8]| {
        let options = Options {
            heatmap: true,
            memory: Some(memory),
            ..Options::default()
        };
        let Some(model) = Model::planned(file, &manifest, &options)? else {
            return Err(Error::Unplanned(None).into());
        };
        let photo = Tensor {
            shape: vec![1, 3, 8, 8],
            values: vec![0.5; 192],
        };
        let before = memory::live();
        memory::forget_peak();
        let run = || {
            let last = model.forward(&photo)?;
            let gradients = model.gradients(&last, 0)?;
            model.check_gradient(&photo, &last, |scores| scores[0], &gradients)?;
            model.forward(&photo)
        };
        let ran = run();
        let (taken, counted) = ((memory::peak() - before) as u64, model.work());
        assert!(
            taken <= counted,
            "{taken} bytes were taken, {counted} counted"
        );
        if ran.is_ok() {
            let mut sums = tightness.lock().unwrap();
            *sums = (sums.0 + taken, sums.1 + counted);
        }
        Ok(ran.map(drop)?)
    };
    let outcomes = fuzz("plan", std::slice::from_ref(&onnx), &change, &attempt);
    let (taken, counted) = *tightness.lock().unwrap();
    println!("taken {taken}, counted {counted}");
    only(
        &outcomes,
        &[
            "read",
            "unplanned",
            "unsupported-model",
            "unsupported-operator",
            "over-memory-limit",
            "bad-option",
        ],
    );
}

#[test]
fn damaged_networks_do_no_harm() {
    let networks = networks();
    assert!(networks.len() > 10);
    // The manifest's number comes before the file.
    let corpus: Vec<Vec<u8>> = networks
        .iter()
        .enumerate()
        .map(|(at, (_, onnx))| [&[at as u8], onnx.as_slice()].concat())
        .collect();
    let change = |file: &mut Vec<u8>, other: &[u8], random: &mut Random| {
        let mut onnx = file.split_off(1);
        if random.below(4) == 0 {
            mutate(&mut onnx, &other[1..], random);
        } else {
            let mut model = ModelProto::decode(onnx.as_slice()).unwrap();
            rewrite(&mut model, random);
            onnx = model.encode_to_vec();
        }
        file.extend(onnx);
    };
    let attempt = |file: &[u8]| {
        let (&at, onnx) = file.split_first().unwrap();
        let manifest = &networks[usize::from(at) % networks.len()].0;
        // Each of these may succeed or fail; none may crash on another's files.
        drop(shrink::outline(onnx));
        drop(shrink::merge(onnx, &mut |_| {
            Err(Error::ExternalData(String::new()))
        }));
        drop(shrink::layers(onnx, manifest));
        sniff::onnx(onnx, "the file")?;
        let heatmap = onnx.len() % 2 == 0;
        let options = Options {
            heatmap,
            ..Options::default()
        };
        let model = Model::load(onnx, manifest, &options)?;
        estimate::check_run("the model", model.work(), 0, 512e6)?;
        let shape = manifest.input.shape().to_vec();
        let values = vec![0.5; shape.iter().product()];
        let forward = model.forward(&Tensor { shape, values })?;
        assert_eq!(forward.scores.len(), model.classes());
        if heatmap && model.explainable().is_ok() && model.classes() > 0 {
            model.gradients(&forward, 0)?;
        }
        Ok(())
    };
    only(
        &fuzz("onnx", &corpus, &change, &attempt),
        &[
            "read",
            "not-a-model",
            "truncated",
            "unsupported-model",
            "unsupported-operator",
            "external-data",
            "bad-manifest",
            "bad-option",
            "over-memory-limit",
        ],
    );
}
