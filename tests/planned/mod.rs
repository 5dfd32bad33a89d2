//! Plans of real networks with hostile numbers, run by one thread and by two.

use prost::Message;
use serde_json::Value;
use tract_onnx::pb::{ModelProto, StringStringEntryProto};
use whylens::internal::shrink;
use whylens::manifest::Precision;
use whylens::{Error, Manifest, Model, Options, Tensor};

use super::{Code, Random, fuzz, memory, networks, only, operators};

const KEY: &str = "whylens.plan";

/// More is not run: the slowest plan stays far from the limit on a busy machine.
const MEMORY: u64 = 48_000_000;

/// A network as it is packed, and its plan, which is no longer in it.
struct Network {
    manifest: Manifest,
    model: ModelProto,
    plan: Value,
}

fn networks_with_plans() -> Vec<Network> {
    let packed = |(manifest, onnx): (Manifest, Vec<u8>)| {
        let kept = shrink::shrink(&onnx, &manifest, Precision::Fp16).unwrap();
        let planned = shrink::with_plan(&kept, &manifest).unwrap();
        let mut model = ModelProto::decode(planned.as_slice()).unwrap();
        let note = model.metadata_props.iter();
        let text = note.clone().find(|note| note.key == KEY).unwrap();
        let plan = serde_json::from_str(&text.value).unwrap();
        model.metadata_props.clear();
        Network {
            manifest,
            model,
            plan,
        }
    };
    networks()
        .into_iter()
        .chain(operators())
        .map(packed)
        .collect()
}

/// A number in place of another.
fn number(old: u64, random: &mut Random) -> u64 {
    let power = 1u64 << random.below(32);
    match random.below(12) {
        0 => 0,
        1 => 1,
        2 => old + 1,
        3 => old.saturating_sub(1),
        4 => 2 * old,
        5 => old / 2,
        6 => u64::from(u32::MAX) - random.below(3) as u64,
        7 => power,
        8 => power - 1,
        9 => u64::from(u32::MAX) / old.max(1),
        10 => u64::from(u32::MAX) / old.max(1) + 1,
        _ => random.below(4096) as u64,
    }
}

fn list<'a>(plan: &'a mut Value, path: &str) -> Option<&'a mut Vec<Value>> {
    plan.pointer_mut(path)?.as_array_mut()
}

/// Replaces one number in a list of numbers, which may lie in lists.
fn disturb(list: &mut [Value], random: &mut Random) {
    if list.is_empty() {
        return;
    }
    let at = random.below(list.len());
    match &mut list[at] {
        Value::Array(inner) => disturb(inner, random),
        Value::Number(old) => {
            let old = old.as_u64().unwrap_or(0);
            list[at] = number(old, random).into();
        }
        _ => {}
    }
}

/// Changes one thing in a plan.
fn change(plan: &mut Value, random: &mut Random) {
    let pass = *random.one(&["forward", "backward"]);
    if random.below(6) == 0 {
        let path = *random.one(&[
            "/spaces",
            "/constants",
            "/scores",
            "/blocks",
            "/places",
            "/forward/made",
            "/backward/made",
            "/numbers",
        ]);
        if path == "/places" {
            let shape = plan
                .pointer_mut("/places/0/shape")
                .and_then(Value::as_array_mut);
            return shape.into_iter().for_each(|shape| disturb(shape, random));
        }
        return list(plan, path)
            .into_iter()
            .for_each(|list| disturb(list, random));
    }
    let given = plan.pointer_mut(&format!("/{pass}/given"));
    if random.below(20) == 0 {
        let old = given.as_ref().and_then(|given| given.as_u64()).unwrap_or(0);
        return given
            .into_iter()
            .for_each(|given| *given = number(old, random).into());
    }
    let Some(steps) = list(plan, &format!("/{pass}/steps")) else {
        return;
    };
    if steps.is_empty() {
        return;
    }
    let [at, other] = [random.below(steps.len()), random.below(steps.len())];
    match random.below(16) {
        0 => drop(steps.remove(at)),
        1 => steps.swap(at, other),
        2 => steps[at][0] = steps[other][0].clone(),
        3 => {
            let copy = steps[other].clone();
            steps.insert(at, copy);
        }
        4 | 5 => {
            // A number of another step of the same kind.
            let alike = steps[at][0] == steps[other][0];
            let values = steps[other][1].as_array().cloned().unwrap_or_default();
            if let Some(fields) = steps[at][1].as_array_mut().filter(|_| alike) {
                let field = random.below(fields.len().min(values.len()));
                if let Some(value) = values.get(field) {
                    fields[field] = value.clone();
                }
            }
        }
        6 | 7 => {
            // Sizes and distances that still fit each other in part.
            if let Some(fields) = steps[at][1].as_array_mut() {
                let [a, b] = [random.below(fields.len()), random.below(fields.len())];
                fields.swap(a, b);
            }
        }
        8 => {
            if let Some(fields) = steps[at][1].as_array_mut() {
                let [a, b] = [random.below(fields.len()), random.below(fields.len())];
                fields[a] = fields[b].clone();
            }
        }
        _ => {
            if let Some(fields) = steps[at][1].as_array_mut() {
                disturb(fields, random);
            }
        }
    }
}

