//! The stages in order; no arithmetic.

mod check;
mod explain;
mod features;
mod network;
mod stability;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use web_time::Instant;

pub use self::check::Checking;
pub use self::explain::Explaining;
#[cfg(target_arch = "wasm32")]
pub(crate) use self::stability::Made;
pub use self::stability::Steadying;
use crate::decode::{self, Image, Limits};
use crate::error::{Error, Result};
use crate::heatmap::{Map, Method, Sign};
use crate::labels;
use crate::manifest::{self, Activation, Manifest};
use crate::model::{self, Model};
use crate::overlay::{self, Style};
use crate::preprocess::{self, Region, Tensor};
use crate::rank::{self, Reading};
use crate::result::{Classification, Heatmap, ModelName, Photo, Query, Run, Size, Timing};

/// A model with its labels: photos in, predictions and heatmaps out.
pub struct Classifier {
    manifest: Manifest,
    labels: Vec<String>,
    reading: Reading,
    model: Model,
    /// How many of the model's layers it was loaded with; the others were added later.
    own_layers: usize,
    /// Bytes that may be in use; see [`model::Options`].
    memory: Option<u64>,
    threads: Option<usize>,
    /// Why the gradients failed on their first run.
    failed: Option<Error>,
    /// Tells the runs of this model with these layers from other runs.
    id: u64,
}

/// A photo that waits for the network: what is left of it is its input. Of plain data, so that many can be made at
/// once, beside a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// The photo as the network will see it.
    pub photo: Photo,
    /// How long it took so far: `decode` and `preprocess`.
    pub timing: Timing,
    /// Of a photo that is cut short: how many percent of its rows are there.
    pub partial: Option<u8>,
}

impl Waiting {
    /// Takes a part of an upright image, or all of it, and makes the model's input of it; `decode` is the time in ms
    /// that decoding took.
    ///
    /// # Errors
    /// Those of [`preprocess::crop`] and [`preprocess::preprocess`].
    pub fn new(
        image: Image,
        decode: f64,
        region: Option<&Region>,
        input: &manifest::Input,
    ) -> Result<Waiting> {
        let start = Instant::now();
        let partial = image.partial;
        let size = Size {
            width: image.width,
            height: image.height,
        };
        let (image, part) = match region {
            Some(region) => {
                let (image, part) = preprocess::crop(image, region)?;
                (image, Some(part))
            }
            None => (image, None),
        };
        let (input, mut region) = preprocess::preprocess(&image, input)?;
        drop(image);
        if let Some(Region { x, y, .. }) = part {
            region.x += x;
            region.y += y;
        }
        let timing = Timing {
            decode,
            preprocess: milliseconds(start),
            ..Timing::default()
        };
        let photo = Photo {
            input,
            image: size,
            region,
            part,
        };
        Ok(Waiting {
            photo,
            timing,
            partial,
        })
    }
}

