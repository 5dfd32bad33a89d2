//! Damaged photos of every format: no panic, no hang, no more memory than allowed, a code for each
//! failure.
//!
//! Runs for two seconds; `WHYLENS_MUTATE=600 cargo test --release --test mutations` for ten minutes;
//! `WHYLENS_SEED=7` sets another seed. A file that fails is left in `target/tmp`.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use whylens::manifest::{Channels, Crop, Filter, Input, Layout, Resize, ResizeMode};
use whylens::{Limits, decode, preprocess};

#[path = "../src/memory.rs"]
#[allow(dead_code)] // the library uses more of it
mod memory;

const LIMITS: Limits = Limits {
    pixels: 1_000_000,
    bytes: 1_000_000,
};

/// For each pixel allowed: what is decoded, a decoder's own copy, RGB and a turned copy of it.
const MOST_MEMORY: usize = 16 * LIMITS.pixels as usize + (64 << 20);

const LONGEST: Duration = Duration::from_secs(10);

/// Where the last panic was: panics of decoders are contained natively, but end the worker of a page.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

fn mutate(file: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(file.len());
        match random.below(9) {
            0 => file[at] ^= 1 << random.below(8),
            1 => file[at] = random.below(256) as u8,
            2 => file[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            // Headers are short, and would seldom be hit.
            3 | 4 => {
                let at = random.below(file.len().min(64));
                file[at] = random.below(256) as u8;
            }
            5 => {
                let values = [[0; 4], [0xff; 4], [0, 0, 0x4e, 0x20], [0x20, 0x4e, 0, 0]];
                let value = values[random.below(4)];
                for (byte, value) in file[at..].iter_mut().zip(value) {
                    *byte = value;
                }
            }
            6 if at > 0 => file.truncate(at),
            7 => {
                let end = (at + random.below(64)).min(file.len());
                let part = file[at..end].to_vec();
                let to = random.below(file.len());
                file.splice(to..to, part);
            }
            _ => {
                let from = random.below(other.len());
                let end = (from + random.below(256)).min(other.len());
                let room = (at + end - from).min(file.len());
                file.splice(at..room, other[from..end].iter().copied());
            }
        }
        if file.is_empty() {
            return;
        }
    }
    if file.starts_with(b"\x89PNG") && random.below(4) > 0 {
        mend_sums(file);
    }
}

/// Sets the checksum of every chunk, so that the changed bytes are read.
fn mend_sums(png: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = png.get(at..at + 4) {
        let length = length.iter().fold(0, |n, &byte| n << 8 | usize::from(byte));
        let end = at + 8 + length;
        if end + 4 > png.len() {
            return;
        }
        let sum = !png[at + 4..end].iter().fold(!0u32, |sum, &byte| {
            (0..8).fold(sum ^ u32::from(byte), |sum, _| {
                (sum >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(sum & 1))
            })
        });
        png[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        at = end + 4;
    }
}

fn input(mode: ResizeMode, filter: Filter) -> Input {
    Input {
        name: "input".into(),
        layout: Layout::Nchw,
        channels: Channels::Rgb,
        width: 24,
        height: 17,
        resize: Resize {
            mode,
            size: Some(20),
            filter,
            antialias: true,
        },
        crop: Crop::Center,
        scale: 1.0 / 255.0,
        mean: vec![0.5; 3],
        std: vec![0.5; 3],
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn damaged_photos_do_no_harm() {
    let folders = ["tests/golden/photos", "tests/golden/files"];
    let corpus: Vec<Vec<u8>> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .filter(|path| {
            let extension = path.extension().unwrap().to_str().unwrap();
            !["py", "md", "txt", "json"].contains(&extension) && !path.ends_with("expected.png")
        })
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    assert!(corpus.len() > 60);
    let mut random = Random(setting("WHYLENS_SEED", 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let inputs = [
        input(ResizeMode::ShorterSide, Filter::Bicubic),
        input(ResizeMode::Exact, Filter::Lanczos),
        input(ResizeMode::Fit, Filter::Nearest),
        input(ResizeMode::Fit, Filter::Box),
    ];
    let kept = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutation");
    std::panic::set_hook(Box::new(|panic| {
        *PANIC.lock().unwrap() = panic.location().map(ToString::to_string);
    }));
    let end = Instant::now() + Duration::from_secs(setting("WHYLENS_MUTATE", 2));
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut slowest, mut largest) = (Duration::ZERO, 0);
    while Instant::now() < end {
        let mut file = corpus[random.below(corpus.len())].clone();
        let other = &corpus[random.below(corpus.len())];
        mutate(&mut file, other, &mut random);
        let input = &inputs[random.below(inputs.len())];
        let before = memory::live();
        memory::forget_peak();
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let image = decode(&file, &LIMITS)?;
            assert_eq!(
                image.rgb.len() as u64,
                u64::from(image.columns) * u64::from(image.rows) * 3
            );
            let (tensor, _) = preprocess(&image, input)?;
            assert!(tensor.values.iter().all(|value| value.is_finite()));
            Ok::<_, whylens::Error>(())
        }));
        let (took, took_memory) = (start.elapsed(), memory::peak().saturating_sub(before));
        (slowest, largest) = (slowest.max(took), largest.max(took_memory));
        let panic = PANIC.lock().unwrap().take();
        if panic.is_some() || took > LONGEST || took_memory > MOST_MEMORY {
            std::fs::write(&kept, &file).unwrap();
            drop(std::panic::take_hook());
            panic!(
                "{}: {took:?}, {took_memory} bytes, panicked: {panic:?}",
                kept.display()
            );
        }
        if let Ok(outcome) = outcome {
            *outcomes
                .entry(outcome.map_or_else(|error| error.code(), |()| "read"))
                .or_default() += 1;
        }
    }
    drop(std::panic::take_hook());
    println!("{outcomes:?}, slowest {slowest:?}, most memory {largest} bytes");
    assert!(
        outcomes.keys().all(
            |code| ["read", "image-format", "image-corrupt", "image-too-large"].contains(code)
        ),
        "{outcomes:?}"
    );
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
}
