//! `whylens new` and `whylens build` as an owner runs them.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MODEL: &str = "tests/golden/heads/logits.onnx";
const LOGO: &str =
    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 8 8\"><path d=\"M0 0h8v8z\"/></svg>";

/// A folder with a copy of the page, whose modules are stand-ins, and labels.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("new-{name}"));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(folder.join("page/www/pkg")).unwrap();
        fs::write(folder.join("page/www/pkg/whylens_bg.wasm"), "\0asm").unwrap();
        fs::copy("index.html", folder.join("page/index.html")).unwrap();
        for name in ["page", "icons", "samples"] {
            copy(
                &Path::new("www").join(name),
                &folder.join("page/www").join(name),
            );
        }
        for name in ["sw.js", "manifest.webmanifest", "whylens.js"] {
            fs::copy(format!("www/{name}"), folder.join("page/www").join(name)).unwrap();
        }
        fs::write(folder.join("labels.txt"), "a\nb\nc\nd\ne\n").unwrap();
        Place(folder)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_whylens"))
            .args(arguments)
            .args(["--page", "page", "--compress", "none"])
            .current_dir(&self.0)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn done(&self, arguments: &[&str]) -> (String, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.run(arguments);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, error) = (text(stdout), text(stderr));
        assert!(status.success(), "{out}{error}");
        (out, error)
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], said: &str) {
        let Output { status, stderr, .. } = self.run(arguments);
        let error = String::from_utf8(stderr).unwrap();
        assert!(!status.success(), "{error}");
        assert!(error.contains(said), "{error}");
    }

    /// `clinic/` made from an ONNX file.
    #[track_caller]
    fn made(&self) -> String {
        let model = fs::canonicalize(MODEL).unwrap();
        let options = ["--labels", "labels.txt", "--title", "Skin check"];
        let model = model.to_str().unwrap();
        self.done(&[&["new", "clinic", model], &options[..]].concat())
            .0
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap()
    }

    /// A file of the built site within its folder that is named by content.
    fn built(&self, path: &str) -> Vec<u8> {
        let site = self.0.join("clinic/site");
        let mut entries = fs::read_dir(site).unwrap().map(Result::unwrap);
        let named = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("www.");
        let www = entries.find(named).unwrap();
        fs::read(www.path().join(path)).unwrap()
    }

    fn edit(&self, from: &str, to: &str) {
        let text = self.read("clinic/site.toml");
        assert!(text.contains(from), "{from}: {text}");
        fs::write(self.0.join("clinic/site.toml"), text.replace(from, to)).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_model_becomes_a_folder_to_change_and_a_site() {
    let place = Place::new("made");
    let said = place.made();
    assert!(said.contains("5 classes"), "{said}");
    assert!(said.contains("whylens serve clinic/site"), "{said}");
    assert_eq!(
        place.read("clinic/models/logits/labels.txt"),
        "a\nb\nc\nd\ne\n"
    );
    assert!(place.read("clinic/README.md").starts_with("# Skin check\n"));
    let toml = place.read("clinic/site.toml");
    assert!(toml.contains("title = \"Skin check\"\n"), "{toml}");
    assert!(toml.contains("models = [\"models/logits\"]\n"), "{toml}");
    let html = place.read("clinic/site/index.html");
    assert!(html.contains("<title>Skin check</title>"), "{html}");
    assert!(html.contains("data-models=\"models/logits/\""), "{html}");
    let shown = html
        .replace("-whylens", "")
        .replace("whylens.js", "")
        .replace("whylens_bg.wasm", "")
        .replace("trusted-types whylens", "");
    assert!(!shown.to_lowercase().contains("whylens"), "{html}");
    assert!(
        place
            .read("clinic/site/sw.js")
            .contains("<title>Skin check</title>")
    );
    for name in ["site.toml", "README.md"] {
        assert!(!place.0.join("clinic/site").join(name).exists(), "{name}");
    }
}

#[test]
fn what_the_owner_changed_is_in_the_next_site_and_stays() {
    let place = Place::new("changed");
    place.made();
    fs::write(place.0.join("clinic/logo.svg"), LOGO).unwrap();
    fs::create_dir(place.0.join("clinic/samples")).unwrap();
    fs::copy(
        "www/samples/coffee.jpg",
        place.0.join("clinic/samples/Left_hand.jpg"),
    )
    .unwrap();
    for (from, to) in [
        (
            "\"Skin check\"",
            "{ en = \"Skin <check>\", vi = \"Khám da\" }",
        ),
        ("# logo =", "logo ="),
        (
            "# disclaimer = \"This is no diagnosis. Ask a doctor.\"",
            "disclaimer = { en = \"No diagnosis.\", vi = \"Không phải chẩn đoán.\" }",
        ),
        ("# accent = \"#0f6674\"", "accent = \"#ffcc00\""),
        ("# background =", "background ="),
        (
            "# languages = [\"en\", \"vi\"]",
            "languages = [\"vi\", \"en\"]",
        ),
        ("samples/Left hand.jpg", "samples/Left_hand.jpg"),
        ("# samples =", "samples ="),
        ("# closed =", "closed ="),
        ("# footer =", "footer ="),
    ] {
        place.edit(from, to);
    }
    let written = place.read("clinic/site.toml");
    fs::write(place.0.join("clinic/notes.txt"), "mine").unwrap();
    let (_, told) = place.done(&["build", "clinic", "--no-minify"]);
    assert!(
        told.contains("colours.accent #ffcc00 could hardly be read"),
        "{told}"
    );
    assert_eq!(place.read("clinic/site.toml"), written);
    assert_eq!(place.read("clinic/notes.txt"), "mine");
    let html = place.read("clinic/site/index.html");
    assert!(
        html.contains("<html lang=\"vi\">") && html.contains("<title>Khám da</title>"),
        "{html}"
    );
    assert!(
        html.contains("data-closed") && !html.contains("connect-src 'self' https:"),
        "{html}"
    );
    assert!(
        html.contains("content=\"#ffffff\" media=\"(prefers-color-scheme: light)\""),
        "{html}"
    );
    let text = |path: &str| String::from_utf8(place.built(path)).unwrap();
    let said = text("page/site.js");
    let json = said
        .split_once("site = ")
        .unwrap()
        .1
        .trim_end()
        .trim_end_matches(';');
    let said: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(said["said"][0]["code"], "vi");
    assert_eq!(said["said"][1]["title"], "Skin <check>");
    assert_eq!(said["said"][0]["disclaimer"], "Không phải chẩn đoán.");
    assert_eq!(
        said["samples"],
        serde_json::json!([{ "name": "Left hand", "file": "0.jpg" }])
    );
    assert_eq!(said["file"], "khám-da");
    assert_eq!(place.built("icons/logo.svg"), LOGO.as_bytes());
    assert_eq!(
        place.built("samples/0.jpg"),
        fs::read("www/samples/coffee.jpg").unwrap()
    );
    let manifest: serde_json::Value = serde_json::from_str(&text("manifest.webmanifest")).unwrap();
    assert_eq!(
        (&manifest["name"], &manifest["lang"]),
        (&"Khám da".into(), &"vi".into())
    );
    assert_eq!(manifest["icons"][0]["src"], "icons/logo.svg");
    let icon = image::load_from_memory(&place.built("icons/icon-192.png"))
        .unwrap()
        .into_rgba8();
    assert_eq!(icon.dimensions(), (192, 192));
    assert_eq!(
        (icon.get_pixel(2, 2).0, icon.get_pixel(120, 80).0),
        ([255; 4], [0, 0, 0, 255])
    );
    let styles = text("page/page.css");
    assert!(
        styles.trim_end().ends_with('}') && styles.contains("--ground: light-dark(#ffffff,"),
        "{styles}"
    );
}

#[test]
fn a_mistake_is_named_and_the_site_stays_as_it_was() {
    let place = Place::new("mistakes");
    place.made();
    let before = place.read("clinic/site/integrity.json");
    let good = place.read("clinic/site.toml");
    fs::write(
        place.0.join("clinic/bad.svg"),
        LOGO.replace("<path", "<script/><path"),
    )
    .unwrap();
    for (from, to, said) in [
        (
            "# logo = \"logo.svg\"",
            "logo = \"bad.svg\"",
            "bad-option: site.toml: the logo bad.svg has <script>",
        ),
        ("# logo = \"logo.svg\"", "logo = \"none.svg\"", "none.svg"),
        (
            "# logo = \"logo.svg\"",
            "lgoo = \"logo.svg\"",
            "no key `lgoo`; did you mean `logo`?",
        ),
        (
            "title = \"Skin check\"",
            "title = Skin check",
            "site.toml: TOML parse error at line 6",
        ),
        (
            "title = \"Skin check\"",
            "title = { en = \"A\", fr = \"B\" }",
            "a text in `fr`",
        ),
        (
            "# languages = [\"en\", \"vi\"]",
            "languages = [\"de\"]",
            "`languages` names de; the page has en, vi",
        ),
        (
            "# accent = \"#0f6674\"",
            "accent = \"petrol\"",
            "colours.accent is `petrol`",
        ),
        (
            "# background = \"#ffffff\"",
            "background = \"#222\"",
            "too dark",
        ),
        (
            "# memory-limit = \"800MB\"",
            "memory-limit = \"lots\"",
            "memory-limit",
        ),
        ("\"models/logits\"", "\"models/other\"", "models/other"),
        (
            "# samples = [\"samples/Left hand.jpg\"]",
            "samples = [\"site.toml\"]",
            "the sample site.toml is not a JPEG",
        ),
    ] {
        fs::write(place.0.join("clinic/site.toml"), &good).unwrap();
        place.edit(from, to);
        place.refused(&["build", "clinic"], said);
        assert_eq!(place.read("clinic/site/integrity.json"), before, "{to}");
    }
    place.refused(&["build", "elsewhere"], "there is no elsewhere/site.toml");
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let place = Place::new("taken");
    place.made();
    let toml = place.read("clinic/site.toml");
    place.refused(
        &["new", "clinic", "x.onnx"],
        "clinic is a site already: change clinic/site.toml, then run `whylens build clinic`",
    );
    fs::create_dir(place.0.join("full")).unwrap();
    fs::write(place.0.join("full/a"), "").unwrap();
    place.refused(
        &["new", "full", "x.onnx"],
        "full holds files; name a new folder",
    );
    place.refused(
        &["new", "clinic/models/logits", "x.onnx"],
        "name the folder to make first",
    );
    assert_eq!(place.read("clinic/site.toml"), toml);
    // What is missing is said before anything is made.
    let model = fs::canonicalize(MODEL).unwrap();
    fs::remove_file(place.0.join("labels.txt")).unwrap();
    place.refused(
        &["new", "other", model.to_str().unwrap()],
        "give them by --labels FILE",
    );
    assert!(!place.0.join("other").exists());
}

#[test]
fn model_folders_are_copied_whole_and_keep_their_order() {
    let place = Place::new("copied");
    place.made();
    let packed = fs::canonicalize("models/efficientnet-lite0").unwrap();
    let packed = packed.to_str().unwrap();
    place.done(&[
        "new",
        "two",
        packed,
        "clinic/models/logits",
        "clinic/models/logits",
    ]);
    let toml = place.read("two/site.toml");
    let models = "models = [\"models/efficientnet-lite0\",\"models/logits\",\"models/logits-2\"]";
    assert!(
        toml.contains(models) && toml.contains("title = \"EfficientNet-Lite0\""),
        "{toml}"
    );
    for name in ["model.json", "model.onnx", "labels.txt", "LICENSE"] {
        let file = format!("two/models/efficientnet-lite0/{name}");
        assert_eq!(
            fs::read(place.0.join(file)).unwrap(),
            fs::read(format!("{packed}/{name}")).unwrap()
        );
    }
    place.refused(
        &["new", "three", packed, "--name", "Mine"],
        "is a model folder, described by its model.json",
    );
}
