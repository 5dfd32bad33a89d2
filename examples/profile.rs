//! A model folder → how long the steps of its plan take natively: `make profile`.

use std::error::Error;
use std::fs;
use std::path::Path;

use whylens::{Manifest, Model, Options, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    let Some(folder) = std::env::args().nth(1) else {
        return Err("usage: profile MODEL_FOLDER [THREADS]".into());
    };
    let file = |name: &str| fs::read(Path::new(&folder).join(name));
    let (manifest, _) = Manifest::parse(&file("model.json")?)?;
    let onnx = file(&manifest.weights.file)?;
    let threads = std::env::args().nth(2).map(|threads| threads.parse());
    let options = Options {
        threads: Some(threads.transpose()?.unwrap_or(1)),
        ..Options::default()
    };
    let model = Model::planned(onnx, &manifest, &options)?.ok_or("no plan")?;
    let shape = manifest.input.shape().to_vec();
    let values = vec![0.5; shape.iter().product()];
    let table = model.profile(&Tensor { shape, values }, 10);
    print!("{}", table.ok_or("no plan")?);
    Ok(())
}
