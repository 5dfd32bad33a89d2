use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use serde_json::{Value, json};

use super::shrink;
use crate::classifier::Classifier;
use crate::heatmap::{Occlusion, Sign};
use crate::manifest::{Manifest, Precision};
use crate::model::run::KEY;
use crate::model::run::steps::executor::Passed;
use crate::model::run::steps::record;
use crate::model::{Model, Options, memory};
use crate::preprocess::Tensor as Input;

const HEATMAP: Options = Options {
    heatmap: true,
    layers: Vec::new(),
    memory: None,
    threads: Some(1),
};

/// The golden models: their files and manifests.
fn golden() -> Vec<(String, Manifest)> {
    let cases = fs::read(folder().join("cases.json")).unwrap();
    let cases: serde_json::Value = serde_json::from_slice(&cases).unwrap();
    let mut all = Vec::new();
    for case in cases["cases"].as_array().unwrap() {
        let name = case["model"].as_str().unwrap().to_string();
        let shape: Vec<u32> = serde_json::from_value(case["input"]["shape"].clone()).unwrap();
        let last = case["input"]["layout"] == "nhwc";
        let (channels, height, width) = match last {
            true => (shape[3], shape[1], shape[2]),
            false => (shape[1], shape[2], shape[3]),
        };
        let json = include_bytes!("../../../models/efficientnet-lite0/model.json");
        let (mut manifest, _) = Manifest::parse(json).unwrap();
        manifest.heatmap.layer = None;
        manifest.output.name = case["output"]["name"].as_str().unwrap().into();
        let input = &mut manifest.input;
        (input.width, input.height) = (width, height);
        if last {
            input.layout = crate::manifest::Layout::Nhwc;
        }
        if channels == 1 {
            input.channels = crate::manifest::Channels::Grey;
        }
        all.push((name, manifest));
    }
    all
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models")
}

/// A golden model as stored in a model folder.
fn kept(name: &str, manifest: &Manifest) -> Vec<u8> {
    let onnx = fs::read(folder().join(name)).unwrap();
    shrink::shrink(&onnx, manifest, Precision::Fp16).unwrap()
}

fn model(name: &str) -> (Vec<u8>, Manifest) {
    let found = golden().into_iter().find(|(found, _)| found == name);
    let (_, manifest) = found.unwrap();
    (kept(name, &manifest), manifest)
}

/// The model by the plan of a file, if it has a sound one.
fn planned(onnx: &[u8], manifest: &Manifest, options: &Options) -> Option<Model> {
    Model::planned(onnx, manifest, options).ok().flatten()
}

fn noise(manifest: &Manifest) -> Input {
    let shape = manifest.input.shape().to_vec();
    let value = |i: usize| ((i * 7919) % 1000) as f32 / 500.0 - 1.0;
    let values = (0..shape.iter().product()).map(value).collect();
    Input { shape, values }
}

#[track_caller]
fn agree(actual: &[f32], expected: &[f32], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-3f32, |most, e| most.max(e.abs()));
    for (a, e) in actual.iter().zip(expected) {
        assert!((a - e).abs() <= 1e-3 * largest, "{what}: {a}, expected {e}");
    }
}

#[test]
fn a_plan_gives_what_the_graph_gives() {
    for (name, manifest) in golden() {
        let kept = kept(&name, &manifest);
        let onnx = shrink::with_plan(&kept, &manifest).expect(&name);
        let input = noise(&manifest);
        let graph = Model::load(&kept, &manifest, &HEATMAP).unwrap();
        let plan = planned(&onnx, &manifest, &HEATMAP).expect(&name);
        assert_eq!(plan.layers(), graph.layers(), "{name}");
        let (expected, actual) = (
            graph.forward(&input).unwrap(),
            plan.forward(&input).unwrap(),
        );
        agree(&actual.scores, &expected.scores, &name);
        agree(
            &actual.features[0].values,
            &expected.features[0].values,
            &name,
        );
        let gradient = |model: &Model, forward| model.gradients(forward, 1).unwrap().remove(0);
        let (expected, actual) = (gradient(&graph, &expected), gradient(&plan, &actual));
        agree(&actual.values, &expected.values, &name);
        let plain = planned(&onnx, &manifest, &Options::default()).unwrap();
        let scores = plain.forward(&input).unwrap().scores;
        agree(&scores, &graph.forward(&input).unwrap().scores, &name);
    }
}

