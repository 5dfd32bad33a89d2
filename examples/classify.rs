//! A photo → what a model sees in it, and where: the library without the command-line tool.
//!
//!     cargo run --release --example classify -- models/efficientnet-lite0 tests/photos/chelsea.png

use std::error::Error;
use std::fs;
use std::path::Path;

use whylens::{Classifier, HeatmapQuery, Limits, Manifest, Options, Query};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(photo)) = (arguments.next(), arguments.next()) else {
        return Err("usage: classify MODEL_FOLDER PHOTO".into());
    };
    let file = |name: &str| fs::read(Path::new(&folder).join(name));
    let (manifest, warnings) = Manifest::parse(&file("model.json")?)?;
    for warning in warnings {
        eprintln!("{warning}");
    }
    let (_, labels) = manifest.label_file(&["en".into()]);
    let labels = file(labels)?;
    let onnx = file(&manifest.weights.file)?;
    let options = Options {
        heatmap: true,
        ..Options::default()
    };
    let classifier = Classifier::new(manifest, &labels, &onnx, &options)?;
    let query = Query {
        top_k: 3,
        heatmap: Some(HeatmapQuery::default()),
        ..Query::default()
    };
    let result = classifier.classify(&fs::read(photo)?, &Limits::default(), &query)?;
    for prediction in &result.predictions {
        println!(
            "{:6.2} %  {}",
            prediction.probability * 100.0,
            prediction.label
        );
    }
    let Some(heatmap) = result.heatmap else {
        return Err("this model cannot be explained".into());
    };
    println!("what speaks for {}:", heatmap.label);
    for row in heatmap.values.chunks(heatmap.width) {
        let shade = |value: &f32| b" .:-=+*#%@"[(value / heatmap.max.max(1e-9) * 9.0) as usize];
        let row: Vec<u8> = row.iter().flat_map(|value| [shade(value); 2]).collect();
        println!("  {}", String::from_utf8(row)?);
    }
    Ok(())
}
