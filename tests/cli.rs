//! The command-line tool as a user runs it.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

const MODEL: &str = "models/efficientnet-lite0";

fn whylens(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whylens"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

#[track_caller]
fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn json_has_the_fields_of_the_javascript_result() {
    let output = whylens(&[
        "classify",
        MODEL,
        "tests/photos/coffee.png",
        "--json",
        "--top-k",
        "3",
    ]);
    assert!(output.status.success(), "{}", errors(&output));
    let [result] = &lines(&output)[..] else {
        panic!("expected one line")
    };
    assert_eq!(result["file"], "tests/photos/coffee.png");
    assert_eq!(
        result["image"],
        serde_json::json!({ "width": 600, "height": 400 })
    );
    let best = &result["predictions"][0];
    assert_eq!(
        (best["label"].as_str(), best["index"].as_u64()),
        (Some("espresso"), Some(967))
    );
    assert!((best["probability"].as_f64().unwrap() - 0.9517).abs() < 0.01);
    assert!(best["score"].as_f64().unwrap() > 5.0);
    assert_eq!(result["predictions"].as_array().unwrap().len(), 3);
    let heatmap = &result["heatmap"];
    assert_eq!(
        (heatmap["classIndex"].as_u64(), heatmap["method"].as_str()),
        (Some(967), Some("gradcam"))
    );
    assert_eq!(heatmap["values"].as_array().unwrap().len(), 49);
    assert_eq!(heatmap["region"]["width"], 350.0);
    for stage in ["decode", "preprocess", "inference", "heatmap", "total"] {
        assert!(result["timing"][stage].is_f64(), "{stage}");
    }
}

#[test]
fn a_heatmap_is_checked_in_text_json_and_csv() {
    let photo = "tests/photos/chelsea.png";
    let checked = |more: &[&str]| {
        let check = [
            "--check=4",
            "--orders",
            "3",
            "--fill",
            "linear",
            "--seed",
            "2",
        ];
        whylens(&[&["classify", MODEL, photo][..], &check, more].concat())
    };
    let output = checked(&["--json"]);
    assert!(output.status.success(), "{}", errors(&output));
    let check = &lines(&output)[0]["check"];
    for (curve, points) in [
        ("shares", 5),
        ("deletion", 5),
        ("insertion", 5),
        ("random", 3),
    ] {
        assert_eq!(check[curve].as_array().unwrap().len(), points, "{curve}");
    }
    let stability = &lines(&output)[0]["stability"];
    assert_eq!(stability["variants"].as_array().unwrap().len(), 6);
    let correlation = stability["correlation"].as_f64().unwrap();
    let output = checked(&["--json", "--smooth"]);
    assert!(lines(&output)[0]["stability"].is_null(), "of ten maps");
    let area = check["deletionArea"].as_f64().unwrap();
    let verdict = check["verdict"].as_str().unwrap().to_string();
    let table = String::from_utf8(checked(&["--csv", "--top-k", "1"]).stdout).unwrap();
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let names = rows.headers().unwrap().clone();
    let row = rows.records().next().unwrap().unwrap();
    let cell = |name: &str| row[names.iter().position(|n| n == name).unwrap()].to_string();
    assert_eq!(cell("check"), verdict);
    assert!((cell("deletion_area").parse::<f64>().unwrap() - area).abs() < 1e-6);
    let [least, most] =
        ["random_area_least", "random_area_most"].map(|name| cell(name).parse::<f64>().unwrap());
    assert!(least <= most);
    let text = String::from_utf8(checked(&[]).stdout).unwrap();
    assert!(
        text.contains("check: ") && text.contains(&format!("deletion {area:.3}")),
        "{text}"
    );
    assert!(
        text.contains(&format!("(lowest correlation {correlation:.2})")),
        "{text}"
    );
}

#[test]
fn a_check_that_cannot_be_made_is_refused_before_a_photo() {
    for options in [
        &["--check=0"][..],
        &["--check=1001"],
        &["--check", "--orders", "1"],
        &["--check", "--sign", "against"],
    ] {
        let output =
            whylens(&[&["classify", MODEL, "tests/photos/coffee.png"][..], options].concat());
        let told = errors(&output);
        assert_eq!(output.status.code(), Some(1), "{options:?}: {told}");
        assert!(told.contains("bad-option: "), "{options:?}: {told}");
    }
    let output = whylens(&[
        "classify",
        MODEL,
        "tests/photos/coffee.png",
        "--orders",
        "3",
    ]);
    assert_eq!(output.status.code(), Some(2), "orders of no check");
}

#[test]
fn a_class_is_named_by_its_label() {
    let class = ["--class", "Egyptian Cat", "--json"];
    let output = whylens(&[&["classify", MODEL, "tests/photos/chelsea.png"][..], &class].concat());
    assert_eq!(lines(&output)[0]["heatmap"]["classIndex"], 285);
    let output = whylens(&[
        "classify",
        MODEL,
        "tests/photos/chelsea.png",
        "--class",
        "unicorn",
    ]);
    assert!(!output.status.success());
    assert!(
        errors(&output).contains("no class is labelled `unicorn`"),
        "{}",
        errors(&output)
    );
}

#[test]
fn the_limit_of_pixels_can_be_changed() {
    let few = ["--max-pixels", "100000"];
    let output = whylens(&[&["classify", MODEL, "tests/photos/coffee.png"][..], &few].concat());
    assert!(!output.status.success());
    let text = errors(&output);
    assert!(
        text.contains("raise `maxPixels` [image-too-large]"),
        "{text}"
    );
    let many = ["--max-pixels", "240000"];
    let output = whylens(&[&["classify", MODEL, "tests/photos/coffee.png"][..], &many].concat());
    assert!(output.status.success(), "{}", errors(&output));
}

#[test]
fn a_tiff_of_tiles_and_planes_is_read_and_the_next_photo_too() {
    let tiff = "tests/golden/photos/tiff-tiled-planar-16.tif";
    let output = whylens(&["classify", MODEL, tiff, "tests/photos/coffee.png"]);
    assert!(output.status.success(), "{}", errors(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(tiff) && text.contains("espresso"), "{text}");
}

#[test]
fn a_bad_photo_is_reported_and_the_next_one_classified() {
    let folder = folder("bad");
    let photo = fs::read("tests/photos/rocket.jpg").unwrap();
    let bad: [(&str, &[u8], &str); 3] = [
        ("empty.jpg", b"", "image-format"),
        (
            "text.jpg",
            b"no picture at all, but a text\n",
            "image-format",
        ),
        ("cut.jpg", &photo[..photo.len() / 2], "image-corrupt"),
    ];
    for (name, bytes, code) in bad {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        let output = whylens(&[
            "classify",
            MODEL,
            path.to_str().unwrap(),
            "tests/photos/coffee.png",
            "--json",
        ]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let lines = lines(&output);
        assert_eq!(
            lines[0]["error"]["code"],
            code,
            "{name}: {}",
            errors(&output)
        );
        assert_eq!(lines[1]["predictions"][0]["label"], "espresso");
    }
}

#[test]
fn heatmaps_are_written_one_a_photo() {
    let folder = folder("heatmaps");
    let out = folder.join("map.png");
    let photos = ["tests/photos/coffee.png", "tests/photos/chelsea.png"];
    let output = whylens(
        &[
            &["classify", MODEL][..],
            &photos,
            &["--heatmap", out.to_str().unwrap()],
        ]
        .concat(),
    );
    assert!(output.status.success(), "{}", errors(&output));
    for (photo, written) in photos.iter().zip(["map-coffee.png", "map-chelsea.png"]) {
        let (before, after) = (
            image::open(photo).unwrap().into_rgb8(),
            image::open(folder.join(written)).unwrap(),
        );
        assert_eq!(before.dimensions(), (after.width(), after.height()));
        assert_ne!(before, after.into_rgb8());
    }
}

#[test]
fn a_tensor_goes_in_and_all_scores_come_out() {
    let folder = folder("tensor");
    let (tensor, logits) = (folder.join("in.npy"), folder.join("out.npy"));
    let values = vec![0.25f32; 3 * 224 * 224];
    let mut bytes = Vec::new();
    {
        use npyz::WriterBuilder;
        let shape = [1, 3, 224, 224];
        let mut writer = npyz::WriteOptions::new()
            .default_dtype()
            .shape(&shape)
            .writer(&mut bytes)
            .begin_nd()
            .unwrap();
        writer.extend(values.iter().copied()).unwrap();
        writer.finish().unwrap();
    }
    fs::write(&tensor, &bytes).unwrap();
    let (tensor, logits) = (tensor.to_str().unwrap(), logits.to_str().unwrap());
    let output = whylens(&[
        "classify", MODEL, "--tensor", tensor, "--logits", logits, "--json",
    ]);
    assert!(output.status.success(), "{}", errors(&output));
    let scores: Vec<f32> = npyz::NpyFile::new(fs::File::open(logits).unwrap())
        .unwrap()
        .into_vec()
        .unwrap();
    assert_eq!(scores.len(), 1000);
    let best = &lines(&output)[0]["predictions"][0];
    assert_eq!(
        scores[best["index"].as_u64().unwrap() as usize],
        best["score"].as_f64().unwrap() as f32
    );

    fs::write(folder.join("in.npy"), &bytes[..bytes.len() - 9]).unwrap();
    let output = whylens(&["classify", MODEL, "--tensor", tensor]);
    assert!(
        errors(&output).contains("[bad-option]"),
        "{}",
        errors(&output)
    );
}

#[test]
fn features_are_one_row_a_photo() {
    let out = folder("features").join("out.npy");
    let out = out.to_str().unwrap();
    let photos = [
        "tests/photos/coffee.png",
        "Cargo.toml",
        "tests/photos/chelsea.png",
    ];
    let output = whylens(&[&["classify", MODEL], &photos[..], &["--features", out]].concat());
    assert!(!output.status.success(), "one of them is no photo");
    let file = npyz::NpyFile::new(fs::File::open(out).unwrap()).unwrap();
    assert_eq!(file.shape(), [3, 1280]);
    let values: Vec<f32> = file.into_vec().unwrap();
    let rows: Vec<&[f32]> = values.chunks_exact(1280).collect();
    assert!(rows[1].iter().all(|value| value.is_nan()));
    assert!(
        [rows[0], rows[2]]
            .concat()
            .iter()
            .all(|value| *value >= 0.0)
    );
    assert!(rows[0] != rows[2]);
    let model = format!("{MODEL}/model.onnx");
    let output = whylens(&["classify", MODEL, photos[0], "--features", &model]);
    assert!(
        errors(&output).contains("would overwrite"),
        "{}",
        errors(&output)
    );
}

#[test]
fn methods_that_run_the_network_take_their_numbers() {
    let photo = "tests/photos/coffee.png";
    for (options, size) in [
        (&["--method", "occlusion", "--grid", "3"][..], 3),
        (&["--method", "rise", "--grid", "4", "--masks", "2"], 224),
        (&["--method", "integratedgradients", "--steps", "2"], 224),
        (&["--method", "gradcam", "--smooth"], 7),
    ] {
        let output = whylens(&[&["classify", MODEL, photo, "--json"], options].concat());
        assert!(output.status.success(), "{options:?}: {}", errors(&output));
        let heatmap = &lines(&output)[0]["heatmap"];
        assert_eq!(heatmap["width"], size, "{options:?}");
        assert!(heatmap["max"].as_f64().unwrap() > 0.0, "{options:?}");
    }
    for options in [["--grid", "1"], ["--masks", "5"]] {
        let query = ["classify", MODEL, photo, "--method", "occlusion"];
        let output = whylens(&[&query[..], &options].concat());
        assert!(
            errors(&output).contains("[bad-option]"),
            "{}",
            errors(&output)
        );
    }
}

#[test]
fn a_damaged_model_is_refused_by_its_digest() {
    let folder = folder("damaged");
    for name in ["model.json", "labels.txt", "model.onnx"] {
        fs::copy(PathBuf::from(MODEL).join(name), folder.join(name)).unwrap();
    }
    let path = folder.join("model.onnx");
    let mut bytes = fs::read(&path).unwrap();
    bytes[5_000_000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let run = || {
        errors(&whylens(&[
            "classify",
            folder.to_str().unwrap(),
            "tests/photos/coffee.png",
        ]))
    };
    assert!(run().contains("integrity"), "{}", run());
    fs::write(&path, &bytes[..1_000_000]).unwrap();
    assert!(run().contains("truncated"), "{}", run());
}

#[test]
fn an_onnx_file_is_packed_and_the_folder_classifies() {
    let out = folder("packed");
    let out = out.to_str().unwrap();
    let labels = format!("{out}/labels.in");
    fs::write(
        &labels,
        (0..10).map(|i| format!("class {i}\n")).collect::<String>(),
    )
    .unwrap();
    let packed = |model: &str, more: &[&str]| {
        let model = format!("tests/golden/models/{model}.onnx");
        whylens(&[&["pack", &model, "--labels", &labels, "--out", out], more].concat())
    };
    for model in [
        "keras-mobilenet-v2",
        "resnet-fp16",
        "vit",
        "convnext-dynamo",
        "grey-multilabel",
    ] {
        let output = packed(model, &["--license", "MIT"]);
        assert!(output.status.success(), "{model}: {}", errors(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // Random weights that FP16 cannot represent.
        let single = model.starts_with("keras");
        assert_eq!(text.contains("precision   FP32"), single, "{model}: {text}");
        assert!(text.contains("the same first class"), "{model}: {text}");
        let output = whylens(&["classify", out, "tests/photos/coffee.png", "--json"]);
        assert!(output.status.success(), "{model}: {}", errors(&output));
        let result = &lines(&output)[0];
        assert!(result["heatmap"]["values"].is_array(), "{model}: {result}");
        assert_eq!(result["predictions"].as_array().unwrap().len(), 5);
    }
    let output = packed("keras-mobilenet-v2", &["--precision", "fp16"]);
    assert!(output.status.success(), "{}", errors(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("precision   FP32 for "), "{text}");
    let output = packed("resnet", &["--mean", "1,2"]);
    assert!(
        errors(&output).contains("bad-option"),
        "{}",
        errors(&output)
    );
    fs::write(&labels, "only one\n").unwrap();
    let output = packed("resnet", &[]);
    assert!(
        errors(&output).contains("1 labels for 10 classes"),
        "{}",
        errors(&output)
    );
}

#[test]
fn inspect_tells_what_a_model_holds() {
    let output = whylens(&["inspect", "tests/golden/models/vit.onnx"]);
    assert!(output.status.success(), "{}", errors(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "input       `input` 1×3×32×32",
        "MatMul",
        "yes: 10 classes",
        "` 24×4×4, 7 products behind it",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let output = whylens(&["inspect", "tests/golden/heads/voted.onnx"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("by eigencam, scorecam, ablationcam, occlusion and rise only: "),
        "{text}"
    );
    let output = whylens(&["inspect", MODEL]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("at `features`"));
    let output = whylens(&["inspect", "Cargo.toml"]);
    assert!(
        errors(&output).contains("not-a-model"),
        "{}",
        errors(&output)
    );
}

/// A model folder of a graph of `tests/golden/heads`, packed with these options.
fn packed_head(name: &str, classes: usize, options: &[&str]) -> (String, Output) {
    let out = folder(&format!("head-{name}"));
    let labels = out.join("labels.in");
    let text: String = (0..classes).map(|i| format!("class {i}\n")).collect();
    fs::write(&labels, text).unwrap();
    let model = format!("tests/golden/heads/{name}.onnx");
    let out = out.to_str().unwrap().to_string();
    let files = [
        "pack",
        &model,
        "--labels",
        labels.to_str().unwrap(),
        "--out",
        &out,
    ];
    let output = whylens(&[&files[..], options].concat());
    (out, output)
}

#[test]
fn predictions_are_given_where_there_is_no_gradient() {
    let photo = "tests/photos/coffee.png";
    for (name, method) in [
        ("voted", "eigencam"),
        ("rounded", "eigencam"),
        ("flat", "occlusion"),
    ] {
        let (model, packed) = packed_head(name, 5, &[]);
        assert!(packed.status.success(), "{name}: {}", errors(&packed));
        let output = whylens(&["classify", &model, photo]);
        assert!(output.status.success(), "{name}: {}", errors(&output));
        assert_eq!(errors(&output), "", "{name}: no heatmap is asked for");
        let output = whylens(&["classify", &model, photo, "--json"]);
        assert!(output.status.success(), "{name}: {}", errors(&output));
        let result = &lines(&output)[0];
        assert_eq!(result["predictions"].as_array().unwrap().len(), 5);
        assert_eq!(result["heatmap"]["method"], method, "{name}");
        let said = format!("heatmaps are made by {method}: ");
        assert!(
            errors(&output).contains(&said),
            "{name}: {}",
            errors(&output)
        );
        assert!(
            !errors(&output).contains("bad-option"),
            "{name}: {}",
            errors(&output)
        );
        // A method requested by name fails; the predictions still come.
        let output = whylens(&["classify", &model, photo, "--method", "gradcam", "--json"]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let result = &lines(&output)[0];
        assert_eq!(result["predictions"].as_array().unwrap().len(), 5);
        assert_eq!(result["heatmap"], serde_json::Value::Null);
        assert!(
            result["noHeatmap"]["code"]
                .as_str()
                .unwrap()
                .starts_with("unsupported-")
        );
        assert!(
            errors(&output).contains("no heatmap: "),
            "{name}: {}",
            errors(&output)
        );
    }
}

#[test]
fn a_heatmap_that_cannot_be_written_leaves_the_predictions() {
    let nowhere = ["--heatmap", "no/such/folder/map.png"];
    let output = whylens(
        &[
            &["classify", MODEL, "tests/photos/coffee.png"][..],
            &nowhere,
        ]
        .concat(),
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("espresso (967)"));
    assert!(
        errors(&output).contains("cannot write"),
        "{}",
        errors(&output)
    );
}

#[test]
fn a_region_is_classified_as_onnx_runtime_classifies_that_part() {
    let golden = fs::read("tests/golden/regions/scores.json").unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&golden).unwrap();
    let photo = format!("tests/photos/{}", golden["photo"].as_str().unwrap());
    let [x, y, width, height] = [0, 1, 2, 3].map(|at| golden["region"][at].as_f64().unwrap());
    let region = format!("{x},{y},{width},{height}");
    let output = whylens(&["classify", MODEL, &photo, "--json", "--region", &region]);
    let result = &lines(&output)[0];
    for at in 0..5 {
        let prediction = &result["predictions"][at];
        assert_eq!(prediction["index"], golden["classes"][at], "{result}");
        let [found, expected] = [&prediction["probability"], &golden["probabilities"][at]];
        let off = (found.as_f64().unwrap() - expected.as_f64().unwrap()).abs();
        assert!(off < 1e-3, "{prediction}, expected {expected}");
    }
    let told = serde_json::json!({ "x": x, "y": y, "width": width, "height": height });
    assert_eq!(result["region"], told);
    assert_eq!(
        result["image"],
        serde_json::json!({ "width": 600, "height": 400 })
    );
    // Shorter side → 256, the middle 224 of it, within the part.
    let map = &result["heatmap"]["region"];
    let side = height * 224.0 / 256.0;
    let resized = (256.0 * width / height).floor();
    let left = x + (resized - 224.0) / 2.0 * width / resized;
    for (name, expected) in [
        ("x", left),
        ("y", y + (height - side) / 2.0),
        ("height", side),
    ] {
        let off = (map[name].as_f64().unwrap() - expected).abs();
        assert!(off < 1.0, "{name} of {map}, expected {expected}");
    }
    for (wrong, said) in [
        ("500,0,200,100", "600 × 400"),
        ("-1,0,20,20", "at least one pixel"),
        ("0,0,0,0", "at least one pixel"),
    ] {
        let output = whylens(&["classify", MODEL, &photo, "--region", wrong]);
        assert_eq!(output.status.code(), Some(1), "{wrong}");
        let text = errors(&output);
        assert!(
            text.contains(said) && text.contains("[bad-option]"),
            "{text}"
        );
    }
    for wrong in ["1,2,3", "1,2,3,4,5", "a,b,c,d", ""] {
        let output = whylens(&["classify", MODEL, &photo, "--region", wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(
            errors(&output).contains("four numbers"),
            "{}",
            errors(&output)
        );
    }
}

#[test]
fn scores_that_are_no_probabilities_have_no_threshold() {
    let (model, packed) = packed_head("logits", 5, &["--activation", "none"]);
    assert!(packed.status.success(), "{}", errors(&packed));
    let photo = "tests/photos/coffee.png";
    let all = whylens(&["classify", &model, photo]);
    let above = whylens(&["classify", &model, photo, "--threshold", "0.5"]);
    let text = String::from_utf8_lossy(&all.stdout).into_owned();
    assert!(text.contains(" -"), "no negative score in {text}");
    assert_eq!(text.lines().count(), 6, "{text}");
    assert_eq!(String::from_utf8_lossy(&above.stdout), text);
    assert!(
        errors(&above).contains("no probabilities"),
        "{}",
        errors(&above)
    );
}

#[test]
fn probabilities_are_told_from_scores() {
    let photo = "tests/photos/coffee.png";
    let text = |model: &str| {
        let output = whylens(&["classify", model, photo]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (name, classes, options, activation, percent) in [
        ("softmax", 5, &[][..], "softmax", true),
        ("sigmoid", 5, &[], "sigmoid", true),
        ("log-softmax", 5, &[], "softmax", true),
        ("one-logit", 1, &[], "sigmoid", true),
        ("logits", 5, &["--activation", "none"], "none", false),
    ] {
        let (model, packed) = packed_head(name, classes, options);
        assert!(packed.status.success(), "{name}: {}", errors(&packed));
        let said = String::from_utf8_lossy(&packed.stdout).into_owned();
        assert!(said.contains("output      "), "{name}: {said}");
        let output = whylens(&["classify", &model, photo, "--json"]);
        assert_eq!(
            lines(&output)[0]["model"]["activation"],
            activation,
            "{name}"
        );
        assert_eq!(
            text(&model).contains(" %  "),
            percent,
            "{name}: {}",
            text(&model)
        );
        // One score that a sigmoid reads is that of two classes.
        let shown = if classes == 1 { 2 } else { classes };
        assert_eq!(
            text(&model).lines().count(),
            shown + 1,
            "{name}: {}",
            text(&model)
        );
    }
    let number = ["--activation", "none", "--unit", "years"];
    let (model, packed) = packed_head("one-logit", 1, &number);
    let said = String::from_utf8_lossy(&packed.stdout).into_owned();
    assert!(said.contains("output      years, no"), "{said}");
    let said = text(&model);
    assert!(said.contains(" years  class 0 (0)"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    let of = |sign: &str| {
        let output = whylens(&["classify", &model, photo, "--json", "--sign", sign]);
        lines(&output)[0]["heatmap"].clone()
    };
    let (raises, lowers) = (of("for"), of("against"));
    assert_eq!(
        (&raises["sign"], &lowers["sign"]),
        (&"for".into(), &"against".into())
    );
    assert_ne!(raises["values"], lowers["values"]);
    let (_, output) = packed_head("one-logit", 1, &["--activation", "softmax"]);
    assert!(
        errors(&output).contains("bad-option"),
        "{}",
        errors(&output)
    );
}

#[test]
fn what_no_class_is_probable_enough_for_is_not_recognised() {
    let photo = "tests/photos/coffee.png";
    let out = folder("recognised");
    let labels = out.join("labels.in");
    fs::write(&labels, "a\nb\nc\nd\ne\n").unwrap();
    let (out, labels) = (out.to_str().unwrap(), labels.to_str().unwrap());
    let pack = |options: &[&str]| {
        let model = "tests/golden/heads/logits.onnx";
        whylens(&[&["pack", model, "--labels", labels, "--out", out], options].concat())
    };
    let said = |more: &[&str]| {
        let output = whylens(&[&["classify", out, photo], more].concat());
        assert!(output.status.success(), "{}", errors(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let json = || serde_json::from_str::<serde_json::Value>(&said(&["--json"])).unwrap();
    assert!(pack(&[]).status.success());
    let best = json()["predictions"][0]["probability"].as_f64().unwrap();
    assert_eq!(json()["recognised"], true);
    let sentence = ["--not-recognised", "No bird in this photo."];
    for (threshold, recognised) in [(best - 1e-3, true), (best + 1e-3, false)] {
        let threshold = threshold.to_string();
        let output = pack(&[&["--threshold", &threshold][..], &sentence].concat());
        assert!(output.status.success(), "{}", errors(&output));
        assert_eq!(json()["recognised"], recognised);
        assert_eq!(json()["notRecognised"].is_string(), !recognised);
        assert_eq!(json()["predictions"].as_array().unwrap().len(), 5);
        assert_eq!(
            said(&[]).contains("\nNo bird in this photo.\n"),
            !recognised
        );
    }
    // Another pass keeps both, and languages are chosen as those of labels are.
    assert!(whylens(&["pack", out]).status.success());
    assert!(said(&[]).contains("No bird in this photo."));
    let file = format!("{out}/model.json");
    let text = fs::read_to_string(&file).unwrap();
    let languages = r#"{ "en": "No bird.", "vi": "Không có chim." }"#;
    fs::write(
        &file,
        text.replace(r#""No bird in this photo.""#, languages),
    )
    .unwrap();
    assert!(said(&[]).contains("No bird."));
    assert!(pack(&["--threshold", "0.99"]).status.success());
    assert!(said(&[]).contains("not recognised: no class reaches the threshold"));
    for (options, part) in [
        (&sentence[..], "--threshold"),
        (&["--threshold", "1.5"], "expected 0 to 1"),
        (
            &["--threshold", "0.5", "--activation", "none"],
            "bad-option",
        ),
    ] {
        assert!(
            errors(&pack(options)).contains(part),
            "{}",
            errors(&pack(options))
        );
    }
}

#[test]
fn presets_and_shares_stand_for_numbers() {
    let out = folder("presets");
    let labels = out.join("labels.in");
    fs::write(&labels, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n").unwrap();
    let (out, labels) = (out.to_str().unwrap(), labels.to_str().unwrap());
    let pack = |model: &str, options: &[&str]| {
        let model = format!("tests/golden/models/{model}.onnx");
        whylens(&[&["pack", &model, "--labels", labels, "--out", out], options].concat())
    };
    let input = |model: &str, options: &[&str]| {
        let output = pack(model, options);
        assert!(output.status.success(), "{}", errors(&output));
        let json = fs::read(format!("{out}/model.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()["input"].clone()
    };
    let caffe = input("resnet", &["--preset", "caffe"]);
    assert_eq!(caffe["channels"], "bgr");
    assert_eq!(caffe["scale"], 1.0);
    assert_eq!(caffe["mean"], serde_json::json!([103.939, 116.779, 123.68]));
    let grey = input(
        "grey-multilabel",
        &["--preset", "imagenet", "--activation", "sigmoid"],
    );
    assert_eq!(grey["channels"], "grey");
    assert!(
        (grey["mean"][0].as_f64().unwrap() - 0.449).abs() < 1e-9,
        "{grey}"
    );
    // The graph takes 64 × 64: floor(64 / 0.9) = 71, floor(64 / 0.875) = 73.
    for (percent, size) in [("90", 71), ("87.5", 73), ("100", 64)] {
        let cropped = input(
            "resnet",
            &["--crop-percent", percent, "--filter", "bicubic"],
        );
        let expected =
            serde_json::json!({ "mode": "shorter-side", "size": size, "filter": "bicubic" });
        assert_eq!(cropped["resize"], expected);
    }
    for (options, part) in [
        (
            &["--preset", "coffee"][..],
            "[possible values: imagenet, clip, half, unit, keras, caffe, raw]",
        ),
        (
            &["--preset", "unit", "--mean", "0.5"],
            "cannot be used with",
        ),
        (&["--crop-percent", "5"], "expected 10 to 100"),
        (
            &["--crop-percent", "90", "--resize", "shorter-side:256"],
            "leave one of the two out",
        ),
    ] {
        assert!(
            errors(&pack("resnet", options)).contains(part),
            "{}",
            errors(&pack("resnet", options))
        );
    }
}

/// A model folder with the files of the default model, except those named.
#[cfg(unix)]
fn model_without(name: &str, without: &[&str]) -> PathBuf {
    let folder = folder(name);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    for file in ["model.json", "labels.txt", "model.onnx"] {
        if !without.contains(&file) {
            std::os::unix::fs::symlink(
                fs::canonicalize(MODEL).unwrap().join(file),
                folder.join(file),
            )
            .unwrap();
        }
    }
    folder
}

/// Runs the tool as `whylens` does, with limited memory and time.
#[cfg(unix)]
fn bounded(arguments: &[&str]) -> Output {
    Command::new("bash")
        .args([
            "-c",
            "ulimit -v 2000000; exec timeout --signal=KILL 120 \"$@\"",
            "bash",
        ])
        .arg(env!("CARGO_BIN_EXE_whylens"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_not_read() {
    let pipe = folder("pipes").join("pipe");
    drop(fs::remove_file(&pipe));
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let pipe = pipe.to_str().unwrap();
    let golden = "tests/golden/heads/logits.onnx";
    for odd in [pipe, "/dev/zero"] {
        let mut commands = vec![
            vec!["classify".to_string(), MODEL.into(), odd.into()],
            vec![
                "classify".into(),
                MODEL.into(),
                "--tensor".into(),
                odd.into(),
            ],
            vec!["inspect".into(), odd.into()],
            vec![
                "pack".into(),
                golden.into(),
                "--labels".into(),
                odd.into(),
                "--out".into(),
                format!("{}-out", pipe),
            ],
            vec![
                "pack".into(),
                odd.into(),
                "--labels".into(),
                "README.md".into(),
                "--out".into(),
                format!("{}-out", pipe),
            ],
        ];
        for file in ["model.json", "labels.txt", "model.onnx"] {
            let model = model_without("odd-file", &[file]);
            std::os::unix::fs::symlink(odd, model.join(file)).unwrap();
            commands.push(vec![
                "classify".into(),
                model.to_str().unwrap().into(),
                "tests/photos/coffee.png".into(),
            ]);
            for command in &commands {
                let command: Vec<&str> = command.iter().map(String::as_str).collect();
                let output = bounded(&command);
                let told = errors(&output);
                assert_eq!(output.status.code(), Some(1), "{command:?}: {told}");
                assert!(
                    told.contains("it is a pipe or a device"),
                    "{command:?}: {told}"
                );
                assert!(
                    told.contains("io: ") || told.contains("[io]"),
                    "{command:?}: {told}"
                );
            }
            commands.clear();
        }
    }
}

#[cfg(unix)]
#[test]
fn files_larger_than_they_may_be_are_not_read() {
    let large = |path: PathBuf| {
        let file = fs::File::create(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        path.to_str().unwrap().to_string()
    };
    let photo = large(folder("large").join("photo.png"));
    for (arguments, code) in [
        (vec!["classify", MODEL, &photo], "image-too-large"),
        (vec!["classify", MODEL, "--tensor", &photo], "bad-option"),
        (vec!["inspect", &photo], "over-memory-limit"),
        (
            vec![
                "pack",
                "tests/golden/heads/logits.onnx",
                "--labels",
                &photo,
                "--out",
                "target/tmp/none",
            ],
            "bad-manifest",
        ),
    ] {
        let told = errors(&bounded(&arguments));
        assert!(told.contains(code), "{arguments:?}: {told}");
        assert!(told.contains("at most"), "{arguments:?}: {told}");
    }
    for (file, code) in [
        ("model.json", "bad-manifest"),
        ("labels.txt", "bad-manifest"),
        ("model.onnx", "integrity"),
    ] {
        let model = model_without("large-file", &[file]);
        large(model.join(file));
        let told = errors(&bounded(&[
            "classify",
            model.to_str().unwrap(),
            "tests/photos/coffee.png",
        ]));
        assert!(told.contains(&format!("{code}: ")), "{file}: {told}");
    }
}

#[cfg(unix)]
#[test]
fn weights_in_one_part_over_and_over_are_refused() {
    let model = model_without("over-and-over", &["model.json"]);
    let json = fs::read(PathBuf::from(MODEL).join("model.json")).unwrap();
    let write = |bytes: u64, count: u64, name: &dyn Fn(u64) -> String| {
        let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        json["weights"]["bytes"] = (bytes * count).into();
        json["weights"]["parts"] = (0..count)
            .map(|at| serde_json::json!({ "file": name(at), "bytes": bytes }))
            .collect();
        fs::write(model.join("model.json"), json.to_string()).unwrap();
        errors(&bounded(&[
            "classify",
            model.to_str().unwrap(),
            "tests/photos/coffee.png",
        ]))
    };
    fs::write(model.join("part"), vec![0; 800_000]).unwrap();
    let told = write(800_000, 8000, &|_| "part".into());
    assert!(
        told.contains("bad-manifest: ") && told.contains("twice"),
        "{told}"
    );
    for at in 0..8000 {
        drop(fs::remove_file(model.join(format!("part-{at}"))));
        std::os::unix::fs::symlink("part", model.join(format!("part-{at}"))).unwrap();
    }
    let told = write(800_000, 8000, &|at| format!("part-{at}"));
    assert!(told.contains("over-memory-limit: "), "{told}");
}

#[test]
fn a_model_folder_of_parts_is_read_by_every_command() {
    let folder = folder("of-parts");
    let weights = fs::read(PathBuf::from(MODEL).join("model.onnx")).unwrap();
    let json = fs::read(PathBuf::from(MODEL).join("model.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let parts = weights.chunks(weights.len().div_ceil(3)).enumerate();
    json["weights"]["parts"] = parts
        .map(|(at, part)| {
            fs::write(folder.join(format!("part-{at}")), part).unwrap();
            serde_json::json!({ "file": format!("part-{at}"), "bytes": part.len() })
        })
        .collect();
    fs::write(folder.join("model.json"), json.to_string()).unwrap();
    fs::copy(
        PathBuf::from(MODEL).join("labels.txt"),
        folder.join("labels.txt"),
    )
    .unwrap();
    let model = folder.to_str().unwrap();
    for command in [
        &["classify", model, "tests/photos/coffee.png"][..],
        &["inspect", model],
    ] {
        let output = whylens(command);
        assert!(output.status.success(), "{command:?}: {}", errors(&output));
    }
    let told = errors(&whylens(&["pack", model]));
    assert!(
        told.contains("bad-option: ") && told.contains("whylens dist"),
        "{told}"
    );
    fs::write(folder.join("part-1"), &weights[..1000]).unwrap();
    let told = errors(&whylens(&["inspect", model]));
    assert!(told.contains("truncated: part-1 has 1000 bytes"), "{told}");
}

#[cfg(unix)]
#[test]
fn what_is_packed_is_not_written_over() {
    let folder = folder("over-input");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(folder.join("own")).unwrap();
    let at = |name: &str| folder.join(name).to_str().unwrap().to_string();
    let onnx = fs::read("tests/golden/heads/logits.onnx").unwrap();
    let labels = "a\nb\nc\nd\ne\n";
    let lay = || {
        fs::write(at("own/model.onnx"), &onnx).unwrap();
        fs::write(at("own/labels.txt"), labels).unwrap();
        fs::write(at("labels"), labels).unwrap();
        fs::write(at("given.onnx"), &onnx).unwrap();
    };
    lay();
    std::os::unix::fs::symlink("own/model.onnx", at("link.onnx")).unwrap();
    fs::hard_link(at("own/model.onnx"), at("hard.onnx")).unwrap();
    std::os::unix::fs::symlink("own", at("out")).unwrap();
    for (model, labels, out) in [
        ("own/model.onnx", "labels", "own"),
        ("own/../own/./model.onnx", "labels", "own"),
        ("own/model.onnx", "labels", "out"),
        ("link.onnx", "labels", "own"),
        ("hard.onnx", "labels", "own"),
        ("given.onnx", "own/labels.txt", "out"),
    ] {
        let output = whylens(&[
            "pack",
            &at(model),
            "--labels",
            &at(labels),
            "--out",
            &at(out),
        ]);
        let told = errors(&output);
        assert!(
            !output.status.success() && told.contains("bad-option: "),
            "{model} {labels} {out}: {told}"
        );
        assert!(told.contains("--force"), "{told}");
        assert!(fs::read(at("own/model.onnx")).unwrap() == onnx);
        assert!(!folder.join("own/model.json").exists());
    }
    let output = whylens(&[
        "pack",
        &at("own/model.onnx"),
        "--labels",
        &at("own/labels.txt"),
        "--out",
        &at("own"),
        "--force",
    ]);
    assert!(output.status.success(), "{}", errors(&output));
    assert!(fs::read(at("own/model.onnx")).unwrap() != onnx);
    // The input stays beside the output.
    fs::write(at("own/given.onnx"), &onnx).unwrap();
    let output = whylens(&[
        "pack",
        &at("own/given.onnx"),
        "--labels",
        &at("labels"),
        "--out",
        &at("own"),
    ]);
    assert!(output.status.success(), "{}", errors(&output));
    assert!(fs::read(at("own/given.onnx")).unwrap() == onnx);
}

#[cfg(unix)]
#[test]
fn no_output_takes_the_place_of_another_or_of_an_input() {
    let folder = folder("over-output");
    drop(fs::remove_dir_all(&folder));
    for name in ["a", "b"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    let at = |name: &str| folder.join(name).to_str().unwrap().to_string();
    fs::copy("tests/photos/coffee.png", at("a/x.png")).unwrap();
    fs::copy("tests/photos/chelsea.png", at("b/x.png")).unwrap();
    let (one, other) = (at("a/x.png"), at("b/x.png"));
    let output = whylens(&[
        "classify",
        MODEL,
        &one,
        &other,
        "--heatmap",
        &at("out.png"),
        "--logits",
        &at("out.npy"),
    ]);
    assert!(output.status.success(), "{}", errors(&output));
    for (photo, made) in [(&one, "out-x"), (&other, "out-x-2")] {
        let size = |path: &str| image::image_dimensions(path).unwrap();
        assert_eq!(size(photo), size(&at(&format!("{made}.png"))));
        assert!(PathBuf::from(at(&format!("{made}.npy"))).is_file());
    }
    let model = PathBuf::from(at("model"));
    fs::create_dir(&model).unwrap();
    for file in ["model.json", "labels.txt", "model.onnx"] {
        fs::copy(PathBuf::from(MODEL).join(file), model.join(file)).unwrap();
    }
    let model = model.to_str().unwrap();
    let before = fs::read(&one).unwrap();
    fs::copy(&one, at("map-x.png")).unwrap();
    fs::hard_link(&one, at("hard.png")).unwrap();
    for (photos, outputs) in [
        (vec![&one], vec!["--heatmap".into(), one.clone()]),
        (vec![&one], vec!["--heatmap".into(), at("b/../a/x.png")]),
        (vec![&one], vec!["--heatmap".into(), at("hard.png")]),
        (vec![&one], vec!["--logits".into(), one.clone()]),
        (
            vec![&one],
            vec![
                "--heatmap".into(),
                at("new"),
                "--logits".into(),
                at("a/../new"),
            ],
        ),
        (vec![&one], vec!["--logits".into(), at("model/model.onnx")]),
        (vec![&one], vec!["--logits".into(), at("model/labels.txt")]),
        (vec![&one], vec!["--logits".into(), at("model/model.json")]),
        (
            vec![&one, &other],
            vec![
                "--heatmap".into(),
                at("map.png"),
                "--logits".into(),
                at("map.png"),
            ],
        ),
    ] {
        let photos: Vec<&str> = photos.iter().map(|photo| photo.as_str()).collect();
        let options: Vec<&str> = outputs.iter().map(String::as_str).collect();
        let output = whylens(&[&["classify", model], &photos[..], &options].concat());
        let told = errors(&output);
        assert!(
            !output.status.success() && told.contains("bad-option: "),
            "{options:?}: {told}"
        );
        assert!(
            output.stdout.is_empty(),
            "{options:?}: refused before anything runs"
        );
        assert!(fs::read(&one).unwrap() == before);
    }
    let photo = at("map-x.png");
    let output = whylens(&["classify", model, &photo, &one, "--heatmap", &at("map.png")]);
    let told = errors(&output);
    assert!(told.contains("would overwrite"), "{told}");
    // A file that does not exist yet, under two names.
    std::os::unix::fs::symlink("link-y.png", at("link-x.png")).unwrap();
    let third = at("b/y.png");
    fs::copy("tests/photos/chelsea.png", &third).unwrap();
    let output = whylens(&[
        "classify",
        model,
        &one,
        &third,
        "--heatmap",
        &at("link.png"),
    ]);
    let told = errors(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("was written for another photo"), "{told}");
    let size = |path: &str| image::image_dimensions(path).unwrap();
    assert_eq!(size(&one), size(&at("link-y.png")));
}

#[test]
fn what_a_terminal_would_obey_is_shown_as_such() {
    let hostile = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\u{9b}31m\u{202e}\r";
    let shown = r"\u{1b}]52;c;ZXZpbA==\u{7}\u{1b}[2J\u{9b}31m\u{202e}";
    let folder = folder("hostile-text");
    fs::copy(
        PathBuf::from(MODEL).join("model.onnx"),
        folder.join("model.onnx"),
    )
    .unwrap();
    let json = fs::read_to_string(PathBuf::from(MODEL).join("model.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
    json[format!("unknown{hostile}")] = 1.into();
    json["name"] = hostile.into();
    fs::write(folder.join("model.json"), json.to_string()).unwrap();
    fs::write(
        folder.join("labels.txt"),
        format!("x{hostile}x\n").repeat(1000),
    )
    .unwrap();
    let model = folder.to_str().unwrap();
    let photo = folder.join("photo\x1b[2J\n\u{9b}.png");
    fs::copy("tests/photos/coffee.png", &photo).unwrap();
    let photo = photo.to_str().unwrap();
    let missing = format!("missing\n{hostile}");
    let label = format!("no{hostile}");
    for (arguments, expected) in [
        (&["classify", model, photo][..], shown),
        (&["classify", model, photo, "--json"], r"\u009b31m\u202e"),
        (&["classify", model, &missing], r"missing\n\u{1b}"),
        (&["classify", &missing, photo], r"missing\n\u{1b}"),
        (&["classify", model, photo, "--class", &label], shown),
        (
            &["classify", model, photo, &format!("--{missing}")],
            r"missing\n\u{1b}",
        ),
        (
            &["classify", model, photo, "--threshold", &missing],
            r"missing\n\u{1b}",
        ),
        (&["inspect", &missing], shown),
        (&["inspect", model, "--resize", hostile], shown),
        (
            &["pack", &missing, "--labels", photo, "--out", model],
            shown,
        ),
        (&["dist", model, "--page", &missing, "--out", model], shown),
        (&["serve", &missing], shown),
        (&[&missing], shown),
    ] {
        let output = whylens(arguments);
        let text = format!(
            "{}{}",
            String::from_utf8(output.stdout.clone()).unwrap(),
            errors(&output)
        );
        assert!(text.contains(expected), "{arguments:?}: {text:?}");
        let raw = text
            .chars()
            .find(|&c| c != '\n' && (c.is_control() || c == '\u{202e}'));
        assert_eq!(raw, None, "{arguments:?}: {text:?}");
    }
    let output = whylens(&["classify", model, photo, "--json"]);
    let result = &lines(&output)[0];
    assert_eq!(result["model"]["name"], hostile);
    assert_eq!(result["file"], photo);
}

#[test]
fn what_cannot_be_asked_for_is_refused_as_by_the_library() {
    for (option, value) in [
        ("--top-k", "0"),
        ("--top-k", "-1"),
        ("--top-k", "2.5"),
        ("--threshold", "NaN"),
        ("--threshold", "-0.5"),
        ("--threshold", "1.5"),
        ("--threshold", "inf"),
        ("--threads", "0"),
        ("--threads", "65"),
    ] {
        let output = whylens(&["classify", MODEL, "tests/photos/coffee.png", option, value]);
        let told = errors(&output);
        assert_eq!(output.status.code(), Some(1), "{option} {value}: {told}");
        assert!(
            told.contains("bad-option: ") && told.contains(value),
            "{option} {value}: {told}"
        );
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let folder = folder("threads");
    let scores = ["1", "2", "5"].map(|threads| {
        let npy = folder.join(format!("{threads}.npy"));
        let npy = npy.to_str().unwrap();
        let photo = "tests/photos/coffee.png";
        let output = whylens(&[
            "classify",
            MODEL,
            photo,
            "--threads",
            threads,
            "--logits",
            npy,
        ]);
        assert!(output.status.success(), "{}", errors(&output));
        fs::read(npy).unwrap()
    });
    assert!(scores[0].len() > 4000);
    assert!(scores.iter().all(|one| *one == scores[0]));
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_the_tool_quietly() {
    let photo = "tests/photos/coffee.png";
    for arguments in [
        &["inspect", MODEL][..],
        &["classify", MODEL, photo, photo],
        &["classify", MODEL, photo, "--json"],
        &["--help"],
        &["classify", "--help"],
        &["--version"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_whylens"))
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(writer)
            .output()
            .unwrap();
        assert_eq!(errors(&output), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_told() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_whylens"))
        .args(["inspect", MODEL])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("io: cannot write to standard output"),
        "{}",
        errors(&output)
    );
}

#[cfg(unix)]
#[test]
fn weights_beside_a_model_are_bounded_too() {
    use prost::Message;
    use tract_onnx::pb::{ModelProto, StringStringEntryProto, TensorProto};
    let folder = folder("external");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    let at = |name: &str| folder.join(name).to_str().unwrap().to_string();
    let golden = fs::read("tests/golden/heads/logits.onnx").unwrap();
    let model = ModelProto::decode(&golden[..]).unwrap();
    let outside = |tensor: &mut TensorProto, offset: usize, length: usize| {
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: key.into(),
            value,
        };
        tensor.data_location = Some(1);
        tensor.raw_data.clear();
        tensor.external_data = vec![
            entry("location", "weights.bin".into()),
            entry("offset", offset.to_string()),
            entry("length", length.to_string()),
        ];
    };
    let mut sound = model.clone();
    let mut weights = Vec::new();
    for tensor in &mut sound.graph.as_mut().unwrap().initializer {
        let data = std::mem::take(&mut tensor.raw_data);
        outside(tensor, weights.len(), data.len());
        weights.extend(data);
    }
    assert!(
        weights.len() > 100,
        "the model keeps its weights as raw data"
    );
    fs::write(at("sound.onnx"), sound.encode_to_vec()).unwrap();
    fs::write(at("weights.bin"), &weights).unwrap();
    let output = whylens(&["inspect", &at("sound.onnx")]);
    assert!(output.status.success(), "{}", errors(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("yes: 5 classes"));

    let mut shared = model;
    let graph = shared.graph.as_mut().unwrap();
    for number in 0..4000 {
        let mut tensor = TensorProto {
            name: format!("w{number}"),
            data_type: 1,
            dims: vec![250_000],
            ..TensorProto::default()
        };
        outside(&mut tensor, 0, 1_000_000);
        graph.initializer.push(tensor);
    }
    fs::write(at("shared.onnx"), shared.encode_to_vec()).unwrap();
    fs::write(at("weights.bin"), vec![0; 1_000_000]).unwrap();
    let told = errors(&bounded(&["inspect", &at("shared.onnx")]));
    assert!(
        told.contains("external-data: ") && told.contains("too many weights share"),
        "{told}"
    );

    fs::remove_file(at("weights.bin")).unwrap();
    let told = errors(&bounded(&["inspect", &at("sound.onnx")]));
    assert!(
        told.contains("external-data: ") && told.contains("cannot read"),
        "{told}"
    );
    std::os::unix::fs::symlink("/dev/zero", at("weights.bin")).unwrap();
    let told = errors(&bounded(&["inspect", &at("sound.onnx")]));
    assert!(
        told.contains("external-data: ") && told.contains("a pipe or a device"),
        "{told}"
    );
    fs::remove_file(at("weights.bin")).unwrap();
    fs::File::create(at("weights.bin"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let told = errors(&bounded(&["inspect", &at("sound.onnx")]));
    assert!(told.contains("over-memory-limit: "), "{told}");
}

#[test]
fn a_graph_that_the_engine_panics_over_is_told_by_its_code() {
    use prost::Message;
    use tract_onnx::pb::{
        ModelProto, NodeProto, TensorProto, tensor_shape_proto::dimension::Value, type_proto,
    };
    let folder = folder("panics");
    let golden = fs::read("tests/golden/heads/logits.onnx").unwrap();
    let model = ModelProto::decode(&golden[..]).unwrap();
    let inspect = |name: &str, model: &ModelProto| {
        let path = folder.join(name);
        fs::write(&path, model.encode_to_vec()).unwrap();
        let output = whylens(&["inspect", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", errors(&output));
        (
            String::from_utf8(output.stdout.clone()).unwrap(),
            errors(&output),
        )
    };

    // The first step takes the result of a slice with a step of 0.
    let mut sliced = model.clone();
    let graph = sliced.graph.as_mut().unwrap();
    let input = graph.input[0].name.clone();
    for node in &mut graph.node {
        for name in node.input.iter_mut().filter(|name| **name == input) {
            *name = "sliced".into();
        }
    }
    let bounds = [("begin", 0), ("end", 8), ("axis", 2), ("step", 0)];
    graph
        .initializer
        .extend(bounds.map(|(name, value)| TensorProto {
            name: name.into(),
            data_type: 7,
            dims: vec![1],
            int64_data: vec![value],
            ..TensorProto::default()
        }));
    let inputs = [input.as_str(), "begin", "end", "axis", "step"];
    let slice = NodeProto {
        op_type: "Slice".into(),
        name: "\x1b[2J".into(),
        input: inputs.map(String::from).into(),
        output: vec!["sliced".into()],
        ..NodeProto::default()
    };
    graph.node.insert(0, slice);
    let (out, told) = inspect("sliced.onnx", &sliced);
    assert!(out.contains("unsupported-model"), "{out}{told}");
    assert!(told.starts_with("whylens: panicked at "), "{told}");

    let mut huge = model;
    let value = huge.graph.as_mut().unwrap().input[0]
        .r#type
        .as_mut()
        .unwrap()
        .value
        .as_mut();
    let Some(type_proto::Value::TensorType(tensor)) = value else {
        panic!("the input is a tensor")
    };
    for axis in &mut tensor.shape.as_mut().unwrap().dim[2..] {
        axis.value = Some(Value::DimValue(1 << 40));
    }
    let (out, told) = inspect("huge.onnx", &huge);
    assert!(
        out.contains("bad-manifest") && out.contains("expected 1 to 4096"),
        "{out}{told}"
    );
    assert_eq!(told, "");
}

#[test]
fn a_reader_that_has_enough_ends_the_tool_quietly() {
    use std::io::{BufRead, BufReader};
    let photos = ["tests/photos/coffee.png"; 3];
    for command in [
        &[
            &["classify", MODEL, "--json", "--top-k", "1000"],
            &photos[..],
        ]
        .concat()[..],
        &["inspect", MODEL],
        &["pack", "--help"],
    ] {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_whylens"))
            .args(command)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // As `| head -1`.
        let mut reader = BufReader::new(tool.stdout.take().unwrap());
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        assert!(!first.is_empty());
        drop(reader);
        let output = tool.wait_with_output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{command:?}: {}",
            errors(&output)
        );
        assert_eq!(errors(&output), "", "{command:?}");
    }
}

#[test]
fn labels_are_read_in_the_encodings_of_windows_and_kept_in_utf_8() {
    let names = ["café", "Größe", "naïve", "œuf", "piñata"];
    let text = names.join("\r\n");
    let units = text.encode_utf16();
    // Python: `'\r\n'.join(names).encode('cp1252')`
    let western = b"caf\xe9\r\nGr\xf6\xdfe\r\nna\xefve\r\n\x9cuf\r\npi\xf1ata".to_vec();
    let marked: Vec<u8> = [0xfeff]
        .into_iter()
        .chain(units.clone())
        .flat_map(u16::to_le_bytes)
        .collect();
    let unmarked = units.flat_map(u16::to_le_bytes).collect();
    for (name, bytes) in [
        ("western", western),
        ("utf-16", marked),
        ("utf-16-unmarked", unmarked),
    ] {
        let out = folder(&format!("labels-{name}"));
        let labels = out.join("labels.in");
        fs::write(&labels, bytes).unwrap();
        let (labels, out) = (labels.to_str().unwrap(), out.to_str().unwrap());
        let output = whylens(&[
            "pack",
            "tests/golden/heads/logits.onnx",
            "--labels",
            labels,
            "--out",
            out,
        ]);
        assert!(output.status.success(), "{}", errors(&output));
        assert_eq!(
            fs::read_to_string(format!("{out}/labels.txt")).unwrap(),
            names.join("\n") + "\n"
        );

        fs::write(format!("{out}/labels.txt"), fs::read(labels).unwrap()).unwrap();
        let refused = whylens(&["classify", out, "tests/photos/coffee.png"]);
        assert!(
            errors(&refused).contains("bad-manifest"),
            "{}",
            errors(&refused)
        );
        assert!(errors(&refused).contains("save the file of labels as UTF-8"));
    }
}
