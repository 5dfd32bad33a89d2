//! A model folder and a tensor → for each line read: ms of one run and its scores, as JSON: `benches/native.py`.
//!
//!     repeat MODEL_FOLDER TENSOR THREADS
//!
//! TENSOR holds 32-bit floating-point numbers in the model's layout, the least significant byte first.

use std::error::Error;
use std::fs;
use std::io::{Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;

use whylens::{Manifest, Model, Options, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [folder, tensor, threads] = &arguments[..] else {
        return Err("usage: repeat MODEL_FOLDER TENSOR THREADS".into());
    };
    let file = |name: &str| fs::read(Path::new(folder).join(name));
    let (manifest, _) = Manifest::parse(&file("model.json")?)?;
    let onnx = file(&manifest.weights.file)?;
    let options = Options {
        threads: Some(threads.parse()?),
        ..Options::default()
    };
    let model = Model::planned(onnx, &manifest, &options)?.ok_or("no plan")?;
    let values = fs::read(tensor)?;
    let input = Tensor {
        shape: manifest.input.shape().to_vec(),
        values: values
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect(),
    };
    for line in stdin().lines() {
        line?;
        let start = Instant::now();
        let forward = model.forward(&input)?;
        let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
        println!(
            "{}",
            serde_json::json!({ "ms": milliseconds, "scores": forward.scores })
        );
        stdout().flush()?;
    }
    Ok(())
}
