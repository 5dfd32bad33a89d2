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
        // Random weights far from FP16's grid.
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
    assert!(
        errors(&output).contains("leave the precision open"),
        "{}",
        errors(&output)
    );
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
    assert!(text.contains("by eigencam and occlusion only: "), "{text}");
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
        // One that is asked for by name cannot be had; the predictions can.
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
        assert_eq!(
            text(&model).lines().count(),
            classes + 1,
            "{name}: {}",
            text(&model)
        );
    }
    let (_, output) = packed_head("one-logit", 1, &["--activation", "softmax"]);
    assert!(
        errors(&output).contains("bad-option"),
        "{}",
        errors(&output)
    );
}
