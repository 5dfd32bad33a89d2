//! ONNX file as it was exported, with options → a classifier of one photo, with its manifest.

use std::borrow::Cow;

use super::compare::{compare, made_up_image};
use super::inspect::manifest;
use super::{Guess, Options, Original, presets, settle};
use crate::error::{Error, Result};
use crate::manifest::{Activation, Manifest};
use crate::model::Model;
use crate::model::compile::adapt::{self, Known};
use crate::model::compile::outputs::{self, Head};
use crate::model::compile::shrink;
use crate::preprocess::Tensor;

/// An adapted graph and what is known about it.
pub(super) struct Given<'a> {
    pub onnx: Original<'a>,
    pub manifest: Manifest,
    pub guesses: Vec<Guess>,
    /// The tensors that may hold the scores, beginning with the one that is used.
    pub heads: Vec<Head>,
    /// The batch that the graph was made for, if it is not 1, and the file before the batch was changed.
    pub batch: Option<(usize, Vec<u8>)>,
    /// Manifests of other sizes to try if neither the graph nor an option gives the size.
    pub sizes: Vec<Manifest>,
    /// Whether values of the graph are quantised, and not only weights.
    pub quantises_values: bool,
    /// Whether a single score may become the scores of two classes.
    pub splits: bool,
    /// Whether the fourth channel of the graph holds opacity, which was made a constant.
    pub opacity: bool,
}

/// Common sides of inputs, after the most common one.
const SIDES: [u32; 12] = [256, 299, 384, 512, 240, 192, 160, 128, 96, 64, 32, 28];

/// Adapts a graph and reads what it says; `labels` is the number of labels.
///
/// # Errors
/// Those of [`adapt::adapt`] and of [`pack`](super::pack()).
pub(super) fn read<'a>(
    mut onnx: Original<'a>,
    options: &Options,
    labels: Option<usize>,
) -> Result<Given<'a>> {
    let options = &presets::fill(options)?;
    let fourth = |values: &Option<Vec<f64>>, default| match values.as_deref() {
        Some(&[_, _, _, value]) => value,
        // The value that all colours share.
        Some([first, rest @ ..]) if rest.iter().all(|other| other == first) => *first,
        _ => default,
    };
    let full = 255.0 * options.scale.unwrap_or(1.0 / 255.0);
    let opacity = (full - fourth(&options.mean, 0.0)) / fourth(&options.std, 1.0);
    let adapted = adapt::adapt(
        onnx.take()?,
        &Known {
            output: options.output.as_deref(),
            labels,
            layout: options.layout,
            opacity: opacity as f32,
        },
    )?;
    if let Some(changed) = adapted.onnx {
        onnx = Original::from(changed);
    }
    let mut options = options.clone();
    let mut guesses = Vec::new();
    if adapted.opacity {
        let told = options.mean.as_ref().is_some_and(|mean| mean.len() == 4);
        if !told {
            guesses.push(Guess::Opacity);
        }
        for values in [&mut options.mean, &mut options.std].into_iter().flatten() {
            values.truncate(3);
        }
    }
    if adapted.pixels && options.scale.is_none() && options.mean.is_none() && options.std.is_none()
    {
        options.scale = Some(1.0);
    }
    if !outputs::is_certain(&adapted.heads) {
        guesses.push(Guess::Output);
    }
    let outline = shrink::outline(onnx.look()?)?;
    options.output = None;
    let manifest_of =
        |options: &Options, guesses: &mut Vec<Guess>| manifest(&outline, options, guesses);
    let found = manifest_of(&options, &mut guesses)?;
    let mut sizes = Vec::new();
    if guesses.contains(&Guess::Size) {
        for side in SIDES {
            let sized = Options {
                size: Some((side, side)),
                ..options.clone()
            };
            sizes.push(manifest_of(&sized, &mut Vec::new())?);
        }
    }
    Ok(Given {
        onnx,
        manifest: found,
        guesses,
        heads: adapted.heads,
        batch: adapted.batch,
        sizes,
        quantises_values: outline.quantises_values,
        splits: true,
        opacity: adapted.opacity,
    })
}