impl Classifier {
    /// Makes a classifier from the three files of a model folder: manifest, labels (UTF-8, one per line, in
    /// class order) and ONNX. An owned `onnx` is freed as it is read.
    ///
    /// # Errors
    /// Those of [`Model::load`], and [`Error::BadManifest`] when there are more or fewer labels than
    /// classes.
    pub fn new<'a>(
        manifest: Manifest,
        labels: &[u8],
        onnx: impl Into<Cow<'a, [u8]>>,
        options: &model::Options,
    ) -> Result<Classifier> {
        let labels = labels::parse(labels)?;
        let model = Model::of(onnx.into(), &manifest, options)?;
        labels::check(labels.len(), model.classes())?;
        Ok(Classifier {
            reading: Reading::of(&manifest.output, model.activation(), model.classes()),
            manifest,
            labels,
            own_layers: model.layers().len(),
            memory: options.memory,
            threads: options.threads,
            failed: None,
            model,
            id: next_id(),
        })
    }

    /// Bytes of the values that one run holds at once, without the weights.
    pub fn work(&self) -> u64 {
        self.model.work()
    }

    /// Runs the network once on a blank input, so that the first photo does not pay for it. Gradients that
    /// fail here are not tried again.
    ///
    /// # Errors
    /// Those of [`Model::forward`]: a graph that cannot be run is found here.
    pub fn warm_up(&mut self) -> Result<()> {
        let shape = self.manifest.input.shape().to_vec();
        let values = vec![0.0; shape.iter().product()];
        let forward = self.model.forward(&Tensor { shape, values })?;
        if self.explainable().is_ok() {
            self.failed = self.model.gradients(&forward, 0).err();
        }
        Ok(())
    }

    /// Classifies an encoded photo.
    ///
    /// # Errors
    /// Those of [`decode::decode`] and of [`Classifier::classify_tensor`].
    pub fn classify(&self, photo: &[u8], limits: &Limits, query: &Query) -> Result<Classification> {
        let start = Instant::now();
        let image = decode::decode(photo, limits)?;
        let decode = milliseconds(start);
        self.classify_image(image, decode, query)
    }

    /// Classifies an upright image; `decode` is the time in ms that decoding took.
    ///
    /// # Errors
    /// Those of [`preprocess::crop`], [`preprocess::preprocess`] and of [`Classifier::classify_tensor`].
    pub fn classify_image(
        &self,
        image: Image,
        decode: f64,
        query: &Query,
    ) -> Result<Classification> {
        let input = &self.manifest.input;
        let waiting = Waiting::new(image, decode, query.region.as_ref(), input)?;
        self.classify_waiting(waiting, query)
    }

    /// Classifies a photo that was decoded and resized elsewhere; the region of the query was taken there.
    ///
    /// # Errors
    /// Those of [`Classifier::classify_tensor`].
    pub fn classify_waiting(&self, waiting: Waiting, query: &Query) -> Result<Classification> {
        let Waiting {
            photo,
            timing,
            partial,
        } = waiting;
        let result = self.classify_input(photo, timing, query)?;
        Ok(Classification { partial, ..result })
    }

    /// Classifies an input tensor that was made elsewhere.
    ///
    /// # Errors
    /// Those of [`Model::forward`]; those of [`Classifier::heatmap`] where a
    /// [specific](crate::HeatmapQuery::is_certain) heatmap is requested; [`Error::BadOption`] for a region.
    pub fn classify_tensor(&self, tensor: &Tensor, query: &Query) -> Result<Classification> {
        if query.region.is_some() {
            return Err(Error::BadOption(
                "a tensor is the input itself, of which no region can be taken".into(),
            ));
        }
        let image = Size {
            width: self.manifest.input.width,
            height: self.manifest.input.height,
        };
        let region = Region {
            x: 0.0,
            y: 0.0,
            width: image.width.into(),
            height: image.height.into(),
        };
        let photo = Photo {
            input: tensor.clone(),
            image,
            region,
            part: None,
        };
        self.classify_input(photo, Timing::default(), query)
    }

    /// Runs the network on a photo, such as one whose [`Run`] was not kept or came from another classifier.
    ///
    /// # Errors
    /// Those of [`Model::forward`].
    pub fn run(&self, photo: Photo) -> Result<Run> {
        let forward = self.model.forward(&photo.input)?;
        Ok(Run {
            photo,
            forward,
            by: self.id,
        })
    }

    fn classify_input(
        &self,
        photo: Photo,
        mut timing: Timing,
        query: &Query,
    ) -> Result<Classification> {
        rank::check(query.top_k as f64, query.threshold.into())?;
        let start = Instant::now();
        let run = Arc::new(self.run(photo)?);
        timing.inference = milliseconds(start);
        let predictions = rank::rank(
            run.scores(),
            &self.labels,
            self.reading,
            query.top_k,
            query.threshold,
        );
        let recognised = rank::reaches(run.scores(), self.reading, self.manifest.output.threshold);
        let not_recognised = match (&self.manifest.not_recognised, recognised) {
            (Some(text), false) => text.spoken(&[]).map(String::from),
            _ => None,
        };
        let model = ModelName {
            name: self.manifest.name.clone(),
            version: self.manifest.version.clone(),
            activation: self.reading.kind,
            unit: self.manifest.output.unit.clone(),
        };
        timing.total = timing.decode + timing.preprocess + timing.inference;
        let mut result = Classification {
            image: run.photo.image,
            region: run.photo.part,
            partial: None,
            predictions,
            recognised,
            not_recognised,
            heatmap: None,
            no_heatmap: None,
            timing,
            model,
            run,
        };
        if let Some(query) = &query.heatmap {
            let start = Instant::now();
            let heatmap = self.heatmap(&result.run, query);
            if query.is_certain() {
                heatmap.as_ref().map_err(Error::clone)?;
            }
            result.explained(heatmap, milliseconds(start));
        }
        Ok(result)
    }

    /// Compiles the model again, for heatmaps at more layers. Earlier runs then count as another
    /// classifier's; a heatmap that names no layer stays the same.
    ///
    /// # Errors
    /// Those of [`Model::load`]; the classifier then stays as it was.
    pub fn add_layers(&mut self, onnx: &[u8], more: &[String]) -> Result<()> {
        let own = self.model.layers().iter().map(|layer| &layer.name);
        let mut layers: Vec<String> = Vec::new();
        for name in own.chain(more) {
            if !layers.contains(name) {
                layers.push(name.clone());
            }
        }
        let options = model::Options {
            heatmap: true,
            layers,
            memory: self.memory,
            threads: self.threads,
        };
        let model = Model::load(onnx, &self.manifest, &options)?;
        self.model = model;
        self.failed = None;
        self.id = next_id();
        Ok(())
    }

    /// Draws a heatmap as RGBA pixels (straight alpha, sRGB, row-major), to be laid over the whole upright
    /// photo. Outside the heatmap's region they are transparent.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a size or an opacity that cannot be drawn.
    pub fn render(heatmap: &Heatmap, style: &Style) -> Result<Vec<u8>> {
        let Heatmap {
            width,
            height,
            max,
            image,
            ..
        } = *heatmap;
        let map = Map {
            width,
            height,
            values: heatmap.values.clone(),
            max,
            signed: heatmap.sign == Sign::Both,
        };
        overlay::overlay(
            &map,
            &heatmap.region,
            heatmap.part.as_ref(),
            (image.width, image.height),
            style,
        )
    }

    /// What the model needs to be used.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The labels in class order.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Whether there are gradients, and why not.
    ///
    /// # Errors
    /// Those of [`Model::explainable`].
    pub fn explainable(&self) -> Result<()> {
        self.model.explainable()?;
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// How heatmaps can be made, the usual method first; empty without heatmaps.
    pub fn methods(&self) -> Vec<Method> {
        match self.model.explains() {
            true => Method::usable(self.explainable().is_ok(), !self.layers().is_empty()),
            false => Vec::new(),
        }
    }

    /// The layers at which heatmaps are taken; empty without heatmaps.
    pub fn layers(&self) -> &[model::Layer] {
        self.model.layers()
    }

    /// The probabilities of all classes that scores stand for, in class order.
    pub fn probabilities(&self, scores: &[f32]) -> Vec<f32> {
        rank::probabilities(scores, self.reading.apply)
    }

    /// What the probabilities are; see [`Reading::kind`].
    pub fn activation(&self) -> Activation {
        self.reading.kind
    }

    /// Where the manifest is read differently from what it says.
    pub fn warnings(&self) -> Vec<String> {
        let output = &self.manifest.output;
        let ends = self.model.activation();
        let mut warnings = Vec::new();
        if self.labels.len() == 1
            && [Some(output.activation), output.applied, ends].contains(&Some(Activation::Softmax))
        {
            warnings.push("a softmax over one class is 1 for every photo; the score is read through a sigmoid".into());
        }
        if output.threshold.is_some() && self.reading.kind == Activation::None {
            warnings.push(
                "model.json: `output.threshold` is for probabilities, but the output holds none; it is ignored".into(),
            );
        }
        if let (Some(said), Some(found)) = (output.applied, ends)
            && said != found
        {
            warnings.push(format!(
                "model.json: `output.applied` is {said}, but the graph ends in {found}"
            ));
        }
        warnings
    }

    /// Why a model has no plan that can be used, and what to do; none if a plan runs it. Natively none does.
    pub fn unplanned(&self) -> Option<String> {
        let weights = &self.manifest.weights;
        let why = match (&weights.unplanned, weights.plan) {
            _ if self.model.is_planned() => return None,
            (Some(why), None) => why,
            (_, Some(model::PLAN)) => {
                "that in its file cannot be used; run `whylens pack` on its folder"
            }
            _ => "its file has none for this version; run `whylens pack` on its folder",
        };
        Some(format!(
            "without a plan, the model is compiled at every load and runs by one thread: {why}"
        ))
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}
