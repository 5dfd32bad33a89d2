//! A model takes no more memory to load and run than was counted before, and not much less.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use prost::Message;
use tract_onnx::pb::{ModelProto, NodeProto, TensorProto};
use whylens::internal::{memory as memory_of, shrink};
use whylens::manifest::{Channels, Layout, Precision};
use whylens::pack::{self, Original};
use whylens::{Manifest, Model, Options, Result, Tensor};

#[path = "../src/memory.rs"]
#[allow(dead_code)] // the library uses more of it
mod memory;

/// Memory is measured for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// What records, shapes and threads take, whatever the model.
const AROUND: u64 = 1 << 20;

#[derive(serde::Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    model: String,
    input: CaseInput,
    output: CaseOutput,
}

#[derive(serde::Deserialize)]
struct CaseInput {
    shape: Vec<u32>,
    layout: String,
}

#[derive(serde::Deserialize)]
struct CaseOutput {
    name: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The default model, and the golden ones as they are kept.
fn models() -> Vec<(String, Manifest, Vec<u8>)> {
    let folder = root().join("models/efficientnet-lite0");
    let manifest = |json: &[u8]| Manifest::parse(json).unwrap().0;
    let default = manifest(&fs::read(folder.join("model.json")).unwrap());
    let onnx = fs::read(folder.join("model.onnx")).unwrap();
    let mut all = vec![("default".to_string(), default.clone(), onnx)];
    let folder = root().join("tests/golden/models");
    let golden: Golden =
        serde_json::from_slice(&fs::read(folder.join("cases.json")).unwrap()).unwrap();
    for case in golden.cases {
        let mut manifest = default.clone();
        manifest.heatmap.layer = None;
        manifest.output.name = case.output.name;
        let last = case.input.layout == "nhwc";
        let at = |first: usize, then: usize| case.input.shape[if last { then } else { first }];
        (manifest.input.height, manifest.input.width) = (at(2, 1), at(3, 2));
        if last {
            manifest.input.layout = Layout::Nhwc;
        }
        if at(1, 3) == 1 {
            manifest.input.channels = Channels::Grey;
        }
        let onnx = fs::read(folder.join(&case.model)).unwrap();
        let kept = shrink::shrink(&onnx, &manifest, manifest.weights.precision).unwrap();
        all.push((case.model, manifest, kept));
    }
    all
}

fn noise(shape: &[usize]) -> Tensor {
    let value = |i: usize| ((i * 7919) % 1000) as f32 / 500.0 - 1.0;
    let values = (0..shape.iter().product()).map(value).collect();
    let shape = shape.to_vec();
    Tensor { shape, values }
}

/// Most bytes taken from one photo to the next, each with its gradient.
fn taken(model: &Model, shape: &[usize]) -> Result<u64> {
    let before = memory::live();
    memory::forget_peak();
    let photo = noise(shape);
    let mut last = None;
    for _ in 0..2 {
        let forward = model.forward(&photo)?;
        if model.explainable().is_ok() {
            let gradients = model.gradients(&forward, 0)?;
            model.check_gradient(&photo, &forward, |scores| scores[0], &gradients)?;
        }
        last = Some((photo.values.clone(), forward));
    }
    drop(last);
    Ok((memory::peak() - before) as u64)
}

#[test]
fn a_run_takes_no_more_than_was_counted_and_not_much_less() {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let heatmap = Options {
        heatmap: true,
        ..Options::default()
    };
    let plain = Options::default();
    let mut wrong = Vec::new();
    println!("| model | run | counted KB | taken KB |\n|---|---|---:|---:|");
    for (name, manifest, kept) in models() {
        let planned = shrink::with_plan(&kept, &manifest).expect(&name);
        let shape = manifest.input.shape().to_vec();
        type Way<'a> = Box<dyn Fn() -> Result<Model> + 'a>;
        let by_plan = |options| {
            let found = Model::planned(&planned, &manifest, options)?;
            Ok(found.expect("a plan"))
        };
        let ways: [(&str, Way); 5] = [
            ("plan", Box::new(|| by_plan(&heatmap))),
            ("plan, no heatmap", Box::new(|| by_plan(&plain))),
            (
                "in a page",
                Box::new(|| Model::in_a_page(&kept, &manifest, &heatmap)),
            ),
            (
                "natively",
                Box::new(|| Model::load(&kept, &manifest, &heatmap)),
            ),
            ("as given", Box::new(|| Model::as_given(&kept, &manifest))),
        ];
        for (way, load) in ways {
            let model = load().unwrap();
            let (counted, taken) = (model.work(), taken(&model, &shape).unwrap());
            println!("| {name} | {way} | {} | {} |", counted / 1000, taken / 1000);
            let tight = !way.starts_with("plan") || counted <= taken * 3 / 2 + AROUND;
            if taken > counted || !tight {
                wrong.push(format!("{name}, {way}: {counted} counted, {taken} taken"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn weights_take_what_was_counted() {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    for (name, manifest, kept) in models() {
        let planned = shrink::with_plan(&kept, &manifest).expect(&name);
        let shape = manifest.input.shape().to_vec();
        let load = |memory| {
            let options = Options {
                heatmap: true,
                memory,
                ..Options::default()
            };
            Model::planned(&planned, &manifest, &options)
        };
        let before = memory::live();
        memory::forget_peak();
        let model = load(None).unwrap().unwrap();
        let held = (memory::live() - before) as u64;
        let loading = (memory::peak() - before) as u64;
        let needed = loading.max(held + taken(&model, &shape).unwrap());
        drop(model);
        // Natively, the count does not include the parsed plan.
        if needed > 8 * AROUND {
            let code = load(Some(needed - AROUND)).err().map(|error| error.code());
            assert_eq!(code, Some("over-memory-limit"), "{name}: {needed}");
        }
        println!("{name}: {needed}, {loading} to load");
        load(Some(needed * 3 / 2 + AROUND))
            .expect(&name)
            .expect("a plan");
    }
}

#[test]
fn a_manifest_tells_what_a_model_takes() {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    println!("| model | heatmaps | told KB | taken KB |\n|---|---|---:|---:|");
    for (name, manifest, kept) in models() {
        let planned = shrink::with_plan(&kept, &manifest).expect(&name);
        let told = memory_of(&planned).expect("a plan");
        for (heatmap, told) in [(false, Some(told.classify)), (true, told.explain)] {
            let told = told.expect("a gradient");
            let options = Options {
                heatmap,
                ..Options::default()
            };
            let before = memory::live();
            let file = planned.clone();
            memory::forget_peak();
            let model = Model::planned(file, &manifest, &options).unwrap().unwrap();
            let loading = (memory::peak() - before) as u64;
            let held = (memory::live() - before) as u64;
            let taken = loading.max(held + taken(&model, manifest.input.shape().as_ref()).unwrap());
            println!(
                "| {name} | {heatmap} | {} | {} |",
                told / 1000,
                taken / 1000
            );
            // The parsed plan and the names in it are not counted.
            assert!(taken <= told + AROUND / 2, "{name}: {told}, {taken}");
            assert!(
                told <= taken + taken / 4 + AROUND / 8,
                "{name}: {told}, {taken}"
            );
        }
    }
}

/// Most bytes in use from before there is a file until its model is ready, and the bytes of its weights in
/// FP32.
fn loading(manifest: &Manifest, planned: &[u8], memory: Option<u64>) -> Result<(u64, u64, u64)> {
    let heatmap = true;
    let options = Options {
        heatmap,
        memory,
        ..Options::default()
    };
    let before = memory::live();
    let file = planned.to_vec();
    memory::forget_peak();
    let model = Model::planned(file, manifest, &options)?.expect("a plan");
    let single = planned.len() as u64 * 2;
    Ok(((memory::peak() - before) as u64, single, model.work()))
}

#[test]
fn a_file_is_let_go_of_as_it_is_read() {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = root().join("models/efficientnet-lite0");
    let more = std::env::var_os("WHYLENS_FOLDER");
    for folder in more.iter().map(Path::new).chain([&*folder]) {
        let json = fs::read(folder.join("model.json")).unwrap();
        let (manifest, _) = Manifest::parse(&json).unwrap();
        let onnx = fs::read(folder.join("model.onnx")).unwrap();
        let (taken, single, work) = loading(&manifest, &onnx, None).unwrap();
        let share = |bytes| bytes as f64 / single as f64;
        println!(
            "{}: {taken} to load, {:.2} of the FP32 weights ({single}), {work} to run",
            manifest.name,
            share(taken)
        );
        // File and weights together would be 1.5 times as much, plus work that has not begun.
        assert!(
            taken <= single * 115 / 100 + work,
            "{taken} of {single}, {work}"
        );
        let enough = loading(&manifest, &onnx, Some(taken + work));
        enough.expect("room for what it takes");
        let error = loading(&manifest, &onnx, Some(taken - AROUND)).unwrap_err();
        assert_eq!(error.code(), "over-memory-limit");
    }
}

/// The same network with one more operator at its end.
fn ending(onnx: &[u8], operator: &str, constant: Option<TensorProto>) -> Vec<u8> {
    let mut model = ModelProto::decode(onnx).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let scores = graph.output[0].name.clone();
    let before = format!("{scores}.before");
    let outputs = graph.node.iter_mut().flat_map(|node| &mut node.output);
    for name in outputs.filter(|name| **name == scores) {
        name.clone_from(&before);
    }
    let constants = constant.iter().map(|constant| constant.name.clone());
    graph.node.push(NodeProto {
        op_type: operator.into(),
        name: "ending".into(),
        input: [before].into_iter().chain(constants).collect(),
        output: vec![scores],
        ..Default::default()
    });
    graph.initializer.extend(constant);
    model.encode_to_vec()
}

#[test]
fn packing_takes_what_it_is_said_to_need() {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = root().join("models/efficientnet-lite0");
    let (manifest, _) = Manifest::parse(&fs::read(folder.join("model.json")).unwrap()).unwrap();
    let half = fs::read(folder.join("model.onnx")).unwrap();
    let single = shrink::shrink(&half, &manifest, Precision::Fp32).unwrap();
    // 0 in FP16.
    let tiny = TensorProto {
        name: "tiny".into(),
        dims: vec![1, 1000],
        data_type: 1,
        raw_data: 1e-8f32.to_le_bytes().repeat(1000),
        ..Default::default()
    };
    let spoiled = ending(&single, "Div", Some(tiny));
    let unplanned = ending(&single, "Asinh", None);
    let labels = fs::read_to_string(folder.join("labels.txt")).unwrap();
    let mut cases = vec![
        ("FP32", single.clone(), None),
        ("FP16", half, None),
        ("kept in FP32", single, Some(Precision::Fp32)),
        ("kept in both", spoiled, None),
        ("without a plan", unplanned, None),
    ];
    if let Some(file) = std::env::var_os("WHYLENS_FILE") {
        cases.push(("WHYLENS_FILE", fs::read(file).unwrap(), None));
    }
    for (name, given, precision) in cases {
        let outline = shrink::outline(&given).unwrap();
        let need = pack::need(&outline, given.len());
        let options = pack::Options {
            precision,
            ..pack::Options::default()
        };
        let before = memory::live();
        memory::forget_peak();
        let mut read = || Ok(given.clone());
        let packed = pack::pack(Original::again(&mut read), &labels, &options, &mut |_| ());
        let taken = (memory::peak() - before) as u64;
        let packed = packed.unwrap();
        let weights = outline.parameters as u64 * 4;
        println!(
            "{name}, {} bytes: {taken} taken, {:.2} of the FP32 weights, {need} counted",
            given.len(),
            taken as f64 / weights as f64
        );
        let unplanned = name == "without a plan";
        assert_eq!(packed.report.unplanned.is_some(), unplanned);
        assert_eq!(
            packed.report.single.len(),
            usize::from(name == "kept in both")
        );
        let options = Options {
            heatmap: true,
            ..Options::default()
        };
        let model = Model::in_a_page(&packed.onnx, &packed.manifest, &options).unwrap();
        let work = model.work();
        assert!(
            taken <= weights * 5 / 2 + work + AROUND,
            "{taken} taken, {work} to run"
        );
        assert!(taken <= need, "{taken} taken, {need} counted");
    }
}