/// The bits of scores, maps and gradients; those of one NaN are as good as those of another.
fn bits(lists: &[&[f32]]) -> Vec<u32> {
    let values = lists.iter().flat_map(|list| list.iter());
    let bits = values.map(|value| if value.is_nan() { f32::NAN } else { *value }.to_bits());
    bits.collect()
}

#[test]
fn plans_of_networks_with_hostile_numbers_do_no_harm() {
    let networks = networks_with_plans();
    assert!(networks.len() > 10);
    let corpus: Vec<Vec<u8>> = (0..networks.len()).map(|at| vec![at as u8]).collect();
    let change = |file: &mut Vec<u8>, _: &[u8], random: &mut Random| {
        let Network { model, plan, .. } = &networks[usize::from(file[0])];
        let mut plan = plan.clone();
        for _ in 0..=random.below(3) * random.below(2) {
            change(&mut plan, random);
        }
        let mut model = model.clone();
        model.metadata_props.push(StringStringEntryProto {
            key: KEY.into(),
            value: plan.to_string(),
        });
        file.truncate(1);
        file.extend(model.encode_to_vec());
    };
    let attempt = |file: &[u8]| -> Result<(), Code> {
        let manifest = &networks[usize::from(file[0]) % networks.len()].manifest;
        let shape = manifest.input.shape().to_vec();
        let values = (0..shape.iter().product()).map(|at: usize| (at % 97) as f32 / 97.0 - 0.5);
        let photo = Tensor {
            values: values.collect(),
            shape,
        };
        let mut made = Vec::new();
        for threads in [1, 2] {
            let options = Options {
                heatmap: true,
                memory: Some(MEMORY),
                threads: Some(threads),
                ..Options::default()
            };
            let Some(model) = Model::planned(&file[1..], manifest, &options)? else {
                return Err(Error::Unplanned(None).into());
            };
            let model = model.sharing_all();
            let before = memory::live();
            memory::forget_peak();
            let first = model.forward(&photo)?;
            let gradients = model.gradients(&first, 0)?;
            let again = model.forward(&photo)?;
            let (taken, counted) = ((memory::peak() - before) as u64, model.work());
            assert!(
                taken <= counted,
                "{taken} bytes were taken, {counted} counted"
            );
            let maps = first.features.iter().chain(&gradients);
            let maps: Vec<&[f32]> = maps.map(|map| &*map.values).collect();
            let mut all = bits(&[&[&*first.scores, &again.scores], &*maps].concat());
            if let Ok(halfway) = model.until(&photo, 0) {
                all.extend(bits(&[&*model.without(&halfway, 0)?]));
            }
            made.push(all);
        }
        assert!(made[0] == made[1], "two threads compute something else");
        Ok(())
    };
    let outcomes = fuzz("plan-of-network", &corpus, &change, &attempt);
    only(
        &outcomes,
        &[
            "read",
            "unplanned",
            "over-memory-limit",
            "unsupported-model",
            "bad-option",
        ],
    );
}
