//! `whylens dist` as the owner of a site runs it, on a page with a few lines.
#![cfg(not(target_arch = "wasm32"))]

#[cfg(target_os = "linux")]
mod killed;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use whylens::internal::sha256;

const MODEL: &str = "models/efficientnet-lite0";

const INDEX: &str = r#"<!doctype html>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; connect-src 'self' https: data: blob:">
<link rel="stylesheet" href="www/page.css">
<script type="module" src="www/main.js"></script>
"#;

/// A separate folder for each test, with a page in it.
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
    command(folder, options).output().unwrap()
}

fn command(folder: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whylens"));
    command.arg("dist");
    let page = folder.join("page");
    for default in [["--compress", "fast"], ["--page", page.to_str().unwrap()]] {
        if !options.contains(&default[0]) {
            command.args(default);
        }
    }
    command
        .args([MODEL, "--out"])
        .arg(folder.join("site"))
        .args(options)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// A model of a few hundred bytes, made where no other test looks.
fn small_model(folder: &Path) -> PathBuf {
    let model = folder.join("small");
    fs::write(folder.join("labels"), "a\nb\nc\nd\ne\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_whylens"))
        .args(["pack", "tests/golden/heads/logits.onnx", "--labels"])
        .arg(folder.join("labels"))
        .arg("--out")
        .arg(&model)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    model
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is left beside the site when no `dist` runs.
#[track_caller]
fn assert_tidy(folder: &Path) {
    let names = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names
        .filter(|name| name.to_str().unwrap().contains(".whylens-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
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
    assert!(index.contains("data-models=\"models/efficientnet-lite0/\" data-weights=\""));
    assert!(index.contains(" data-offline=\"sw.js\""));
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
fn what_did_not_change_is_not_compressed_again() {
    let folder = workplace("compressed-again");
    let first = dist(&folder, &[]);
    let find = |files: &BTreeMap<String, Vec<u8>>, end: &str| {
        let path = files.keys().find(|path| path.ends_with(end));
        path.unwrap_or_else(|| panic!("{end} is missing")).clone()
    };
    let weaker = |bytes: &[u8]| {
        let mut out = Vec::new();
        let mut writer = brotli::CompressorWriter::new(&mut out, 4096, 1, 18);
        writer.write_all(bytes).unwrap();
        drop(writer);
        out
    };
    // One that holds the same, but that `dist` would not make, and one that holds something else.
    let (script, wasm) = (find(&first, "/main.js"), find(&first, ".wasm"));
    let own = weaker(&first[&script]);
    assert_ne!(own, first[&format!("{script}.br")]);
    fs::write(folder.join(format!("site/{script}.br")), &own).unwrap();
    fs::write(folder.join(format!("site/{wasm}.br")), weaker(b"other")).unwrap();
    fs::write(folder.join("page/www/page.css"), "q {}").unwrap();
    let second = dist(&folder, &["--force"]);
    let again = find(&second, "/main.js");
    assert_ne!(script, again, "the folder is named by all of its files");
    assert_eq!(second[&format!("{again}.br")], own);
    // Beside it, the one in the earlier folder stays, for `dist` did not make it.
    let (www, _) = again.split_once('/').unwrap();
    let (_, inner) = wasm.split_once('/').unwrap();
    assert_eq!(
        second[&format!("{www}/{inner}.br")],
        first[&format!("{wasm}.br")]
    );
    fs::write(folder.join(format!("site/{again}.br")), &own).unwrap();
    let better = dist(&folder, &["--compress", "best"]);
    assert_ne!(better[&find(&better, "/main.js.br")], own);
}

#[test]
fn modules_that_were_built_quickly_are_not_published() {
    let folder = workplace("quick");
    let page = folder.join("page");
    fs::create_dir_all(page.join("target/quick/pkg/run")).unwrap();
    let quick = page.join("target/quick/pkg/run/whylens_bg.wasm");
    fs::write(&quick, "\0asm quick".repeat(1000)).unwrap();
    let files = dist(&folder, &[]);
    let modules = files.iter().filter(|(path, _)| path.ends_with(".wasm"));
    for (path, bytes) in modules {
        assert!(path.ends_with("/pkg/whylens_bg.wasm"), "{path}");
        assert_eq!(*bytes, "\0asm".repeat(1000).into_bytes());
    }
    fs::remove_file(page.join("www/pkg/whylens_bg.wasm")).unwrap();
    let refused = run(&folder, &[]);
    assert!(!refused.status.success());
    assert!(
        errors(&refused).contains("make build"),
        "{}",
        errors(&refused)
    );
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
fn iis_is_told_the_type_of_every_ending_once() {
    let files = dist(&workplace("iis"), &["--compress", "none"]);
    let config = text(&files, "web.config");
    let endings = |path: &String| path.rsplit_once('.').map(|(_, ending)| ending.to_string());
    for ending in files
        .keys()
        .filter_map(endings)
        .filter(|ending| ending != "config")
    {
        let map = format!("<mimeMap fileExtension=\".{ending}\" ");
        let known = ending.contains('/') || config.matches(&map).count() == 1;
        assert!(known, "{ending}: {config}");
    }
    assert!(config.contains("<mimeMap fileExtension=\".wasm\" mimeType=\"application/wasm\" />"));
    assert!(config.contains("<mimeMap fileExtension=\".\" mimeType=\"text/plain\" />"));
}

#[test]
fn a_closed_site_may_talk_to_itself_only() {
    let files = dist(&workplace("closed"), &["--closed"]);
    for path in ["index.html", "sw.js", "_headers"] {
        assert!(!text(&files, path).contains("https:"), "{path}");
    }
    assert!(text(&files, "index.html").contains("connect-src 'self' data:"));
    // By this the page knows it, and offers no model from elsewhere.
    assert!(text(&files, "index.html").contains(" data-closed src="));
    assert!(!text(&dist(&workplace("open"), &[]), "index.html").contains("data-closed"));
}

#[test]
fn offline_and_isolation_are_the_owners_choice() {
    let folder = workplace("choice");
    let isolating = |options: &[&str]| {
        let files = dist(&folder, options);
        let names = ["sw.js", "_headers", "web.config"];
        let headers = names.map(|name| {
            let text = text(&files, name);
            text.contains("cross-origin-opener-policy") && text.contains("credentialless")
        });
        // By this the page knows that its service worker isolates it.
        let told = text(&files, "index.html").contains(" data-isolate");
        (headers, told)
    };
    assert_eq!(isolating(&[]), ([true; 3], true));
    assert_eq!(isolating(&["--isolate"]), ([true; 3], true));
    assert_eq!(isolating(&["--no-isolate"]), ([false; 3], false));
    let without = dist(&folder, &["--no-offline"]);
    assert!(text(&without, "index.html").contains("data-offline=\"off\""));
    assert!(!text(&without, "index.html").contains("data-isolate"));
    assert!(text(&without, "sw.js").contains("\"offline\":false"));
}

/// Other pages on the same host may show what an isolated one cannot.
#[test]
fn headers_isolate_the_page_and_its_worker_alone() {
    let files = dist(&workplace("alone"), &[]);
    let www = files.keys().find(|path| path.starts_with("www.")).unwrap();
    let www = www.split('/').next().unwrap();
    let headers = text(&files, "_headers");
    let mut of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut path = "";
    for line in headers.lines() {
        match line.strip_prefix("  cross-origin-") {
            Some(header) => of.entry(path).or_default().push(header),
            None if line.starts_with('/') => path = line,
            None => {}
        }
    }
    let (opener, embedder) = (
        "opener-policy: same-origin",
        "embedder-policy: credentialless",
    );
    let worker = format!("/{www}/worker/worker.js");
    let expected = [
        ("/", vec![opener, embedder]),
        ("/index.html", vec![opener, embedder]),
        (&worker, vec![embedder]),
    ];
    assert_eq!(of, BTreeMap::from(expected));
}

#[test]
fn a_limit_of_memory_is_written_and_what_pages_would_refuse_is_said() {
    let folder = workplace("memory");
    let model = small_model(&folder);
    let warned = |options: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_whylens"))
            .args(["dist", "--compress", "none", "--out"])
            .arg(folder.join("site"))
            .arg(&model)
            .args(options)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", errors(&output));
        errors(&output)
    };
    let index = || fs::read_to_string(folder.join("site/index.html")).unwrap();
    assert_eq!(warned(&[]), "");
    assert!(!index().contains("data-memory-limit"));
    let json = fs::read_to_string(model.join("model.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
    json["weights"]["memory"]["explain"] = 900_000_000.into();
    fs::write(model.join("model.json"), json.to_string()).unwrap();
    let told = warned(&[]);
    assert!(
        told.contains("phones") && told.contains("--memory-limit 9"),
        "{told}"
    );
    assert_eq!(warned(&["--memory-limit", "1200MB"]), "");
    assert!(index().contains("<script type=\"module\" data-models=\"models/small/\" "));
    assert!(index().contains(" data-memory-limit=\"1200000000\" data-isolate src="));
    assert!(warned(&["--memory-limit", "600MB"]).contains("the limit is 600 MB"));
}

#[test]
fn a_folder_of_other_files_is_left_alone() {
    let folder = workplace("other");
    fs::create_dir(folder.join("site")).unwrap();
    fs::write(folder.join("site/thesis.txt"), "years of work").unwrap();
    let output = run(&folder, &[]);
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("files that are not from an earlier site")
    );
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

#[test]
fn two_into_one_folder_at_once_leave_one_whole_site() {
    let folder = workplace("twice");
    let model = small_model(&folder);
    let model = model.to_str().unwrap();
    let [open, closed]: [&[&str]; 2] =
        [&["--compress", "none"], &["--compress", "none", "--closed"]];
    let small = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whylens"));
        command
            .args(["dist", model, "--page", "page", "--out", "site"])
            .args(options);
        command
            .current_dir(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    };
    let whole = |options| {
        assert!(small(options).status().unwrap().success());
        let mut files = BTreeMap::new();
        read(&folder.join("site"), "", &mut files);
        files
    };
    let wholes = [whole(open), whole(closed)];
    for round in 0..10 {
        if round % 2 == 0 {
            fs::remove_dir_all(folder.join("site")).unwrap();
        }
        let both = [open, closed, open].map(|options| small(options).spawn().unwrap());
        for process in both {
            let output = process.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", errors(&output));
        }
        let mut files = BTreeMap::new();
        read(&folder.join("site"), "", &mut files);
        assert!(wholes.contains(&files), "round {round}: {:?}", files.keys());
        assert_tidy(&folder);
    }
}

#[test]
fn only_what_an_earlier_site_holds_unchanged_is_removed() {
    let folder = workplace("foreign");
    let before = dist(&folder, &[]);
    let site = folder.join("site");
    let www = before
        .keys()
        .find_map(|path| path.strip_suffix("/main.js"))
        .unwrap();
    for (file, text) in [
        (".git/HEAD", "ref: refs/heads/main"),
        ("CNAME", "example.org"),
        (".well-known/security.txt", "Contact:"),
        ("thesis.txt", "years of work"),
        ("models/other/model.json", "{}"),
        // Changed by hand, with a name that the next site does not have.
        (&format!("{www}/page.css"), "p { color: blue }"),
    ] {
        fs::create_dir_all(site.join(file).parent().unwrap()).unwrap();
        fs::write(site.join(file), text).unwrap();
    }
    fs::create_dir(site.join("empty")).unwrap();
    fs::write(folder.join("page/www/main.js"), "import './other.js';").unwrap();
    let output = run(&folder, &["--compress", "none"]);
    assert!(output.status.success(), "{}", errors(&output));
    let mut after = BTreeMap::new();
    read(&site, "", &mut after);
    for (file, text) in [
        (".git/HEAD", "ref"),
        ("CNAME", "example"),
        ("thesis.txt", "years"),
    ] {
        assert!(after[file].starts_with(text.as_bytes()), "{file}");
        assert!(
            errors(&output).contains("keeps files that are not from the earlier site"),
            "{}",
            errors(&output)
        );
    }
    assert!(
        errors(&output).contains("CNAME") && errors(&output).contains("1 more"),
        "{}",
        errors(&output)
    );
    assert_eq!(
        text(&after, &format!("{www}/page.css")),
        "p { color: blue }"
    );
    assert!(after.contains_key(".well-known/security.txt") && site.join("empty").is_dir());
    let left: Vec<_> = after
        .keys()
        .filter(|path| path.starts_with(&format!("{www}/")))
        .collect();
    assert_eq!(
        left,
        [&format!("{www}/page.css")],
        "the rest of the earlier version is gone"
    );
    let twins = |path: &&String| path.ends_with(".br") || path.ends_with(".gz");
    assert!(
        before.keys().any(|path| twins(&path)),
        "there were compressed files"
    );
    assert_eq!(after.keys().find(twins), None, "and they are gone");
    assert_tidy(&folder);
}

#[test]
fn a_file_that_somebody_changed_is_overwritten_only_when_told_so() {
    let folder = workplace("changed");
    dist(&folder, &[]);
    let page = folder.join("site/index.html");
    let mine = fs::read_to_string(&page).unwrap() + "<p>mine";
    fs::write(&page, &mine).unwrap();
    let output = run(&folder, &["--closed"]);
    assert!(!output.status.success());
    assert!(errors(&output).contains("index.html") && errors(&output).contains("--force"));
    assert_eq!(fs::read_to_string(&page).unwrap(), mine);
    assert_tidy(&folder);
    assert!(!text(&dist(&folder, &["--force"]), "index.html").contains("mine"));
}

#[test]
fn a_list_of_somebody_elses_makes_no_earlier_site() {
    let folder = workplace("lists");
    let site = folder.join("site");
    let thesis = sha256(b"years of work");
    for list in [
        "{}".to_string(),
        "not JSON".into(),
        format!(r#"{{"files": {{"thesis.txt": {{"bytes": 13, "sha256": "{thesis}"}}}}}}"#),
        format!(
            r#"{{"made_by": "other", "files": {{"index.html": {{"bytes": 13, "sha256": "{thesis}"}}}}}}"#
        ),
    ] {
        drop(fs::remove_dir_all(&site));
        fs::create_dir_all(&site).unwrap();
        fs::write(site.join("integrity.json"), &list).unwrap();
        fs::write(site.join("thesis.txt"), "years of work").unwrap();
        let output = run(&folder, &[]);
        assert!(!output.status.success(), "{list}");
        assert!(
            errors(&output).contains("files that are not from an earlier site"),
            "{list}: {}",
            errors(&output)
        );
        assert!(site.join("thesis.txt").is_file(), "{list}");
    }
}

#[cfg(unix)]
#[test]
fn a_hostile_list_removes_nothing_outside() {
    use std::os::unix::fs::symlink;
    let folder = workplace("hostile");
    let (site, outside) = (folder.join("site"), folder.join("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "years of work").unwrap();
    fs::create_dir_all(&site).unwrap();
    symlink(&outside, site.join("linked")).unwrap();
    symlink(outside.join("victim"), site.join("victim")).unwrap();
    fs::create_dir(site.join("folder")).unwrap();
    let absolute = outside.join("victim");
    let names = [
        "../outside/victim",
        absolute.to_str().unwrap(),
        "linked/victim",
        "victim",
        "linked",
        "folder",
        "",
        ".",
        "..",
        "a/../../outside/victim",
    ];
    let listed = |name: &str| {
        format!(
            r#""{name}": {{"bytes": 13, "sha256": "{}"}}"#,
            sha256(b"years of work")
        )
    };
    let names: Vec<_> = names.iter().map(|name| listed(name)).collect();
    let list = format!(
        r#"{{"made_by": "whylens 0.1.0", "files": {{"index.html": {{"bytes": 18446744073709551615, "sha256": ""}}, {}}}}}"#,
        names.join(", ")
    );
    fs::write(site.join("integrity.json"), list).unwrap();
    for options in [&[][..], &["--closed"]] {
        let output = run(&folder, options);
        assert!(output.status.success(), "{}", errors(&output));
        assert_eq!(fs::read(outside.join("victim")).unwrap(), b"years of work");
        assert!(site.join("linked").is_symlink() && site.join("victim").is_symlink());
        assert!(site.join("folder").is_dir());
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_the_site_stays_a_link() {
    let folder = workplace("linked-site");
    fs::create_dir(folder.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", folder.join("site")).unwrap();
    for options in [&[][..], &["--closed"]] {
        let files = dist(&folder, options);
        assert!(files.contains_key("index.html"));
        assert!(folder.join("site").is_symlink());
        assert!(folder.join("elsewhere/index.html").is_file());
    }
}

/// In a separate mount namespace, where nobody else sees the mount. Not every system allows one.
#[cfg(target_os = "linux")]
#[test]
fn what_is_mounted_within_the_site_stays_there_and_is_not_emptied() {
    let folder = workplace("mounted");
    dist(&folder, &[]);
    fs::create_dir(folder.join("theirs")).unwrap();
    fs::create_dir(folder.join("site/uploads")).unwrap();
    let again = command(&folder, &["--closed"]);
    let mut apart = Command::new("unshare");
    apart
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg(
            r#"mount --bind "$0/theirs" "$0/site/uploads" || exit 9
               "$@" >&2 && touch "$0/theirs/late" && "$@" >&2 && ls "$0/site/uploads""#,
        )
        .arg(&folder)
        .arg(again.get_program())
        .args(again.get_args())
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = match apart.output() {
        Ok(output) if output.status.success() || !errors(&output).contains("unshare:") => output,
        _ => return eprintln!("no name space can be made here"),
    };
    if output.status.code() == Some(9) {
        return eprintln!("nothing can be mounted here");
    }
    assert!(output.status.success(), "{}", errors(&output));
    assert_eq!(output.stdout, b"late\n");
    assert!(folder.join("theirs/late").is_file());
    assert_tidy(&folder);
}

#[cfg(unix)]
#[test]
fn what_links_lead_to_elsewhere_is_published_only_when_told_so() {
    use std::os::unix::fs::symlink;
    let model = |folder: &Path| folder.join("small");
    type Change = fn(&Path);
    let attacks: &[(&str, Change)] = &[
        ("small/LICENSE", |folder| {
            symlink("../secret", folder.join("small/LICENSE")).unwrap()
        }),
        ("small/NOTICES", |folder| {
            symlink("../outside", folder.join("small/NOTICES")).unwrap()
        }),
        ("small/labels.txt", |folder| {
            away(folder, "small/labels.txt")
        }),
        ("small/model.onnx", |folder| {
            away(folder, "small/model.onnx")
        }),
        ("small/model.json", |folder| {
            away(folder, "small/model.json")
        }),
        ("page/www/leak.js", |folder| {
            symlink("../../secret", folder.join("page/www/leak.js")).unwrap()
        }),
        ("page/www/leak", |folder| {
            symlink("../../outside", folder.join("page/www/leak")).unwrap()
        }),
        ("page/www", |folder| away(folder, "page/www")),
        ("page/index.html", |folder| away(folder, "page/index.html")),
        ("small/LICENSE", |folder| {
            fs::write(folder.join("small/.env"), "secret").unwrap();
            symlink(".env", folder.join("small/LICENSE")).unwrap();
        }),
    ];
    fn away(folder: &Path, file: &str) {
        fs::rename(folder.join(file), folder.join("moved")).unwrap();
        symlink(folder.join("moved"), folder.join(file)).unwrap();
    }
    for (index, (file, change)) in attacks.iter().enumerate() {
        let folder = workplace(&format!("leads-{index}"));
        small_model(&folder);
        fs::create_dir(folder.join("outside")).unwrap();
        fs::write(folder.join("secret"), "secret").unwrap();
        fs::write(folder.join("outside/secret"), "secret").unwrap();
        change(&folder);
        let small = |options: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_whylens"));
            command
                .arg("dist")
                .arg(model(&folder))
                .arg("--page")
                .arg(folder.join("page"));
            command.arg("--out").arg(folder.join("site")).args(options);
            command.output().unwrap()
        };
        let output = small(&[]);
        assert!(!output.status.success(), "{file}");
        let told = errors(&output);
        assert!(
            told.contains(file) && told.contains("--follow-links"),
            "{file}: {told}"
        );
        assert!(!folder.join("site").exists(), "{file}");
        let output = small(&["--follow-links"]);
        assert!(output.status.success(), "{file}: {}", errors(&output));
    }
}

#[cfg(unix)]
#[test]
fn links_within_a_folder_are_followed_and_end() {
    use std::os::unix::fs::symlink;
    let folder = workplace("within");
    symlink("main.js", folder.join("page/www/same.js")).unwrap();
    symlink("page", folder.join("page-by-a-link")).unwrap();
    let files = dist(
        &folder,
        &["--page", folder.join("page-by-a-link").to_str().unwrap()],
    );
    assert!(files.keys().any(|path| path.ends_with("/same.js")));
    symlink("..", folder.join("page/www/pkg/loop")).unwrap();
    let told = errors(&run(&folder, &[]));
    assert!(
        told.contains("loop leads to a folder that contains it"),
        "{told}"
    );
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_told_and_not_waited_for() {
    let folder = workplace("pipes");
    let pipe = folder.join("page/www/pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let output = run(&folder, &[]);
    assert!(!output.status.success());
    assert!(
        errors(&output).contains("pipe: it is a pipe"),
        "{}",
        errors(&output)
    );
}

#[test]
fn a_folder_of_licences_is_published_and_a_folder_of_dots_has_a_name() {
    let folder = workplace("licences");
    let model = folder.join("...");
    fs::rename(small_model(&folder), &model).unwrap();
    fs::create_dir_all(model.join("LICENSES/more")).unwrap();
    for file in [
        "LICENSES/MIT.txt",
        "LICENSES/more/BSD.txt",
        "LICENSES/.hidden",
        "NOTICE",
    ] {
        fs::write(model.join(file), file).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_whylens"))
        .args(["dist", "./...", "--page", "page", "--out", "site"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    let mut files = BTreeMap::new();
    read(&folder.join("site"), "", &mut files);
    for file in [
        "model.json",
        "NOTICE",
        "LICENSES/MIT.txt",
        "LICENSES/more/BSD.txt",
    ] {
        assert!(
            files.contains_key(&format!("models/model/{file}")),
            "{file}: {:?}",
            files.keys()
        );
    }
    assert!(!files.keys().any(|path| path.contains("hidden")));
    assert!(text(&files, "index.html").contains("data-models=\"models/model/\""));
}

/// Every file that the page, the service worker and the models name is there.
#[cfg(target_os = "linux")]
fn assert_refers_to_what_is_there(site: &Path, when: &str) {
    let page = fs::read_to_string(site.join("index.html")).unwrap();
    for attribute in ["href", "src"] {
        for named in page.split(&format!("{attribute}=\"")).skip(1) {
            let file = named.split('"').next().unwrap();
            assert!(site.join(file).is_file(), "{when}: {file} of index.html");
        }
    }
    let named = page
        .split("data-models=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let manifest = fs::read(site.join(named).join("model.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    for file in [&manifest["weights"]["file"], &manifest["labels"]["en"]] {
        let file = site.join(named).join(file.as_str().unwrap());
        assert!(file.is_file(), "{when}: {file:?} of model.json");
    }
    let worker = fs::read_to_string(site.join("sw.js")).unwrap();
    let list = worker
        .strip_prefix("self.site = ")
        .unwrap()
        .split(";\n")
        .next()
        .unwrap();
    let list: Value = serde_json::from_str(list).unwrap();
    for file in list["files"].as_object().unwrap().keys() {
        assert!(site.join(file).is_file(), "{when}: {file} of sw.js");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn killed_at_any_moment_it_leaves_the_old_site_or_the_new_one() {
    end_at_every_call("beside", "KILL");
}

#[cfg(target_os = "linux")]
#[test]
fn interrupted_at_any_moment_it_leaves_the_old_site_or_the_new_one_and_nothing_else() {
    end_at_every_call("beside", "INT");
}

/// A folder that cannot be exchanged: a shell would be left in a folder that is gone.
#[cfg(target_os = "linux")]
#[test]
fn killed_in_the_current_folder_it_leaves_no_page_that_lacks_files() {
    end_at_every_call("here", "KILL");
}

#[cfg(target_os = "linux")]
fn end_at_every_call(place: &str, signal: &str) {
    use killed::{at_every_call, snapshot};
    let folder = workplace(&format!("killed-{place}-{signal}"));
    small_model(&folder);
    // The current directory is not exchanged.
    let (here, arguments): (_, &[&str]) = match place {
        "beside" => (
            folder.clone(),
            &[
                "dist",
                "small",
                "--page",
                "page",
                "--compress",
                "none",
                "--out",
                "site",
            ],
        ),
        _ => (
            folder.join("site"),
            &[
                "dist",
                "../small",
                "--page",
                "../page",
                "--compress",
                "none",
                "--out",
                ".",
            ],
        ),
    };
    let again = || {
        let output = Command::new(env!("CARGO_BIN_EXE_whylens"))
            .args(arguments)
            .current_dir(&here)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", errors(&output));
    };
    let site = folder.join("site");
    fs::create_dir(&site).unwrap();
    again();
    fs::create_dir_all(site.join(".git/empty")).unwrap();
    fs::write(site.join("CNAME"), "example.org").unwrap();
    std::os::unix::fs::symlink("CNAME", site.join("link")).unwrap();
    let kept = folder.join("kept");
    let copy = |from: &Path, to: &Path| {
        let copied = Command::new("cp").arg("-a").args([from, to]).status();
        assert!(copied.unwrap().success());
    };
    copy(&site, &kept);
    let old = snapshot(&site);
    fs::write(folder.join("page/www/main.js"), "import './whylens.js';").unwrap();
    again();
    let new = snapshot(&site);
    assert_ne!(old, new);
    at_every_call(
        &format!("signal={signal}"),
        &here,
        arguments,
        &|| {
            // The folder itself stays: it is the current one.
            for entry in fs::read_dir(&site).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    fs::remove_dir_all(path)
                } else {
                    fs::remove_file(path)
                }
                .unwrap();
            }
            copy(&kept.join("."), &site);
        },
        &|when, ended| {
            let found = snapshot(&site);
            match place {
                "beside" => assert!(found == old || found == new, "{when}: {:?}", found.keys()),
                _ => assert_refers_to_what_is_there(&site, when),
            }
            if signal == "INT" {
                let code = ended.status.code();
                assert!(matches!(code, Some(0 | 130) | None), "{when}: {ended:?}");
                assert_tidy(&folder);
            }
            again();
            let mut found = snapshot(&site);
            if place == "here" {
                // If it ends between a file and its folder, it leaves an empty folder, which might be
                // anybody's.
                found.retain(|path, (what, _)| {
                    new.contains_key(path) || !what.starts_with("folder")
                });
            }
            let names: Vec<_> = found.keys().collect();
            assert!(found == new, "{when}, then again: {names:?}");
            assert_tidy(&folder);
            assert_tidy(&site);
        },
    );
}

#[test]
fn a_site_within_the_page_is_refused() {
    let folder = workplace("within");
    let page = folder.join("page");
    let output = Command::new(env!("CARGO_BIN_EXE_whylens"))
        .args(["dist", "--compress", "none", MODEL, "--page"])
        .arg(&page)
        .arg("--out")
        .arg(page.join("www/new/site"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    let told = errors(&output);
    assert!(
        told.contains("bad-option") && told.contains("contain itself"),
        "{told}"
    );
    assert!(!page.join("www/new").exists());
}
