//! model that is not packed yet + photo + any description → what it would say.

use serde::Serialize;

use super::compare::made_up_image;
use super::given::{Given, read};
use super::{Guess, Options, Original, inspect, presets, settle_shares};
use crate::decode::Image;
use crate::error::Result;
use crate::manifest::{Activation, Input, Manifest, Output};
use crate::model::compile::shrink::{self, Outline};
use crate::model::{Model, Options as Load};
use crate::preprocess::preprocess;
use crate::rank::{self, Prediction, Reading};

/// A loaded model whose description may still change.
pub struct Preview {
    model: Model,
    outline: Outline,
    /// As it was loaded.
    manifest: Manifest,
    options: Options,
    opacity: bool,
}

/// What a model would say of a photo.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Previewed {
    /// How the photo was read.
    pub input: Input,
    /// Share of the shorter side that the crop keeps, in percent; none if nothing is cropped.
    pub crop_percent: Option<f64>,
    /// The most probable classes, without their labels.
    pub predictions: Vec<Prediction>,
    /// Number of classes.
    pub classes: usize,
    /// What the probabilities are; see [`Reading::kind`].
    pub activation: Activation,
}

/// Number of predictions.
const SHOWN: usize = 3;

impl Preview {
    /// Loads a model once for any number of descriptions.
    ///
    /// # Errors
    /// Those of [`inspect`](super::inspect()).
    pub fn open<'a>(onnx: impl Into<Original<'a>>, options: &Options) -> Result<Preview> {
        let mut given = read(onnx.into(), options, None)?;
        let outline = shrink::outline(given.onnx.look()?)?;
        if options.activation.is_none() {
            given.guesses.push(Guess::Activation);
        }
        let model = given.run(|onnx, manifest| Model::of(onnx, manifest, &Load::default()))?;
        let Given {
            mut manifest,
            mut guesses,
            opacity,
            ..
        } = given;
        if guesses.contains(&Guess::Activation) {
            let scores = model.forward(&made_up_image(&manifest.input))?.scores;
            settle_shares(&scores, &mut manifest, &mut guesses);
        }
        Ok(Preview {
            model,
            outline,
            manifest,
            options: options.clone(),
            opacity,
        })
    }

    /// Whether it can be described like this without loading the model again.
    pub fn fits(&self, options: &Options) -> bool {
        let shape = |of: &Options| (of.output.clone(), of.size, of.layout);
        let numbers = |of: &Options| (of.preset.clone(), of.scale, of.mean.clone(), of.std.clone());
        // One score is split in two only by some activations.
        let split = self.model.classes() <= 2 && self.options.activation != options.activation;
        let opaque = self.opacity && numbers(&self.options) != numbers(options);
        shape(&self.options) == shape(options) && !split && !opaque
    }

    /// Classifies a photo as `options` describe the model.
    ///
    /// # Errors
    /// [`Error::BadOption`](crate::Error::BadOption) and [`Error::BadManifest`](crate::Error::BadManifest) for a
    /// description that cannot be; those of [`Model::forward`].
    pub fn classify(&self, photo: &Image, options: &Options) -> Result<Previewed> {
        let Input { width, height, .. } = self.manifest.input;
        let mut options = Options {
            output: None,
            size: options.size.or(Some((width, height))),
            ..presets::fill(options)?
        };
        if self.opacity {
            for values in [&mut options.mean, &mut options.std].into_iter().flatten() {
                values.truncate(3);
            }
        }
        let input = inspect::manifest(&self.outline, &options, &mut Vec::new())?.input;
        let ends = self.model.activation();
        let output = Output {
            activation: match self.manifest.output.applied {
                None => options
                    .activation
                    .unwrap_or(self.manifest.output.activation),
                Some(_) => self.manifest.output.activation,
            },
            ..self.manifest.output.clone()
        };
        let reading = Reading::of(&output, ends, self.model.classes());
        let (tensor, _) = preprocess(photo, &input)?;
        let scores = self.model.forward(&tensor)?.scores;
        Ok(Previewed {
            crop_percent: inspect::kept(&input),
            input,
            predictions: rank::rank(&scores, &[], reading, SHOWN, 0.0),
            classes: scores.len(),
            activation: reading.kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(name: &str, options: &Options) -> Preview {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        let onnx = std::fs::read(format!("{file}/{name}.onnx")).unwrap();
        Preview::open(onnx, options).unwrap()
    }

    #[test]
    fn only_what_is_loaded_decides_whether_a_description_fits() {
        let none = Options::default();
        let numbers = Options {
            preset: Some("caffe".into()),
            crop_percent: Some(90.0),
            activation: Some(Activation::Sigmoid),
            ..Options::default()
        };
        let sized = Options {
            size: Some((64, 64)),
            ..Options::default()
        };
        let preview = open("models/resnet", &none);
        assert!(preview.fits(&none) && preview.fits(&numbers));
        assert!(!preview.fits(&sized));
        // One score becomes those of two classes by some activations only.
        let preview = open("heads/one-logit", &none);
        assert!(preview.fits(&none) && !preview.fits(&numbers));
        assert_eq!(preview.model.classes(), 2);
        let number = Options {
            activation: Some(Activation::None),
            ..Options::default()
        };
        assert_eq!(open("heads/one-logit", &number).model.classes(), 1);
    }

    #[test]
    fn a_softmax_of_single_operators_is_not_applied_again() {
        let preview = open("heads/softmax-by-hand", &Options::default());
        let photo = Image {
            width: 8,
            height: 8,
            columns: 8,
            rows: 8,
            rgb: (0..192).collect(),
            partial: None,
        };
        let previewed = preview.classify(&photo, &Options::default()).unwrap();
        assert_eq!(previewed.activation, Activation::Softmax);
        let best = &previewed.predictions[0];
        assert_eq!(best.probability, best.score);
    }
}