#[test]
fn a_channel_is_left_out_alike_by_steps_and_by_graphs() {
    let mut wrong = Vec::new();
    for (name, manifest) in golden() {
        let kept = kept(&name, &manifest);
        let onnx = shrink::with_plan(&kept, &manifest).expect(&name);
        let input = noise(&manifest);
        let graph = Model::load(&kept, &manifest, &HEATMAP).unwrap();
        let plan = planned(&onnx, &manifest, &HEATMAP).expect(&name);
        let [by_graph, by_plan] = [&graph, &plan].map(|model| model.until(&input, 0).expect(&name));
        let channels = plan.layers()[0].channels;
        // Another run in between does no harm.
        plan.forward(&noise(&manifest)).unwrap();
        for channel in [0, channels / 2, channels - 1] {
            let expected = graph.without(&by_graph, channel).expect(&name);
            let actual = plan.without(&by_plan, channel).expect(&name);
            let apart = apart(&actual, &expected);
            if apart > 1e-3 {
                wrong.push(format!("{name}, channel {channel}: {apart}"));
            }
        }
        let other = plan.without(&by_graph, 0).map(drop);
        assert_eq!(other.unwrap_err().code(), "bad-option");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// How far values are from those of another engine, as a share of the largest.
fn apart(actual: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(actual.len(), expected.len());
    let largest = expected
        .iter()
        .fold(f32::MIN_POSITIVE, |most, e| most.max(e.abs()));
    let pairs = actual.iter().zip(expected);
    pairs.map(|(a, e)| (a - e).abs()).fold(0.0, f32::max) / largest
}

/// Scores, maps and gradients of a plan with steps, each compared with those of one that tract runs.
fn compared(old: &Model, new: &Model, input: &Input) -> [f32; 3] {
    let (expected, actual) = (old.forward(input).unwrap(), new.forward(input).unwrap());
    let maps = |maps: &[super::super::FeatureMap]| -> Vec<f32> {
        maps.iter().flat_map(|map| map.values.clone()).collect()
    };
    let class = old.classes() - 1;
    let [given, made] = [(old, &expected), (new, &actual)]
        .map(|(model, forward)| maps(&model.gradients(forward, class).unwrap()));
    [
        apart(&actual.scores, &expected.scores),
        apart(&maps(&actual.features), &maps(&expected.features)),
        apart(&made, &given),
    ]
}

#[test]
fn steps_give_what_operators_give() {
    let mut wrong = Vec::new();
    for (name, manifest) in golden() {
        let kept = kept(&name, &manifest);
        // The same kernels, and everything else by tract.
        let operators = Model::in_a_page(&kept, &manifest, &HEATMAP).unwrap();
        let onnx = shrink::with_plan(&kept, &manifest).expect(&name);
        let steps = planned(&onnx, &manifest, &HEATMAP).expect(&name);
        let apart = compared(&operators, &steps, &noise(&manifest));
        if !apart.iter().all(|apart| *apart <= MOST_APART) {
            wrong.push(format!("{name}: {apart:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn steps(name: &str, manifest: &Manifest) -> Vec<u8> {
    shrink::with_plan(&kept(name, manifest), manifest).expect(name)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The weights of the first score alone.
fn first(passed: &Passed) -> Vec<f32> {
    let mut weights = vec![0.0; passed.made[0].len()];
    weights[0] = 1.0;
    weights
}

/// Scores, the map at the layer, gradients of two classes, and the map of an occlusion.
#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for (name, manifest) in golden() {
        let onnx = steps(&name, &manifest);
        let input = noise(&manifest);
        let run = |threads: usize| {
            let options = Options {
                threads: Some(threads),
                ..HEATMAP
            };
            let model = planned(&onnx, &manifest, &options).expect(&name);
            let model = model.sharing_all();
            let forward = model.forward(&input).unwrap();
            let classes = [0, model.classes() - 1];
            let gradients = classes.map(|class| model.gradients(&forward, class).unwrap());
            let mut occlusion =
                Occlusion::new(&input, manifest.input.layout, forward.scores[0], 7).unwrap();
            while occlusion.progress().0 < occlusion.progress().1 {
                let score = |blank: &Input| Ok(model.forward(blank)?.scores[0]);
                occlusion.step(score).unwrap();
            }
            let maps = forward.features.iter().chain(gradients.iter().flatten());
            let maps = maps.map(|map| bits(&map.values));
            let ends =
                [&forward.scores, &occlusion.map(Sign::For).values].map(|values| bits(values));
            maps.chain(ends).collect::<Vec<_>>()
        };
        let whole = run(1);
        for threads in [2, 5] {
            assert!(run(threads) == whole, "{name} by {threads} threads");
        }
    }
}

/// What a page counts for several threads before the download is what it counts when the plan is read.
#[test]
fn memory_is_told_for_each_thread() {
    let (mut with, mut without) = (0, 0);
    for (name, manifest) in golden() {
        let onnx = steps(&name, &manifest);
        let told = memory(&onnx).unwrap();
        let file = super::File::read(&onnx);
        let plan = record::Plan::find(&file).unwrap();
        let needed = |threads: usize, heatmap: bool| {
            let mut draft = plan.draft(&file, heatmap).unwrap();
            draft.threads = threads;
            draft.needed(onnx.len()).work
        };
        for heatmap in [false, true] {
            let more = needed(5, heatmap) - needed(1, heatmap);
            assert!(more <= 4 * told.thread, "{name}: {more} of {told:?}");
        }
        let more = needed(5, true) - needed(1, true);
        assert_eq!(more, 4 * told.thread, "{name}");
        match told.thread {
            0 => without += 1,
            _ => with += 1,
        }
    }
    assert!(with > 0 && without > 0);
}

/// Every number of every step is replaced by others: the plan is refused, or does no harm.
#[test]
fn hostile_steps_do_no_harm() {
    let mut sound = 0;
    for name in [
        "mobilenet-v3.onnx",
        "resnet.onnx",
        "vgg.onnx",
        "strided.onnx",
        "vit.onnx",
        "swin.onnx",
    ] {
        let (_, manifest) = model(name);
        let onnx = steps(name, &manifest);
        let file = super::File::read(&onnx);
        let plan = record::Plan::find(&file).unwrap();
        let input = noise(&manifest);
        let mut seen = std::collections::HashMap::new();
        let mut try_it = |plan: &record::Plan, what: &str| {
            let Ok(mut draft) = plan.draft(&file, true) else {
                return;
            };
            sound += 1;
            draft.threads = 2;
            let needed = draft.needed(0);
            // A page would refuse more, and all would take too long here.
            if needed.work + needed.kept + needed.weights > 100_000_000 || sound % 7 != 0 {
                return;
            }
            let executor = draft.finish(&plan.numbers, &mut (&onnx[..]).into());
            let passed = executor.forward(&input.values);
            assert!(
                executor.gradients(&passed.kept, &first(&passed)).is_some(),
                "{what}"
            );
        };
        for backward in [false, true] {
            let steps = match (backward, &plan.backward) {
                (true, Some(half)) => &half.steps,
                _ => &plan.forward.steps,
            };
            for (at, (kind, fields)) in steps.iter().enumerate() {
                // A few of each kind.
                let count = seen
                    .entry((backward, format!("{kind:?}"), fields.len()))
                    .or_insert(0);
                *count += 1;
                if *count > 2 {
                    continue;
                }
                for field in 0..=fields.len() {
                    let old = fields.get(field).copied().unwrap_or(0);
                    let values = [
                        0,
                        1,
                        old / 2,
                        old.wrapping_add(1),
                        old.wrapping_mul(2),
                        1 << 14,
                        1 << 31,
                        u32::MAX,
                    ];
                    for value in values {
                        let mut plan = plan.clone();
                        let half = match backward {
                            true => plan.backward.as_mut().unwrap(),
                            false => &mut plan.forward,
                        };
                        let fields = &mut half.steps[at].1;
                        match fields.get_mut(field) {
                            Some(place) => *place = value,
                            None => fields.push(value),
                        }
                        try_it(
                            &plan,
                            &format!("{name}: {kind:?} {at}, field {field}: {value}"),
                        );
                    }
                    let mut plan = plan.clone();
                    let half = match backward {
                        true => plan.backward.as_mut().unwrap(),
                        false => &mut plan.forward,
                    };
                    half.steps[at]
                        .1
                        .truncate(field.min(fields.len().saturating_sub(1)));
                    assert!(
                        plan.draft(&file, true).is_err(),
                        "{name}: {kind:?} {at} cut at {field}"
                    );
                }
            }
        }
    }
    assert!(sound > 100);
}

/// What is wrong with a plan beside its steps.
#[test]
fn hostile_heads_of_steps_are_refused() {
    let (_, manifest) = model("mobilenet-v2.onnx");
    let onnx = steps("mobilenet-v2.onnx", &manifest);
    let file = super::File::read(&onnx);
    let plan: Value = serde_json::from_str(file.notes[KEY]).unwrap();
    let huge = 1u64 << 40;
    let steps = plan["forward"]["steps"].as_array().unwrap();
    let product = steps.iter().find(|step| step[0] == "product").unwrap();
    // Each reads its weights at other distances.
    let other_weights = (0..560).map(|at| {
        let mut product = product.clone();
        for (field, distance) in [(10, at % 28), (11, at / 28 % 10), (12, at / 280)] {
            product[1][field] = json!(distance);
        }
        product
    });
    let other_weights: Vec<Value> = other_weights.collect();
    let cases = [
        ("/version", json!(3)),
        ("/input", json!([1, 3, 1, 1])),
        ("/input", json!([huge, huge, huge, huge])),
        ("/scores", json!([1, 11])),
        ("/scores", json!([])),
        ("/places", json!([])),
        ("/places/0/shape", json!([huge, huge])),
        ("/backward", Value::Null),
        ("/tensors", json!([])),
        ("/tensors/0", json!("nothing")),
        ("/numbers", json!([])),
        ("/numbers/0", json!([])),
        ("/numbers/0", json!("nothing")),
        ("/spaces", json!([0, 0, 0])),
        ("/spaces", json!([0, 0, u32::MAX])),
        ("/spaces", json!([u32::MAX, u32::MAX, u32::MAX])),
        ("/spaces", json!([1, 2, huge])),
        ("/spaces/0", json!(0)),
        ("/constants/0/0", json!(u32::MAX)),
        ("/constants/0/1", json!(u32::MAX)),
        ("/forward/given", json!(u32::MAX)),
        ("/forward/given", json!(0)),
        ("/forward/made", json!([])),
        ("/forward/made/0", json!([])),
        ("/forward/made/0/0", json!(u32::MAX)),
        ("/forward/made/1/1", json!(9)),
        ("/forward/steps/0/0", json!("nothing")),
        ("/forward/steps/0/1", json!([])),
        ("/forward/steps", json!(vec![product.clone(); 8001])),
        ("/forward/steps", json!(other_weights)),
        ("/backward/given", json!(0)),
        ("/backward/made", json!([])),
    ];
    let load = |text: &str| planned(&with_plan(&onnx, text), &manifest, &HEATMAP);
    assert!(load(&plan.to_string()).is_some());
    for (path, value) in cases {
        let mut plan = plan.clone();
        *plan.pointer_mut(path).expect(path) = value.clone();
        assert!(load(&plan.to_string()).is_none(), "{path} {value}");
    }
    for text in ["", "{{{{", &"[".repeat(1_000_000)] {
        assert!(load(text).is_none());
    }
}

/// Series and sums in another order differ by some units of the last place.
const MOST_APART: f32 = 1e-5;

/// The manifest of the graphs of `tests/golden/operators/`.
fn operator() -> Manifest {
    let json = include_bytes!("../../../models/efficientnet-lite0/model.json");
    let (mut manifest, _) = Manifest::parse(json).unwrap();
    manifest.heatmap.layer = None;
    (manifest.input.width, manifest.input.height) = (8, 8);
    (manifest.input.name, manifest.output.name) = ("x".into(), "scores".into());
    manifest
}

/// One of these graphs with its plan.
fn operator_with_plan(name: &str, manifest: &Manifest) -> Vec<u8> {
    let file = format!("tests/golden/operators/{name}.onnx");
    let onnx = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let kept = shrink::shrink(&onnx, manifest, Precision::Fp32).unwrap();
    shrink::with_plan(&kept, manifest).expect(name)
}

/// A convolution or product of maps side by side becomes one for each of them, and what quantised weights are
/// multiplied with afterwards is multiplied before in the gradient.
#[test]
fn weights_that_are_read_in_parts_are_not_stored_again() {
    let manifest = operator();
    for name in [
        "conv_of_concat",
        "matmul_of_concat",
        "weights_int8_per_channel",
        "weights_uint8_per_channel",
    ] {
        let onnx = operator_with_plan(name, &manifest);
        assert!(planned(&onnx, &manifest, &HEATMAP).is_some(), "{name}");
        let beside = super::write::BESIDE.as_bytes();
        let stored = onnx.windows(beside.len()).any(|part| part == beside);
        assert!(!stored, "{name}");
    }
}

/// They stay in the file as they are, of a few bits each.
#[test]
fn weights_that_share_steps_are_not_stored_again() {
    let manifest = operator();
    for name in [
        "matmul_2_bits",
        "matmul_4_bits",
        "matmul_8_bits",
        "matmul_4_bits_cut_block",
        "matmul_4_bits_zero_points",
    ] {
        let onnx = operator_with_plan(name, &manifest);
        let file = super::File::read(&onnx);
        let plan = record::Plan::find(&file).unwrap();
        let [[_, bits, block, ..]] = plan.blocks[..] else {
            panic!("{name}: {:?}", plan.blocks);
        };
        let beside = file
            .tensors
            .keys()
            .filter(|name| name.starts_with(super::write::BESIDE));
        assert_eq!(beside.count(), 0, "{name}");
        for (at, number) in [
            (1, 0),
            (1, 3),
            (1, bits / 2),
            (1, 64),
            (2, 0),
            (2, block / 2),
            (2, u32::MAX),
            (3, 0),
            (3, u32::MAX),
            (4, u32::MAX),
            (5, u32::MAX),
        ] {
            let mut hostile = plan.clone();
            hostile.blocks[0][at] = number;
            assert!(
                hostile.draft(&file, true).is_err(),
                "{name}: {at}, {number}"
            );
        }
    }
}

/// Predictions and methods without gradients need none.
#[test]
fn a_plan_without_a_gradient_says_why() {
    let mut manifest = operator();
    manifest.heatmap.layer = Some("t0".into());
    for (name, code, why) in [
        ("round", "unsupported-operator", "Round"),
        ("pow_of_values", "unsupported-operator", "Pow"),
        ("dynamic_nothing", "unsupported-model", "do not depend"),
    ] {
        let onnx = operator_with_plan(name, &manifest);
        let model = planned(&onnx, &manifest, &HEATMAP).expect(name);
        let error = model.explainable().unwrap_err();
        assert_eq!(error.code(), code, "{name}");
        assert!(error.to_string().contains(why), "{error}");
        let input = noise(&manifest);
        let forward = model.forward(&input).unwrap();
        assert_eq!(forward.features.len(), 1, "{name}");
        assert_eq!(model.gradients(&forward, 0).unwrap_err(), error);
        let graph = Model::in_a_page(&onnx, &manifest, &HEATMAP).unwrap();
        agree(
            &forward.scores,
            &graph.forward(&input).unwrap().scores,
            name,
        );
        assert_eq!(graph.explainable().unwrap_err(), error, "{name}");
        let file = super::File::read(&onnx);
        let mut plan: Value = serde_json::from_str(file.notes[KEY]).unwrap();
        assert!(plan["backward"].is_null());
        plan.as_object_mut().unwrap().remove("unexplained");
        let silent = with_plan(&onnx, &plan.to_string());
        assert!(planned(&silent, &manifest, &HEATMAP).is_none(), "{name}");
    }
}

#[test]
fn a_model_without_a_plan_says_why() {
    let (kept, mut manifest) = model("vgg.onnx");
    let planned = shrink::with_plan(&kept, &manifest).unwrap();
    let labels = |onnx: &[u8]| {
        let model = Model::load(onnx, &manifest, &HEATMAP).unwrap();
        "a\n".repeat(model.classes())
    };
    let labels = labels(&kept);
    let told = |manifest: &Manifest, onnx: &[u8]| {
        let loaded = Classifier::new(manifest.clone(), labels.as_bytes(), onnx, &HEATMAP);
        loaded.unwrap().unplanned()
    };
    manifest.weights.plan = None;
    assert_eq!(told(&manifest, &planned), None);
    assert!(told(&manifest, &kept).unwrap().contains("`whylens pack`"));
    let why = "#4 \"x\" NonZero cannot be kept in a plan";
    manifest.weights.unplanned = Some(why.into());
    assert!(told(&manifest, &kept).unwrap().ends_with(why));
}

/// A loop reads its weights at each step and holds them once.
#[test]
fn steps_with_the_same_weights_share_them() {
    let manifest = operator();
    for name in ["lstm", "gru", "rnn"] {
        let onnx = operator_with_plan(name, &manifest);
        let file = super::File::read(&onnx);
        let plan = record::Plan::find(&file).unwrap();
        let draft = plan.draft(&file, true).unwrap();
        assert!(!draft.again.is_empty(), "{name}");
        let needed = draft.needed(0).weights;
        let held = 4 * file
            .tensors
            .values()
            .map(|values| values.len() as u64)
            .sum::<u64>();
        assert!(needed < 8 * held, "{name}: {needed} of {held} bytes");
        // Weights of another step cannot stand for those of one that reads others.
        let mut hostile = plan.clone();
        let [(_, step), (_, first)] = draft.again[0];
        let steps = &mut hostile.forward.steps;
        assert_eq!(steps[step].1[4..15], steps[first].1[4..15], "{name}");
        steps[step].1[5] = u32::MAX;
        assert!(hostile.draft(&file, true).is_err(), "{name}");
    }
}

/// The file with another text as its plan.
fn with_plan(onnx: &[u8], text: &str) -> Vec<u8> {
    let mut model = super::proto::read(onnx).unwrap();
    let mut notes = model.metadata_props.iter_mut();
    let note = notes.find(|note| note.key == KEY).unwrap();
    note.value = text.into();
    model.encode_to_vec()
}

#[test]
fn a_plan_that_is_not_sound_is_not_used() {
    let (kept, manifest) = model("mobilenet-v2.onnx");
    let onnx = shrink::with_plan(&kept, &manifest).unwrap();
    let text = String::from_utf8_lossy(&onnx).into_owned();
    let start = text.find("{\"version\"").unwrap();
    let length = text[start..].len().min(20_000);
    let from = onnx
        .windows(10)
        .position(|w| w == b"{\"version\"".get(..10).unwrap())
        .unwrap();
    let mut used = 0;
    // Every digit of the plan in turn is changed: the result must do no harm.
    let digits = (from..(from + length).min(onnx.len())).filter(|&at| onnx[at].is_ascii_digit());
    for at in digits.step_by(5) {
        for digit in *b"09" {
            let mut broken = onnx.clone();
            broken[at] = digit;
            if let Some(model) = planned(&broken, &manifest, &HEATMAP) {
                used += 1;
                if used % 50 == 0 {
                    let forward = model.forward(&noise(&manifest));
                    let _ = forward.and_then(|forward| model.gradients(&forward, 0));
                    let halfway = model.until(&noise(&manifest), 0);
                    let _ = halfway.and_then(|halfway| model.without(&halfway, 0));
                }
            }
        }
    }
    assert!(planned(&kept, &manifest, &HEATMAP).is_none());
}