impl Given<'_> {
    /// Loads the graph, if necessary in another size or with a batch of one.
    ///
    /// # Errors
    /// Those of `load`; [`Error::UnsupportedModel`] for a graph that works only with its own batch.
    pub fn load(&mut self, load: impl Fn(Cow<[u8]>, &Manifest) -> Result<Model>) -> Result<Model> {
        let error = match load(self.onnx.take()?, &self.manifest) {
            Ok(model) => return self.check_batch(model),
            Err(error) => error,
        };
        if let (Some((batch, _)), Error::UnsupportedModel(_) | Error::BadManifest(_)) =
            (&self.batch, &error)
        {
            return Err(batched(*batch, &error.to_string()));
        }
        for manifest in std::mem::take(&mut self.sizes) {
            if let Ok(model) = load(self.onnx.take()?, &manifest) {
                self.manifest = manifest;
                return Ok(model);
            }
        }
        Err(error)
    }

    /// Checks that an image alone gets the same scores as in a whole batch.
    fn check_batch(&mut self, model: Model) -> Result<Model> {
        let Some((batch, whole)) = self.batch.take() else {
            return Ok(model);
        };
        let image = made_up_image(&self.manifest.input);
        let one = model.forward(&image)?.scores;
        let mut shape = image.shape.clone();
        shape[0] = batch;
        // A graph with an absurd batch is refused before so many images are made.
        let all = Model::in_batches(&whole, &self.manifest, batch)
            .and_then(|model| {
                let values = image.values.repeat(batch);
                model.forward(&Tensor { shape, values })
            })
            .map_err(|error| batched(batch, &error.to_string()))?
            .scores;
        let largest = one.iter().fold(1f32, |most, score| most.max(score.abs()));
        let fits = all.len() == one.len() * batch
            && compare(&one, &all[..one.len()], Activation::None).score <= MOST_APART * largest;
        fits.then_some(model)
            .ok_or_else(|| batched(batch, "an image alone gets different scores"))
    }

    /// Loads the graph with a single score split into two.
    ///
    /// # Errors
    /// Those of [`Given::load`].
    pub fn run(&mut self, load: impl Fn(Cow<[u8]>, &Manifest) -> Result<Model>) -> Result<Model> {
        let in_logarithms = self.ends_in_logarithms()?;
        let model = self.load(&load)?;
        settle(in_logarithms, &model, &mut self.manifest, &mut self.guesses);
        let output = &mut self.manifest.output;
        self.splits &= model.classes() == 1;
        self.splits &= output.activation != Activation::None || output.applied.is_some();
        if !self.splits {
            return Ok(model);
        }
        drop(model);
        let (sides, name) = adapt::two_sides(self.onnx.look()?, &output.name)?;
        (self.onnx, output.name) = (Original::from(sides), name);
        // With one class, a softmax is read as a sigmoid.
        output.applied = output.applied.and(Some(Activation::Sigmoid));
        load(self.onnx.take()?, &self.manifest)
    }

    /// Whether the scores are logarithms of probabilities.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn ends_in_logarithms(&mut self) -> Result<bool> {
        shrink::ends_in_logarithms(self.onnx.look()?, &self.manifest)
    }
}

/// Largest difference of a score, as a share of the largest one, that summing in another order makes.
const MOST_APART: f32 = 1e-3;

fn batched(batch: usize, cause: &str) -> Error {
    Error::UnsupportedModel(format!(
        "the graph is made for {batch} images at once and does not work with one ({cause}); export it with an \
         example of one image, such as `torch.zeros(1, 3, 224, 224)`, or with an open first axis (`dynamic_axes` or \
         `dynamic_shapes`)"
    ))
}
